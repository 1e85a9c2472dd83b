//! Gates: the one place in a program from where it calls a thunk of a kind.
//!
//! Invariants: a gate is called with the thunk's operand in r10 and the operation's index in r11; it answers in r11 and
//! changes nothing else but r10, xmm0 to xmm15 and flags (a helper's gate: r0 is the answer, r1 to r5 are lost); r0 to
//! r5 and the budget are stored in the run before the thunk, and the budget is read again after it.

use crate::jit::pass::Label;
use crate::jit::run::at;
use crate::jit::thunk;

use super::encode::{Alu, Asm, Cond, Mem, R8, R9, R10, R11, R12, R13, R14, R15};
use super::encode::{RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, Reg, Width};
use super::lower::{Lower, RUN, field};

/// What a gate is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gate {
    /// By the operation's code.
    Load(u8),
    /// Of so many bytes; the value is in `Run::scratch`.
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

pub(crate) struct Gates {
    made: Vec<(Gate, Label)>,
    /// Ends the run.
    pub stop: Label,
    /// Leaves the entry with rax and rdx.
    pub leave: Label,
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

/// Host registers that a gate saves: r0 to r5.
const SAVED: [Reg; 6] = [RAX, RDI, RSI, RDX, RCX, R8];

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
            self.emit_gate(gate, label);
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
        let helper = matches!(gate, Gate::Helper | Gate::Pure);
        self.asm.bind(label);
        for (register, reg) in SAVED.into_iter().enumerate() {
            self.asm
                .store(Width::D, field(at::REGS + 8 * register as i32), reg);
        }
        if self.limited {
            self.asm.store(Width::D, field(at::LEFT), R9);
        }
        self.asm.alu_ri(Alu::Sub, true, RSP, 8);
        self.asm.mov_rr(true, RDI, RUN);
        self.asm.mov_rr(true, RSI, R10);
        self.asm.mov_rr(false, RDX, R11);
        if kind != 0 {
            self.asm.mov_ri(RCX, kind.into());
        }
        match gate {
            Gate::Store(_) => self.asm.load(Width::D, R8, field(at::SCRATCH)),
            Gate::Packet(_) => self.asm.mov_rr(true, R8, RBX),
            _ => {}
        }
        self.asm.mov_ri(RAX, thunk as u64);
        self.asm.call_r(RAX);
        self.asm.alu_ri(Alu::Add, true, RSP, 8);
        self.asm.test_rr(true, RDX, RDX);
        self.asm.jcc(Cond::Ne, self.gates.stop, false);
        if self.limited {
            self.asm.load(Width::D, R9, field(at::LEFT));
        }
        if !helper {
            self.asm.mov_rr(true, R11, RAX);
            for (register, reg) in SAVED.into_iter().enumerate() {
                self.asm
                    .load(Width::D, reg, field(at::REGS + 8 * register as i32));
            }
        }
        self.asm.ret();
    }

    /// The entry, an [`Enter`](crate::jit::Enter), and the way out of it.
    pub fn enter_stub(&mut self) -> Label {
        const PUSHED: [Reg; 6] = [RBX, RBP, R12, R13, R14, R15];
        let enter = self.asm.label();
        self.align(16, 16);
        self.asm.bind(enter);
        for reg in PUSHED {
            self.asm.push(reg);
        }
        self.asm.mov_rr(true, RUN, RDI);
        self.asm.push_m(field(at::SP));
        self.asm.store(Width::D, field(at::SP), RSP);
        self.asm.mov_rr(true, RBP, RCX);
        self.asm.mov_rr(true, R11, RSI);
        self.asm.load(Width::D, RDI, Mem::at(RDX, 0));
        self.asm.load(Width::D, RSI, Mem::at(RDX, 8));
        self.asm.load(Width::D, RCX, Mem::at(RDX, 24));
        self.asm.load(Width::D, R8, Mem::at(RDX, 32));
        self.asm.load(Width::D, RDX, Mem::at(RDX, 16));
        for reg in [RAX, RBX, R13, R14, R15] {
            self.asm.zero(reg);
        }
        if self.limited {
            self.asm.load(Width::D, R9, field(at::LEFT));
        }
        self.asm.call_r(R11);
        if self.limited {
            self.asm.store(Width::D, field(at::LEFT), R9);
        }
        if !self.lean {
            self.asm.zero(RDX);
        }
        self.asm.bind(self.gates.leave);
        self.asm.pop_m(field(at::SP));
        for reg in PUSHED.into_iter().rev() {
            self.asm.pop(reg);
        }
        self.asm.ret();
        self.asm.bind(self.gates.stop);
        if self.lean {
            // To whoever called the program, be it the entry.
            self.epilogue(0);
            self.asm.ret();
            return enter;
        }
        for (register, reg) in [(6, RBX), (7, R13), (8, R14), (9, R15), (10, RBP)] {
            self.asm
                .store(Width::D, field(at::REGS + 8 * register), reg);
        }
        self.asm.load(Width::D, RSP, field(at::SP));
        self.asm.jmp(self.gates.leave, false);
        enter
    }
}
