//! `maps` and `maps/NAME`: map definitions of before BTF, as structs in the file.
//!
//! Invariants: the definitions of a section are evenly spaced, and each lies in the section; fields beyond those that
//! every variant shares are kept as bytes. Layouts: `struct bpf_map_def` of libbpf, the kernel's samples and Cilium's
//! loader, `struct bpf_elf_map` of iproute2.

use skep_spec::map::{MapDef, MapType, flags};

use super::{File, Home, Numbers, Symbol};
use crate::error::ObjError;
use crate::object::{MapKind, MapSpec, Pinning};

/// type, key_size, value_size, max_entries.
const SHORTEST: u64 = 16;
/// `struct bpf_elf_map` of iproute2: the above, flags, id, pinning, inner_id, inner_idx.
const IPROUTE2: usize = 36;

/// Whether a section's name is that of legacy map definitions.
pub(super) fn is_section(name: &str) -> bool {
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
    if !len.is_multiple_of(symbols.len() as u64) {
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
    if each < SHORTEST {
        return Err(ObjError::malformed(
            name,
            0,
            format!("map definitions of {each} bytes, wanted {SHORTEST} or more"),
        ));
    }
    let mut out = Vec::with_capacity(symbols.len());
    for symbol in symbols {
        let bad = |why: String| {
            ObjError::malformed(name, symbol.value, format!("map `{}`: {why}", symbol.name))
        };
        if !symbol.value.is_multiple_of(each) {
            return Err(bad(format!("it does not start at a multiple of {each}")));
        }
        if symbol.size != 0
            && symbol
                .value
                .checked_add(symbol.size)
                .is_none_or(|end| end > len)
        {
            return Err(bad(format!(
                "its symbol of {:#x} bytes reaches beyond the section",
                symbol.size
            )));
        }
        let bytes = usize::try_from(symbol.value)
            .ok()
            .and_then(|at| data.get(at..at.checked_add(each as usize)?))
            .ok_or_else(|| bad("it does not lie in the section".into()))?;
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
    let by_id: Vec<(u32, MapSpec)> = out
        .iter()
        .filter(|p| p.id != 0)
        .map(|p| (p.id, p.spec.clone()))
        .collect();
    for placed in out
        .iter_mut()
        .filter(|p| p.inner_id != 0 && p.spec.def.map_type.is_map_of_maps())
    {
        if let Some((_, inner)) = by_id.iter().find(|(id, _)| *id == placed.inner_id) {
            placed.spec.inner = Some(Box::new(inner.clone()));
        }
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
