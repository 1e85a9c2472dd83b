//! Division and remainder, which x86-64 has for rax and rdx alone, and which trap where BPF has an answer.
//!
//! Invariants: nothing waits when a division starts; r0 and r3, where they are not the destination, are as before.

use crate::jit::pass::Division;
use crate::jit::run::at;
use crate::jit::waits::narrowed;

use super::cold::Cold;
use super::encode::{Alu, Cond, R9, R10, R11, RAX, RDX, Reg, Unary, Width};
use super::lower::{Lower, field};
use super::value::HOME;

impl Lower<'_> {
    pub fn divide_constant(&mut self, dst: u8, divisor: u64, wide: bool, how: Division) {
        self.values.flush(&mut self.asm, self.keep);
        self.asm.mov_ri(R11, divisor);
        self.divide_by_r11(dst, wide, how);
    }

    pub fn divide(&mut self, dst: u8, src: u8, wide: bool, how: Division) {
        let Division { signed, remainder } = how;
        self.values.flush(&mut self.asm, self.keep);
        self.asm.mov_rr(wide, R11, HOME[src as usize]);
        let proven = self
            .program
            .proven
            .as_ref()
            .is_some_and(|proven| proven.proof.of(self.pc).divisor_not_zero);
        let done = self.asm.label();
        if !proven {
            let zero = self.asm.label();
            self.asm.test_rr(wide, R11, R11);
            self.asm.jcc(Cond::E, zero, false);
            self.cold.push(Cold::DivideByZero {
                at: zero,
                done,
                dst: HOME[dst as usize],
                wide,
                remainder,
            });
        }
        if signed {
            let minus = self.asm.label();
            self.asm.alu_ri(Alu::Cmp, wide, R11, -1);
            self.asm.jcc(Cond::E, minus, false);
            self.cold.push(Cold::DivideByMinusOne {
                at: minus,
                done,
                dst: HOME[dst as usize],
                wide,
                remainder,
            });
        }
        self.divide_by_r11(dst, wide, how);
        self.asm.bind(done);
    }

    /// Divides by r11, which is neither 0 nor, if signed, -1. Nothing waits.
    fn divide_by_r11(&mut self, dst: u8, wide: bool, how: Division) {
        let Division { signed, remainder } = how;
        let to = HOME[dst as usize];
        let wanted = |home: Reg, live: u16| {
            let register = HOME.iter().position(|other| *other == home).unwrap_or(0);
            home != to && live >> register & 1 != 0
        };
        let (keep_rax, keep_rdx) = (wanted(RAX, self.live), wanted(RDX, self.live));
        if keep_rax {
            self.asm.mov_rr(true, R10, RAX);
        }
        if keep_rdx {
            if self.limited {
                self.asm.store(Width::D, field(at::SCRATCH), RDX);
            } else {
                self.asm.mov_rr(true, R9, RDX);
            }
        }
        if to != RAX {
            self.asm.mov_rr(wide, RAX, to);
        }
        if signed {
            self.asm.cqo(wide);
            self.asm.unary(Unary::Idiv, wide, R11);
        } else {
            self.asm.zero(RDX);
            self.asm.unary(Unary::Div, wide, R11);
        }
        let result = if remainder { RDX } else { RAX };
        if to != result {
            self.asm.mov_rr(wide, to, result);
        }
        if keep_rax {
            self.asm.mov_rr(true, RAX, R10);
        }
        if keep_rdx {
            if self.limited {
                self.asm.load(Width::D, RDX, field(at::SCRATCH));
            } else {
                self.asm.mov_rr(true, RDX, R9);
            }
        }
        self.wrote(dst, narrowed(64, wide));
    }
}
