//! From a table's row to the verifier's input: the object on disk, its annotations, and what the recording loader did to it.
//!
//! Invariant: objects are looked for by the table's name alone; one that is not there is said, never guessed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use skep::btf::Btf;
use skep::obj::{FnIdx, Linkage, MapKind, Object, ParseOptions, ProgramSpec};
use skep::spec::map::{MapType, flags};
use skep::verifier::input::{Caps, Input};
use skep::verify::{LoadOptions, Prepared, TargetKernel};

use super::annotations::Annotations;
use super::table::Row;

/// Why a row has no input.
pub enum NoInput {
    NoObject,
    NotLoadable(String),
}

/// One program, ready.
pub struct Subject {
    pub input: Input,
    pub annotations: Annotations,
}

/// An object's name, and the name of the types that it is relocated against if not the kernel's.
type Wanted = (String, Option<String>);

/// Folders of objects, with what was read from them.
pub struct Subjects {
    folders: Vec<PathBuf>,
    kernel: TargetKernel,
    read: Mutex<HashMap<String, Option<Arc<Object>>>>,
    prepared: Mutex<HashMap<Wanted, Result<Arc<Prepared>, String>>>,
}

impl Subjects {
    pub fn new(folders: Vec<PathBuf>, kernel: TargetKernel) -> Subjects {
        Subjects {
            folders,
            kernel,
            read: Mutex::default(),
            prepared: Mutex::default(),
        }
    }

    /// The kernel that inputs are for.
    pub fn kernel(&self) -> &TargetKernel {
        &self.kernel
    }

    /// The file of that name in the first folder that has it.
    pub fn file(&self, object: &str) -> Option<PathBuf> {
        let name = Path::new(object).file_name()?;
        self.folders.iter().find_map(|folder| {
            [folder.join(object), folder.join(name)]
                .into_iter()
                .find(|path| path.exists())
        })
    }

    fn object(&self, name: &str) -> Result<Option<Arc<Object>>, String> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.get(name) {
            return Ok(known.clone());
        }
        let object = match self.file(name) {
            Some(path) => Some(Arc::new(parse(&path)?)),
            None => None,
        };
        read.insert(name.to_owned(), object.clone());
        Ok(object)
    }

    /// The object relocated for the kernel, or for the types that the program's annotation names.
    fn prepared(&self, name: &str, types: Option<&str>) -> Result<Option<Arc<Prepared>>, String> {
        let key = (name.to_owned(), types.map(str::to_owned));
        let mut all = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&key) {
            return known.clone().map(Some);
        }
        let Some(object) = self.object(name)? else {
            return Ok(None);
        };
        let mut kernel = self.kernel.clone();
        let made = self
            .other_types(types)
            .and_then(|other| {
                let own = kernel.btfs.clone();
                if let Some(other) = other {
                    kernel.btfs = vec![other];
                }
                let prepared =
                    Prepared::new(&object, &kernel).map_err(|error| error.to_string())?;
                Ok(prepared.with_types(own))
            })
            .map(Arc::new);
        all.insert(key, made.clone());
        made.map(Some)
    }

    fn other_types(&self, name: Option<&str>) -> Result<Option<Arc<Btf>>, String> {
        let Some(name) = name else { return Ok(None) };
        let path = self.file(name).ok_or(format!("no types {name}"))?;
        let bytes = std::fs::read(&path).map_err(|error| format!("{name}: {error}"))?;
        let bytes = match skep::obj::elf::btf_section(&bytes) {
            Ok(Some(section)) => section,
            _ => bytes,
        };
        let btf = Btf::parse(bytes).map_err(|error| format!("{name}: {error}"))?;
        Ok(Some(Arc::new(btf)))
    }

    /// The input for a row.
    pub fn subject(&self, row: &Row) -> Result<Subject, NoInput> {
        let broken = NoInput::NotLoadable;
        let object = self
            .object(&row.object)
            .map_err(broken)?
            .ok_or(NoInput::NoObject)?;
        let annotations = object
            .btf
            .as_deref()
            .map(|btf| Annotations::of(btf, &row.program))
            .unwrap_or_default();
        let prepared = self
            .prepared(&row.object, annotations.btf_path.as_deref())
            .map_err(broken)?
            .ok_or(NoInput::NoObject)?;
        let object = prepared.object();
        let program = find_program(object, row)
            .ok_or_else(|| broken("no such program in the object".into()))?;
        let caps = if row.unprivileged {
            let kept = annotations.unprivileged.caps;
            let has = |number: u32| kept >> number & 1 != 0;
            Caps {
                net_admin: has(12),
                sys_admin: has(21),
                perfmon: has(38),
                bpf: has(39),
            }
        } else {
            Caps::ALL
        };
        let mut load = LoadOptions {
            caps,
            flags: annotations.flags,
            ..LoadOptions::default()
        };
        if row.unprivileged {
            load.absent_maps = (0..object.maps.len())
                .filter(|&at| !for_everyone(object, at))
                .collect();
        }
        load.program_type = row.guessed;
        let input = prepared
            .input(program, &load)
            .map_err(|error| broken(error.to_string()))?;
        Ok(Subject { input, annotations })
    }
}

