//! Calls: of subprograms, of helpers, back from callbacks; exits.

use skep_spec::insn::Insn;

use crate::fault::{Fault, Rule};
use crate::step::Next;
use crate::verifier::Verifier;

pub mod global;

impl Verifier<'_> {
    /// `call`, of whatever.
    pub fn step_call(&mut self, insn: Insn) -> Rule<Next> {
        if insn.is_kfunc_call() {
            return self.check_kfunc_call(insn);
        }
        Err(Fault::new(
            22,
            "verifier-call",
            format!("call {}", insn.imm),
        ))
    }

    /// `exit`, or with `exception` the end of a path by `bpf_throw`.
    pub fn step_exit(&mut self, _exception: bool) -> Rule<Next> {
        self.check_return_code()?;
        Ok(Next::PathEnds)
    }
}
