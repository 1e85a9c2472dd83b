//! What can be wrong with BTF, and where.
//!
//! Invariant: an error about bytes names the section (`.BTF`, `.BTF.ext`) and the offset in it.

use std::borrow::Cow;
use std::fmt;

use skep_spec::Malformed;

use crate::kind::Kind;
use crate::ty::TypeId;

/// Why BTF could not be read, asked or written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BtfError {
    /// The bytes are not what the format prescribes.
    Malformed(Malformed),
    /// No type has this id.
    NoSuchType { id: TypeId, len: u32 },
    /// A chain of types refers to itself, or is nested deeper than any compiler writes.
    TooDeep { id: TypeId },
    /// The type has no size (`void`, a function, a forward declaration).
    NoSize { id: TypeId, kind: Kind },
    /// The size of the type does not fit 32 bits.
    TooLarge { id: TypeId },
    /// The type is of another kind than was asked for.
    WrongKind {
        id: TypeId,
        found: Kind,
        wanted: &'static str,
    },
    /// What was being built cannot be expressed in BTF.
    Unwritable { why: Cow<'static, str> },
}

impl BtfError {
    pub(crate) fn malformed(
        section: &'static str,
        offset: usize,
        why: impl Into<Cow<'static, str>>,
    ) -> BtfError {
        BtfError::Malformed(Malformed::new(section, offset, why))
    }

    pub(crate) fn unwritable(why: impl Into<Cow<'static, str>>) -> BtfError {
        BtfError::Unwritable { why: why.into() }
    }
}

impl fmt::Display for BtfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BtfError::Malformed(malformed) => malformed.fmt(f),
            BtfError::NoSuchType { id, len } => {
                write!(
                    f,
                    ".BTF: no type has id {}, the last one is {}",
                    id.0,
                    len.saturating_sub(1)
                )
            }
            BtfError::TooDeep { id } => write!(
                f,
                ".BTF: type {} refers to itself or is nested too deeply",
                id.0
            ),
            BtfError::NoSize { id, kind } => {
                write!(f, ".BTF: type {} is a {kind}, which has no size", id.0)
            }
            BtfError::TooLarge { id } => {
                write!(f, ".BTF: the size of type {} does not fit 32 bits", id.0)
            }
            BtfError::WrongKind { id, found, wanted } => {
                write!(f, ".BTF: type {} is a {found}, wanted {wanted}", id.0)
            }
            BtfError::Unwritable { why } => write!(f, "cannot write BTF: {why}"),
        }
    }
}

impl std::error::Error for BtfError {}
