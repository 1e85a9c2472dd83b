//! In what releases differ about numbers.
//!
//! Invariant: every choice is sound; they differ in what they find out.

use skep_spec::profile::Version;

/// What a release deduces about numbers, and what not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
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
    /// Linux 6.18 as it was released, and its stable releases up to 6.18.15 at least.
    pub const V6_18: Rules = Rules {
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
    };

    /// The rules of a release.
    #[inline]
    #[must_use]
    pub const fn of(version: Version) -> Rules {
        if version.major >= 7 {
            Rules::V7_0
        } else {
            Rules::V6_18
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Rules::V6_18
    }
}
