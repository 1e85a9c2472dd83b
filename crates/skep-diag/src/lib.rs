//! Spans, diagnostics (stable id, headline, labels with history, one help) and how they print.
