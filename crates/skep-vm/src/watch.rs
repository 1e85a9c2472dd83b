//! Looking on: each instruction of a run with the registers before it.
//!
//! Invariant: a watch sees every instruction of the program and of its callbacks, in the order in which they run.

use core::ops::Range;

use crate::program::Program;

/// What is about to run.
#[derive(Clone, Debug)]
pub struct Moment<'m> {
    /// Whose instruction; after a tail call another program.
    pub program: &'m Program,
    /// Its slot.
    pub pc: usize,
    pub regs: &'m [u64; 11],
    /// The value of r10 in each active frame, the outermost first.
    pub frame_tops: &'m [u64],
    /// The packet, where there is one.
    pub packet: Option<Range<u64>>,
}

/// Sees a run.
pub trait Watch {
    /// The instruction is about to run; `false` ends the run as interrupted.
    fn insn(&mut self, moment: &Moment<'_>) -> bool;
}
