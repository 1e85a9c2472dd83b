//! Jumps, calls and ends.

use crate::decode::{Code, Op};
use crate::jit::pass::Label;
use crate::jit::run::at;
use crate::jit::scan::{CALLER_SAVED, target};
use crate::jit::thunk::tail;
use crate::machine::MAY_GOTO_MAX;
use crate::memory::FRAME_STRIDE;

use super::cold::Cold;
use super::encode::{Alu, Cond, Mem, R9, R10, R11, RAX, RBP, RDX, RSP, Width};
use super::gate::Gate;
use super::lower::{Lower, RUN, field};
use super::value::HOME;
use crate::jit::value::Value;
use crate::jit::waits::as_imm;

/// Conditions of the families of jumps, in the order of [`Code`]; the last is of a test.
const CONDS: [Cond; 11] = [
    Cond::E,
    Cond::Ne,
    Cond::A,
    Cond::Ae,
    Cond::B,
    Cond::Be,
    Cond::G,
    Cond::Ge,
    Cond::L,
    Cond::Le,
    Cond::Ne,
];

impl Lower<'_> {
    /// Takes so many instructions from what is left.
    pub fn charge(&mut self, amount: i32) {
        if amount != 0 {
            self.asm.alu_ri(Alu::Sub, true, R9, amount);
        }
    }

    /// Jumps on a condition that is in the flags. Code with a budget pays on the way back, if anything is left, and gets
    /// back on the way ahead what it goes around.
    fn jump_if(&mut self, cond: Cond, to: usize) {
        let label = Label(to as u32);
        let due = self.owed_after().wrapping_sub(self.owed(to));
        if !self.limited || due == 0 && to > self.pc {
            let near = self.is_near(to);
            return self.asm.jcc(cond, label, near);
        }
        if to > self.pc {
            let at = self.asm.label();
            self.asm.jcc(cond, at, false);
            return self.cold.push(Cold::Refund {
                at,
                amount: due.wrapping_neg(),
                to: label,
            });
        }
        let past = self.asm.label();
        self.asm.jcc(cond.negated(), past, true);
        self.go_back(to);
        self.asm.bind(past);
    }

    /// Pays for the way back to an operation, and goes there if anything is left.
    fn go_back(&mut self, to: usize) {
        let (label, owed) = (Label(to as u32), self.owed(to));
        let due = self.owed_after().wrapping_sub(owed);
        self.charge(due);
        self.asm.alu_ri(Alu::Cmp, true, R9, owed);
        self.asm.jcc(Cond::Ge, label, false);
        let at = self.asm.label();
        self.asm.jmp(at, false);
        self.cold.push(Cold::Spent {
            at,
            to: label,
            owed,
            pc: self.pc as u32,
        });
    }

    pub fn branch(&mut self, op: &Op, next: usize) -> usize {
        let to = target(self.pc, op.off.into());
        if let Some(skip) = self.diamond(op, next, to) {
            return skip;
        }
        let wanted = self.scan.live_at(to);
        self.values.flush_only(&mut self.asm, wanted, self.keep);
        let cond = self.compare(op);
        self.jump_if(cond, to);
        0
    }

    /// Emits the comparison of a conditional jump; answers when it jumps.
    fn compare(&mut self, op: &Op) -> Cond {
        let index = op.code as u8 - Code::Jeq64K as u8;
        let cond = CONDS[(index / 4) as usize];
        let test = op.code as u8 >= Code::Jset64K as u8;
        let wide = index & 2 == 0;
        let mut imm = (index & 1 == 0).then_some(op.imm as i32);
        if imm.is_none()
            && op.src != op.dst
            && let Some(value) = self.values.constant(op.src)
        {
            imm = as_imm(value, wide);
        }
        let Some(imm) = imm else {
            self.ready(op.src, !wide);
            self.ready(op.dst, !wide);
            self.ready(op.src, !wide);
            let (left, right) = (self.reg(op.dst, !wide), self.reg(op.src, !wide));
            if test {
                self.asm.test_rr(wide, left, right);
            } else {
                self.asm.alu_rr(Alu::Cmp, wide, left, right);
            }
            return cond;
        };
        if let Value::Low { src, bits: 8 } = self.values.of[op.dst as usize]
            && let Ok(imm) = u8::try_from(imm)
            && !test
            && !matches!(cond, Cond::G | Cond::Ge | Cond::L | Cond::Le)
        {
            if imm == 0 {
                self.asm.test8_rr(HOME[src as usize]);
            } else {
                self.asm.cmp8_ri(HOME[src as usize], imm);
            }
            return cond;
        }
        self.ready(op.dst, !wide);
        let left = self.reg(op.dst, !wide);
        if test {
            self.asm.test_ri(wide && imm < 0, left, imm);
        } else if imm == 0 {
            self.asm.test_rr(wide, left, left);
        } else {
            self.asm.alu_ri(Alu::Cmp, wide, left, imm);
        }
        cond
    }

    /// `d = a; if .. goto over; d = b; over:` chooses without a jump. Answers how many operations are done with it.
    fn diamond(&mut self, op: &Op, next: usize, to: usize) -> Option<usize> {
        let other = self.ops.get(next)?;
        let second = match other.code {
            Code::Mov64K => other.imm as u64,
            Code::Mov32K => u64::from(other.imm as u32),
            _ => return None,
        };
        let dst = other.dst;
        let register = (op.code as u8 - Code::Jeq64K as u8) & 1 != 0;
        let first = self.values.constant(dst)?;
        if self.scan.is_leader(next) || op.dst == dst || register && op.src == dst {
            return None;
        }
        let cost = if to == next + 1 {
            1
        } else {
            let jump = self.ops.get(next + 1)?;
            let joins = jump.code == Code::Ja && target(next + 1, jump.off.into()) == to;
            let counted = self.limited && to <= next;
            if !joins || self.scan.is_leader(next + 1) || counted {
                return None;
            }
            2
        };
        // Nobody names the home of what waits as a constant.
        self.wrote(dst, 64);
        let home = HOME[dst as usize];
        let truth = matches!((first, second), (0, 1) | (1, 0));
        if truth {
            self.asm.zero(home);
        } else {
            self.asm.mov_ri(home, second);
        }
        let cond = self.compare(op);
        if truth {
            let one = if first == 1 { cond } else { cond.negated() };
            self.asm.set(one, home);
        } else {
            self.asm.mov_ri(R11, first);
            self.asm.cmov(cond, true, home, R11);
        }
        if self.limited {
            // What is jumped around costs nothing.
            let jumped = if truth && first == 1 {
                home
            } else {
                self.asm.set(cond, R11);
                self.asm.zero_extend(Width::B, R11, R11);
                R11
            };
            let left = Mem {
                base: Some(R9),
                index: Some((jumped, cost - 1)),
                disp: 0,
            };
            self.asm.lea(true, R9, left);
        }
        self.wrote(dst, if truth { 1 } else { 64 });
        Some(1)
    }

    pub fn jump(&mut self, op: &Op) {
        let to = target(self.pc, op.off.into());
        self.values.flush(&mut self.asm, self.live);
        if self.limited && to <= self.pc {
            return self.go_back(to);
        }
        let due = self.owed_after().wrapping_sub(self.owed(to));
        self.charge(due);
        if to != self.pc + 1 {
            let near = self.is_near(to);
            self.asm.jmp(Label(to as u32), near);
        }
    }

    pub fn may_goto(&mut self, op: &Op) {
        let to = target(self.pc, op.off.into());
        self.values.flush(&mut self.asm, self.live);
        self.asm.alu_mi(Alu::Cmp, false, field(at::MAY_GOTO), 0);
        self.jump_if(Cond::E, to);
        self.asm.dec_m(false, field(at::MAY_GOTO));
    }

    pub fn exit(&mut self) {
        self.values.flush(&mut self.asm, self.keep);
        self.charge(self.owed_after());
        if self.lean && self.function == 0 {
            // It answers its caller itself that nothing stopped it.
            self.asm.zero(RDX);
        }
        self.epilogue(self.function);
        self.asm.ret();
    }

    /// After a call: what it may have changed.
    fn called(&mut self, changed: u16) {
        for register in 0..6 {
            if changed >> register & 1 != 0 {
                self.wrote(register, 64);
            }
        }
    }

    pub fn call(&mut self, op: &Op) {
        self.values.flush(&mut self.asm, self.keep);
        self.call_function(op);
        self.called(CALLER_SAVED);
    }

    fn call_function(&mut self, op: &Op) {
        let start = target(self.pc, op.imm);
        let index = self
            .program
            .functions
            .binary_search_by_key(&start, |function| function.start)
            .unwrap_or(0);
        let entry = self.entries[index];
        if self.native {
            let saved = self.save_around();
            self.asm.call(entry);
            return self.restore_around(saved);
        }
        let (deep, fine) = (self.asm.label(), self.asm.label());
        self.asm.load(Width::D, R10, field(at::DEPTH));
        self.asm.lea(true, R10, Mem::at(R10, 1));
        self.asm.alu_rm(Alu::Cmp, true, R10, field(at::DEPTH_MAX));
        self.asm.jcc(Cond::Ae, deep, false);
        self.cold.push(Cold::Gate {
            at: deep,
            done: fine,
            gate: Gate::Enter,
            operand: op.off as u32,
            pc: self.pc as u32,
        });
        self.asm.bind(fine);
        self.asm.store(Width::D, field(at::DEPTH), R10);
        let bytes = op.off as u32 & !7;
        let frames = Mem {
            base: Some(RUN),
            index: Some((R10, 2)),
            disp: at::FRAME_BYTES,
        };
        self.asm.store_imm(Width::W, frames, bytes as i32);
        self.asm.alu_ri(Alu::Sub, true, RBP, FRAME_STRIDE as i32);
        if op.off & 1 == 0 {
            self.zero_frame(bytes);
        }
        let saved = self.save_around();
        self.asm.call(entry);
        self.restore_around(saved);
        self.leave_frame();
    }

    /// After a call: the frame of the function that was called is no more.
    fn leave_frame(&mut self) {
        self.asm.alu_ri(Alu::Add, true, RBP, FRAME_STRIDE as i32);
        self.asm.dec_m(true, field(at::DEPTH));
        let (forget, done) = (self.asm.label(), self.asm.label());
        self.asm.cmp8_mi(field(at::STACK_REMEMBERED), 0);
        self.asm.jcc(Cond::Ne, forget, false);
        self.asm.bind(done);
        self.cold.push(Cold::Gate {
            at: forget,
            done,
            gate: Gate::Forget,
            operand: 0,
            pc: self.pc as u32,
        });
    }

    /// Puts by what a call must not change: the count of `may_goto`, and the program if others may come to run.
    fn save_around(&mut self) -> bool {
        let save = self.scan.may_goto || self.program.tail_calls;
        if save {
            self.asm.alu_ri(Alu::Sub, true, RSP, 16);
            self.asm.load(Width::W, R10, field(at::MAY_GOTO));
            self.asm.store(Width::D, Mem::at(RSP, 0), R10);
            self.asm.load(Width::D, R10, field(at::PROGRAM));
            self.asm.store(Width::D, Mem::at(RSP, 8), R10);
            self.asm
                .store_imm(Width::W, field(at::MAY_GOTO), MAY_GOTO_MAX as i32);
        }
        save
    }

    fn restore_around(&mut self, saved: bool) {
        if saved {
            self.asm.load(Width::D, R10, Mem::at(RSP, 0));
            self.asm.store(Width::W, field(at::MAY_GOTO), R10);
            self.asm.load(Width::D, R10, Mem::at(RSP, 8));
            self.asm.store(Width::D, field(at::PROGRAM), R10);
            self.asm.alu_ri(Alu::Add, true, RSP, 16);
        }
    }

    /// Reads back what a helper's gate has lost and the program still wants.
    fn restore_arguments(&mut self) {
        for (register, home) in HOME.into_iter().enumerate().take(6).skip(1) {
            if self.live >> register & 1 != 0 {
                let saved = field(at::REGS + 8 * register as i32);
                self.asm.load(Width::D, home, saved);
            }
        }
    }

    pub fn call_helper(&mut self, op: &Op) {
        self.values.flush(&mut self.asm, self.keep);
        if self.lookup(op) {
            return self.called(CALLER_SAVED);
        }
        let gate = if op.code == Code::CallPure {
            Gate::Pure
        } else {
            Gate::Helper
        };
        let gate = self.gate(gate);
        self.asm.mov_ri(R10, op.imm as u64);
        self.asm.mov_ri(R11, self.pc as u64);
        self.asm.call(gate);
        self.restore_arguments();
        self.called(1);
    }

    pub fn tail_call(&mut self, op: &Op) {
        self.values.flush(&mut self.asm, self.keep);
        let gate = self.gate(Gate::TailCall);
        // The other program counts from its own start.
        let owed = self.owed_after();
        self.charge(owed);
        self.asm.mov_ri(R10, op.imm as u64);
        self.asm.mov_ri(R11, self.pc as u64);
        self.asm.call(gate);
        let away = self.asm.label();
        self.asm.alu_ri(Alu::Cmp, true, R11, tail::DONE as i32);
        self.asm.jcc(Cond::Ae, away, false);
        self.cold.push(Cold::TailCall {
            at: away,
            function: self.function,
        });
        self.charge(-owed);
        self.asm.load(Width::D, RAX, field(at::SCRATCH));
        self.called(1);
    }

    pub fn call_x(&mut self, op: &Op) {
        self.values.flush(&mut self.asm, self.keep);
        let gate = self.gate(Gate::CallX);
        self.asm.mov_rr(true, R10, HOME[op.dst as usize]);
        self.asm.mov_ri(R11, self.pc as u64);
        self.asm.call(gate);
        let (function, done) = (self.asm.label(), self.asm.label());
        self.asm.test_rr(true, R11, R11);
        self.asm.jcc(Cond::Ne, function, false);
        self.asm.load(Width::D, RAX, field(at::SCRATCH));
        self.asm.jmp(done, false);
        self.asm.bind(function);
        self.asm.alu_ri(Alu::Sub, true, RBP, FRAME_STRIDE as i32);
        let saved = self.save_around();
        self.asm.call_r(R11);
        self.restore_around(saved);
        self.leave_frame();
        self.asm.bind(done);
        self.called(CALLER_SAVED);
    }

    pub fn packet(&mut self, op: &Op) {
        self.values.flush(&mut self.asm, self.keep);
        let gate = self.gate(Gate::Packet(op.off as u8));
        if op.dst == 1 {
            self.asm
                .lea(true, R10, Mem::at(HOME[op.src as usize], op.imm as i32));
        } else {
            self.asm.mov_ri(R10, op.imm as u64);
        }
        self.asm.mov_ri(R11, self.pc as u64);
        self.asm.call(gate);
        self.asm.mov_rr(true, RAX, R11);
        self.wrote(0, 64);
    }

    pub fn poison(&mut self) {
        self.values.flush(&mut self.asm, 0);
        let reached = self
            .program
            .proven
            .as_ref()
            .is_none_or(|proven| proven.proof.of(self.pc).reached);
        if !reached {
            return self.asm.trap();
        }
        let gate = self.gate(Gate::Poison);
        self.asm.mov_ri(R11, self.pc as u64);
        self.asm.call(gate);
        self.asm.trap();
    }
}
