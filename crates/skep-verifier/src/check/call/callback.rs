//! Callbacks: functions of the program that a helper or kernel function calls back.
//!
//! Invariants: a synchronous callback is walked from the call, in a frame above the caller's, and returns to the call,
//! which may make it again until nothing new happens; an asynchronous one is a path of its own with nothing held.

use std::rc::Rc;

use crate::fault::{Fault, Rule};
use crate::input::MapId;
use crate::state::State;
use crate::state::frame::{CallbackReturn, Frame};
use crate::state::held::Held;
use crate::state::reg::{Detail, DynptrKind, Flags, Kind, Reg};
use crate::verifier::Verifier;
use skep_spec::map::MapType;

const ENOTSUPP: i32 = 524;

/// A pointer of that kind to (a part of) that map.
pub fn map_pointer(kind: Kind, map: MapId, uid: u32) -> Reg {
    Reg::pointer(kind, Flags::NONE).to(Detail::Map { map, uid })
}

impl Verifier<'_> {
    /// Puts a synchronous callback aside, to be walked in `callee`'s frame; the walk goes on after the call as if it
    /// had returned.
    pub fn push_callback(&mut self, mut callee: Frame, range: CallbackReturn) -> Rule {
        callee.in_callback = true;
        self.subprogs[callee.subprog as usize].is_callback = true;
        callee.callback_return = range;
        self.check_subprog_call(callee.subprog as usize)
            .or_else(only_fatal)?;
        let at = self.insn_idx;
        let start = self.subprogs[callee.subprog as usize].start;
        let state = self.push_branch(start, at, false)?;
        state.callback_unroll_depth += 1;
        state.frame_mut().callback_depth += 1;
        state.frames.push(Rc::new(callee));
        if self.frame().callback_depth != 0 {
            self.state.frame_mut().callback_depth = 0;
        }
        Ok(())
    }

    /// Puts an asynchronous callback aside: it runs later, on its own, and must return a number within `range`.
    pub fn push_async_callback(
        &mut self,
        mut callee: Frame,
        range: CallbackReturn,
        sleepable: bool,
    ) -> Rule {
        let subprog = callee.subprog;
        self.check_subprog_call(subprog as usize)
            .or_else(only_fatal)?;
        callee.number = 0;
        callee.callsite = None;
        callee.regs[10] = Reg::stack(0, 0);
        callee.in_async_callback = true;
        callee.callback_return = range;
        callee.async_entries = self.frame().async_entries + 1;
        self.subprogs[subprog as usize].is_async_callback = true;
        let at = self.insn_idx;
        let start = self.subprogs[subprog as usize].start;
        self.push_fresh(
            State {
                in_sleepable: sleepable,
                held: Rc::new(Held::default()),
                frames: vec![Rc::new(callee)],
                ..State::new(subprog)
            },
            start,
            at,
        )
    }

    /// `bpf_for_each_map_elem(map, callback(map, key, value, ctx), ctx, flags)`
    pub(in crate::check) fn callback_map_elem(&mut self, subprog: u32, map: MapId) -> Rule {
        if !matches!(
            self.map(map).map_type,
            MapType::Hash
                | MapType::PercpuHash
                | MapType::LruHash
                | MapType::LruPercpuHash
                | MapType::Array
                | MapType::PercpuArray
        ) {
            return Err(Fault::new(
                ENOTSUPP,
                "verifier-callback-map",
                "callback function not allowed for map",
            ));
        }
        let mut callee = self.new_callee(subprog)?;
        let caller = &self.frame().regs;
        let uid = match caller[1].detail {
            Detail::Map { uid, .. } => uid,
            _ => 0,
        };
        callee.regs[1] = map_pointer(Kind::MapPtr, map, uid);
        callee.regs[2] = map_pointer(Kind::MapKey, map, uid);
        callee.regs[3] = map_pointer(Kind::MapValue, map, uid);
        callee.regs[4] = caller[3];
        self.push_callback(callee, CallbackReturn { min: 0, max: 1 })
    }

    /// `bpf_loop(count, callback(index, ctx), ctx, flags)`
    pub(in crate::check) fn callback_loop(&mut self, subprog: u32) -> Rule {
        let mut callee = self.new_callee(subprog)?;
        callee.regs[1] = Reg::UNKNOWN;
        callee.regs[2] = self.frame().regs[3];
        self.push_callback(callee, CallbackReturn { min: 0, max: 1 })
    }

    /// `bpf_timer_set_callback(timer, callback(map, key, value))`
    pub(in crate::check) fn callback_timer(&mut self, subprog: u32) -> Rule {
        let mut callee = Frame::new(0, subprog, None);
        if let Detail::Map { map, .. } = self.reg(1).detail {
            self.set_async_map_args(&mut callee, map);
        }
        self.push_async_callback(callee, CallbackReturn { min: 0, max: 0 }, false)
    }

    /// The arguments of a callback that a map's value schedules: the map, its key, its value.
    pub fn set_async_map_args(&self, callee: &mut Frame, map: MapId) {
        callee.regs[1] = map_pointer(Kind::MapPtr, map, 0);
        callee.regs[2] = map_pointer(Kind::MapKey, map, 0);
        callee.regs[3] = map_pointer(Kind::MapValue, map, 0);
    }

    /// `bpf_find_vma(task, address, callback(task, vma, ctx), ctx, flags)`
    pub(in crate::check) fn callback_find_vma(&mut self, subprog: u32) -> Rule {
        let mut callee = self.new_callee(subprog)?;
        let caller = &self.frame().regs;
        callee.regs[1] = caller[1];
        callee.regs[3] = caller[4];
        if let Some((btf, id)) = self.kernel_struct("vm_area_struct") {
            callee.regs[2] =
                Reg::pointer(Kind::BtfId, Flags::NONE).to(Detail::Btf { btf, id: id.0 });
        }
        self.push_callback(callee, CallbackReturn { min: 0, max: 1 })
    }

    /// A dynptr that a function is handed: initialised, of unspecified memory.
    pub fn local_dynptr_argument(&mut self) -> Reg {
        let mut reg = Reg::pointer(Kind::ConstDynptr, Flags::NONE).to(Detail::Dynptr {
            kind: DynptrKind::Local,
            first: true,
        });
        reg.id = self.new_id();
        reg
    }

    /// `bpf_user_ringbuf_drain(map, callback(dynptr, ctx), ctx, flags)`
    pub(in crate::check) fn callback_user_ringbuf(&mut self, subprog: u32) -> Rule {
        let mut callee = self.new_callee(subprog)?;
        callee.regs[1] = self.local_dynptr_argument();
        callee.regs[2] = self.frame().regs[3];
        self.push_callback(callee, CallbackReturn { min: 0, max: 1 })
    }
}

/// A callback whose type does not fit is walked all the same, unless the type itself is broken.
fn only_fatal(fault: Box<Fault>) -> Rule {
    if fault.errno == super::EFAULT {
        Err(fault)
    } else {
        Ok(())
    }
}
