//! Kernel variables named by BTF: which register their address becomes.

use skep_btf::{Btf, Kind as BtfKind, Ty, TypeId};

use crate::fault::{Fault, Rule};
use crate::input::BtfIdx;
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::verifier::Verifier;

const EINVAL: i32 = 22;

/// The address of the variable (or function) `id`.
pub fn address(verifier: &Verifier<'_>, btf: BtfIdx, id: u32) -> Rule<Reg> {
    if let Some(reg) = verifier.known.variables.borrow().get(&(btf, id)) {
        return Ok(*reg);
    }
    let reg = look_up(verifier, btf, id)?;
    verifier.known.variables.borrow_mut().insert((btf, id), reg);
    Ok(reg)
}

fn look_up(verifier: &Verifier<'_>, btf: BtfIdx, id: u32) -> Rule<Reg> {
    let refuse = |line: String| Err(Fault::new(EINVAL, "verifier-variable", line));
    let Some(types) = verifier.input.btf(btf).filter(|_| btf != BtfIdx::PROGRAM) else {
        return refuse("invalid module BTF object FD specified.".into());
    };
    let target = match types.ty(TypeId(id)) {
        Ok(Ty::Var { target, .. }) => target,
        Ok(Ty::Func { .. }) => {
            return Ok(Reg::pointer(Kind::Mem, Flags::RDONLY).to(memory(0)));
        }
        Ok(_) => {
            return refuse(format!(
                "pseudo btf_id {id} in ldimm64 isn't KIND_VAR or KIND_FUNC."
            ));
        }
        Err(_) => {
            return refuse(format!("ldimm64 insn specifies invalid btf_id {id}."));
        }
    };
    let Ok((resolved, ty)) = types.resolved(target) else {
        return refuse(format!("ldimm64 insn specifies invalid btf_id {id}."));
    };
    if is_percpu(types, TypeId(id)) {
        return Ok(Reg::pointer(Kind::BtfId, Flags::PERCPU).to(Detail::Btf {
            btf,
            id: resolved.0,
        }));
    }
    if matches!(ty, Ty::Struct(_) | Ty::Union(_)) {
        return Ok(Reg::pointer(Kind::BtfId, Flags::NONE).to(Detail::Btf {
            btf,
            id: resolved.0,
        }));
    }
    match types.size_of(resolved) {
        Ok(size) => Ok(Reg::pointer(Kind::Mem, Flags::RDONLY).to(memory(size))),
        Err(_) => refuse(format!(
            "ldimm64 unable to resolve the size of type '{}': -22",
            types.name(resolved)
        )),
    }
}

fn memory(size: u32) -> Detail {
    Detail::Mem { size, dynptr_id: 0 }
}

/// Whether the variable lies in the section of per-CPU variables.
fn is_percpu(types: &Btf, id: TypeId) -> bool {
    types
        .find(BtfKind::DataSec, ".data..percpu")
        .and_then(|section| types.ty(section).ok())
        .is_some_and(|section| match section {
            Ty::DataSec { vars, .. } => vars.iter().any(|var| var.ty == id),
            _ => false,
        })
}
