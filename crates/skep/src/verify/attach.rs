//! What a program attaches to: the kernel's function, tracepoint, hook, iterator or struct_ops member, by type.
//!
//! Invariant: a target is found by its name in the kernel's types, as loaders look it up; one that is not there keeps the
//! program from loading.

use skep_btf::{Btf, Kind, Ty, TypeId};
use skep_obj::{Object, ProgramSpec};
use skep_spec::program::{AttachType, ProgramType};
use skep_verifier::input::{AttachTarget, BtfIdx};

use super::{NotLoadable, TargetKernel};

/// The target of a program whose kind has one.
pub(super) fn target(
    object: &Object,
    program: &ProgramSpec,
    program_type: ProgramType,
    attach_type: Option<AttachType>,
    kernel: &TargetKernel,
) -> Result<Option<AttachTarget>, NotLoadable> {
    match program_type {
        ProgramType::StructOps => struct_ops(object, program, kernel).map(Some),
        ProgramType::Tracing | ProgramType::Lsm => {
            let Some(name) = &program.attach_to else {
                return Err(NotLoadable::AttachTarget {
                    name: program.name.clone(),
                    why: "the section does not name one".into(),
                });
            };
            let (prefix, kind) = match attach_type {
                Some(AttachType::TraceRawTp) => ("btf_trace_", Kind::Typedef),
                Some(AttachType::LsmMac | AttachType::LsmCgroup) => ("bpf_lsm_", Kind::Func),
                Some(AttachType::TraceIter) => ("bpf_iter_", Kind::Func),
                _ => ("", Kind::Func),
            };
            // `module:function`; the module is one of those whose types are here.
            let function = name.rsplit_once(':').map_or(name.as_str(), |(_, f)| f);
            let wanted = format!("{prefix}{function}");
            find(kernel, kind, &wanted).map(Some)
        }
        ProgramType::Ext => Err(NotLoadable::AttachTarget {
            name: program.name.clone(),
            why: "an extension is loaded for a program that is loaded already".into(),
        }),
        _ => Ok(None),
    }
}

fn find(kernel: &TargetKernel, kind: Kind, name: &str) -> Result<AttachTarget, NotLoadable> {
    let found = kernel
        .btfs
        .iter()
        .enumerate()
        .find_map(|(at, btf)| Some((at, btf.find(kind, name)?)));
    match found {
        Some((at, id)) => Ok(AttachTarget::Btf {
            btf: BtfIdx(at as u16),
            id,
        }),
        None => Err(NotLoadable::AttachTarget {
            name: name.to_owned(),
            why: "the kernel's types have none of this name".into(),
        }),
    }
}

/// The member that the object's struct_ops value sets to the program.
fn struct_ops(
    object: &Object,
    program: &ProgramSpec,
    kernel: &TargetKernel,
) -> Result<AttachTarget, NotLoadable> {
    let lost = |name: &str, why: &str| NotLoadable::AttachTarget {
        name: name.to_owned(),
        why: why.to_owned(),
    };
    let uses = object.struct_ops.iter().find_map(|ops| {
        let (offset, _) = ops.functions.iter().find(|(_, f)| *f == program.function)?;
        Some((ops, *offset))
    });
    let (Some((ops, offset)), Some(local)) = (uses, object.btf.as_deref()) else {
        return Err(lost(
            &program.name,
            "no struct_ops value of the object uses it",
        ));
    };
    let broken = |_| lost(&ops.name, "its type is broken");
    let member = local
        .composite(ops.type_id)
        .map_err(broken)?
        .members
        .iter()
        .find(|member| member.bit_offset == offset.wrapping_mul(8))
        .ok_or_else(|| lost(&ops.name, "no member lies where it refers to the program"))?;
    let name = skep_btf::btf::essential_name(local.name(ops.type_id));
    let found = kernel.btfs.iter().enumerate().find_map(|(at, btf)| {
        let id = btf.find(Kind::Struct, name)?;
        Some((at, btf, id))
    });
    let (_, btf, id) =
        found.ok_or_else(|| lost(name, "the kernel's types have no struct_ops of this name"))?;
    let index = member_index(btf, id, member.name)
        .ok_or_else(|| lost(name, "the kernel's struct_ops has no such member"))?;
    Ok(AttachTarget::StructOps { id, member: index })
}

fn member_index(btf: &Btf, id: TypeId, name: &str) -> Option<u32> {
    let composite = btf.composite(id).ok()?;
    let at = composite.members.iter().position(|m| m.name == name)?;
    u32::try_from(at).ok()
}

