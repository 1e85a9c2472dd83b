//! The types of the program's functions: what their BTF says that they take.
//!
//! Invariant: an answer is kept, so that a function's type is read once; a refusal is made anew each time it is asked.

use std::rc::Rc;

use skep_btf::ty::Linkage;
use skep_btf::{Btf, Kind as BtfKind, Ty, TypeId};
use skep_spec::profile::Profile;
use skep_spec::program::{AttachType, ProgramType};

use super::global::ArgSpec;
use super::{EFAULT, EINVAL, EOPNOTSUPP};
use crate::fault::{Fault, Rule};
use crate::input::BtfIdx;
use crate::verifier::Verifier;

const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
/// Registers that carry arguments.
const ARGS_MAX: usize = 5;

/// What `__arg_*` tags say of an argument (`arg:ctx` and so on).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Tags {
    ctx: bool,
    nonnull: bool,
    nullable: bool,
    trusted: bool,
    untrusted: bool,
    arena: bool,
}

impl Tags {
    fn none(self) -> bool {
        self == Tags::default()
    }
}

#[cold]
fn refuse<T>(errno: i32, line: impl Into<String>) -> Rule<T> {
    Err(Fault::new(errno, "verifier-function-type", line))
}

/// How messages call a kind of type: `UNKNOWN` for `void`.
fn kind_word(kind: BtfKind) -> &'static str {
    match kind {
        BtfKind::Void => "UNKNOWN",
        kind => kind.name(),
    }
}

/// The struct that a program of that kind calls its context; empty where it has no name of its own.
pub fn context_struct(program: ProgramType) -> &'static str {
    use ProgramType as P;
    match program {
        P::SocketFilter
        | P::SchedCls
        | P::SchedAct
        | P::CgroupSkb
        | P::LwtIn
        | P::LwtOut
        | P::LwtXmit
        | P::LwtSeg6local
        | P::SkSkb
        | P::FlowDissector => "__sk_buff",
        P::Xdp => "xdp_md",
        P::CgroupSock => "bpf_sock",
        P::CgroupSockAddr => "bpf_sock_addr",
        P::SockOps => "bpf_sock_ops",
        P::SkMsg => "sk_msg_md",
        P::Kprobe => "bpf_user_pt_regs_t",
        P::PerfEvent => "bpf_perf_event_data",
        P::RawTracepoint | P::RawTracepointWritable => "bpf_raw_tracepoint_args",
        P::CgroupDevice => "bpf_cgroup_dev_ctx",
        P::CgroupSysctl => "bpf_sysctl",
        P::CgroupSockopt => "bpf_sockopt",
        P::SkReuseport => "sk_reuseport_md",
        P::SkLookup => "bpf_sk_lookup",
        P::Netfilter => "bpf_nf_ctx",
        P::Tracepoint | P::LircMode2 | P::Tracing | P::StructOps | P::Ext | P::Lsm | P::Syscall => {
            ""
        }
    }
}

