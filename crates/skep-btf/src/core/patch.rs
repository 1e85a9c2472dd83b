//! Writing a relocation's value into its instruction.
//!
//! Invariant: an instruction is changed completely or, on an error, not at all.

use skep_spec::insn::{Insn, class, jmp, mode, size};

use super::error::CoreError;
use super::relocate::Resolved;

/// The helper number of a poisoned instruction's call, "bad relo": libbpf's, so that logs can be searched for it.
pub const POISON_IMM: i32 = 0xbad_2310;

/// What became of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patched {
    /// It holds the target's value.
    Value,
    /// It was replaced by a call that no verifier accepts, for this reason.
    Poisoned(String),
}

/// Whether an instruction was poisoned by a relocation that could not be resolved.
pub fn is_poison(insn: &Insn) -> bool {
    insn.code == poison().code && insn.src == 0 && insn.imm == POISON_IMM
}

fn poison() -> Insn {
    Insn {
        code: class::JMP | jmp::CALL,
        dst: 0,
        src: 0,
        off: 0,
        imm: POISON_IMM,
    }
}

pub(super) fn patch(
    resolved: &Resolved,
    insns: &mut [Insn],
    at: usize,
) -> Result<Patched, CoreError> {
    let fail = |why: String| CoreError::Insn {
        what: resolved.what.clone(),
        at,
        why,
    };
    let Some(&insn) = insns.get(at) else {
        return Err(fail(format!("there are only {} instructions", insns.len())));
    };
    let wide = insn.code == class::LD | size::DW | mode::IMM;
    if wide && at + 1 >= insns.len() {
        return Err(fail("the second half of the ld_imm64 is missing".into()));
    }
    let mut reason = resolved.poison.clone();
    let mut new = insn;
    if reason.is_none() {
        let check = |found: u64, bits: u32| {
            let wanted = resolved.local & (u64::MAX >> (64 - bits));
            if resolved.check && found != wanted {
                let why =
                    format!("it holds {found:#x}, but the object's own types give {wanted:#x}");
                return Err(fail(why));
            }
            Ok(())
        };
        match insn.code & 0x07 {
            class::ALU | class::ALU64 => {
                if insn.code & 0x08 != 0 {
                    return Err(fail("its operand is a register, not an immediate".into()));
                }
                check(u64::from(insn.imm as u32), 32)?;
                let value = resolved.value;
                if u32::try_from(value).is_err() && i32::try_from(value as i64).is_err() {
                    return Err(fail(format!("the value {value:#x} does not fit 32 bits")));
                }
                new.imm = value as u32 as i32;
            }
            class::LDX | class::ST | class::STX => {
                check(u64::from(insn.off as u16), 16)?;
                new.off = i16::try_from(resolved.value).map_err(|_| {
                    fail(format!(
                        "the offset {} does not fit 15 bits",
                        resolved.value
                    ))
                })?;
                match resolved.mem {
                    Some(mem) if !mem.adjustable => {
                        reason = Some(format!(
                            "{} has {} bytes here and {} in the target, and is no pointer or unsigned integer, \
                             so its load or store cannot be adjusted",
                            resolved.what, mem.local, mem.target
                        ));
                    }
                    Some(mem) => {
                        let bytes = access_bytes(insn.code);
                        if bytes != mem.local {
                            let why =
                                format!("it accesses {bytes} bytes of a field of {}", mem.local);
                            return Err(fail(why));
                        }
                        let width = match mem.target {
                            1 => size::B,
                            2 => size::H,
                            4 => size::W,
                            8 => size::DW,
                            other => {
                                return Err(fail(format!("no instruction accesses {other} bytes")));
                            }
                        };
                        new.code = insn.code & !0x18 | width;
                    }
                    None => {}
                }
            }
            class::LD if wide => {
                let second = insns[at + 1];
                if insn.src != 0
                    || second.code != 0
                    || second.dst != 0
                    || second.src != 0
                    || second.off != 0
                {
                    return Err(fail("the ld_imm64 is not a plain one".into()));
                }
                let found = u64::from(insn.imm as u32) | u64::from(second.imm as u32) << 32;
                check(found, 64)?;
                new.imm = resolved.value as u32 as i32;
                insns[at + 1].imm = (resolved.value >> 32) as u32 as i32;
            }
            _ => {
                return Err(fail(format!(
                    "opcode {:#04x} holds no relocatable value",
                    insn.code
                )));
            }
        }
    }
    match reason {
        Some(reason) => {
            insns[at] = poison();
            if wide {
                insns[at + 1] = poison();
            }
            Ok(Patched::Poisoned(reason))
        }
        None => {
            insns[at] = new;
            Ok(Patched::Value)
        }
    }
}

fn access_bytes(code: u8) -> u32 {
    match code & 0x18 {
        size::B => 1,
        size::H => 2,
        size::W => 4,
        _ => 8,
    }
}
