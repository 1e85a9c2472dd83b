//! The kernel engine, first room: maps, program load and test runs through bpf(2). Ways to attach join it later.
//!
//! Invariants: every call goes through one [`Syscall`] door, which tests replace; a missing permission is said as such,
//! with the embedded engine as the way out.

use std::any::Any;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use skep_btf::{Btf, Kind, TypeId};
use skep_linux::map::{MapTypes, possible_cpus};
use skep_linux::program::{ProgramTypes, load_btf};
use skep_linux::syscall::Syscall;
use skep_linux::{Kernel as KernelDoor, Map as LinuxMap, Program as LinuxProgram, Ring, TestRun};
use skep_obj::{LinkedProgram, MapSpec};
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, MapType};
use skep_spec::program::{AttachType, ProgramType};

use super::{
    Config, Engine, Feature, LoadedProgram, MapOps, ProgramLoad, Record, RunInput, RunOutput,
};
use crate::attach::Attach;
use crate::error::{Error, ErrorKind, NotSupported, Result};
use crate::link::Link;

mod types;

const NAME: &str = "kernel";
const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;
/// Where the kernel shows its own types.
const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

/// An object's types, and the kernel's copy of them if it took them.
type LoadedTypes = (Arc<Btf>, Option<Arc<OwnedFd>>);

/// Linux through bpf(2). Clones are the same engine.
#[derive(Clone)]
pub struct Kernel {
    inner: Arc<Inner>,
}

struct Inner {
    door: Arc<dyn Syscall>,
    cpus: u32,
    types: OnceLock<Arc<Btf>>,
    /// The types of the object that was loaded last, and the kernel's copy of them if it takes them.
    loaded: Mutex<Option<LoadedTypes>>,
    /// What was done otherwise than asked.
    notes: Mutex<Vec<String>>,
}

impl Kernel {
    /// The running kernel; an error says what is missing (permission, or bpf(2) itself).
    pub fn new() -> Result<Kernel> {
        let door = Arc::new(KernelDoor);
        skep_linux::probe::available(door.as_ref())?;
        Ok(Kernel::behind(door))
    }

    /// A kernel behind another door, such as a test's.
    pub fn behind(door: Arc<dyn Syscall>) -> Kernel {
        Kernel {
            inner: Arc::new(Inner {
                door,
                cpus: possible_cpus(),
                types: OnceLock::new(),
                loaded: Mutex::default(),
                notes: Mutex::default(),
            }),
        }
    }

    fn note(&self, text: String) {
        let notes = self.inner.notes.lock();
        notes.unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// A type of the kernel itself by its name.
    fn type_named(&self, kind: Kind, name: &str) -> Option<TypeId> {
        self.types().ok()?.find(kind, name)
    }

    /// The kernel's copy of an object's types; `None`, with a note, if it does not take them, as older kernels may not.
    fn loaded_types(&self, types: &Arc<Btf>) -> Option<Arc<OwnedFd>> {
        let loaded = self.inner.loaded.lock();
        let mut loaded = loaded.unwrap_or_else(PoisonError::into_inner);
        if let Some((of, fd)) = &*loaded
            && Arc::ptr_eq(of, types)
        {
            return fd.clone();
        }
        let fd = types::for_maps(types)
            .map_err(|error| error.to_string())
            .and_then(|bytes| {
                load_btf(self.inner.door.as_ref(), &bytes).map_err(|error| error.to_string())
            })
            .map_err(|why| self.note(format!("the object's maps are made without types: {why}")))
            .ok()
            .map(Arc::new);
        *loaded = Some((types.clone(), fd.clone()));
        fd
    }

    /// The kernel's copy of a program's types and records; `None` if it needs none or, with a note, if it does not take them.
    fn program_types(&self, load: &ProgramLoad<'_>) -> Option<(OwnedFd, types::ProgramBtf)> {
        let code = load.program;
        if load.types.is_none() && code.func_refs.is_empty() {
            return None;
        }
        let records = types::for_program(load.types.map(Arc::as_ref), code)
            .map_err(|error| error.to_string())
            .and_then(|records| {
                let fd = load_btf(self.inner.door.as_ref(), &records.btf);
                fd.map(|fd| (fd, records))
                    .map_err(|error| error.to_string())
            });
        records
            .map_err(|why| self.note(format!("{} is loaded without types: {why}", code.name)))
            .ok()
    }

    /// The kernel's type that stands for the place of a tracing program; 0 for other programs.
    fn attach_id(&self, code: &LinkedProgram) -> Result<u32> {
        let to = code.attach_to.as_deref().unwrap_or_default();
        let (kind, name) = match code.attach_type {
            Some(
                AttachType::TraceFentry
                | AttachType::TraceFexit
                | AttachType::ModifyReturn
                | AttachType::TraceFsession,
            ) => (Kind::Func, to.to_owned()),
            Some(AttachType::TraceRawTp) => (Kind::Typedef, format!("btf_trace_{to}")),
            Some(AttachType::TraceIter) => (Kind::Func, format!("bpf_iter_{to}")),
            Some(AttachType::LsmMac | AttachType::LsmCgroup) => {
                (Kind::Func, format!("bpf_lsm_{to}"))
            }
            _ => return Ok(0),
        };
        match self.types()?.find(kind, &name) {
            _ if to.is_empty() => Ok(0),
            Some(id) => Ok(id.0),
            None => Err(NotSupported {
                feature: Feature::Hook(to.to_owned()),
                engine: NAME,
                program: Some(code.name.clone()),
                line: None,
                help: format!(
                    "this kernel's types have no `{name}`; modules join this engine later"
                ),
            }
            .into()),
        }
    }
}

impl Engine for Kernel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn supports(&self, feature: &Feature) -> std::result::Result<(), NotSupported> {
        match feature {
            // The kernel itself answers at load, with more detail than a probe has.
            Feature::Program(_) | Feature::Map(_) | Feature::Helper(_) => Ok(()),
            Feature::Kfunc(name) if self.type_named(Kind::Func, name).is_some() => Ok(()),
            _ => Err(NotSupported {
                feature: feature.clone(),
                engine: NAME,
                program: None,
                line: None,
                help: "this engine loads and test-runs programs so far".to_owned(),
            }),
        }
    }

