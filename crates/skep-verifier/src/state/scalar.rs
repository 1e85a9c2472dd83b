//! What is known about a 64-bit number: known bits, and signed and unsigned bounds of all 64 and of the low 32 bits.

use super::tnum::Tnum;

/// A set of 64-bit numbers: those that satisfy every part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scalar {
    pub bits: Tnum,
    pub smin: i64,
    pub smax: i64,
    pub umin: u64,
    pub umax: u64,
    pub s32_min: i32,
    pub s32_max: i32,
    pub u32_min: u32,
    pub u32_max: u32,
}
