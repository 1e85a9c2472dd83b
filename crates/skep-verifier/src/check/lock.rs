//! Spin locks: which field of which value or object is locked, and that it is unlocked again in order.
//!
//! Invariants: a lock is known by the kind of lock, the memory that it lies in and that memory's identity; locks stand
//! among the held resources in the order in which they were taken.

use crate::check::call::EINVAL;
use crate::fault::{Fault, Rule};
use crate::record::FieldKind;
use crate::state::State;
use crate::state::held::{HeldKind, Resource};
use crate::state::reg::{Detail, Kind, Reg};
use crate::verifier::Verifier;

/// Taking or giving back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockDeed {
    Lock,
    Unlock,
}

#[cold]
fn refuse(line: String) -> Rule {
    Err(Fault::new(EINVAL, "verifier-lock", line))
}

/// What tells the memory that a lock lies in from other memory: its class and number.
///
/// All objects of a BTF count as one; their ids tell them apart.
pub fn lock_memory(reg: &Reg) -> (u8, u64) {
    match reg.detail {
        Detail::Map { map, .. } if reg.kind == Kind::MapValue => (1, u64::from(map.0)),
        Detail::Btf { btf, .. } => (2, u64::from(btf.0)),
        _ => (0, 0),
    }
}

impl State {
    /// The innermost of the held locks of these kinds in that memory.
    fn find_lock(&self, kinds: &[HeldKind], id: u32, memory: (u8, u64)) -> Option<usize> {
        self.held
            .resources
            .iter()
            .rposition(|held| kinds.contains(&held.kind) && held.id == id && held.lock_in == memory)
    }
}

impl Verifier<'_> {
    /// Locks or unlocks what the register points to; `kind` is one of the kinds of lock.
    pub fn process_spin_lock(&mut self, regno: u8, deed: LockDeed, kind: HeldKind) -> Rule {
        let resilient = kind != HeldKind::Lock;
        let (word, field) = if resilient {
            ("bpf_res_spin", FieldKind::ResSpinLock)
        } else {
            ("bpf_spin", FieldKind::SpinLock)
        };
        let reg = *self.reg(regno);
        let Some(variable) = reg.num.as_const() else {
            return refuse(format!(
                "R{regno} doesn't have constant offset. {word}_lock has to be at the constant offset"
            ));
        };
        let map = reg.map().filter(|_| reg.kind == Kind::MapValue);
        if let Some(map) = map
            && !self.map_has_types(map)
        {
            return refuse(format!(
                "map '{}' has to have BTF in order to use {word}_lock",
                self.map(map).name
            ));
        }
        let record = self.reg_record(&reg);
        let Some(place) = record.as_ref().and_then(|record| record.first(field)) else {
            return refuse(match map {
                Some(map) => format!("map '{}' has no valid {word}_lock", self.map(map).name),
                None => format!("local 'kptr' has no valid {word}_lock"),
            });
        };
        let at = (variable as i64).wrapping_add(i64::from(reg.off));
        if at != i64::from(place.offset) {
            return refuse(format!(
                "off {at} doesn't point to 'struct {word}_lock' that is at {}",
                place.offset
            ));
        }
        let memory = lock_memory(&reg);
        match deed {
            LockDeed::Lock => self.take_lock(kind, reg.id, memory),
            LockDeed::Unlock => self.give_back_lock(kind, word, reg.id, memory),
        }
    }

    /// `bpf_res_spin_lock` and its like.
    pub fn process_res_spin_lock(&mut self, regno: u8, lock: bool, irq: bool) -> Rule {
        let deed = if lock {
            LockDeed::Lock
        } else {
            LockDeed::Unlock
        };
        let kind = if irq {
            HeldKind::ResLockIrq
        } else {
            HeldKind::ResLock
        };
        self.process_spin_lock(regno, deed, kind)
    }

    fn take_lock(&mut self, kind: HeldKind, id: u32, memory: (u8, u64)) -> Rule {
        let resources = &self.state.held.resources;
        if kind == HeldKind::Lock {
            if resources.iter().any(|held| held.kind == HeldKind::Lock) {
                return refuse("Locking two bpf_spin_locks are not allowed".into());
            }
        } else if self
            .state
            .find_lock(&[HeldKind::ResLock, HeldKind::ResLockIrq], id, memory)
            .is_some()
        {
            return refuse("Acquiring the same lock again, AA deadlock detected".into());
        }
        let insn = self.insn_idx;
        let held = self.state.held_mut();
        held.resources.push(Resource {
            kind,
            id,
            insn,
            lock_in: memory,
        });
        held.locks += 1;
        held.active_lock = Some((id, memory));
        Ok(())
    }

    fn give_back_lock(&mut self, kind: HeldKind, word: &str, id: u32, memory: (u8, u64)) -> Rule {
        if self.state.held.locks == 0 {
            return refuse(format!("{word}_unlock without taking a lock"));
        }
        let Some(at) = self.state.find_lock(&[kind], id, memory) else {
            return refuse(format!("{word}_unlock of different lock"));
        };
        if self.state.held.active_lock != Some((id, memory)) {
            return refuse(format!("{word}_unlock cannot be out of order"));
        }
        let held = self.state.held_mut();
        held.resources.remove(at);
        held.locks -= 1;
        held.active_lock = held
            .resources
            .iter()
            .rev()
            .find(|held| {
                matches!(
                    held.kind,
                    HeldKind::Lock | HeldKind::ResLock | HeldKind::ResLockIrq
                )
            })
            .map(|held| (held.id, held.lock_in));
        self.invalidate_non_owning_refs();
        Ok(())
    }
}
