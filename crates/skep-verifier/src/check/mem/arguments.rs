//! Contexts that are the arguments of a function: their types come from the function's prototype in BTF.

use skep_btf::ty::Params;
use skep_btf::{Btf, Kind as BtfKind, Ty, TypeId};
use skep_spec::hook::{self, IterArgument};
use skep_spec::lsm;
use skep_spec::program::{AttachType, ProgramType as P};

use super::btf_walk::tag;
use super::denied;
use crate::fault::{Fault, Rule};
use crate::input::{AttachTarget, BtfIdx};
use crate::record::kernel_type;
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::state::scalar::Scalar;
use crate::verifier::Verifier;

/// Hooks that return a boolean.
const BOOLEAN_HOOKS: [&str; 3] = [
    "bpf_lsm_xfrm_state_pol_flow_match",
    "bpf_lsm_audit_rule_known",
    "bpf_lsm_inode_xattr_skipcap",
];

/// Parameters that are looked at.
const PARAMETERS_MAX: usize = 16;

/// The prototype of what the program is attached to.
#[derive(Clone, Copy)]
struct Prototype<'a> {
    types: &'a Btf,
    /// Which of the input's BTFs; `None` for the BTF of another program.
    btf: Option<BtfIdx>,
    name: &'a str,
    ret: TypeId,
    params: Params<'a>,
    /// Leading parameters that are no arguments.
    skipped: usize,
}

