//! Turns ELF relocations into references between the parts of the object.
//!
//! Invariants: after [`code`], an instruction that refers to a symbol carries no number of the file's layout (its
//! immediates are 0, or -1 for calls) and has its pseudo source register set; a target that is not understood becomes
//! an extern that linking refuses by name, so one program never makes the others unreadable.

use skep_spec::insn::{Endian, Insn, pseudo};

use super::read::{DeclaredAt, Reader};
use super::{Home, reloc};
use crate::error::ObjError;
use crate::object::*;

fn is_wide_load(code: &[u8], offset: u64, endian: Endian) -> bool {
    usize::try_from(offset)
        .ok()
        .and_then(|at| code.get(at..)?.first_chunk::<8>())
        .is_some_and(|slot| Insn::from_bytes(slot, endian).is_ld_imm64())
}

/// Relocations of code sections.
pub(super) fn code(reader: &mut Reader<'_, '_>) -> Result<(), ObjError> {
    let file = reader.file;
    for (index, section) in file.sections.iter().enumerate() {
        if !section.is_code() || section.data.is_empty() {
            continue;
        }
        let mut relocs: Vec<&super::ElfReloc> = section.relocs.iter().collect();
        relocs.sort_by_key(|r| r.offset);
        for r in relocs {
            let bad = |why: String| ObjError::malformed(&section.name, r.offset, why);
            let slot = usize::try_from(r.offset / 8).unwrap_or(usize::MAX);
            // Compilers of 2016 gave relocations of wide loads no type.
            let untyped = r.kind == reloc::NONE;
            if untyped && !is_wide_load(section.data, r.offset, file.endian) {
                continue;
            }
            let found = if r.offset.is_multiple_of(8) {
                reader.functions.holding(index, slot)
            } else {
                None
            };
            let (function, at) =
                found.ok_or_else(|| bad("a relocation that is not at an instruction".into()))?;
            let insns = &reader.functions.list[function.0].insns;
            let (insn, next) = (insns[at], insns.get(at + 1).copied().unwrap_or_default());
            let target = match r.kind {
                reloc::R_64_64 if insn.is_ld_imm64() => {
                    address(reader, r, insn, next).map_err(bad)?
                }
                reloc::R_64_32 if insn.is_call() => call(reader, r, insn).map_err(bad)?,
                // Old compilers relocate wide loads as data.
                reloc::R_ABS64 | reloc::NONE if insn.is_ld_imm64() => {
                    address(reader, r, insn, next).map_err(bad)?
                }
                reloc::R_ABS32 if insn.is_call() => call(reader, r, insn).map_err(bad)?,
                kind => {
                    let symbol = &file.symbols[r.symbol].name;
                    return Err(bad(format!(
                        "{} ({kind}) against `{symbol}` does not fit the instruction with code {:#04x}",
                        reloc::name(kind),
                        insn.code
                    )));
                }
            };
            let function = &mut reader.functions.list[function.0];
            if function.relocs.last().is_some_and(|last| last.at == at) {
                return Err(bad("a second relocation of one instruction".into()));
            }
            strip(&mut function.insns, at, target, &reader.object.externs);
            function.relocs.push(Reloc { at, target });
        }
        calls_without_relocation(reader, index)?;
    }
    for function in &mut reader.functions.list {
        function.relocs.sort_by_key(|r| r.at);
    }
    Ok(())
}

