//! What each part of a scalar tells about the others.
//!
//! Invariants: deduction drops no member; on a scalar without members it ends all the same, and leaves the parts in
//! contradiction for [`Scalar::violation`] to find. The order and the number of rounds are those of Linux 6.18: with
//! more rounds some bounds would be tighter than the ones that it prints and prunes by.

use super::range::{Range32, Range64};
use super::rules::Rules;
use super::{Scalar, Tnum};

/// How often bounds deduce from each other.
const ROUNDS: u32 = 3;

impl Scalar {
    #[inline]
    pub(crate) const fn range64(&self) -> Range64 {
        Range64 {
            umin: self.umin,
            umax: self.umax,
            smin: self.smin,
            smax: self.smax,
        }
    }

    #[inline]
    pub(crate) const fn range32(&self) -> Range32 {
        Range32 {
            umin: self.u32_min,
            umax: self.u32_max,
            smin: self.s32_min,
            smax: self.s32_max,
        }
    }

    #[inline]
    pub(crate) const fn from_parts(bits: Tnum, wide: Range64, low: Range32) -> Scalar {
        Scalar {
            bits,
            smin: wide.smin,
            smax: wide.smax,
            umin: wide.umin,
            umax: wide.umax,
            s32_min: low.smin,
            s32_max: low.smax,
            u32_min: low.umin,
            u32_max: low.umax,
        }
    }

    /// Lets the bits tell the bounds what they know.
    #[inline]
    pub(crate) fn bounds_from_bits(&mut self, rules: Rules) {
        let mut parts = self.parts(rules);
        parts.bounds_from_bits();
        *self = Scalar::from_parts(parts.bits, parts.wide, parts.low);
    }

    /// Lets every part tell the others what it knows, by the rules of Linux 6.18.
    #[inline]
    pub fn sync(&mut self) {
        self.sync_by(Rules::V6_18);
    }

    /// Lets every part tell the others what it knows.
    #[inline]
    pub fn sync_by(&mut self, rules: Rules) {
        if self.is_settled_const() || self.is_unknown() {
            return;
        }
        let mut parts = self.parts(rules);
        parts.bounds_from_bits();
        for _ in 0..ROUNDS {
            let before = (parts.wide, parts.low);
            parts.low_from_wide();
            parts.low.meet_signs();
            if rules.one_sign_32 {
                parts.low.meet_one_sign();
            }
            parts.wide.meet_signs();
            if rules.one_sign_64 {
                parts.wide.meet_one_sign();
            }
            parts.wide_from_low();
            // A round that changes nothing is the last that could.
            if (parts.wide, parts.low) == before {
                break;
            }
        }
        parts.bits_from_bounds();
        parts.bounds_from_bits();
        *self = Scalar::from_parts(parts.bits, parts.wide, parts.low);
    }

    #[inline]
    const fn parts(&self, rules: Rules) -> Parts {
        Parts {
            bits: self.bits,
            wide: self.range64(),
            low: self.range32(),
            rules,
        }
    }
}

/// The parts while they talk.
struct Parts {
    bits: Tnum,
    wide: Range64,
    low: Range32,
    rules: Rules,
}

impl Parts {
    #[inline]
    fn bounds_from_bits(&mut self) {
        self.wide.meet_bits(self.bits.value, self.bits.mask);
        self.low
            .meet_bits(self.bits.value as u32, self.bits.mask as u32);
        if self.rules.single_number {
            self.single_number();
        }
    }

    /// Where the bits allow one number within the bounds, it is that one.
    #[inline]
    fn single_number(&mut self) {
        let (bits, umin, umax) = (self.bits, self.wide.umin, self.wide.umax);
        if bits.is_unknown() && umin < umax {
            return;
        }
        // The member after a number; after the largest one, that one again.
        let after = |number: u64| {
            let next = number.checked_add(1).and_then(|next| bits.least_from(next));
            next.unwrap_or(bits.max())
        };
        let next = after(umin);
        let single = if bits.has(umin) {
            (next > umax).then_some(umin)
        } else {
            (next == bits.max() || (next <= umax && after(next) > umax)).then_some(next)
        };
        if let Some(number) = single {
            self.bits = Tnum::constant(number);
            self.wide = Range64::constant(number);
            self.low = Range32::constant(number as u32);
        }
    }

    #[inline]
    fn bits_from_bounds(&mut self) {
        let wide = self
            .bits
            .intersect(Tnum::range(self.wide.umin, self.wide.umax));
        let low = wide.subreg().intersect(Tnum::range(
            u64::from(self.low.umin),
            u64::from(self.low.umax),
        ));
        self.bits = wide.with_subreg(low);
    }

    /// 64-bit bounds that share the upper half bound the lower one.
    #[inline]
    fn low_from_wide(&mut self) {
        self.low_from_span(self.wide.umin, self.wide.umax, true);
        let (smin, smax) = (self.wide.smin as u64, self.wide.smax as u64);
        self.low_from_span(smin, smax, smin as u32 <= smax as u32);
    }

    /// `ordered`: the low halves are in order, if the upper ones are the same.
    #[inline]
    fn low_from_span(&mut self, min: u64, max: u64, ordered: bool) {
        let (low_min, low_max) = (min as u32, max as u32);
        let (high_min, high_max) = ((min >> 32) as u32, (max >> 32) as u32);
        if high_min == high_max {
            if ordered {
                self.low.meet_unsigned(low_min, low_max);
            }
            if low_min as i32 <= low_max as i32 {
                self.low.meet_signed(low_min as i32, low_max as i32);
            }
        } else if high_min.wrapping_add(1) == high_max
            && (low_min as i32) < 0
            && low_max as i32 >= 0
        {
            // From the end of one block of 2^32 into the start of the next: from a negative to a positive low half.
            self.low.meet_signed(low_min as i32, low_max as i32);
        }
    }

    /// The low half cannot lie outside its bounds in the first and the last block of 2^32 that the number reaches.
    #[inline]
    fn wide_from_low(&mut self) {
        const HIGH: u64 = !(u32::MAX as u64);
        let (wide, low) = (&mut self.wide, self.low);
        let (min, max) = (u64::from(low.umin), u64::from(low.umax));
        wide.meet_unsigned(wide.umin & HIGH | min, wide.umax & HIGH | max);
        wide.meet_signed(
            (wide.smin as u64 & HIGH | min) as i64,
            (wide.smax as u64 & HIGH | max) as i64,
        );
        // A sign-extended 32-bit number whose low half is not negative.
        if low.smin >= 0 && wide.smin >= i64::from(i32::MIN) && wide.smax <= i64::from(i32::MAX) {
            *wide = Range64 {
                umin: low.smin as u64,
                umax: low.smax as u64,
                smin: i64::from(low.smin),
                smax: i64::from(low.smax),
            };
        }
    }
}
