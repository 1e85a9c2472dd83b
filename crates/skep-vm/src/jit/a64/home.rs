//! Where registers live on the host, and how their values get there.

use crate::jit::value::{NONE, Place, Value};

use super::encode::{Arith, Asm, Reg, Shift, Width, fits_add};

/// Homes of r0 to r10.
pub(super) const HOME: [Reg; 11] = [
    Reg(0),
    Reg(1),
    Reg(2),
    Reg(3),
    Reg(4),
    Reg(5),
    Reg(19),
    Reg(20),
    Reg(21),
    Reg(22),
    FRAME_TOP,
];
/// r10.
pub(super) const FRAME_TOP: Reg = Reg(25);
/// Points to the [`Run`](crate::jit::run::Run).
pub(super) const RUN: Reg = Reg(23);
/// The budget.
pub(super) const LEFT: Reg = Reg(24);
/// Points to the windows for reads.
pub(super) const WINDOWS: Reg = Reg(26);
/// A gate's operand and answer, the operation's index, and a value to store.
pub(super) const OPERAND: Reg = Reg(9);
pub(super) const PC: Reg = Reg(10);
pub(super) const STORED: Reg = Reg(11);
/// Scratch of a look at a window.
pub(super) const LIMIT: Reg = Reg(12);
/// Scratch of one operation: [`OPERAND`] to [`STORED`] where no gate is called, and this.
pub(super) const ADDRESS: Reg = Reg(16);
/// Scratch of [`Asm::add_number`] and the like.
pub(super) const STEP: Reg = Reg(17);

/// The width of an operation.
pub(super) fn width(wide: bool) -> Width {
    if wide { Width::X } else { Width::W }
}

impl Asm {
    /// `d = n + value`, in one to five words. Changes x17.
    pub fn add_number(&mut self, width: Width, d: Reg, n: Reg, value: i64) {
        let (op, size) = match value {
            0.. => (Arith::Add, value as u64),
            _ => (Arith::Sub, value.unsigned_abs()),
        };
        if fits_add(size) {
            self.arith_imm(op, width, d, n, size);
        } else if size < 1 << 24 {
            self.arith_imm(op, width, d, n, size & 0xff_f000);
            self.arith_imm(op, width, d, d, size & 0xfff);
        } else {
            self.mov_imm(STEP, value as u64);
            self.arith(Arith::Add, width, d, n, STEP);
        }
    }

    /// The flags of `n - value`. Changes x17.
    pub fn compare_number(&mut self, width: Width, n: Reg, value: i64) {
        if value >= 0 && fits_add(value as u64) {
            self.cmp_imm(width, n, value as u64);
        } else if value < 0 && fits_add(value.unsigned_abs()) {
            self.cmn_imm(width, n, value.unsigned_abs());
        } else {
            self.mov_imm(STEP, value as u64);
            self.cmp(width, n, STEP);
        }
    }
}

impl Place for Asm {
    fn place(&mut self, register: u8, value: Value) {
        let dst = HOME[register as usize];
        match value {
            Value::Home => {}
            Value::Const(value) => self.mov_imm(dst, value),
            Value::Low { src, bits } => {
                self.ubfx(Width::W, dst, HOME[src as usize], 0, bits.into());
            }
            Value::Shifted {
                src,
                by,
                left,
                narrow,
            } => {
                let (width, from) = (width(!narrow), HOME[src as usize]);
                if left {
                    self.lsl(width, dst, from, by.into());
                } else {
                    self.lsr(width, dst, from, by.into());
                }
            }
            Value::Sum {
                base,
                index,
                shift,
                disp,
                narrow,
            } => {
                let width = width(!narrow);
                let from = HOME[base as usize];
                if index == NONE {
                    if disp != 0 {
                        self.add_number(width, dst, from, disp.into());
                    } else if narrow || dst != from {
                        self.mov(width, dst, from);
                    }
                    return;
                }
                let with = HOME[index as usize];
                self.arith_shifted(Arith::Add, width, dst, from, with, Shift::Lsl, shift.into());
                if disp != 0 {
                    self.add_number(width, dst, dst, disp.into());
                }
            }
        }
    }
}
