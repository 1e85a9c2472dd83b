//! What calls of kfuncs need of rules that are not there yet.
//!
//! Invariant: what is not known is refused.
use super::resolve::Kfunc;
use crate::fault::{Fault, Rule};
use crate::verifier::Verifier;
use skep_spec::insn::Insn;
fn no() -> Box<Fault> {
    Fault::new(22, "verifier-pending", "not there yet")
}
impl Verifier<'_> {
    pub fn check_mem_reg(&mut self, _regno: u8, _size: u32) -> Rule {
        Err(no())
    }
    pub fn check_kfunc_mem_size(&mut self, _regno: u8) -> Rule {
        Err(no())
    }
    pub(crate) fn push_kfunc_callback(&mut self, _k: &Kfunc<'_>, _s: u32, _i: Insn) -> Rule {
        Ok(())
    }
    pub fn may_write_packet(&self) -> bool {
        true
    }
    pub fn may_iterate_css_tasks(&self) -> bool {
        true
    }
    pub fn in_rbtree_callback(&self) -> bool {
        false
    }
    pub fn gpl_compatible(&self) -> bool {
        crate::platform::Place::of_input(self.input).gpl
    }
}
