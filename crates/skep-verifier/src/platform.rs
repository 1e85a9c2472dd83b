//! The facts about one kernel as the verifier asks for them: which helpers, context fields and exit codes a program
//! may use where it is going to be attached.
//!
//! Invariants: every answer comes from the tables of `skep-spec` and the [`Profile`]; nothing here holds state of a
//! walk. A refusal carries the kernel's wording of that profile.

use skep_spec::profile::Profile;
use skep_spec::program::{AttachType, ProgramType};

use crate::input::Caps;

mod context;
mod exit;
mod helpers;

pub use context::{CtxValue, ctx_access};
pub use exit::{ExitRange, exit_range};
pub use helpers::{HelperSet, helper_allowed};

/// Where a program will run and what it may do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The kind of program; for an extension that of the program that it extends.
    pub program: ProgramType,
    /// The expected place of attachment.
    pub attach: Option<AttachType>,
    /// The kernel function, tracepoint or hook that it is attached to, without prefix: `file_open`.
    pub target: Option<&'a str>,
    /// Whether it may sleep.
    pub sleepable: bool,
    /// Whether its licence is compatible with the GPL.
    pub gpl: bool,
    /// The privileges of who loads it.
    pub caps: Caps,
}

impl Place<'_> {
    /// A privileged GPL program of that kind.
    pub const fn of(program: ProgramType, attach: Option<AttachType>) -> Place<'static> {
        Place {
            program,
            attach,
            target: None,
            sleepable: false,
            gpl: true,
            caps: Caps::ALL,
        }
    }
}

/// The default profile with this kind of program, for what needs no more.
pub fn exists(profile: &Profile, place: &Place<'_>) -> bool {
    profile.program_type_exists(place.program)
        && place
            .attach
            .is_none_or(|attach| profile.attach_type_exists(attach))
}

#[cfg(test)]
mod tests;
