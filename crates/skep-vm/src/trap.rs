//! A trap: how a program's run ends when it does what a verified program cannot.
//!
//! Invariants: a trap names the instruction by its index in the program as it was given (not as it was decoded),
//! and says in words what was wrong and what was near, so that it can be printed as it is.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

/// A source line of a program, from BTF line information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// First instruction that belongs to the line.
    pub insn: usize,
    pub file: Arc<str>,
    /// 1-based; 0 when unknown.
    pub line: u32,
    /// 1-based; 0 when unknown.
    pub column: u32,
    pub text: Arc<str>,
}

/// Why and where a run stopped.
#[derive(Clone, Debug)]
pub struct Trap {
    /// Index of the instruction in its program; a `ld_imm64` counts as two.
    pub pc: usize,
    pub cause: TrapCause,
    /// Name of the program (it differs from the one started after a tail call).
    pub program: Arc<str>,
    pub line: Option<Line>,
    /// The registers of the function that trapped, r0 to r10. In a compiled program those that nothing would have read
    /// any more may show an older value; after a [`TrapCause::Fault`] so may those whose value the code had not worked
    /// out yet, and those that the program never wrote may show what the host left there.
    pub regs: Box<[u64; 11]>,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrapCause {
    /// A load or store outside of what the program may touch. `what` tells the nearest region.
    BadAccess {
        addr: u64,
        len: u64,
        write: bool,
        what: Box<str>,
    },
    /// An atomic operation on an address that is not a multiple of its width.
    Misaligned { addr: u64, len: u64 },
    /// More calls in each other than the kernel allows.
    CallDepth { max: usize },
    /// The run used up its instructions.
    Budget { insns: u64 },
    /// The run took too long.
    TimedOut { after: Duration },
    /// The caller asked to stop.
    Interrupted,
    /// `callx` to a value that is no function, or a callback that is none.
    BadCall { target: u64 },
    /// A helper that this engine does not have.
    UnknownHelper(u32),
    /// A register that must hold a map does not.
    NotAMap { value: u64 },
    /// A helper was called with an argument that the verifier would have refused.
    BadArgument {
        helper: &'static str,
        what: Box<str>,
    },
    /// An instruction that a loader left as not relocatable; the text names the field or symbol.
    Poison(Box<str>),
    /// The run's context is not the one that the program was proven for.
    Context(Box<str>),
    /// A helper of the host's own could not go on.
    Helper { name: &'static str, what: Box<str> },
    /// Compiled code without checks did what the processor refuses (the proof of the program was wrong): the signal's
    /// number, and the address that it wanted to access, if the host says it. Only on x86-64 Linux; elsewhere such a
    /// fault ends the process.
    Fault { signal: i32, addr: Option<u64> },
    /// The program ended while it still held something it must release.
    Unreleased(Box<str>),
}

impl fmt::Display for TrapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrapCause::BadAccess {
                addr,
                len,
                write,
                what,
            } => {
                let verb = if *write { "write" } else { "read" };
                write!(f, "invalid {verb} of {len} bytes at {addr:#x}: {what}")
            }
            TrapCause::Misaligned { addr, len } => {
                write!(f, "misaligned atomic access of {len} bytes at {addr:#x}")
            }
            TrapCause::CallDepth { max } => write!(f, "the call stack of {max} frames is too deep"),
            TrapCause::Budget { insns } => {
                write!(f, "the budget of {insns} instructions is used up")
            }
            TrapCause::TimedOut { after } => write!(f, "the run took longer than {after:?}"),
            TrapCause::Interrupted => f.write_str("the run was interrupted"),
            TrapCause::BadCall { target } => write!(
                f,
                "call to {target:#x}, which is no function of the program"
            ),
            TrapCause::UnknownHelper(id) => write!(f, "unknown helper #{id}"),
            TrapCause::NotAMap { value } => write!(f, "{value:#x} is no map"),
            TrapCause::BadArgument { helper, what } => write!(f, "{helper}: {what}"),
            TrapCause::Poison(what) => write!(f, "unresolved relocation: {what}"),
            TrapCause::Context(what) => f.write_str(what),
            TrapCause::Helper { name, what } => write!(f, "helper {name}: {what}"),
            TrapCause::Fault { signal, addr } => {
                match addr {
                    Some(addr) => write!(f, "access to {addr:#x} faulted")?,
                    None => f.write_str("the instruction faulted")?,
                }
                write!(f, " in compiled code (signal {signal}): its proof is wrong")
            }
            TrapCause::Unreleased(what) => write!(f, "unreleased reference: {what}"),
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: instruction {}: {}",
            self.program, self.pc, self.cause
        )?;
        if let Some(line) = &self.line {
            write!(f, " ({}:{}", line.file, line.line)?;
            if !line.text.is_empty() {
                write!(f, ": {}", line.text.trim())?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl core::error::Error for Trap {}
