//! The compiler to machine code: its options, what it makes, and how runs get there.
//!
//! Invariants: compiled code does what the interpreter does with the same operations; it runs only on the architecture
//! that it was made for; a program that cannot be compiled stays with the interpreter, and the error says why.

use std::fmt;
use std::sync::OnceLock;

use crate::machine::Machine;
use crate::program::Program;
use crate::trap::{Trap, TrapCause};

mod a64;
mod code;
mod fault;
mod pass;
pub mod perf;
pub(crate) mod run;
mod scan;
mod thunk;
mod value;
mod waits;
mod x64;

use code::CodeMemory;
use fault::{Fault, Registered};
use run::{Answer, stop};
use scan::Scan;

/// How to compile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitOptions {}

/// Why a program stays with the interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JitError {
    /// No compiler for the architecture of this host.
    Architecture(&'static str),
    /// The host gives no executable memory, with the number of its error.
    NoMemory(Option<i32>),
    /// The code does not fit in what its jumps can reach.
    TooLarge,
}

impl fmt::Display for JitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JitError::Architecture(name) => {
                write!(
                    f,
                    "there is no compiler for {name}; the interpreter runs the program"
                )
            }
            JitError::NoMemory(errno) => {
                f.write_str("the host gives no executable memory")?;
                if let Some(errno) = errno {
                    write!(f, " ({})", std::io::Error::from_raw_os_error(*errno))?;
                }
                f.write_str("; the interpreter runs the program")
            }
            JitError::TooLarge => {
                f.write_str("the program is too large to compile; the interpreter runs it")
            }
        }
    }
}

impl std::error::Error for JitError {}

/// What an architecture's lowering is given.
pub(crate) struct Input<'a> {
    pub program: &'a Program,
    pub scan: &'a Scan,
    /// Counts instructions, and looks at the interrupt flag.
    pub limited: bool,
}

/// What it answers. Offsets are in bytes from the start.
pub(crate) struct Lowered {
    pub bytes: Vec<u8>,
    /// The entry: an [`Enter`].
    pub enter: u32,
    /// Where the program starts, from an entry or a tail call: its frame is open, r1 and r2 are set, r10 is the frame's
    /// top; zeroes the registers that it reads.
    pub start: u32,
    /// Where each function starts for a call or a callback.
    pub functions: Box<[u32]>,
    /// Where each operation's code starts; ascending.
    pub places: Box<[u32]>,
    /// It calls no thunk, and so needs no machine: it is a [`Lean`].
    pub lean: bool,
    /// Where the entry (of a [`Lean`]: the program) is left with an answer that is a stop.
    pub stop: u32,
    /// The run's register holds the stack pointer that is wanted there.
    pub anchored: bool,
}

/// Whether the program's frames lie on the host's stack: it asks the machine for nothing, so nothing looks for them.
fn is_native(program: &Program, scan: &Scan) -> bool {
    program.is_proven() && !scan.machine
}

/// Enters compiled code at an address, with r1 to r5 and r10. The arguments live until it returns.
type Enter = unsafe extern "C" fn(
    run: *mut run::Run,
    target: usize,
    args: *const [u64; 5],
    frame_top: u64,
) -> Answer;

/// A program that needs no machine: the address of a C function.
#[derive(Clone, Copy)]
pub(crate) struct Lean(usize);

impl Lean {
    /// Runs it. A stop is that of a fault.
    ///
    /// # Safety
    /// The program is proven, and what r1 and r2 hold is what it was proven for.
    #[inline(always)]
    pub unsafe fn call(self, r1: u64, r2: u64) -> Answer {
        // SAFETY: lean code keeps the C ABI, on the host that it was made for, and answers in two registers; the rest is
        // the caller's promise.
        #[cfg(not(target_arch = "aarch64"))]
        unsafe {
            type Function = unsafe extern "C" fn(r1: u64, r2: u64) -> Answer;
            std::mem::transmute::<usize, Function>(self.0)(r1, r2)
        }
        // SAFETY: as above, but that it answers in one. The result's register, r0, is that of the first argument too.
        #[cfg(target_arch = "aarch64")]
        unsafe {
            type Function = unsafe extern "C" fn(r0: u64, r1: u64, r2: u64) -> u64;
            Answer {
                value: std::mem::transmute::<usize, Function>(self.0)(0, r1, r2),
                stop: stop::NONE,
            }
        }
    }
}

