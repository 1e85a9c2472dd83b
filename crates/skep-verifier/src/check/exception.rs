//! `bpf_throw`, and the function that a program names to handle what is thrown.
//!
//! Invariant: a thrown path ends there; with no handler, what is thrown must be a value that the program may return.

use crate::fault::Rule;
use crate::verifier::Verifier;

impl Verifier<'_> {
    /// What is thrown with no handler is the program's result.
    pub fn check_throw(&mut self) -> Rule {
        if self.has_exception_callback() {
            return Ok(());
        }
        self.check_return_reg(1, "R1")
    }

    /// Whether the program names a function that handles what is thrown.
    pub fn has_exception_callback(&self) -> bool {
        self.subprogs
            .iter()
            .any(|subprog| subprog.is_exception_callback)
    }
}
