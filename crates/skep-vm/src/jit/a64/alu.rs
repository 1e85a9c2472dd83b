//! Arithmetic that is done when it comes: three operands, of which the second may be shifted on its way.

use crate::decode::{Code, Op};
use crate::jit::pass::{Combine, Division};
use crate::jit::value::Value;
use crate::jit::waits::narrowed;

use super::encode::immediate::Logical;
use super::encode::{Arith, Logic, One, Reg, Shift, Two, Width, ZR};
use super::home::{ADDRESS, HOME, OPERAND, width};
use super::lower::Lower;

/// What an instruction does with its operands.
enum Form {
    Arith(Arith),
    Logic(Logic),
    Two(Two),
    Mul,
}

fn form(op: Combine) -> Form {
    match op {
        Combine::Sub => Form::Arith(Arith::Sub),
        Combine::Or => Form::Logic(Logic::Orr),
        Combine::And => Form::Logic(Logic::And),
        Combine::Xor => Form::Logic(Logic::Eor),
        Combine::Mul => Form::Mul,
        Combine::Lsh => Form::Two(Two::Lslv),
        Combine::Rsh => Form::Two(Two::Lsrv),
        Combine::Arsh => Form::Two(Two::Asrv),
    }
}

impl Lower<'_> {
    /// Two operands in host registers, for an operation that writes `dst` in its last word.
    fn operands(&mut self, dst: u8, src: u8, wide: bool) -> (Reg, Reg) {
        self.define(dst);
        self.ready(src, !wide);
        self.ready(dst, !wide);
        // Working out one may have moved the other.
        self.ready(src, !wide);
        (self.reg(dst, !wide), self.reg(src, !wide))
    }

    /// A shift by a constant that can be part of the instruction which uses it.
    fn shifted(&self, register: u8, wide: bool) -> Option<(Reg, Shift, u32)> {
        match self.values.of[register as usize] {
            Value::Shifted {
                src,
                by,
                left,
                narrow,
            } if narrow != wide => {
                let shift = if left { Shift::Lsl } else { Shift::Lsr };
                Some((HOME[src as usize], shift, by.into()))
            }
            _ => None,
        }
    }

    pub fn combine(&mut self, op: Combine, dst: u8, src: u8, wide: bool) {
        let bits = self.bits_after(op, dst, src, wide);
        let to = HOME[dst as usize];
        let how = form(op);
        let width = width(wide);
        if dst != src
            && self.live >> src & 1 == 0
            && matches!(how, Form::Arith(_) | Form::Logic(_))
            && self.shifted(src, wide).is_some()
        {
            self.define(dst);
            self.ready(dst, !wide);
            if let Some((from, shift, by)) = self.shifted(src, wide) {
                let left = self.reg(dst, !wide);
                match how {
                    Form::Arith(op) => self.asm.arith_shifted(op, width, to, left, from, shift, by),
                    Form::Logic(op) => self.asm.logic_shifted(op, width, to, left, from, shift, by),
                    _ => {}
                }
                return self.wrote(dst, bits);
            }
        }
        let (left, right) = self.operands(dst, src, wide);
        match how {
            Form::Arith(op) => self.asm.arith(op, width, to, left, right),
            Form::Logic(op) => self.asm.logic(op, width, to, left, right),
            Form::Two(op) => self.asm.two(op, width, to, left, right),
            Form::Mul => self.asm.mul(width, to, left, right),
        }
        self.wrote(dst, bits);
    }

    pub fn combine_constant(&mut self, op: Combine, dst: u8, imm: i32, wide: bool) {
        let bits = self.bits_after_constant(op, dst, imm, wide);
        self.define(dst);
        self.ready(dst, !wide);
        let (to, from) = (HOME[dst as usize], self.reg(dst, !wide));
        let value = if wide {
            imm as u64
        } else {
            u64::from(imm as u32)
        };
        let width = width(wide);
        match form(op) {
            Form::Logic(op) => match Logical::new(width, value) {
                Some(value) => self.asm.logic_imm(op, width, to, from, value),
                None if imm == -1 && op == Logic::Eor => {
                    self.asm.logic_not(Logic::Orr, width, to, ZR, from);
                }
                None => {
                    self.asm.mov_imm(ADDRESS, value);
                    self.asm.logic(op, width, to, from, ADDRESS);
                }
            },
            Form::Arith(_) => self.asm.add_number(width, to, from, -i64::from(imm)),
            Form::Mul => {
                self.asm.mov_imm(ADDRESS, value);
                self.asm.mul(width, to, from, ADDRESS);
            }
            Form::Two(_) => self.asm.asr(width, to, from, imm as u32),
        }
        self.wrote(dst, bits);
    }

    pub fn rotate(&mut self, dst: u8, from: u8, left: u8, wide: bool) {
        let width = width(wide);
        let (to, from) = (HOME[dst as usize], HOME[from as usize]);
        let right = width.bits() - u32::from(left);
        self.asm.extr(width, to, from, from, right);
    }

    pub fn extend_sign(&mut self, dst: u8, from: u8, bits: u8, wide: bool) {
        let (to, from) = (HOME[dst as usize], HOME[from as usize]);
        self.asm.sbfx(width(wide), to, from, 0, bits.into());
    }

    pub fn negate(&mut self, dst: u8, wide: bool) {
        self.define(dst);
        self.ready(dst, !wide);
        let from = self.reg(dst, !wide);
        self.asm.neg(width(wide), HOME[dst as usize], from);
        self.wrote(dst, narrowed(64, wide));
    }

    pub fn move_signed(&mut self, op: &Op) {
        let (wide, bits) = match op.code {
            Code::Movsx8To64 => (true, 8),
            Code::Movsx16To64 => (true, 16),
            Code::Movsx32To64 => (true, 32),
            Code::Movsx8To32 => (false, 8),
            _ => (false, 16),
        };
        self.define(op.dst);
        self.ready(op.src, true);
        let from = self.reg(op.src, true);
        self.asm
            .sbfx(width(wide), HOME[op.dst as usize], from, 0, bits);
        self.wrote(op.dst, narrowed(64, wide));
    }

    pub fn swap(&mut self, op: &Op) {
        self.define(op.dst);
        let was = self.bits(op.dst);
        let half = !matches!(op.code, Code::Be64 | Code::Swap64);
        self.ready(op.dst, half);
        let (to, from) = (HOME[op.dst as usize], self.reg(op.dst, half));
        let bits = match op.code {
            Code::Be16 | Code::Swap16 => {
                self.asm.one(One::Rev16, Width::W, to, from);
                if was > 16 {
                    self.asm.ubfx(Width::W, to, to, 0, 16);
                }
                16
            }
            Code::Be32 | Code::Swap32 => {
                self.asm.one(One::Rev, Width::W, to, from);
                32
            }
            _ => {
                self.asm.one(One::Rev, Width::X, to, from);
                64
            }
        };
        self.wrote(op.dst, bits);
    }

    /// The machine's division is the program's: by 0 it gives 0, and the remainder of that is the dividend; the most
    /// negative number divided by -1 is itself.
    pub fn divide(&mut self, dst: u8, src: u8, wide: bool, how: Division) {
        let (left, right) = self.operands(dst, src, wide);
        self.quotient(dst, left, right, wide, how);
    }

    pub fn divide_constant(&mut self, dst: u8, divisor: u64, wide: bool, how: Division) {
        self.define(dst);
        self.ready(dst, !wide);
        let left = self.reg(dst, !wide);
        self.asm.mov_imm(ADDRESS, divisor);
        self.quotient(dst, left, ADDRESS, wide, how);
    }

    fn quotient(&mut self, dst: u8, left: Reg, right: Reg, wide: bool, how: Division) {
        let bits = if how.signed { 64 } else { self.bits(dst) };
        let (to, width) = (HOME[dst as usize], width(wide));
        let op = if how.signed { Two::Sdiv } else { Two::Udiv };
        if how.remainder {
            self.asm.two(op, width, OPERAND, left, right);
            self.asm.msub(width, to, OPERAND, right, left);
        } else {
            self.asm.two(op, width, to, left, right);
        }
        self.wrote(dst, narrowed(bits, wide));
    }
}
