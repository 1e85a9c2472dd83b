//! Arithmetic: what can wait waits, what cannot is done in the home of its destination.

use crate::decode::{Code, Op};

use super::encode::{Alu, R10, R11, RCX, Shift, Unary, Width};
use super::lower::Lower;
use super::value::{HOME, NONE, Value};

/// Bits that a number takes.
fn bits_of(value: u64) -> u8 {
    (64 - value.leading_zeros()) as u8
}

/// One of the arithmetic families of four operations.
fn family(code: Code, first: Code) -> bool {
    code as u8 & !3 == first as u8
}

impl Lower<'_> {
    pub fn arithmetic(&mut self, op: &Op) {
        let wide = op.code as u8 & 2 == 0;
        let register = op.code as u8 & 1 != 0;
        let is = |first| family(op.code, first);
        // A constant that waits in a register is as good as an immediate.
        if register
            && !is(Code::Mov64K)
            && let Some(value) = self.values.constant(op.src)
            && let Some(imm) = as_imm(value, wide)
        {
            let plain = Op {
                src: 0,
                imm: imm.into(),
                ..*op
            };
            return self.by_constant(&plain, wide);
        }
        if register {
            self.by_register(op, wide);
        } else {
            self.by_constant(op, wide);
        }
    }

    fn by_constant(&mut self, op: &Op, wide: bool) {
        let is = |first| family(op.code, first);
        let (dst, imm) = (op.dst, op.imm as i32);
        if is(Code::Mov64K) {
            let value = if wide {
                op.imm as u64
            } else {
                u64::from(imm as u32)
            };
            return self.constant(dst, value);
        }
        if is(Code::Add64K) {
            return self.add_constant(dst, imm, wide);
        }
        if is(Code::Sub64K) {
            if let Some(negated) = imm.checked_neg() {
                return self.add_constant(dst, negated, wide);
            }
            return self.in_place(Alu::Sub, dst, imm, wide);
        }
        if is(Code::And64K) {
            return self.and_constant(dst, imm, wide);
        }
        if is(Code::Or64K) {
            return self.in_place(Alu::Or, dst, imm, wide);
        }
        if is(Code::Xor64K) {
            return self.in_place(Alu::Xor, dst, imm, wide);
        }
        if is(Code::Mul64K) {
            return self.multiply_constant(dst, imm, wide);
        }
        if is(Code::Lsh64K) || is(Code::Rsh64K) {
            let by = (imm & if wide { 63 } else { 31 }) as u8;
            return self.shift_constant(dst, by, is(Code::Lsh64K), wide);
        }
        if is(Code::Arsh64K) {
            return self.shift_signed(dst, (imm & if wide { 63 } else { 31 }) as u8, wide);
        }
        let signed = is(Code::Sdiv64K) || is(Code::Smod64K);
        let remainder = is(Code::Mod64K) || is(Code::Smod64K);
        self.divide_constant(dst, op.imm, wide, signed, remainder);
    }

    fn by_register(&mut self, op: &Op, wide: bool) {
        let is = |first| family(op.code, first);
        let (dst, src) = (op.dst, op.src);
        if is(Code::Mov64K) {
            return if wide {
                self.wide_move(dst, src)
            } else {
                self.narrow_move(dst, src)
            };
        }
        if is(Code::Add64K) {
            return self.add_register(dst, src, wide);
        }
        let alu = if is(Code::Sub64K) {
            Alu::Sub
        } else if is(Code::Or64K) {
            Alu::Or
        } else if is(Code::And64K) {
            Alu::And
        } else if is(Code::Xor64K) {
            Alu::Xor
        } else {
            return self.by_register_slow(op, wide);
        };
        if matches!(alu, Alu::Or | Alu::Xor) && self.rotation(dst, src, wide) {
            return;
        }
        let bits = match alu {
            Alu::Sub => 64,
            Alu::And => self.bits(dst).min(self.bits(src)),
            _ => self.bits(dst).max(self.bits(src)),
        };
        self.define(dst);
        self.ready(src, !wide);
        let to = self.home(dst);
        let from = self.reg(src, !wide);
        self.asm.alu_rr(alu, wide, to, from);
        self.wrote(dst, narrowed(bits, wide));
    }

    fn by_register_slow(&mut self, op: &Op, wide: bool) {
        let is = |first| family(op.code, first);
        let (dst, src) = (op.dst, op.src);
        if is(Code::Mul64K) {
            self.define(dst);
            self.ready(src, !wide);
            let to = self.home(dst);
            let from = self.reg(src, !wide);
            self.asm.imul_rr(wide, to, from);
            return self.wrote(dst, narrowed(64, wide));
        }
        if is(Code::Lsh64K) {
            return self.shift_register(Shift::Shl, dst, src, wide);
        }
        if is(Code::Rsh64K) {
            return self.shift_register(Shift::Shr, dst, src, wide);
        }
        if is(Code::Arsh64K) {
            return self.shift_register(Shift::Sar, dst, src, wide);
        }
        let signed = is(Code::Sdiv64K) || is(Code::Smod64K);
        let remainder = is(Code::Mod64K) || is(Code::Smod64K);
        self.divide_register(dst, src, wide, signed, remainder);
    }

    pub fn constant(&mut self, dst: u8, value: u64) {
        self.announce(dst);
        self.set(dst, Value::Const(value), bits_of(value));
    }

    fn wide_move(&mut self, dst: u8, src: u8) {
        if dst == src {
            return;
        }
        self.announce(dst);
        let bits = self.bits(src);
        let value = match self.values.of[src as usize] {
            Value::Home => Value::copy(src),
            value @ Value::Const(_) => value,
            // Nobody else wants it: it moves as it is.
            value if self.live >> src & 1 == 0 && value.names() >> dst & 1 == 0 => value,
            value @ Value::Sum {
                index: NONE,
                disp: 0,
                base,
                ..
            } if base != src && base != dst => value,
            _ => {
                self.home(src);
                Value::copy(src)
            }
        };
        self.set(dst, value, bits);
    }

    /// `wD = wS`.
    pub fn narrow_move(&mut self, dst: u8, src: u8) {
        if self.bits(src) <= 32 {
            return self.wide_move(dst, src);
        }
        if dst != src {
            self.announce(dst);
        }
        let value = match self.values.of[src as usize] {
            Value::Home => Value::low_half(src),
            Value::Const(value) => Value::Const(u64::from(value as u32)),
            Value::Sum {
                base,
                index,
                shift,
                disp,
                ..
            } if (dst == src || self.live >> src & 1 == 0 || index == NONE && disp == 0)
                && (dst == src || base != dst && index != dst && base != src && index != src) =>
            {
                Value::Sum {
                    base,
                    index,
                    shift,
                    disp,
                    narrow: true,
                }
            }
            _ => {
                self.home(src);
                Value::low_half(src)
            }
        };
        let bits = match value {
            Value::Const(value) => bits_of(value),
            _ => 32,
        };
        self.set(dst, value, bits);
    }

    fn add_constant(&mut self, dst: u8, imm: i32, wide: bool) {
        if !wide {
            return self.add_constant_narrow(dst, imm);
        }
        if imm == 0 {
            return;
        }
        let value = match self.values.of[dst as usize] {
            Value::Const(value) => {
                return self.constant(dst, value.wrapping_add(imm as i64 as u64));
            }
            Value::Sum {
                base,
                index,
                shift,
                disp,
                narrow: false,
            } if disp.checked_add(imm).is_some() => Value::Sum {
                base,
                index,
                shift,
                disp: disp.wrapping_add(imm),
                narrow: false,
            },
            _ => {
                self.home(dst);
                Value::Sum {
                    base: dst,
                    index: NONE,
                    shift: 0,
                    disp: imm,
                    narrow: false,
                }
            }
        };
        self.set(dst, value, 64);
    }

    fn add_constant_narrow(&mut self, dst: u8, imm: i32) {
        let value = match self.values.of[dst as usize] {
            Value::Const(value) => {
                return self.constant(dst, u64::from((value as u32).wrapping_add(imm as u32)));
            }
            Value::Sum {
                base,
                index,
                shift,
                disp,
                ..
            } => Value::Sum {
                base,
                index,
                shift,
                disp: disp.wrapping_add(imm),
                narrow: true,
            },
            _ => {
                self.home(dst);
                Value::Sum {
                    base: dst,
                    index: NONE,
                    shift: 0,
                    disp: imm,
                    narrow: true,
                }
            }
        };
        self.set(dst, value, 32);
    }

    /// A register plus a constant that a register's value is, if it is that (or its low half is).
    fn as_offset(&self, register: u8, half: bool) -> Option<(u8, i32)> {
        match self.values.of[register as usize] {
            Value::Home => Some((register, 0)),
            Value::Sum {
                base,
                index: NONE,
                disp,
                narrow,
                ..
            } if !narrow || half => Some((base, disp)),
            _ => None,
        }
    }

    /// A register times 1, 2, 4 or 8 (or the low half of that).
    fn as_scaled(&self, register: u8, half: bool) -> Option<(u8, u8)> {
        match self.values.of[register as usize] {
            Value::Shifted {
                src,
                by,
                left: true,
                narrow,
            } if by <= 3 && (!narrow || half) => Some((src, by)),
            _ => None,
        }
    }

    fn add_register(&mut self, dst: u8, src: u8, wide: bool) {
        if self.rotation(dst, src, wide) {
            return;
        }
        if wide
            && let Some(value) = self.values.constant(dst)
            && let Some(imm) = as_imm(value, true)
            && let Some((base, disp)) = self.as_offset(src, false)
            && let Some(disp) = disp.checked_add(imm)
            && self.values.is_home(base)
        {
            let value = Value::Sum {
                base,
                index: NONE,
                shift: 0,
                disp,
                narrow: false,
            };
            return self.set(dst, value, 64);
        }
        let half = !wide;
        // Whatever is more than a term is worked out first; what that changes is seen below.
        if self.as_scaled(src, half).is_none() && self.as_offset(src, half).is_none() {
            self.home(src);
        }
        if self.as_scaled(dst, half).is_none() && self.as_offset(dst, half).is_none() {
            self.home(dst);
        }
        let value = self.sum_of(dst, src, half);
        let value = match value {
            Some(value) => value,
            None => {
                self.home(src);
                self.home(dst);
                Value::Sum {
                    base: dst,
                    index: src,
                    shift: 0,
                    disp: 0,
                    narrow: half,
                }
            }
        };
        let bits = if wide {
            (self.bits(dst).max(self.bits(src)) + 1).min(64)
        } else {
            32
        };
        self.set(dst, value, bits);
    }

    /// The sum of two values as one that waits.
    fn sum_of(&self, dst: u8, src: u8, half: bool) -> Option<Value> {
        let (base, index, shift, disp) =
            match (self.as_offset(dst, half), self.as_offset(src, half)) {
                (Some((base, first)), Some((index, second))) => {
                    let disp = if half {
                        first.wrapping_add(second)
                    } else {
                        first.checked_add(second)?
                    };
                    (base, index, 0, disp)
                }
                (Some((base, disp)), None) => {
                    let (index, shift) = self.as_scaled(src, half)?;
                    (base, index, shift, disp)
                }
                (None, Some((base, disp))) => {
                    let (index, shift) = self.as_scaled(dst, half)?;
                    (base, index, shift, disp)
                }
                (None, None) => return None,
            };
        // It may name only homes that hold values, or its own.
        let sound = |register: u8| register == dst || self.values.is_home(register);
        (sound(base) && sound(index)).then_some(Value::Sum {
            base,
            index,
            shift,
            disp,
            narrow: half,
        })
    }

    /// Two shifts of the same value in opposite directions, by as many bits as there are together: a rotation.
    fn rotation(&mut self, dst: u8, src: u8, wide: bool) -> bool {
        let (first, second) = (self.values.of[dst as usize], self.values.of[src as usize]);
        let (
            Value::Shifted {
                src: from,
                by: first_by,
                left: first_left,
                narrow,
            },
            Value::Shifted {
                src: same,
                by: second_by,
                left: second_left,
                narrow: second_narrow,
            },
        ) = (first, second)
        else {
            return false;
        };
        let size = if narrow { 32 } else { 64 };
        if from != same
            || dst == src
            || narrow != second_narrow
            || narrow == wide
            || first_left == second_left
            || first_by + second_by != size
            || self.live >> src & 1 != 0 && from == dst
        {
            return false;
        }
        let left = if first_left { first_by } else { second_by };
        self.define(dst);
        let (to, value) = (HOME[dst as usize], HOME[from as usize]);
        if from == dst {
            self.asm.shift_ri(Shift::Rol, wide, to, left);
        } else if self.values.bmi2 {
            self.asm.rorx(wide, to, value, size - left);
        } else {
            self.asm.mov_rr(wide, to, value);
            self.asm.shift_ri(Shift::Rol, wide, to, left);
        }
        self.wrote(dst, if wide { 64 } else { 32 });
        true
    }

    fn in_place(&mut self, alu: Alu, dst: u8, imm: i32, wide: bool) {
        let bits = match alu {
            Alu::Sub => 64,
            _ if imm < 0 => 64,
            _ => self.bits(dst).max(bits_of(imm as u64)),
        };
        self.define(dst);
        let to = self.home(dst);
        self.asm.alu_ri(alu, wide, to, imm);
        self.wrote(dst, narrowed(bits, wide));
    }

    pub fn and_constant(&mut self, dst: u8, imm: i32, wide: bool) {
        if imm == -1 {
            return if wide {
            } else {
                self.narrow_move(dst, dst)
            };
        }
        if imm == 0xff || imm == 0xffff {
            return self.low(dst, bits_of(imm as u64));
        }
        self.define(dst);
        let to = self.home(dst);
        let bits = if imm >= 0 {
            self.bits(dst).min(bits_of(imm as u64))
        } else {
            narrowed(self.bits(dst), wide)
        };
        self.asm.alu_ri(Alu::And, wide && imm < 0, to, imm);
        self.wrote(dst, bits);
    }

    /// The low 8 or 16 bits of a register.
    pub fn low(&mut self, dst: u8, bits: u8) {
        if self.bits(dst) <= bits {
            return;
        }
        let src = match self.values.of[dst as usize] {
            Value::Low { bits: already, .. } if already <= bits => return,
            Value::Sum {
                base,
                index: NONE,
                disp: 0,
                ..
            } => base,
            Value::Low { src, .. } => src,
            Value::Const(value) => {
                let mask = (1 << bits) - 1;
                return self.constant(dst, value & mask);
            }
            _ => {
                self.home(dst);
                dst
            }
        };
        self.set(dst, Value::Low { src, bits }, bits);
    }

    fn multiply_constant(&mut self, dst: u8, imm: i32, wide: bool) {
        if imm > 0 && imm & (imm - 1) == 0 {
            return self.shift_constant(dst, imm.trailing_zeros() as u8, true, wide);
        }
        if imm == 0 {
            return self.constant(dst, 0);
        }
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

    pub fn shift_constant(&mut self, dst: u8, by: u8, left: bool, wide: bool) {
        if by == 0 {
            return if wide {
            } else {
                self.narrow_move(dst, dst)
            };
        }
        let bits = match (left, wide) {
            (true, _) => (self.bits(dst) + by).min(if wide { 64 } else { 32 }),
            (false, true) => self.bits(dst).saturating_sub(by),
            (false, false) => self.bits(dst).min(32).saturating_sub(by),
        };
        if let Value::Shifted {
            src,
            by: before,
            left: true,
            narrow,
        } = self.values.of[dst as usize]
            && !left
            && before == by
            && narrow != wide
        {
            // Left and back: an extension with zeros.
            let kept = if wide { 64 - by } else { 32 - by };
            let known = self.values.home_bits[src as usize];
            let value = match kept {
                _ if known <= kept => Some(Value::copy(src)),
                32 => Some(Value::low_half(src)),
                8 | 16 => Some(Value::Low { src, bits: kept }),
                _ => None,
            };
            if let Some(value) = value {
                return self.set(dst, value, kept.min(known));
            }
        }
        let src = match self.values.register(dst, !wide) {
            Some(_) => match self.values.of[dst as usize] {
                Value::Sum { base, .. } => base,
                _ => dst,
            },
            None => {
                self.home(dst);
                dst
            }
        };
        let value = Value::Shifted {
            src,
            by,
            left,
            narrow: !wide,
        };
        self.set(dst, value, bits);
    }

    fn shift_signed(&mut self, dst: u8, by: u8, wide: bool) {
        if by == 0 && wide {
            return;
        }
        if let Value::Shifted {
            src,
            by: before,
            left: true,
            narrow,
        } = self.values.of[dst as usize]
            && before == by
            && narrow != wide
        {
            let kept = if wide { 64 - by } else { 32 - by };
            let width = match kept {
                8 => Some(Width::B),
                16 => Some(Width::H),
                32 => Some(Width::W),
                _ => None,
            };
            if let Some(width) = width {
                self.define(dst);
                let (to, from) = (HOME[dst as usize], HOME[src as usize]);
                self.asm.sign_extend(wide, width, to, from);
                return self.wrote(dst, narrowed(64, wide));
            }
        }
        self.define(dst);
        let to = self.home(dst);
        if by == 0 {
            self.asm.mov_rr(false, to, to);
        } else {
            self.asm.shift_ri(Shift::Sar, wide, to, by);
        }
        self.wrote(dst, narrowed(64, wide));
    }

    fn shift_register(&mut self, shift: Shift, dst: u8, src: u8, wide: bool) {
        self.define(dst);
        self.ready(src, true);
        if self.values.bmi2 {
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

    pub fn negate(&mut self, op: &Op) {
        let wide = op.code == Code::Neg64;
        self.define(op.dst);
        let to = self.home(op.dst);
        self.asm.unary(Unary::Neg, wide, to);
        self.wrote(op.dst, narrowed(64, wide));
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

/// Bits of a result of 32 or 64.
pub(super) fn narrowed(bits: u8, wide: bool) -> u8 {
    if wide { bits } else { bits.min(32) }
}

/// A constant as the immediate that stands for it.
pub(super) fn as_imm(value: u64, wide: bool) -> Option<i32> {
    if wide {
        i32::try_from(value as i64).ok()
    } else {
        Some(value as u32 as i32)
    }
}
