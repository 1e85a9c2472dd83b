//! The pass for arm64: what it starts with, how its code is put together, and what the shared pass calls.

use crate::decode::Op;
use crate::jit::pass::{Backend, Combine, Division, Label, Lowering, Pass, fill_places};
use crate::jit::{Input, Lowered};

use super::cold::Cold;
use super::encode::{Asm, Reg};
use super::gate::Gates;
use super::home::HOME;

/// What the lowering asks of the processor.
pub(crate) struct A64 {
    /// FEAT_LSE: atomic operations in one instruction.
    pub lse: bool,
}

impl Backend for A64 {
    type Asm = Asm;
    type Cold = Cold;
    type Gates = Gates;
}

pub(super) type Lower<'a> = Pass<'a, A64>;

/// Compiles; answers nothing if a jump does not reach.
pub(super) fn lower(input: &Input<'_>) -> Option<Lowered> {
    let count = input.program.ops.len();
    // The first labels are the operations'.
    let mut asm = Asm::new(count + 1, 3 * count + 128);
    let entries = input.program.functions.iter().map(|_| asm.label());
    let entries: Vec<Label> = entries.collect();
    let gates = Gates::new(&mut asm);
    let backend = A64 { lse: has_lse() };
    let mut lower = Lower::new(input, backend, asm, gates, entries);
    let start = lower.asm.label();
    lower.body(start);
    let enter = lower.enter_stub();
    lower.cold_blocks();
    lower.emit_gates();
    lower.lowered(start, enter)
}

impl Lower<'_> {
    fn lowered(self, start: Label, enter: Label) -> Option<Lowered> {
        let place = |label: Label| Some(self.asm.place(label)? as u32);
        let (start, enter) = (place(start)?, place(enter)?);
        let functions: Option<Box<[u32]>> =
            self.entries.iter().map(|label| place(*label)).collect();
        let places = 0..self.ops.len() as u32;
        let places = places.map(|pc| place(Label(pc)).unwrap_or(u32::MAX));
        let mut places: Box<[u32]> = places.collect();
        fill_places(&mut places, self.asm.len() as u32);
        let lean = self.lean;
        let words = self.asm.finish()?;
        Some(Lowered {
            bytes: words.iter().flat_map(|word| word.to_le_bytes()).collect(),
            enter,
            start,
            functions: functions?,
            places,
            lean,
            // No handler goes there yet.
            stop: 0,
            anchored: false,
        })
    }

    /// Puts a register's value in its home; answers the home.
    pub fn home(&mut self, register: u8) -> Reg {
        self.settle(register);
        HOME[register as usize]
    }

    /// The host register with a value that is ready.
    pub fn reg(&self, register: u8, half: bool) -> Reg {
        HOME[self.holder(register, half) as usize]
    }
}

impl Lowering for Lower<'_> {
    fn bind(&mut self, label: Label) {
        self.asm.island();
        self.asm.bind(label);
    }

    fn go(&mut self, label: Label) {
        self.asm.b(label);
    }

    fn loop_head(&mut self) {}

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

#[cfg(target_arch = "aarch64")]
fn has_lse() -> bool {
    std::arch::is_aarch64_feature_detected!("lse")
}

#[cfg(not(target_arch = "aarch64"))]
fn has_lse() -> bool {
    false
}