impl Verifier<'_> {
    /// The BTF id of a subprogram's function.
    pub fn function_type(&self, subprog: usize) -> Option<TypeId> {
        self.input
            .functions
            .get(subprog)
            .map(|function| function.type_id)
            .filter(|id| id.0 != 0)
    }

    /// Whether the type of a subprogram says that it returns a number.
    pub(super) fn returns_number(&self, subprog: usize) -> bool {
        let (Some(btf), Some(id)) = (
            self.input.program_btf.as_deref(),
            self.function_type(subprog),
        ) else {
            return false;
        };
        let Ok(Ty::Func { proto, .. }) = btf.ty(id) else {
            return false;
        };
        matches!(btf.ty(proto), Ok(Ty::FuncProto { ret, .. }) if is_number(btf, ret))
    }

    /// What the type of a subprogram says of its arguments.
    pub fn function_args(&mut self, subprog: usize) -> Rule<Rc<[ArgSpec]>> {
        if let Some(known) = &self.subprogs[subprog].args {
            return Ok(known.clone());
        }
        let args: Rc<[ArgSpec]> = self.read_function_args(subprog)?.into();
        self.subprogs[subprog].args = Some(args.clone());
        Ok(args)
    }

    fn read_function_args(&self, subprog: usize) -> Rule<Vec<ArgSpec>> {
        let silent = || refuse(EINVAL, "");
        let (Some(btf), Some(id)) = (
            self.input.program_btf.as_deref(),
            self.function_type(subprog),
        ) else {
            if self.subprogs[subprog].is_global {
                return refuse(EFAULT, "Global functions need valid BTF");
            }
            return silent();
        };
        let Ok(Ty::Func {
            name,
            proto,
            linkage,
        }) = btf.ty(id)
        else {
            return refuse(EFAULT, format!("Type {} is not a function", btf.name(id)));
        };
        let is_global = linkage == Linkage::Global;
        let Ok(Ty::FuncProto { ret, params }) = btf.ty(proto) else {
            return refuse(EFAULT, format!("Invalid type of function {name}()"));
        };
        if params.len() > ARGS_MAX {
            if !is_global {
                return silent();
            }
            return refuse(
                EINVAL,
                format!(
                    "Global function {name}() with {} > {ARGS_MAX} args. Buggy compiler.",
                    params.len()
                ),
            );
        }
        if !is_number(btf, ret) {
            if !is_global {
                return silent();
            }
            return refuse(
                EINVAL,
                format!(
                    "Global function {name}() doesn't return scalar. Only those are supported."
                ),
            );
        }
        let tags = arg_tags(btf, id, is_global, &self.input.profile)?;
        let mut args = Vec::with_capacity(params.len());
        for (at, param) in params.iter().enumerate() {
            let tags = match &tags[at] {
                Ok(tags) => *tags,
                Err(fault) => return Err(fault.clone()),
            };
            args.push(self.argument(btf, name, at, param.ty, tags, is_global)?);
        }
        Ok(args)
    }

    /// One parameter.
    fn argument(
        &self,
        btf: &Btf,
        function: &str,
        at: usize,
        id: TypeId,
        tags: Tags,
        is_global: bool,
    ) -> Rule<ArgSpec> {
        let broken = |_| Fault::new(EFAULT, "verifier-function-type", "");
        let (_, ty) = btf.resolved(id).map_err(broken)?;
        let invalid = || refuse(EINVAL, format!("arg#{at} has invalid combination of tags"));
        if let Ty::Ptr { target } = ty {
            let program = self.platform.place.program;
            if tags.ctx || self.is_own_context(btf, target, program) {
                if !(Tags { ctx: false, ..tags }).none() {
                    return invalid();
                }
                if tags.ctx {
                    self.check_context_type(btf, target, at)?;
                }
                return Ok(ArgSpec::Ctx);
            }
            let (pointee, pointee_ty) = btf.resolved(target).map_err(broken)?;
            if matches!(btf.name(pointee), "bpf_dynptr" | "bpf_dynptr_kern")
                && pointee_ty.composite().is_some()
                && self.input.profile.at_least(6, 8)
            {
                return if tags.none() {
                    Ok(ArgSpec::Dynptr)
                } else {
                    invalid()
                };
            }
            if tags.trusted {
                if tags.nonnull {
                    return invalid();
                }
                let (btf_idx, id) = self.kernel_struct_like(btf, pointee, at)?;
                return Ok(ArgSpec::Btf {
                    btf: btf_idx,
                    id: id.0,
                    nullable: tags.nullable,
                    untrusted: false,
                });
            }
            if tags.untrusted {
                return self.untrusted_argument(btf, pointee, pointee_ty, at, tags);
            }
            if tags.arena {
                if !(Tags {
                    arena: false,
                    ..tags
                })
                .none()
                {
                    return refuse(
                        EINVAL,
                        format!("arg#{at} arena cannot be combined with any other tags"),
                    );
                }
                return Ok(ArgSpec::Arena);
            }
            if is_global {
                if tags.nullable {
                    return invalid();
                }
                return match sized(btf, pointee, &pointee_ty) {
                    Some(size) => Ok(ArgSpec::Mem {
                        size,
                        nullable: !tags.nonnull,
                    }),
                    None => refuse(
                        EINVAL,
                        format!(
                            "arg#{at} reference type('{} {}') size cannot be determined: -22",
                            kind_word(pointee_ty.kind()),
                            btf.name(pointee)
                        ),
                    ),
                };
            }
        }
        if !tags.none() {
            return refuse(
                EINVAL,
                format!("arg#{at} has pointer tag, but is not a pointer type"),
            );
        }
        match ty {
            Ty::Int(_) | Ty::Enum(_) | Ty::Enum64(_) => Ok(ArgSpec::Scalar),
            _ if !is_global => refuse(EINVAL, ""),
            _ => refuse(
                EINVAL,
                format!(
                    "Arg#{at} type {} in {function}() is not supported yet.",
                    kind_word(ty.kind())
                ),
            ),
        }
    }

    /// An argument tagged `__arg_untrusted`: plain memory or a kernel struct, read with care.
    fn untrusted_argument(
        &self,
        btf: &Btf,
        pointee: TypeId,
        ty: Ty<'_>,
        at: usize,
        tags: Tags,
    ) -> Rule<ArgSpec> {
        let alone = Tags {
            untrusted: false,
            ..tags
        }
        .none();
        if !alone {
            return refuse(
                EINVAL,
                format!("arg#{at} untrusted cannot be combined with any other tags"),
            );
        }
        if matches!(
            ty,
            Ty::Void | Ty::Int(_) | Ty::Enum(_) | Ty::Enum64(_) | Ty::Float { .. }
        ) {
            return Ok(ArgSpec::UntrustedMem);
        }
        let (kernel, id) = self.kernel_struct_like(btf, pointee, at)?;
        let known = self.input.btf(kernel).and_then(|btf| btf.ty(id).ok());
        if known.is_none_or(|known| known.composite().is_none()) {
            return refuse(
                EINVAL,
                format!(
                    "arg#{at} has type {} '{}', but only struct or primitive types are allowed",
                    kind_word(ty.kind()),
                    btf.name(pointee)
                ),
            );
        }
        Ok(ArgSpec::Btf {
            btf: kernel,
            id: id.0,
            nullable: false,
            untrusted: true,
        })
    }

    /// The kernel's type that a type of the program stands for, by name without flavour.
    fn kernel_struct_like(&self, btf: &Btf, id: TypeId, at: usize) -> Rule<(BtfIdx, TypeId)> {
        let ty = btf.ty(id).map_or(BtfKind::Void, |ty| ty.kind());
        let name = btf.name(id);
        let refused = |errno, why: &str| {
            refuse(
                errno,
                format!("arg#{at} reference type('{} {name}') {why}", kind_word(ty)),
            )
        };
        let Some(kernel) = self.input.btf(BtfIdx::KERNEL) else {
            return refused(ENOENT, "has no matches");
        };
        let found: Vec<TypeId> = kernel
            .own_essentially_named(name)
            .into_iter()
            .filter(|&candidate| kernel.kind(candidate) == Ok(ty))
            .collect();
        match found.as_slice() {
            [only] => Ok((BtfIdx::KERNEL, *only)),
            [] => refused(ENOENT, "has no matches"),
            _ => refused(ESRCH, "is ambiguous"),
        }
    }

    /// Whether that is the structure that this program's context is declared as.
    fn is_own_context(&self, btf: &Btf, target: TypeId, program: ProgramType) -> bool {
        match self.platform.host {
            Some(host) => {
                matches!(btf.resolved(target), Ok((id, Ty::Struct(_))) if btf.name(id) == host.context.name)
            }
            None => is_context(btf, target, program),
        }
    }

    /// An argument tagged `__arg_ctx`: whether its type is one that this kind of program takes for its context.
    fn check_context_type(&self, btf: &Btf, target: TypeId, at: usize) -> Rule {
        let program = self.platform.place.program;
        let attach = self.platform.place.attach;
        if matches!(program, ProgramType::Kprobe | ProgramType::PerfEvent)
            && is_typedef_of_regs(btf, target)
        {
            return Ok(());
        }
        let Ok((id, ty)) = btf.resolved(target) else {
            return refuse(EINVAL, format!("arg#{at} type doesn't have a name"));
        };
        if matches!(ty, Ty::Void) {
            return Ok(());
        }
        let name = btf.name(id);
        if name.is_empty() {
            return refuse(EINVAL, format!("arg#{at} type doesn't have a name"));
        }
        let is_struct = ty.composite().is_some();
        let is_u64 = matches!(ty, Ty::Int(int) if int.size == 8);
        let fits = match program {
            _ if self.platform.host.is_some() => {
                is_struct && self.is_own_context(btf, target, program)
            }
            ProgramType::Kprobe | ProgramType::PerfEvent => is_struct && name == "pt_regs",
            ProgramType::RawTracepoint | ProgramType::RawTracepointWritable => is_u64,
            ProgramType::Tracing => match attach {
                Some(AttachType::TraceRawTp) => {
                    is_u64 || is_struct && name == "bpf_raw_tracepoint_args"
                }
                Some(AttachType::TraceIter) => is_struct && name.starts_with("bpf_iter__"),
                Some(
                    AttachType::TraceFentry | AttachType::TraceFexit | AttachType::ModifyReturn,
                ) => is_u64,
                _ => false,
            },
            ProgramType::Lsm | ProgramType::StructOps => is_u64,
            ProgramType::Tracepoint | ProgramType::Syscall | ProgramType::Ext => true,
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let wanted = match context_struct(program) {
            "" => return refuse(EINVAL, format!("arg#{at} should be void pointer")),
            "bpf_user_pt_regs_t" => "pt_regs",
            wanted => wanted,
        };
        if is_struct && name == wanted {
            return Ok(());
        }
        refuse(EINVAL, format!("arg#{at} should be `struct {wanted} *`"))
    }
}

