//! The embedded engine: skep's own virtual machine, with events from supervised processes and packet captures.
//!
//! Invariants: an engine is a value and shares nothing with another; a program type, hook, helper, type or field that it
//! does not model is refused at load by name, if the program can reach its use; attaching registers, it does not run:
//! events come when a host ([`Embedded::supervise`], [`Embedded::replay`]) is driven.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use skep_btf::Btf;
use skep_obj::MapSpec;
use skep_spec::program::{AttachType, ProgramType};
use skep_vm::program::Limits;

use super::{Config, Engine, Feature, LoadedProgram, MapOps, ProgramLoad, RunInput, RunOutput};
use crate::attach::Attach;
use crate::error::{NotSupported, Result};
use crate::link::Link;
use crate::verify::{TargetKernel, embedded_profile};

pub mod hook;
mod load;
mod map;
mod prove;
mod reach;
mod run;

pub use load::{EmbeddedProgram, prove};
pub use map::EmbeddedMap;
pub use prove::Verify;

use hook::{Hook, Hooked};

/// The engine's name in messages.
const NAME: &str = "embedded";

/// The kernel that the engine's behaviour follows: what `LINUX_KERNEL_VERSION` reads.
const KERNEL_VERSION: u32 = 6 << 16 | 12 << 8;

/// The embedded engine. Clones are the same engine.
#[derive(Clone)]
pub struct Embedded {
    inner: Arc<Inner>,
}

struct Inner {
    cpus: u32,
    limits: Limits,
    verify: Verify,
    compile: bool,
    types: OnceLock<Arc<Btf>>,
    kernel: OnceLock<TargetKernel>,
    notes: Mutex<Vec<String>>,
    hooks: Mutex<Vec<Hooked>>,
}

/// Choices of an embedded engine.
#[derive(Clone, Debug)]
pub struct Builder {
    cpus: Option<u32>,
    limits: Limits,
    verify: Verify,
    compile: bool,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            cpus: None,
            limits: Limits::default(),
            verify: Verify::default(),
            compile: true,
        }
    }
}

impl Builder {
    /// How many CPUs per-CPU maps have values for; the machine's own number if not said.
    pub fn cpus(mut self, cpus: u32) -> Builder {
        self.cpus = Some(cpus.max(1));
        self
    }

    /// What one run of a program may use up; no limit if not said.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = limits;
        self
    }

    /// What becomes of programs that cannot be proven safe: refused if not said.
    pub fn verify(mut self, verify: Verify) -> Builder {
        self.verify = verify;
        self
    }

    /// Whether programs are compiled to machine code; they are if not said. Where the host does not let them be, the
    /// interpreter runs them, and a note says why.
    pub fn compile(mut self, compile: bool) -> Builder {
        self.compile = compile;
        self
    }

    pub fn build(self) -> Embedded {
        let cpus = self.cpus.unwrap_or_else(hook::process::cpus);
        Embedded {
            inner: Arc::new(Inner {
                cpus,
                limits: self.limits,
                verify: self.verify,
                compile: self.compile,
                types: OnceLock::new(),
                kernel: OnceLock::new(),
                notes: Mutex::default(),
                hooks: Mutex::default(),
            }),
        }
    }
}

