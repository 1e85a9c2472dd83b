//! What went wrong, where and what to do about it: sources, spans, diagnostics, and how they print.
//!
//! A diagnostic is data. Nothing here prints, reads a file or ends the process; the caller renders and writes.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod diagnostic;
pub mod render;
pub mod source;

pub use diagnostic::{Diagnostic, Diagnostics, Label, Place, Severity};
pub use source::{Position, Source, SourceId, Sources, Span};
