//! What calls of kfuncs need of rules that are not there yet.
//!
//! Invariant: what is not known is refused.
use super::resolve::Kfunc;
use crate::fault::{Fault, Rule};
use crate::input::MapId;
use crate::state::reg::Reg;
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
    pub fn check_const_string(&mut self, _regno: u8) -> Rule {
        Err(no())
    }
    pub fn process_res_spin_lock(&mut self, _regno: u8, _lock: bool, _irq: bool) -> Rule {
        Err(no())
    }
    pub(crate) fn push_kfunc_callback(&mut self, _k: &Kfunc<'_>, _s: u32, _i: Insn) -> Rule {
        Ok(())
    }
    pub fn check_throw(&mut self) -> Rule {
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
    pub fn lock_place(&self, reg: &Reg) -> (u8, u64) {
        let _ = MapId(0);
        let _ = reg;
        (0, 0)
    }
    pub fn check_pointer_offset(&self, _r: &Reg, _n: u8, _f: bool) -> Rule {
        Ok(())
    }
    pub fn gpl_compatible(&self) -> bool {
        crate::platform::Place::of_input(self.input).gpl
    }
}
