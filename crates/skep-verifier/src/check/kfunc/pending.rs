//! What calls of kfuncs need of rules that are not there yet.
//!
//! Invariant: what is not known is refused.
use crate::fault::{Fault, Rule};
use crate::verifier::Verifier;
fn no() -> Box<Fault> {
    Fault::new(22, "verifier-pending", "not there yet")
}
impl Verifier<'_> {
    pub fn check_mem_reg(&mut self, _regno: u8, _size: u32) -> Rule {
        Err(no())
    }
    pub fn check_kfunc_mem_size_reg(&mut self, _regno: u8, _s: u8) -> Rule {
        Err(no())
    }
}