/// Whether the type stands for a number.
fn is_number(btf: &Btf, id: TypeId) -> bool {
    matches!(
        btf.resolved(id),
        Ok((_, Ty::Int(_) | Ty::Enum(_) | Ty::Enum64(_)))
    )
}

/// The bytes that a pointer to the type reaches.
fn sized(btf: &Btf, id: TypeId, ty: &Ty<'_>) -> Option<u32> {
    match ty {
        Ty::Void | Ty::Fwd { .. } | Ty::Func { .. } | Ty::FuncProto { .. } => None,
        Ty::Int(_)
        | Ty::Struct(_)
        | Ty::Union(_)
        | Ty::Enum(_)
        | Ty::Enum64(_)
        | Ty::Float { .. }
        | Ty::Ptr { .. }
        | Ty::Array { .. }
        | Ty::DataSec { .. } => btf.size_of(id).ok(),
        _ => None,
    }
}

/// Whether `target`, without its qualifiers, is the typedef `bpf_user_pt_regs_t`.
fn is_typedef_of_regs(btf: &Btf, target: TypeId) -> bool {
    btf.unqualified(target).is_ok_and(|id| {
        matches!(
            btf.ty(id),
            Ok(Ty::Typedef {
                name: "bpf_user_pt_regs_t",
                ..
            })
        )
    })
}

