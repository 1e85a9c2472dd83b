//! Instructions as text, from the table of [`crate::opcode`].
//!
//! Invariants: the same slot always gives the same text; [`Style::Asm`] loses nothing, whatever the bytes: what
//! [`asm`](crate::asm) reads back is equal. The other two styles are the texts of llvm-objdump 19 and of the kernel's
//! verifier log to the character, and lose what those lose.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::helper;
use crate::insn::{Endian, Insn, pseudo};
use crate::opcode::{self, Opcode};

/// Whose text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The assembler's own: llvm-objdump's, with helper names and without its losses.
    Asm,
    /// That of `llvm-objdump -d`, without the name of a jump's target.
    Llvm,
    /// That of the kernel's verifier log, code in front: `(b7) r0 = 0`.
    Kernel,
}

/// One instruction. `next` is the slot after it, which a wide load needs.
pub fn insn(insn: &Insn, next: Option<&Insn>, style: Style) -> String {
    let insn = *insn;
    let Some(opcode) = opcode::decode(insn) else {
        return unknown(insn, style);
    };
    let second = next.copied().unwrap_or_default();
    match style {
        Style::Asm => {
            let lossless = opcode::check(insn).is_ok()
                && (!insn.is_ld_imm64()
                    || next.is_some_and(|next| opcode::check_second(insn, *next).is_ok()));
            if lossless {
                let mut out = String::new();
                fill(&mut out, opcode, opcode.text, insn, second, style);
                out
            } else {
                slot(insn)
            }
        }
        Style::Llvm if insn.is_ld_imm64() && insn.src != 0 => {
            format!(
                "ld_pseudo\tr{}, {:#x}, {:#x}",
                insn.dst, insn.src, insn.imm as u32
            )
        }
        Style::Llvm => {
            let mut out = String::new();
            fill(&mut out, opcode, opcode.text, insn, second, style);
            out
        }
        Style::Kernel => {
            let text = opcode.kernel_text.unwrap_or(opcode.text);
            let mut out = String::with_capacity(text.len() + 24);
            let digit = |bits: u8| char::from_digit(u32::from(bits), 16).unwrap_or('0');
            out.push('(');
            out.push(digit(insn.code >> 4));
            out.push(digit(insn.code & 15));
            out.push_str(") ");
            fill(&mut out, opcode, text, insn, second, style);
            out
        }
    }
}

/// A program, one line an instruction, each with the number of its first slot.
pub fn lines(insns: &[Insn], style: Style) -> Vec<(usize, String)> {
    let mut lines = Vec::with_capacity(insns.len());
    let mut at = 0;
    while at < insns.len() {
        let next = insns.get(at + 1);
        let text = insn(&insns[at], next, style);
        // A wide load that is printed as a bare slot leaves its second slot to be printed as one, too.
        let whole = insns[at].is_ld_imm64() && next.is_some() && !text.starts_with('.');
        lines.push((at, text));
        at += if whole { 2 } else { 1 };
    }
    lines
}

fn slot(insn: Insn) -> String {
    format!(
        ".slot {:#018x}",
        u64::from_le_bytes(insn.to_bytes(Endian::Little))
    )
}

fn unknown(insn: Insn, style: Style) -> String {
    match style {
        Style::Asm => slot(insn),
        Style::Llvm => "<unknown>".to_owned(),
        Style::Kernel => format!("({:02x}) BUG_{:02x}", insn.code, insn.code),
    }
}

fn fill(out: &mut String, opcode: &Opcode, text: &str, insn: Insn, second: Insn, style: Style) {
    out.reserve(text.len() + 16);
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let close = rest[open..]
            .find('}')
            .map_or(rest.len(), |close| open + close);
        place(out, &rest[open + 1..close], opcode, insn, second, style);
        rest = rest.get(close + 1..).unwrap_or("");
    }
    out.push_str(rest);
}

/// A register, or a number of the kernel's texts.
fn named(out: &mut String, name: &str, number: i64) -> core::fmt::Result {
    out.push_str(name);
    match u8::try_from(number) {
        Ok(digit @ 0..10) => {
            out.push(char::from(b'0' + digit));
            Ok(())
        }
        _ => write!(out, "{number}"),
    }
}