/// Compiled code of one program.
pub(crate) struct Compiled {
    /// Goes before the memory does.
    _registered: Registered,
    memory: CodeMemory,
    enter: u32,
    start: u32,
    functions: Box<[u32]>,
    places: Box<[u32]>,
    pub lean: bool,
    pub native: bool,
}

impl Compiled {
    fn new(program: &Program, scan: &Scan, limited: bool) -> Result<Compiled, JitError> {
        let arch = Arch::HOST.ok_or(JitError::Architecture(std::env::consts::ARCH))?;
        let input = Input {
            program,
            scan,
            limited,
        };
        let lowered = lower(arch, &input)?;
        let memory = CodeMemory::new(&lowered.bytes)?;
        Ok(Compiled {
            _registered: Registered::new(
                memory.at(0),
                memory.at(lowered.enter),
                memory.at(lowered.stop),
                lowered.anchored,
            ),
            memory,
            enter: lowered.enter,
            start: lowered.start,
            functions: lowered.functions,
            places: lowered.places,
            lean: lowered.lean,
            native: is_native(program, scan),
        })
    }

    /// Address at which the program starts.
    #[inline]
    pub fn start(&self) -> usize {
        self.memory.at(self.start)
    }

    /// The operation whose code an address lies in.
    fn operation_at(&self, pc: usize) -> Option<usize> {
        let offset = u32::try_from(pc.checked_sub(self.memory.at(0))?).ok()?;
        if offset >= self.enter {
            return None;
        }
        let after = self.places.partition_point(|place| *place <= offset);
        Some(after.saturating_sub(1))
    }

    /// Address at which a function starts.
    pub fn function(&self, index: usize) -> usize {
        self.memory.at(self.functions[index])
    }
}

/// An architecture that there is a lowering for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    X64,
    A64,
}

impl Arch {
    /// That of this process.
    pub const HOST: Option<Arch> = if cfg!(all(target_arch = "x86_64", target_pointer_width = "64"))
    {
        Some(Arch::X64)
    } else if cfg!(all(
        target_arch = "aarch64",
        target_pointer_width = "64",
        target_endian = "little"
    )) {
        Some(Arch::A64)
    } else {
        None
    };
}

fn lower(arch: Arch, input: &Input<'_>) -> Result<Lowered, JitError> {
    match arch {
        Arch::X64 => x64::lower(input),
        Arch::A64 => a64::lower(input),
    }
}

/// The machine code of a program, to be shown.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Where it lies in this process.
    pub address: usize,
    pub bytes: Vec<u8>,
    /// Where each instruction's code starts, by its slot; ascending. What lies behind the last is shared by all.
    pub starts: Vec<u32>,
    /// Where the instructions' code ends.
    pub end: u32,
}

impl Listing {
    /// What a program would be compiled to for an architecture, which need not be this one.
    pub fn of(program: &Program, arch: Arch) -> Result<Listing, JitError> {
        let scan = Scan::new(program);
        let lowered = lower(
            arch,
            &Input {
                program,
                scan: &scan,
                limited: false,
            },
        )?;
        Ok(Listing {
            address: 0,
            bytes: lowered.bytes,
            starts: lowered.places.into(),
            end: lowered.enter,
        })
    }
}

/// The compiled forms of a program.
pub(crate) struct Jit {
    /// The plain code as a C function of r1 and r2, if the program needs no machine.
    lean: Option<Lean>,
    plain: Compiled,
    /// Made when a run has limits; nothing if that failed.
    limited: OnceLock<Option<Compiled>>,
}

