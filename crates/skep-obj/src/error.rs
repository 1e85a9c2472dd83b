//! What can be wrong with an object, and where.
//!
//! Invariant: every error about a file names a section (or `ELF header`) and an offset in it.

use std::fmt;

use skep_diag::Diagnostics;

/// An object cannot be read, relocated, linked or written.
#[derive(Debug)]
pub enum ObjError {
    /// The bytes break the format.
    Malformed {
        section: String,
        offset: u64,
        why: String,
    },
    /// The bytes are well formed, and ask for what is not supported.
    Unsupported {
        section: String,
        offset: u64,
        what: String,
        help: String,
    },
    /// A text object does not assemble.
    Text(Diagnostics),
    /// A CO-RE relocation is malformed (a missing target is not: it poisons).
    Core {
        function: String,
        at: usize,
        why: String,
    },
    /// Objects or functions do not fit together.
    Link { symbol: String, why: String },
    /// Nothing of this name is there.
    NotFound {
        what: &'static str,
        name: String,
        help: String,
    },
    /// A value does not fit the type it is for.
    Value { name: String, why: String },
}

impl ObjError {
    pub(crate) fn malformed(section: &str, offset: u64, why: impl Into<String>) -> ObjError {
        ObjError::Malformed {
            section: section.to_owned(),
            offset,
            why: why.into(),
        }
    }

    pub(crate) fn unsupported(
        section: &str,
        offset: u64,
        what: impl Into<String>,
        help: impl Into<String>,
    ) -> ObjError {
        ObjError::Unsupported {
            section: section.to_owned(),
            offset,
            what: what.into(),
            help: help.into(),
        }
    }

    pub(crate) fn link(symbol: &str, why: impl Into<String>) -> ObjError {
        ObjError::Link {
            symbol: symbol.to_owned(),
            why: why.into(),
        }
    }
}

impl fmt::Display for ObjError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjError::Malformed {
                section,
                offset,
                why,
            } => {
                write!(
                    f,
                    "malformed object: section {section} at offset {offset:#x}: {why}"
                )
            }
            ObjError::Unsupported {
                section,
                offset,
                what,
                help,
            } => {
                write!(
                    f,
                    "not supported: section {section} at offset {offset:#x}: {what}; {help}"
                )
            }
            ObjError::Text(diagnostics) => match diagnostics.0.first() {
                Some(first) => write!(f, "text object: {}", first.headline),
                None => f.write_str("text object does not assemble"),
            },
            ObjError::Core { function, at, why } => {
                write!(
                    f,
                    "CO-RE relocation in function {function} at instruction {at}: {why}"
                )
            }
            ObjError::Link { symbol, why } => write!(f, "cannot link `{symbol}`: {why}"),
            ObjError::NotFound { what, name, help } => {
                write!(f, "no {what} named `{name}`")?;
                if !help.is_empty() {
                    write!(f, "; {help}")?;
                }
                Ok(())
            }
            ObjError::Value { name, why } => write!(f, "value for `{name}`: {why}"),
        }
    }
}

impl std::error::Error for ObjError {}