/// Calls and callback addresses that the compiler resolved within the section.
fn calls_without_relocation(reader: &mut Reader<'_, '_>, section: usize) -> Result<(), ObjError> {
    let name = &reader.file.sections[section].name;
    for index in 0..reader.functions.list.len() {
        let (home, start) = reader.functions.origin[index];
        if home != section {
            continue;
        }
        let relocated: std::collections::HashSet<usize> = reader.functions.list[index]
            .relocs
            .iter()
            .map(|r| r.at)
            .collect();
        for at in 0..reader.functions.list[index].insns.len() {
            let insn = reader.functions.list[index].insns[at];
            let is_call = insn.is_local_call();
            if relocated.contains(&at)
                || !(is_call || insn.is_ld_imm64() && insn.src == pseudo::FUNC)
            {
                continue;
            }
            let slot = (start + at) as i64 + 1 + i64::from(insn.imm);
            let target = usize::try_from(slot)
                .ok()
                .and_then(|slot| reader.functions.starting_at(section, slot));
            let Some(target) = target else {
                let why = format!("a call of slot {slot}, where no function starts");
                return Err(ObjError::malformed(name, (start + at) as u64 * 8, why));
            };
            let target = if is_call {
                RelocTarget::Call(target)
            } else {
                RelocTarget::FuncAddr(target)
            };
            let function = &mut reader.functions.list[index];
            strip(&mut function.insns, at, target, &reader.object.externs);
            function.relocs.push(Reloc { at, target });
        }
    }
    Ok(())
}

/// Writes the canonical form of a relocated instruction.
pub(crate) fn strip(insns: &mut [Insn], at: usize, target: RelocTarget, externs: &[Extern]) {
    let (src, imm) = match target {
        RelocTarget::Map(_) => (pseudo::MAP_FD, 0),
        RelocTarget::MapValue { .. } => (pseudo::MAP_VALUE, 0),
        RelocTarget::FuncAddr(_) => (pseudo::FUNC, 0),
        RelocTarget::Call(_) => (pseudo::CALL, -1),
        RelocTarget::Extern(e) => match externs.get(e.0).map(|e| e.kind) {
            Some(ExternKind::Kfunc) if insns.get(at).is_some_and(|i| i.is_call()) => {
                (pseudo::KFUNC_CALL, 0)
            }
            Some(ExternKind::KsymTyped | ExternKind::Kfunc) => (pseudo::BTF_ID, 0),
            _ if insns.get(at).is_some_and(|i| i.is_call()) => (pseudo::CALL, -1),
            _ => (0, 0),
        },
    };
    let Some(insn) = insns.get_mut(at) else {
        return;
    };
    insn.src = src;
    insn.imm = imm;
    if insn.is_ld_imm64()
        && let Some(next) = insns.get_mut(at + 1)
    {
        next.imm = 0;
    }
}

fn call(
    reader: &mut Reader<'_, '_>,
    r: &super::ElfReloc,
    insn: Insn,
) -> Result<RelocTarget, String> {
    let symbol = &reader.file.symbols[r.symbol];
    match symbol.home {
        Home::Section(section) if reader.file.sections[section].is_code() => {
            let addend = if r.addend != 0 {
                r.addend / 8
            } else {
                i64::from(insn.imm) + 1
            };
            let slot = (symbol.value / 8) as i64 + addend;
            usize::try_from(slot)
                .ok()
                .and_then(|slot| reader.functions.starting_at(section, slot))
                .map(RelocTarget::Call)
                .ok_or_else(|| {
                    format!(
                        "a call of `{}` at slot {slot}, where no function starts",
                        symbol.name
                    )
                })
        }
        Home::Undefined if !symbol.name.is_empty() => Ok(RelocTarget::Extern(reader.add_extern(
            r.symbol,
            ExternKind::Function,
            None,
        ))),
        _ => Err(format!(
            "a call of `{}`, which is not a function",
            symbol.name
        )),
    }
}

