//! Arithmetic on the bounds of one width.
//!
//! Invariant: the result contains the wrapped outcome for every pair of members.

#[cfg(test)]
use crate::state::scalar::range::Range8;
use crate::state::scalar::range::{Range32, Range64};

macro_rules! arithmetic {
    ($name:ident, $unsigned:ty, $signed:ty) => {
        // Not every width uses every rule.
        #[allow(dead_code)]
        impl $name {
            /// Unsigned bounds stay bounds where no sum wraps or all do; signed ones where none does.
            #[inline]
            pub(crate) fn add(self, other: Self) -> Self {
                let mut range = Self::FULL;
                let (min, min_wraps) = self.umin.overflowing_add(other.umin);
                let (max, max_wraps) = self.umax.overflowing_add(other.umax);
                if min_wraps == max_wraps {
                    (range.umin, range.umax) = (min, max);
                }
                if let (Some(min), Some(max)) = (
                    self.smin.checked_add(other.smin),
                    self.smax.checked_add(other.smax),
                ) {
                    (range.smin, range.smax) = (min, max);
                }
                range
            }

            /// As for sums.
            #[inline]
            pub(crate) fn sub(self, other: Self) -> Self {
                let mut range = Self::FULL;
                let (min, min_wraps) = self.umin.overflowing_sub(other.umax);
                let (max, max_wraps) = self.umax.overflowing_sub(other.umin);
                if min_wraps == max_wraps {
                    (range.umin, range.umax) = (min, max);
                }
                if let (Some(min), Some(max)) = (
                    self.smin.checked_sub(other.smax),
                    self.smax.checked_sub(other.smin),
                ) {
                    (range.smin, range.smax) = (min, max);
                }
                range
            }

            /// Bounded where no product of corners wraps.
            #[inline]
            pub(crate) fn mul(self, other: Self) -> Self {
                let mut range = Self::FULL;
                if let Some(max) = self.umax.checked_mul(other.umax) {
                    (range.umin, range.umax) = (self.umin.wrapping_mul(other.umin), max);
                }
                if let (Some(a), Some(b), Some(c), Some(d)) = (
                    self.smin.checked_mul(other.smin),
                    self.smin.checked_mul(other.smax),
                    self.smax.checked_mul(other.smin),
                    self.smax.checked_mul(other.smax),
                ) {
                    (range.smin, range.smax) = (a.min(b).min(c.min(d)), a.max(b).max(c.max(d)));
                }
                range
            }

            /// At least the bits that are known to be set, at most the smaller operand.
            #[inline]
            pub(crate) fn and(self, other: Self, known: $unsigned) -> Self {
                Self::unsigned(known, self.umax.min(other.umax))
            }

            /// At least the larger operand, at most the bits that may be set.
            #[inline]
            pub(crate) fn or(self, other: Self, possible: $unsigned) -> Self {
                Self::unsigned(self.umin.max(other.umin), possible)
            }

            /// Shifts left; unbounded where a set bit may be lost.
            #[inline]
            pub(crate) fn shl(self, shift: u8) -> Self {
                let shift = u32::from(shift);
                if shift >= <$unsigned>::BITS || self.umax > 1 << (<$unsigned>::BITS - 1 - shift) {
                    return Self::FULL;
                }
                Self {
                    umin: self.umin << shift,
                    umax: self.umax << shift,
                    ..Self::FULL
                }
            }

            /// Shifts right, filling with zeros, by less than the width.
            #[inline]
            pub(crate) fn shr(self, shift: u8) -> Self {
                Self {
                    umin: self.umin >> shift,
                    umax: self.umax >> shift,
                    ..Self::FULL
                }
            }

            /// Shifts right, filling with the sign, by less than the width.
            #[inline]
            pub(crate) fn sar(self, shift: u8) -> Self {
                Self {
                    smin: self.smin >> shift,
                    smax: self.smax >> shift,
                    ..Self::FULL
                }
            }
        }
    };
}

arithmetic!(Range64, u64, i64);
arithmetic!(Range32, u32, i32);
#[cfg(test)]
arithmetic!(Range8, u8, i8);
