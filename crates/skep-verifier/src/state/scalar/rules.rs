//! In what releases differ about numbers.
//!
//! Invariant: every choice is sound; they differ in what they find out.

use skep_spec::profile::Version;

/// What a release deduces about numbers, and what not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Contradictions are looked for.
    pub invariants: bool,
    /// Jumps that compare a constant with an unknown number, in this order, are decided where they can be.
    pub constant_first: bool,
    /// Jumps teach two unknown numbers about each other; without it only a constant teaches, and equality.
    pub pairs: bool,
    /// A number that differs from a constant at the end of its bounds loses that end.
    pub not_equal: bool,
    /// Numbers whose bounds do not meet are not equal.
    pub differing_bounds: bool,
    /// Numbers with differing known bits are not equal.
    pub differing_bits: bool,
    /// Signed 64-bit bounds on both sides of zero are cut to one side, where the unsigned ones reach only that.
    pub one_sign_64: bool,
    /// Bits that leave one number within the unsigned bounds make it that number.
    pub single_number: bool,
    /// Signed 32-bit bounds on both sides of zero are cut to one side, where the unsigned ones reach only that.
    pub one_sign_32: bool,
    /// A shift left by 32 keeps negative bounds of the low half, not only positive ones.
    pub negative_low_half: bool,
    /// Byte swaps and cuts follow known bits; without it they leave nothing known.
    pub byte_order: bool,
    /// An `and` or `or` of a spread sign bit with a constant is walked once for each sign.
    pub fork_signs: bool,
}

impl Rules {
    /// Linux before 6.4.
    pub const V6_1: Rules = Rules {
        constant_first: false,
        differing_bounds: false,
        ..Rules::V6_6
    };

    /// Linux before 6.8.
    pub const V6_6: Rules = Rules {
        invariants: false,
        pairs: false,
        not_equal: false,
        differing_bits: false,
        one_sign_64: false,
        ..Rules::V6_18
    };

    /// Linux 6.18 as it was released, and its stable releases up to 6.18.15 at least.
    pub const V6_18: Rules = Rules {
        invariants: true,
        constant_first: true,
        differing_bounds: true,
        pairs: true,
        not_equal: true,
        differing_bits: true,
        one_sign_64: true,
        single_number: false,
        one_sign_32: false,
        negative_low_half: false,
        byte_order: false,
        fork_signs: false,
    };

    /// Linux 7.0; also 6.18.44, to which these rules were carried back.
    pub const V7_0: Rules = Rules {
        single_number: true,
        one_sign_32: true,
        negative_low_half: true,
        byte_order: true,
        fork_signs: true,
        ..Rules::V6_18
    };

    /// The rules of a release.
    #[inline]
    #[must_use]
    pub const fn of(version: Version) -> Rules {
        match (version.major, version.minor) {
            (0..=5, _) | (6, 0..=3) => Rules::V6_1,
            (6, 4..=7) => Rules::V6_6,
            (6, _) => Rules::V6_18,
            _ => Rules::V7_0,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Rules::V6_18
    }
}
