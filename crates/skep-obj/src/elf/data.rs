//! Data sections as maps of one value.
//!
//! Invariants: a section without bytes in the file allocates nothing, whatever size it claims; no value is larger than
//! [`VALUE_BYTES_MAX`].

use skep_btf::{Btf, Kind, Ty, ty::Linkage};
use skep_spec::map::{MapDef, MapType, flags};

use super::Section;
use crate::error::ObjError;
use crate::object::{InitialContents, MapKind, MapSpec, Pinning};

/// The largest data section that is accepted; the kernel's own limit is lower.
pub(crate) const VALUE_BYTES_MAX: u64 = 1 << 30;

/// What kind of data map a section is, by its name.
pub(super) fn kind_of(section: &Section<'_>) -> Option<MapKind> {
    let is = |prefix: &str| {
        section
            .name
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let no_bits = section.kind == object::elf::SHT_NOBITS;
    if is(".rodata") {
        Some(MapKind::Rodata)
    } else if is(".data") && !no_bits {
        Some(MapKind::Data)
    } else if is(".bss") || is(".data") {
        Some(MapKind::Bss)
    } else if section.name == ".addr_space.1" {
        Some(MapKind::Arena)
    } else if section.name == ".jumptables" {
        Some(MapKind::JumpTable)
    } else {
        None
    }
}

/// What kind of data map text means by a section's name.
pub(crate) fn kind_of_name(name: &str) -> Option<MapKind> {
    let is = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    [
        (".rodata", MapKind::Rodata),
        (".data", MapKind::Data),
        (".bss", MapKind::Bss),
    ]
    .into_iter()
    .find(|(prefix, _)| is(prefix))
    .map(|(_, kind)| kind)
}

pub(super) fn map_of(
    section: &Section<'_>,
    kind: MapKind,
    btf: Option<&Btf>,
) -> Result<MapSpec, ObjError> {
    let size = section.size;
    if size > VALUE_BYTES_MAX {
        return Err(ObjError::unsupported(
            &section.name,
            0,
            format!("a data section of {size:#x} bytes"),
            format!("the value of a map holds {VALUE_BYTES_MAX:#x} bytes at most"),
        ));
    }
    let mut spec = empty(&section.name, kind, size as u32);
    if section.data.iter().any(|&b| b != 0) || kind != MapKind::Bss && !section.data.is_empty() {
        spec.initial = InitialContents::Bytes(section.data.to_vec());
    }
    let datasec = btf.and_then(|btf| btf.find(Kind::DataSec, &section.name));
    spec.value_type = datasec;
    if kind.is_data() && datasec.is_some_and(|id| btf.is_some_and(|btf| has_global(btf, id))) {
        spec.def.flags |= flags::MMAPABLE;
    }
    Ok(spec)
}

/// A data map of a size, all zeroes.
pub(crate) fn empty(name: &str, kind: MapKind, size: u32) -> MapSpec {
    let read_only = matches!(kind, MapKind::Rodata | MapKind::Kconfig);
    let mut def = MapDef::new(name, MapType::Array, 4, size, 1);
    match kind {
        MapKind::Rodata | MapKind::Kconfig => def.flags = flags::RDONLY_PROG,
        MapKind::JumpTable => {
            // struct bpf_insn_array_value: orig_off, xlated_off, jitted_off and padding.
            def = MapDef::new(name, MapType::InsnArray, 4, 16, size / 8);
        }
        MapKind::Arena => def = MapDef::new(name, MapType::Arena, 0, 0, size.div_ceil(4096)),
        _ => {}
    }
    MapSpec {
        def,
        section: name.to_owned(),
        key_type: None,
        value_type: None,
        pinning: Pinning::None,
        inner: None,
        initial: InitialContents::None,
        frozen: read_only,
        kind,
        data_relocs: Vec::new(),
        weak: false,
        legacy_extra: Vec::new(),
    }
}

/// A section with a variable that user space may see through a memory mapping.
pub(crate) fn has_global(btf: &Btf, datasec: skep_btf::TypeId) -> bool {
    let Ok(Ty::DataSec { vars, .. }) = btf.ty(datasec) else {
        return false;
    };
    vars.iter().any(|var| {
        matches!(
            btf.ty(var.ty),
            Ok(Ty::Var {
                linkage: Linkage::Global,
                ..
            })
        )
    })
}
