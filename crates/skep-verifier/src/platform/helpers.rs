//! Which helpers a program may call where it is attached, and how the kernel says no.

use skep_spec::helper::{self, Helper};
use skep_spec::profile::Profile;

use super::Place;
use crate::fault::{Fault, Rule};

const EINVAL: i32 = 22;

/// The helpers that a program may call, worked out once: a call then costs a bit test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelperSet([u64; 4]);

impl HelperSet {
    /// Those that [`helper_allowed`] allows there.
    pub fn of(profile: &Profile, place: &Place<'_>) -> HelperSet {
        let mut set = [0; 4];
        for helper in helper::all() {
            if helper_allowed(profile, place, helper.id).is_ok()
                && let Some(word) = set.get_mut(helper.id as usize / 64)
            {
                *word |= 1 << (helper.id % 64);
            }
        }
        HelperSet(set)
    }

    /// Whether the helper of that number is one of them.
    pub fn contains(&self, id: u32) -> bool {
        self.0
            .get(id as usize / 64)
            .is_some_and(|word| word & (1 << (id % 64)) != 0)
    }
}

/// The helper of that number if it may be called there; else what the kernel says.
pub fn helper_allowed(profile: &Profile, place: &Place<'_>, id: u32) -> Rule<&'static Helper> {
    let Some(helper) = helper::by_id(id).filter(|_| profile.helper_exists(id)) else {
        return Err(unknown(id));
    };
    if !helper.programs.contains(place.program) {
        return Err(not_here(profile, helper));
    }
    if helper.gpl_only() && !place.gpl {
        return Err(Fault::new(
            EINVAL,
            "verifier-gpl-only",
            "cannot call GPL-restricted function from non-GPL compatible program",
        ));
    }
    if helper.might_sleep() && !place.sleepable {
        return Err(Fault::new(
            EINVAL,
            "verifier-helper-might-sleep",
            "helper call might sleep in a non-sleepable prog",
        ));
    }
    Ok(helper)
}

#[cold]
fn unknown(id: u32) -> Box<Fault> {
    Fault::new(
        EINVAL,
        "verifier-unknown-helper",
        format!("invalid func unknown#{}", id as i32),
    )
}

#[cold]
fn not_here(profile: &Profile, helper: &Helper) -> Box<Fault> {
    let what = format!("{}#{}", helper.name, helper.id);
    let line = if profile.at_least(6, 11) {
        format!("program of this type cannot use helper {what}")
    } else {
        format!("unknown func {what}")
    };
    Fault::new(EINVAL, "verifier-helper-not-here", line)
}
