//! What is done seldom, out of the way of what is done often.

use crate::jit::pass::Label;
use crate::jit::run::at;

use super::encode::{Alu, Cond, Mem, R8, R10, R11, RAX, RCX, RDI, RDX, RSI, Reg, Unary, Width};
use super::gate::Gate;
use super::lower::{Lower, field};

/// What a store writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stored {
    Reg(Reg),
    Imm(i32),
}

/// A piece of code that is jumped to, and jumps back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cold {
    Load {
        at: Label,
        /// Where the access is done.
        direct: Label,
        done: Label,
        mem: Mem,
        dst: Reg,
        size: u8,
        gate: Label,
        pc: u32,
    },
    Store {
        at: Label,
        direct: Label,
        done: Label,
        mem: Mem,
        stored: Stored,
        size: u8,
        gate: Label,
        pc: u32,
    },
    /// The address is in r10.
    Atomic {
        at: Label,
        found: Label,
        gate: Label,
        pc: u32,
    },
    DivideByZero {
        at: Label,
        done: Label,
        dst: Reg,
        wide: bool,
        remainder: bool,
    },
    DivideByMinusOne {
        at: Label,
        done: Label,
        dst: Reg,
        wide: bool,
        remainder: bool,
    },
    /// Calls the gate, which may end the run.
    Gate {
        at: Label,
        done: Label,
        gate: Gate,
        operand: u32,
        pc: u32,
    },
    /// Gets something back on the way to an operation.
    Refund { at: Label, amount: i32, to: Label },
    /// Nothing is left on the way back to an operation, before which so much is owed.
    Spent {
        at: Label,
        to: Label,
        owed: i32,
        pc: u32,
    },
    /// What follows a tail call of function `function`, whose answer is in r11.
    TailCall { at: Label, function: usize },
}

impl Lower<'_> {
    pub fn cold_blocks(&mut self) {
        let mut index = 0;
        while let Some(cold) = self.cold.get(index).copied() {
            self.cold_block(cold);
            index += 1;
        }
    }

    /// Looks at the second window for the address in r10.
    fn second_window(&mut self, windows: i32, size: u8, direct: Label) {
        self.asm.mov_rr(true, R11, R10);
        let second = windows + at::WINDOW;
        self.asm
            .alu_rm(Alu::Sub, true, R11, field(second + at::START));
        let limit = field(second + at::LIMITS + 8 * i32::from(size));
        self.asm.alu_rm(Alu::Cmp, true, R11, limit);
        self.asm.jcc(Cond::B, direct, false);
    }

    fn cold_block(&mut self, cold: Cold) {
        match cold {
            Cold::Load {
                at,
                direct,
                done,
                mem,
                dst,
                size,
                gate,
                pc,
            } => {
                self.asm.bind(at);
                self.asm.lea(true, R10, mem);
                self.second_window(at::READABLE, size, direct);
                self.asm.mov_ri(R11, pc.into());
                self.asm.call(gate);
                self.asm.mov_rr(true, dst, R11);
                self.asm.jmp(done, false);
            }
            Cold::Store {
                at,
                direct,
                done,
                mem,
                stored,
                size,
                gate,
                pc,
            } => {
                self.asm.bind(at);
                self.asm.lea(true, R10, mem);
                self.second_window(at::WRITABLE, size, direct);
                match stored {
                    Stored::Reg(reg) => self.asm.store(Width::D, field(at::SCRATCH), reg),
                    Stored::Imm(imm) => self.asm.store_imm(Width::D, field(at::SCRATCH), imm),
                }
                self.asm.mov_ri(R11, pc.into());
                self.asm.call(gate);
                self.asm.jmp(done, false);
            }
            Cold::Atomic {
                at,
                found,
                gate,
                pc,
            } => {
                self.asm.bind(at);
                self.asm.mov_ri(R11, pc.into());
                self.asm.call(gate);
                self.asm.mov_rr(true, R10, R11);
                self.asm.jmp(found, false);
            }
            Cold::DivideByZero {
                at,
                done,
                dst,
                wide,
                remainder,
            } => {
                self.asm.bind(at);
                match (remainder, wide) {
                    (false, _) => self.asm.zero(dst),
                    (true, false) => self.asm.mov_rr(false, dst, dst),
                    (true, true) => {}
                }
                self.asm.jmp(done, false);
            }
            Cold::DivideByMinusOne {
                at,
                done,
                dst,
                wide,
                remainder,
            } => {
                self.asm.bind(at);
                if remainder {
                    self.asm.zero(dst);
                } else {
                    self.asm.unary(Unary::Neg, wide, dst);
                }
                self.asm.jmp(done, false);
            }
            Cold::Gate {
                at,
                done,
                gate,
                operand,
                pc,
            } => {
                let gate = self.gate(gate);
                self.asm.bind(at);
                self.asm.mov_ri(R10, operand.into());
                self.asm.mov_ri(R11, pc.into());
                self.asm.call(gate);
                self.asm.jmp(done, false);
            }
            Cold::Refund { at, amount, to } => {
                self.asm.bind(at);
                self.charge(-amount);
                self.asm.jmp(to, false);
            }
            Cold::Spent { at, to, owed, pc } => {
                let gate = self.gate(Gate::Account);
                self.asm.bind(at);
                self.charge(owed);
                self.asm.mov_ri(R11, pc.into());
                self.asm.call(gate);
                self.charge(-owed);
                self.asm.jmp(to, false);
            }
            Cold::TailCall { at, function } => {
                let returned = self.asm.label();
                self.asm.bind(at);
                self.asm.jcc(Cond::E, returned, false);
                self.asm.load(Width::D, RDI, field(at::CTX));
                for reg in [RAX, RSI, RDX, RCX, R8] {
                    self.asm.zero(reg);
                }
                self.epilogue(function);
                self.asm.jmp_r(R11);
                self.asm.bind(returned);
                self.asm.load(Width::D, RAX, field(at::SCRATCH));
                self.epilogue(function);
                self.asm.ret();
            }
        }
    }
}
