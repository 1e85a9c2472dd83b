//! An access that is not aligned to its size: what the place is made of, and the same access byte by byte.

use skep_spec::insn::{Insn, alu, class, mode, size};

use crate::explain::edit::Edit;
use crate::explain::{Case, Findings};
use crate::state::reg::Kind;

/// See the catalogue.
pub fn rule(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let Some(insn) = case.input.insns.get(case.insn).copied() else {
        return found;
    };
    let load = insn.code & class::MASK == class::LDX;
    let base = if load { insn.src } else { insn.dst };
    let Some(reg) = case.reg(base) else {
        return found;
    };
    let bytes = insn.width();
    found.here = format!("{bytes} bytes at once, from a place that is no multiple of {bytes}");
    if reg.kind == Kind::Packet {
        found.notes.push("packets start 2 bytes after a multiple of 4 where unaligned access is not cheap, so that the headers after Ethernet's 14 bytes are aligned".into());
    }
    found.help = Some("read the bytes one by one, or declare the structure `__attribute__((packed))` so that the compiler does".into());
    if let Some(insns) = bytewise(case, insn) {
        found.edits.push((
            Edit::Replace {
                at: case.insn,
                count: 1,
                insns,
            },
            format!("{} byte by byte", case.lines.insn_text(case.insn)),
        ));
    }
    found
}

/// The same access in bytes, the lowest first in memory, with registers that hold nothing.
fn bytewise(case: &Case<'_>, insn: Insn) -> Option<Vec<Insn>> {
    let regs = case.state()?.frame().regs;
    let operands = [insn.dst, insn.src];
    let mut free = (0..10_u8)
        .filter(|free| regs[usize::from(*free)].kind == Kind::NotInit && !operands.contains(free));
    let bytes = i16::try_from(insn.width()).ok()?;
    let offset = |index: i16| insn.off.checked_add(index);
    let mut insns = Vec::new();
    match (insn.code & class::MASK, insn.code & mode::MASK) {
        (class::LDX, mode::MEM) => {
            let part = free.next()?;
            let sum = if insn.dst == insn.src {
                free.next()?
            } else {
                insn.dst
            };
            insns.push(Insn::load(size::B, sum, insn.src, offset(bytes - 1)?));
            for index in (0..bytes - 1).rev() {
                insns.push(Insn::alu64_imm(alu::LSH, sum, 8));
                insns.push(Insn::load(size::B, part, insn.src, offset(index)?));
                insns.push(Insn::alu64_reg(alu::OR, sum, part));
            }
            if sum != insn.dst {
                insns.push(Insn::mov64_reg(insn.dst, sum));
            }
        }
        (class::STX, mode::MEM) => {
            let part = free.next()?;
            insns.push(Insn::mov64_reg(part, insn.src));
            for index in 0..bytes {
                insns.push(Insn::store_reg(size::B, insn.dst, offset(index)?, part));
                insns.push(Insn::alu64_imm(alu::RSH, part, 8));
            }
        }
        (class::ST, mode::MEM) => {
            for index in 0..bytes {
                let byte = (i64::from(insn.imm) >> (8 * i64::from(index))) & 0xff;
                insns.push(Insn::store_imm(
                    size::B,
                    insn.dst,
                    offset(index)?,
                    byte as i32,
                ));
            }
        }
        _ => return None,
    }
    Some(insns)
}
