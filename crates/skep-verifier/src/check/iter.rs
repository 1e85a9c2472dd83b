//! Open-coded iterators: `new`, `next` and `destroy` of an object on the stack.
//!
//! Invariants: every slot of an iterator is wholly of sort `Iter` and names its type; only the one at the lowest
//! address holds its reference. `next` leaves a drained iterator on the path that is walked first, an active one on the
//! path that is put aside.

use crate::check::dynptr::{ObjectSlot, all_bytes, object_slot, slot_bits};
use crate::check::mem::Access;
use crate::fault::{Fault, Rule};
use crate::input::BtfIdx;
use crate::state::State;
use crate::state::frame::Frame;
use crate::state::reg::{Detail, Flags, IterState, Kind, Reg};
use crate::state::slot::{Slot, SlotByte};
use crate::verifier::Verifier;

const EINVAL: i32 = 22;
const EPROTO: i32 = 71;

/// The type of an iterator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IterType<'i> {
    pub btf: BtfIdx,
    pub id: u32,
    /// Stack slots.
    pub slots: usize,
    /// `num` of `struct bpf_iter_num`.
    pub name: &'i str,
}

/// What a kfunc does with its iterator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IterUse {
    New,
    Next,
    Destroy,
    /// Anything else that takes one.
    Other,
}

/// Where an iterator lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IterPlace {
    pub frame: u8,
    pub slot: usize,
}

/// Why an iterator may not be used.
enum Unusable {
    NotInitialised,
    NeedsRcu,
}

impl Verifier<'_> {
    /// Checks an iterator argument, and makes or ends the iterator. Where it lies, unless it is made, and its reference.
    pub(crate) fn process_iter_arg(
        &mut self,
        regno: u8,
        ty: Option<IterType<'_>>,
        what: IterUse,
        rcu_protected: bool,
        func_name: &str,
    ) -> Rule<Option<(IterPlace, u32)>> {
        let reg = *self.reg(regno);
        if reg.kind != Kind::Stack {
            return Err(Fault::new(
                EINVAL,
                "verifier-iter-pointer",
                format!("arg#{} expected pointer to an iterator on stack", regno - 1),
            ));
        }
        let Some(ty) = ty else {
            return Err(Fault::new(
                EINVAL,
                "verifier-iter-type",
                format!("expected valid iter pointer as arg #{}", regno - 1),
            ));
        };
        if what == IterUse::New {
            self.make_iter(regno, &reg, ty, rcu_protected)?;
            return Ok(None);
        }
        let wanted = || {
            format!(
                "expected an initialized iter_{} as arg #{}",
                ty.name,
                regno - 1
            )
        };
        let slot = match object_slot(self.stack_frame(&reg), &reg, "iter", ty.slots)
            .map_err(|fault| fault.and(wanted()))?
        {
            ObjectSlot::At(slot) => slot,
            ObjectSlot::Untouched => {
                return Err(Fault::new(EINVAL, "verifier-iter-uninitialised", wanted()));
            }
        };
        match usable(self.stack_frame(&reg), slot, ty) {
            Ok(()) => {}
            Err(Unusable::NotInitialised) => {
                return Err(Fault::new(EINVAL, "verifier-iter-uninitialised", wanted()));
            }
            Err(Unusable::NeedsRcu) => {
                return Err(Fault::new(
                    EPROTO,
                    "verifier-iter-rcu",
                    format!("expected an RCU CS when using {func_name}"),
                ));
            }
        }
        self.stack_read(reg.frame, slot_bits(slot, ty.slots));
        let place = IterPlace {
            frame: reg.frame,
            slot,
        };
        let ref_id = self.stack_frame(&reg).stack[slot].reg.ref_id;
        if what == IterUse::Destroy {
            self.release_reference(ref_id)?;
            self.clear_slots(usize::from(reg.frame), slot, ty.slots);
        }
        Ok(Some((place, ref_id)))
    }

    fn make_iter(&mut self, regno: u8, reg: &Reg, ty: IterType<'_>, rcu_protected: bool) -> Rule {
        let wanted = || {
            format!(
                "expected uninitialized iter_{} as arg #{}",
                ty.name,
                regno - 1
            )
        };
        let frame = self.stack_frame(reg);
        let taken =
            match object_slot(frame, reg, "iter", ty.slots).map_err(|fault| fault.and(wanted()))? {
                ObjectSlot::Untouched => false,
                ObjectSlot::At(slot) => (0..ty.slots).any(|below| {
                    slot.checked_sub(below)
                        .and_then(|at| frame.stack.get(at))
                        .is_some_and(|slot| slot.bytes.contains(&SlotByte::Iter))
                }),
            };
        if taken {
            return Err(Fault::new(EINVAL, "verifier-iter-initialised", wanted()));
        }
        for at in 0..ty.slots {
            self.check_mem_access(
                regno,
                at as i32 * 8,
                Access {
                    size: 8,
                    write: true,
                    value: None,
                    sign_extend: false,
                    strict_once: false,
                },
            )?;
        }
        let ObjectSlot::At(slot) = object_slot(self.stack_frame(reg), reg, "iter", ty.slots)?
        else {
            return Err(Fault::new(EINVAL, "verifier-iter-initialised", wanted()));
        };
        let ref_id = self.acquire_reference(self.insn_idx);
        let flags = match (rcu_protected, self.in_rcu_section()) {
            (false, _) => Flags::NONE,
            (true, true) => Flags::RCU,
            (true, false) => Flags::UNTRUSTED,
        };
        let stack = self
            .state
            .frame_at_mut(usize::from(reg.frame))
            .stack_mut(slot + 1);
        for below in 0..ty.slots {
            let Some(at) = slot.checked_sub(below) else {
                break;
            };
            stack[at] = Slot {
                bytes: [SlotByte::Iter; 8],
                reg: Reg {
                    ref_id: if below == 0 { ref_id } else { 0 },
                    ..Reg::pointer(Kind::Stack, flags).to(Detail::Iter {
                        btf: ty.btf,
                        id: ty.id,
                        state: IterState::Active,
                        depth: 0,
                    })
                },
            };
        }
        self.stack_written(reg.frame, slot_bits(slot, ty.slots));
        Ok(())
    }

    /// The flags of an iterator's slot.
    pub(crate) fn iter_flags(&self, place: IterPlace) -> Flags {
        self.state
            .frames
            .get(usize::from(place.frame))
            .map_or(Flags::NONE, |frame| {
                frame
                    .stack
                    .get(place.slot)
                    .map_or(Flags::NONE, |slot| slot.reg.flags)
            })
    }

    /// After `next`: the path on which there was no more element is walked now, the other one is put aside.
    pub(crate) fn process_iter_next(&mut self, place: IterPlace) -> Rule {
        let Some((state, _)) = iter_state(&self.state, place) else {
            return Ok(());
        };
        if state == IterState::Active {
            self.push_iter_next(place)?;
        }
        change_iter(&mut self.state, place, |state, _| {
            *state = IterState::Drained;
        });
        self.set_reg(0, Reg::constant(0));
        Ok(())
    }

    /// Puts the path aside on which `next` gave an element.
    fn push_iter_next(&mut self, place: IterPlace) -> Rule {
        let at = self.insn_idx;
        let previous = self.previous_entry(at);
        let aside = self.push_branch(at + 1, at, false)?;
        change_iter(aside, place, |state, depth| {
            *state = IterState::Active;
            *depth = depth.saturating_add(1);
        });
        let result = &mut aside.frame_mut().regs[0];
        result.flags = result.flags.without(Flags::MAYBE_NULL);
        if let Some(previous) = previous {
            self.widen_pushed(previous);
        }
        Ok(())
    }
}

