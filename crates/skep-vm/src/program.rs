//! A program, as given ([`Image`]) and as the engine keeps it ([`Program`]).
//!
//! Invariants: a [`Program`] holds only operations that the decoder has validated (registers in range, jumps to
//! instructions of the program, no way to run off its end), and keeps its maps alive.

use crate::sync::OnceLock;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::AtomicBool;
use core::time::Duration;

use skep_spec::context::ContextLayout;
use skep_spec::insn::Insn;
use skep_spec::program::ProgramType;

use crate::decode::{self, ContextIndex, Function, Op};
use crate::env::Env;
use crate::helper::{HelperFn, OwnHelper};
use crate::jit::{self, Compiled, Jit, JitError, JitOptions, Listing};
use crate::machine::Machine;
use crate::map::Map;
use crate::memory::Ctx;
use crate::proof::Proof;
use crate::trap::{Line, Trap};
use crate::watch::Watch;

/// A function's place in a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FnRange {
    pub name: String,
    /// First instruction.
    pub start: usize,
    /// Number of instruction slots.
    pub len: usize,
}

/// A linked program with its maps: all that is needed to run it.
#[derive(Clone, Default)]
pub struct Image {
    pub name: String,
    /// The entry is at 0. A `ld_imm64` of a map (`MAP_FD` or `MAP_IDX`) or of a map's value has the index into `maps` as its imm.
    pub insns: Vec<Insn>,
    pub maps: Vec<Arc<dyn Map>>,
    pub functions: Vec<FnRange>,
    /// In the order of their instructions.
    pub lines: Vec<Line>,
    pub program_type: Option<ProgramType>,
    /// What r1 points to; nothing for plain bytes without rules.
    pub layout: Option<&'static ContextLayout>,
    /// Helpers of the host's own, which the program may call by their numbers.
    pub own_helpers: Vec<OwnHelper>,
    /// Names of the kernel functions called, by instruction.
    pub kfuncs: Vec<(usize, String)>,
    /// Instructions whose relocation failed, with the reason; a run that comes there traps.
    pub poisons: Vec<(usize, String)>,
    /// Addresses of kernel variables (`ld_imm64` with `BTF_ID`), by instruction.
    pub symbols: Vec<(usize, u64)>,
}

impl Image {
    /// The host's own helper of that number, if it is not one of Linux's.
    pub(crate) fn own_helper(&self, number: u32) -> Option<&OwnHelper> {
        let mut own = self.own_helpers.iter();
        own.find(|own| own.prototype.id == number)
            .filter(|_| crate::helper::by_id(number).is_none() && number != u32::MAX)
    }
}

/// Why an [`Image`] cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// Not a valid instruction, or one that leads nowhere.
    Malformed {
        pc: usize,
        why: String,
    },
    UnknownHelper {
        pc: usize,
        id: u32,
    },
    UnknownKfunc {
        pc: usize,
        name: String,
    },
    /// Valid, but not modelled by this engine.
    NotSupported {
        pc: usize,
        what: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Malformed { pc, why } => write!(f, "instruction {pc}: {why}"),
            LoadError::UnknownHelper { pc, id } => match skep_spec::helper::by_id(*id) {
                Some(helper) => write!(
                    f,
                    "instruction {pc}: helper bpf_{} (#{id}) is not supported by the embedded engine",
                    helper.name.trim_start_matches("bpf_")
                ),
                None => write!(
                    f,
                    "instruction {pc}: invalid func unknown#{id}: there is no such helper"
                ),
            },
            LoadError::UnknownKfunc { pc, name } => {
                write!(
                    f,
                    "instruction {pc}: kernel function {name} is not supported by the embedded engine"
                )
            }
            LoadError::NotSupported { pc, what } => write!(
                f,
                "instruction {pc}: {what} is not supported by the embedded engine"
            ),
        }
    }
}

impl core::error::Error for LoadError {}

/// What a run may use up.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Instructions, counted in all functions, callbacks and tail-called programs. Checked where jumps are taken, so
    /// that a run may exceed it by one straight stretch of code.
    pub insns: Option<u64>,
    /// Wall-clock time, by the environment's monotonic clock. It is looked at every 65,536 instructions, for the first time
    /// when as many have run, so that short runs cost nothing; a helper that blocks is not cut short.
    pub timeout: Option<Duration>,
    /// Set by another thread or a signal handler to end the run with [`crate::trap::TrapCause::Interrupted`].
    pub interrupt: Option<Arc<AtomicBool>>,
}