/// Whether a pointer to that type is the context of a program of that kind.
pub fn is_context(btf: &Btf, target: TypeId, program: ProgramType) -> bool {
    if program == ProgramType::Kprobe && is_typedef_of_regs(btf, target) {
        return true;
    }
    let wanted = context_struct(program);
    if wanted.is_empty() {
        return false;
    }
    let Ok((id, Ty::Struct(_))) = btf.resolved(target) else {
        return false;
    };
    let name = btf.name(id);
    name == wanted || program == ProgramType::Kprobe && name == "pt_regs"
}

/// The tags of a function's arguments; a fault where one is not known, for when its argument's turn comes.
fn arg_tags(
    btf: &Btf,
    function: TypeId,
    is_global: bool,
    profile: &Profile,
) -> Rule<[Rule<Tags>; ARGS_MAX]> {
    let mut tags: [Rule<Tags>; ARGS_MAX] = std::array::from_fn(|_| Ok(Tags::default()));
    // Before 6.8 nobody looked at them.
    if !profile.at_least(6, 8) {
        return Ok(tags);
    }
    for (component, word) in btf.tagged(function, "arg:") {
        let place = usize::try_from(component).ok();
        let Some(slot) = place.and_then(|at| tags.get_mut(at)) else {
            continue;
        };
        let Ok(set) = slot else { continue };
        let fault = if !is_global {
            Some("type tag is not supported in static functions")
        } else {
            let since_6_9 = profile.at_least(6, 9);
            let known = match word {
                "ctx" => {
                    set.ctx = true;
                    true
                }
                "nonnull" => {
                    set.nonnull = true;
                    true
                }
                "nullable" => {
                    set.nullable = true;
                    since_6_9
                }
                "trusted" => {
                    set.trusted = true;
                    since_6_9
                }
                "arena" => {
                    set.arena = true;
                    since_6_9
                }
                "untrusted" => {
                    set.untrusted = true;
                    profile.at_least(6, 17)
                }
                _ => false,
            };
            (!known).then_some("has unsupported set of tags")
        };
        if let Some(fault) = fault {
            *slot = refuse(EOPNOTSUPP, format!("arg#{component} {fault}"));
        }
    }
    Ok(tags)
}
