//! What each instruction is: one table, from which decoder, strict check, assembler and disassembler come.
//!
//! Invariants: every valid slot has exactly one row; a field that a row does not use must be zero. RFC 9669, section 3,
//! asks for that, and [`check`] holds it.

use alloc::borrow::Cow;
use alloc::format;

use crate::insn::{Insn, pseudo};
use crate::malformed::Malformed;

mod table;

/// One form of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opcode {
    /// The code that all its slots have.
    pub code: u8,
    /// A name of its own: `add64_k`, `ldx_w`, `atomic_fetch_or_dw`.
    pub name: &'static str,
    /// How the destination register's field is used.
    pub dst: Use,
    /// How the source register's field is used.
    pub src: Use,
    /// How the offset is used.
    pub off: Use,
    /// How the immediate is used.
    pub imm: Use,
    /// The first version of the instruction set that has it, as compilers count (`-mcpu=v1` to `v4`).
    pub cpu: CpuVersion,
    /// Its conformance group.
    pub group: Group,
    /// How it is written, with places in braces: `d` and `s` are the registers (`wd` and `ws` as `w1`; `md` and `ms`
    /// as `r1`, read as `w1` too), `i` the immediate (`x` the same in unsigned hex), `o` the offset of a memory
    /// access, `j` a jump by the offset, `l` a jump by the immediate, `q` a 64-bit immediate, `n` and `p` an added
    /// second immediate or immediate that may be left out, `hi` and `lo` the halves of the immediate, `helper`,
    /// `local` and `kfunc` what a call names, `u` a wide load's bits in the kernel's log.
    pub text: &'static str,
    /// How the kernel's log writes it, where that differs in more than the numbers.
    pub kernel_text: Option<&'static str>,
}

/// How an instruction uses a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Not at all: it must be zero.
    Zero,
    /// As an operand.
    Free,
    /// As a part of the code: it must be this.
    Is(i32),
}

/// Versions of the instruction set, as compilers count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CpuVersion {
    /// The first.
    V1,
    /// Adds jumps on less-than.
    V2,
    /// Adds 32-bit jumps and atomics that fetch.
    V3,
    /// Adds sign-extending loads and moves, signed division, byte swaps, long jumps, acquire and release.
    V4,
}

/// Conformance groups (RFC 9669, section 2.4), and what lies outside of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// 32-bit base instructions.
    Base32,
    /// 64-bit base instructions.
    Base64,
    /// 32-bit atomics.
    Atomic32,
    /// 64-bit atomics.
    Atomic64,
    /// 32-bit multiplication, division, remainder.
    Divmul32,
    /// 64-bit multiplication, division, remainder.
    Divmul64,
    /// Legacy packet access.
    Packet,
    /// Calls through a register.
    Callx,
    /// What only Linux has.
    Kernel,
}

impl CpuVersion {
    /// `v1` to `v4`.
    pub const fn name(self) -> &'static str {
        match self {
            CpuVersion::V1 => "v1",
            CpuVersion::V2 => "v2",
            CpuVersion::V3 => "v3",
            CpuVersion::V4 => "v4",
        }
    }
}

impl Group {
    /// The RFC's word.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Base32 => "base32",
            Group::Base64 => "base64",
            Group::Atomic32 => "atomic32",
            Group::Atomic64 => "atomic64",
            Group::Divmul32 => "divmul32",
            Group::Divmul64 => "divmul64",
            Group::Packet => "packet",
            Group::Callx => "callx",
            Group::Kernel => "linux",
        }
    }
}

impl Use {
    const fn admits(self, value: i32) -> bool {
        match self {
            Use::Is(fixed) => fixed == value,
            Use::Zero | Use::Free => true,
        }
    }
}

impl Opcode {
    /// Whether the slot has this form, unused fields aside.
    pub const fn admits(&self, insn: Insn) -> bool {
        self.code == insn.code
            && self.dst.admits(insn.dst as i32)
            && self.src.admits(insn.src as i32)
            && self.off.admits(insn.off as i32)
            && self.imm.admits(insn.imm)
    }

