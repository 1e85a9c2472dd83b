//! Maps as the kernel gets them from a loader.
//!
//! Invariant: a map's place here is its place in the object.

use std::collections::HashSet;
use std::sync::Arc;

use skep_btf::TypeId;
use skep_obj::{InitialContents, LinkedProgram, MapSpec, Object};
use skep_spec::insn::{Insn, class, jmp, pseudo};
use skep_spec::map::MapType;
use skep_verifier::input::{MapId, MapInfo};

use super::{TargetKernel, kernel_name};
use crate::loader::fitted;

/// The helper number, plus the map's index, of the calls that replace a use of a map that is not there: libbpf's.
const POISON_MAP: i32 = 2_001_000_000;

/// Where a loader finds room for an arena that does not say where it wants to be.
const ARENA_ADDRESS: u64 = 0x7f00_0000_0000;

/// Every map of the object, then the templates of its maps of maps.
pub(super) fn infos(object: &Object, kernel: &TargetKernel, with_types: bool) -> Vec<MapInfo> {
    let mut infos: Vec<MapInfo> = object
        .maps
        .iter()
        .map(|spec| info(object, spec, kernel, with_types))
        .collect();
    for (at, spec) in object.maps.iter().enumerate() {
        if let Some(inner) = &spec.inner {
            let template = MapId(infos.len() as u32);
            infos[at].inner = Some(template);
            infos.push(info(object, inner, kernel, with_types));
        }
    }
    infos
}

fn info(object: &Object, spec: &MapSpec, kernel: &TargetKernel, with_types: bool) -> MapInfo {
    let spec = fitted(spec);
    let def = &spec.def;
    let typed = |id: Option<TypeId>| id.filter(|_| with_types && takes_types(def.map_type));
    let mut max_entries = def.max_entries;
    if max_entries == 0 && def.map_type == MapType::PerfEventArray {
        max_entries = kernel.cpus;
    }
    let frozen = match &spec.initial {
        InitialContents::Bytes(bytes) if spec.frozen => {
            let mut bytes = bytes.clone();
            bytes.resize(def.value_size as usize, 0);
            Some(Arc::from(bytes))
        }
        _ if spec.frozen => Some(Arc::from(vec![0; def.value_size as usize])),
        _ => None,
    };
    MapInfo {
        name: map_name(object, &spec),
        map_type: def.map_type,
        key_size: def.key_size,
        value_size: def.value_size,
        max_entries,
        flags: def.flags,
        map_extra: def.map_extra,
        key_type: typed(spec.key_type),
        value_type: typed(spec.value_type),
        inner: None,
        frozen,
        user_address: match def.map_type {
            MapType::Arena if def.map_extra == 0 => ARENA_ADDRESS,
            MapType::Arena => def.map_extra,
            _ => 0,
        },
    }
}

/// Whether a loader tells the kernel the types of such a map's keys and values.
fn takes_types(map_type: MapType) -> bool {
    !matches!(
        map_type,
        MapType::PerfEventArray
            | MapType::CgroupArray
            | MapType::StackTrace
            | MapType::ArrayOfMaps
            | MapType::HashOfMaps
            | MapType::Devmap
            | MapType::DevmapHash
            | MapType::Cpumap
            | MapType::Xskmap
            | MapType::Sockmap
            | MapType::Sockhash
            | MapType::StructOps
    )
}

/// The name under which the kernel knows a map: those of data sections start with the object's.
fn map_name(object: &Object, spec: &MapSpec) -> String {
    let name = &spec.def.name;
    let own = name.get(1..).is_some_and(|rest| rest.contains('.'));
    if !spec.kind.is_data() || own {
        return kernel_name(name);
    }
    const SUFFIX_MIN: usize = 7;
    let room = (skep_spec::limits::NAME_LEN - 1).saturating_sub(name.len().max(SUFFIX_MIN));
    let prefix: String = object.name.chars().take(room).collect();
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let whole = format!("{prefix}{name}");
    kernel_name(&whole.replace(|c| !allowed(c), "_"))
}

/// Keeps descriptors that the program itself brings, and that no loader filled in, from being taken for maps.
pub(super) fn foreign_descriptors(code: &mut LinkedProgram) {
    let ours: HashSet<usize> = code.map_refs.iter().map(|reference| reference.at).collect();
    let mut at = 0;
    while let Some(insn) = code.insns.get_mut(at) {
        if !insn.is_ld_imm64() {
            at += 1;
            continue;
        }
        let of_map = matches!(
            insn.src,
            pseudo::MAP_FD | pseudo::MAP_VALUE | pseudo::MAP_IDX | pseudo::MAP_IDX_VALUE
        );
        if of_map && !ours.contains(&at) && insn.imm >= 0 {
            insn.imm = !insn.imm;
        }
        at += 2;
    }
}

/// Replaces the uses of maps that are not created.
pub(super) fn poison_absent(code: &mut LinkedProgram, absent: &[usize]) {
    for reference in &code.map_refs {
        if !absent.contains(&reference.map.0) {
            continue;
        }
        for insn in code.insns.iter_mut().skip(reference.at).take(2) {
            *insn = Insn {
                code: class::JMP | jmp::CALL,
                dst: 0,
                src: 0,
                off: 0,
                imm: POISON_MAP.wrapping_add(reference.map.0 as i32),
            };
        }
    }
}
