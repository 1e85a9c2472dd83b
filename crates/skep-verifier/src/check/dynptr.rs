//! Dynptrs: two slots of stack that name memory of some kind, made by one call and read through others.
//!
//! Invariants: both slots of a dynptr are whole, share its id (and its reference, if it holds one), and the one at the
//! lower address is marked first; destroying either destroys both. A slice names the id of its dynptr.

use crate::check::mem::Access;
use crate::fault::{Fault, Rule};
use crate::state::frame::Frame;
use crate::state::reg::{Detail, DynptrKind, Flags, Kind, Reg};
use crate::state::slot::{Slot, SlotByte};
use crate::verifier::Verifier;

const EINVAL: i32 = 22;
/// Stack slots that a dynptr takes.
const DYNPTR_SLOTS: usize = 2;

/// What a call wants of its dynptr argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynptrArg {
    /// The call makes it.
    pub uninit: bool,
    /// The call only looks at it, so that a constant one will do.
    pub rdonly: bool,
    /// It must be of this kind, or becomes of this kind.
    pub kind: Option<DynptrKind>,
    /// The reference that a clone shares with its parent; 0: none.
    pub clone_ref: u32,
}

impl DynptrArg {
    /// Any initialised dynptr, which the call may change.
    pub const INITIALIZED: DynptrArg = DynptrArg {
        uninit: false,
        rdonly: false,
        kind: None,
        clone_ref: 0,
    };
}

/// One dynptr as it is known at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dynptr {
    pub id: u32,
    pub kind: DynptrKind,
    /// The reference that it holds; 0: none.
    pub ref_id: u32,
}

impl DynptrKind {
    /// Whether making one acquires a reference.
    pub const fn is_refcounted(self) -> bool {
        matches!(self, DynptrKind::Ringbuf | DynptrKind::File)
    }

    /// What messages call it.
    pub const fn word(self) -> &'static str {
        match self {
            DynptrKind::Invalid => "<invalid>",
            DynptrKind::Local => "local",
            DynptrKind::Ringbuf => "ringbuf",
            DynptrKind::Skb => "skb",
            DynptrKind::Xdp => "xdp",
            DynptrKind::SkbMeta => "skb_meta",
            DynptrKind::File => "file",
        }
    }

    /// The flag of its slices.
    pub const fn flag(self) -> Flags {
        match self {
            DynptrKind::Invalid => Flags::NONE,
            DynptrKind::Local => Flags::DYNPTR_LOCAL,
            DynptrKind::Ringbuf => Flags::DYNPTR_RINGBUF,
            DynptrKind::Skb => Flags::DYNPTR_SKB,
            DynptrKind::Xdp => Flags::DYNPTR_XDP,
            DynptrKind::SkbMeta => Flags::DYNPTR_SKB_META,
            DynptrKind::File => Flags::DYNPTR_FILE,
        }
    }
}

/// Where a stack object that a register points to lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectSlot {
    /// Its lowest address is in this slot; the others have lower indices.
    At(usize),
    /// Outside what the function has touched so far.
    Untouched,
}

/// The slot of an object of `slots` slots that `reg` points to ("cannot pass in %s at an offset=%d").
pub(crate) fn object_slot(frame: &Frame, reg: &Reg, what: &str, slots: usize) -> Rule<ObjectSlot> {
    let Some(variable) = reg.num.as_const() else {
        return Err(Fault::new(
            EINVAL,
            "verifier-stack-object-offset",
            format!("{what} has to be at a constant offset"),
        ));
    };
    let off = i64::from(reg.off).wrapping_add(variable as i64);
    let slot = off.wrapping_neg().wrapping_sub(1) / 8;
    if off % 8 != 0 || slot + 1 < slots as i64 {
        return Err(Fault::new(
            EINVAL,
            "verifier-stack-object-offset",
            format!("cannot pass in {what} at an offset={off}"),
        ));
    }
    match usize::try_from(slot) {
        Ok(slot) if off < 0 && slot < frame.stack.len() => Ok(ObjectSlot::At(slot)),
        _ => Ok(ObjectSlot::Untouched),
    }
}

/// Whether all bytes of the slots `slot`, `slot - 1`, ... are of that sort.
pub(crate) fn all_bytes(frame: &Frame, slot: usize, slots: usize, sort: SlotByte) -> bool {
    (slot + 1)
        .checked_sub(slots)
        .and_then(|first| frame.stack.get(first..=slot))
        .is_some_and(|object| {
            object
                .iter()
                .all(|slot| slot.bytes.iter().all(|&byte| byte == sort))
        })
}

/// The bits of the slots `slot`, `slot - 1`, ... in a mask of slots.
pub(crate) fn slot_bits(slot: usize, slots: usize) -> u64 {
    (0..slots)
        .filter_map(|below| slot.checked_sub(below))
        .filter(|&slot| slot < 64)
        .fold(0, |bits, slot| bits | 1 << slot)
}

