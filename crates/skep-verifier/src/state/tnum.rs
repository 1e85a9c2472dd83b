//! Tristate numbers: for each of 64 bits, zero, one or unknown.
//!
//! Invariant: a bit set in `mask` (unknown) is clear in `value`. Every operation is sound: the result holds the
//! operation's outcome for all members of the operands. The algebra is that of Vishwanathan et al., "Sound, Precise,
//! and Fast Abstract Interpretation with Tristate Numbers" (CGO 2022); add, sub and the bitwise operations are exact
//! in the sense that no smaller tristate number would do.

use std::fmt;

#[cfg(test)]
mod tests;

/// A set of 64-bit numbers that agree in all bits outside `mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tnum {
    /// The known bits.
    pub value: u64,
    /// The unknown bits.
    pub mask: u64,
}

const LOW: u64 = u32::MAX as u64;

impl Tnum {
    /// All numbers.
    pub const UNKNOWN: Tnum = Tnum {
        value: 0,
        mask: u64::MAX,
    };

    /// One number.
    #[must_use]
    pub const fn constant(value: u64) -> Tnum {
        Tnum { value, mask: 0 }
    }

    /// Known where `mask` is clear; `value` is only looked at there.
    #[inline]
    #[must_use]
    pub const fn new(value: u64, mask: u64) -> Tnum {
        Tnum {
            value: value & !mask,
            mask,
        }
    }

    /// The common leading bits of `min` and `max`; everything where `min > max`, or nearly.
    #[inline]
    #[must_use]
    pub const fn range(min: u64, max: u64) -> Tnum {
        let differing = 64 - (min ^ max).leading_zeros();
        if differing == 64 {
            return Tnum::UNKNOWN;
        }
        Tnum::new(min, (1 << differing) - 1)
    }

    /// The largest member, unsigned.
    #[inline]
    #[must_use]
    pub const fn max(self) -> u64 {
        self.value | self.mask
    }

    /// dst + src
    #[inline]
    #[must_use]
    pub const fn add(self, other: Tnum) -> Tnum {
        let least = self.value.wrapping_add(other.value);
        let carry = self.mask.wrapping_add(other.mask).wrapping_add(least);
        // A bit is uncertain if an operand's is, or if the carry into it differs between the least and the largest sum.
        Tnum::new(least, (carry ^ least) | self.mask | other.mask)
    }

    /// dst - src
    #[inline]
    #[must_use]
    pub const fn sub(self, other: Tnum) -> Tnum {
        let base = self.value.wrapping_sub(other.value);
        let most = base.wrapping_add(self.mask);
        let least = base.wrapping_sub(other.mask);
        Tnum::new(base, (most ^ least) | self.mask | other.mask)
    }

    /// -dst
    #[inline]
    #[must_use]
    pub const fn neg(self) -> Tnum {
        Tnum::constant(0).sub(self)
    }

    /// dst & src
    #[inline]
    #[must_use]
    pub const fn and(self, other: Tnum) -> Tnum {
        let ones = self.value & other.value;
        Tnum {
            value: ones,
            mask: self.max() & other.max() & !ones,
        }
    }

    /// dst | src
    #[inline]
    #[must_use]
    pub const fn or(self, other: Tnum) -> Tnum {
        let ones = self.value | other.value;
        Tnum {
            value: ones,
            mask: (self.mask | other.mask) & !ones,
        }
    }

    /// dst ^ src
    #[inline]
    #[must_use]
    pub const fn xor(self, other: Tnum) -> Tnum {
        Tnum::new(self.value ^ other.value, self.mask | other.mask)
    }

    /// dst * src: long multiplication by the bits of dst; at an uncertain one, both sums are possible.
    #[must_use]
    pub const fn mul(self, other: Tnum) -> Tnum {
        let (mut left, mut right) = (self, other);
        let mut sum = Tnum::constant(0);
        while left.max() != 0 {
            if left.value & 1 != 0 {
                sum = sum.add(right);
            } else if left.mask & 1 != 0 {
                sum = sum.union(sum.add(right));
            }
            left = left.rshift(1);
            right = right.lshift(1);
        }
        sum
    }

    /// dst << shift; nothing is left from 64 on.
    #[inline]
    #[must_use]
    pub const fn lshift(self, shift: u8) -> Tnum {
        if shift >= 64 {
            return Tnum::constant(0);
        }
        Tnum {
            value: self.value << shift,
            mask: self.mask << shift,
        }
    }

    /// dst >> shift; nothing is left from 64 on.
    #[inline]
    #[must_use]
    pub const fn rshift(self, shift: u8) -> Tnum {
        if shift >= 64 {
            return Tnum::constant(0);
        }
        Tnum {
            value: self.value >> shift,
            mask: self.mask >> shift,
        }
    }

