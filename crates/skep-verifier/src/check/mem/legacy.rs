//! Legacy packet loads (`ld_abs`, `ld_ind`), which end the program where the packet is too short.

use skep_spec::insn::{Insn, mode};
use skep_spec::program::ProgramType as P;

use super::EINVAL;
use crate::fault::{Fault, Rule};
use crate::state::reg::{Kind, Reg};
use crate::step::Use;
use crate::verifier::Verifier;

/// Where the implicit context pointer is.
const CTX: u8 = 6;

impl Verifier<'_> {
    /// A load of 1, 2 or 4 bytes of the packet into r0.
    pub fn check_ld_abs(&mut self, insn: Insn) -> Rule {
        let refuse = |line: &str| Err(Fault::new(EINVAL, "verifier-legacy-load", line));
        if !matches!(
            self.program_kind(),
            P::SocketFilter | P::SchedCls | P::SchedAct
        ) {
            return refuse("BPF_LD_[ABS|IND] instructions not allowed for this program type");
        }
        if insn.dst != 0
            || insn.off != 0
            || insn.width() == 8
            || insn.code & mode::MASK == mode::ABS && insn.src != 0
        {
            return refuse("BPF_LD_[ABS|IND] uses reserved fields");
        }
        self.check_reg_arg(CTX, Use::Read)?;
        // The load may end the program, so nothing may be held.
        self.check_resource_leak(false, true, "BPF_LD_[ABS|IND]")?;
        if self.reg(CTX).kind != Kind::Ctx {
            return refuse("at the time of BPF_LD_ABS|IND R6 != pointer to skb");
        }
        if insn.code & mode::MASK == mode::IND {
            self.check_reg_arg(insn.src, Use::Read)?;
        }
        let ctx = *self.reg(CTX);
        self.check_pointer_offset(&ctx, CTX, false)?;
        for number in 0..=5 {
            self.set_reg(number, Reg::NOT_INIT);
        }
        self.set_reg(0, Reg::UNKNOWN);
        Ok(())
    }
}
