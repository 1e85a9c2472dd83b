//! What compiled code and the engine share during a run: one block of plain fields, found through a fixed host register.
//!
//! Invariants: a [`Run`] that compiled code sees is the field `run` of a [`Machine`], so that both find each other by
//! constant distances; compiled code changes only what this page names.

use std::mem::offset_of;

use crate::machine::Machine;
use crate::memory::{Memory, Window};
use crate::program::Program;
use crate::trap::Trap;

/// The block. Compiled code addresses its fields by the constants below.
#[repr(C)]
pub(crate) struct Run {
    /// The host's stack pointer inside of the innermost entry, to which a stop returns.
    pub sp: u64,
    /// r0 to r10 at the last call of a thunk.
    pub regs: [u64; 11],
    /// Instructions that may run before the next account, and how many were granted at the last one. Compiled code
    /// with a budget keeps `left` in a register and stores it here around thunks.
    pub left: i64,
    pub granted: i64,
    /// The program that runs, which thunks ask; calls of its functions restore it after tail calls.
    pub program: *const Program,
    /// The depth at which the innermost entry was made.
    pub base: usize,
    /// A scratch word of compiled code.
    pub scratch: u64,
    /// Whether code with a budget runs.
    pub limited: bool,
    /// Whether programs run compiled, where they are.
    pub compiled: bool,
    /// Why the run stopped.
    pub trap: Option<Box<Trap>>,
}

impl Run {
    pub const fn new(program: *const Program) -> Run {
        Run {
            sp: 0,
            regs: [0; 11],
            left: 0,
            granted: 0,
            program,
            base: 0,
            scratch: 0,
            limited: false,
            compiled: false,
            trap: None,
        }
    }
}

/// What entries and thunks answer, in two registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub value: u64,
    pub stop: u64,
}

/// Values of [`Answer::stop`].
pub(crate) mod stop {
    /// Go on.
    pub const NONE: u64 = 0;
    /// The run ends with the trap in [`super::Run::trap`].
    pub const TRAP: u64 = 1;
    /// The entry's program ends with 0.
    pub const ZERO: u64 = 2;
    /// The code has faulted; the value says where the fault was put by.
    pub const FAULT: u64 = 3;
}

const RUN: usize = offset_of!(Machine<'static>, run);

const fn from_run(field: usize) -> i32 {
    field as i32 - RUN as i32
}

/// Distances from a [`Run`] in bytes.
pub(crate) mod at {
    use super::*;

    pub const SP: i32 = offset_of!(Run, sp) as i32;
    pub const REGS: i32 = offset_of!(Run, regs) as i32;
    pub const LEFT: i32 = offset_of!(Run, left) as i32;
    pub const PROGRAM: i32 = offset_of!(Run, program) as i32;
    pub const SCRATCH: i32 = offset_of!(Run, scratch) as i32;

    const MEMORY: usize = offset_of!(Machine<'static>, memory);
    /// The windows for reads and for writes, two each, [`WINDOW`] bytes apart.
    pub const READABLE: i32 = from_run(MEMORY + offset_of!(Memory<'static>, readable));
    pub const WRITABLE: i32 = from_run(MEMORY + offset_of!(Memory<'static>, writable));
    pub const WINDOW: i32 = size_of::<Window>() as i32;
    /// In a window.
    pub const START: i32 = offset_of!(Window, start) as i32;
    /// In a window, for accesses of one byte; the next three widths follow.
    pub const LIMITS: i32 = offset_of!(Window, limits) as i32;
    /// `usize`: the innermost frame.
    pub const DEPTH: i32 = from_run(MEMORY + offset_of!(Memory<'static>, depth));
    /// An array of `u32`.
    pub const FRAME_BYTES: i32 = from_run(MEMORY + offset_of!(Memory<'static>, frame_bytes));
    /// A byte that is 1 if a window may show a frame.
    pub const STACK_REMEMBERED: i32 =
        from_run(MEMORY + offset_of!(Memory<'static>, stack_remembered));
    /// `usize`.
    pub const DEPTH_MAX: i32 = from_run(offset_of!(Machine<'static>, depth_max));
    /// `u32`.
    pub const MAY_GOTO: i32 = from_run(offset_of!(Machine<'static>, may_goto));
    /// `u64`: r1 of programs that are tail-called.
    pub const CTX: i32 = from_run(offset_of!(Machine<'static>, ctx_addr));
}

/// The run of a machine.
pub(crate) fn of(machine: *mut Machine<'_>) -> *mut Run {
    machine.wrapping_byte_add(RUN).cast()
}

/// The machine around a run.
///
/// # Safety
/// `run` must be the field of a machine that nothing else refers to while the answer lives.
pub(crate) unsafe fn machine<'a, 'p>(run: *mut Run) -> &'a mut Machine<'p> {
    // SAFETY: the caller's promise.
    unsafe { &mut *run.byte_sub(RUN).cast::<Machine<'p>>() }
}
