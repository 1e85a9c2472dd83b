//! Arithmetic on scalars: what is known of the result from what is known of the operands.
//!
//! Invariant: every outcome of the instruction for members of the operands is a member of the result. Bounds are as
//! tight as Linux 6.18 has them and no tighter, since programs are pruned and messages printed by them.

use skep_spec::insn::{Insn, alu, class, source};

use crate::state::scalar::Scalar;
use crate::state::scalar::range::{Range32, Range64};
use crate::state::scalar::rules::Rules;
use crate::state::tnum::Tnum;

mod bounds;
#[cfg(test)]
mod tests;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AluOp {
    Add,
    Sub,
    Mul,
    Div,
    Sdiv,
    Mod,
    Smod,
    Or,
    And,
    Xor,
    Lsh,
    Rsh,
    Arsh,
    Neg,
    Mov,
    /// Sign-extends that many bytes of the source.
    Movsx(u8),
    /// Keeps that many low bytes, in the order that they have.
    Cut(u8),
    /// Keeps that many low bytes, in reverse order.
    Swap(u8),
}

/// How many bits an operation works on; 32-bit ones leave the upper half zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    W32,
    W64,
}

impl AluOp {
    /// The operation and width of an arithmetic instruction on a little-endian machine; `None` for other instructions
    /// and unused codes.
    #[inline]
    #[must_use]
    pub const fn decode(insn: Insn) -> Option<(AluOp, Width)> {
        let width = match insn.code & class::MASK {
            class::ALU => Width::W32,
            class::ALU64 => Width::W64,
            _ => return None,
        };
        let op = match (insn.code & alu::MASK, insn.off) {
            (alu::ADD, _) => AluOp::Add,
            (alu::SUB, _) => AluOp::Sub,
            (alu::MUL, _) => AluOp::Mul,
            (alu::DIV, 0) => AluOp::Div,
            (alu::DIV, _) => AluOp::Sdiv,
            (alu::MOD, 0) => AluOp::Mod,
            (alu::MOD, _) => AluOp::Smod,
            (alu::OR, _) => AluOp::Or,
            (alu::AND, _) => AluOp::And,
            (alu::XOR, _) => AluOp::Xor,
            (alu::LSH, _) => AluOp::Lsh,
            (alu::RSH, _) => AluOp::Rsh,
            (alu::ARSH, _) => AluOp::Arsh,
            (alu::NEG, _) => AluOp::Neg,
            (alu::MOV, 8) => AluOp::Movsx(1),
            (alu::MOV, 16) => AluOp::Movsx(2),
            (alu::MOV, 32) => AluOp::Movsx(4),
            (alu::MOV, _) => AluOp::Mov,
            (alu::END, _) => {
                let bytes = match insn.imm {
                    16 => 2,
                    32 => 4,
                    _ => 8,
                };
                let to_host =
                    insn.code & (class::MASK | source::TO_BE) == class::ALU | source::TO_LE;
                let op = if to_host {
                    AluOp::Cut(bytes)
                } else {
                    AluOp::Swap(bytes)
                };
                return Some((op, Width::W64));
            }
            _ => return None,
        };
        Some((op, width))
    }
}

/// The two numbers that a number spread from a sign bit can be, all zeros and all ones, where an operation shall be
/// walked once for each: the first on another path from the same instruction, the second at once. What follows such an
/// `and` or `or` with a constant is a choice between two constants, and the bounds of both together would hide it.
#[inline]
#[must_use]
pub fn fork(rules: Rules, op: AluOp, dst: &Scalar, src: &Scalar) -> Option<(Scalar, Scalar)> {
    if !rules.fork_signs || !matches!(op, AluOp::And | AluOp::Or) || !src.is_const() {
        return None;
    }
    if (dst.smin, dst.smax) == (-1, 0) {
        Some((Scalar::constant(0), Scalar::constant(u64::MAX)))
    } else if (dst.s32_min, dst.s32_max) == (-1, 0) {
        Some((dst.with_low(0), dst.with_low(u32::MAX)))
    } else {
        None
    }
}

/// `dst op= src`. An immediate is a constant, sign-extended to 64 bits; moves ignore `dst`, and negation and byte
/// swaps ignore `src`.
#[inline]
#[must_use]
pub fn alu(rules: Rules, op: AluOp, width: Width, dst: &Scalar, src: &Scalar) -> Scalar {
    match (op, width) {
        (AluOp::Mov, Width::W64) => *src,
        (AluOp::Mov, Width::W32) => src.zext32_by(rules),
        (AluOp::Movsx(bytes), Width::W64) => src.sext(bytes),
        (AluOp::Movsx(bytes), Width::W32) => src.sext32_by(rules, bytes),
        (AluOp::Cut(_) | AluOp::Swap(_), _) if !rules.byte_order => Scalar::UNKNOWN,
        (AluOp::Cut(bytes), _) => dst.truncate_by(rules, bytes),
        (AluOp::Swap(bytes), _) => {
            let mut swapped = Scalar {
                bits: dst.bits.swap_bytes(bytes),
                ..Scalar::UNKNOWN
            };
            swapped.sync_by(rules);
            swapped
        }
        (AluOp::Neg, _) => binary(rules, AluOp::Sub, width, &Scalar::constant(0), dst),
        _ => binary(rules, op, width, dst, src),
    }
}

