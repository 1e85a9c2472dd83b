//! Whether a stored state covers the current one, so that the current path need not be walked again.
//!
//! Invariants: what is covered is at least as restricted as what was found safe; identities are compared up to
//! renaming, one map for the whole state.

use super::checkpoint::{Checkpoint, Hint};
use crate::state::State;
use crate::state::frame::Frame;
use crate::state::held::{Held, HeldKind};
use crate::state::reg::{Detail, Kind, LINKED_ADD, Reg};
use crate::state::slot::{Slot, SlotByte};
use crate::verifier::Subprog;

/// How alike they must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exactness {
    /// What did not matter may differ.
    #[default]
    NotExact,
    /// No progress was made: all the same.
    Exact,
    /// Every number must lie within the old one, whether it mattered or not (loops whose end is not known yet).
    RangeWithin,
}

/// Which old identity stands for which current one.
#[derive(Debug, Default)]
pub struct IdMap {
    pairs: Vec<(u32, u32)>,
    next: u32,
}

impl IdMap {
    /// Nothing mapped; identities from `next` on are free.
    pub fn reset(&mut self, next: u32) {
        self.pairs.clear();
        self.next = next;
    }

    /// Whether `old` can stand for `current`; both are there or neither.
    pub fn check(&mut self, old: u32, current: u32) -> bool {
        if old == 0 || current == 0 {
            return old == current;
        }
        for &(a, b) in &self.pairs {
            if a == old {
                return b == current;
            }
            if b == current {
                return false;
            }
        }
        self.pairs.push((old, current));
        true
    }

    /// The same for numbers: no identity counts as one of its own.
    pub fn check_scalar(&mut self, old: u32, current: u32) -> bool {
        let mut own = |id: u32| {
            if id == 0 {
                self.next += 1;
                self.next
            } else {
                id
            }
        };
        let (old, current) = (own(old), own(current));
        self.check(old, current)
    }
}

/// What the comparison depends on besides the states.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    pub exactness: Exactness,
    /// Uninitialised stack may be read.
    pub uninit_stack: bool,
    /// Every number matters (programs without privileges).
    pub always_precise: bool,
    /// Numbers must be the same (masking depends on them).
    pub strict_numbers: bool,
    /// Live registers of the active frame and of each caller.
    pub live: [u16; 8],
}

/// One comparison.
struct Comparison<'a> {
    ids: &'a mut IdMap,
    terms: Terms,
}

/// Whether `old` covers `current`. On no, says where they differ.
pub fn covers(
    old: &Checkpoint,
    current: &State,
    terms: Terms,
    ids: &mut IdMap,
    next_id: u32,
) -> Result<(), Hint> {
    let nowhere = Hint::default();
    let state = &old.state;
    if state.frames.len() != current.frames.len()
        || state.speculative && !current.speculative
        || state.in_sleepable != current.in_sleepable
    {
        return Err(nowhere);
    }
    ids.reset(next_id);
    let mut comparison = Comparison { ids, terms };
    // Where they differed last they mostly differ again.
    if old.hint.set && comparison.differs_at(old, current, old.hint) {
        return Err(old.hint);
    }
    comparison.ids.reset(next_id);
    if !comparison.held(&state.held, &current.held) {
        return Err(nowhere);
    }
    for (frame, (a, b)) in state.frames.iter().zip(&current.frames).enumerate() {
        if a.callsite != b.callsite {
            return Err(nowhere);
        }
        comparison.frame(old, frame, a, b)?;
    }
    Ok(())
}

/// Notes the functions in whose frames bytes may be read later that the covered state has not written, though the stored
/// one has: a walk of the covered path would have met those reads.
pub fn unwritten_where_read(old: &Checkpoint, current: &State, subprogs: &mut [Subprog]) {
    let frames = old.state.frames.iter().zip(&current.frames);
    for ((a, b), marks) in frames.zip(&old.marks) {
        let Some(subprog) = subprogs.get_mut(b.subprog as usize) else {
            continue;
        };
        if subprog.reads_unwritten || std::rc::Rc::ptr_eq(&a.stack, &b.stack) {
            continue;
        }
        subprog.reads_unwritten = a.stack.iter().enumerate().any(|(index, slot)| {
            let now = b.stack.get(index).unwrap_or(&Slot::EMPTY);
            let missing = |(was, is): (&SlotByte, &SlotByte)| {
                *was != SlotByte::Invalid && *is == SlotByte::Invalid
            };
            marks.alive_slots >> index & 1 != 0 && slot.bytes.iter().zip(&now.bytes).any(missing)
        });
    }
}

/// Whether the states look as if no progress was made between them; if not, a register of the active function that
/// differs, where it is one.
pub fn may_loop(old: &State, current: &State, differed: u8) -> Result<(), u8> {
    if old.frames.len() != current.frames.len() {
        return Err(differed);
    }
    let (a, b) = (old.frame(), current.frame());
    if std::ptr::eq(a, b) {
        return Ok(());
    }
    let differs = |number: usize| {
        let (a, b) = (&a.regs[number], &b.regs[number]);
        !(same_value(a, b) && same_number(a, b) && a.id == b.id && a.ref_id == b.ref_id)
    };
    // What differed last mostly differs again: a loop's counter.
    if differs(usize::from(differed)) {
        return Err(differed);
    }
    match (0..11).find(|&number| differs(number)) {
        Some(number) => Err(number as u8),
        None => Ok(()),
    }
}

