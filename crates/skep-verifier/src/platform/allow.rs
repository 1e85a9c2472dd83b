//! Which helpers a program may call where it is attached, and how the kernel says no.

use skep_spec::helper::{self, Helper, Permission, Right};
use skep_spec::profile::Profile;

use super::Place;
use crate::fault::{Fault, Rule};
use crate::host::Host;

const EINVAL: i32 = 22;

/// A set of helpers by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelperSet([u64; 4]);

impl HelperSet {
    /// None.
    pub const EMPTY: HelperSet = HelperSet([0; 4]);

    /// With that one too.
    #[must_use]
    pub fn with(mut self, id: u32) -> HelperSet {
        if let Some(word) = self.0.get_mut(id as usize / 64) {
            *word |= 1 << (id % 64);
        }
        self
    }

    /// These.
    #[must_use]
    pub fn of(ids: &[u32]) -> HelperSet {
        ids.iter().fold(HelperSet::EMPTY, |set, id| set.with(*id))
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
    refusal(profile, place, id).map_err(|why| why.fault(profile, id))
}

/// The helper of that number if the host has it; else the words in which a kernel says no.
pub fn host_helper(host: &Host, id: u32) -> Rule<&Helper> {
    if let Some(own) = host.helper(id) {
        return Ok(own);
    }
    let refusal = match helper::by_id(id) {
        Some(helper) if host.linux_helpers.contains(id) => return Ok(helper),
        Some(_) => Refusal::NotHere,
        None => Refusal::Unknown,
    };
    Err(refusal.fault(&Profile::V6_18, id))
}

/// Why a helper may not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Unknown,
    NotHere,
    NotForTarget,
    GplOnly,
    MightSleep,
}

fn refusal(profile: &Profile, place: &Place<'_>, id: u32) -> Result<&'static Helper, Refusal> {
    let helper = helper::by_id(id)
        .filter(|_| profile.helper_exists(id))
        .ok_or(Refusal::Unknown)?;
    let caps = place.caps;
    let perfmon = caps.perfmon || caps.sys_admin;
    let may = match helper.right(place.program) {
        Right::None => true,
        Right::Perfmon => perfmon,
        Right::Bpf => caps.bpf || caps.sys_admin,
    };
    let permission = helper.permission(&place.site(profile));
    if !may || permission == Permission::No {
        return Err(Refusal::NotHere);
    }
    if helper.gpl_only_at(place.program, place.attach) && !place.gpl {
        return Err(Refusal::GplOnly);
    }
    if permission == Permission::NotForTarget {
        return Err(Refusal::NotForTarget);
    }
    if helper.might_sleep() && !place.sleepable {
        return Err(Refusal::MightSleep);
    }
    Ok(helper)
}

impl Refusal {
    #[cold]
    fn fault(self, profile: &Profile, id: u32) -> Box<Fault> {
        let what = match helper::by_id(id) {
            Some(helper) if self != Refusal::Unknown => format!("{}#{id}", helper.name),
            _ => format!("unknown#{}", id as i32),
        };
        let (code, line) = match self {
            Refusal::Unknown => ("verifier-unknown-helper", format!("invalid func {what}")),
            Refusal::NotHere if profile.at_least(6, 11) => (
                "verifier-helper-not-here",
                format!("program of this type cannot use helper {what}"),
            ),
            Refusal::NotHere => ("verifier-helper-not-here", format!("unknown func {what}")),
            Refusal::NotForTarget => (
                "verifier-helper-not-for-target",
                "helper call is not allowed in probe".into(),
            ),
            Refusal::GplOnly => (
                "verifier-gpl-only",
                "cannot call GPL-restricted function from non-GPL compatible program".into(),
            ),
            Refusal::MightSleep => (
                "verifier-helper-might-sleep",
                "helper call might sleep in a non-sleepable prog".into(),
            ),
        };
        Fault::new(EINVAL, code, line)
    }
}
