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

impl Scalar {
    /// Any number.
    pub const UNKNOWN: Scalar = Scalar {
        bits: Tnum {
            value: 0,
            mask: u64::MAX,
        },
        smin: i64::MIN,
        smax: i64::MAX,
        umin: 0,
        umax: u64::MAX,
        s32_min: i32::MIN,
        s32_max: i32::MAX,
        u32_min: 0,
        u32_max: u32::MAX,
    };

    /// That number.
    pub const fn constant(value: u64) -> Scalar {
        Scalar {
            bits: Tnum { value, mask: 0 },
            smin: value as i64,
            smax: value as i64,
            umin: value,
            umax: value,
            s32_min: value as i32,
            s32_max: value as i32,
            u32_min: value as u32,
            u32_max: value as u32,
        }
    }

    /// The number, where it is a known one.
    pub const fn as_const(&self) -> Option<u64> {
        if self.bits.mask == 0 {
            Some(self.bits.value)
        } else {
            None
        }
    }
}
