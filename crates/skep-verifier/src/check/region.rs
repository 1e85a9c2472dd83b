//! Regions that a program enters and leaves: RCU read sections, disabled preemption, disabled interrupts.
//!
//! Invariants: depths count what was entered on this path; a saved interrupt flag lies in one stack slot of sort `Irq`
//! and is restored in the reverse order; leaving the RCU section makes its pointers untrusted everywhere.

use crate::check::dynptr::{ObjectSlot, all_bytes, object_slot, slot_bits};
use crate::check::kfunc::resolve::Special;
use crate::check::mem::Access;
use crate::fault::{Fault, Rule};
use crate::state::held::{HeldKind, Resource};
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::state::slot::{Slot, SlotByte};
use crate::verifier::Verifier;

const EINVAL: i32 = 22;
const EACCES: i32 = 13;

/// What `call` does inside regions, or with them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RegionCall<'a> {
    pub name: &'a str,
    pub special: Special,
    pub sleepable: bool,
    pub rcu_protected: bool,
}

impl Verifier<'_> {
    /// Whether pointers that RCU protects may be used here.
    pub fn in_rcu_section(&self) -> bool {
        self.state.held.rcu > 0 || self.state.held.locks > 0 || !self.in_sleepable()
    }

    /// Enters and leaves regions, and refuses calls that may sleep inside one.
    pub(crate) fn check_kfunc_regions(&mut self, call: RegionCall<'_>) -> Rule {
        let RegionCall {
            name,
            special,
            sleepable,
            rcu_protected,
        } = call;
        let asleep = |region: &str| {
            Err(Fault::new(
                EACCES,
                "verifier-sleepable-in-region",
                format!("kernel func {name} is sleepable within {region} region"),
            ))
        };
        if self.state.held.rcu > 0 {
            let (enter, leave) = (
                special == Special::RcuReadLock,
                special == Special::RcuReadUnlock,
            );
            if (enter || leave) && self.in_rbtree_callback() {
                return Err(Fault::new(
                    EACCES,
                    "verifier-rcu-in-callback",
                    "Calling bpf_rcu_read_{lock,unlock} in unnecessary rbtree callback",
                ));
            }
            if enter {
                return Err(Fault::new(
                    EINVAL,
                    "verifier-rcu-nested",
                    format!("nested rcu read lock (kernel function {name})"),
                ));
            }
            if leave {
                self.leave_rcu();
            } else if sleepable {
                return asleep("rcu_read_lock");
            }
        } else if special == Special::RcuReadLock {
            self.state.held_mut().rcu = 1;
        } else if special == Special::RcuReadUnlock {
            return Err(Fault::new(
                EINVAL,
                "verifier-rcu-unmatched",
                format!("unmatched rcu read unlock (kernel function {name})"),
            ));
        }
        match special {
            Special::PreemptDisable => self.state.held_mut().preempt += 1,
            Special::PreemptEnable if self.state.held.preempt > 0 => {
                self.state.held_mut().preempt -= 1;
            }
            Special::PreemptEnable => {
                return Err(Fault::new(
                    EINVAL,
                    "verifier-preempt-unmatched",
                    format!("unmatched attempt to enable preemption (kernel function {name})"),
                ));
            }
            _ if sleepable && self.state.held.preempt > 0 => return asleep("non-preemptible"),
            _ => {}
        }
        if self.state.held.active_irq != 0 && sleepable {
            return asleep("IRQ-disabled");
        }
        if rcu_protected && !self.in_rcu_section() {
            return Err(Fault::new(
                EACCES,
                "verifier-rcu-required",
                format!("kernel func {name} requires RCU critical section protection"),
            ));
        }
        Ok(())
    }

    /// Leaves the RCU section: what it protected is untrusted from here on, iterators included.
    pub(crate) fn leave_rcu(&mut self) {
        let wanted = |reg: &Reg| reg.flags.has(Flags::RCU);
        let change = |reg: &mut Reg| {
            reg.flags = reg
                .flags
                .without(Flags::RCU.with(Flags::MAYBE_NULL))
                .with(Flags::UNTRUSTED);
        };
        self.state.for_each_reg(wanted, change);
        for number in 0..self.state.frames.len() {
            let has_iter = |slot: &Slot| slot.bytes[7] == SlotByte::Iter && wanted(&slot.reg);
            if !self.state.frames[number].stack.iter().any(has_iter) {
                continue;
            }
            for slot in self.state.frame_at_mut(number).stack_mut(0) {
                if has_iter(slot) {
                    change(&mut slot.reg);
                }
            }
        }
        self.state.held_mut().rcu = 0;
    }

    /// Saves or restores interrupts in the stack slot that the register points to. `lock`: together with a lock.
    pub(crate) fn process_irq_flag(&mut self, regno: u8, save: bool, lock: bool) -> Rule {
        let reg = *self.reg(regno);
        let found = object_slot(self.stack_frame(&reg), &reg, "irq_flag", 1);
        if save {
            return self.save_irq(regno, &reg, found, lock);
        }
        let wanted = || format!("expected an initialized irq flag as arg#{}", regno - 1);
        let slot = match found.map_err(|fault| fault.and(wanted()))? {
            ObjectSlot::At(slot)
                if all_bytes(self.stack_frame(&reg), slot, 1, SlotByte::Irq)
                    && self.stack_frame(&reg).stack[slot].reg.ref_id != 0 =>
            {
                slot
            }
            _ => return Err(Fault::new(EINVAL, "verifier-irq-uninitialised", wanted())),
        };
        self.stack_read(reg.frame, slot_bits(slot, 1));
        let saved = self.stack_frame(&reg).stack[slot].reg;
        let by_lock = matches!(saved.detail, Detail::Irq { lock: true });
        if by_lock != lock {
            let word = |lock| if lock { "lock" } else { "native" };
            return Err(Fault::new(
                EINVAL,
                "verifier-irq-kind",
                format!(
                    "irq flag acquired by {} kfuncs cannot be restored with {} kfuncs",
                    word(by_lock),
                    word(lock)
                ),
            ));
        }
        self.restore_irq(saved.ref_id)?;
        self.clear_slots(usize::from(reg.frame), slot, 1);
        Ok(())
    }

    fn save_irq(&mut self, regno: u8, reg: &Reg, found: Rule<ObjectSlot>, lock: bool) -> Rule {
        let wanted = || format!("expected uninitialized irq flag as arg#{}", regno - 1);
        let taken = match found.map_err(|fault| fault.and(wanted()))? {
            ObjectSlot::Untouched => false,
            ObjectSlot::At(slot) => self.stack_frame(reg).stack[slot]
                .bytes
                .contains(&SlotByte::Irq),
        };
        if taken {
            return Err(Fault::new(EINVAL, "verifier-irq-initialised", wanted()));
        }
        self.check_mem_access(
            regno,
            0,
            Access {
                size: 8,
                write: true,
                value: None,
                sign_extend: false,
                strict_once: false,
            },
        )?;
        let ObjectSlot::At(slot) = object_slot(self.stack_frame(reg), reg, "irq_flag", 1)? else {
            return Err(Fault::new(EINVAL, "verifier-irq-initialised", wanted()));
        };
        let id = self.new_id();
        let insn = self.insn_idx;
        let held = self.state.held_mut();
        held.resources.push(Resource {
            kind: HeldKind::Irq,
            id,
            insn,
            lock_in: (0, 0),
        });
        held.active_irq = id;
        let stack = self
            .state
            .frame_at_mut(usize::from(reg.frame))
            .stack_mut(slot + 1);
        stack[slot] = Slot {
            bytes: [SlotByte::Irq; 8],
            reg: Reg {
                ref_id: id,
                ..Reg::pointer(Kind::Stack, Flags::NONE).to(Detail::Irq { lock })
            },
        };
        self.stack_written(reg.frame, slot_bits(slot, 1));
        Ok(())
    }

    /// Gives back the saved flag of that id, which must be the innermost one.
    fn restore_irq(&mut self, id: u32) -> Rule {
        let held = self.state.held_mut();
        if held.active_irq != id {
            let expected = held.active_irq;
            let insn = held
                .resources
                .iter()
                .find(|held| held.id == expected)
                .map_or(0, |held| held.insn);
            return Err(Fault::new(
                EACCES,
                "verifier-irq-order",
                format!(
                    "cannot restore irq state out of order, expected id={expected} acquired at insn_idx={insn}"
                ),
            ));
        }
        held.resources
            .retain(|held| held.kind != HeldKind::Irq || held.id != id);
        held.active_irq = held
            .resources
            .iter()
            .rev()
            .find(|held| held.kind == HeldKind::Irq)
            .map_or(0, |held| held.id);
        Ok(())
    }
}
