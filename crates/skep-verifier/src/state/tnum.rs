//! Tristate numbers: for each of 64 bits, zero, one or unknown.
//!
//! Invariant: a bit set in `mask` (unknown) is clear in `value`.

/// A set of 64-bit numbers that agree in all bits outside `mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tnum {
    /// The known bits.
    pub value: u64,
    /// The unknown bits.
    pub mask: u64,
}
