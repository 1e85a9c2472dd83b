//! Scalars that are known to be equal, or to differ by a constant: what is learnt of one is learnt of all.
//!
//! Invariant: at most [`LINKED_MAX`] registers are followed at a time; those beyond lose their link.

use crate::state::State;
use crate::state::reg::{Kind, LINKED_ADD, Reg};
use crate::state::scalar::Scalar;
use crate::verifier::Verifier;

/// Registers followed at a time.
pub const LINKED_MAX: usize = 6;

/// A register or a spilled one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Where {
    pub frame: u8,
    /// On the stack: `number` is the slot; else it is the register.
    pub spilled: bool,
    pub number: u8,
}

/// A few of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linked {
    places: [Option<Where>; LINKED_MAX],
    pub len: usize,
}

impl Linked {
    fn push(&mut self, place: Where) -> bool {
        if self.len == LINKED_MAX {
            return false;
        }
        self.places[self.len] = Some(place);
        self.len += 1;
        true
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Where> + '_ {
        self.places[..self.len].iter().flatten().copied()
    }
}

/// The id without the mark of an added constant.
pub const fn base_id(id: u32) -> u32 {
    id & !LINKED_ADD
}

fn linked_to(reg: &Reg, id: u32) -> bool {
    reg.kind == Kind::Scalar && base_id(reg.id) == id
}

/// Adds every scalar of `state` that is linked to `id`.
pub fn collect(state: &mut State, id: u32, linked: &mut Linked) {
    let id = base_id(id);
    for frame in (0..state.frames.len()).rev() {
        for number in 0..10_u8 {
            if linked_to(&state.frames[frame].regs[usize::from(number)], id) {
                let place = Where {
                    frame: frame as u8,
                    spilled: false,
                    number,
                };
                if !linked.push(place) {
                    state.frame_at_mut(frame).regs[usize::from(number)].id = 0;
                }
            }
        }
        for slot in 0..state.frames[frame].stack.len() {
            let held = &state.frames[frame].stack[slot];
            if held.is_spill() && linked_to(&held.reg, id) {
                let place = Where {
                    frame: frame as u8,
                    spilled: true,
                    number: slot as u8,
                };
                if !linked.push(place) {
                    state.frame_at_mut(frame).stack_mut(0)[slot].reg.id = 0;
                }
            }
        }
    }
}

/// Gives every linked register what is known of `known`, one of them.
pub fn sync(state: &mut State, known: &Reg, linked: &Linked) {
    for place in linked.iter() {
        let frame = usize::from(place.frame);
        let number = usize::from(place.number);
        let old = if place.spilled {
            state.frames[frame].stack[number].reg
        } else {
            state.frames[frame].regs[number]
        };
        if !linked_to(&old, base_id(known.id)) || old == *known {
            continue;
        }
        let new = if old.id & LINKED_ADD == 0 && known.id & LINKED_ADD == 0 || old.off == known.off
        {
            *known
        } else {
            let delta = i64::from(old.off) - i64::from(known.off);
            Reg {
                num: shifted(&known.num, delta),
                id: old.id,
                off: old.off,
                ..*known
            }
        };
        if place.spilled {
            state.frame_at_mut(frame).stack_mut(0)[number].reg = new;
        } else {
            state.frame_at_mut(frame).regs[number] = new;
        }
    }
}

/// The number and a constant. Bits and bounds are not held against each other: so does Linux 6.18, and later states are
/// compared by it.
fn shifted(number: &Scalar, by: i64) -> Scalar {
    let by = Scalar::constant(by as u64);
    Scalar::from_parts(
        number.bits.add(by.bits),
        number.range64().add(by.range64()),
        number.range32().add(by.range32()),
    )
}

impl Verifier<'_> {
    /// Gives the scalar in register `number` an identity before it is copied, unless it is a constant.
    pub fn link_before_move(&mut self, number: u8) {
        let reg = *self.reg(number);
        if reg.kind != Kind::Scalar {
            return;
        }
        if reg.id & LINKED_ADD != 0 {
            // One constant is followed, not a chain of them.
            let reg = self.reg_mut(number);
            reg.id = 0;
            reg.off = 0;
        }
        if self.reg(number).id == 0 && !reg.num.is_const() {
            let id = self.new_id();
            self.reg_mut(number).id = id;
        }
    }
}