impl Jit {
    pub fn new(program: &Program, _options: &JitOptions) -> Result<Jit, JitError> {
        let scan = Scan::new(program);
        let plain = Compiled::new(program, &scan, false)?;
        Ok(Jit {
            lean: plain.lean.then(|| Lean(plain.start())),
            plain,
            limited: OnceLock::new(),
        })
    }

    /// The program as a C function of r1 and r2, if it needs no machine.
    #[inline(always)]
    pub fn lean(&self) -> Option<Lean> {
        self.lean
    }

    pub fn listing(&self) -> Listing {
        let code = &self.plain;
        Listing {
            address: code.memory.at(0),
            bytes: code.memory.bytes().to_vec(),
            starts: code.places.to_vec(),
            end: code.enter,
        }
    }

    /// The operation whose code an address lies in.
    fn operation_at(&self, pc: usize) -> Option<usize> {
        self.plain.operation_at(pc).or_else(|| {
            let limited = self.limited.get()?.as_ref()?;
            limited.operation_at(pc)
        })
    }

    pub fn code(&self, program: &Program, limited: bool) -> Option<&Compiled> {
        if limited {
            self.limited
                .get_or_init(|| Compiled::new(program, &Scan::new(program), true).ok())
                .as_ref()
        } else {
            Some(&self.plain)
        }
    }
}

/// Runs a compiled function, whose frame is open, until it returns; answers r0.
pub(crate) fn exec<'p>(
    machine: &mut Machine<'p>,
    program: &'p Program,
    code: &Compiled,
    target: usize,
    args: [u64; 5],
) -> Result<u64, Trap> {
    let frame_top = machine.memory.frame_top(machine.memory.depth);
    let base = std::mem::replace(&mut machine.run.base, machine.memory.depth);
    let before = std::mem::replace(&mut machine.run.program, program);
    let pointer: *mut Machine<'p> = machine;
    // SAFETY: `enter` is the entry that the lowering made for this host; the machine is the run's, and nothing else
    // refers to it until the entry returns; the target is one of the code's.
    let answer = unsafe {
        let enter: Enter = std::mem::transmute(code.memory.at(code.enter));
        enter(run::of(pointer), target, &args, frame_top)
    };
    machine.run.base = base;
    let last = std::mem::replace(&mut machine.run.program, before);
    match answer.stop {
        stop::NONE => Ok(answer.value),
        stop::ZERO => Ok(0),
        stop::FAULT => {
            // SAFETY: the machine keeps programs that tail calls reach, and the run's first outlives it.
            let last = unsafe { &*last };
            Err(faulted(last, answer.value))
        }
        _ => Err(trapped(machine, program)),
    }
}

/// The trap of a fault, by the value that a program's code answered with the stop.
#[cold]
pub(crate) fn faulted(program: &Program, value: u64) -> Trap {
    let fault = fault::take(value).unwrap_or(Fault {
        signal: 0,
        addr: None,
        pc: 0,
        regs: [0; 11],
    });
    let jit = program.jit.get();
    let pc = jit.and_then(|jit| jit.operation_at(fault.pc)).unwrap_or(0);
    Trap {
        pc,
        cause: TrapCause::Fault {
            signal: fault.signal,
            addr: fault.addr,
        },
        program: program.name.clone(),
        line: program.line_at(pc).cloned(),
        regs: Box::new(fault.regs),
    }
}

/// The trap that ended an entry, with its registers.
#[cold]
fn trapped(machine: &mut Machine<'_>, program: &Program) -> Trap {
    let regs = machine.run.regs;
    match machine.run.trap.take() {
        Some(mut trap) => {
            // A trap of a callback has its own registers, which r10 shows.
            if trap.regs[10] == 0 {
                *trap.regs = regs;
            }
            *trap
        }
        None => machine.trap(program, 0, TrapCause::Interrupted, &regs),
    }
}
