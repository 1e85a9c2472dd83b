//! The narrow waist that everything which runs programs stands behind: [`Engine`].
//!
//! Invariants: engines are values, never globals; a feature that an engine does not have is refused by name, never
//! answered with zero.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use skep_btf::Btf;
use skep_obj::{LinkedProgram, MapSpec, ProgramSpec};
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, MapType};
use skep_spec::program::{AttachType, ProgramType};

use crate::attach::Attach;
use crate::error::{NotSupported, Result};
use crate::link::Link;
use crate::verify::Source;

pub mod embedded;
pub mod kernel;

/// Something that an engine may or may not have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    Program(ProgramType),
    Map(MapType),
    Helper(u32),
    Kfunc(String),
    /// A place to attach to, as the section says it: `kprobe/vfs_read`.
    Hook(String),
    /// A kernel type or field that a CO-RE relocation asks for.
    Type(String),
    /// An address of the kernel.
    Symbol(String),
    /// Anything else, in words.
    Other(String),
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Feature::Program(t) => write!(f, "programs of type {}", t.name()),
            Feature::Map(t) => write!(f, "maps of type {}", t.name()),
            Feature::Helper(id) => match skep_spec::helper::by_id(*id) {
                Some(helper) => write!(f, "helper {} (#{id})", helper.name),
                None => write!(f, "helper #{id}"),
            },
            Feature::Kfunc(name) => write!(f, "kernel function {name}"),
            Feature::Hook(name) | Feature::Type(name) | Feature::Other(name) => f.write_str(name),
            Feature::Symbol(name) => write!(f, "kernel symbol {name}"),
        }
    }
}

/// The value of a kernel configuration option or of a loader's pseudo option (`LINUX_KERNEL_VERSION`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Config {
    /// `y`, `m`, `n`
    Tristate(u8),
    Number(u64),
    Text(String),
}

/// Runs programs: the embedded engine or the kernel.
pub trait Engine: Send + Sync {
    /// `embedded`, `kernel`.
    fn name(&self) -> &'static str;

    /// Whether the engine has a feature; probed once, then remembered.
    fn supports(&self, feature: &Feature) -> std::result::Result<(), NotSupported>;

    /// The types that CO-RE relocates against.
    fn types(&self) -> Result<Arc<Btf>>;

    /// The value of a kernel configuration option, if the engine knows it.
    fn config(&self, name: &str) -> Option<Config>;

    /// The address of a kernel symbol, if the engine has it.
    fn symbol(&self, name: &str) -> Option<u64>;

    /// The BTF id of a kernel variable that programs may take the address of by type.
    fn symbol_type(&self, _name: &str) -> Option<u32> {
        None
    }

    /// What was done otherwise than asked since the last call, in words.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// The number of CPUs that per-CPU maps have values for.
    fn cpus(&self) -> u32;

    /// Makes a map. `inner` is a map of the shape that a map of maps holds.
    fn create_map(
        &self,
        spec: &MapSpec,
        types: Option<&Arc<Btf>>,
        inner: Option<&dyn MapOps>,
    ) -> Result<Arc<dyn MapOps>>;

    /// Loads a program; the embedded engine refuses what it does not model, the kernel what it cannot prove.
    fn load(&self, program: &ProgramLoad<'_>) -> Result<Arc<dyn LoadedProgram>>;

    /// Ties a program to its events until the link drops.
    fn attach(&self, program: &Arc<dyn LoadedProgram>, to: &Attach) -> Result<Box<dyn Link>>;

    /// Runs a program on one input.
    fn run_once(&self, program: &dyn LoadedProgram, input: &RunInput<'_>) -> Result<RunOutput>;
}

/// What [`Engine::load`] is given.
#[derive(Clone)]
pub struct ProgramLoad<'a> {
    /// Relocated; map references carry indices into `maps`.
    pub program: &'a LinkedProgram,
    /// The object's maps, in the object's order; `None` for those that the engine cannot make.
    pub maps: &'a [Option<Arc<dyn MapOps>>],
    /// Why a map could not be made, by index.
    pub missing: &'a [(usize, NotSupported)],
    /// Kernel functions called, by instruction.
    pub kfuncs: &'a [(usize, String)],
    /// Bytes of a frozen map's one value that can never change.
    pub frozen: &'a dyn Fn(u32, u64, usize) -> Option<u64>,
    /// The object's types.
    pub types: Option<&'a Arc<Btf>>,
    /// What the program was linked from.
    pub spec: &'a ProgramSpec,
    pub source: &'a Source<'a>,
}

/// A program that is ready to run.
pub trait LoadedProgram: Send + Sync {
    fn name(&self) -> &str;
    fn program_type(&self) -> Option<ProgramType>;
    fn attach_type(&self) -> Option<AttachType>;
    /// What the section asks to attach to: `syscalls/sys_enter_openat`.
    fn attach_to(&self) -> Option<&str>;
    fn as_any(&self) -> &dyn Any;
}

/// A record of a ring or perf buffer.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The CPU that a perf buffer belongs to; 0 for ring buffers.
    pub cpu: u32,
    pub bytes: &'a [u8],
}

/// The user's side of a map, on any engine, in bytes. Per-CPU values are those of all CPUs, each rounded up to 8
/// bytes, one after the other. Errors are the kernel's.
pub trait MapOps: Send + Sync {
    fn def(&self) -> &MapDef;

    /// Bytes of a value on the user's side.
    fn value_bytes(&self) -> usize;

    fn lookup(&self, key: &[u8], flags: u64, out: &mut Vec<u8>) -> std::result::Result<(), Errno>;
    fn update(&self, key: &[u8], value: &[u8], flags: u64) -> std::result::Result<(), Errno>;
    fn delete(&self, key: &[u8]) -> std::result::Result<(), Errno>;
    fn lookup_and_delete(
        &self,
        key: &[u8],
        flags: u64,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Errno>;

    /// The key after `key`, or the first; `ENOENT` after the last.
    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> std::result::Result<(), Errno>;

    /// No more changes from the user's side.
    fn freeze(&self) -> std::result::Result<(), Errno>;

    /// Hands each record of a ring or perf buffer to `visit`, oldest first for each buffer, and releases it.
    fn drain(&self, visit: &mut dyn FnMut(Record<'_>)) -> std::result::Result<usize, Errno>;

    /// Records that found no room, since the map was made.
    fn lost(&self) -> u64;

    /// Puts a program into a slot of a program array.
    fn set_program(
        &self,
        index: u32,
        program: &dyn LoadedProgram,
    ) -> std::result::Result<(), Errno>;

    /// Puts a map into a slot of a map of maps.
    fn set_map(&self, key: &[u8], map: &dyn MapOps) -> std::result::Result<(), Errno>;

    fn as_any(&self) -> &dyn Any;
}

/// What a packet program is run on when it is given no packet: an Ethernet header of zeros.
const EMPTY_PACKET: [u8; 14] = [0; 14];

/// One input of a program.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunInput<'a> {
    /// The packet, for programs that have one.
    pub data: &'a [u8],
    /// The context as user space sees it (`struct xdp_md`, `struct __sk_buff`, the tracepoint's record); empty for the usual one.
    pub ctx: &'a [u8],
    /// How often to run; 0 counts as once. Data and context are those of the last run.
    pub repeat: u32,
}

/// What a run gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOutput {
    /// r0.
    pub retval: u64,
    pub data: Vec<u8>,
    pub ctx: Vec<u8>,
    /// Average of one run.
    pub duration: Duration,
}