/// What an extension program extends, judged by the type of its one argument, for when the extended program is not here.
pub fn extended_type(
    object: &Object,
    program: &ProgramSpec,
) -> Option<(ProgramType, Option<AttachType>)> {
    use AttachType as A;
    use ProgramType as P;
    let btf = object.btf.as_deref()?;
    let func = object.function(program.function)?.btf_type?;
    let Ok(Ty::Func { proto, .. }) = btf.ty(func) else {
        return None;
    };
    let Ok(Ty::FuncProto { params, .. }) = btf.ty(proto) else {
        return None;
    };
    let mut params = params.iter();
    let (first, None) = (params.next()?, params.next()) else {
        return None;
    };
    let Ok((_, Ty::Ptr { target })) = btf.resolved(first.ty) else {
        return None;
    };
    let name = btf.name(btf.resolve(target).ok()?);
    Some(match name {
        "__sk_buff" => (P::SchedCls, None),
        "bpf_sock" => (P::CgroupSock, Some(A::CgroupInet4PostBind)),
        "bpf_sock_addr" => (P::CgroupSockAddr, Some(A::CgroupInet4Bind)),
        "bpf_sock_ops" => (P::SockOps, Some(A::CgroupSockOps)),
        "sk_msg_md" => (P::SkMsg, Some(A::SkMsgVerdict)),
        "bpf_sysctl" => (P::CgroupSysctl, Some(A::CgroupSysctl)),
        "bpf_sockopt" => (P::CgroupSockopt, Some(A::CgroupSetsockopt)),
        "xdp_md" => (P::Xdp, Some(A::Xdp)),
        "pt_regs" => (P::Kprobe, None),
        "bpf_perf_event_data" => (P::PerfEvent, None),
        "bpf_sk_lookup" => (P::SkLookup, Some(A::SkLookup)),
        "bpf_raw_tracepoint_args" => (P::RawTracepoint, None),
        _ => return None,
    })
}

/// The kind of program of a section that has no form of its own: names that only iproute2 and old loaders give.
pub fn section_guess(section: &str, object: &str) -> (ProgramType, Option<AttachType>) {
    use AttachType as A;
    use ProgramType as P;
    const FORMS: &[(&str, P, Option<A>)] = &[
        ("kprobe", P::Kprobe, None),
        ("kretprobe", P::Kprobe, None),
        ("uprobe", P::Kprobe, None),
        ("uretprobe", P::Kprobe, None),
        ("raw_tracepoint", P::RawTracepoint, None),
        ("raw_tp", P::RawTracepoint, None),
        ("tracepoint", P::Tracepoint, None),
        ("perf_event", P::PerfEvent, None),
        ("xdp", P::Xdp, None),
        ("socket", P::SocketFilter, None),
        ("filter", P::SocketFilter, None),
        ("loadbalancer", P::SocketFilter, None),
        ("test_md", P::Xdp, None),
        ("test", P::SocketFilter, None),
        ("cgroup/sock", P::CgroupSock, Some(A::CgroupInetSockCreate)),
        ("cgroup/skb", P::CgroupSkb, None),
        ("cgroup/dev", P::CgroupDevice, None),
        (
            "cgroup/connect4",
            P::CgroupSockAddr,
            Some(A::CgroupInet4Connect),
        ),
        (
            "cgroup/connect6",
            P::CgroupSockAddr,
            Some(A::CgroupInet6Connect),
        ),
        ("connect4", P::CgroupSockAddr, Some(A::CgroupInet4Connect)),
        ("connect6", P::CgroupSockAddr, Some(A::CgroupInet6Connect)),
        ("sockops", P::SockOps, None),
        ("sk_skb", P::SkSkb, None),
        ("sk_msg", P::SkMsg, Some(A::SkMsgVerdict)),
        ("lwt_in", P::LwtIn, None),
        ("lwt_out", P::LwtOut, None),
        ("lwt_xmit", P::LwtXmit, None),
        ("len_hist", P::LwtXmit, None),
    ];
    if section.starts_with("tc_") || (section == "filter" && object.contains("_tc_")) {
        return (P::SchedCls, None);
    }
    if let Some((_, program, attach)) = FORMS.iter().find(|(form, ..)| section.starts_with(form)) {
        return (*program, *attach);
    }
    // All others are classifiers and their tail calls, but for XDP objects, whose tail calls have plain numbers.
    if object.contains("xdp") {
        (P::Xdp, None)
    } else {
        (P::SchedCls, None)
    }
}