impl Embedded {
    /// An engine with the usual choices.
    pub fn new() -> Embedded {
        Embedded::builder().build()
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// What becomes of programs that cannot be proven safe.
    pub fn verify(&self) -> Verify {
        self.inner.verify
    }

    /// Whether programs are compiled to machine code.
    pub fn compiles(&self) -> bool {
        self.inner.compile
    }

    /// The engine as a kernel to verify for.
    fn kernel(&self) -> &TargetKernel {
        self.inner.kernel.get_or_init(|| {
            let types = self.types().ok().into_iter().collect();
            let mut kernel = TargetKernel::new(embedded_profile(), types);
            kernel.cpus = self.cpus();
            kernel
        })
    }

    /// Says what was done otherwise than asked.
    fn note(&self, text: String) {
        let notes = self.inner.notes.lock();
        notes.unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn hooks(&self) -> std::sync::MutexGuard<'_, Vec<Hooked>> {
        self.inner
            .hooks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The programs attached now, in the order of attaching.
    pub(crate) fn attached(&self) -> Vec<Hooked> {
        self.hooks().clone()
    }
}

impl Default for Embedded {
    fn default() -> Embedded {
        Embedded::new()
    }
}

/// The program types that can be loaded.
const PROGRAM_TYPES: &[ProgramType] = &[
    ProgramType::Tracepoint,
    ProgramType::RawTracepoint,
    ProgramType::RawTracepointWritable,
    ProgramType::Tracing,
    ProgramType::Xdp,
    ProgramType::SchedCls,
    ProgramType::SchedAct,
    ProgramType::SocketFilter,
    ProgramType::CgroupSkb,
    ProgramType::LwtIn,
    ProgramType::LwtOut,
    ProgramType::LwtXmit,
    ProgramType::Syscall,
];

/// The hooks in words, for refusals.
const MODELS: &str = "it models: tracepoint/syscalls/sys_enter_* and sys_exit_*, tracepoint/raw_syscalls/*, \
    tracepoint/sched/sched_process_{fork,exec,exit}, raw_tracepoint and tp_btf of sys_enter, sys_exit and sched_process_*, \
    xdp, tc and socket filters";

fn refusal(feature: Feature, help: impl Into<String>) -> NotSupported {
    NotSupported {
        feature,
        engine: NAME,
        program: None,
        line: None,
        help: help.into(),
    }
}

impl Engine for Embedded {
    fn name(&self) -> &'static str {
        NAME
    }

    fn supports(&self, feature: &Feature) -> std::result::Result<(), NotSupported> {
        let (known, help) = match feature {
            Feature::Program(program_type) => {
                (PROGRAM_TYPES.contains(program_type), MODELS.to_owned())
            }
            Feature::Map(map_type) => (skep_vm::map::is_supported(*map_type), map::models()),
            Feature::Helper(id) => (load::has_helper(*id), String::new()),
            Feature::Kfunc(name) => (load::has_kfunc(name), String::new()),
            _ => (false, String::new()),
        };
        if known {
            Ok(())
        } else {
            Err(refusal(feature.clone(), help))
        }
    }

    fn types(&self) -> Result<Arc<Btf>> {
        if let Some(types) = self.inner.types.get() {
            return Ok(types.clone());
        }
        let types = hook::types()?;
        Ok(self.inner.types.get_or_init(|| types).clone())
    }

    fn config(&self, name: &str) -> Option<Config> {
        Some(match name {
            "LINUX_KERNEL_VERSION" => Config::Number(u64::from(KERNEL_VERSION)),
            "LINUX_HAS_BPF_COOKIE" => Config::Number(0),
            "LINUX_HAS_SYSCALL_WRAPPER" => Config::Number(1),
            "CONFIG_BPF" | "CONFIG_BPF_SYSCALL" | "CONFIG_NET" | "CONFIG_64BIT" | "CONFIG_SMP" => {
                Config::Tristate(b'y')
            }
            "CONFIG_X86_64" if cfg!(target_arch = "x86_64") => Config::Tristate(b'y'),
            "CONFIG_ARM64" if cfg!(target_arch = "aarch64") => Config::Tristate(b'y'),
            "CONFIG_HZ" => Config::Number(250),
            _ => return None,
        })
    }

    fn symbol(&self, _name: &str) -> Option<u64> {
        None
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
        _types: Option<&Arc<Btf>>,
        inner: Option<&dyn MapOps>,
    ) -> Result<Arc<dyn MapOps>> {
        map::create(self, spec, inner)
    }

    fn load(&self, program: &ProgramLoad<'_>) -> Result<Arc<dyn LoadedProgram>> {
        load::load(self, program)
    }

    fn attach(&self, program: &Arc<dyn LoadedProgram>, to: &Attach) -> Result<Box<dyn Link>> {
        hook::attach(self, program, to)
    }

    fn run_once(&self, program: &dyn LoadedProgram, input: &RunInput<'_>) -> Result<RunOutput> {
        run::run_once(self, program, input)
    }
}

impl Embedded {
    /// Whether a place to attach is modelled; says what is if not.
    pub fn check_hook(
        program_type: Option<ProgramType>,
        attach_type: Option<AttachType>,
        attach_to: Option<&str>,
    ) -> std::result::Result<Hook, NotSupported> {
        hook::recognise(program_type, attach_type, attach_to)
    }
}
