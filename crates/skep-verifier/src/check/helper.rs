//! Calls of helpers: whether the program may, here and now; the arguments; what the call does; what it returns.
//!
//! Invariant: the rules run in the kernel's order, so that the first fault is the kernel's.

use skep_spec::helper::Helper;
use skep_spec::insn::Insn;
use skep_spec::map::{MapType, flags as map_flags};

use crate::check::call::{EACCES, EINVAL};
use crate::check::call_meta::CallMeta;
use crate::fault::{Fault, Rule};
use crate::input::MapId;
use crate::state::reg::{Flags, Reg};
use crate::verifier::Verifier;

pub mod args;
pub mod format;
pub mod kinds;
pub mod map_kind;
pub mod ret;
pub mod special;
pub mod variant;

/// Numbers of the helpers that have rules of their own.
pub(in crate::check) mod id {
    pub const MAP_LOOKUP_ELEM: u32 = 1;
    pub const MAP_UPDATE_ELEM: u32 = 2;
    pub const MAP_DELETE_ELEM: u32 = 3;
    pub const GET_SMP_PROCESSOR_ID: u32 = 8;
    pub const TAIL_CALL: u32 = 12;
    pub const PROBE_READ_STR: u32 = 45;
    pub const REDIRECT_MAP: u32 = 51;
    pub const GET_STACK: u32 = 67;
    pub const GET_LOCAL_STORAGE: u32 = 81;
    pub const SK_LOOKUP_TCP: u32 = 84;
    pub const SK_LOOKUP_UDP: u32 = 85;
    pub const MAP_PUSH_ELEM: u32 = 87;
    pub const MAP_POP_ELEM: u32 = 88;
    pub const MAP_PEEK_ELEM: u32 = 89;
    pub const SK_FULLSOCK: u32 = 95;
    pub const TCP_SOCK: u32 = 96;
    pub const SKC_LOOKUP_TCP: u32 = 99;
    pub const PROBE_READ_USER_STR: u32 = 114;
    pub const PROBE_READ_KERNEL_STR: u32 = 115;
    pub const RINGBUF_RESERVE: u32 = 131;
    pub const SKC_TO_TCP6_SOCK: u32 = 136;
    pub const SKC_TO_UDP6_SOCK: u32 = 140;
    pub const GET_TASK_STACK: u32 = 141;
    pub const PER_CPU_PTR: u32 = 153;
    pub const THIS_CPU_PTR: u32 = 154;
    pub const FOR_EACH_MAP_ELEM: u32 = 164;
    pub const SNPRINTF: u32 = 165;
    pub const TIMER_SET_CALLBACK: u32 = 170;
    pub const FIND_VMA: u32 = 180;
    pub const LOOP: u32 = 181;
    pub const SET_RETVAL: u32 = 187;
    pub const KPTR_XCHG: u32 = 194;
    pub const MAP_LOOKUP_PERCPU_ELEM: u32 = 195;
    pub const SKC_TO_MPTCP_SOCK: u32 = 196;
    pub const DYNPTR_FROM_MEM: u32 = 197;
    pub const DYNPTR_WRITE: u32 = 202;
    pub const DYNPTR_DATA: u32 = 203;
    pub const USER_RINGBUF_DRAIN: u32 = 209;
}

