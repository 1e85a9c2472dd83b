//! Jumps, calls and ends.

use crate::decode::{Code, Op};
use crate::jit::pass::Label;
use crate::jit::run::at;
use crate::jit::scan::{CALLER_SAVED, target};
use crate::jit::thunk::tail;
use crate::jit::waits::as_imm;
use crate::machine::MAY_GOTO_MAX;
use crate::memory::FRAME_STRIDE;

use super::cold::Cold;
use super::encode::immediate::Logical;
use super::encode::{Access, Arith, Cond, Extend, Logic, Reg, SP, Select, Size, Width, ZR};
use super::gate::Gate;
use super::home::{ADDRESS, FRAME_TOP, HOME, LEFT, OPERAND, PC, RUN, STORED, width};
use super::lower::Lower;

/// Conditions of the families of jumps, in the order of [`Code`]; the last is of a test.
const CONDS: [Cond; 11] = [
    Cond::Eq,
    Cond::Ne,
    Cond::Hi,
    Cond::Hs,
    Cond::Lo,
    Cond::Ls,
    Cond::Gt,
    Cond::Ge,
    Cond::Lt,
    Cond::Le,
    Cond::Ne,
];

/// When a conditional jump jumps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    Flags(Cond),
    Zero(Width, Reg),
    NotZero(Width, Reg),
    BitClear(Reg, u32),
    BitSet(Reg, u32),
}

impl When {
    fn inverted(self) -> When {
        match self {
            When::Flags(cond) => When::Flags(cond.inverted()),
            When::Zero(width, reg) => When::NotZero(width, reg),
            When::NotZero(width, reg) => When::Zero(width, reg),
            When::BitClear(reg, bit) => When::BitSet(reg, bit),
            When::BitSet(reg, bit) => When::BitClear(reg, bit),
        }
    }
}

