//! Functions: what they save, where their frames lie, how they start and end.
//!
//! Invariants: sp is a multiple of 16 at the entry of a function and in its body; all functions of a program whose jumps
//! cross functions start and end the same way.

use crate::jit::pass::Label;
use crate::jit::scan::{CALLEE_SAVED, Mask};
use crate::memory::FRAME_BYTES;

use super::encode::{Access, Arith, LR, Reg, SP, Size, Width, ZR};
use super::home::{FRAME_TOP, HOME};
use super::lower::Lower;

/// How a function keeps what its caller owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    /// Host registers, of which `count` are saved.
    regs: [Reg; 5],
    count: usize,
    /// It calls something, and so keeps the return address.
    calls: bool,
    /// It has an own r10.
    pointer: bool,
    /// Bytes below what is saved.
    space: u32,
}

impl Frame {
    /// Bytes of what is saved.
    fn area(&self) -> i32 {
        let words = self.count as i32 + if self.calls { 2 } else { 0 };
        8 * (words + (words & 1))
    }

    /// Where in the area the first of `regs` is.
    fn first(&self) -> i32 {
        if self.calls { 16 } else { 0 }
    }
}

const FP: Reg = Reg(29);

impl Lower<'_> {
    /// r0 and r6 to r9, where the program reads them at its start: zero, as nothing has written them.
    fn read_at_start(&self) -> Mask {
        self.scan.live_at(0) & (CALLEE_SAVED | 1)
    }

    fn saved(&self, function: usize) -> Mask {
        let own = self.scan.functions[function].saved;
        if function == 0 {
            own | self.read_at_start() & CALLEE_SAVED
        } else {
            own
        }
    }

    fn frame(&self, function: usize) -> Frame {
        let all = 0..self.program.functions.len();
        let of = if self.scan.apart {
            function..function + 1
        } else {
            all
        };
        let saved = of
            .clone()
            .fold(0, |saved, function| saved | self.saved(function));
        let calls = !self.lean || of.into_iter().any(|index| self.scan.functions[index].calls);
        let (mut pointer, mut bytes) = (false, 0);
        if self.native {
            if self.scan.apart {
                bytes = self.program.functions[function].stack;
                pointer = bytes != 0 || self.scan.functions[function].frame;
            } else {
                bytes = FRAME_BYTES as u32;
                pointer = true;
            }
        }
        let mut frame = Frame {
            regs: [ZR; 5],
            count: 0,
            calls,
            pointer,
            space: bytes.next_multiple_of(16),
        };
        let mut push = |reg| {
            frame.regs[frame.count] = reg;
            frame.count += 1;
        };
        for (register, home) in HOME.iter().enumerate().take(10).skip(6) {
            if saved >> register & 1 != 0 {
                push(*home);
            }
        }
        if pointer {
            push(FRAME_TOP);
        }
        frame
    }

    /// Loads or stores what is saved, by pairs, above the frame record.
    fn saved_registers(&mut self, access: Access, frame: &Frame) {
        let regs = &frame.regs[..frame.count];
        for (index, regs) in regs.chunks(2).enumerate() {
            let offset = frame.first() + 16 * index as i32;
            match *regs {
                [first, second] => self.asm.pair(access, first, second, SP, offset),
                [first] => self.asm.memory(access, Size::D, first, SP, offset),
                _ => {}
            }
        }
    }

    fn prologue(&mut self, function: usize) {
        let frame = self.frame(function);
        let area = frame.area();
        if frame.calls {
            self.asm.pair_pre(Access::Store, FP, LR, SP, -area);
            self.asm.arith_imm(Arith::Add, Width::X, FP, SP, 0);
        } else if area != 0 {
            self.asm
                .arith_imm(Arith::Sub, Width::X, SP, SP, area as u64);
        }
        self.saved_registers(Access::Store, &frame);
        if frame.pointer {
            self.asm.arith_imm(Arith::Add, Width::X, FRAME_TOP, SP, 0);
        }
        if frame.space != 0 {
            self.asm
                .arith_imm(Arith::Sub, Width::X, SP, SP, frame.space.into());
        }
        // Where functions run into each other, places do not count from here.
        let own = self.program.functions[function];
        let owed = self.owed(own.start);
        self.charge(-owed);
        if frame.pointer && own.zeroed {
            self.zero_frame(if self.scan.apart {
                own.stack
            } else {
                FRAME_BYTES as u32
            });
        }
    }

    /// Leaves a function, but for the return. Changes nothing else.
    pub fn epilogue(&mut self, function: usize) {
        let frame = self.frame(function);
        if frame.space != 0 {
            self.asm
                .arith_imm(Arith::Add, Width::X, SP, SP, frame.space.into());
        }
        self.saved_registers(Access::Load, &frame);
        let area = frame.area();
        if frame.calls {
            self.asm.pair_post(Access::Load, FP, LR, SP, area);
        } else if area != 0 {
            self.asm
                .arith_imm(Arith::Add, Width::X, SP, SP, area as u64);
        }
    }

    /// Zeroes so many bytes, a multiple of 8 and at most 512, below r10.
    pub fn zero_frame(&mut self, bytes: u32) {
        let mut at = -(bytes as i32);
        while at <= -16 {
            self.asm.pair(Access::Store, ZR, ZR, FRAME_TOP, at);
            at += 16;
        }
        if at < 0 {
            self.asm.memory(Access::Store, Size::D, ZR, FRAME_TOP, at);
        }
    }

    /// Emits how the function at hand starts, for calls and, if it is the program, from outside. The body follows.
    pub fn open_function(&mut self, start: Label) {
        let function = self.function;
        self.asm.bind(self.entries[function]);
        if function == 0 {
            let zero = self.read_at_start();
            if zero == 0 {
                self.asm.bind(start);
            } else {
                self.prologue(0);
                self.asm.b(Label(0));
                self.asm.bind(start);
                self.prologue(0);
                for (register, home) in HOME.iter().enumerate() {
                    if zero >> register & 1 != 0 {
                        self.asm.mov(Width::X, *home, ZR);
                    }
                }
                return;
            }
        }
        self.prologue(function);
    }
}
