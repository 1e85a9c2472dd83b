//! Global functions: what their types say of their arguments, checked on their own and at each call.

use crate::input::BtfIdx;

/// What a function of the program takes, by its BTF type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgSpec {
    /// A number.
    Scalar,
    /// The context.
    Ctx,
    /// A dynptr that it only reads.
    Dynptr,
    /// So many bytes of memory.
    Mem { size: u32, nullable: bool },
    /// Memory of unknown size that may be bad; read only.
    UntrustedMem,
    /// A kernel object.
    Btf {
        btf: BtfIdx,
        id: u32,
        nullable: bool,
        untrusted: bool,
    },
    /// A pointer into the arena, or a number.
    Arena,
}
