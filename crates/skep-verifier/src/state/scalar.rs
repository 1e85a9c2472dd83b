//! What is known about a 64-bit number: known bits, and signed and unsigned bounds of all 64 and of the low 32 bits.
//!
//! Invariant: what an operation forgets is never a member; only [`Scalar::sync`] makes the parts agree, and the
//! functions that say so call it.

use super::tnum::Tnum;

mod deduce;
pub(crate) mod range;
pub mod rules;
#[cfg(test)]
mod tests;
pub mod text;

use range::{Range32, Range64};
use rules::Rules;

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

impl Default for Scalar {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl Scalar {
    /// All numbers.
    pub const UNKNOWN: Scalar = Scalar::from_parts(Tnum::UNKNOWN, Range64::FULL, Range32::FULL);

    /// One number.
    #[inline]
    #[must_use]
    pub const fn constant(number: u64) -> Scalar {
        Scalar::from_parts(
            Tnum::constant(number),
            Range64::constant(number),
            Range32::constant(number as u32),
        )
    }

    /// All numbers from `min` to `max`.
    #[must_use]
    pub fn unsigned_range(min: u64, max: u64) -> Scalar {
        let mut scalar = Scalar::UNKNOWN;
        (scalar.umin, scalar.umax) = (min, max);
        scalar.sync();
        scalar
    }

    /// All numbers from `min` to `max`.
    #[must_use]
    pub fn signed_range(min: i64, max: i64) -> Scalar {
        let mut scalar = Scalar::UNKNOWN;
        (scalar.smin, scalar.smax) = (min, max);
        scalar.sync();
        scalar
    }

    /// The members of a tristate number.
    #[must_use]
    pub fn from_bits(bits: Tnum) -> Scalar {
        let mut scalar = Scalar {
            bits,
            ..Scalar::UNKNOWN
        };
        scalar.sync();
        scalar
    }

    /// All bits are known. The bounds may disagree where the scalar has no members.
    #[inline]
    #[must_use]
    pub const fn is_const(&self) -> bool {
        self.bits.is_const()
    }

    /// The number, if all bits are known.
    #[inline]
    #[must_use]
    pub const fn as_const(&self) -> Option<u64> {
        if self.bits.is_const() {
            Some(self.bits.value)
        } else {
            None
        }
    }

    /// The low 32 bits, if all are known.
    #[inline]
    #[must_use]
    pub const fn subreg_const(&self) -> Option<u32> {
        if self.bits.is_subreg_const() {
            Some(self.bits.value as u32)
        } else {
            None
        }
    }

    /// All bits are known, and all bounds say the same number.
    #[inline]
    pub(crate) const fn is_settled_const(&self) -> bool {
        self.bits.mask == 0
            && self.umin == self.bits.value
            && self.umax == self.bits.value
            && self.smin == self.bits.value as i64
            && self.smax == self.bits.value as i64
            && self.u32_min == self.bits.value as u32
            && self.u32_max == self.bits.value as u32
            && self.s32_min == self.bits.value as i32
            && self.s32_max == self.bits.value as i32
    }

    /// The number, if all bits are known and all bounds agree.
    #[inline]
    pub(crate) const fn settled_const(&self) -> Option<u64> {
        if self.is_settled_const() {
            Some(self.bits.value)
        } else {
            None
        }
    }

    /// The same in all parts as knowing nothing.
    #[inline]
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Scalar::UNKNOWN
    }

    /// `number` is a member.
    #[must_use]
    pub const fn contains(&self, number: u64) -> bool {
        self.bits.has(number)
            && self.range64().contains(number)
            && self.range32().contains(number as u32)
    }

    /// Every part of `other` lies within the same part: what was safe for all of `self` is safe for all of `other`.
    #[inline]
    #[must_use]
    pub const fn covers(&self, other: &Scalar) -> bool {
        self.umin <= other.umin
            && self.umax >= other.umax
            && self.smin <= other.smin
            && self.smax >= other.smax
            && self.u32_min <= other.u32_min
            && self.u32_max >= other.u32_max
            && self.s32_min <= other.s32_min
            && self.s32_max >= other.s32_max
            && self.bits.contains(other.bits)
    }

    /// Every part lies within the same part of `other`.
    #[inline]
    #[must_use]
    pub const fn is_subset_of(&self, other: &Scalar) -> bool {
        other.covers(self)
    }

