//! `maps` and `maps/NAME`: map definitions of before BTF, as structs in the file.
//!
//! Invariants: each definition lies in its section; fields beyond those that
//! every variant shares are kept as bytes. Layouts: `struct bpf_map_def` of libbpf, the kernel's samples and Cilium's
//! loader, `struct bpf_elf_map` of iproute2.

use std::collections::HashMap;

use object::elf;
use skep_spec::map::{MapDef, MapType, flags};

use super::{File, Home, Numbers, Symbol};
use crate::error::ObjError;
use crate::object::{MapKind, MapSpec, Pinning};

/// type, key_size, value_size, max_entries.
const SHORTEST: u64 = 16;
/// `struct bpf_elf_map` of iproute2: the above, flags, id, pinning, inner_id, inner_idx.
const IPROUTE2: usize = 36;

/// Whether a section's name is that of legacy map definitions.
pub(crate) fn is_section(name: &str) -> bool {
    name == "maps" || name.starts_with("maps/")
}

/// A map, where it is, and which inner map it names.
pub(super) struct Placed {
    pub spec: MapSpec,
    pub offset: u64,
    /// Own id and inner id of iproute2; 0 is none.
    pub id: u32,
    pub inner_id: u32,
}

pub(super) fn read(file: &File<'_>, section: usize) -> Result<Vec<Placed>, ObjError> {
    let numbers = Numbers(file.endian);
    let data = file.sections[section].data;
    let name = &file.sections[section].name;
    let mut symbols: Vec<&Symbol> = file
        .symbols
        .iter()
        .filter(|s| {
            s.home == Home::Section(section)
                && !s.is_section()
                && !s.name.is_empty()
                && !is_label(&s.name)
        })
        .collect();
    symbols.sort_by_key(|s| s.value);
    symbols.dedup_by_key(|s| s.value);
    let len = data.len() as u64;
    if symbols.is_empty() {
        if data.iter().all(|&b| b == 0) {
            return Ok(Vec::new());
        }
        return Err(ObjError::malformed(
            name,
            0,
            "map definitions without symbols",
        ));
    }
    if let Some(hidden) = symbols
        .iter()
        .find(|s| s.is_local() && s.kind == elf::STT_OBJECT)
    {
        return Err(ObjError::unsupported(
            name,
            hidden.value,
            format!("legacy map `{}` is static", hidden.name),
            "drop the `static`, or define the map in `.maps`",
        ));
    }
    // Symbols have a size since clang 7; before that all definitions of a section are of one length.
    let sized = symbols.iter().all(|s| s.size != 0);
    if !sized && !len.is_multiple_of(symbols.len() as u64) {
        return Err(ObjError::malformed(
            name,
            0,
            format!(
                "{len} bytes do not divide into the {} maps that have symbols; a `static` map has none",
                symbols.len()
            ),
        ));
    }
    let each = len / symbols.len() as u64;
    let mut out = Vec::with_capacity(symbols.len());
    for symbol in symbols {
        let bad = |why: String| {
            ObjError::malformed(name, symbol.value, format!("map `{}`: {why}", symbol.name))
        };
        let size = if sized { symbol.size } else { each };
        if size < SHORTEST {
            return Err(bad(format!(
                "a definition of {size} bytes, wanted {SHORTEST} or more"
            )));
        }
        let bytes = symbol.value.checked_add(size).and_then(|end| {
            data.get(usize::try_from(symbol.value).ok()?..usize::try_from(end).ok()?)
        });
        let bytes =
            bytes.ok_or_else(|| bad(format!("its {size:#x} bytes reach beyond the section")))?;
        let field = |at: usize| numbers.u32(bytes, at).unwrap_or(0);
        let map_type = MapType::by_number(field(0)).ok_or_else(|| {
            ObjError::unsupported(
                name,
                symbol.value,
                format!("map `{}` is of type {}", symbol.name, field(0)),
                "this kind of map is not known",
            )
        })?;
        let mut spec = MapSpec {
            def: MapDef::new(symbol.name.clone(), map_type, field(4), field(8), field(12)),
            section: name.clone(),
            key_type: None,
            value_type: None,
            pinning: Pinning::None,
            inner: None,
            initial: Default::default(),
            frozen: false,
            kind: MapKind::Ordinary,
            data_relocs: Vec::new(),
            weak: symbol.is_weak(),
            legacy_extra: bytes.get(20..).unwrap_or(&[]).to_vec(),
        };
        spec.def.flags = field(16);
        let (mut id, mut inner_id) = (0, 0);
        if bytes.len() == IPROUTE2 {
            spec.pinning = match field(24) {
                0 => Pinning::None,
                other => Pinning::Other(other),
            };
            (id, inner_id) = (field(20), field(28));
        } else if bytes.len() == 28 && spec.def.flags & flags::NUMA_NODE != 0 {
            // The kernel's samples: inner_map_idx, numa_node.
            spec.def.numa_node = Some(field(24));
        }
        out.push(Placed {
            spec,
            offset: symbol.value,
            id,
            inner_id,
        });
    }
    // iproute2 names inner maps by id.
    let by_id: HashMap<u32, MapSpec> = out
        .iter()
        .filter(|p| p.id != 0)
        .map(|p| (p.id, p.spec.clone()))
        .collect();
    for placed in out
        .iter_mut()
        .filter(|p| p.inner_id != 0 && p.spec.def.map_type.is_map_of_maps())
    {
        placed.spec.inner = by_id.get(&placed.inner_id).cloned().map(Box::new);
    }
    // The kernel's samples name them by their place among the definitions.
    let specs: Vec<MapSpec> = out.iter().map(|p| p.spec.clone()).collect();
    for placed in out
        .iter_mut()
        .filter(|p| p.spec.def.map_type.is_map_of_maps() && p.spec.inner.is_none())
    {
        let index = match placed.spec.legacy_extra.len() {
            4 | 8 => numbers.u32(&placed.spec.legacy_extra, 0),
            _ => None,
        };
        if let Some(inner) = index.and_then(|i| specs.get(i as usize))
            && !inner.def.map_type.is_map_of_maps()
        {
            placed.spec.inner = Some(Box::new(inner.clone()));
        }
    }
    Ok(out)
}

/// Labels that old assemblers left among the symbols.
fn is_label(name: &str) -> bool {
    name.starts_with(".L") || name.starts_with("LBB")
}
