//! Where registers live on the host, and how their values get there.

use crate::jit::value::{NONE, Place, Value, Values};

use super::encode::{Alu, Asm, Mem, Shift, Width};
use super::encode::{R8, R13, R14, R15, RAX, RBP, RBX, RCX, RDI, RDX, RSI, Reg};

/// Homes of r0 to r10.
pub(super) const HOME: [Reg; 11] = [RAX, RDI, RSI, RDX, RCX, R8, RBX, R13, R14, R15, RBP];

impl Place for Asm {
    fn place(&mut self, register: u8, value: Value) {
        let dst = HOME[register as usize];
        match value {
            Value::Home => {}
            Value::Const(0) => self.zero(dst),
            Value::Const(value) => self.mov_ri(dst, value),
            Value::Low { src, bits } => {
                let width = if bits == 8 { Width::B } else { Width::H };
                self.zero_extend(width, dst, HOME[src as usize]);
            }
            Value::Shifted {
                src,
                by,
                left,
                narrow,
            } => shift(self, dst, HOME[src as usize], by, left, narrow),
            Value::Sum {
                base,
                index,
                shift,
                disp,
                narrow,
            } => sum(self, dst, base, index, shift, disp, !narrow),
        }
    }
}

fn shift(asm: &mut Asm, dst: Reg, src: Reg, by: u8, left: bool, narrow: bool) {
    if dst != src {
        if left && by <= 3 {
            let index = Mem {
                base: None,
                index: Some((src, by)),
                disp: 0,
            };
            let twice = Mem {
                base: Some(src),
                index: Some((src, 0)),
                disp: 0,
            };
            return asm.lea(!narrow, dst, if by == 1 { twice } else { index });
        }
        asm.mov_rr(!narrow, dst, src);
    }
    let op = if left { Shift::Shl } else { Shift::Shr };
    asm.shift_ri(op, !narrow, dst, by);
}

/// The operand for memory at a register's value plus `off`.
pub(super) fn memory(values: &Values, register: u8, off: i32) -> Option<Mem> {
    match values.of[register as usize] {
        Value::Home => Some(Mem::at(HOME[register as usize], off)),
        Value::Sum {
            base,
            index,
            shift,
            disp,
            narrow: false,
        } => Some(Mem {
            base: Some(HOME[base as usize]),
            index: (index != NONE).then(|| (HOME[index as usize], shift)),
            disp: disp.checked_add(off)?,
        }),
        _ => None,
    }
}

/// `dst = base + (index << shift) + disp`, the shortest way.
fn sum(asm: &mut Asm, dst: Reg, base: u8, index: u8, shift: u8, disp: i32, wide: bool) {
    let from = HOME[base as usize];
    if index == NONE {
        if disp == 0 {
            if from != dst || !wide {
                asm.mov_rr(wide, dst, from);
            }
        } else if from == dst {
            asm.alu_ri(Alu::Add, wide, dst, disp);
        } else {
            asm.lea(wide, dst, Mem::at(from, disp));
        }
        return;
    }
    let with = HOME[index as usize];
    if disp == 0 && shift == 0 && (from == dst || with == dst) {
        let other = if from == dst { with } else { from };
        asm.alu_rr(Alu::Add, wide, dst, other);
        return;
    }
    asm.lea(
        wide,
        dst,
        Mem {
            base: Some(from),
            index: Some((with, shift)),
            disp,
        },
    );
}