/// Whether some iterator's depth differs: progress that nothing else shows.
pub fn iterator_depths_differ(old: &State, current: &State) -> bool {
    old.frames.iter().zip(&current.frames).any(|(a, b)| {
        a.stack.iter().enumerate().any(|(index, slot)| {
            let Detail::Iter {
                state: crate::state::reg::IterState::Active,
                depth,
                ..
            } = slot.reg.detail
            else {
                return false;
            };
            slot.bytes[0] == SlotByte::Iter
                && b.stack.get(index).is_some_and(|other| {
                    !matches!(other.reg.detail, Detail::Iter { depth: d, .. } if d == depth)
                })
        })
    })
}

/// Kind, flags, offset and detail.
#[inline]
pub fn same_value(a: &Reg, b: &Reg) -> bool {
    a.kind == b.kind && a.flags == b.flags && a.off == b.off && a.detail == b.detail
}

#[inline]
fn same_number(a: &Reg, b: &Reg) -> bool {
    a.num == b.num
}

impl Comparison<'_> {
    fn held(&mut self, old: &Held, current: &Held) -> bool {
        if std::ptr::eq(old, current) && old.resources.is_empty() {
            return true;
        }
        if old.resources.len() != current.resources.len()
            || old.locks != current.locks
            || old.preempt != current.preempt
            || old.rcu != current.rcu
            || !self.ids.check(old.active_irq, current.active_irq)
        {
            return false;
        }
        let (old_lock, lock) = (
            old.active_lock.unwrap_or_default(),
            current.active_lock.unwrap_or_default(),
        );
        if !self.ids.check(old_lock.0, lock.0) || old_lock.1 != lock.1 {
            return false;
        }
        old.resources.iter().zip(&current.resources).all(|(a, b)| {
            self.ids.check(a.id, b.id)
                && a.kind == b.kind
                && (matches!(a.kind, HeldKind::Reference | HeldKind::Irq) || a.lock_in == b.lock_in)
        })
    }

    fn frame(&mut self, old: &Checkpoint, frame: usize, a: &Frame, b: &Frame) -> Result<(), Hint> {
        if a.callback_depth > b.callback_depth {
            return Err(Hint::default());
        }
        let at = |place: usize| Hint {
            frame: frame as u8,
            place: place as u8,
            set: true,
        };
        let marks = &old.marks[frame];
        let mut live = self.terms.live[frame];
        while live != 0 {
            let number = live.trailing_zeros() as usize;
            live &= live - 1;
            if number > 10 {
                break;
            }
            let precise = self.terms.always_precise || marks.precise_regs >> number & 1 != 0;
            if !self.reg(&a.regs[number], &b.regs[number], precise) {
                return Err(at(number));
            }
        }
        for (index, slot) in a.stack.iter().enumerate() {
            if marks.alive_slots >> index & 1 == 0 {
                // A dead slot is as good as never written; in a loop the current one must be that, too.
                let same = self.terms.exactness == Exactness::NotExact
                    || b.stack
                        .get(index)
                        .is_some_and(|slot| slot.bytes == [SlotByte::Invalid; 8]);
                if !same {
                    return Err(at(index + 16));
                }
                continue;
            }
            let precise = marks.precise_slots >> index & 1 != 0;
            if !self.slot(slot, b.stack.get(index), precise) {
                return Err(at(index + 16));
            }
        }
        Ok(())
    }

    /// Whether the states certainly differ at that one place.
    fn differs_at(&mut self, old: &Checkpoint, current: &State, hint: Hint) -> bool {
        let frame = usize::from(hint.frame);
        let (Some(a), Some(b)) = (old.state.frames.get(frame), current.frames.get(frame)) else {
            return false;
        };
        let marks = &old.marks[frame];
        let place = usize::from(hint.place);
        if place < 16 {
            let precise = self.terms.always_precise || marks.precise_regs >> place & 1 != 0;
            self.terms.live[frame] >> place & 1 != 0
                && !self.reg(&a.regs[place], &b.regs[place], precise)
        } else {
            let index = place - 16;
            let precise = marks.precise_slots >> index & 1 != 0;
            marks.alive_slots >> index & 1 != 0
                && a.stack
                    .get(index)
                    .is_some_and(|slot| !self.slot(slot, b.stack.get(index), precise))
        }
    }

    fn ids(&mut self, old: &Reg, current: &Reg) -> bool {
        self.ids.check(old.id, current.id) && self.ids.check(old.ref_id, current.ref_id)
    }

    fn exact(&mut self, old: &Reg, current: &Reg) -> bool {
        same_value(old, current) && same_number(old, current) && self.ids(old, current)
    }

    /// Whether the old register covers the current one.
    fn reg(&mut self, old: &Reg, current: &Reg, precise: bool) -> bool {
        if self.terms.exactness == Exactness::Exact {
            return self.exact(old, current);
        }
        if old.kind == Kind::NotInit
            && (self.terms.exactness == Exactness::NotExact || current.kind == Kind::NotInit)
        {
            // Nothing used it.
            return true;
        }
        // A pointer is never covered by a number: what may leak differs.
        if old.kind != current.kind || old.flags != current.flags {
            return false;
        }
        match old.kind {
            Kind::Scalar => self.scalar(old, current, precise),
            Kind::MapKey | Kind::MapValue | Kind::Mem | Kind::Buf | Kind::TpBuffer => {
                old.off == current.off
                    && old.detail == current.detail
                    && old.num.covers(&current.num)
                    && self.ids(old, current)
            }
            Kind::Packet | Kind::PacketMeta => {
                let (was, is) = (old.range(), current.range());
                let range = if was < 0 || is < 0 {
                    was == is
                } else {
                    was <= is
                };
                // Alignment depends on the offset.
                range
                    && old.off == current.off
                    && self.ids.check(old.id, current.id)
                    && old.num.covers(&current.num)
            }
            Kind::Stack => old.frame == current.frame && self.exact(old, current),
            Kind::Arena => true,
            _ => self.exact(old, current),
        }
    }

    fn scalar(&mut self, old: &Reg, current: &Reg, precise: bool) -> bool {
        let precise = precise || old.precise;
        if self.terms.strict_numbers {
            return same_value(old, current)
                && same_number(old, current)
                && self.ids.check_scalar(old.id, current.id);
        }
        if !precise && self.terms.exactness == Exactness::NotExact {
            return true;
        }
        if (old.id ^ current.id) & LINKED_ADD != 0
            || old.id & LINKED_ADD != 0 && old.off != current.off
        {
            return false;
        }
        // A number that is another one plus a constant shares its identity with it: the old link must be there now.
        old.num.covers(&current.num)
            && self
                .ids
                .check_scalar(old.id & !LINKED_ADD, current.id & !LINKED_ADD)
    }

    /// Whether the old slot covers the current one.
    fn slot(&mut self, old: &Slot, current: Option<&Slot>, precise: bool) -> bool {
        let exact = self.terms.exactness != Exactness::NotExact;
        if exact && current.is_none_or(|current| current.bytes != old.bytes) {
            return false;
        }
        let uninit_stack = self.terms.uninit_stack;
        let counts = |byte: SlotByte| match byte {
            SlotByte::Invalid => false,
            SlotByte::Misc => !uninit_stack,
            _ => true,
        };
        let Some(first) = old.bytes.iter().position(|&byte| counts(byte)) else {
            return true;
        };
        let Some(current) = current else {
            return false;
        };
        if old.is_full_spill() && current.is_full_spill() {
            let precise = precise || self.terms.always_precise;
            return self.reg(&old.reg, &current.reg, precise);
        }
        // Eight bytes of anything load as an unknown number.
        if let (Some(a), Some(b)) = (self.as_scalar(old), self.as_scalar(current)) {
            let precise = (precise || self.terms.always_precise) && old.is_full_spill();
            return self.reg(a, b, precise);
        }
        for index in first..8 {
            let was = old.bytes[index];
            if !counts(was) {
                continue;
            }
            let is = current.bytes[index];
            if was == SlotByte::Misc && is == SlotByte::Zero {
                continue;
            }
            if was != is {
                return false;
            }
            if index != 7 {
                continue;
            }
            let (a, b) = (&old.reg, &current.reg);
            let same = match was {
                SlotByte::Spill => {
                    let precise = precise || self.terms.always_precise;
                    self.reg(a, b, precise)
                }
                SlotByte::Dynptr => a.detail == b.detail && self.ids.check(a.ref_id, b.ref_id),
                SlotByte::Iter => {
                    same_iterator(&a.detail, &b.detail) && self.ids.check(a.ref_id, b.ref_id)
                }
                SlotByte::Irq => a.detail == b.detail && self.ids.check(a.ref_id, b.ref_id),
                SlotByte::Invalid | SlotByte::Misc | SlotByte::Zero => true,
            };
            if !same {
                return false;
            }
        }
        true
    }

    /// The number that a load of all eight bytes gives.
    fn as_scalar<'s>(&self, slot: &'s Slot) -> Option<&'s Reg> {
        if slot.is_full_spill() {
            return (slot.reg.kind == Kind::Scalar).then_some(&slot.reg);
        }
        slot.bytes
            .iter()
            .all(|&byte| {
                byte == SlotByte::Misc || byte == SlotByte::Invalid && self.terms.uninit_stack
            })
            .then_some(&Reg::UNKNOWN)
    }
}

/// The depth does not matter: it is there to see progress.
fn same_iterator(a: &Detail, b: &Detail) -> bool {
    match (a, b) {
        (
            Detail::Iter { btf, id, state, .. },
            Detail::Iter {
                btf: other_btf,
                id: other_id,
                state: other_state,
                ..
            },
        ) => btf == other_btf && id == other_id && state == other_state,
        _ => a == b,
    }
}
