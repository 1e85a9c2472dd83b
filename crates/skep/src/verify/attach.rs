//! What a program attaches to: the kernel's function, tracepoint, hook, iterator or struct_ops member, by type.
//!
//! Invariant: a target is found by its name in the kernel's types, as loaders look it up; one that is not there keeps the
//! program from loading.

use skep_btf::{Btf, Kind, TypeId};
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
