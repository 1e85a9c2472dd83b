//! Why a CO-RE relocation cannot be done at all (as opposed to: its instruction is poisoned).
//!
//! Invariant: the message names the type and field as the C source does.

use std::fmt;

use crate::error::BtfError;

/// Why a relocation was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoreError {
    /// The relocation makes no sense with the object's own types.
    Invalid { what: String, why: String },
    /// Several types of the target fit, and they disagree.
    Ambiguous {
        what: String,
        first: String,
        second: String,
    },
    /// The instruction is not one that the relocation can be written into.
    Insn {
        what: String,
        at: usize,
        why: String,
    },
    /// The types themselves are broken.
    Btf { what: String, error: BtfError },
}

impl fmt::Display for CoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CoreError::Invalid { what, why } => write!(f, "CO-RE relocation of {what}: {why}"),
            CoreError::Ambiguous {
                what,
                first,
                second,
            } => {
                write!(
                    f,
                    "CO-RE relocation of {what} is ambiguous: in the target, {first}, but {second}"
                )
            }
            CoreError::Insn { what, at, why } => {
                write!(
                    f,
                    "CO-RE relocation of {what} cannot be written into instruction {at}: {why}"
                )
            }
            CoreError::Btf { what, error } => write!(f, "CO-RE relocation of {what}: {error}"),
        }
    }
}

impl std::error::Error for CoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CoreError::Btf { error, .. } => Some(error),
            _ => None,
        }
    }
}
