//! Arithmetic that waits, for all architectures: copies, sums, shifts, extensions, and what they come to together.
//!
//! Invariant: nothing here writes a home but through the pass's values and the architecture's own operations.

use crate::decode::{Code, Op};

use super::pass::{Backend, Combine, Division, Lowering, Pass};
use super::value::{NONE, Value};

/// Bits that a number takes.
pub(crate) fn bits_of(value: u64) -> u8 {
    (64 - value.leading_zeros()) as u8
}

/// Bits of a result of 32 or 64.
pub(crate) fn narrowed(bits: u8, wide: bool) -> u8 {
    if wide { bits } else { bits.min(32) }
}

/// A constant as the immediate that stands for it.
pub(crate) fn as_imm(value: u64, wide: bool) -> Option<i32> {
    if wide {
        i32::try_from(value as i64).ok()
    } else {
        Some(value as u32 as i32)
    }
}

/// One of the arithmetic families of four operations.
fn family(code: Code, first: Code) -> bool {
    code as u8 & !3 == first as u8
}

/// Which division an operation is.
fn division(code: Code) -> Division {
    let is = |first| family(code, first);
    Division {
        signed: is(Code::Sdiv64K) || is(Code::Smod64K),
        remainder: is(Code::Mod64K) || is(Code::Smod64K),
    }
}

impl<B: Backend> Pass<'_, B>
where
    Self: Lowering,
{
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
            return self.combine_constant(Combine::Sub, dst, imm, wide);
        }
        if is(Code::And64K) {
            return self.and_constant(dst, imm, wide);
        }
        if is(Code::Or64K) {
            return self.combine_constant(Combine::Or, dst, imm, wide);
        }
        if is(Code::Xor64K) {
            return self.combine_constant(Combine::Xor, dst, imm, wide);
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
        self.divide_by(dst, op.imm, wide, division(op.code));
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
        let combine = if is(Code::Sub64K) {
            Combine::Sub
        } else if is(Code::Or64K) {
            Combine::Or
        } else if is(Code::And64K) {
            Combine::And
        } else if is(Code::Xor64K) {
            Combine::Xor
        } else if is(Code::Mul64K) {
            Combine::Mul
        } else if is(Code::Lsh64K) {
            Combine::Lsh
        } else if is(Code::Rsh64K) {
            Combine::Rsh
        } else if is(Code::Arsh64K) {
            Combine::Arsh
        } else {
            return self.divide(dst, src, wide, division(op.code));
        };
        if matches!(combine, Combine::Or | Combine::Xor) && self.rotation(dst, src, wide) {
            return;
        }
        self.combine(combine, dst, src, wide);
    }

    /// Bits that the result of an operation on two registers takes at most.
    pub fn bits_after(&self, op: Combine, dst: u8, src: u8, wide: bool) -> u8 {
        let bits = match op {
            Combine::And => self.bits(dst).min(self.bits(src)),
            Combine::Or | Combine::Xor => self.bits(dst).max(self.bits(src)),
            _ => 64,
        };
        narrowed(bits, wide)
    }

    /// The same with a number.
    pub fn bits_after_constant(&self, op: Combine, dst: u8, imm: i32, wide: bool) -> u8 {
        let (before, with) = (self.bits(dst), bits_of(imm as u64));
        let bits = match op {
            Combine::And => before.min(with),
            Combine::Or | Combine::Xor => before.max(with),
            _ => 64,
        };
        narrowed(bits, wide)
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
                self.settle(src);
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
                self.settle(src);
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
                self.settle(dst);
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
                self.settle(dst);
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
            self.settle(src);
        }
        if self.as_scaled(dst, half).is_none() && self.as_offset(dst, half).is_none() {
            self.settle(dst);
        }
        let value = self.sum_of(dst, src, half);
        let value = match value {
            Some(value) => {
                if src != dst && self.live >> src & 1 == 0 {
                    self.values.forget(src);
                }
                value
            }
            None => {
                self.settle(src);
                self.settle(dst);
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
        // It may name only homes that hold values, its own, or that of an operand which is not wanted again.
        let last = self.live >> src & 1 == 0;
        let sound = |register: u8| {
            register == dst || register == src && last || self.values.is_home(register)
        };
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
        self.rotate(dst, from, left, wide);
        self.wrote(dst, if wide { 64 } else { 32 });
        true
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
        self.combine_constant(Combine::And, dst, imm, wide);
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
                self.settle(dst);
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
        self.combine_constant(Combine::Mul, dst, imm, wide);
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
        self.ready(dst, !wide);
        let src = self.holder(dst, !wide);
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
            if matches!(kept, 8 | 16 | 32) {
                self.define(dst);
                self.extend_sign(dst, src, kept, wide);
                return self.wrote(dst, narrowed(64, wide));
            }
        }
        if by == 0 {
            return self.narrow_move(dst, dst);
        }
        self.combine_constant(Combine::Arsh, dst, by.into(), wide);
    }

    fn divide_by(&mut self, dst: u8, imm: i64, wide: bool, how: Division) {
        let divisor = if wide {
            imm as u64
        } else {
            u64::from(imm as u32)
        };
        let same = |pass: &mut Self| {
            if !wide {
                pass.narrow_move(dst, dst);
            }
        };
        if divisor == 0 {
            return if how.remainder {
                same(self)
            } else {
                self.constant(dst, 0)
            };
        }
        if divisor == 1 {
            return if how.remainder {
                self.constant(dst, 0)
            } else {
                same(self)
            };
        }
        let all = if wide { u64::MAX } else { u64::from(u32::MAX) };
        if how.signed && divisor == all {
            if how.remainder {
                return self.constant(dst, 0);
            }
            return self.negate(dst, wide);
        }
        if !how.signed && divisor.is_power_of_two() {
            let by = divisor.trailing_zeros() as u8;
            if !how.remainder {
                return self.shift_constant(dst, by, false, wide);
            }
            if let Ok(mask) = i32::try_from(divisor - 1) {
                return self.and_constant(dst, mask, wide);
            }
        }
        self.divide_constant(dst, divisor, wide, how);
    }
}
