//! The diagnostic itself: a stable id, one headline, labelled places, notes and one help.
//!
//! Invariants: `id` is stable across releases and names a page of the documentation; the headline is one line; at
//! most one help, and it says what to do.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use crate::source::Span;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Probably not what was meant.
    Warning,
    /// The input cannot be used.
    Error,
}

impl Severity {
    /// `note`, `warning` or `error`.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where a label points.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A range of a source text.
    Span(Span),
    /// An instruction of a program, counted in 8-byte slots.
    Insn {
        /// The program or function.
        program: String,
        /// Its instruction slot.
        insn: usize,
    },
    /// A byte of a section of an object file.
    Section {
        /// The section's name.
        name: String,
        /// Byte offset within it.
        offset: u64,
    },
    /// A file as a whole, or a byte of it.
    File {
        /// Its path as the user gave it.
        name: String,
        /// Byte offset, where known.
        offset: Option<u64>,
    },
}

impl From<Span> for Place {
    fn from(span: Span) -> Place {
        Place::Span(span)
    }
}

/// A place and what is to be said about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// Where.
    pub place: Place,
    /// What is there; may be empty.
    pub text: String,
    /// Whether this is the place of the fault itself rather than of its history.
    pub primary: bool,
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Stable name, such as `asm-unknown-register`.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One line: what is wrong.
    pub headline: String,
    /// Where, and how it came to be.
    pub labels: Vec<Label>,
    /// Further facts.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A diagnostic of the given severity without labels.
    pub fn new(severity: Severity, id: &'static str, headline: impl Into<String>) -> Diagnostic {
        Diagnostic {
            id,
            severity,
            headline: headline.into(),
            labels: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// An error.
    pub fn error(id: &'static str, headline: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, id, headline)
    }

    /// A warning.
    pub fn warning(id: &'static str, headline: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, id, headline)
    }

    /// A note.
    pub fn info(id: &'static str, headline: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Note, id, headline)
    }

    /// Adds the place of the fault.
    #[must_use]
    pub fn at(mut self, place: impl Into<Place>, text: impl Into<String>) -> Diagnostic {
        self.labels.push(Label {
            place: place.into(),
            text: text.into(),
            primary: true,
        });
        self
    }

    /// Adds a place of its history.
    #[must_use]
    pub fn and_at(mut self, place: impl Into<Place>, text: impl Into<String>) -> Diagnostic {
        self.labels.push(Label {
            place: place.into(),
            text: text.into(),
            primary: false,
        });
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Diagnostic {
        self.notes.push(text.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.help = Some(text.into());
        self
    }

    /// The label of the fault itself, or else the first one.
    pub fn primary(&self) -> Option<&Label> {
        self.labels
            .iter()
            .find(|label| label.primary)
            .or(self.labels.first())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: {}", self.severity, self.id, self.headline)
    }
}

/// Findings in the order they were made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// No findings.
    pub fn new() -> Diagnostics {
        Diagnostics::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One after the other.
    pub fn iter(&self) -> core::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Diagnostics {
        Diagnostics(vec![diagnostic])
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, iter: I) {
        self.0.extend(iter);
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = alloc::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = core::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl core::error::Error for Diagnostics {}
