//! Calls of kernel functions, by their BTF.

use skep_spec::insn::Insn;

use crate::fault::{Fault, Rule};
use crate::verifier::Verifier;

impl Verifier<'_> {
    /// A call of a kfunc.
    pub fn check_kfunc_call(&mut self, insn: Insn) -> Rule {
        Err(Fault::new(
            22,
            "verifier-kfunc",
            format!("kfunc {}", insn.imm),
        ))
    }
}
