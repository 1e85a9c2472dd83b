//! Arithmetic: operands, moves, and who computes what.

use skep_spec::insn::Insn;

use crate::fault::Rule;
use crate::step::Use;
use crate::verifier::Verifier;

impl Verifier<'_> {
    /// An arithmetic instruction.
    pub fn check_alu_op(&mut self, insn: Insn) -> Rule {
        self.check_reg_arg(insn.dst, Use::Write)
    }
}
