//! Runs a program: interpreter, maps, helpers.
//!
//! # Memory
//!
//! A program sees the host's own addresses: a register that points to a map's value holds the address at which the value
//! lies in this process. There is no translation, so helpers, maps and the user's side share memory as they do in a kernel.
//! What a program may touch is a set of *regions*, and each of its accesses is compared with them as it runs:
//!
//! | region | access | valid |
//! |---|---|---|
//! | stack frames of the functions that are running, 512 bytes each, zeroed when entered | read, write | until the function returns |
//! | context: plain bytes, or converted field by field by its layout | as the layout says | the run |
//! | packet, from `data_meta` to `data_end` | read, write | until a helper moves its edges |
//! | values of the program's maps, one value at a time | read, write if the map allows | as long as the map lives |
//! | records that a helper reserved | read, write | until submitted or discarded |
//! | what a typed context's fields lead to: bytes by start and end, values by address | read, write if the field says so | the run |
//! | a callback's copy of a key | read | the call |
//! | modelled kernel memory, which the environment reads for the program | read | the run |
//!
//! An access that lies in none of them, or across the end of one, ends the run with a [`Trap`] that names the instruction
//! and the nearest region. The interpreter remembers the ranges it found last (two for reads, two for writes) and drops
//! them when a helper may have moved something or a function returns, so that most accesses cost two comparisons. Accesses
//! through r10 with a constant offset are proven when the program is loaded and cost none.
//!
//! # Safety
//!
//! Programs are untrusted: no instructions whatever can reach memory outside of the regions, run for longer than
//! [`Limits`] allows, or use more of the host's stack than eight frames. This rests on three things: the decoder
//! checks everything that the loop takes for granted (register numbers, targets, the program's end); the regions are true,
//! which is why [`Map`] and the registration of records are `unsafe` to implement; and the run holds on to all that it
//! hands out (programs, maps, inner maps) until it ends. Map memory is shared between threads without locks, as in the
//! kernel: a program that races with another sees torn values, and only its own results suffer.
//!
//! # Without a system
//!
//! With `default-features = false` it needs `alloc` only: interpreter, maps and helpers are all there, programs are not
//! compiled, clocks are the [`Env`]'s own, locks spin, and the memory of maps comes from the allocator when they are made.
//!
//! # Proven programs
//!
//! Programs that need no checks, because they are verified, run without them ([`Program::proven`]); the sandbox stays as
//! the oracle.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod decode;
pub mod env;
pub mod helper;
mod interp;
#[cfg(feature = "std")]
pub mod jit;
#[cfg(not(feature = "std"))]
#[path = "jit_absent.rs"]
pub mod jit;
mod machine;
pub mod map;
mod memory;
pub mod packet;
pub mod program;
pub mod proof;
mod sync;
pub mod trap;
pub mod typed;
pub mod watch;

#[cfg(feature = "std")]
pub use env::DefaultEnv;
pub use env::{Current, Env, FixedEnv};
pub use jit::{JitError, JitOptions};
pub use map::Map;
pub use memory::Ctx;
pub use program::{FnRange, Image, Limits, LoadError, Program};
pub use proof::Proof;
pub use trap::{Line, Trap, TrapCause};
pub use watch::{Moment, Watch};