impl<'i> Verifier<'i> {
    fn prototype(&self) -> Option<Prototype<'i>> {
        match self.input.target.as_ref()? {
            AttachTarget::Btf { btf, id } => {
                let types = &**self.input.btf(*btf)?;
                let raw = self.input.attach_type == Some(AttachType::TraceRawTp);
                let name = types.name(*id);
                let short = name.strip_prefix("btf_trace_").filter(|_| raw);
                let (ret, params) = short
                    .and_then(|short| {
                        let named = types.find(BtfKind::Func, &format!("__bpf_trace_{short}"))?;
                        prototype_of(types, named)
                    })
                    .or_else(|| prototype_of(types, *id))?;
                Some(Prototype {
                    types,
                    btf: Some(*btf),
                    name: short.unwrap_or(name),
                    ret,
                    params,
                    skipped: usize::from(raw),
                })
            }
            AttachTarget::StructOps { id, member } => {
                let types = &**self.input.btf(BtfIdx::KERNEL)?;
                let whole = types.composite(*id).ok()?;
                let member = whole.members.get(*member as usize)?;
                let (ret, params) = prototype_of(types, member.ty)?;
                Some(Prototype {
                    types,
                    btf: Some(BtfIdx::KERNEL),
                    name: member.name,
                    ret,
                    params,
                    skipped: 0,
                })
            }
            AttachTarget::Program(target) => {
                let types = &*target.btf;
                let (ret, params) = prototype_of(types, target.function)?;
                Some(Prototype {
                    types,
                    btf: None,
                    name: types.name(target.function),
                    ret,
                    params,
                    skipped: 0,
                })
            }
        }
    }

    /// What the argument (or return value) at that offset of the context is.
    pub(super) fn argument_at(&mut self, off: u32, size: u32) -> Rule<Reg> {
        let Some(prototype) = self.prototype() else {
            // Whatever it is attached to: five words.
            return if off / 8 < 5 {
                Ok(Reg::UNKNOWN)
            } else {
                Err(silent())
            };
        };
        let Prototype { types, name, .. } = prototype;
        let refuse = |line: String| Err(denied("verifier-context-argument", line));
        if !off.is_multiple_of(8) {
            return refuse(format!("func '{name}' offset {off} is not multiple of 8"));
        }
        let arg = prototype.index_of(off);
        let count = prototype.params.len().saturating_sub(prototype.skipped);
        let missing = || {
            denied(
                "verifier-context-argument",
                format!("func '{name}' doesn't have {}-th argument", arg + 1),
            )
        };
        let mut returned = false;
        let (mut id, param) = if arg > count {
            return Err(missing());
        } else if arg == count {
            match self.input.attach_type {
                Some(AttachType::LsmMac) => returned = true,
                Some(
                    AttachType::LsmCgroup | AttachType::TraceFexit | AttachType::TraceFsession,
                ) => {}
                Some(AttachType::ModifyReturn) => {
                    if !matches!(types.resolved(prototype.ret), Ok((_, Ty::Int(_)))) {
                        let kind = kind_word(types, prototype.ret);
                        return refuse(format!("ret type {kind} not allowed for fmod_ret"));
                    }
                }
                _ => return Err(missing()),
            }
            (prototype.ret, "")
        } else {
            match prototype.params.get(arg + prototype.skipped) {
                Some(param) => (param.ty, param.name),
                None => return Err(missing()),
            }
        };
        id = types.resolve(id).unwrap_or(id);
        let target = match types.ty(id) {
            Ok(Ty::Int(_) | Ty::Enum(_) | Ty::Enum64(_) | Ty::Struct(_) | Ty::Union(_)) => {
                return Ok(if returned {
                    self.hook_result(name)
                } else {
                    Reg::UNKNOWN
                });
            }
            Ok(Ty::Ptr { target }) => target,
            _ => {
                return refuse(format!(
                    "func '{name}' arg{arg} '{}' has type {}. Only pointer access is allowed",
                    types.name(id),
                    kind_word(types, id)
                ));
            }
        };
        if size != 8 {
            return refuse(format!("func '{name}' size {size} must be 8"));
        }
        if let Some(buffer) = self.iterator_buffer(name, param) {
            return Ok(buffer);
        }
        if self.struct_ops_name() == Some("Qdisc_ops")
            && name == "enqueue"
            && arg == 2
            && let Some((btf, id)) = kernel_type(self.input, BtfKind::Struct, "bpf_sk_buff_ptr")
        {
            // A list of packets to be freed, which programs only hand on.
            return Ok(Reg::pointer(Kind::BtfId, Flags::TRUSTED).to(Detail::Btf { btf, id }));
        }
        let (pointed, ty) = match types.resolved(target) {
            Ok((_, Ty::Void | Ty::Int(_))) => return Ok(Reg::UNKNOWN),
            Ok(found) => found,
            Err(_) => return Err(silent()),
        };
        let mut flags = self.argument_flags(&prototype, arg, param);
        flags = flags.with(tag(types, target).without(Flags::RCU));
        let Some(btf) = prototype.btf else {
            // A program of that kind gets the kernel's structure instead of the one its source names.
            return self.translated(types, pointed, flags).ok_or_else(silent);
        };
        if !matches!(ty, Ty::Struct(_) | Ty::Union(_)) {
            return refuse(format!(
                "func '{name}' arg{arg} type {} is not a struct",
                kind_word(types, pointed)
            ));
        }
        self.log.last_line(format_args!(
            "func '{name}' arg{arg} has btf_id {} type {} '{}'",
            pointed.0,
            kind_word(types, pointed),
            types.name(pointed)
        ));
        let mut id = pointed;
        if self.struct_ops_name() == Some("tcp_congestion_ops")
            && types.name(id) == "sock"
            && let Some(tcp) = types.find(BtfKind::Struct, "tcp_sock")
        {
            // Congestion control works on TCP sockets only.
            id = tcp;
        }
        let reg = Reg::pointer(Kind::BtfId, flags).to(Detail::Btf { btf, id: id.0 });
        let ref_id = self.ctx_refs.get(arg).copied().unwrap_or(0);
        Ok(Reg { ref_id, ..reg })
    }

    /// How far an argument may be trusted, and whether it may be null.
    fn argument_flags(&self, prototype: &Prototype<'_>, arg: usize, param: &str) -> Flags {
        let attach = self.input.attach_type;
        let version = self.platform.profile.version;
        let raw = attach == Some(AttachType::TraceRawTp);
        if attach == Some(AttachType::TraceIter)
            && let Some(iterator) = prototype.name.strip_prefix("bpf_iter_")
            && hook::is_known_iterator(iterator)
        {
            return match hook::iterator_argument(iterator, arg as u32) {
                None => Flags::TRUSTED,
                Some(IterArgument::PtrOrNull) => Flags::MAYBE_NULL,
                Some(_) => Flags::TRUSTED.with(Flags::MAYBE_NULL),
            };
        }
        let trusted = match self.program_kind() {
            P::Tracing => raw || attach == Some(AttachType::TraceIter),
            P::Lsm => {
                let name = prototype.name.strip_prefix("bpf_lsm_");
                !name
                    .and_then(lsm::hook)
                    .is_some_and(|hook| hook.untrusted(version))
            }
            P::StructOps => true,
            _ => false,
        };
        let mut flags = if trusted { Flags::TRUSTED } else { Flags::NONE };
        let foreign = raw && prototype.btf.is_some_and(|btf| btf != BtfIdx::KERNEL);
        let listed =
            raw && hook::nullable_arguments(prototype.name, version) >> arg.min(31) & 1 != 0;
        let stub = self.struct_ops_stub().and_then(|params| params.get(arg));
        let nullable = stub
            .map_or(param, |param| param.name)
            .ends_with("__nullable");
        if foreign || listed || nullable {
            flags = flags.with(Flags::MAYBE_NULL);
        }
        flags
    }

    /// Keys and values that an iterator over a map's elements brings.
    fn iterator_buffer(&self, name: &str, param: &str) -> Option<Reg> {
        if self.input.attach_type != Some(AttachType::TraceIter) {
            return None;
        }
        let flags = match (name.strip_prefix("bpf_iter_")?, param) {
            ("bpf_map_elem" | "sockmap", "key") => Flags::RDONLY,
            ("bpf_map_elem" | "bpf_sk_storage_map", "value") => Flags::NONE,
            _ => return None,
        };
        Some(Reg::pointer(Kind::Buf, flags.with(Flags::MAYBE_NULL)))
    }

    /// What a hook may have returned.
    fn hook_result(&self, name: &str) -> Reg {
        if BOOLEAN_HOOKS.contains(&name) {
            Reg::scalar(Scalar::signed_range(0, 1))
        } else {
            Reg::scalar(Scalar::signed_range(-4095, 0))
        }
    }

    fn translated(&self, types: &Btf, id: TypeId, flags: Flags) -> Option<Reg> {
        let AttachTarget::Program(target) = self.input.target.as_ref()? else {
            return None;
        };
        let (user, kernel) = context_types(target.program_type)?;
        if types.name(id) != user {
            return None;
        }
        let (btf, id) = kernel_type(self.input, BtfKind::Struct, kernel)?;
        Some(Reg::pointer(Kind::BtfId, flags).to(Detail::Btf { btf, id }))
    }
}

