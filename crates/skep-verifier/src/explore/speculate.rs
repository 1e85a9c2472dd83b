//! What a processor might do on a wrong guess, for programs without privileges: paths that only mis-speculation takes,
//! and arithmetic on pointers that must be masked.
//!
//! Invariants: what is found on a speculative path never decides about a real one, but what it needs is noted at the
//! instructions; an instruction has one mask for all paths through it.

use skep_spec::insn::{Insn, alu};

use crate::fault::{Fault, Rule};
use crate::state::reg::{Kind, Reg};
use crate::verifier::Verifier;

const EACCES: i32 = 13;
/// Bytes of a frame.
const STACK_BYTES: i64 = 512;

/// How an instruction is masked; bits of [`crate::verifier::InsnAux::alu_state`].
mod mask {
    pub const SOURCE: u32 = 1;
    pub const DESTINATION: u32 = 2;
    pub const NEGATIVE: u32 = 4;
    /// No pointer takes part.
    pub const NONE: u32 = 8;
    pub const IMMEDIATE: u32 = 16;
}

/// What is known of a pointer's arithmetic before it is done, for after it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Masking {
    /// The offset moves the pointer to lower addresses.
    left: bool,
    state: u32,
    limit: u32,
}

/// Why it cannot be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unmaskable {
    /// The offset may have either sign.
    MixedSigns,
    /// Not this kind of pointer.
    Kind,
    /// Other paths need another mask.
    Paths,
    /// The pointer lies outside already.
    Limit,
}

const fn can_be_masked(insn: Insn) -> bool {
    matches!(insn.op(), alu::ADD | alu::SUB)
}

impl Verifier<'_> {
    /// The side that cannot be taken, as a processor might still start on it: there the comparison says nothing.
    pub fn push_speculative(&mut self, insn: Insn, other: usize, at: usize) -> Rule {
        let state = self.push_branch(other, at, true)?;
        let regs = &mut state.frame_mut().regs;
        regs[usize::from(insn.dst)] = Reg::UNKNOWN;
        if insn.is_register_form() {
            regs[usize::from(insn.src)] = Reg::UNKNOWN;
        }
        Ok(())
    }

    fn needs_no_masking(&self, insn: Insn) -> bool {
        self.allow.bypass_spec_v1 || !insn.is_register_form() || self.aux[self.insn_idx].nospec
    }

    /// Arithmetic on numbers: elsewhere it must not be arithmetic on pointers.
    pub fn sanitize_scalar_alu(&mut self, insn: Insn) -> Rule {
        if !can_be_masked(insn) || self.needs_no_masking(insn) {
            return Ok(());
        }
        self.note_mask(mask::NONE, 0)
            .map_err(|why| unmaskable(insn, why, false))
    }

    fn note_mask(&mut self, state: u32, limit: u32) -> Result<(), Unmaskable> {
        let aux = &mut self.aux[self.insn_idx];
        if aux.alu_state != 0 && (aux.alu_state, aux.alu_limit) != (state, limit) {
            return Err(Unmaskable::Paths);
        }
        (aux.alu_state, aux.alu_limit) = (state, limit);
        Ok(())
    }

    /// How far the pointer may move.
    fn pointer_limit(&self, pointer: &Reg, left: bool) -> Result<u32, Unmaskable> {
        let off = i64::from(pointer.off);
        let (max, limit) = match pointer.kind {
            Kind::Stack => {
                // The frame's end is outside, but a fair place to start from to the left.
                let at = (pointer.num.bits.value as i64).wrapping_add(off);
                (STACK_BYTES + i64::from(left), at.wrapping_neg())
            }
            Kind::MapValue => {
                let size = pointer
                    .map()
                    .map_or(0, |map| i64::from(self.map(map).value_size));
                let from = if left {
                    pointer.num.smin
                } else {
                    pointer.num.umax as i64
                };
                (size, from.wrapping_add(off))
            }
            _ => return Err(Unmaskable::Kind),
        };
        let limit = limit as u32;
        if i64::from(limit) >= max {
            return Err(Unmaskable::Limit);
        }
        Ok(limit)
    }

    /// Before `pointer (+|-) off` is put into `insn.dst`: how it must be masked. A path on which the mask made the
    /// offset 0 is put aside.
    pub fn sanitize_pointer_before(
        &mut self,
        insn: Insn,
        pointer: &Reg,
        off: &Reg,
    ) -> Rule<Masking> {
        let mut masking = Masking::default();
        if !can_be_masked(insn) || self.needs_no_masking(insn) {
            return Ok(masking);
        }
        let into_pointer = self.reg(insn.dst).is_pointer();
        let is_constant = off.num.is_const();
        if !self.state.speculative {
            let negative = off.num.smin < 0;
            if !is_constant && negative != (off.num.smax < 0) {
                return Err(unmaskable(insn, Unmaskable::MixedSigns, !into_pointer));
            }
            masking.left = negative == (insn.op() == alu::ADD);
            masking.limit = self
                .pointer_limit(pointer, masking.left)
                .map_err(|why| unmaskable(insn, why, !into_pointer))?;
            let side = if into_pointer {
                mask::SOURCE
            } else {
                mask::DESTINATION
            };
            masking.state = side
                | if negative { mask::NEGATIVE } else { 0 }
                | if is_constant { mask::IMMEDIATE } else { 0 };
            if !is_constant {
                // Other paths may mask otherwise: they must be seen.
                self.explore.strict_numbers = true;
            }
        }
        if is_constant {
            return Ok(masking);
        }
        let at = self.insn_idx;
        let pointer = *pointer;
        let state = self.push_branch(at + 1, at, true)?;
        state.frame_mut().regs[usize::from(insn.dst)] = pointer;
        Ok(masking)
    }

    /// After it: notes the mask at the instruction.
    pub fn sanitize_pointer_after(&mut self, insn: Insn, off: &Reg, masking: Masking) -> Rule {
        if !can_be_masked(insn) || self.needs_no_masking(insn) || self.state.speculative {
            return Ok(());
        }
        let off_in_dst = masking.state & mask::DESTINATION != 0;
        let moved = *self.reg(insn.dst);
        let noted = self
            .pointer_limit(&moved, masking.left)
            .and_then(|limit| self.note_mask(masking.state, masking.limit.abs_diff(limit)));
        debug_assert!(off.is_scalar());
        noted.map_err(|why| unmaskable(insn, why, off_in_dst))
    }
}

#[cold]
fn unmaskable(insn: Insn, why: Unmaskable, off_in_dst: bool) -> Box<Fault> {
    const PROHIBITED: &str = "pointer arithmetic with it prohibited for !root";
    let (dst, src) = (insn.dst, insn.src);
    let verb = if insn.op() == alu::ADD { "add" } else { "sub" };
    let (off, pointer) = if off_in_dst { (dst, src) } else { (src, dst) };
    let line = match why {
        Unmaskable::MixedSigns => {
            format!("R{off} has unknown scalar with mixed signed bounds, {PROHIBITED}")
        }
        Unmaskable::Kind => {
            format!("R{pointer} has pointer with unsupported alu operation, {PROHIBITED}")
        }
        Unmaskable::Paths => {
            format!("R{dst} tried to {verb} from different maps, paths or scalars, {PROHIBITED}")
        }
        Unmaskable::Limit => {
            format!("R{dst} tried to {verb} beyond pointer bounds, {PROHIBITED}")
        }
    };
    Fault::new(EACCES, "verifier-speculation", line)
}
