//! Loads, stores and atomic operations: proven ones as they are, others behind a look at the first window.

use crate::decode::{Code, Op};
use crate::jit::pass::Label;
use crate::jit::run::at;

use super::cold::{Cold, Stored};
use super::encode::{Alu, Cond, Mem, R10, R11, RAX, RCX, Reg, Width};
use super::gate::Gate;
use super::lower::{Lower, field, width};
use super::value::HOME;
use crate::jit::value::Value;

/// Where in a family of loads a code is: the width (by its logarithm), and whether it extends a sign.
fn load_shape(code: Code, first: Code) -> (u8, bool) {
    let index = code as u8 - first as u8;
    if index < 4 {
        (index, false)
    } else {
        (index - 4, true)
    }
}

/// Bits that a load of `1 << width` bytes gives.
fn loaded_bits(width: u8, signed: bool) -> u8 {
    if signed { 64 } else { 8 << width }
}

impl Lower<'_> {
    fn load(&mut self, size: u8, signed: bool, dst: Reg, mem: Mem) {
        if signed {
            self.asm.load_signed(width(size), dst, mem);
        } else {
            self.asm.load(width(size), dst, mem);
        }
    }

    /// Answers how many operations after it are done with it.
    pub fn load_raw(&mut self, op: &Op, _next: usize) -> usize {
        let (size, signed) = load_shape(op.code, Code::LdRawB);
        self.define(op.dst);
        self.ready_mem(op.src, op.off);
        let mem = self.mem(op.src, op.off);
        self.load(size, signed, HOME[op.dst as usize], mem);
        self.wrote(op.dst, loaded_bits(size, signed));
        0
    }

    /// Jumps to `slow` unless the first window of a kind holds all bytes. Changes r11.
    fn window(&mut self, mem: Mem, windows: i32, size: u8, slow: Label) {
        match mem {
            Mem {
                base: Some(base),
                index: None,
                disp: 0,
            } => self.asm.mov_rr(true, R11, base),
            _ => self.asm.lea(true, R11, mem),
        }
        self.asm
            .alu_rm(Alu::Sub, true, R11, field(windows + at::START));
        let limit = field(windows + at::LIMITS + 8 * i32::from(size));
        self.asm.alu_rm(Alu::Cmp, true, R11, limit);
        self.asm.jcc(Cond::Ae, slow, false);
    }

    pub fn load_checked(&mut self, op: &Op) {
        let probe = op.code as u8 >= Code::LdProbeB as u8;
        let first = if probe { Code::LdProbeB } else { Code::LdB };
        let (size, signed) = load_shape(op.code, first);
        let dst = HOME[op.dst as usize];
        self.define(op.dst);
        self.ready_mem(op.src, op.off);
        let mem = self.mem(op.src, op.off);
        let gate = self.gate(Gate::Load(op.code as u8));
        if probe {
            self.asm.lea(true, R10, mem);
            self.asm.mov_ri(R11, self.pc as u64);
            self.asm.call(gate);
            self.asm.mov_rr(true, dst, R11);
            return self.wrote(op.dst, 64);
        }
        let (slow, direct, done) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.window(mem, at::READABLE, size, slow);
        self.asm.bind(direct);
        self.load(size, signed, dst, mem);
        self.asm.bind(done);
        self.cold.push(Cold::Load {
            at: slow,
            direct,
            done,
            mem,
            dst,
            size,
            gate,
            pc: self.pc as u32,
        });
        // Four bytes of a context may give a whole pointer.
        let bits = if size == 2 {
            64
        } else {
            loaded_bits(size, signed)
        };
        self.wrote(op.dst, bits);
    }

    /// What a store writes, as the shortest operand.
    fn stored(&mut self, op: &Op, register: bool, size: u8) -> Stored {
        if !register {
            return Stored::Imm(op.imm as i32);
        }
        match self.values.of[op.src as usize] {
            Value::Const(value) => {
                if size < 3 {
                    return Stored::Imm(value as u32 as i32);
                }
                if let Ok(imm) = i32::try_from(value as i64) {
                    return Stored::Imm(imm);
                }
            }
            Value::Low { src, bits } if 8 << size <= u32::from(bits) => {
                return Stored::Reg(HOME[src as usize]);
            }
            _ => {}
        }
        Stored::Reg(self.reg(op.src, size < 3))
    }

    /// The operands of a store.
    fn store_operands(&mut self, op: &Op, register: bool, size: u8) -> (Mem, Stored) {
        // Each may work out the other, which then is ready for good.
        self.stored(op, register, size);
        self.ready_mem(op.dst, op.off);
        let stored = self.stored(op, register, size);
        (self.mem(op.dst, op.off), stored)
    }

    pub fn put(&mut self, size: u8, mem: Mem, value: Stored) {
        match value {
            Stored::Reg(reg) => self.asm.store(width(size), mem, reg),
            Stored::Imm(imm) => self.asm.store_imm(width(size), mem, imm),
        }
    }

    pub fn store_raw(&mut self, op: &Op) {
        let register = op.code as u8 >= Code::StxRawB as u8;
        let first = if register {
            Code::StxRawB
        } else {
            Code::StRawB
        };
        let size = op.code as u8 - first as u8;
        let (mem, stored) = self.store_operands(op, register, size);
        self.put(size, mem, stored);
    }

    pub fn store_checked(&mut self, op: &Op) {
        let register = op.code as u8 >= Code::StxB as u8;
        let first = if register { Code::StxB } else { Code::StB };
        let size = op.code as u8 - first as u8;
        let (mem, stored) = self.store_operands(op, register, size);
        let gate = self.gate(Gate::Store(1 << size));
        let (slow, direct, done) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.window(mem, at::WRITABLE, size, slow);
        self.asm.bind(direct);
        self.put(size, mem, stored);
        self.asm.bind(done);
        self.cold.push(Cold::Store {
            at: slow,
            direct,
            done,
            mem,
            stored,
            size,
            gate,
            pc: self.pc as u32,
        });
    }

    pub fn atomic(&mut self, op: &Op) {
        use Code::*;
        let code = op.code as u8;
        let is = |from: Code, to: Code| from as u8 <= code && code <= to as u8;
        let load = is(LoadAcqB, LoadAcqD);
        let size = if load {
            code - LoadAcqB as u8
        } else if is(StoreRelB, StoreRelD) {
            code - StoreRelB as u8
        } else if is(AtomicAdd32, CmpXchg32) {
            2
        } else {
            3
        };
        let wide = size == 3;
        if load {
            self.define(op.dst);
            let mem = self.atomic_operand(op.src, op.off, op.direct, size);
            self.load(size, false, HOME[op.dst as usize], mem);
            return self.wrote(op.dst, 8 << size);
        }
        // The operation may change r0 or the source.
        let (_, defines) = self.scan.uses(self.program, op);
        for register in [0, op.src] {
            if defines >> register & 1 != 0 {
                self.define(register);
            }
        }
        if is(CmpXchg32, CmpXchg32) || is(CmpXchg64, CmpXchg64) {
            self.home(0);
        }
        let src = self.home(op.src);
        let mem = self.atomic_operand(op.dst, op.off, op.direct, size);
        match op.code {
            StoreRelB | StoreRelH | StoreRelW | StoreRelD => {
                self.asm.store(width(size), mem, src);
            }
            AtomicAdd32 | AtomicAdd64 => self.asm.lock_alu_mr(Alu::Add, wide, mem, src),
            AtomicOr32 | AtomicOr64 => self.asm.lock_alu_mr(Alu::Or, wide, mem, src),
            AtomicAnd32 | AtomicAnd64 => self.asm.lock_alu_mr(Alu::And, wide, mem, src),
            AtomicXor32 | AtomicXor64 => self.asm.lock_alu_mr(Alu::Xor, wide, mem, src),
            FetchAdd32 | FetchAdd64 => self.asm.lock_xadd(wide, mem, src),
            Xchg32 | Xchg64 => self.asm.xchg(width(size), mem, src),
            CmpXchg32 | CmpXchg64 => {
                if !wide {
                    self.asm.mov_rr(false, RAX, RAX);
                }
                self.asm.lock_cmpxchg(wide, mem, src);
            }
            FetchOr32 | FetchOr64 => self.fetch(Alu::Or, wide, mem, src),
            FetchAnd32 | FetchAnd64 => self.fetch(Alu::And, wide, mem, src),
            _ => self.fetch(Alu::Xor, wide, mem, src),
        }
        for register in [0, op.src] {
            if defines >> register & 1 != 0 {
                self.wrote(register, if wide { 64 } else { 32 });
            }
        }
    }

    /// The operand in memory; if it is not proven, its address is in r10 and has been found good.
    fn atomic_operand(&mut self, register: u8, off: i32, direct: bool, size: u8) -> Mem {
        self.ready_mem(register, off);
        let mem = self.mem(register, off);
        if direct {
            return mem;
        }
        let gate = self.gate(Gate::Atomic(1 << size));
        let (slow, found) = (self.asm.label(), self.asm.label());
        self.asm.lea(true, R10, mem);
        if size > 0 {
            self.asm.test_ri(true, R10, (1 << size) - 1);
            self.asm.jcc(Cond::Ne, slow, false);
        }
        self.window(Mem::at(R10, 0), at::WRITABLE, size, slow);
        self.asm.bind(found);
        self.cold.push(Cold::Atomic {
            at: slow,
            found,
            gate,
            pc: self.pc as u32,
        });
        Mem::at(R10, 0)
    }

    /// Fetches and changes in a loop, for what has no instruction of its own.
    fn fetch(&mut self, alu: Alu, wide: bool, mem: Mem, src: Reg) {
        self.asm.lea(true, R10, mem);
        let mem = Mem::at(R10, 0);
        // rax is for the comparison; a source that lies there moves.
        let (saved, operand) = if src == RAX { (RCX, RCX) } else { (RAX, src) };
        self.asm.push(saved);
        if src == RAX {
            self.asm.mov_rr(true, RCX, RAX);
        }
        let size = if wide { Width::D } else { Width::W };
        self.asm.load(size, RAX, mem);
        let again = self.asm.label();
        self.asm.bind(again);
        self.asm.mov_rr(wide, R11, RAX);
        self.asm.alu_rr(alu, wide, R11, operand);
        self.asm.lock_cmpxchg(wide, mem, R11);
        self.asm.jcc(Cond::Ne, again, false);
        if src != RAX {
            self.asm.mov_rr(wide, src, RAX);
        }
        self.asm.pop(saved);
    }
}