impl Prototype<'_> {
    /// Which argument lies at that offset: each takes whole words.
    fn index_of(&self, off: u32) -> usize {
        let mut end = 0_u32;
        for (index, param) in self.params.iter().take(PARAMETERS_MAX).enumerate() {
            end = end.saturating_add(self.words(param.ty));
            if off < end {
                return index;
            }
        }
        if off < end.saturating_add(self.words(self.ret)) {
            self.params.len()
        } else {
            self.params.len() + 1
        }
    }

    fn words(&self, id: TypeId) -> u32 {
        match self.types.resolved(id) {
            Ok((_, Ty::Ptr { .. })) => 8,
            Ok((_, Ty::Void)) | Err(_) => 0,
            Ok((id, _)) => self
                .types
                .size_of(id)
                .unwrap_or(0)
                .checked_next_multiple_of(8)
                .unwrap_or(u32::MAX),
        }
    }
}

/// The prototype of a function, or of what a typedef or pointer leads to.
fn prototype_of(types: &Btf, id: TypeId) -> Option<(TypeId, Params<'_>)> {
    let mut id = id;
    for _ in 0..8 {
        id = match types.resolved(id).ok()?.1 {
            Ty::FuncProto { ret, params } => return Some((ret, params)),
            Ty::Func { proto, .. } => proto,
            Ty::Ptr { target } => target,
            _ => return None,
        };
    }
    None
}

/// The kernel's word for the kind of a type.
fn kind_word(types: &Btf, id: TypeId) -> &'static str {
    match types.kind(id) {
        Ok(BtfKind::Void) | Err(_) => "UNKNOWN",
        Ok(kind) => kind.name(),
    }
}

/// The structure that a kind of program names its context by, and the kernel's own.
const fn context_types(program: P) -> Option<(&'static str, &'static str)> {
    Some(match program {
        P::SocketFilter
        | P::SchedCls
        | P::SchedAct
        | P::CgroupSkb
        | P::LwtIn
        | P::LwtOut
        | P::LwtXmit
        | P::LwtSeg6local
        | P::SkSkb => ("__sk_buff", "sk_buff"),
        P::Xdp => ("xdp_md", "xdp_buff"),
        P::FlowDissector => ("__sk_buff", "bpf_flow_dissector"),
        P::CgroupSock => ("bpf_sock", "sock"),
        P::CgroupSockAddr => ("bpf_sock_addr", "bpf_sock_addr_kern"),
        P::SockOps => ("bpf_sock_ops", "bpf_sock_ops_kern"),
        P::SkMsg => ("sk_msg_md", "sk_msg"),
        P::CgroupDevice => ("bpf_cgroup_dev_ctx", "bpf_cgroup_dev_ctx"),
        P::CgroupSysctl => ("bpf_sysctl", "bpf_sysctl_kern"),
        P::CgroupSockopt => ("bpf_sockopt", "bpf_sockopt_kern"),
        P::SkReuseport => ("sk_reuseport_md", "sk_reuseport_kern"),
        P::SkLookup => ("bpf_sk_lookup", "bpf_sk_lookup_kern"),
        P::PerfEvent => ("bpf_perf_event_data", "bpf_perf_event_data_kern"),
        P::Netfilter => ("bpf_nf_ctx", "bpf_nf_ctx"),
        _ => return None,
    })
}

/// A refusal whose wording its caller adds.
#[cold]
fn silent() -> Box<Fault> {
    let mut fault = denied("verifier-context-argument", "");
    fault.lines.clear();
    fault
}
