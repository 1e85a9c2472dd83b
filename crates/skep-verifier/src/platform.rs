//! The facts about one kernel as the verifier asks for them: which helpers, context fields and exit codes a program
//! may use where it is going to be attached.
//!
//! Invariants: every answer comes from the tables of `skep-spec` and the [`Profile`]; nothing here holds state of a
//! walk. A refusal carries the kernel's wording of that profile.

use skep_btf::{Btf, Ty, TypeId};
use skep_spec::helper::{Helper, Site};
use skep_spec::kfunc::kernel::Caller;
use skep_spec::profile::Profile;
use skep_spec::program::{AttachType, ProgramType};

use crate::fault::Rule;
use crate::host::Host;
use crate::input::{AttachTarget, BtfIdx, Caps, Input};

mod allow;
mod context;
mod exit;

pub use allow::{HelperSet, helper_allowed, host_helper};
pub use context::{CtxValue, ctx_access, host_ctx_access};
pub use exit::{ExitRange, exit_range};

/// Where a program will run and what it may do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The kind of program; for an extension that of the program that it extends.
    pub program: ProgramType,
    /// The expected place of attachment.
    pub attach: Option<AttachType>,
    /// The kernel function, tracepoint or hook that it is attached to, without prefix: `file_open`.
    pub target: Option<&'a str>,
    /// For a struct_ops program the structure; `target` is the member.
    pub ops: Option<&'a str>,
    /// Whether it may sleep.
    pub sleepable: bool,
    /// Whether its licence is compatible with the GPL.
    pub gpl: bool,
    /// The privileges of who loads it.
    pub caps: Caps,
}

impl Place<'_> {
    /// Whether who has these privileges may load programs of this kind at all; bpf(2) fails with EPERM and without a
    /// log where not. Observed on Linux 6.18.44 with the setting that lets unprivileged users load programs.
    pub fn may_load(&self) -> bool {
        use ProgramType as P;
        let caps = self.caps;
        if caps.sys_admin {
            return true;
        }
        match self.program {
            P::SocketFilter | P::CgroupSkb => true,
            P::LircMode2 | P::SkReuseport | P::SkLookup | P::Syscall => caps.bpf,
            P::Kprobe
            | P::Tracepoint
            | P::PerfEvent
            | P::RawTracepoint
            | P::RawTracepointWritable
            | P::Tracing
            | P::Lsm
            | P::StructOps
            | P::Ext => caps.bpf && caps.perfmon,
            _ => caps.bpf && caps.net_admin,
        }
    }

    /// The same as the tables of helpers ask for it.
    fn site(&self, profile: &Profile) -> Site<'_> {
        Site {
            version: profile.version,
            program: self.program,
            attach: self.attach,
            target: self.target,
            ops: self.ops,
            sleepable: self.sleepable,
        }
    }

    /// The same as the tables of kfuncs ask for it.
    pub(crate) fn caller(&self, platform: &Platform<'_>) -> Caller<'_> {
        Caller {
            version: platform.profile.version,
            program: self.program,
            attach: self.attach,
            ops: self.ops,
            member: self.target,
        }
    }

    /// A privileged GPL program of that kind.
    pub const fn of(program: ProgramType, attach: Option<AttachType>) -> Place<'static> {
        Place {
            program,
            attach,
            target: None,
            ops: None,
            sleepable: false,
            gpl: true,
            caps: Caps::ALL,
        }
    }
}

impl<'i> Place<'i> {
    /// Where that program goes. An extension goes where the program goes that it extends.
    pub fn of_input(input: &'i Input) -> Place<'i> {
        let (mut program, mut attach) = (input.program_type, input.attach_type);
        let mut sleepable = input.flags & skep_spec::program::flags::SLEEPABLE != 0;
        let (mut target, mut ops) = (None, None);
        match &input.target {
            Some(AttachTarget::Program(extended)) if program == ProgramType::Ext => {
                (program, attach) = (extended.program_type, extended.attach_type);
                sleepable |= extended.sleepable;
            }
            Some(AttachTarget::Btf { btf, id }) => {
                target = input.btf(*btf).map(|btf| {
                    let name = btf.name(*id);
                    name.strip_prefix("btf_trace_")
                        .or_else(|| name.strip_prefix("bpf_lsm_"))
                        .or_else(|| name.strip_prefix("bpf_iter_"))
                        .unwrap_or(name)
                });
            }
            Some(AttachTarget::StructOps { id, member }) => {
                if let Some(btf) = input.btf(BtfIdx::KERNEL) {
                    ops = Some(btf.name(*id));
                    target = member_name(btf, *id, *member);
                }
            }
            _ => {}
        }
        Place {
            program,
            attach,
            target,
            ops,
            sleepable,
            gpl: gpl_compatible(&input.license),
            caps: input.caps,
        }
    }
}

/// The name of a member of a structure of functions.
fn member_name(btf: &Btf, id: TypeId, member: u32) -> Option<&str> {
    match btf.ty(id) {
        Ok(Ty::Struct(composite)) => composite
            .members
            .get(member as usize)
            .map(|member| member.name),
        _ => None,
    }
}

/// Whether the kernel takes a licence for compatible with the GPL (include/linux/license.h).
fn gpl_compatible(license: &str) -> bool {
    matches!(
        license,
        "GPL"
            | "GPL v2"
            | "GPL and additional rights"
            | "Dual BSD/GPL"
            | "Dual MIT/GPL"
            | "Dual MPL/GPL"
    )
}

/// The facts for one program: worked out when first asked, then cheap to ask again.
#[derive(Clone, Debug)]
pub struct Platform<'i> {
    /// The kernel.
    pub profile: &'i Profile,
    /// Where the program goes.
    pub place: Place<'i>,
    /// Where the program runs, if not in a kernel.
    pub host: Option<&'i Host>,
    /// Helpers that were asked for and are allowed.
    allowed: std::cell::Cell<HelperSet>,
}

impl<'i> Platform<'i> {
    /// For that program.
    pub fn of(input: &'i Input) -> Platform<'i> {
        let place = Place::of_input(input);
        Platform {
            profile: &input.profile,
            place,
            host: input.host.as_deref(),
            allowed: std::cell::Cell::new(HelperSet::EMPTY),
        }
    }

    /// The helper of that number if the program may call it; else what the kernel says.
    pub fn helper(&self, id: u32) -> Rule<&'i Helper> {
        if let Some(host) = self.host {
            return host_helper(host, id);
        }
        let known = self.allowed.get();
        if let Some(helper) = skep_spec::helper::by_id(id).filter(|_| known.contains(id)) {
            return Ok(helper);
        }
        let helper = helper_allowed(self.profile, &self.place, id)?;
        self.allowed.set(known.with(id));
        Ok(helper)
    }

    /// What a load from the context gives, or that a store is allowed; see [`ctx_access`].
    pub fn ctx(&self, off: i64, size: u32, write: bool) -> Option<CtxValue> {
        match self.host {
            Some(host) => host_ctx_access(host, off, size, write),
            None => ctx_access(self.profile, &self.place, off, size, write),
        }
    }

    /// What the exit code must be.
    pub fn exit(&self) -> ExitRange {
        match self.host {
            Some(host) => host.result,
            None => exit_range(self.profile, &self.place),
        }
    }
}

#[cfg(test)]
mod tests;
