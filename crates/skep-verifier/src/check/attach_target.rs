//! Whether a program may be attached to what it names: functions that may be traced, changed, or put to sleep.
//!
//! Invariant: only what types and names tell is judged; whether the function has an address is the kernel's to say.

use skep_btf::ty::Linkage;
use skep_btf::{Kind as BtfKind, Ty, TypeId};
use skep_spec::lsm;
use skep_spec::program::{AttachType as A, ProgramType as P, flags};

use crate::check::call::EINVAL;
use crate::fault::{Fault, Rule};
use crate::input::{AttachTarget, BtfIdx, TargetProgram};
use crate::verifier::Verifier;

const ENOTSUPP: i32 = 524;
const TRACEPOINT: &str = "btf_trace_";
const HOOK: &str = "bpf_lsm_";

/// Functions that tracing must not run in: the tracing itself uses them.
const DENIED: [&str; 8] = [
    "migrate_disable",
    "migrate_enable",
    "rcu_read_unlock_strict",
    "preempt_count_add",
    "preempt_count_sub",
    "__rcu_read_lock",
    "__rcu_read_unlock",
    "__bpf_prog_enter",
];

/// Functions that do not return, so that nothing can run at their end.
const NO_RETURN: [&str; 11] = [
    "__ia32_sys_exit",
    "__ia32_sys_exit_group",
    "__kunit_abort",
    "__module_put_and_kthread_exit",
    "__x64_sys_exit",
    "__x64_sys_exit_group",
    "do_exit",
    "do_group_exit",
    "kthread_complete_and_exit",
    "kthread_exit",
    "make_task_dead",
];

/// Functions made to have their result changed, and whether they may sleep.
const MODIFIABLE: [(&str, bool); 7] = [
    ("__hid_bpf_tail_call", false),
    ("bpf_fentry_test1", true),
    ("bpf_modify_return_test", false),
    ("bpf_modify_return_test2", false),
    ("bpf_modify_return_test_tp", false),
    ("bpf_rstat_flush", true),
    ("update_socket_protocol", false),
];

#[cold]
fn refuse(errno: i32, line: impl Into<String>) -> Rule {
    Err(Fault::new(errno, "verifier-attach-target", line))
}

