//! Types of kernel functions' arguments: when one structure stands for another, and which are plain bytes.
//!
//! Invariant: every walk is bounded, whatever the BTF says.

use skep_btf::{Btf, Kind as BtfKind, Ty, TypeId};
use skep_spec::program::ProgramType as P;

use crate::input::BtfIdx;
use crate::verifier::Verifier;

/// Structures within structures, from the outermost.
const NESTING_MAX: usize = 64;

impl Verifier<'_> {
    /// Whether what lies `off` bytes into a `have` is a `want`: the type itself, or (unless `strict`) a structure that
    /// starts exactly there.
    pub fn struct_ids_match(
        &self,
        have: (BtfIdx, u32),
        off: u32,
        want: (BtfIdx, u32),
        strict: bool,
    ) -> bool {
        if off == 0 && self.same_type(have, want) {
            return true;
        }
        if strict {
            return false;
        }
        let Some(btf) = self.input.btf(have.0) else {
            return false;
        };
        let (mut id, mut off) = (have.1, off);
        for _ in 0..NESTING_MAX {
            let Some(inner) = nested_at(btf, TypeId(id), off) else {
                return false;
            };
            if self.same_type((have.0, inner.0), want) {
                return true;
            }
            (id, off) = (inner.0, 0);
        }
        false
    }

    /// Whether both name one type. Modules number the kernel's types as the kernel does.
    fn same_type(&self, one: (BtfIdx, u32), other: (BtfIdx, u32)) -> bool {
        if one.1 != other.1 {
            return false;
        }
        if one.0 == other.0 {
            return true;
        }
        if one.0 == BtfIdx::PROGRAM || other.0 == BtfIdx::PROGRAM {
            return false;
        }
        self.input
            .btf(BtfIdx::KERNEL)
            .is_some_and(|kernel| one.1 < kernel.len())
    }
}

/// The structure that starts exactly `off` bytes into the structure `id`: of those that do, the outermost one.
fn nested_at(btf: &Btf, id: TypeId, off: u32) -> Option<TypeId> {
    let (mut id, mut off) = (btf.resolve(id).ok()?, off);
    for _ in 0..NESTING_MAX {
        let composite = btf.ty(id).ok()?.composite()?;
        let found = composite.members.iter().find(|member| {
            let start = member.bit_offset / 8;
            let size = match member.bitfield_size {
                0 => btf.size_of(member.ty).unwrap_or(0),
                bits => (member.bit_offset % 8 + u32::from(bits)).div_ceil(8),
            };
            off >= start && off - start < size
        })?;
        let start = found.bit_offset / 8;
        let (mut member, mut within) = (btf.resolve(found.ty).ok()?, off - start);
        // An element of an array counts as a member of its own.
        for _ in 0..NESTING_MAX {
            let Ok(Ty::Array { elem, .. }) = btf.ty(member) else {
                break;
            };
            let size = btf.size_of(elem).ok().filter(|&size| size > 0)?;
            member = btf.resolve(elem).ok()?;
            within %= size;
        }
        if !btf.kind(member).ok()?.is_composite() {
            return None;
        }
        if within == 0 {
            return Some(member);
        }
        (id, off) = (member, within);
    }
    None
}

/// Whether values of a type are numbers (`btf_type_is_scalar`).
pub(crate) fn is_scalar(btf: &Btf, id: TypeId) -> bool {
    matches!(
        btf.kind(id),
        Ok(BtfKind::Int | BtfKind::Enum | BtfKind::Enum64)
    )
}

/// Whether a type is a structure or union of numbers, arrays of them and such structures.
pub(crate) fn is_scalar_struct(btf: &Btf, id: TypeId) -> bool {
    fn walk(btf: &Btf, id: TypeId, depth: u32) -> bool {
        let Some(composite) = btf.ty(id).ok().and_then(|ty| ty.composite()) else {
            return false;
        };
        composite.members.iter().all(|member| {
            let Ok((id, ty)) = btf.resolved(member.ty) else {
                return false;
            };
            match ty {
                Ty::Struct(_) | Ty::Union(_) => depth < 3 && walk(btf, id, depth + 1),
                Ty::Array { elem, len, .. } => {
                    len > 0 && btf.resolve(elem).is_ok_and(|elem| is_scalar(btf, elem))
                }
                _ => is_scalar(btf, id),
            }
        })
    }
    walk(btf, id, 0)
}

