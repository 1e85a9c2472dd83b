//! Arithmetic that is done when it comes, in the home of its destination.

use crate::decode::{Code, Op};
use crate::jit::pass::Combine;
use crate::jit::value::Value;
use crate::jit::waits::{bits_of, narrowed};

use super::encode::{Alu, R10, R11, RCX, Shift, Unary, Width};
use super::lower::Lower;
use super::value::HOME;

impl Lower<'_> {
    pub fn combine(&mut self, op: Combine, dst: u8, src: u8, wide: bool) {
        let alu = match op {
            Combine::Sub => Alu::Sub,
            Combine::Or => Alu::Or,
            Combine::And => Alu::And,
            Combine::Xor => Alu::Xor,
            Combine::Mul => return self.multiply(dst, src, wide),
            Combine::Lsh => return self.shift_register(Shift::Shl, dst, src, wide),
            Combine::Rsh => return self.shift_register(Shift::Shr, dst, src, wide),
            Combine::Arsh => return self.shift_register(Shift::Sar, dst, src, wide),
        };
        let bits = self.bits_after(op, dst, src, wide);
        self.define(dst);
        self.ready(src, !wide);
        let to = self.home(dst);
        let from = self.reg(src, !wide);
        self.asm.alu_rr(alu, wide, to, from);
        self.wrote(dst, bits);
    }

    fn multiply(&mut self, dst: u8, src: u8, wide: bool) {
        self.define(dst);
        self.ready(src, !wide);
        let to = self.home(dst);
        let from = self.reg(src, !wide);
        self.asm.imul_rr(wide, to, from);
        self.wrote(dst, narrowed(64, wide));
    }

    pub fn combine_constant(&mut self, op: Combine, dst: u8, imm: i32, wide: bool) {
        let bits = self.bits_after_constant(op, dst, imm, wide);
        let alu = match op {
            Combine::Sub => Alu::Sub,
            Combine::Or => Alu::Or,
            Combine::And => Alu::And,
            Combine::Xor => Alu::Xor,
            Combine::Mul => return self.multiply_number(dst, imm, wide),
            Combine::Lsh => return self.shift_home(Shift::Shl, dst, imm as u8, wide),
            Combine::Rsh => return self.shift_home(Shift::Shr, dst, imm as u8, wide),
            Combine::Arsh => return self.shift_home(Shift::Sar, dst, imm as u8, wide),
        };
        self.define(dst);
        let to = self.home(dst);
        let wide = wide && !(alu == Alu::And && imm >= 0);
        self.asm.alu_ri(alu, wide, to, imm);
        self.wrote(dst, bits);
    }

    fn shift_home(&mut self, shift: Shift, dst: u8, by: u8, wide: bool) {
        self.define(dst);
        let to = self.home(dst);
        self.asm.shift_ri(shift, wide, to, by);
        self.wrote(dst, narrowed(64, wide));
    }

    pub fn rotate(&mut self, dst: u8, from: u8, left: u8, wide: bool) {
        let (to, value) = (HOME[dst as usize], HOME[from as usize]);
        let size = if wide { 64 } else { 32 };
        if from == dst {
            self.asm.shift_ri(Shift::Rol, wide, to, left);
        } else if self.backend.bmi2 {
            self.asm.rorx(wide, to, value, size - left);
        } else {
            self.asm.mov_rr(wide, to, value);
            self.asm.shift_ri(Shift::Rol, wide, to, left);
        }
    }

    pub fn extend_sign(&mut self, dst: u8, from: u8, bits: u8, wide: bool) {
        let width = match bits {
            8 => Width::B,
            16 => Width::H,
            _ => Width::W,
        };
        let (to, from) = (HOME[dst as usize], HOME[from as usize]);
        self.asm.sign_extend(wide, width, to, from);
    }

    fn multiply_number(&mut self, dst: u8, imm: i32, wide: bool) {
        if self.bits(dst) == 1 {
            // 0 or 1 times: all bits or none.
            self.define(dst);
            let to = self.home(dst);
            self.asm.unary(Unary::Neg, wide, to);
            self.asm.alu_ri(Alu::And, wide, to, imm);
            let bits = if imm > 0 { bits_of(imm as u64) } else { 64 };
            return self.wrote(dst, narrowed(bits, wide));
        }
        if matches!(imm, 3 | 5 | 9) {
            self.ready(dst, !wide);
            let base = match self.values.of[dst as usize] {
                Value::Sum { base, .. } => base,
                _ => dst,
            };
            let value = Value::Sum {
                base,
                index: base,
                shift: (imm - 1).trailing_zeros() as u8,
                disp: 0,
                narrow: !wide,
            };
            return self.set(dst, value, narrowed(64, wide));
        }
        self.define(dst);
        self.ready(dst, !wide);
        let from = self.reg(dst, !wide);
        self.asm.imul_rri(wide, HOME[dst as usize], from, imm);
        self.wrote(dst, narrowed(64, wide));
    }

    fn shift_register(&mut self, shift: Shift, dst: u8, src: u8, wide: bool) {
        self.define(dst);
        self.ready(src, true);
        if self.backend.bmi2 {
            self.ready(dst, !wide);
            // Working out one may have moved the other.
            self.ready(src, true);
            let from = self.reg(dst, !wide);
            let count = self.reg(src, true);
            self.asm
                .shift_x(shift, wide, HOME[dst as usize], from, count);
            return self.wrote(dst, narrowed(64, wide));
        }
        let to = self.home(dst);
        let count = self.reg(src, true);
        if count == RCX {
            if to == RCX {
                self.asm.mov_rr(true, R11, RCX);
                self.asm.shift_cl(shift, wide, R11);
                self.asm.mov_rr(wide, RCX, R11);
            } else {
                self.asm.shift_cl(shift, wide, to);
            }
        } else {
            self.asm.mov_rr(true, R10, RCX);
            if to == RCX {
                self.asm.mov_rr(true, RCX, count);
                self.asm.shift_cl(shift, wide, R10);
                self.asm.mov_rr(wide, RCX, R10);
            } else {
                self.asm.mov_rr(true, RCX, count);
                self.asm.shift_cl(shift, wide, to);
                self.asm.mov_rr(true, RCX, R10);
            }
        }
        self.wrote(dst, narrowed(64, wide));
    }

    pub fn negate(&mut self, dst: u8, wide: bool) {
        self.define(dst);
        let to = self.home(dst);
        self.asm.unary(Unary::Neg, wide, to);
        self.wrote(dst, narrowed(64, wide));
    }

    pub fn move_signed(&mut self, op: &Op) {
        let (wide, width) = match op.code {
            Code::Movsx8To64 => (true, Width::B),
            Code::Movsx16To64 => (true, Width::H),
            Code::Movsx32To64 => (true, Width::W),
            Code::Movsx8To32 => (false, Width::B),
            _ => (false, Width::H),
        };
        self.define(op.dst);
        self.ready(op.src, true);
        let from = self.reg(op.src, true);
        self.asm
            .sign_extend(wide, width, HOME[op.dst as usize], from);
        self.wrote(op.dst, narrowed(64, wide));
    }

    pub fn swap(&mut self, op: &Op) {
        self.define(op.dst);
        let was = self.bits(op.dst);
        let to = self.home(op.dst);
        let bits = match op.code {
            Code::Be16 | Code::Swap16 => {
                if was <= 16 {
                    self.asm.swap16(to);
                } else {
                    self.asm.bswap(false, to);
                    self.asm.shift_ri(Shift::Shr, false, to, 16);
                }
                16
            }
            Code::Be32 | Code::Swap32 => {
                self.asm.bswap(false, to);
                32
            }
            _ => {
                self.asm.bswap(true, to);
                64
            }
        };
        self.wrote(op.dst, bits);
    }
}