    fn types(&self) -> Result<Arc<Btf>> {
        if let Some(types) = self.inner.types.get() {
            return Ok(types.clone());
        }
        let bytes = std::fs::read(VMLINUX_BTF).map_err(|error| ErrorKind::Os {
            call: "reading /sys/kernel/btf/vmlinux",
            errno: Errno(error.raw_os_error().unwrap_or(0)),
            hint: Some("CO-RE needs a kernel built with CONFIG_DEBUG_INFO_BTF".to_owned()),
        })?;
        let types = Btf::parse(bytes).map_err(|error| ErrorKind::Input {
            what: VMLINUX_BTF.to_owned(),
            why: error.to_string(),
        })?;
        Ok(self.inner.types.get_or_init(|| Arc::new(types)).clone())
    }

    fn config(&self, name: &str) -> Option<Config> {
        match name {
            "LINUX_KERNEL_VERSION" => {
                let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
                let mut parts = release
                    .split(|c: char| !c.is_ascii_digit())
                    .map(|part| part.parse::<u64>().unwrap_or(0));
                let (major, minor, patch) =
                    (parts.next()?, parts.next()?, parts.next().unwrap_or(0));
                Some(Config::Number(major << 16 | minor << 8 | patch.min(255)))
            }
            "LINUX_HAS_SYSCALL_WRAPPER" => Some(Config::Number(1)),
            _ => None,
        }
    }