impl Limits {
    /// Whether anything is limited, so that a run must be looked at now and then.
    #[inline]
    pub fn any(&self) -> bool {
        self.insns.is_some() || self.timeout.is_some() || self.interrupt.is_some()
    }
}

/// A program that is ready to run, on any number of threads.
pub struct Program {
    pub(crate) name: Arc<str>,
    pub(crate) ops: Box<[Op]>,
    pub(crate) maps: Box<[Arc<dyn Map>]>,
    /// In the order of their first operations.
    pub(crate) functions: Box<[Function]>,
    pub(crate) helpers: Box<[(u32, HelperFn)]>,
    /// Those of `helpers` that are the host's own, by their place there.
    pub(crate) own_helpers: Box<[Option<OwnHelper>]>,
    pub(crate) lines: Box<[Line]>,
    pub(crate) program_type: Option<ProgramType>,
    pub(crate) layout: Option<&'static ContextLayout>,
    pub(crate) context: ContextIndex,
    /// Whether a flat context may be written.
    pub(crate) flat_writable: bool,
    /// Whether it may follow pointers between the kernel's structures, of which null ones read as 0.
    pub(crate) kernel_pointers: bool,
    /// Whether it has an instruction that calls `bpf_tail_call`.
    pub(crate) tail_calls: bool,
    pub(crate) poisons: Box<[(usize, String)]>,
    /// Set if a verifier has proven it: what it needs of its context and knows of its calls.
    pub(crate) proven: Option<Proven>,
    /// Set once it is compiled.
    pub(crate) jit: OnceLock<Jit>,
}

/// What sets a proven program apart.
pub(crate) struct Proven {
    /// Bytes of the context, as the host lays it out, that direct accesses rely on.
    pub context_bytes: u64,
    /// The facts as they were given.
    pub proof: Proof,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.name)
            .field("insns", &self.ops.len())
            .finish_non_exhaustive()
    }
}

impl Program {
    /// Prepares a program that nobody has verified: each of its accesses is checked as it runs.
    pub fn sandboxed(image: Image) -> Result<Arc<Program>, LoadError> {
        decode::decode(image, None).map(Arc::new)
    }

    /// Prepares a program that a verifier has accepted: accesses of which `proof` says so run without checks.
    ///
    /// # Safety
    ///
    /// Each fact of `proof` must hold whenever the program runs with a context of the image's layout (or, without a layout,
    /// with any context that it is started with), and arguments of helpers must be what the helpers' prototypes ask for.
    pub unsafe fn proven(image: Image, proof: Proof) -> Result<Arc<Program>, LoadError> {
        decode::decode(image, Some(proof)).map(Arc::new)
    }

    /// Whether it runs without checks where a verifier found none necessary.
    pub fn is_proven(&self) -> bool {
        self.proven.is_some()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn maps(&self) -> &[Arc<dyn Map>] {
        &self.maps
    }

    pub fn program_type(&self) -> Option<ProgramType> {
        self.program_type
    }

    pub fn layout(&self) -> Option<&'static ContextLayout> {
        self.layout
    }

    /// Runs the program; answers r0.
    #[inline]
    pub fn run(&self, ctx: &mut Ctx<'_>, env: &dyn Env, limits: &Limits) -> Result<u64, Trap> {
        if let Some(jit) = self.jit.get()
            && let Some(code) = jit.lean()
            && !limits.any()
            && let Some((r1, r2)) = self.lean_arguments(ctx)
        {
            // SAFETY: the program is proven, its context is what it was proven for, and it asks for nothing else.
            let answer = unsafe { code.call(r1, r2) };
            if answer.stop == 0 {
                return Ok(answer.value);
            }
            return Err(jit::faulted(self, answer.value));
        }
        self.run_in_machine(ctx, env, limits)
    }

    #[inline(never)]
    fn run_in_machine(
        &self,
        ctx: &mut Ctx<'_>,
        env: &dyn Env,
        limits: &Limits,
    ) -> Result<u64, Trap> {
        Machine::run(self, ctx, env, limits, None, true)
            .0
            .map_err(|trap| *trap)
    }