fn address(
    reader: &mut Reader<'_, '_>,
    r: &super::ElfReloc,
    insn: Insn,
    next: Insn,
) -> Result<RelocTarget, String> {
    let file = reader.file;
    let symbol = &file.symbols[r.symbol];
    let addend = (insn.imm64(next) as i64).wrapping_add(r.addend);
    let section = match symbol.home {
        Home::Section(section) => section,
        Home::Undefined if !symbol.name.is_empty() => {
            let target = reader.add_extern(r.symbol, ExternKind::Variable, None);
            if let Some(Extern {
                kind: ExternKind::Kconfig { .. },
                name,
                ..
            }) = reader.object.externs.get(target.0)
                && addend != 0
            {
                return Err(format!("an address inside configuration value `{name}`"));
            }
            return Ok(RelocTarget::Extern(target));
        }
        _ => {
            return Err(format!(
                "an address of `{}`, which is in no section",
                symbol.name
            ));
        }
    };
    // Addends of 32 bits are sign-extended by some compilers and not by others.
    let narrow = i64::from(insn.imm);
    let offset = (symbol.value as i64).wrapping_add(if next.imm == 0 { narrow } else { addend });
    if let Some(&map) = reader.places.data.get(&section) {
        let size = file.sections[section].size;
        let offset = u64::try_from(offset)
            .ok()
            .filter(|&o| o <= size)
            .and_then(|o| u32::try_from(o).ok());
        let offset = offset.ok_or_else(|| {
            format!(
                "an address at {:#x} outside section {}",
                symbol.value, file.sections[section].name
            )
        })?;
        return Ok(RelocTarget::MapValue { map, offset });
    }
    if let Some(declared) = reader.places.declared.get(&section) {
        return declared
            .iter()
            .find(|d| d.offset as i64 == offset)
            .map(|d| RelocTarget::Map(d.map))
            .ok_or_else(|| {
                format!(
                    "no map is at {offset:#x} of section {}",
                    file.sections[section].name
                )
            });
    }
    if file.sections[section].is_code() {
        return usize::try_from(offset / 8)
            .ok()
            .and_then(|slot| reader.functions.starting_at(section, slot))
            .map(RelocTarget::FuncAddr)
            .ok_or_else(|| format!("the address of `{}`, where no function starts", symbol.name));
    }
    let name = format!("{} (section {})", symbol.name, file.sections[section].name);
    let headline = format!("code refers to `{name}`, which is in no section that becomes a map");
    reader.note(
        "obj-unknown-reference",
        &file.sections[section].name,
        symbol.value,
        headline,
    );
    let target = reader.add_extern(r.symbol, ExternKind::Variable, None);
    Ok(RelocTarget::Extern(target))
}

/// Relocations of data: elements of maps, function pointers of struct_ops, pointers in data sections.
pub(super) fn data(reader: &mut Reader<'_, '_>) -> Result<(), ObjError> {
    let file = reader.file;
    for (index, section) in file.sections.iter().enumerate() {
        if section.is_code() || section.relocs.is_empty() {
            continue;
        }
        let declared = reader.places.declared.get(&index).cloned();
        let struct_ops = reader.places.struct_ops.get(&index).cloned();
        let data_map = reader.places.data.get(&index).copied();
        if declared.is_none() && struct_ops.is_none() && data_map.is_none() {
            continue;
        }
        for r in &section.relocs {
            let bad = |why: String| ObjError::malformed(&section.name, r.offset, why);
            let in_place = usize::try_from(r.offset)
                .ok()
                .and_then(|at| super::Numbers(file.endian).u64(section.data, at));
            let addend = r.addend.wrapping_add(in_place.unwrap_or(0) as i64);
            let symbol = &file.symbols[r.symbol];
            if let Some(declared) = &declared {
                let target = pointer(reader, r.symbol, addend);
                initial_slot(reader, declared, r.offset, target, &symbol.name).map_err(bad)?;
            } else if let Some(values) = &struct_ops {
                let Some(&(start, _, map)) = values
                    .iter()
                    .find(|(start, size, _)| r.offset >= *start && r.offset - start < *size)
                else {
                    return Err(bad("a pointer in no struct_ops value".into()));
                };
                let at = (r.offset - start) as u32;
                match pointer(reader, r.symbol, addend) {
                    Some(DataTarget::Function(function)) => {
                        if let Some(ops) = reader
                            .object
                            .struct_ops
                            .iter_mut()
                            .find(|ops| ops.map == map)
                        {
                            ops.functions.push((at, function));
                        }
                    }
                    Some(target) => {
                        let offset = u64::from(at);
                        reader.object.maps[map.0]
                            .data_relocs
                            .push(DataReloc { offset, target });
                    }
                    None => {
                        return Err(bad(format!(
                            "a pointer to `{}`, which is nothing known",
                            symbol.name
                        )));
                    }
                }
            } else if let Some(map) = data_map {
                match pointer(reader, r.symbol, addend) {
                    Some(target) => {
                        let offset = r.offset;
                        reader.object.maps[map.0]
                            .data_relocs
                            .push(DataReloc { offset, target });
                    }
                    None => {
                        let headline = format!(
                            "a pointer to `{}`, which is nothing known, stays as it is",
                            symbol.name
                        );
                        reader.note("obj-unknown-reference", &section.name, r.offset, headline);
                    }
                }
            }
        }
        if let Some(map) = data_map
            && !reader.object.maps[map.0].data_relocs.is_empty()
            && reader.object.maps[map.0].kind != MapKind::JumpTable
        {
            let headline = format!(
                "pointers in `{}` are not filled in: BPF data cannot hold addresses",
                section.name
            );
            reader.note("obj-data-pointers", &section.name, 0, headline);
        }
    }
    for map in &mut reader.object.maps {
        map.data_relocs.sort_by_key(|r| r.offset);
    }
    for ops in &mut reader.object.struct_ops {
        ops.functions.sort();
    }
    Ok(())
}