    /// How the parts contradict each other, in the log's words; such a scalar has no members.
    #[must_use]
    pub const fn violation(&self) -> Option<&'static str> {
        if self.range64().is_crossed() || self.range32().is_crossed() {
            return Some("range bounds violation");
        }
        if let Some(number) = self.as_const() {
            let wide = self.range64();
            if !(wide.is_constant() && wide.contains(number)) {
                return Some("const tnum out of sync with range bounds");
            }
        }
        if let Some(number) = self.subreg_const() {
            let low = self.range32();
            if !(low.is_constant() && low.contains(number)) {
                return Some("const subreg tnum out of sync with range bounds");
            }
        }
        None
    }

    /// The parts do not contradict each other.
    #[inline]
    #[must_use]
    pub const fn consistent(&self) -> bool {
        self.violation().is_none()
    }

    /// What the log says of a contradiction found in `place`: "alu", "true_reg1", "true_reg2", "false_reg1" or
    /// "false_reg2"; `None` where there is none. Under `BPF_F_TEST_REG_INVARIANTS` the program is refused (EFAULT), else
    /// [`Scalar::forget_bounds`] follows.
    #[must_use]
    pub fn violation_line(&self, place: &str) -> Option<String> {
        let what = self.violation()?;
        Some(format!(
            "verifier bug: REG INVARIANTS VIOLATION ({place}): {what} u64=[{:#x}, {:#x}] s64=[{:#x}, {:#x}] \
             u32=[{:#x}, {:#x}] s32=[{:#x}, {:#x}] var_off=({:#x}, {:#x})",
            self.umin,
            self.umax,
            self.smin,
            self.smax,
            self.u32_min,
            self.u32_max,
            self.s32_min,
            self.s32_max,
            self.bits.value,
            self.bits.mask
        ))
    }

    /// Forgets the bounds, not the bits: what follows a contradiction.
    pub const fn forget_bounds(&mut self) {
        *self = Scalar::from_parts(self.bits, Range64::FULL, Range32::FULL);
    }

    /// With low 32 bits that are known; the bounds of all 64 stay as they are.
    #[inline]
    #[must_use]
    pub(crate) const fn with_low(&self, low: u32) -> Scalar {
        Scalar::from_parts(
            self.bits.const_subreg(low),
            self.range64(),
            Range32::constant(low),
        )
    }

    /// The low 32 bits, zero-extended: what every 32-bit operation leaves.
    #[inline]
    #[must_use]
    pub fn zext32(&self) -> Scalar {
        self.zext32_by(Rules::V6_18)
    }

    #[inline]
    pub(crate) fn zext32_by(&self, rules: Rules) -> Scalar {
        let low = self.range32();
        let mut wide = Range64 {
            umin: low.umin as u64,
            umax: low.umax as u64,
            smin: 0,
            smax: u32::MAX as i64,
        };
        if low.smin >= 0 && low.smax >= 0 {
            (wide.smin, wide.smax) = (low.smin as i64, low.smax as i64);
        }
        let mut scalar = Scalar::from_parts(self.bits.subreg(), wide, low);
        scalar.sync_by(rules);
        scalar
    }

    /// The lowest `bytes` bytes, zero-extended: what a narrow load leaves.
    #[must_use]
    pub fn truncate(&self, bytes: u8) -> Scalar {
        self.truncate_by(Rules::V6_18, bytes)
    }

    /// The same by the rules of a release.
    #[must_use]
    pub fn truncate_by(&self, rules: Rules, bytes: u8) -> Scalar {
        if bytes >= 8 {
            return *self;
        }
        let keep = (1u64 << (8 * u32::from(bytes))) - 1;
        let (umin, umax) = if self.umin & !keep == self.umax & !keep {
            (self.umin & keep, self.umax & keep)
        } else {
            (0, keep)
        };
        let low = if bytes < 4 {
            Range32::FULL
        } else {
            self.range32()
        };
        let wide = Range64 {
            umin,
            umax,
            smin: umin as i64,
            smax: umax as i64,
        };
        let mut scalar = Scalar::from_parts(self.bits.cast(bytes), wide, low);
        scalar.sync_by(rules);
        scalar
    }

    /// The lowest `bytes` bytes, sign-extended to 64 bits.
    #[must_use]
    pub fn sext(&self, bytes: u8) -> Scalar {
        let bits = 8 * u32::from(bytes);
        if bits == 0 || bits >= 64 {
            return *self;
        }
        let extend = |number: u64| ((number << (64 - bits)) as i64) >> (64 - bits);
        if let Some(number) = self.as_const() {
            return Scalar::constant(extend(number) as u64);
        }
        let (least, most) = (extend(self.smin as u64), extend(self.smax as u64));
        let (min, max) = (least.min(most), least.max(most));
        if self.smin >> bits == self.smax >> bits && (min >= 0) == (max >= 0) {
            return Scalar {
                bits: Tnum::range(min as u64, max as u64),
                smin: min,
                smax: max,
                umin: min as u64,
                umax: max as u64,
                s32_min: min as i32,
                s32_max: max as i32,
                u32_min: min as u32,
                u32_max: max as u32,
            };
        }
        let limit = 1i64 << (bits - 1);
        Scalar {
            smin: -limit,
            smax: limit - 1,
            s32_min: (-limit) as i32,
            s32_max: (limit - 1) as i32,
            ..Scalar::UNKNOWN
        }
    }

    /// The lowest `bytes` bytes (1 or 2), sign-extended to 32 bits and from there zero-extended.
    #[must_use]
    pub fn sext32(&self, bytes: u8) -> Scalar {
        self.sext32_by(Rules::V6_18, bytes)
    }

    pub(crate) fn sext32_by(&self, rules: Rules, bytes: u8) -> Scalar {
        let bits = 8 * u32::from(bytes);
        if bits == 0 || bits >= 32 {
            return self.zext32_by(rules);
        }
        let extend = |number: u32| ((number << (32 - bits)) as i32) >> (32 - bits);
        if let Some(number) = self.as_const() {
            return Scalar::constant(u64::from(extend(number as u32) as u32));
        }
        let (least, most) = (extend(self.s32_min as u32), extend(self.s32_max as u32));
        let (min, max) = (least.min(most), least.max(most));
        let (bits, low) =
            if self.s32_min >> bits == self.s32_max >> bits && (min >= 0) == (max >= 0) {
                (
                    Tnum::range(u64::from(min as u32), u64::from(max as u32)).subreg(),
                    Range32 {
                        umin: min as u32,
                        umax: max as u32,
                        smin: min,
                        smax: max,
                    },
                )
            } else {
                let limit = 1i32 << (bits - 1);
                (
                    Tnum::UNKNOWN.subreg(),
                    Range32 {
                        smin: -limit,
                        smax: limit - 1,
                        ..Range32::FULL
                    },
                )
            };
        Scalar::from_parts(bits, Range64::FULL, low).zext32_by(rules)
    }
}

/// The state that was `old` when its paths were found safe lets those of `current` be skipped, as far as numbers go.
#[inline]
#[must_use]
pub const fn within(old: &Scalar, current: &Scalar) -> bool {
    old.covers(current)
}
