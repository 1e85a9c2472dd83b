//! CO-RE ("compile once, run everywhere"): making a program compiled against one kernel's types fit another's.
//!
//! The way of a relocation: `path` turns the access string into a path of members and elements in the local types; `relocate`
//! looks for types of that name in the target (one candidate set a root type, narrowed by every relocation), follows the path
//! in each by name, and computes one value on which all candidates must agree; `patch` writes it into the instruction.
//! Semantics, including which instruction is poisoned rather than refused, are those of libbpf 1.7, so that an object behaves
//! as it does there.

mod compat;
mod error;
mod kind;
mod patch;
mod path;
mod relocate;
#[cfg(test)]
mod tests;

pub use compat::compatible;
pub use error::CoreError;
pub use kind::CoreKind;
pub use patch::{POISON_IMM, Patched, is_poison};
pub use relocate::{MemSize, Relocator, Resolved};

pub use crate::ext::CoreRelo;