/// How messages call a kind of type (`btf_type_str`).
pub(crate) fn kind_word(btf: &Btf, id: TypeId) -> &'static str {
    match btf.kind(id) {
        Ok(BtfKind::Int) => "INT",
        Ok(BtfKind::Ptr) => "PTR",
        Ok(BtfKind::Array) => "ARRAY",
        Ok(BtfKind::Struct) => "STRUCT",
        Ok(BtfKind::Union) => "UNION",
        Ok(BtfKind::Enum) => "ENUM",
        Ok(BtfKind::Fwd) => "FWD",
        Ok(BtfKind::Typedef) => "TYPEDEF",
        Ok(BtfKind::Volatile) => "VOLATILE",
        Ok(BtfKind::Const) => "CONST",
        Ok(BtfKind::Restrict) => "RESTRICT",
        Ok(BtfKind::Func) => "FUNC",
        Ok(BtfKind::FuncProto) => "FUNC_PROTO",
        Ok(BtfKind::Var) => "VAR",
        Ok(BtfKind::DataSec) => "DATASEC",
        Ok(BtfKind::Float) => "FLOAT",
        Ok(BtfKind::DeclTag) => "DECL_TAG",
        Ok(BtfKind::TypeTag) => "TYPE_TAG",
        Ok(BtfKind::Enum64) => "ENUM64",
        _ => "UNKNOWN",
    }
}

/// The context of a kind of program: the structure that programs see, and the kernel's own. `None` where it has none
/// of a certain type.
pub(crate) fn context_types(program: P) -> Option<(&'static str, &'static str)> {
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
        P::CgroupSock => ("bpf_sock", "sock"),
        P::CgroupSockAddr => ("bpf_sock_addr", "bpf_sock_addr_kern"),
        P::SockOps => ("bpf_sock_ops", "bpf_sock_ops_kern"),
        P::SkMsg => ("sk_msg_md", "sk_msg"),
        P::FlowDissector => ("__sk_buff", "bpf_flow_dissector"),
        P::Kprobe => ("pt_regs", "pt_regs"),
        P::PerfEvent => ("bpf_perf_event_data", "bpf_perf_event_data_kern"),
        P::RawTracepoint | P::RawTracepointWritable => ("bpf_raw_tracepoint_args", ""),
        P::CgroupDevice => ("bpf_cgroup_dev_ctx", "bpf_cgroup_dev_ctx"),
        P::CgroupSysctl => ("bpf_sysctl", "bpf_sysctl_kern"),
        P::CgroupSockopt => ("bpf_sockopt", "bpf_sockopt_kern"),
        P::SkReuseport => ("sk_reuseport_md", "sk_reuseport_kern"),
        P::SkLookup => ("bpf_sk_lookup", "bpf_sk_lookup_kern"),
        P::Netfilter => ("bpf_nf_ctx", "bpf_nf_ctx"),
        _ => return None,
    })
}

/// Whether programs see the structure `kernel` as `user`.
pub(crate) fn is_projection(user: &str, kernel: &str) -> bool {
    matches!(
        (user, kernel),
        ("__sk_buff", "sk_buff") | ("xdp_md", "xdp_buff")
    )
}

/// Whether a pointer to that type is the context of that kind of program.
pub(crate) fn is_context(btf: &Btf, target: TypeId, program: P) -> bool {
    if program == P::Kprobe
        && let Ok(id) = btf.unqualified(target)
        && matches!(
            btf.ty(id),
            Ok(Ty::Typedef {
                name: "bpf_user_pt_regs_t",
                ..
            })
        )
    {
        return true;
    }
    let Ok((_, Ty::Struct(composite))) = btf.resolved(target) else {
        return false;
    };
    context_types(program)
        .is_some_and(|(user, _)| composite.name == user || is_projection(user, composite.name))
}
