//! Objects of others: which of their programs to load, what lies in their maps, what may differ from run to run.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use skep::btf::{Btf, Ty, TypeId};
use skep::obj::{InitialContents, ProgramSpec, SlotTarget};
use skep::spec::map::MapType;
use skep::{Object, ObjectSpec};

/// Helpers whose answer is another one at each run, CPU or machine: what follows from it is not compared. Time, randomness,
/// CPU, the current task and its stacks, cgroups and sockets.
const CIRCUMSTANCES: &[u32] = &[
    5, 7, 8, 14, 15, 16, 27, 34, 35, 36, 37, 42, 45, 46, 47, 63, 67, 79, 80, 83, 84, 85, 86, 95,
    99, 119, 120, 123, 125, 141, 158, 160, 169, 208,
];

/// The program alone, with those that its program arrays hold.
pub fn select(spec: &ObjectSpec, program: &str) -> ObjectSpec {
    let mut spec = spec.clone();
    let object = spec.object_mut();
    let mut wanted = Vec::new();
    for map in &object.maps {
        if let InitialContents::Slots(slots) = &map.initial {
            wanted.extend(slots.iter().filter_map(|(_, target)| match target {
                SlotTarget::Program(function) => Some(*function),
                SlotTarget::Map(_) => None,
            }));
        }
    }
    for other in &mut object.programs {
        other.autoload = other.name == program || wanted.contains(&other.function);
    }
    spec
}

/// Sums of the CPUs for per-CPU values, as which CPU the kernel took is not known.
pub fn contents(object: &Object, cpus: usize) -> BTreeMap<String, BTreeMap<Vec<u8>, Vec<u64>>> {
    let mut all = BTreeMap::new();
    for map in object.maps() {
        let def = map.def();
        let per_cpu = matches!(
            def.map_type,
            MapType::PercpuArray | MapType::PercpuHash | MapType::LruPercpuHash
        );
        let plain = matches!(
            def.map_type,
            MapType::Array | MapType::Hash | MapType::LruHash | MapType::LpmTrie
        );
        if !(per_cpu || plain) || map.spec().frozen || def.max_entries > 4096 {
            continue;
        }
        let mut entries = BTreeMap::new();
        for (key, value) in map.entries().filter_map(Result::ok) {
            let mut words = value
                .chunks(8)
                .map(|c| {
                    let mut word = [0; 8];
                    word[..c.len()].copy_from_slice(c);
                    u64::from_ne_bytes(word)
                })
                .collect::<Vec<u64>>();
            if per_cpu && cpus > 1 {
                let one = words.len() / cpus;
                let sum =
                    |at: usize| (0..cpus).fold(0u64, |s, c| s.wrapping_add(words[c * one + at]));
                words = (0..one).map(sum).collect();
            }
            entries.insert(key, words);
        }
        all.insert(def.name.clone(), entries);
    }
    all
}

/// Whether the program asks for something that is another one at each run.
pub fn circumstances(spec: &ObjectSpec, program: &ProgramSpec) -> bool {
    spec.object().link(program).is_ok_and(|code| {
        code.insns
            .iter()
            .any(|i| i.code == 0x85 && i.src == 0 && CIRCUMSTANCES.contains(&(i.imm as u32)))
    })
}

pub fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("SKEP_SELFTESTS: {}: {e}", folder.display()))
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "o"))
        .collect();
    found.sort();
    found
}

/// The declaration tags of each function.
pub fn tags(btf: &Btf) -> HashMap<TypeId, Vec<String>> {
    let mut all = HashMap::<TypeId, Vec<String>>::new();
    for id in btf.ids() {
        if let Ok(Ty::DeclTag { value, target, .. }) = btf.ty(id)
            && let Some(tag) = value.strip_prefix("comment:")
        {
            all.entry(target).or_default().push(tag.to_owned());
        }
    }
    all
}