    fn symbol(&self, name: &str) -> Option<u64> {
        let symbols = std::fs::read_to_string("/proc/kallsyms").ok()?;
        let address = symbols.lines().find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = words.next()?;
            (words.nth(1)? == name).then_some(address)
        })?;
        u64::from_str_radix(address, 16)
            .ok()
            .filter(|&address| address != 0)
    }

    fn symbol_type(&self, name: &str) -> Option<u32> {
        self.type_named(Kind::Var, name).map(|id| id.0)
    }

    fn notes(&self) -> Vec<String> {
        let notes = self.inner.notes.lock();
        std::mem::take(&mut *notes.unwrap_or_else(PoisonError::into_inner))
    }

    fn cpus(&self) -> u32 {
        self.inner.cpus
    }

    fn create_map(
        &self,
        spec: &MapSpec,
        types: Option<&Arc<Btf>>,
        inner: Option<&dyn MapOps>,
    ) -> Result<Arc<dyn MapOps>> {
        let mut def = spec.def.clone();
        if def.map_type == MapType::PerfEventArray && def.max_entries == 0 {
            def.max_entries = self.inner.cpus;
        }
        let inner = inner.and_then(|inner| inner.as_any().downcast_ref::<KernelMap>());
        let inner = inner.map(|inner| inner.map.as_fd());
        let door = self.inner.door.as_ref();
        let described = spec.key_type.is_some() || spec.value_type.is_some();
        let loaded = types
            .filter(|_| described)
            .and_then(|types| self.loaded_types(types));
        let with_types = loaded.as_ref().map(|btf| MapTypes {
            btf: btf.as_fd(),
            key: spec.key_type.map_or(0, |id| id.0),
            value: spec.value_type.map_or(0, |id| id.0),
        });
        let map = match LinuxMap::create(door, &def, inner, with_types) {
            // Many kinds of map take no types; the answer without is then the one that counts.
            Err(_) if with_types.is_some() => LinuxMap::create(door, &def, inner, None)?,
            made => made?,
        };
        Ok(Arc::new(KernelMap {
            door: self.inner.door.clone(),
            map,
            ring: Mutex::default(),
        }))
    }

    fn load(&self, load: &ProgramLoad<'_>) -> Result<Arc<dyn LoadedProgram>> {
        let code = load.program;
        let mut insns = code.insns.clone();
        for reference in &code.map_refs {
            let place = insns
                .get_mut(reference.at..)
                .and_then(|rest| rest.first_chunk_mut::<2>());
            let map = load.maps.get(reference.map.0).and_then(Option::as_ref);
            let map = map.and_then(|map| map.as_any().downcast_ref::<KernelMap>());
            let (Some([first, second]), Some(map)) = (place, map) else {
                let why = format!(
                    "the map of instruction {} is not a map of this engine",
                    reference.at
                );
                return Err(ErrorKind::Malformed {
                    program: code.name.clone(),
                    why,
                }
                .into());
            };
            first.imm = map.map.as_fd().as_raw_fd();
            (first.src, second.imm) = match reference.value_offset {
                Some(offset) => (PSEUDO_MAP_VALUE, offset as i32),
                None => (PSEUDO_MAP_FD, 0),
            };
        }
        for (at, name) in load.kfuncs {
            let Some(id) = self.type_named(Kind::Func, name) else {
                return Err(NotSupported {
                    feature: Feature::Kfunc(name.clone()),
                    engine: NAME,
                    program: Some(code.name.clone()),
                    line: crate::loader::line_at(code, *at).map(Box::new),
                    help: "this kernel has no function of this name outside of its modules"
                        .to_owned(),
                }
                .into());
            };
            if let Some(insn) = insns.get_mut(*at) {
                (insn.imm, insn.off) = (id.0 as i32, 0);
            }
        }
        let records = self.program_types(load);
        let program = LinuxProgram::load(
            self.inner.door.as_ref(),
            &skep_linux::ProgramLoad {
                name: &code.name,
                program_type: code.program_type.map_or(0, ProgramType::number),
                expected_attach_type: code.attach_type.map_or(0, AttachType::number),
                insns: &insns,
                license: code.license.as_deref().unwrap_or(""),
                flags: code.flags,
                btf: records.as_ref().map(|(btf, records)| ProgramTypes {
                    btf: btf.as_fd(),
                    func_info: &records.func_info,
                    line_info: &records.line_info,
                }),
                attach_btf_id: self.attach_id(code)?,
            },
        )?;
        Ok(Arc::new(KernelProgram {
            program,
            program_type: code.program_type,
            attach_type: code.attach_type,
            attach_to: code.attach_to.clone(),
        }))
    }

    fn attach(&self, program: &Arc<dyn LoadedProgram>, to: &Attach) -> Result<Box<dyn Link>> {
        Err(NotSupported {
            feature: Feature::Other(format!("attaching ({to})")),
            engine: NAME,
            program: Some(program.name().to_owned()),
            line: None,
            help: "this engine loads and test-runs programs so far; attach on the embedded engine"
                .to_owned(),
        }
        .into())
    }

    fn run_once(&self, program: &dyn LoadedProgram, input: &RunInput<'_>) -> Result<RunOutput> {
        let wrong = || {
            let why = "is not loaded on this engine".to_owned();
            Error::from(ErrorKind::Malformed {
                program: program.name().to_owned(),
                why,
            })
        };
        let kernel = program
            .as_any()
            .downcast_ref::<KernelProgram>()
            .ok_or_else(wrong)?;
        // The kernel runs packet programs on a packet only; the embedded engine has the same one at hand.
        let takes_packets = kernel
            .program_type
            .is_some_and(|kind| kind.has_packet_access() || kind == ProgramType::SocketFilter);
        let data = if input.data.is_empty() && takes_packets {
            &super::EMPTY_PACKET[..]
        } else {
            input.data
        };
        // These take a context and nothing else: not even a count.
        let bare = matches!(
            kernel.program_type,
            Some(
                ProgramType::RawTracepoint
                    | ProgramType::RawTracepointWritable
                    | ProgramType::Syscall
            )
        );
        let run = TestRun {
            data,
            ctx: input.ctx,
            repeat: if bare { 0 } else { input.repeat },
            data_out_room: 4096,
            bare,
            ..TestRun::default()
        };
        let door = self.inner.door.as_ref();
        let mut output = kernel.program.test_run(door, &run)?;
        if bare {
            for _ in 1..input.repeat {
                output = kernel.program.test_run(door, &run)?;
            }
        }
        Ok(RunOutput {
            retval: u64::from(output.retval),
            data: output.data,
            ctx: output.ctx,
            duration: Duration::from_nanos(u64::from(output.duration_ns)),
        })
    }
}

