//! The only crate that calls bpf(2): maps, programs and test runs, behind one fakeable door.
//!
//! Today it is the oracle of the differential tests and the first room of the kernel engine; ways to attach, perf
//! buffers and feature probes join it file by file.
//!
//! Invariants: every call goes through [`syscall::Syscall`]; handles own their descriptors; errors carry the command,
//! the subject, the kernel's errno and the verifier's log.

pub mod attr;
pub mod error;
pub mod map;
pub mod probe;
pub mod program;
pub mod ring;
pub mod syscall;

pub use error::Error;
pub use map::Map;
pub use program::{Program, ProgramLoad, TestOutput, TestRun};
pub use ring::Ring;
pub use syscall::{Kernel, Syscall};