/// The state and depth of the iterator there.
pub(crate) fn iter_state(state: &State, place: IterPlace) -> Option<(IterState, u32)> {
    let slot = state
        .frames
        .get(usize::from(place.frame))?
        .stack
        .get(place.slot)?;
    match slot.reg.detail {
        Detail::Iter { state, depth, .. } => Some((state, depth)),
        _ => None,
    }
}

/// Changes the state and depth of the iterator there.
fn change_iter(state: &mut State, place: IterPlace, change: impl FnOnce(&mut IterState, &mut u32)) {
    let frame = state.frame_at_mut(usize::from(place.frame));
    if let Detail::Iter { state, depth, .. } =
        &mut frame.stack_mut(place.slot + 1)[place.slot].reg.detail
    {
        change(state, depth);
    }
}

/// Whether an iterator of that type lies there.
fn usable(frame: &Frame, slot: usize, ty: IterType<'_>) -> Result<(), Unusable> {
    for below in 0..ty.slots {
        let Some(found) = slot.checked_sub(below).and_then(|at| frame.stack.get(at)) else {
            return Err(Unusable::NotInitialised);
        };
        if found.bytes[0] == SlotByte::Iter && found.reg.flags.has(Flags::UNTRUSTED) {
            return Err(Unusable::NeedsRcu);
        }
        let same = matches!(found.reg.detail, Detail::Iter { btf, id, .. } if btf == ty.btf && id == ty.id);
        if !same || (below == 0) != (found.reg.ref_id != 0) {
            return Err(Unusable::NotInitialised);
        }
    }
    if all_bytes(frame, slot, ty.slots, SlotByte::Iter) {
        Ok(())
    } else {
        Err(Unusable::NotInitialised)
    }
}