impl Lower<'_> {
    /// Takes so many instructions from what is left.
    pub fn charge(&mut self, amount: i32) {
        if amount != 0 {
            self.asm
                .add_number(Width::X, LEFT, LEFT, -i64::from(amount));
        }
    }

    /// Jumps if. Code with a budget pays on the way back, if anything is left, and gets back on the way ahead what it goes
    /// around.
    fn jump_if(&mut self, when: When, to: usize) {
        let label = Label(to as u32);
        let due = self.owed_after().wrapping_sub(self.owed(to));
        if !self.limited || due == 0 && to > self.pc {
            return self.jump_when(when, label);
        }
        if to > self.pc {
            let at = self.asm.label();
            self.jump_when(when, at);
            return self.cold.push(Cold::Refund {
                at,
                amount: due.wrapping_neg(),
                to: label,
            });
        }
        let past = self.asm.label();
        self.jump_when(when.inverted(), past);
        self.go_back(to);
        self.asm.bind(past);
    }

    fn jump_when(&mut self, when: When, to: Label) {
        match when {
            When::Flags(cond) => self.asm.b_if(cond, to),
            When::Zero(width, reg) => self.asm.cbz(width, reg, to),
            When::NotZero(width, reg) => self.asm.cbnz(width, reg, to),
            When::BitClear(reg, bit) => self.asm.tbz(reg, bit, to),
            When::BitSet(reg, bit) => self.asm.tbnz(reg, bit, to),
        }
    }

    /// Pays for the way back to an operation, and goes there if anything is left.
    fn go_back(&mut self, to: usize) {
        let (label, owed) = (Label(to as u32), self.owed(to));
        let due = self.owed_after().wrapping_sub(owed);
        self.charge(due);
        self.asm.compare_number(Width::X, LEFT, owed.into());
        self.asm.b_if(Cond::Ge, label);
        let at = self.asm.label();
        self.asm.b(at);
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
        let when = self.compare(op);
        self.jump_if(when, to);
        0
    }

    /// What a conditional jump asks, as one instruction that needs no flags where there is one.
    fn compare(&mut self, op: &Op) -> When {
        let Some((cond, test, wide, imm)) = self.question(op) else {
            return When::Flags(self.compare_registers(op));
        };
        self.ready(op.dst, !wide);
        let left = self.reg(op.dst, !wide);
        let width = width(wide);
        let value = if wide {
            imm as u64
        } else {
            u64::from(imm as u32)
        };
        let sign = width.bits() - 1;
        match (cond, imm) {
            (Cond::Ne, _) if test && value.is_power_of_two() => {
                When::BitSet(left, value.trailing_zeros())
            }
            (Cond::Eq, 0) if !test => When::Zero(width, left),
            (Cond::Ne | Cond::Hi, 0) if !test => When::NotZero(width, left),
            (Cond::Lt, 0) | (Cond::Le, -1) => When::BitSet(left, sign),
            (Cond::Ge, 0) | (Cond::Gt, -1) => When::BitClear(left, sign),
            _ => When::Flags(self.compare_number(cond, test, width, left, imm)),
        }
    }

    /// What a conditional jump asks of the flags.
    fn compare_flags(&mut self, op: &Op) -> Cond {
        let Some((cond, test, wide, imm)) = self.question(op) else {
            return self.compare_registers(op);
        };
        self.ready(op.dst, !wide);
        let left = self.reg(op.dst, !wide);
        self.compare_number(cond, test, width(wide), left, imm)
    }

    /// A comparison with a number: the condition, whether it is a test of bits, whether all 64 bits count, the number.
    fn question(&self, op: &Op) -> Option<(Cond, bool, bool, i32)> {
        let index = op.code as u8 - Code::Jeq64K as u8;
        let wide = index & 2 == 0;
        let imm = if index & 1 == 0 {
            op.imm as i32
        } else if op.src != op.dst {
            as_imm(self.values.constant(op.src)?, wide)?
        } else {
            return None;
        };
        let cond = CONDS[(index / 4) as usize];
        Some((cond, op.code as u8 >= Code::Jset64K as u8, wide, imm))
    }

    fn compare_number(
        &mut self,
        cond: Cond,
        test: bool,
        width: Width,
        left: Reg,
        imm: i32,
    ) -> Cond {
        if !test {
            self.asm.compare_number(width, left, imm.into());
            return cond;
        }
        let value = match width {
            Width::X => imm as u64,
            Width::W => u64::from(imm as u32),
        };
        match Logical::new(width, value) {
            Some(value) => self.asm.logic_imm(Logic::Ands, width, ZR, left, value),
            None => {
                self.asm.mov_imm(ADDRESS, value);
                self.asm.tst(width, left, ADDRESS);
            }
        }
        cond
    }

    fn compare_registers(&mut self, op: &Op) -> Cond {
        let index = op.code as u8 - Code::Jeq64K as u8;
        let wide = index & 2 == 0;
        self.ready(op.src, !wide);
        self.ready(op.dst, !wide);
        self.ready(op.src, !wide);
        let (left, right) = (self.reg(op.dst, !wide), self.reg(op.src, !wide));
        if op.code as u8 >= Code::Jset64K as u8 {
            self.asm.tst(width(wide), left, right);
        } else {
            self.asm.cmp(width(wide), left, right);
        }
        CONDS[(index / 4) as usize]
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
        if to != next + 1
            || self.limited
            || self.scan.is_leader(next)
            || op.dst == dst
            || register && op.src == dst
        {
            return None;
        }
        let cond = self.compare_flags(op);
        let home = HOME[dst as usize];
        // Moves change no flags. Nobody names the home of what waits as a number.
        match (first, second) {
            (1, 0) => self.asm.cset(Width::X, home, cond),
            (0, 1) => self.asm.cset(Width::X, home, cond.inverted()),
            _ => {
                let mut number = |value: u64, scratch: Reg| {
                    if value == 0 {
                        return ZR;
                    }
                    self.asm.mov_imm(scratch, value);
                    scratch
                };
                let (yes, no) = (number(first, OPERAND), number(second, PC));
                self.asm.select(Select::Csel, Width::X, home, yes, no, cond);
            }
        }
        let bits = 64 - (first | second).leading_zeros() as u8;
        self.wrote(dst, bits);
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
            self.asm.b(Label(to as u32));
        }
    }

    pub fn may_goto(&mut self, op: &Op) {
        let to = target(self.pc, op.off.into());
        self.values.flush(&mut self.asm, self.live);
        self.asm.field(Access::Load, Size::W, OPERAND, at::MAY_GOTO);
        self.jump_if(When::Zero(Width::W, OPERAND), to);
        self.asm
            .arith_imm(Arith::Sub, Width::W, OPERAND, OPERAND, 1);
        self.asm
            .field(Access::Store, Size::W, OPERAND, at::MAY_GOTO);
    }

    pub fn exit(&mut self) {
        self.values.flush(&mut self.asm, self.keep);
        self.charge(self.owed_after());
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
        let start = target(self.pc, op.imm);
        let index = self
            .program
            .functions
            .binary_search_by_key(&start, |function| function.start)
            .unwrap_or(0);
        let entry = self.entries[index];
        if self.native {
            let saved = self.save_around();
            self.asm.bl(entry);
            self.restore_around(saved);
            return self.called(CALLER_SAVED);
        }
        let (deep, fine) = (self.asm.label(), self.asm.label());
        self.asm.load_field(OPERAND, at::DEPTH);
        self.asm.load_field(PC, at::DEPTH_MAX);
        self.asm
            .arith_imm(Arith::Add, Width::X, OPERAND, OPERAND, 1);
        self.asm.cmp(Width::X, OPERAND, PC);
        self.asm.b_if(Cond::Hs, deep);
        self.cold.push(Cold::Gate {
            at: deep,
            done: fine,
            gate: Gate::Enter,
            operand: op.off as u32,
            pc: self.pc as u32,
        });
        self.asm.bind(fine);
        self.asm.store_field(OPERAND, at::DEPTH);
        let bytes = op.off as u32 & !7;
        self.asm
            .add_number(Width::X, ADDRESS, RUN, at::FRAME_BYTES.into());
        self.asm.mov_imm(STORED, bytes.into());
        let (size, index) = (Size::W, OPERAND);
        self.asm.memory_indexed(
            Access::Store,
            size,
            STORED,
            ADDRESS,
            index,
            Extend::Uxtx,
            true,
        );
        self.asm.arith_imm(
            Arith::Sub,
            Width::X,
            FRAME_TOP,
            FRAME_TOP,
            FRAME_STRIDE as u64,
        );
        if op.off & 1 == 0 {
            self.zero_frame(bytes);
        }
        let saved = self.save_around();
        self.asm.bl(entry);
        self.restore_around(saved);
        self.leave_frame();
        self.called(CALLER_SAVED);
    }

    /// After a call: the frame of the function that was called is no more.
    fn leave_frame(&mut self) {
        self.asm.arith_imm(
            Arith::Add,
            Width::X,
            FRAME_TOP,
            FRAME_TOP,
            FRAME_STRIDE as u64,
        );
        self.asm.load_field(OPERAND, at::DEPTH);
        self.asm
            .arith_imm(Arith::Sub, Width::X, OPERAND, OPERAND, 1);
        self.asm.store_field(OPERAND, at::DEPTH);
        let (forget, done) = (self.asm.label(), self.asm.label());
        self.asm
            .field(Access::Load, Size::B, OPERAND, at::STACK_REMEMBERED);
        self.asm.cbnz(Width::W, OPERAND, forget);
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
            self.asm.field(Access::Load, Size::W, OPERAND, at::MAY_GOTO);
            self.asm.load_field(PC, at::PROGRAM);
            self.asm.pair_pre(Access::Store, OPERAND, PC, SP, -16);
            self.asm.mov_imm(OPERAND, MAY_GOTO_MAX.into());
            self.asm
                .field(Access::Store, Size::W, OPERAND, at::MAY_GOTO);
        }
        save
    }

    fn restore_around(&mut self, saved: bool) {
        if saved {
            self.asm.pair_post(Access::Load, OPERAND, PC, SP, 16);
            self.asm
                .field(Access::Store, Size::W, OPERAND, at::MAY_GOTO);
            self.asm.store_field(PC, at::PROGRAM);
        }
    }

    pub fn call_helper(&mut self, op: &Op) {
        self.values.flush(&mut self.asm, self.keep);
        let gate = if op.code == Code::CallPure {
            Gate::Pure
        } else {
            Gate::Helper
        };
        let gate = self.gate(gate);
        self.asm.mov_imm(OPERAND, op.imm as u64);
        self.asm.mov_imm(PC, self.pc as u64);
        self.asm.bl(gate);
        // What the gate has lost and the program still wants.
        for (register, home) in HOME.iter().enumerate().take(6).skip(1) {
            if self.live >> register & 1 != 0 {
                self.asm.load_field(*home, at::REGS + 8 * register as i32);
            }
        }
        self.called(1);
    }

    pub fn tail_call(&mut self, op: &Op) {
        self.values.flush(&mut self.asm, self.keep);
        let gate = self.gate(Gate::TailCall);
        // The other program counts from its own start.
        let owed = self.owed_after();
        self.charge(owed);
        self.asm.mov_imm(OPERAND, op.imm as u64);
        self.asm.mov_imm(PC, self.pc as u64);
        self.asm.bl(gate);
        let away = self.asm.label();
        self.asm.cmp_imm(Width::X, OPERAND, tail::DONE);
        self.asm.b_if(Cond::Hs, away);
        self.cold.push(Cold::TailCall {
            at: away,
            function: self.function,
        });
        self.charge(-owed);
        self.asm.load_field(HOME[0], at::SCRATCH);
        self.called(1);
    }

    pub fn call_x(&mut self, op: &Op) {
        self.values.flush(&mut self.asm, self.keep);
        let gate = self.gate(Gate::CallX);
        self.asm.mov(Width::X, OPERAND, HOME[op.dst as usize]);
        self.asm.mov_imm(PC, self.pc as u64);
        self.asm.bl(gate);
        let (function, done) = (self.asm.label(), self.asm.label());
        self.asm.cbnz(Width::X, OPERAND, function);
        self.asm.load_field(HOME[0], at::SCRATCH);
        self.asm.b(done);
        self.asm.bind(function);
        self.asm.mov(Width::X, ADDRESS, OPERAND);
        self.asm.arith_imm(
            Arith::Sub,
            Width::X,
            FRAME_TOP,
            FRAME_TOP,
            FRAME_STRIDE as u64,
        );
        let saved = self.save_around();
        self.asm.blr(ADDRESS);
        self.restore_around(saved);
        self.leave_frame();
        self.asm.bind(done);
        self.called(CALLER_SAVED);
    }

    pub fn packet(&mut self, op: &Op) {
        self.values.flush(&mut self.asm, self.keep);
        let gate = self.gate(Gate::Packet(op.off as u8));
        if op.dst == 1 {
            let from = HOME[op.src as usize];
            self.asm.add_number(Width::X, OPERAND, from, op.imm);
        } else {
            self.asm.mov_imm(OPERAND, op.imm as u64);
        }
        self.asm.mov_imm(PC, self.pc as u64);
        self.asm.bl(gate);
        self.asm.mov(Width::X, HOME[0], OPERAND);
        self.wrote(0, 64);
    }

    pub fn poison(&mut self) {
        self.values.flush(&mut self.asm, 0);
        let reached = self
            .program
            .proven
            .as_ref()
            .is_none_or(|proven| proven.proof.of(self.pc).reached);
        if reached {
            let gate = self.gate(Gate::Poison);
            self.asm.mov_imm(PC, self.pc as u64);
            self.asm.bl(gate);
        }
        self.asm.brk(0);
    }
}
