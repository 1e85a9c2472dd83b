//! The pass for x86-64: what it starts with, how its code is put together, and what the shared pass calls.

use crate::decode::{Code, Op};
use crate::jit::pass::{Backend, Combine, Division, Label, Lowering, Pass, fill_places};
use crate::jit::run::Run;
use crate::jit::{Input, Lowered};

use super::cold::Cold;
use super::encode::{Asm, Mem, R12, Reg, Unfit, Width};
use super::gate::Gates;
use super::value::{HOME, memory};

/// The register that points to the [`Run`].
pub(super) const RUN: Reg = R12;

/// A field of the [`Run`] or around it.
pub(super) const fn field(at: i32) -> Mem {
    Mem::at(RUN, at)
}

/// What the lowering asks of the processor, and of itself.
pub(crate) struct X64 {
    /// Jumps forward may take the short form.
    short: bool,
    pub bmi2: bool,
    /// The program's start keeps its stack pointer in [`RUN`], which a program that needs no machine has no other use
    /// for: it calls functions, or pushes something in between.
    pub anchored: bool,
}

impl Backend for X64 {
    type Asm = Asm;
    type Cold = Cold;
    type Gates = Gates;
}

pub(super) type Lower<'a> = Pass<'a, X64>;

/// Compiles; `short`: with jumps forward in the short form where they seem to fit.
pub(super) fn lower(input: &Input<'_>, short: bool) -> Result<Lowered, Unfit> {
    let count = input.program.ops.len();
    // The first labels are the operations'.
    let mut asm = Asm::new(count + 1, 6 * count + 512);
    let entries = input.program.functions.iter().map(|_| asm.label());
    let entries = entries.collect();
    let gates = Gates::new(&mut asm);
    let backend = X64 {
        short,
        bmi2: has_bmi2(),
        anchored: false,
    };
    let mut lower = Lower::new(input, backend, asm, gates, entries);
    lower.backend.anchored =
        lower.lean && (input.program.functions.len() > 1 || input.program.ops.iter().any(pushes));
    lower.finish()
}

impl Lower<'_> {
    fn finish(mut self) -> Result<Lowered, Unfit> {
        let start = self.asm.label();
        self.body(start);
        let enter = self.enter_stub();
        self.cold_blocks();
        self.emit_gates();
        let (start, enter, stop) = (self.at(start), self.at(enter), self.at(self.gates.stop));
        let anchored = self.backend.anchored;
        let functions = self.entries.clone();
        let functions = functions.into_iter().map(|label| self.at(label)).collect();
        let lean = self.lean;
        let count = self.ops.len();
        let (bytes, mut places) = self.asm.finish()?;
        places.truncate(count);
        fill_places(&mut places, bytes.len() as u32);
        Ok(Lowered {
            bytes,
            enter,
            start,
            functions,
            places: places.into(),
            lean,
            stop,
            anchored,
        })
    }

    /// Where a label is; all that are asked for are bound.
    fn at(&self, label: Label) -> u32 {
        self.asm.place(label).unwrap_or(0)
    }

    /// Starts at a multiple of `to`, if that takes less than `most` bytes.
    pub fn align(&mut self, to: usize, most: usize) {
        let gap = self.asm.here() as usize % to;
        if gap != 0 && to - gap < most {
            self.asm.nops(to - gap);
        }
    }

    /// Puts a register's value in its home; answers the home.
    pub fn home(&mut self, register: u8) -> Reg {
        self.settle(register);
        HOME[register as usize]
    }

    /// The host register with a value that is ready.
    pub fn reg(&mut self, register: u8, half: bool) -> Reg {
        match self.values.holder(register, half) {
            Some(holder) => HOME[holder as usize],
            None => self.home(register),
        }
    }

    /// Makes sure that [`Lower::mem`] finds an operand.
    pub fn ready_mem(&mut self, register: u8, off: i32) {
        if memory(&self.values, register, off).is_none() {
            self.home(register);
        }
    }

    pub fn mem(&mut self, register: u8, off: i32) -> Mem {
        match memory(&self.values, register, off) {
            Some(mem) => mem,
            None => Mem::at(self.home(register), off),
        }
    }

    /// Whether a jump from here to an operation further on surely fits in a short one.
    pub fn is_near(&self, to: usize) -> bool {
        if !self.backend.short || to <= self.pc || to - self.pc > 24 {
            return false;
        }
        let mut bytes = 0;
        for op in &self.ops[self.pc + 1..to] {
            bytes += size_estimate(op, self.limited);
            if bytes > 110 {
                return false;
            }
        }
        true
    }
}