    /// dst s>> shift of a number of `bits` (32 or 64) bits; the result of 32 has a zero upper half.
    #[inline]
    #[must_use]
    pub const fn arshift(self, shift: u8, bits: u8) -> Tnum {
        if bits == 32 {
            let shift = if shift > 31 { 31 } else { shift };
            return Tnum {
                value: ((self.value as i32) >> shift) as u32 as u64,
                mask: ((self.mask as i32) >> shift) as u32 as u64,
            };
        }
        let shift = if shift > 63 { 63 } else { shift };
        Tnum {
            value: ((self.value as i64) >> shift) as u64,
            mask: ((self.mask as i64) >> shift) as u64,
        }
    }

    /// What is in both. Where nothing is, the result means nothing.
    #[inline]
    #[must_use]
    pub const fn intersect(self, other: Tnum) -> Tnum {
        Tnum::new(self.value | other.value, self.mask & other.mask)
    }

    /// What is in either, and what else cannot be told from it.
    #[inline]
    #[must_use]
    pub const fn union(self, other: Tnum) -> Tnum {
        Tnum::new(
            self.value & other.value,
            (self.value ^ other.value) | self.mask | other.mask,
        )
    }

    /// The lowest `bytes` bytes, zero-extended.
    #[inline]
    #[must_use]
    pub const fn cast(self, bytes: u8) -> Tnum {
        if bytes >= 8 {
            return self;
        }
        let keep = (1u64 << (8 * bytes as u32)) - 1;
        Tnum {
            value: self.value & keep,
            mask: self.mask & keep,
        }
    }

    /// The lowest `bytes` bytes (2, 4 or 8) in reverse order, zero-extended.
    #[inline]
    #[must_use]
    pub const fn swap_bytes(self, bytes: u8) -> Tnum {
        // All eight reversed, the lowest ones are at the top.
        let whole = Tnum {
            value: self.value.swap_bytes(),
            mask: self.mask.swap_bytes(),
        };
        whole.rshift(64 - 8 * if bytes > 8 { 8 } else { bytes })
    }

    /// The low 32 bits, zero-extended.
    #[inline]
    #[must_use]
    pub const fn subreg(self) -> Tnum {
        self.cast(4)
    }

    /// With the low 32 bits zero.
    #[inline]
    #[must_use]
    pub const fn clear_subreg(self) -> Tnum {
        Tnum {
            value: self.value & !LOW,
            mask: self.mask & !LOW,
        }
    }

    /// With the low 32 bits of `low`.
    #[inline]
    #[must_use]
    pub const fn with_subreg(self, low: Tnum) -> Tnum {
        self.clear_subreg().or(low.subreg())
    }

    /// With low 32 bits that are known.
    #[inline]
    #[must_use]
    pub const fn const_subreg(self, value: u32) -> Tnum {
        self.with_subreg(Tnum::constant(value as u64))
    }

    /// Holds one number.
    #[inline]
    #[must_use]
    pub const fn is_const(self) -> bool {
        self.mask == 0
    }

    /// Holds one number in the low 32 bits.
    #[inline]
    #[must_use]
    pub const fn is_subreg_const(self) -> bool {
        self.mask & LOW == 0
    }

    /// Says nothing.
    #[inline]
    #[must_use]
    pub const fn is_unknown(self) -> bool {
        self.mask == u64::MAX
    }

    /// All members are multiples of `size`, a power of two; or `size` is 0.
    #[inline]
    #[must_use]
    pub const fn is_aligned(self, size: u64) -> bool {
        size == 0 || self.max() & (size - 1) == 0
    }

    /// All members of `inner` are members.
    #[inline]
    #[must_use]
    pub const fn contains(self, inner: Tnum) -> bool {
        inner.mask & !self.mask == 0 && self.has(inner.value)
    }

    /// `number` is a member.
    #[inline]
    #[must_use]
    pub const fn has(self, number: u64) -> bool {
        (number ^ self.value) & !self.mask == 0
    }

    /// The least member that is not below `bound`.
    #[inline]
    #[must_use]
    pub const fn least_from(self, bound: u64) -> Option<u64> {
        if bound <= self.value {
            return Some(self.value);
        }
        if bound > self.max() {
            return None;
        }
        let base = bound & self.mask | self.value;
        let wrong = (bound ^ self.value) & !self.mask;
        if wrong == 0 {
            return Some(base);
        }
        // Above the highest known bit that differs, the bound's own bits will do; below it, the least ones.
        let at = 1u64 << (63 - wrong.leading_zeros());
        let above = !(at | (at - 1));
        if self.value & at != 0 {
            return Some(base & above | self.value);
        }
        // The bound has the bit and no member has: the next higher choice of unknown bits above it.
        let unknown = self.mask & above;
        let next = ((bound | !unknown) & above).wrapping_add(at << 1) & unknown;
        Some(next | self.value)
    }

    /// Some number is in both.
    #[inline]
    #[must_use]
    pub const fn overlap(self, other: Tnum) -> bool {
        (self.value ^ other.value) & !(self.mask | other.mask) == 0
    }
}

impl fmt::Display for Tnum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_const() {
            // As the kernel's log prints numbers.
            return super::scalar::text::write_unsigned(f, self.value);
        }
        write!(f, "({:#x}; {:#x})", self.value, self.mask)
    }
}
