//! Functions: what they save, where their frames lie, how they start and end.
//!
//! Invariants: at the entry of a function rsp is 8 more than a multiple of 16, in its body a multiple of 16 (unless no
//! code of the program calls a thunk); all functions of a program whose jumps cross functions start and end the same way.

use crate::jit::pass::Label;
use crate::jit::scan::{CALLEE_SAVED, Mask};
use crate::memory::FRAME_BYTES;

use super::encode::{Alu, Mem, RBP, RSP, Width};
use super::lower::{Lower, RUN};
use super::value::HOME;

/// How a function keeps what its caller owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    saved: Mask,
    /// It has an own r10.
    pointer: bool,
    /// It keeps its stack pointer where a way out of the functions that it calls finds it.
    anchor: bool,
    /// Bytes below what is saved.
    space: u32,
}

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
        let count = self.program.functions.len();
        let anchor = self.backend.anchored && function == 0;
        // A way out of functions that are called leads past their ends, so the first has to keep what they change.
        let saved = if self.scan.apart && !anchor {
            self.saved(function)
        } else {
            (0..count).fold(0, |saved, function| saved | self.saved(function))
        };
        let (mut pointer, mut bytes) = (false, 0);
        if self.native {
            if self.scan.apart {
                bytes = self.program.functions[function].stack;
                pointer = anchor || bytes != 0 || self.scan.functions[function].frame;
            } else {
                bytes = FRAME_BYTES as u32;
                pointer = true;
            }
        }
        let pushed = saved.count_ones() + u32::from(pointer) + u32::from(anchor);
        let mut space = bytes.next_multiple_of(8);
        if !self.lean && (8 + 8 * pushed + space) % 16 != 0 {
            space += 8;
        }
        Frame {
            saved,
            pointer,
            anchor,
            space,
        }
    }

    fn prologue(&mut self, function: usize) {
        let frame = self.frame(function);
        if frame.anchor {
            self.asm.push(RUN);
        }
        if frame.pointer {
            self.asm.push(RBP);
        }
        for (register, home) in HOME.into_iter().enumerate().take(10).skip(6) {
            if frame.saved >> register & 1 != 0 {
                self.asm.push(home);
            }
        }
        if frame.pointer {
            self.asm.mov_rr(true, RBP, RSP);
        }
        if frame.space != 0 {
            self.asm.alu_ri(Alu::Sub, true, RSP, frame.space as i32);
        }
        if frame.anchor {
            self.asm.mov_rr(true, RUN, RSP);
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

    /// Leaves a function, but for the return.
    pub fn epilogue(&mut self, function: usize) {
        let frame = self.frame(function);
        if frame.space != 0 {
            self.asm.alu_ri(Alu::Add, true, RSP, frame.space as i32);
        }
        for register in (6..10).rev() {
            if frame.saved >> register & 1 != 0 {
                self.asm.pop(HOME[register]);
            }
        }
        if frame.pointer {
            self.asm.pop(RBP);
        }
        if frame.anchor {
            self.asm.pop(RUN);
        }
    }

    /// Zeroes so many bytes, a multiple of 8, below r10. Changes xmm0.
    pub fn zero_frame(&mut self, bytes: u32) {
        let bytes = bytes as i32;
        if bytes >= 16 {
            self.asm.zero_xmm0();
        }
        let mut at = -bytes;
        while at <= -16 {
            self.asm.store_xmm0(Mem::at(RBP, at));
            at += 16;
        }
        if at < 0 {
            self.asm.store_imm(Width::D, Mem::at(RBP, at), 0);
        }
    }

    /// Emits how the function at hand starts, for calls and, if it is the program, from outside. The body follows.
    pub fn open_function(&mut self, start: Label) {
        let function = self.function;
        self.align(16, 16);
        self.asm.bind(self.entries[function]);
        if function == 0 {
            let zero = self.read_at_start();
            if zero == 0 {
                self.asm.bind(start);
            } else {
                self.prologue(0);
                self.asm.jmp(Label(0), false);
                self.asm.bind(start);
                self.prologue(0);
                for (register, home) in HOME.iter().enumerate() {
                    if zero >> register & 1 != 0 {
                        self.asm.zero(*home);
                    }
                }
                return;
            }
        }
        self.prologue(function);
    }
}
