//! What is done seldom, out of the way of what is done often.

use crate::jit::pass::Label;
use crate::jit::run::at;

use super::encode::{Cond, Reg, Size, Width, ZR};
use super::gate::Gate;
use super::home::{ADDRESS, HOME, OPERAND, PC, STORED};
use super::lower::Lower;

/// A piece of code that is jumped to, and jumps back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cold {
    Load {
        at: Label,
        /// Where the access is done.
        direct: Label,
        done: Label,
        addr: Reg,
        dst: Reg,
        size: Size,
        gate: Label,
        pc: u32,
    },
    Store {
        at: Label,
        direct: Label,
        done: Label,
        addr: Reg,
        stored: Reg,
        size: Size,
        gate: Label,
        pc: u32,
    },
    /// The address is in x16.
    Atomic {
        at: Label,
        found: Label,
        gate: Label,
        pc: u32,
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
    /// What follows a tail call of function `function`, whose answer is in x9 and in the flags.
    TailCall { at: Label, function: usize },
}

impl Lower<'_> {
    pub fn cold_blocks(&mut self) {
        let mut index = 0;
        while let Some(cold) = self.cold.get(index).copied() {
            self.asm.island();
            self.cold_block(cold);
            index += 1;
        }
    }

    fn cold_block(&mut self, cold: Cold) {
        match cold {
            Cold::Load {
                at,
                direct,
                done,
                addr,
                dst,
                size,
                gate,
                pc,
            } => {
                self.asm.bind(at);
                self.window(addr, at::READABLE + at::WINDOW, size, direct, true);
                self.asm.mov(Width::X, OPERAND, addr);
                self.asm.mov_imm(PC, pc.into());
                self.asm.bl(gate);
                self.asm.mov(Width::X, dst, OPERAND);
                self.asm.b(done);
            }
            Cold::Store {
                at,
                direct,
                done,
                addr,
                stored,
                size,
                gate,
                pc,
            } => {
                self.asm.bind(at);
                self.window(addr, at::WRITABLE + at::WINDOW, size, direct, true);
                self.asm.mov(Width::X, OPERAND, addr);
                if stored != STORED {
                    self.asm.mov(Width::X, STORED, stored);
                }
                self.asm.mov_imm(PC, pc.into());
                self.asm.bl(gate);
                self.asm.b(done);
            }
            Cold::Atomic {
                at,
                found,
                gate,
                pc,
            } => {
                self.asm.bind(at);
                self.asm.mov(Width::X, OPERAND, ADDRESS);
                self.asm.mov_imm(PC, pc.into());
                self.asm.bl(gate);
                self.asm.mov(Width::X, ADDRESS, OPERAND);
                self.asm.b(found);
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
                self.asm.mov_imm(OPERAND, operand.into());
                self.asm.mov_imm(PC, pc.into());
                self.asm.bl(gate);
                self.asm.b(done);
            }
            Cold::Refund { at, amount, to } => {
                self.asm.bind(at);
                self.charge(-amount);
                self.asm.b(to);
            }
            Cold::Spent { at, to, owed, pc } => {
                let gate = self.gate(Gate::Account);
                self.asm.bind(at);
                self.charge(owed);
                self.asm.mov_imm(PC, pc.into());
                self.asm.bl(gate);
                self.charge(-owed);
                self.asm.b(to);
            }
            Cold::TailCall { at, function } => {
                let returned = self.asm.label();
                self.asm.bind(at);
                self.asm.b_if(Cond::Eq, returned);
                self.asm.load_field(HOME[1], at::CTX);
                for register in [0, 2, 3, 4, 5] {
                    self.asm.mov(Width::X, HOME[register], ZR);
                }
                self.epilogue(function);
                self.asm.br(OPERAND);
                self.asm.bind(returned);
                self.asm.load_field(HOME[0], at::SCRATCH);
                self.epilogue(function);
                self.asm.ret();
            }
        }
    }
}