impl Verifier<'_> {
    /// A call of a helper by number.
    pub fn check_helper_call(&mut self, insn: Insn) -> Rule {
        let helper = self.platform.helper(insn.imm as u32)?;
        if helper.might_sleep() {
            self.check_may_sleep(helper)?;
        }
        let mut meta = CallMeta::of_helper(helper);
        for at in 0..helper.args.len() {
            self.check_func_arg(at, &mut meta)?;
        }
        self.record_map(&meta)?;
        self.record_key(&meta)?;
        self.fill_memory(meta.regno, meta.access_size)?;
        if meta.release_regno != 0 {
            self.release_argument(&meta)?;
        }
        let effects = self.special(helper, &mut meta)?;
        self.clear_caller_saved_regs();
        self.set_result(helper, &mut meta, effects.percpu_alloc)?;
        self.check_map_helper(meta.map.map(|(map, _)| map), helper)?;
        if helper.moves_packet() || effects.changes_packet {
            self.clear_packet_pointers();
        }
        Ok(())
    }

    /// Whether sleeping is allowed here: in the program at all, and in none of the regions that forbid it.
    fn check_may_sleep(&self, helper: &Helper) -> Rule {
        if !self.in_sleepable() {
            return Err(Fault::new(
                EINVAL,
                "verifier-helper-might-sleep",
                "helper call might sleep in a non-sleepable prog",
            ));
        }
        let held = &self.state.held;
        let region = if held.rcu > 0 {
            "rcu_read_lock"
        } else if held.preempt > 0 {
            "non-preemptible"
        } else if held.active_irq != 0 {
            "IRQ-disabled"
        } else {
            return Ok(());
        };
        Err(Fault::new(
            EINVAL,
            "verifier-sleepable-in-region",
            format!(
                "sleepable helper {}#{} in {region} region",
                helper.name, helper.id
            ),
        ))
    }

    /// Remembers which map the call is made with, over all paths; read-only maps are not written.
    fn record_map(&mut self, meta: &CallMeta) -> Rule {
        let func = meta.func_id();
        if !matches!(
            func,
            id::TAIL_CALL
                | id::MAP_LOOKUP_ELEM
                | id::MAP_UPDATE_ELEM
                | id::MAP_DELETE_ELEM
                | id::MAP_PUSH_ELEM
                | id::MAP_POP_ELEM
                | id::MAP_PEEK_ELEM
                | id::FOR_EACH_MAP_ELEM
                | id::REDIRECT_MAP
                | id::MAP_LOOKUP_PERCPU_ELEM
        ) {
            return Ok(());
        }
        let Some((map, _)) = meta.map else {
            return Err(Fault::new(
                EINVAL,
                "verifier-no-map",
                "kernel subsystem misconfigured verifier",
            ));
        };
        if self.map(map).flags & map_flags::RDONLY_PROG != 0
            && matches!(
                func,
                id::MAP_DELETE_ELEM | id::MAP_UPDATE_ELEM | id::MAP_PUSH_ELEM | id::MAP_POP_ELEM
            )
        {
            return Err(Fault::new(
                EACCES,
                "verifier-read-only-map",
                "write into map forbidden",
            ));
        }
        let known = &mut self.aux[self.insn_idx].map;
        match known {
            None => *known = Some(Some(map)),
            Some(Some(other)) if *other != map => *known = Some(None),
            _ => {}
        }
        if func != id::TAIL_CALL {
            self.note_key(meta.const_map_key);
        }
        Ok(())
    }

    /// A tail call's index, where it is constant, is one of the map's for good.
    fn record_key(&mut self, meta: &CallMeta) -> Rule {
        if meta.func_id() != id::TAIL_CALL {
            return Ok(());
        }
        let max = match meta.map {
            Some((map, _)) if self.map(map).map_type == MapType::ProgArray => {
                self.map(map).max_entries
            }
            _ => {
                return Err(Fault::new(
                    EINVAL,
                    "verifier-tail-call-map",
                    "expected prog array map for tail call",
                ));
            }
        };
        let key = self.reg(3).as_const().filter(|&key| key < u64::from(max));
        self.note_key(key);
        match key {
            Some(_) => self.mark_precise(3),
            None => Ok(()),
        }
    }

    /// Gives up the released argument and all its copies.
    fn release_argument(&mut self, meta: &CallMeta) -> Rule {
        let reg = *self.reg(meta.release_regno);
        let is_dynptr = meta.helper.is_some_and(|helper| {
            helper.args[usize::from(meta.release_regno) - 1].kind
                == skep_spec::helper::ArgKind::Dynptr
        });
        let released = if is_dynptr {
            self.release_dynptr(&reg)
        } else if meta.func_id() == id::KPTR_XCHG && meta.ref_id != 0 {
            self.give_kptr_away(meta.ref_id)
        } else if meta.ref_id != 0 {
            self.release_reference(meta.ref_id)
        } else if reg.is_zero() {
            Ok(())
        } else {
            Err(Fault::new(EINVAL, "verifier-not-acquired", ""))
        };
        released.map_err(|fault| {
            Fault::new(
                fault.errno,
                fault.code,
                format!(
                    "func {}#{} reference has not been acquired before",
                    meta.func_name(),
                    meta.func_id()
                ),
            )
        })
    }

    /// A pointer that a map's value keeps from now on: in an RCU section a per-CPU object stays readable.
    fn give_kptr_away(&mut self, ref_id: u32) -> Rule {
        if !self.state.drop_reference(ref_id) {
            return Err(Fault::new(EINVAL, "verifier-not-acquired", ""));
        }
        let in_rcu = self.in_rcu_section();
        let invalid = self.invalid_reg();
        self.state.for_each_reg(
            |reg| reg.ref_id == ref_id,
            |reg| {
                if in_rcu && reg.flags.has(Flags::ALLOC.with(Flags::PERCPU)) {
                    reg.ref_id = 0;
                    reg.flags = reg.flags.without(Flags::ALLOC).with(Flags::RCU);
                } else {
                    *reg = invalid;
                }
            },
        );
        Ok(())
    }

    /// Whether the result of a call holds a reference that must be released.
    pub(in crate::check) fn is_acquiring(&self, helper: &Helper, map: Option<MapId>) -> bool {
        match helper.id {
            id::SK_LOOKUP_TCP
            | id::SK_LOOKUP_UDP
            | id::SKC_LOOKUP_TCP
            | id::RINGBUF_RESERVE
            | id::KPTR_XCHG => true,
            id::MAP_LOOKUP_ELEM => map.is_some_and(|map| {
                matches!(self.map(map).map_type, MapType::Sockmap | MapType::Sockhash)
            }),
            _ => false,
        }
    }

    /// A pointer that may go where only fixed offsets go.
    pub fn check_ptr_off_reg(&self, reg: &Reg, regno: u8, fixed_off_ok: bool) -> Rule {
        let code = "verifier-modified-pointer";
        let name = reg.type_name();
        if reg.off < 0 {
            return Err(Fault::new(
                EACCES,
                code,
                format!(
                    "negative offset {name} ptr R{regno} off={} disallowed",
                    reg.off
                ),
            ));
        }
        if !fixed_off_ok && reg.off != 0 {
            return Err(Fault::new(
                EACCES,
                code,
                format!(
                    "dereference of modified {name} ptr R{regno} off={} disallowed",
                    reg.off
                ),
            ));
        }
        if reg.num.as_const() != Some(0) {
            return Err(Fault::new(
                EACCES,
                code,
                format!("variable {name} access var_off={} disallowed", reg.num.bits),
            ));
        }
        Ok(())
    }
}
