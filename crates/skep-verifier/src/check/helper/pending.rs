//! What calls need of rules that are not there yet.
//!
//! Invariant: what is not known is refused.

use crate::check::call_meta::CallMeta;
use crate::fault::{Fault, Rule};
use crate::record::RecordField;
use crate::state::reg::Reg;
use crate::verifier::Verifier;

fn no() -> Box<Fault> {
    Fault::new(22, "verifier-pending", "not there yet")
}

impl Verifier<'_> {
    pub fn check_helper_mem_access(
        &mut self,
        _regno: u8,
        _size: u32,
        _write: bool,
        _zero_allowed: bool,
        _meta: Option<&mut CallMeta>,
    ) -> Rule {
        Err(no())
    }
    pub fn check_mem_size_reg(
        &mut self,
        _regno: u8,
        _write: bool,
        _zero_allowed: bool,
        _meta: &mut CallMeta,
    ) -> Rule {
        Err(no())
    }
    pub fn check_map_access(
        &mut self,
        _regno: u8,
        _off: i32,
        _size: u32,
        _zero_allowed: bool,
        _helper: bool,
    ) -> Rule {
        Err(no())
    }
    pub fn check_fixed_alignment(&self, _reg: &Reg, _size: u32) -> Rule {
        Ok(())
    }
    pub fn check_kptr_match(&self, _field: &RecordField, _reg: &Reg, _regno: u8) -> Rule {
        Err(no())
    }
    pub fn may_access_packet(&self, _write: bool) -> bool {
        true
    }
}
