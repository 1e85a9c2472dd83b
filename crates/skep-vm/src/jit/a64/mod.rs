//! The lowering for arm64: one pass over the operations, with values that wait until something needs them.
//!
//! | host | holds |
//! |---|---|
//! | x0 to x5 | r0 to r5 |
//! | x19 to x22, x25 | r6 to r9, r10 |
//! | x23 | the [`Run`](crate::jit::run::Run) |
//! | x24 | what is left of the budget, in code that has one |
//! | x26 | the windows, in the run's memory |
//! | x9 to x12 | scratch within one operation, and the operands of gates |
//! | x16 | the address of an access, or another scratch register |
//! | x17 | scratch of single steps: numbers that fit no instruction |
//! | x29, x30 | frame pointer and return address, as the procedure call standard has them |
//!
//! Invariants: sp is a multiple of 16; code that calls a thunk does it through a *gate*, which saves r0 to r5; a stop
//! leaves through `stop`, which unwinds to the innermost entry; x18 belongs to the platform and is left alone.

mod alu;
mod cold;
mod encode;
mod flow;
mod frame;
mod gate;
mod home;
mod lower;
mod memory;
#[cfg(test)]
mod tests;

use super::{Input, JitError, Lowered};

/// Compiles a program.
pub(super) fn lower(input: &Input<'_>) -> Result<Lowered, JitError> {
    lower::lower(input).ok_or(JitError::TooLarge)
}
