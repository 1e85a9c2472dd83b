//! Unsigned and signed bounds of one width, and what either tells about the other.
//!
//! Invariant: no operation drops a member. A range can come out empty (a minimum above its maximum) when its parts
//! contradict each other; nothing here repairs that.

/// Defines the bounds of one width; the rules are the same for all, so that small widths prove the large ones.
macro_rules! range {
    ($(#[$doc:meta])* $name:ident, $unsigned:ty, $signed:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct $name {
            pub(crate) umin: $unsigned,
            pub(crate) umax: $unsigned,
            pub(crate) smin: $signed,
            pub(crate) smax: $signed,
        }

        // Not every width uses every rule.
        #[allow(dead_code)]
        impl $name {
            /// All numbers.
            pub(crate) const FULL: Self = Self {
                umin: 0,
                umax: <$unsigned>::MAX,
                smin: <$signed>::MIN,
                smax: <$signed>::MAX,
            };

            /// One number.
            #[inline]
            pub(crate) const fn constant(number: $unsigned) -> Self {
                Self {
                    umin: number,
                    umax: number,
                    smin: number as $signed,
                    smax: number as $signed,
                }
            }

            /// Within unsigned bounds; as signed numbers too, where they do not cross the largest signed number.
            #[inline]
            pub(crate) const fn unsigned(umin: $unsigned, umax: $unsigned) -> Self {
                if umin as $signed <= umax as $signed {
                    Self { umin, umax, smin: umin as $signed, smax: umax as $signed }
                } else {
                    Self { umin, umax, ..Self::FULL }
                }
            }

            #[inline]
            pub(crate) const fn is_constant(self) -> bool {
                self.umin == self.umax && self.smin == self.smax
            }

            /// Some minimum is above its maximum.
            #[inline]
            pub(crate) const fn is_crossed(self) -> bool {
                self.umin > self.umax || self.smin > self.smax
            }

            #[inline]
            pub(crate) const fn contains(self, number: $unsigned) -> bool {
                let signed = number as $signed;
                self.umin <= number && number <= self.umax && self.smin <= signed && signed <= self.smax
            }

            #[inline]
            pub(crate) fn meet_unsigned(&mut self, min: $unsigned, max: $unsigned) {
                self.umin = self.umin.max(min);
                self.umax = self.umax.min(max);
            }

            #[inline]
            pub(crate) fn meet_signed(&mut self, min: $signed, max: $signed) {
                self.smin = self.smin.max(min);
                self.smax = self.smax.min(max);
            }

            /// What known and unknown bits say.
            #[inline]
            pub(crate) fn meet_bits(&mut self, value: $unsigned, mask: $unsigned) {
                const SIGN: $unsigned = <$signed>::MIN as $unsigned;
                self.meet_unsigned(value, value | mask);
                self.meet_signed((value | mask & SIGN) as $signed, (value | mask & !SIGN) as $signed);
            }

            /// What unsigned bounds say of signed ones that they do not cross, and the other way round.
            #[inline]
            pub(crate) fn meet_signs(&mut self) {
                if self.umin as $signed <= self.umax as $signed {
                    self.meet_signed(self.umin as $signed, self.umax as $signed);
                }
                if self.smin as $unsigned <= self.smax as $unsigned {
                    self.meet_unsigned(self.smin as $unsigned, self.smax as $unsigned);
                }
            }

            /// Signed bounds on both sides of zero are two pieces in unsigned order; where the unsigned bounds reach
            /// only one of the pieces, it is the whole range.
            #[inline]
            pub(crate) fn meet_one_sign(&mut self) {
                let (low, high) = (self.smax as $unsigned, self.smin as $unsigned);
                if high <= low {
                    return;
                }
                if self.umax < high {
                    self.smin = self.umin as $signed;
                    self.umax = self.umax.min(low);
                } else if low < self.umin {
                    self.smax = self.umax as $signed;
                    self.umin = self.umin.max(high);
                }
            }
        }
    };
}

range!(
    /// Bounds of all 64 bits.
    Range64, u64, i64
);
range!(
    /// Bounds of the low 32 bits.
    Range32, u32, i32
);
#[cfg(test)]
range!(
    /// Small enough to try all of them.
    Range8, u8, i8
);