impl Verifier<'_> {
    /// The frame whose stack that register points into.
    pub(crate) fn stack_frame(&self, reg: &Reg) -> &Frame {
        let last = self.state.frames.len() - 1;
        &self.state.frames[usize::from(reg.frame).min(last)]
    }

    /// The slot of the dynptr that a stack pointer points to.
    fn dynptr_slot(&self, reg: &Reg) -> Rule<ObjectSlot> {
        object_slot(self.stack_frame(reg), reg, "dynptr", DYNPTR_SLOTS)
    }

    /// The dynptr that the register points to, where it points to one.
    pub fn dynptr_of(&self, reg: &Reg) -> Option<Dynptr> {
        if reg.kind == Kind::ConstDynptr {
            return dynptr_in(reg);
        }
        match self.dynptr_slot(reg) {
            Ok(ObjectSlot::At(slot)) => dynptr_in(&self.stack_frame(reg).stack[slot].reg),
            _ => None,
        }
    }

    /// Checks a dynptr argument, and for one that the call makes, makes it.
    pub fn process_dynptr_arg(&mut self, regno: u8, arg: DynptrArg) -> Rule {
        let reg = *self.reg(regno);
        if !matches!(reg.kind, Kind::Stack | Kind::ConstDynptr) || reg.maybe_null() {
            return Err(Fault::new(
                EINVAL,
                "verifier-dynptr-pointer",
                format!(
                    "arg#{} expected pointer to stack or const struct bpf_dynptr",
                    regno - 1
                ),
            ));
        }
        if arg.uninit {
            return self.make_dynptr(regno, &reg, arg);
        }
        if reg.kind == Kind::ConstDynptr && !arg.rdonly {
            return Err(Fault::new(
                EINVAL,
                "verifier-dynptr-const",
                "cannot pass pointer to const bpf_dynptr, the helper mutates it",
            ));
        }
        let uninitialised = || format!("Expected an initialized dynptr as arg #{}", regno - 1);
        let mut slot = None;
        let known = if reg.kind == Kind::ConstDynptr {
            dynptr_in(&reg)
        } else {
            match self
                .dynptr_slot(&reg)
                .map_err(|fault| fault.and(uninitialised()))?
            {
                ObjectSlot::At(at) => {
                    slot = Some(at);
                    let frame = self.stack_frame(&reg);
                    dynptr_in(&frame.stack[at].reg).filter(|_| {
                        matches!(
                            frame.stack[at].reg.detail,
                            Detail::Dynptr { first: true, .. }
                        ) && all_bytes(frame, at, DYNPTR_SLOTS, SlotByte::Dynptr)
                    })
                }
                ObjectSlot::Untouched => None,
            }
        };
        let Some(known) = known else {
            return Err(Fault::new(
                EINVAL,
                "verifier-dynptr-uninitialised",
                uninitialised(),
            ));
        };
        if let Some(kind) = arg.kind
            && known.kind != kind
        {
            return Err(Fault::new(
                EINVAL,
                "verifier-dynptr-kind",
                format!(
                    "Expected a dynptr of type {} as arg #{}",
                    kind.word(),
                    regno - 1
                ),
            ));
        }
        if let Some(slot) = slot {
            self.stack_read(reg.frame, slot_bits(slot, DYNPTR_SLOTS));
        }
        Ok(())
    }

    /// Makes a dynptr where the register points to.
    fn make_dynptr(&mut self, regno: u8, reg: &Reg, arg: DynptrArg) -> Rule {
        let wrong = "Dynptr has to be an uninitialized dynptr";
        if reg.kind == Kind::ConstDynptr {
            return Err(Fault::new(EINVAL, "verifier-dynptr-initialised", wrong));
        }
        self.dynptr_slot(reg).map_err(|fault| fault.and(wrong))?;
        for off in [0, 8] {
            self.check_mem_access(
                regno,
                off,
                Access {
                    size: 8,
                    write: true,
                    value: None,
                    sign_extend: false,
                    strict_once: false,
                },
            )?;
        }
        let ObjectSlot::At(slot) = self.dynptr_slot(reg)? else {
            return Err(Fault::new(EINVAL, "verifier-dynptr-initialised", wrong));
        };
        let frame = usize::from(reg.frame);
        // Either slot may belong to another dynptr.
        self.destroy_dynptr_at(frame, slot)?;
        self.destroy_dynptr_at(frame, slot - 1)?;
        let kind = arg.kind.unwrap_or(DynptrKind::Invalid);
        let id = self.new_id();
        let ref_id = match (kind.is_refcounted(), arg.clone_ref) {
            (false, _) => 0,
            (true, 0) => self.acquire_reference(self.insn_idx),
            (true, shared) => shared,
        };
        let stack = self.state.frame_at_mut(frame).stack_mut(slot + 1);
        for (at, first) in [(slot, true), (slot - 1, false)] {
            stack[at] = Slot {
                bytes: [SlotByte::Dynptr; 8],
                reg: Reg {
                    id,
                    ref_id,
                    ..Reg::pointer(Kind::ConstDynptr, Flags::NONE)
                        .to(Detail::Dynptr { kind, first })
                },
            };
        }
        self.stack_written(reg.frame, slot_bits(slot, DYNPTR_SLOTS));
        Ok(())
    }

    /// If slot `slot` of that frame's stack is part of a dynptr: destroys it and voids its slices, since something else
    /// is being written there.
    pub fn destroy_dynptr_at(&mut self, frame: usize, slot: usize) -> Rule {
        let Some(found) = self.state.frames[frame].stack.get(slot) else {
            return Ok(());
        };
        if found.bytes[0] != SlotByte::Dynptr {
            return Ok(());
        }
        let Detail::Dynptr { kind, first } = found.reg.detail else {
            return Ok(());
        };
        if kind.is_refcounted() {
            return Err(Fault::new(
                EINVAL,
                "verifier-dynptr-overwritten",
                "cannot overwrite referenced dynptr",
            ));
        }
        let slot = if first { slot } else { slot + 1 };
        self.invalidate_dynptr(frame, slot);
        Ok(())
    }

    /// Empties the two slots of the dynptr whose first one is `slot`, and voids slices that nothing else accounts for.
    fn invalidate_dynptr(&mut self, frame: usize, slot: usize) {
        let id = self.state.frames[frame]
            .stack
            .get(slot)
            .map_or(0, |slot| slot.reg.id);
        let invalid = self.invalid_reg();
        self.state.for_each_reg(
            |reg| {
                matches!(reg.detail, Detail::Mem { dynptr_id, .. } if dynptr_id == id && id != 0)
                    && reg.flags.without(Flags::MAYBE_NULL) == Flags::NONE
            },
            |reg| *reg = invalid,
        );
        self.clear_slots(frame, slot, DYNPTR_SLOTS);
    }

    /// Empties the slots `slot`, `slot - 1`, ... of a frame's stack.
    pub(crate) fn clear_slots(&mut self, frame: usize, slot: usize, slots: usize) {
        let stack = self.state.frame_at_mut(frame).stack_mut(slot + 1);
        for below in 0..slots {
            if let Some(at) = slot.checked_sub(below) {
                stack[at] = Slot::EMPTY;
            }
        }
        self.stack_written(frame as u8, slot_bits(slot, slots));
    }

    /// The reference of a dynptr that is about to be released ("arg %d is an unacquired reference").
    pub fn dynptr_reference(&self, regno: u8) -> Rule<u32> {
        let reg = self.reg(regno);
        if reg.kind != Kind::Stack {
            return Err(Fault::new(
                EINVAL,
                "verifier-dynptr-const",
                "cannot release unowned const bpf_dynptr",
            ));
        }
        let unacquired = || format!("arg {regno} is an unacquired reference");
        self.dynptr_slot(reg)
            .map_err(|fault| fault.and(unacquired()))?;
        match self.dynptr_of(reg) {
            Some(dynptr) if dynptr.ref_id != 0 => Ok(dynptr.ref_id),
            _ => Err(Fault::new(
                EINVAL,
                "verifier-dynptr-unacquired",
                unacquired(),
            )),
        }
    }

    /// Ends the dynptr that the register points to: its reference, its clones and their slices.
    pub fn release_dynptr(&mut self, reg: &Reg) -> Rule {
        let ObjectSlot::At(slot) = self.dynptr_slot(reg)? else {
            return Ok(());
        };
        let frame = usize::from(reg.frame).min(self.state.frames.len() - 1);
        let Some(dynptr) = dynptr_in(&self.state.frames[frame].stack[slot].reg) else {
            return Ok(());
        };
        if !dynptr.kind.is_refcounted() {
            self.invalidate_dynptr(frame, slot);
            return Ok(());
        }
        self.release_reference(dynptr.ref_id)?;
        for at in 0..self.state.frames[frame].stack.len() {
            let slot = &self.state.frames[frame].stack[at];
            if slot.bytes[0] == SlotByte::Dynptr
                && slot.reg.ref_id == dynptr.ref_id
                && matches!(slot.reg.detail, Detail::Dynptr { first: true, .. })
            {
                self.invalidate_dynptr(frame, at);
            }
        }
        Ok(())
    }
}

/// The dynptr that a register or slot is.
fn dynptr_in(reg: &Reg) -> Option<Dynptr> {
    match reg.detail {
        Detail::Dynptr { kind, .. } => Some(Dynptr {
            id: reg.id,
            kind,
            ref_id: reg.ref_id,
        }),
        _ => None,
    }
}
