//! Kernel variables named by BTF: which register their address becomes.

use crate::fault::{Fault, Rule};
use crate::input::BtfIdx;
use crate::state::reg::Reg;
use crate::verifier::Verifier;

/// The address of the variable `id`.
pub fn address(_verifier: &Verifier<'_>, _btf: BtfIdx, id: u32) -> Rule<Reg> {
    Err(Fault::new(
        22,
        "verifier-variable",
        format!("ldimm64 insn specifies invalid btf_id {id}."),
    ))
}
