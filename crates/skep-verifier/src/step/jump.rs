//! Conditional jumps: which sides are possible, and what each side teaches.

use skep_spec::insn::Insn;

use crate::fault::Rule;
use crate::step::Next;
use crate::verifier::Verifier;

impl Verifier<'_> {
    /// A conditional jump, or may_goto.
    pub fn check_cond_jmp(&mut self, insn: Insn) -> Rule<Next> {
        let at = self.insn_idx;
        let target = (at as i64 + 1 + i64::from(insn.off)) as usize;
        self.push_branch(target, at, false)?;
        Ok(Next::Insn(at + 1))
    }
}
