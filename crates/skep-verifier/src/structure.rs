//! What is decided from the instructions alone, before anything is explored: size, decoding, subprograms, jumps.
//!
//! Invariants: pure functions over the instruction slots, linear in their number, without recursion; an instruction
//! that [`check_eager`] lets through has a known code. The kernel judges most fields only when its walk reaches the
//! instruction, so those rules are a [`Verdicts`] table that the walk asks.

use skep_spec::insn::{Insn, class, pseudo};
use skep_spec::profile::{Feature, Profile, Version};

use crate::fault::{Fault, Rule};

pub mod decode;
pub mod func_info;
pub mod subprogram;

#[cfg(test)]
mod tests;

pub use decode::{Isa, Verdict, Verdicts, check_insn, check_late, check_register};
pub use subprogram::{Subprogram, Subprograms};

const EINVAL: i32 = 22;
const E2BIG: i32 = 7;

/// Whether a program of that many slots is looked at at all. The kernel gives no wording for it.
pub fn check_size(slots: usize, privileged: bool) -> Rule {
    let max = match privileged {
        true => skep_spec::limits::MAX_INSNS,
        false => skep_spec::limits::MAX_INSNS_UNPRIVILEGED,
    };
    match slots {
        0 => Err(silent("verifier-empty-program")),
        n if n > max => Err(silent("verifier-too-many-insns")),
        _ => Ok(()),
    }
}

/// Refuses the flags that the kernel does not know yet.
pub fn check_flags(flags: u32, profile: &Profile) -> Rule {
    use skep_spec::program::flags::{
        TEST_REG_INVARIANTS, TOKEN_FD, XDP_DEV_BOUND_ONLY, XDP_HAS_FRAGS,
    };
    let later = [
        (XDP_HAS_FRAGS, Version::new(5, 18)),
        (XDP_DEV_BOUND_ONLY, Version::new(6, 3)),
        (TEST_REG_INVARIANTS, Feature::RegisterInvariants.since()),
        (TOKEN_FD, Feature::Tokens.since()),
    ];
    match later
        .iter()
        .any(|&(flag, since)| flags & flag != 0 && profile.version < since)
    {
        true => Err(Fault {
            errno: EINVAL,
            ..*silent("verifier-unknown-flag")
        }
        .into()),
        false => Ok(()),
    }
}

/// A refusal without a log.
#[cold]
fn silent(code: &'static str) -> Box<Fault> {
    Box::new(Fault {
        errno: E2BIG,
        insn: None,
        code,
        lines: Vec::new(),
    })
}

/// The rules that hold for every slot, reached or not: the code is known, loads leave their immediate alone, wide loads
/// have their second slot and a known kind. `reference` is asked about each wide load that names a map (by descriptor
/// or index) or a kernel variable, with the slot and both halves, in the order of the program.
pub fn check_eager(
    insns: &[Insn],
    isa: &Isa,
    mut reference: impl FnMut(usize, Insn, Insn) -> Rule,
) -> Rule {
    let mut at = 0;
    while at < insns.len() {
        let insn = insns[at];
        if insn.class() == class::LDX && !decode::is_plain_load(insn, isa) {
            return Err(Fault::new(
                EINVAL,
                "verifier-reserved-field",
                "BPF_LDX uses reserved fields",
            )
            .at(at));
        }
        if !insn.is_ld_imm64() {
            if !isa.knows(insn) {
                let line = format!("unknown opcode {:02x}", insn.code);
                return Err(Fault::new(EINVAL, "verifier-unknown-opcode", line).at(at));
            }
            at += 1;
            continue;
        }
        let second = insns.get(at + 1).copied();
        let Some(second) =
            second.filter(|next| next.code == 0 && next.dst == 0 && next.src == 0 && next.off == 0)
        else {
            let line = "invalid bpf_ld_imm64 insn";
            return Err(Fault::new(EINVAL, "verifier-bad-ld-imm64", line).at(at));
        };
        match insn.src {
            0 | pseudo::FUNC => {}
            pseudo::BTF_ID | pseudo::MAP_VALUE | pseudo::MAP_IDX_VALUE => {
                reference(at, insn, second)?;
            }
            pseudo::MAP_FD | pseudo::MAP_IDX if second.imm == 0 => reference(at, insn, second)?,
            _ => {
                let line = "unrecognized bpf_ld_imm64 insn";
                return Err(Fault::new(EINVAL, "verifier-bad-ld-imm64", line).at(at));
            }
        }
        at += 2;
    }
    Ok(())
}
