//! The lowering for x86-64: one pass over the operations, with values that wait until something needs them.
//!
//! | host | holds |
//! |---|---|
//! | rax, rdi, rsi, rdx, rcx, r8 | r0 to r5, as the C ABI passes arguments |
//! | rbx, r13, r14, r15, rbp | r6 to r10 |
//! | r12 | the [`Run`](crate::jit::run::Run) |
//! | r9 | what is left of the budget, in code that has one; else scratch |
//! | r10, r11 | scratch, within one operation |
//!
//! Invariants: in the body of a function rsp is a multiple of 16; code that calls a thunk does it through a *gate*, which
//! saves r0 to r5; a stop leaves through `stop`, which unwinds to the innermost entry.

mod alu;
mod cold;
mod divide;
mod encode;
mod flow;
mod frame;
mod gate;
mod lower;
mod map;
mod memory;
mod value;

#[cfg(test)]
mod tests;

use super::{Input, JitError, Lowered};

/// Compiles a program.
pub(super) fn lower(input: &Input<'_>) -> Result<Lowered, JitError> {
    match lower::lower(input, true) {
        Ok(lowered) => Ok(lowered),
        // A guess about a jump was wrong: all jumps forward get the long form.
        Err(encode::Unfit::Short) => lower::lower(input, false).map_err(|_| JitError::TooLarge),
        Err(encode::Unfit::Near) => Err(JitError::TooLarge),
    }
}