fn binary(rules: Rules, op: AluOp, width: Width, dst: &Scalar, src: &Scalar) -> Scalar {
    let shift = match op {
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => match shift_count(width, src) {
            Some(shift) => shift,
            None => return Scalar::UNKNOWN,
        },
        AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod => return Scalar::UNKNOWN,
        _ => 0,
    };
    if let (Some(left), Some(right)) = (dst.settled_const(), src.settled_const()) {
        return Scalar::constant(compute(op, width, left, right, shift));
    }
    match width {
        Width::W32 => {
            let (bits, low) = low_half(op, dst, src, shift, true);
            Scalar::from_parts(bits, Range64::FULL, low).zext32_by(rules)
        }
        Width::W64 => {
            let (bits, wide) = whole(rules, op, dst, src, shift);
            let (_, low) = low_half(op, dst, src, shift, false);
            let mut result = Scalar::from_parts(bits, wide, low);
            if matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh) {
                result.bounds_from_bits(rules);
            }
            result.sync_by(rules);
            result
        }
    }
}

/// A shift says something only by a known count below the width; a 32-bit one too takes all 64 bits of the count.
fn shift_count(width: Width, src: &Scalar) -> Option<u8> {
    let (count, limit) = match width {
        Width::W64 => (src.as_const()?, 64),
        Width::W32 => (u64::from(src.subreg_const()?), 32),
    };
    (count < limit && src.umax < limit).then_some(count as u8)
}

/// Constants are computed as the machine does.
fn compute(op: AluOp, width: Width, left: u64, right: u64, shift: u8) -> u64 {
    let result = match (op, width) {
        (AluOp::Add, _) => left.wrapping_add(right),
        (AluOp::Sub, _) => left.wrapping_sub(right),
        (AluOp::Mul, _) => left.wrapping_mul(right),
        (AluOp::Or, _) => left | right,
        (AluOp::And, _) => left & right,
        (AluOp::Xor, _) => left ^ right,
        (AluOp::Lsh, _) => left << shift,
        (AluOp::Rsh, Width::W64) => left >> shift,
        (AluOp::Rsh, Width::W32) => u64::from(left as u32 >> shift),
        (AluOp::Arsh, Width::W64) => (left as i64 >> shift) as u64,
        (AluOp::Arsh, Width::W32) => (left as i32 >> shift) as u64,
        _ => left,
    };
    match width {
        Width::W64 => result,
        Width::W32 => u64::from(result as u32),
    }
}

fn whole(rules: Rules, op: AluOp, dst: &Scalar, src: &Scalar, shift: u8) -> (Tnum, Range64) {
    let (a, b) = (dst.range64(), src.range64());
    let (x, y) = (dst.bits, src.bits);
    match op {
        AluOp::Add => (x.add(y), a.add(b)),
        AluOp::Sub => (x.sub(y), a.sub(b)),
        AluOp::Mul => (x.mul(y), a.mul(b)),
        AluOp::And => {
            let bits = x.and(y);
            (bits, a.and(b, bits.value))
        }
        AluOp::Or => {
            let bits = x.or(y);
            (bits, a.or(b, bits.max()))
        }
        AluOp::Xor => {
            let bits = x.xor(y);
            (bits, Range64::unsigned(bits.value, bits.max()))
        }
        AluOp::Lsh => {
            let mut range = a.shl(shift);
            if shift == 32 {
                // Nothing but the low half is left: its signed bounds stay bounds.
                if dst.s32_min >= 0 || rules.negative_low_half {
                    range.smin = i64::from(dst.s32_min) << 32;
                }
                if dst.s32_max >= 0 || rules.negative_low_half {
                    range.smax = i64::from(dst.s32_max) << 32;
                }
            }
            (x.lshift(shift), range)
        }
        AluOp::Rsh => (x.rshift(shift), a.shr(shift)),
        AluOp::Arsh => (x.arshift(shift, 64), a.sar(shift)),
        _ => (Tnum::UNKNOWN, Range64::FULL),
    }
}

/// The low half of the result; `alone` for a 32-bit operation, else as part of a 64-bit one.
fn low_half(op: AluOp, dst: &Scalar, src: &Scalar, shift: u8, alone: bool) -> (Tnum, Range32) {
    let (a, b) = (dst.range32(), src.range32());
    let (x, y) = (dst.bits.subreg(), src.bits.subreg());
    match op {
        AluOp::Add => (x.add(y), a.add(b)),
        AluOp::Sub => (x.sub(y), a.sub(b)),
        AluOp::Mul => (if alone { x.mul(y) } else { x }, a.mul(b)),
        AluOp::And => {
            let bits = x.and(y);
            (bits, a.and(b, bits.value as u32))
        }
        AluOp::Or => {
            let bits = x.or(y);
            (bits, a.or(b, bits.max() as u32))
        }
        AluOp::Xor => {
            let bits = x.xor(y);
            (
                bits,
                Range32::unsigned(bits.value as u32, bits.max() as u32),
            )
        }
        AluOp::Lsh => (x.lshift(shift), a.shl(shift)),
        AluOp::Rsh if alone => (x.rshift(shift), a.shr(shift)),
        AluOp::Arsh if alone => (x.arshift(shift, 32), a.sar(shift)),
        _ => (Tnum::UNKNOWN, Range32::FULL),
    }
}