    /// Whether its immediate is the distance to a function of the same program.
    pub const fn is_local(&self) -> bool {
        matches!(
            (self.code, self.src),
            (0x85, Use::Is(1)) | (0x18, Use::Is(4))
        )
    }

    /// A slot of this form with all operands zero.
    pub const fn blank(&self) -> Insn {
        const fn fixed(field: Use) -> i32 {
            match field {
                Use::Is(value) => value,
                Use::Zero | Use::Free => 0,
            }
        }
        Insn::new(
            self.code,
            fixed(self.dst) as u8,
            fixed(self.src) as u8,
            fixed(self.off) as i16,
            fixed(self.imm),
        )
    }
}

/// Every form, by code.
pub fn all() -> &'static [Opcode] {
    table::OPCODES
}

/// The form of that name.
pub fn by_name(name: &str) -> Option<&'static Opcode> {
    table::OPCODES.iter().find(|opcode| opcode.name == name)
}

/// The form that a slot has, unused fields aside; `None` if there is no such instruction.
pub fn decode(insn: Insn) -> Option<&'static Opcode> {
    let rows = table::OPCODES;
    let first = rows.partition_point(|row| row.code < insn.code);
    rows[first..]
        .iter()
        .take_while(|row| row.code == insn.code)
        .find(|row| row.admits(insn))
}

/// The form of a slot if every field is as it must be; otherwise what is wrong.
pub fn check(insn: Insn) -> Result<&'static Opcode, Cow<'static, str>> {
    let Some(opcode) = decode(insn) else {
        return Err(
            match table::OPCODES.iter().any(|row| row.code == insn.code) {
                true => format!(
                    "code {:#04x} has no form with src {}, offset {}, immediate {:#x}",
                    insn.code, insn.src, insn.off, insn.imm
                )
                .into(),
                false => format!("unknown code {:#04x}", insn.code).into(),
            },
        );
    };
    for (field, used, value) in [
        ("destination register", opcode.dst, i32::from(insn.dst)),
        ("source register", opcode.src, i32::from(insn.src)),
        ("offset", opcode.off, i32::from(insn.off)),
        ("immediate", opcode.imm, insn.imm),
    ] {
        if used == Use::Zero && value != 0 {
            return Err(format!(
                "{} does not use its {field}, which must be 0 and is {value}",
                opcode.name
            )
            .into());
        }
    }
    if opcode.name == "addr_space_cast" && insn.imm == 0 {
        return Err("an address-space cast from 0 to 0 is a move, whose offset must be 0".into());
    }
    for (used, register) in [(opcode.dst, insn.dst), (opcode.src, insn.src)] {
        if used == Use::Free && register > 10 {
            return Err(format!("there is no register r{register}").into());
        }
    }
    Ok(opcode)
}

/// Checks every instruction of a program, second slots of wide loads included. The offset is that of the slot, in bytes.
pub fn check_all(insns: &[Insn]) -> Result<(), Malformed> {
    let refuse =
        |slot: usize, why: Cow<'static, str>| Malformed::new("instructions", 8 * slot, why);
    let mut at = 0;
    while at < insns.len() {
        let insn = insns[at];
        check(insn).map_err(|why| refuse(at, why))?;
        if insn.is_ld_imm64() {
            let Some(&next) = insns.get(at + 1) else {
                return Err(refuse(
                    at,
                    "a 64-bit immediate load lacks its second slot".into(),
                ));
            };
            check_second(insn, next).map_err(|why| refuse(at + 1, why))?;
        }
        at += insn.slots();
    }
    Ok(())
}

/// Checks the second slot of a wide load.
pub fn check_second(first: Insn, second: Insn) -> Result<(), Cow<'static, str>> {
    if second.code != 0 || second.dst != 0 || second.src != 0 || second.off != 0 {
        return Err("the second slot of a 64-bit immediate load may only hold an immediate".into());
    }
    let one_word = matches!(first.src, pseudo::MAP_FD | pseudo::FUNC | pseudo::MAP_IDX);
    if one_word && second.imm != 0 {
        return Err("the second immediate of this load must be 0".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
