//! Pointer arithmetic: which pointers take which offsets.

use skep_spec::insn::Insn;

use crate::fault::{Fault, Rule};
use crate::state::reg::Reg;
use crate::verifier::Verifier;

impl Verifier<'_> {
    /// The result of `ptr (+|-) off` in `insn.dst`; `ptr` and `off` are copies of the operands (in either order).
    pub fn adjust_pointer(&mut self, insn: Insn, _ptr: &Reg, _off: &Reg) -> Rule {
        Err(Fault::new(
            13,
            "verifier-pointer-arithmetic",
            format!("R{} pointer arithmetic", insn.dst),
        ))
    }
}