impl Lowering for Lower<'_> {
    fn bind(&mut self, label: Label) {
        self.asm.bind(label);
    }

    fn go(&mut self, label: Label) {
        self.asm.jmp(label, false);
    }

    fn loop_head(&mut self) {
        self.align(32, 16);
    }

    fn open_function(&mut self, start: Label) {
        Lower::open_function(self, start);
    }

    fn combine(&mut self, op: Combine, dst: u8, src: u8, wide: bool) {
        Lower::combine(self, op, dst, src, wide);
    }

    fn combine_constant(&mut self, op: Combine, dst: u8, imm: i32, wide: bool) {
        Lower::combine_constant(self, op, dst, imm, wide);
    }

    fn rotate(&mut self, dst: u8, from: u8, left: u8, wide: bool) {
        Lower::rotate(self, dst, from, left, wide);
    }

    fn extend_sign(&mut self, dst: u8, from: u8, bits: u8, wide: bool) {
        Lower::extend_sign(self, dst, from, bits, wide);
    }

    fn divide(&mut self, dst: u8, src: u8, wide: bool, how: Division) {
        Lower::divide(self, dst, src, wide, how);
    }

    fn divide_constant(&mut self, dst: u8, divisor: u64, wide: bool, how: Division) {
        Lower::divide_constant(self, dst, divisor, wide, how);
    }

    fn negate(&mut self, dst: u8, wide: bool) {
        Lower::negate(self, dst, wide);
    }

    fn move_signed(&mut self, op: &Op) {
        Lower::move_signed(self, op);
    }

    fn swap(&mut self, op: &Op) {
        Lower::swap(self, op);
    }

    fn load_checked(&mut self, op: &Op) {
        Lower::load_checked(self, op);
    }

    fn load_raw(&mut self, op: &Op, next: usize) -> usize {
        Lower::load_raw(self, op, next)
    }

    fn store_checked(&mut self, op: &Op) {
        Lower::store_checked(self, op);
    }

    fn store_raw(&mut self, op: &Op) {
        Lower::store_raw(self, op);
    }

    fn atomic(&mut self, op: &Op) {
        Lower::atomic(self, op);
    }

    fn branch(&mut self, op: &Op, next: usize) -> usize {
        Lower::branch(self, op, next)
    }

    fn jump(&mut self, op: &Op) {
        Lower::jump(self, op);
    }

    fn may_goto(&mut self, op: &Op) {
        Lower::may_goto(self, op);
    }

    fn call(&mut self, op: &Op) {
        Lower::call(self, op);
    }

    fn call_helper(&mut self, op: &Op) {
        Lower::call_helper(self, op);
    }

    fn tail_call(&mut self, op: &Op) {
        Lower::tail_call(self, op);
    }

    fn call_x(&mut self, op: &Op) {
        Lower::call_x(self, op);
    }

    fn exit(&mut self) {
        Lower::exit(self);
    }

    fn packet(&mut self, op: &Op) {
        Lower::packet(self, op);
    }

    fn poison(&mut self) {
        Lower::poison(self);
    }
}

/// Whether the stack pointer moves within an operation that may fault.
fn pushes(op: &Op) -> bool {
    let code = op.code as u8;
    Code::AtomicAdd32 as u8 <= code && code <= Code::StoreRelD as u8
}

/// At least how many bytes an operation's code takes, mostly.
fn size_estimate(op: &Op, limited: bool) -> u32 {
    let code = op.code as u8;
    let is = |from: Code, to: Code| from as u8 <= code && code <= to as u8;
    let base = if is(Code::LdB, Code::LdsW) || is(Code::StB, Code::StxD) {
        48
    } else if is(Code::AtomicAdd32, Code::StoreRelD) {
        70
    } else if is(Code::Div64K, Code::Div32X)
        || is(Code::Mod64K, Code::Mod32X)
        || is(Code::Sdiv64K, Code::Smod32X)
    {
        48
    } else if is(Code::Call, Code::Packet) || is(Code::LdProbeB, Code::LdsProbeW) {
        64
    } else if is(Code::Jeq64K, Code::Jset32X) {
        11
    } else if is(Code::LdImm64, Code::LdFunc) {
        10
    } else {
        7
    };
    base + if limited && is(Code::Jeq64K, Code::MayGoto) {
        14
    } else {
        0
    }
}

#[cfg(target_arch = "x86_64")]
fn has_bmi2() -> bool {
    std::arch::is_x86_feature_detected!("bmi2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_bmi2() -> bool {
    false
}

/// The width of an access by its place in a family of four.
pub(super) fn width(index: u8) -> Width {
    [Width::B, Width::H, Width::W, Width::D][index as usize & 3]
}

const _: () = assert!(size_of::<Run>() < 4096);