/// An object as the recording loader takes it.
pub fn parse(path: &Path) -> Result<Object, String> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
    let file = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let options = ParseOptions {
        name: file.split('.').next().unwrap_or_default().to_owned(),
        legacy_maps: true,
    };
    let mut object = Object::parse(&bytes, &options).map_err(|error| error.to_string())?;
    // What the recording loader changes: entry functions may be static, maps without a size get the smallest.
    for at in 0..object.functions.len() {
        let function = &object.functions[at];
        let known = object.programs.iter().any(|p| p.function == FnIdx(at));
        if !known && function.linkage == Linkage::Static && function.section != ".text" {
            let program = ProgramSpec::of_section(&function.name, &function.section, FnIdx(at));
            object.programs.push(program);
        }
    }
    // Its own reader of objects from before BTF takes a missing licence for this one.
    if object.license.is_none() && object.maps.iter().any(|map| map.section == "maps") {
        object.license = Some("GPL".into());
    }
    for map in &mut object.maps {
        let def = &mut map.def;
        match def.map_type {
            MapType::SkStorage
            | MapType::TaskStorage
            | MapType::InodeStorage
            | MapType::CgroupStorage
            | MapType::CgrpStorage
            | MapType::StructOps => {}
            MapType::Ringbuf | MapType::UserRingbuf => {
                def.value_size = 0;
                if def.max_entries == 0 {
                    def.max_entries = 4096;
                }
            }
            _ if def.max_entries == 0 => def.max_entries = 1,
            _ => {}
        }
    }
    Ok(object)
}

/// By name, or, where old compilers left functions without one, by section.
fn find_program<'o>(object: &'o Object, row: &Row) -> Option<&'o ProgramSpec> {
    let named = object.programs.iter().find(|p| p.name == row.program);
    named.or_else(|| object.programs.iter().find(|p| p.section == row.section))
}

/// Whether a loader without privileges creates the map: the recording one leaves out all other kinds.
fn for_everyone(object: &Object, at: usize) -> bool {
    let map = &object.maps[at];
    if map.kind == MapKind::StructOps {
        return false;
    }
    match map.def.map_type {
        MapType::Hash | MapType::PercpuHash | MapType::HashOfMaps => {
            map.def.flags & flags::ZERO_SEED == 0
        }
        kind => matches!(
            kind,
            MapType::PercpuCgroupStorage
                | MapType::Array
                | MapType::Ringbuf
                | MapType::ProgArray
                | MapType::CgroupArray
                | MapType::PercpuArray
                | MapType::UserRingbuf
                | MapType::ArrayOfMaps
                | MapType::CgroupStorage
                | MapType::PerfEventArray
        ),
    }
}

/// The tables' hash of a program: FNV-1a of its instructions, without what differs between two loads of it.
pub fn insn_hash(input: &Input) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |insn: skep::spec::insn::Insn| {
        for byte in insn.to_bytes(skep::spec::insn::Endian::Little) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    let mut insns = input.insns.iter().copied();
    while let Some(mut insn) = insns.next() {
        if insn.code == 0x18 {
            let Some(mut second) = insns.next() else {
                eat(insn);
                break;
            };
            match insn.src {
                1 | 2 | 5 | 6 => insn.imm = 0,
                3 => (insn.imm, second.imm) = (0, 0),
                _ => {}
            }
            eat(insn);
            eat(second);
            continue;
        }
        if insn.code == 0x85 && insn.src == 2 {
            (insn.imm, insn.off) = (0, 0);
        }
        eat(insn);
    }
    format!("{hash:016x}")
}