/// What a pointer in data refers to.
fn pointer(reader: &mut Reader<'_, '_>, symbol_index: usize, addend: i64) -> Option<DataTarget> {
    let file = reader.file;
    let symbol = &file.symbols[symbol_index];
    let section = match symbol.home {
        Home::Section(section) => section,
        Home::Undefined if !symbol.name.is_empty() => {
            return Some(DataTarget::Extern(reader.add_extern(
                symbol_index,
                ExternKind::Variable,
                None,
            )));
        }
        _ => return None,
    };
    let offset = (symbol.value as i64).wrapping_add(addend);
    let unsigned = u64::try_from(offset).ok()?;
    if let Some(&map) = reader.places.data.get(&section) {
        return (unsigned <= file.sections[section].size).then_some(DataTarget::MapValue {
            map,
            offset: unsigned,
        });
    }
    if let Some(declared) = reader.places.declared.get(&section) {
        return declared
            .iter()
            .find(|d| d.offset == unsigned)
            .map(|d| DataTarget::Map(d.map));
    }
    if file.sections[section].is_code() && unsigned.is_multiple_of(8) {
        let slot = usize::try_from(unsigned / 8).ok()?;
        return match reader.functions.holding(section, slot)? {
            (function, 0) => Some(DataTarget::Function(function)),
            (function, at) => Some(DataTarget::Code { function, at }),
        };
    }
    None
}

fn initial_slot(
    reader: &mut Reader<'_, '_>,
    declared: &[DeclaredAt],
    offset: u64,
    target: Option<DataTarget>,
    symbol: &str,
) -> Result<(), String> {
    let place = declared
        .iter()
        .find(|d| offset >= d.offset && offset - d.offset < d.size);
    let Some(place) = place else {
        return Err("an initial element in no map".into());
    };
    let map = &mut reader.object.maps[place.map.0];
    let values_at = place
        .values_at
        .ok_or_else(|| format!("map `{}` has no `values` to initialise", map.def.name))?;
    let inside = (offset - place.offset)
        .checked_sub(values_at)
        .filter(|o| o.is_multiple_of(8));
    let inside = inside
        .ok_or_else(|| format!("map `{}`: a pointer that is not in `values`", map.def.name))?;
    let slot = u32::try_from(inside / 8).map_err(|_| "an element beyond 2^32".to_owned())?;
    let target = match target {
        Some(DataTarget::Map(inner)) if map.def.map_type.is_map_of_maps() => SlotTarget::Map(inner),
        Some(DataTarget::Function(f)) if map.def.map_type == skep_spec::map::MapType::ProgArray => {
            SlotTarget::Program(f)
        }
        _ => {
            return Err(format!(
                "map `{}` of type {} cannot hold `{symbol}`",
                map.def.name, map.def.map_type
            ));
        }
    };
    match &mut map.initial {
        InitialContents::Slots(slots) => slots.push((slot, target)),
        initial => *initial = InitialContents::Slots(vec![(slot, target)]),
    }
    Ok(())
}
