//! One object on two engines: its maps and a program in the kernel and in the sandbox, run side by side.
//!
//! Invariant: both sides get the same map contents in the same order, so that what differs afterwards is the engines' doing.

#![allow(dead_code)] // Each test that includes this file uses a part of it.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use skep_linux::{Kernel, Map as KernelMap, Program as KernelProgram, ProgramLoad};
use skep_obj::object::{InitialContents, Object, ParseOptions};
use skep_spec::map::{MapDef, MapType};
use skep_spec::program::{AttachType, ProgramType};
use skep_vm::map::{CreateOptions, create};
use skep_vm::{Image, Map, Program};

/// An entry to write before the first run: key, value (for per-CPU maps that of every CPU).
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// A program and its maps on both engines.
pub struct Both {
    pub kernel: KernelProgram,
    pub ours: Arc<Program>,
    kernel_maps: Vec<KernelMap>,
    our_maps: Vec<Arc<dyn Map>>,
}

/// Reads an object; panics with the parser's words.
pub fn parse(bytes: &[u8], name: &str) -> Object {
    let options = ParseOptions {
        name: name.to_owned(),
        ..ParseOptions::default()
    };
    Object::parse(bytes, &options).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn per_cpu(kind: MapType) -> bool {
    matches!(
        kind,
        MapType::PercpuArray | MapType::PercpuHash | MapType::LruPercpuHash
    )
}

/// A value for every CPU, each rounded up to eight bytes.
fn for_all_cpus(value: &[u8], cpus: u32) -> Vec<u8> {
    let mut one = value.to_vec();
    one.resize(value.len().next_multiple_of(8), 0);
    one.repeat(cpus as usize)
}

impl Both {
    /// Creates the object's maps, fills them and loads a program of it.
    pub fn load(object: &Object, program: &str, fill: &dyn Fn(&MapDef) -> Entries) -> Both {
        let name = &object.name;
        let spec = object
            .program(program)
            .unwrap_or_else(|| panic!("{name} has no program {program}"));
        let linked = object.link(spec).unwrap_or_else(|e| panic!("{name}: {e}"));
        let cpus = skep_linux::map::possible_cpus();
        let options = CreateOptions {
            cpus,
            seed: Some(1),
            ..CreateOptions::default()
        };
        let (mut kernel_maps, mut our_maps) = (Vec::new(), Vec::new());
        for map in &object.maps {
            let mut def = map.def.clone();
            if def.map_type == MapType::PerfEventArray && def.max_entries == 0 {
                def.max_entries = cpus;
            }
            let theirs = KernelMap::create(&Kernel, &def, None, None)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            let ours =
                create(&def, &options).unwrap_or_else(|e| panic!("{name}: map {}: {e}", def.name));
            let mut entries = fill(&def);
            if let InitialContents::Bytes(bytes) = &map.initial {
                entries.insert(0, (0u32.to_ne_bytes().to_vec(), bytes.clone()));
            }
            for (key, value) in entries {
                let value = if per_cpu(def.map_type) {
                    for_all_cpus(&value, cpus)
                } else {
                    value
                };
                let a = theirs.update(&Kernel, &key, &value, 0);
                let b = ours.update_user(&key, &value, 0);
                assert_eq!(a, b, "{name}: filling {} at {key:x?}", def.name);
            }
            kernel_maps.push(theirs);
            our_maps.push(ours);
        }
        let mut insns = linked.insns.clone();
        for reference in &linked.map_refs {
            insns[reference.at].imm = kernel_maps[reference.map.0].as_fd().as_raw_fd();
        }
        let program_type = linked.program_type.unwrap_or(ProgramType::Xdp);
        let load = ProgramLoad {
            name: "both",
            program_type: program_type as u32,
            expected_attach_type: linked
                .attach_type
                .filter(|_| program_type != ProgramType::SchedCls)
                .map_or(0, |a: AttachType| a as u32),
            insns: &insns,
            license: linked.license.as_deref().unwrap_or(""),
            flags: linked.flags,
            btf: None,
            attach_btf_id: 0,
        };
        let kernel = KernelProgram::load(&Kernel, &load)
            .unwrap_or_else(|e| panic!("{name}: {program}: {e}\n{}", e.log));
        let image = Image {
            name: program.to_owned(),
            insns: linked.insns.clone(),
            maps: our_maps.clone(),
            functions: linked
                .functions
                .iter()
                .map(|f| skep_vm::FnRange {
                    name: f.name.clone(),
                    start: f.start,
                    len: f.len,
                })
                .collect(),
            program_type: Some(program_type),
            layout: Some(skep_spec::context::for_program(
                program_type,
                linked.attach_type,
            )),
            ..Image::default()
        };
        let ours = Program::sandboxed(image).unwrap_or_else(|e| panic!("{name}: {program}: {e}"));
        Both {
            kernel,
            ours,
            kernel_maps,
            our_maps,
        }
    }

    /// Compares the contents of all maps that hold data; answers how many entries were equal.
    pub fn compare_maps(&self) -> usize {
        let mut equal = 0;
        for (theirs, ours) in self.kernel_maps.iter().zip(&self.our_maps) {
            let def = theirs.def();
            if matches!(
                def.map_type,
                MapType::PerfEventArray
                    | MapType::ProgArray
                    | MapType::Xskmap
                    | MapType::Devmap
                    | MapType::Cpumap
            ) {
                continue;
            }
            let per_cpu = per_cpu(def.map_type);
            let (mut a, mut b) = (BTreeMap::new(), BTreeMap::new());
            let mut key = theirs.next_key(&Kernel, None).ok();
            while let Some(at) = key {
                let value = theirs
                    .lookup(&Kernel, &at, 0)
                    .expect("a key that was just listed");
                key = theirs.next_key(&Kernel, Some(&at)).ok();
                a.insert(at, summed(&value, per_cpu, def));
            }
            let (mut at, mut next, mut value) = (None::<Vec<u8>>, Vec::new(), Vec::new());
            while ours.next_key(at.as_deref(), &mut next).is_ok() {
                ours.lookup_user(&next, 0, &mut value)
                    .expect("a key that was just listed");
                b.insert(next.clone(), summed(&value, per_cpu, def));
                at = Some(next.clone());
            }
            let differ = a.iter().find(|(k, v)| b.get(*k) != Some(v));
            assert!(
                differ.is_none(),
                "map {}: at {:x?} the kernel has {:x?}, we {:x?}",
                def.name,
                differ.map(|d| d.0),
                differ.map(|d| d.1),
                differ.and_then(|d| b.get(d.0))
            );
            assert_eq!(a.len(), b.len(), "entries of map {}", def.name);
            equal += a.len();
        }
        equal
    }

    /// One of our maps.
    pub fn our_map(&self, name: &str) -> &Arc<dyn Map> {
        self.our_maps
            .iter()
            .find(|m| m.def().name == name)
            .unwrap_or_else(|| panic!("no map {name}"))
    }
}

/// Counters of per-CPU maps are summed: which CPU the kernel's run was on is not known.
fn summed(value: &[u8], per_cpu: bool, def: &MapDef) -> Vec<u64> {
    let words = |bytes: &[u8]| -> Vec<u64> {
        bytes
            .chunks(8)
            .map(|c| {
                let mut word = [0; 8];
                word[..c.len()].copy_from_slice(c);
                u64::from_ne_bytes(word)
            })
            .collect()
    };
    if !per_cpu {
        return words(value);
    }
    let one = (def.value_size as usize).next_multiple_of(8);
    let mut total = vec![0u64; one / 8];
    for cpu in value.chunks(one) {
        for (sum, word) in total.iter_mut().zip(words(cpu)) {
            *sum = sum.wrapping_add(word);
        }
    }
    total
}
