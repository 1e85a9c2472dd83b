//! Symbols that the kernel supplies: configuration values, addresses, variables and functions by type.
//!
//! Invariant: a weak symbol that the kernel lacks reads as zero and a call of it becomes a call that no kernel accepts; a
//! strong one keeps the program from loading.

use skep_btf::core::compatible;
use skep_btf::{Btf, Kind, Ty, TypeId};
use skep_obj::{Extern, ExternKind, InitialContents, LinkedProgram, MapKind, Object};
use skep_spec::insn::{Insn, class, jmp, pseudo};

use super::{NotLoadable, TargetKernel};
use crate::loader::config_bytes;

/// The helper number, plus the extern's rank, of a call of a kernel function that is not there: libbpf's.
const POISON_KFUNC: i32 = 2_002_000_000;
/// Any address: programs may compare it, never use it.
const SOME_ADDRESS: u64 = 0xffff_ffff_8100_0000;

/// Writes the kernel's configuration values into their map; answers the first that is missing.
pub(super) fn fill_config(object: &mut Object, kernel: &TargetKernel) -> Option<(String, String)> {
    for map in &mut object.maps {
        if map.kind == MapKind::Kconfig && map.initial == InitialContents::None {
            map.initial = InitialContents::Bytes(vec![0; map.def.value_size as usize]);
        }
    }
    for symbol in &object.externs {
        let ExternKind::Kconfig { map, offset, size } = symbol.kind else {
            continue;
        };
        let Some(value) = kernel.config(&symbol.name) else {
            if symbol.weak {
                continue;
            }
            let why = "the kernel's configuration does not say".to_owned();
            return Some((symbol.name.clone(), why));
        };
        let bytes = config_bytes(&value, size as usize);
        let place = object
            .maps
            .get_mut(map.0)
            .and_then(|map| match &mut map.initial {
                InitialContents::Bytes(all) => {
                    all.get_mut(offset as usize..(offset as usize).checked_add(bytes.len())?)
                }
                _ => None,
            });
        match place {
            Some(place) => place.copy_from_slice(&bytes),
            None => return Some((symbol.name.clone(), "it lies outside of .kconfig".into())),
        }
    }
    None
}

/// Gives every extern that the program uses its value.
pub(super) fn resolve(
    object: &Object,
    code: &mut LinkedProgram,
    kernel: &TargetKernel,
) -> Result<(), NotLoadable> {
    for reference in code.extern_refs.clone() {
        let at = reference.at;
        let (Some(symbol), Some(insn)) = (
            object.externs.get(reference.extern_.0),
            code.insns.get(at).copied(),
        ) else {
            continue;
        };
        match symbol.kind {
            ExternKind::Kfunc | ExternKind::KsymTyped => {
                let kind = match symbol.kind {
                    ExternKind::Kfunc => Kind::Func,
                    _ => Kind::Var,
                };
                match find(object, symbol, kind, kernel)? {
                    Some(found) if insn.is_ld_imm64() => set_btf_id(code, at, found),
                    Some((btf, id)) => {
                        let call = &mut code.insns[at];
                        (call.src, call.imm) = (pseudo::KFUNC_CALL, id.0 as i32);
                        call.off = btf as i16;
                    }
                    None if insn.is_ld_imm64() => set_address(code, at, 0),
                    None => {
                        code.insns[at] = Insn {
                            code: class::JMP | jmp::CALL,
                            dst: 0,
                            src: 0,
                            off: 0,
                            imm: POISON_KFUNC.wrapping_add(rank(object, symbol) as i32),
                        };
                    }
                }
            }
            ExternKind::KsymUntyped => {
                let address = if symbol.weak { 0 } else { SOME_ADDRESS };
                set_address(code, at, address);
            }
            // The linker has put configuration values in place and refused what only it could supply.
            ExternKind::Kconfig { .. } | ExternKind::Function | ExternKind::Variable => {}
        }
    }
    Ok(())
}

/// Makes a call of a function of the kernel name it by its type; one that is not there becomes a call that no kernel
/// accepts.
pub(super) fn set_kfunc(code: &mut LinkedProgram, at: usize, found: Option<TypeId>) {
    let Some(call) = code.insns.get_mut(at) else {
        return;
    };
    match found {
        Some(id) => (call.src, call.imm, call.off) = (pseudo::KFUNC_CALL, id.0 as i32, 0),
        None => (call.src, call.imm, call.off) = (pseudo::HELPER, POISON_KFUNC, 0),
    }
}

/// A symbol's place when configuration values come first and kernel symbols follow by name, as libbpf sorts them.
fn rank(object: &Object, symbol: &Extern) -> usize {
    let config = |other: &Extern| matches!(other.kind, ExternKind::Kconfig { .. });
    object
        .externs
        .iter()
        .filter(|other| config(other) || other.name < symbol.name)
        .count()
}

/// The symbol's place among the kernel's types.
fn find(
    object: &Object,
    symbol: &Extern,
    kind: Kind,
    kernel: &TargetKernel,
) -> Result<Option<(usize, TypeId)>, NotLoadable> {
    // `name___2`: another declaration of the same function.
    let name = skep_btf::btf::essential_name(&symbol.name);
    let found = kernel
        .btfs
        .iter()
        .enumerate()
        .find_map(|(at, btf)| Some((at, btf.find(kind, name)?)));
    let missing = |why: &str| {
        if symbol.weak {
            return Ok(None);
        }
        Err(NotLoadable::Symbol {
            name: symbol.name.clone(),
            why: why.to_owned(),
        })
    };
    let Some((at, id)) = found else {
        return missing("the kernel's types have none of this name");
    };
    let fits = match (&object.btf, symbol.btf_type) {
        (Some(local), Some(local_id)) => same_type(local, local_id, &kernel.btfs[at], id),
        _ => true,
    };
    if fits {
        Ok(Some((at, id)))
    } else {
        missing("the kernel's has another type")
    }
}

fn same_type(local: &Btf, local_id: TypeId, target: &Btf, target_id: TypeId) -> bool {
    let below = |btf: &Btf, id| match btf.ty(id) {
        Ok(Ty::Func { proto, .. }) => Some(proto),
        Ok(Ty::Var { target, .. }) => Some(target),
        _ => None,
    };
    match (below(local, local_id), below(target, target_id)) {
        (Some(a), Some(b)) => compatible(local, a, target, b).unwrap_or(false),
        _ => true,
    }
}

fn wide(code: &mut LinkedProgram, at: usize) -> Option<&mut [Insn; 2]> {
    let pair = code.insns.get_mut(at..)?.first_chunk_mut::<2>()?;
    pair[0].is_ld_imm64().then_some(pair)
}

fn set_btf_id(code: &mut LinkedProgram, at: usize, (btf, id): (usize, TypeId)) {
    if let Some([first, second]) = wide(code, at) {
        (first.src, first.imm, second.imm) = (pseudo::BTF_ID, id.0 as i32, btf as i32);
    }
}

fn set_address(code: &mut LinkedProgram, at: usize, address: u64) {
    if let Some([first, second]) = wide(code, at) {
        (first.src, first.imm, second.imm) = (0, address as i32, (address >> 32) as i32);
    }
}
