//! Gates: the one place in a program from where it calls a thunk of a kind. And the entry, with the way out of it.
//!
//! Invariants: a gate is called with the thunk's operand in x9, the operation's index in x10 and what is stored in x11; it
//! answers in x9 and changes nothing else but x10 to x17, vector registers and flags (a helper's gate: r0 is the answer, r1
//! to r5 are lost); r0 to r5 and the budget are stored in the run before the thunk, and the budget is read again after it.

use crate::jit::pass::Label;
use crate::jit::run::at;
use crate::jit::thunk;

use super::encode::Arith;
use super::encode::{Access, Asm, LR, Reg, SP, Size, Width, ZR};
use super::home::{ADDRESS, FRAME_TOP, HOME, LEFT, OPERAND, PC, RUN, STORED, WINDOWS};
use super::lower::Lower;

/// What a gate is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gate {
    /// By the operation's code.
    Load(u8),
    /// Of so many bytes.
    Store(u8),
    Atomic(u8),
    Helper,
    Pure,
    Enter,
    Forget,
    CallX,
    TailCall,
    /// Of so many bytes.
    Packet(u8),
    Account,
    Poison,
}

/// The gates that code asked for.
pub(crate) struct Gates {
    made: Vec<(Gate, Label)>,
    /// Ends the run, with a thunk's answer in x0 and x1.
    stop: Label,
    /// Leaves the entry with x0 and x1.
    leave: Label,
}

impl Gates {
    pub fn new(asm: &mut Asm) -> Gates {
        Gates {
            made: Vec::new(),
            stop: asm.label(),
            leave: asm.label(),
        }
    }
}

const FP: Reg = Reg(29);
/// What an entry saves, in pairs, above its frame record.
const SAVED: [(Reg, Reg); 4] = [
    (HOME[6], HOME[7]),
    (HOME[8], HOME[9]),
    (RUN, LEFT),
    (FRAME_TOP, WINDOWS),
];
/// Bytes of an entry's frame, and where in it the outer entry's stack pointer is.
const FRAME: i32 = 96;
const OUTER: i32 = 80;

