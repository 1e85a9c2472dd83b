//! What a processor might do on a wrong guess, for programs without privileges: paths that only mis-speculation takes,
//! and arithmetic that must be masked.
//!
//! Invariant: what is found on a speculative path never decides about a real one, but what it needs is noted at the
//! instructions.

use skep_spec::insn::Insn;

use crate::fault::Rule;
use crate::verifier::Verifier;

impl Verifier<'_> {
    /// The side that cannot be taken, as a processor might still start on it.
    pub fn push_speculative(&mut self, _insn: Insn, other: usize, at: usize) -> Rule {
        self.push_branch(other, at, true)?;
        Ok(())
    }

    /// Whether arithmetic on numbers needs masking or is refused under speculation.
    pub fn sanitize_scalar_alu(&mut self, _insn: Insn) -> Rule {
        Ok(())
    }
}