    /// r1 and r2 of a run without a machine, if the context is known to fit.
    #[inline(always)]
    fn lean_arguments(&self, ctx: &mut Ctx<'_>) -> Option<(u64, u64)> {
        let needed = self.proven.as_ref()?.context_bytes;
        match ctx {
            Ctx::Flat(bytes) if needed == 0 || self.layout.is_none() => {
                let len = bytes.len() as u64;
                (len >= needed).then(|| (bytes.as_mut_ptr().expose_provenance() as u64, len))
            }
            Ctx::None if needed == 0 => Some((0, 0)),
            Ctx::Packet(packet)
                if needed <= 8 * packet.slot_count() as u64
                    && self
                        .layout
                        .is_some_and(|own| core::ptr::eq(own, packet.layout())) =>
            {
                Some((packet.slots_addr(), 0))
            }
            Ctx::Typed(context)
                if needed <= u64::from(context.layout.size)
                    && self
                        .layout
                        .is_some_and(|own| core::ptr::eq(own, context.layout)) =>
            {
                Some((context.start, 0))
            }
            _ => None,
        }
    }

    /// The same, and how many instructions were executed.
    pub fn run_counted(
        &self,
        ctx: &mut Ctx<'_>,
        env: &dyn Env,
        limits: &Limits,
    ) -> (Result<u64, Trap>, u64) {
        // Only the interpreter counts exactly.
        let (result, executed) = Machine::run(self, ctx, env, limits, None, false);
        (result.map_err(|trap| *trap), executed)
    }

    /// The same, showing each instruction to `watch` before it runs.
    pub fn run_watched(
        &self,
        ctx: &mut Ctx<'_>,
        env: &dyn Env,
        limits: &Limits,
        watch: &mut dyn Watch,
    ) -> (Result<u64, Trap>, u64) {
        let (result, executed) = Machine::run(self, ctx, env, limits, Some(watch), false);
        (result.map_err(|trap| *trap), executed)
    }

    /// Compiles the program to the host's machine code, in which it runs from then on. After an error it stays with the
    /// interpreter; compiling twice does nothing.
    pub fn compile(&self, options: &JitOptions) -> Result<(), JitError> {
        if self.jit.get().is_none() {
            let jit = Jit::new(self, options)?;
            self.jit.get_or_init(|| jit);
        }
        Ok(())
    }

    /// Whether it runs as machine code.
    pub fn is_compiled(&self) -> bool {
        self.jit.get().is_some()
    }

    /// The machine code, if it is compiled.
    pub fn listing(&self) -> Option<Listing> {
        self.jit.get().map(Jit::listing)
    }

    /// The compiled code, if there is any, with or without a budget.
    pub(crate) fn code(&self, limited: bool) -> Option<&Compiled> {
        self.jit.get()?.code(self, limited)
    }

    /// The function whose address a register holds.
    pub(crate) fn function_at(&self, value: u64) -> Option<Function> {
        self.function_index_at(value)
            .map(|index| self.functions[index])
    }

    pub(crate) fn function_index_at(&self, value: u64) -> Option<usize> {
        let offset = value.wrapping_sub(self.ops.as_ptr() as u64);
        let size = size_of::<Op>() as u64;
        let start = usize::try_from(offset / size).ok()?;
        if !offset.is_multiple_of(size) || start >= self.ops.len() {
            return None;
        }
        self.functions
            .binary_search_by_key(&start, |function| function.start)
            .ok()
    }

    /// Why an instruction traps.
    pub(crate) fn poison_at(&self, pc: usize) -> &str {
        let known = self.poisons.iter().find(|(at, _)| *at == pc);
        match (known, &self.proven) {
            (Some((_, why)), _) => why,
            (None, Some(proven)) if !proven.proof.of(pc).reached => {
                "the verifier found no way to this instruction"
            }
            _ => "not an instruction",
        }
    }

    /// The source line that an instruction belongs to.
    pub fn line_at(&self, pc: usize) -> Option<&Line> {
        let after = self.lines.partition_point(|line| line.insn <= pc);
        self.lines.get(after.checked_sub(1)?)
    }
}