impl Lower<'_> {
    pub fn gate(&mut self, gate: Gate) -> Label {
        if let Some((_, label)) = self.gates.made.iter().find(|(made, _)| *made == gate) {
            return *label;
        }
        let label = self.asm.label();
        self.gates.made.push((gate, label));
        label
    }

    pub fn emit_gates(&mut self) {
        for index in 0..self.gates.made.len() {
            let (gate, label) = self.gates.made[index];
            self.asm.island();
            self.emit_gate(gate, label);
        }
    }

    /// Loads or stores r0 to r5.
    fn arguments(&mut self, access: Access) {
        for first in [0, 2, 4] {
            let field = at::REGS + 8 * first as i32;
            self.asm
                .pair(access, HOME[first], HOME[first + 1], RUN, field);
        }
    }

    fn emit_gate(&mut self, gate: Gate, label: Label) {
        let (thunk, kind) = match gate {
            Gate::Load(code) => (thunk::load as *const () as usize, code),
            Gate::Store(bytes) => (thunk::store as *const () as usize, bytes),
            Gate::Atomic(bytes) => (thunk::atomic as *const () as usize, bytes),
            Gate::Helper => (thunk::helper as *const () as usize, 0),
            Gate::Pure => (thunk::pure as *const () as usize, 0),
            Gate::Enter => (thunk::enter as *const () as usize, 0),
            Gate::Forget => (thunk::forget as *const () as usize, 0),
            Gate::CallX => (thunk::call_x as *const () as usize, 0),
            Gate::TailCall => (thunk::tail_call as *const () as usize, 0),
            Gate::Packet(bytes) => (thunk::packet as *const () as usize, bytes),
            Gate::Account => (thunk::account as *const () as usize, 0),
            Gate::Poison => (thunk::poison as *const () as usize, 0),
        };
        self.asm.bind(label);
        self.arguments(Access::Store);
        if self.limited {
            self.asm.store_field(LEFT, at::LEFT);
        }
        self.asm.memory_pre(Access::Store, LR, SP, -16);
        self.asm.mov(Width::X, Reg(0), RUN);
        self.asm.mov(Width::X, Reg(1), OPERAND);
        self.asm.mov(Width::X, Reg(2), PC);
        if kind != 0 {
            self.asm.mov_imm(Reg(3), kind.into());
        }
        match gate {
            Gate::Store(_) => self.asm.mov(Width::X, Reg(4), STORED),
            Gate::Packet(_) => self.asm.mov(Width::X, Reg(4), HOME[6]),
            _ => {}
        }
        self.asm.mov_imm(ADDRESS, thunk as u64);
        self.asm.blr(ADDRESS);
        self.asm.memory_post(Access::Load, LR, SP, 16);
        let stop = self.gates.stop;
        self.asm.cbnz(Width::X, Reg(1), stop);
        if self.limited {
            self.asm.load_field(LEFT, at::LEFT);
        }
        if !matches!(gate, Gate::Helper | Gate::Pure) {
            self.asm.mov(Width::X, OPERAND, Reg(0));
            self.arguments(Access::Load);
        }
        self.asm.ret();
    }

    /// The entry, an [`Enter`](crate::jit::Enter), and the way out of it.
    pub fn enter_stub(&mut self) -> Label {
        let enter = self.asm.label();
        self.asm.island();
        self.asm.bind(enter);
        self.asm.pair_pre(Access::Store, FP, LR, SP, -FRAME);
        self.asm.arith_imm(Arith::Add, Width::X, FP, SP, 0);
        for (index, (first, second)) in SAVED.into_iter().enumerate() {
            let offset = 16 + 16 * index as i32;
            self.asm.pair(Access::Store, first, second, SP, offset);
        }
        self.asm.mov(Width::X, RUN, Reg(0));
        self.asm
            .add_number(Width::X, WINDOWS, RUN, at::READABLE.into());
        self.asm.load_field(OPERAND, at::SP);
        self.asm.memory(Access::Store, Size::D, OPERAND, SP, OUTER);
        self.asm.arith_imm(Arith::Add, Width::X, OPERAND, SP, 0);
        self.asm.store_field(OPERAND, at::SP);
        self.asm.mov(Width::X, FRAME_TOP, Reg(3));
        self.asm.mov(Width::X, ADDRESS, Reg(1));
        self.asm.mov(Width::X, OPERAND, Reg(2));
        self.asm.pair(Access::Load, HOME[1], HOME[2], OPERAND, 0);
        self.asm.pair(Access::Load, HOME[3], HOME[4], OPERAND, 16);
        self.asm.memory(Access::Load, Size::D, HOME[5], OPERAND, 32);
        for register in [0, 6, 7, 8, 9] {
            self.asm.mov(Width::X, HOME[register], ZR);
        }
        if self.limited {
            self.asm.load_field(LEFT, at::LEFT);
        }
        self.asm.blr(ADDRESS);
        if self.limited {
            self.asm.store_field(LEFT, at::LEFT);
        }
        self.asm.mov(Width::X, Reg(1), ZR);
        let (leave, stop) = (self.gates.leave, self.gates.stop);
        self.asm.bind(leave);
        self.asm.memory(Access::Load, Size::D, OPERAND, SP, OUTER);
        self.asm.store_field(OPERAND, at::SP);
        for (index, (first, second)) in SAVED.into_iter().enumerate() {
            let offset = 16 + 16 * index as i32;
            self.asm.pair(Access::Load, first, second, SP, offset);
        }
        self.asm.pair_post(Access::Load, FP, LR, SP, FRAME);
        self.asm.ret();
        self.asm.bind(stop);
        for (register, home) in HOME.iter().enumerate().skip(6) {
            self.asm.store_field(*home, at::REGS + 8 * register as i32);
        }
        self.asm.load_field(OPERAND, at::SP);
        self.asm.arith_imm(Arith::Add, Width::X, SP, OPERAND, 0);
        self.asm.b(leave);
        enter
    }
}
