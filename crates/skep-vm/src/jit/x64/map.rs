//! Lookups in maps that a proof names, where their values lie in one piece.
//!
//! Invariant: only of proven programs, whose keys are good memory of the map's key size.

use crate::helper::LOOKUP;
use crate::map::Flat;

use super::encode::{Alu, Cond, Mem, R10, RAX, RSI, Shift, Width};
use super::lower::Lower;
use crate::decode::Op;

impl Lower<'_> {
    /// The array that a helper call looks up an element of, if that is what it does.
    fn looked_up(&self, op: &Op) -> Option<Flat> {
        let proven = self.program.proven.as_ref()?;
        let (id, _) = self.program.helpers.get(op.imm as usize)?;
        let index = proven.proof.of(self.pc).map?;
        let map = self.program.maps.get(index as usize)?;
        (*id == LOOKUP).then(|| map.as_flat()).flatten()
    }

    /// Lowers a lookup in an array without a call; answers whether the call is one. Nothing waits.
    pub fn lookup(&mut self, op: &Op) -> bool {
        let Some(flat) = self.looked_up(op) else {
            return false;
        };
        let Ok(stride) = i32::try_from(flat.stride) else {
            return false;
        };
        let none = self.asm.label();
        self.asm.load(Width::W, R10, Mem::at(RSI, 0));
        self.asm.zero(RAX);
        self.asm.alu_ri(Alu::Cmp, false, R10, flat.entries as i32);
        self.asm.jcc(Cond::Ae, none, true);
        if flat.stride.is_power_of_two() {
            let by = flat.stride.trailing_zeros() as u8;
            self.asm.shift_ri(Shift::Shl, true, R10, by);
        } else {
            self.asm.imul_rri(true, R10, R10, stride);
        }
        self.asm.mov_ri(RAX, flat.start);
        self.asm.alu_rr(Alu::Add, true, RAX, R10);
        self.asm.bind(none);
        true
    }
}