struct KernelProgram {
    program: LinuxProgram,
    program_type: Option<ProgramType>,
    attach_type: Option<AttachType>,
    attach_to: Option<String>,
}

impl LoadedProgram for KernelProgram {
    fn name(&self) -> &str {
        self.program.name()
    }

    fn program_type(&self) -> Option<ProgramType> {
        self.program_type
    }

    fn attach_type(&self) -> Option<AttachType> {
        self.attach_type
    }

    fn attach_to(&self) -> Option<&str> {
        self.attach_to.as_deref()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct KernelMap {
    door: Arc<dyn Syscall>,
    map: LinuxMap,
    /// The pages of a ring buffer, once someone reads it.
    ring: Mutex<Option<Ring>>,
}

impl MapOps for KernelMap {
    fn def(&self) -> &MapDef {
        self.map.def()
    }

    fn value_bytes(&self) -> usize {
        self.map.value_bytes()
    }

    fn lookup(&self, key: &[u8], flags: u64, out: &mut Vec<u8>) -> std::result::Result<(), Errno> {
        *out = self.map.lookup(self.door.as_ref(), key, flags)?;
        Ok(())
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64) -> std::result::Result<(), Errno> {
        self.map.update(self.door.as_ref(), key, value, flags)
    }

    fn delete(&self, key: &[u8]) -> std::result::Result<(), Errno> {
        self.map.delete(self.door.as_ref(), key)
    }

    fn lookup_and_delete(
        &self,
        key: &[u8],
        flags: u64,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Errno> {
        *out = self.map.lookup_and_delete(self.door.as_ref(), key, flags)?;
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> std::result::Result<(), Errno> {
        *out = self.map.next_key(self.door.as_ref(), key)?;
        Ok(())
    }

    fn freeze(&self) -> std::result::Result<(), Errno> {
        self.map.freeze(self.door.as_ref())
    }

    fn drain(&self, visit: &mut dyn FnMut(Record<'_>)) -> std::result::Result<usize, Errno> {
        if self.map.def().map_type != MapType::Ringbuf {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = match &mut *ring {
            Some(ring) => ring,
            empty => empty.insert(Ring::open(&self.map)?),
        };
        Ok(ring.drain(&mut |bytes| visit(Record { cpu: 0, bytes })))
    }

    fn lost(&self) -> u64 {
        0
    }

    fn set_program(
        &self,
        index: u32,
        program: &dyn LoadedProgram,
    ) -> std::result::Result<(), Errno> {
        let program = program
            .as_any()
            .downcast_ref::<KernelProgram>()
            .ok_or(Errno::EINVAL)?;
        let fd = program.program.as_fd().as_raw_fd();
        self.update(&index.to_ne_bytes(), &fd.to_ne_bytes(), 0)
    }

    fn set_map(&self, key: &[u8], map: &dyn MapOps) -> std::result::Result<(), Errno> {
        let map = map
            .as_any()
            .downcast_ref::<KernelMap>()
            .ok_or(Errno::EINVAL)?;
        let fd = map.map.as_fd().as_raw_fd();
        self.update(key, &fd.to_ne_bytes(), 0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
