//! Puts functions and maps of one section together, as files hold them.
//!
//! Invariant: every reference moves with what it refers to; the order within a section stays.

use std::collections::HashMap;

use crate::object::*;

/// Sorts functions and maps by where their section appears first.
pub(crate) fn by_section(object: &mut Object) {
    let functions = order(object.functions.iter().map(|f| f.section.as_str()));
    let maps = order(object.maps.iter().map(|m| m.section.as_str()));
    permute(&mut object.functions, &functions);
    permute(&mut object.maps, &maps);
    let function = |f: &mut FnIdx| f.0 = functions.get(f.0).copied().unwrap_or(f.0);
    let map = |m: &mut MapIdx| m.0 = maps.get(m.0).copied().unwrap_or(m.0);
    object
        .programs
        .iter_mut()
        .for_each(|p| function(&mut p.function));
    for reloc in object.functions.iter_mut().flat_map(|f| &mut f.relocs) {
        match &mut reloc.target {
            RelocTarget::Map(m) | RelocTarget::MapValue { map: m, .. } => map(m),
            RelocTarget::Call(f) | RelocTarget::FuncAddr(f) => function(f),
            RelocTarget::Extern(_) => {}
        }
    }
    for spec in &mut object.maps {
        if let InitialContents::Slots(slots) = &mut spec.initial {
            for (_, target) in slots {
                match target {
                    SlotTarget::Map(m) => map(m),
                    SlotTarget::Program(f) => function(f),
                }
            }
        }
        for reloc in &mut spec.data_relocs {
            match &mut reloc.target {
                DataTarget::Function(f) | DataTarget::Code { function: f, .. } => function(f),
                DataTarget::Map(m) | DataTarget::MapValue { map: m, .. } => map(m),
                DataTarget::Extern(_) => {}
            }
        }
    }
    for wanted in &mut object.externs {
        if let ExternKind::Kconfig { map: m, .. } = &mut wanted.kind {
            map(m);
        }
    }
    for ops in &mut object.struct_ops {
        map(&mut ops.map);
        ops.functions.iter_mut().for_each(|(_, f)| function(f));
    }
}

/// The new place of each item.
fn order<'a>(sections: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut ranked: Vec<(usize, usize)> = sections
        .enumerate()
        .map(|(index, section)| {
            let next = first.len();
            (*first.entry(section).or_insert(next), index)
        })
        .collect();
    ranked.sort();
    let mut out = vec![0; ranked.len()];
    for (new, (_, old)) in ranked.into_iter().enumerate() {
        out[old] = new;
    }
    out
}

fn permute<T>(items: &mut Vec<T>, new_of: &[usize]) {
    let mut placed: Vec<(usize, T)> = new_of.iter().copied().zip(std::mem::take(items)).collect();
    placed.sort_by_key(|(new, _)| *new);
    items.extend(placed.into_iter().map(|(_, item)| item));
}