impl Verifier<'_> {
    /// The program's kind against sleeping, and what it names against its kind.
    pub fn check_attach_target(&self) -> Rule {
        let input = self.input;
        let sleepable = input.flags & flags::SLEEPABLE != 0;
        if input.program_type == P::Syscall {
            if sleepable {
                return Ok(());
            }
            return refuse(EINVAL, "Syscall programs can only be sleepable");
        }
        if sleepable && !can_sleep(input.program_type, input.attach_type) {
            return refuse(
                EINVAL,
                "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable",
            );
        }
        match (input.program_type, &input.target) {
            (P::StructOps, Some(AttachTarget::StructOps { id, member })) => {
                self.check_struct_ops_member(*id, *member, sleepable)
            }
            (P::Tracing | P::Lsm | P::Ext, Some(AttachTarget::Program(target))) => {
                self.check_target_program(target)
            }
            (P::Tracing | P::Lsm | P::Ext, Some(AttachTarget::Btf { btf, id })) => {
                self.check_target_type(*btf, *id, sleepable)
            }
            (P::Tracing | P::Lsm | P::Ext, None) => {
                refuse(EINVAL, "Tracing programs must provide btf_id")
            }
            _ => Ok(()),
        }
    }

    /// A function, hook or tracepoint of the kernel.
    fn check_target_type(&self, index: BtfIdx, id: TypeId, sleepable: bool) -> Rule {
        let Some(btf) = self.input.btf(index) else {
            return Ok(());
        };
        let number = id.0;
        let Ok(ty) = btf.ty(id) else {
            return refuse(EINVAL, format!("attach_btf_id {number} is invalid"));
        };
        let name = btf.name(id);
        if name.is_empty() {
            return refuse(
                EINVAL,
                format!("attach_btf_id {number} doesn't have a name"),
            );
        }
        if self.input.program_type == P::Ext {
            return refuse(EINVAL, "Cannot replace kernel functions");
        }
        if self.input.attach_type == Some(A::TraceRawTp) {
            if !matches!(ty, Ty::Typedef { .. }) {
                return refuse(EINVAL, format!("attach_btf_id {number} is not a typedef"));
            }
            if !name.starts_with(TRACEPOINT) {
                return refuse(
                    EINVAL,
                    format!("attach_btf_id {number} points to wrong type name {name}"),
                );
            }
            return Ok(());
        }
        if !matches!(ty, Ty::Func { .. }) {
            return refuse(EINVAL, format!("attach_btf_id {number} is not a function"));
        }
        if self.input.attach_type == Some(A::TraceIter) {
            return Ok(());
        }
        self.check_traced(name, sleepable)?;
        if self.input.program_type == P::Lsm {
            return self.check_hook(number, name);
        }
        if DENIED.contains(&name) {
            return refuse(
                EINVAL,
                format!("Attaching tracing programs to function '{name}' is rejected."),
            );
        }
        if matches!(
            self.input.attach_type,
            Some(A::TraceFexit | A::ModifyReturn)
        ) && NO_RETURN.contains(&name)
        {
            return refuse(
                EINVAL,
                format!("Attaching fexit/fmod_ret to __noreturn function '{name}' is rejected."),
            );
        }
        Ok(())
    }

    /// Whether a program may sleep in that function, or change what it returns.
    fn check_traced(&self, name: &str, sleepable: bool) -> Rule {
        let modifiable = MODIFIABLE.iter().find(|(known, _)| *known == name);
        if sleepable {
            let may = match self.input.program_type {
                P::Lsm => lsm::hook(name.strip_prefix(HOOK).unwrap_or(name))
                    .is_some_and(|hook| hook.sleepable(self.platform.profile.version)),
                _ => modifiable.is_some_and(|(_, sleeps)| *sleeps) || self.fails_on_demand(name),
            };
            if !may {
                return refuse(EINVAL, format!("{name} is not sleepable"));
            }
        } else if self.input.attach_type == Some(A::ModifyReturn)
            && modifiable.is_none()
            && !name.starts_with("security_")
            && !self.fails_on_demand(name)
        {
            return refuse(EINVAL, format!("{name}() is not modifiable"));
        }
        Ok(())
    }

    /// Whether the kernel lets errors be injected into that function: system calls, in kernels that are built for it.
    fn fails_on_demand(&self, name: &str) -> bool {
        // Since 7.0 system calls are open to this in any build.
        let built = self.input.profile.at_least(7, 0)
            || self.input.btf(BtfIdx::KERNEL).is_some_and(|btf| {
                btf.find(BtfKind::Func, "within_error_injection_list")
                    .is_some()
            });
        built
            && ["__x64_sys_", "__ia32_sys_", "__arm64_sys_", "__se_sys_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
    }

    /// A hook of the security modules.
    fn check_hook(&self, number: u32, name: &str) -> Rule {
        if !self.platform.place.gpl {
            return refuse(EINVAL, "LSM programs must have a GPL compatible license");
        }
        match name.strip_prefix(HOOK) {
            Some(hook) if lsm::NOT_HOOKS.contains(&hook) => refuse(
                EINVAL,
                format!("attach_btf_id {number} points to wrong type name {name}"),
            ),
            Some(hook) if self.is_shut(hook) => refuse(
                EINVAL,
                format!("attach_btf_id {number} points to disabled hook {name}"),
            ),
            Some(_) => Ok(()),
            None => refuse(
                EINVAL,
                format!("attach_btf_id {number} points to wrong type name {name}"),
            ),
        }
    }

    fn is_shut(&self, hook: &str) -> bool {
        lsm::hook(hook).is_some_and(|hook| hook.disabled(self.platform.profile.version))
    }

    /// A function of another program: to be replaced, or looked at.
    fn check_target_program(&self, target: &TargetProgram) -> Rule {
        let extends = self.input.program_type == P::Ext;
        let Ok(Ty::Func { linkage, .. }) = target.btf.ty(target.function) else {
            return refuse(
                EINVAL,
                format!("attach_btf_id {} is not a function", target.function.0),
            );
        };
        if !extends {
            if matches!(self.input.attach_type, Some(A::TraceRawTp | A::TraceIter)) {
                return refuse(
                    EINVAL,
                    "Only FENTRY/FEXIT progs are attachable to another BPF prog",
                );
            }
            if target.program_type == P::Tracing {
                return refuse(EINVAL, "Cannot nest tracing prog attach more than once");
            }
            if self.input.attach_type == Some(A::ModifyReturn) {
                return refuse(EINVAL, "can't modify return codes of BPF programs");
            }
            return Ok(());
        }
        if linkage == Linkage::Static {
            return refuse(EINVAL, "Cannot replace static functions");
        }
        let main = self.subprogs.first();
        if main.is_some_and(|main| main.changes_pkt_data) && !target.changes_pkt_data {
            return refuse(
                EINVAL,
                "Extension program changes packet data, while original does not",
            );
        }
        if main.is_some_and(|main| main.might_sleep) && !target.might_sleep {
            return refuse(
                EINVAL,
                "Extension program may sleep, while original does not",
            );
        }
        if target.program_type == P::Ext {
            return refuse(EINVAL, "Cannot recursively attach");
        }
        if target.program_type == P::Tracing
            && matches!(target.attach_type, Some(A::TraceFentry | A::TraceFexit))
        {
            return refuse(EINVAL, "Cannot extend fentry/fexit");
        }
        self.check_replaced_type(target)
    }

    /// A replacement takes and returns what the function that it replaces does.
    fn check_replaced_type(&self, target: &TargetProgram) -> Rule {
        let (Some(ours), Some(id)) = (&self.input.program_btf, self.function_type(0)) else {
            return refuse(EINVAL, "");
        };
        let proto_of = |btf: &skep_btf::Btf, id| match btf.ty(id) {
            Ok(Ty::Func { proto, .. }) => Some(proto),
            _ => None,
        };
        let (Some(mine), Some(theirs)) =
            (proto_of(ours, id), proto_of(&target.btf, target.function))
        else {
            return refuse(EINVAL, "");
        };
        let name = ours.name(id);
        let other = target.btf.name(target.function);
        let (
            Ok(Ty::FuncProto { ret, params }),
            Ok(Ty::FuncProto {
                ret: their_ret,
                params: their_params,
            }),
        ) = (ours.ty(mine), target.btf.ty(theirs))
        else {
            return refuse(EINVAL, "");
        };
        if params.len() != their_params.len() {
            return refuse(
                EINVAL,
                format!(
                    "{name}() has {} args while {other}() has {} args",
                    params.len(),
                    their_params.len()
                ),
            );
        }
        let kind = |btf: &skep_btf::Btf, id| btf.resolved(id).ok().map(|(_, ty)| ty.kind());
        let (one, two) = (kind(ours, ret), kind(&target.btf, their_ret));
        if one != two {
            return refuse(
                EINVAL,
                format!(
                    "Return type {} of {name}() doesn't match type {} of {other}()",
                    one.map_or("", |kind| kind.name()),
                    two.map_or("", |kind| kind.name()),
                ),
            );
        }
        for (at, (one, two)) in params.iter().zip(their_params.iter()).enumerate() {
            let (a, b) = (kind(ours, one.ty), kind(&target.btf, two.ty));
            if a != b {
                return refuse(
                    EINVAL,
                    format!(
                        "arg{at} in {name}() is {} while {other}() has {}",
                        a.map_or("", |kind| kind.name()),
                        b.map_or("", |kind| kind.name()),
                    ),
                );
            }
        }
        Ok(())
    }

    /// A member of a struct of operations.
    fn check_struct_ops_member(&self, id: TypeId, member: u32, sleepable: bool) -> Rule {
        if !self.platform.place.gpl {
            return refuse(
                EINVAL,
                "struct ops programs must have a GPL compatible license",
            );
        }
        let Some(btf) = self.input.btf(BtfIdx::KERNEL) else {
            return Ok(());
        };
        let Some(ops) = btf.ty(id).ok().and_then(|ty| ty.composite()) else {
            return refuse(
                ENOTSUPP,
                format!("attach_btf_id {} is not a supported struct", id.0),
            );
        };
        let Some(found) = ops.members.get(member as usize) else {
            return refuse(
                EINVAL,
                format!(
                    "attach to invalid member idx {member} of struct {}",
                    ops.name
                ),
            );
        };
        if self.attach_prototype().is_none() {
            return refuse(
                EINVAL,
                format!(
                    "attach to invalid member {}(@idx {member}) of struct {}",
                    found.name, ops.name
                ),
            );
        }
        let unsupported = match ops.name {
            "tcp_congestion_ops" => found.name == "get_info",
            "bpf_dummy_ops" => sleepable && found.name != "test_sleepable",
            _ => false,
        };
        if unsupported {
            let errno = if ops.name == "bpf_dummy_ops" {
                EINVAL
            } else {
                ENOTSUPP
            };
            return refuse(
                errno,
                format!(
                    "attach to unsupported member {} of struct {}",
                    found.name, ops.name
                ),
            );
        }
        Ok(())
    }
}

/// Which kinds of program may sleep at all.
const fn can_sleep(program: P, attach: Option<A>) -> bool {
    match program {
        P::Tracing => matches!(
            attach,
            Some(
                A::TraceFentry | A::TraceFexit | A::ModifyReturn | A::TraceIter | A::TraceFsession
            )
        ),
        P::Lsm | P::Kprobe | P::StructOps => true,
        _ => false,
    }
}
