//! The verifier: says whether a program is safe to run, by the rules of a chosen kernel, and explains why not.
//!
//! Invariants: nothing here asks a kernel or the machine; the same input gives the same verdict anywhere. Every
//! rejection carries the kernel's own wording.

#![forbid(unsafe_code)]

pub mod cfg;
pub mod fault;
pub mod state;