fn place(out: &mut String, name: &str, opcode: &Opcode, insn: Insn, second: Insn, style: Style) {
    let kernel = style == Style::Kernel;
    // The kernel's log writes the registers of 32-bit arithmetic and jumps as w, others as r: its texts say which.
    let _ = match name {
        "d" | "md" => named(out, "r", insn.dst.into()),
        "s" | "ms" => named(out, "r", insn.src.into()),
        "wd" => named(out, "w", insn.dst.into()),
        "ws" => named(out, "w", insn.src.into()),
        "i" if kernel => named(out, "", insn.imm.into()),
        "i" => write!(out, "{}", hex(insn.imm.into())),
        "x" => write!(out, "{:#x}", insn.imm),
        "o" if kernel && insn.off >= 0 => named(out, "+", insn.off.into()),
        "o" if kernel => named(out, "", insn.off.into()),
        "o" => write!(out, "{}", added(insn.off.into())),
        "j" if kernel && insn.off >= 0 => named(out, "pc+", insn.off.into()),
        "j" if kernel => named(out, "pc", insn.off.into()),
        "j" => write!(out, "{}", signed_hex(insn.off.into())),
        "l" if kernel => write!(out, "pc{:+}", insn.imm),
        "l" => write!(out, "{}", signed_hex(insn.imm.into())),
        "q" => write!(out, "{}", hex(insn.imm64(second) as i64)),
        "u" => write!(out, "{:#x}", insn.imm64(second)),
        "hi" if kernel => write!(out, "{}", insn.imm as u32 >> 16),
        "lo" if kernel => write!(out, "{}", insn.imm as u16),
        "hi" => write!(out, "{:#x}", insn.imm as u32 >> 16),
        "lo" => write!(out, "{:#x}", insn.imm as u16),
        "n" => added_unless_zero(out, second.imm.into()),
        "p" if kernel => write!(out, "+ {}", insn.imm),
        "p" if style == Style::Llvm => Ok(()),
        "p" => added_unless_zero(out, insn.imm.into()),
        "helper" | "local" | "kfunc" => call(out, opcode, insn, style),
        _ => Ok(()),
    };
    // A place that was left out leaves no blank behind.
    if matches!(name, "n" | "p") && out.ends_with(' ') {
        out.pop();
    }
}

fn call(out: &mut String, opcode: &Opcode, insn: Insn, style: Style) -> core::fmt::Result {
    if style == Style::Llvm {
        return write!(out, "{}", hex(insn.imm.into()));
    }
    let kernel = style == Style::Kernel;
    if opcode.is_local() {
        return write!(out, "pc{:+}", insn.imm);
    }
    match insn.src {
        pseudo::KFUNC_CALL if kernel => write!(out, "kernel-function#{}", insn.imm),
        pseudo::KFUNC_CALL if insn.off == 0 => write!(out, "kfunc {}", insn.imm),
        pseudo::KFUNC_CALL => write!(out, "kfunc {} off {}", insn.imm, insn.off),
        _ => match helper::by_id(insn.imm as u32) {
            Some(helper) if kernel => write!(out, "{}#{}", helper.name, insn.imm),
            Some(helper) => write!(out, "{}", helper.name),
            None if kernel => write!(out, "unknown#{}", insn.imm),
            None => write!(out, "{}", insn.imm),
        },
    }
}

/// `0x10`, `-0x7`.
fn hex(value: i64) -> String {
    if value < 0 {
        format!("-{:#x}", value.unsigned_abs())
    } else {
        format!("{value:#x}")
    }
}

/// `+0x10`, `-0x7`.
fn signed_hex(value: i64) -> String {
    if value < 0 {
        hex(value)
    } else {
        format!("+{value:#x}")
    }
}

/// `+ 0x10`, `- 0x7`.
fn added(value: i64) -> String {
    let sign = if value < 0 { '-' } else { '+' };
    format!("{sign} {:#x}", value.unsigned_abs())
}

fn added_unless_zero(out: &mut String, value: i64) -> core::fmt::Result {
    if value == 0 {
        Ok(())
    } else {
        write!(out, "{}", added(value))
    }
}

#[cfg(test)]
mod tests;
