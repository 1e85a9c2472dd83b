//! The stack: spills and fills of registers, plain bytes, fixed and variable offsets, in any active frame.
//!
//! Invariant: a byte that may have been written by something else than the spilled register is no part of its spill.

use super::{Access, EINVAL, denied, zero};
use crate::fault::{Fault, Rule};
use crate::state::frame::{Frame, slot_index};
use crate::state::reg::{Kind, LINKED_ADD, Reg};
use crate::state::scalar::Scalar;
use crate::state::slot::{Slot, SlotByte};
use crate::verifier::Verifier;

use super::plain::VAR_OFF_MAX;

/// Bytes of stack that a function has (`MAX_BPF_STACK`).
pub(crate) const STACK_BYTES: i64 = 512;

/// The bit of the byte at `off` within its slot.
pub(crate) fn byte_index(off: i32) -> usize {
    ((-off - 1) % 8) as usize
}

/// The set of the slots that hold the bytes from `first` to `last`, both included.
pub(crate) fn slots_mask(first: i32, last: i32) -> u64 {
    let mut mask = 0;
    for slot in slot_index(last)..=slot_index(first) {
        mask |= 1 << (slot & 63);
    }
    mask
}

impl Verifier<'_> {
    fn stack_frame_mut(&mut self, reg: &Reg) -> &mut Frame {
        let number = usize::from(reg.frame).min(self.state.frames.len() - 1);
        self.state.frame_at_mut(number)
    }

    /// `PTR_TO_STACK`
    pub(super) fn access_stack(&mut self, regno: u8, reg: &Reg, off: i32, access: &Access) -> Rule {
        self.check_stack_bounds(regno, reg, off, access.size as i32, access.write)?;
        match (reg.num.as_const(), access.write) {
            (Some(variable), false) => {
                self.read_stack(reg, off.wrapping_add(variable as i32), access)
            }
            (Some(variable), true) => {
                self.write_stack(reg, off.wrapping_add(variable as i32), access)
            }
            (None, false) => self.read_stack_somewhere(regno, reg, off, access),
            (None, true) => self.write_stack_somewhere(reg, off, access),
        }
    }

    /// Whether the bytes lie within the frame; the frame grows to hold them.
    pub fn check_stack_bounds(
        &mut self,
        regno: u8,
        reg: &Reg,
        off: i32,
        size: i32,
        write: bool,
    ) -> Rule {
        let how = if write { " write to" } else { " read from" };
        let (min, max);
        match reg.num.as_const() {
            Some(variable) => {
                min = (variable as i64).wrapping_add(i64::from(off));
                max = min.wrapping_add(i64::from(size));
            }
            None => {
                if reg.num.smax >= VAR_OFF_MAX || reg.num.smin <= -VAR_OFF_MAX {
                    return Err(denied(
                        "verifier-stack-bounds",
                        format!("invalid unbounded variable-offset{how} stack R{regno}"),
                    ));
                }
                min = reg.num.smin + i64::from(off);
                max = reg.num.smax + i64::from(off) + i64::from(size);
            }
        }
        let allocated = 8 * self.stack_frame(reg).stack.len() as i64;
        let lowest = if write || self.allow.uninit_stack {
            -STACK_BYTES
        } else {
            -allocated
        };
        let errno = if min < lowest || min > -1 {
            super::EACCES
        } else if max > 0 {
            EINVAL
        } else if size < 0 {
            14
        } else {
            self.grow_stack(reg, (-min) as usize);
            let subprog = self.stack_frame(reg).subprog as usize;
            self.note_frame_access(subprog, min);
            return Ok(());
        };
        Err(Fault::new(
            errno,
            "verifier-stack-bounds",
            if reg.num.is_const() {
                format!("invalid{how} stack R{regno} off={min} size={size}")
            } else {
                format!(
                    "invalid variable-offset{how} stack R{regno} var_off={} off={off} size={size}",
                    reg.num.bits
                )
            },
        ))
    }

    /// Stores of unknown bytes, one after the other, where the register points: what a helper does that fills memory.
    pub fn fill_memory(&mut self, regno: u8, bytes: u32) -> Rule {
        let reg = *self.reg(regno);
        let privileged = self.allow.ptr_leaks && self.allow.bypass_spec_v4;
        let place = reg.num.as_const().filter(|_| reg.kind == Kind::Stack);
        let top = place.map(|variable| reg.off.wrapping_add(variable as i32));
        let mut at = 0;
        while at < bytes as i32 {
            self.check_mem_access(regno, at, Access::write(1))?;
            at += 1;
            // The first byte of a slot decides for it all; the others just become some number.
            if let Some(top) = top.filter(|_| privileged) {
                let slot = slot_index(top + at - 1);
                let held = &mut self.stack_frame_mut(&reg).stack_mut(slot + 1)[slot];
                while at < bytes as i32 && top + at < 0 && slot_index(top + at) == slot {
                    held.bytes[byte_index(top + at)] = SlotByte::Misc;
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// Lets the frame have at least that many bytes.
    fn grow_stack(&mut self, reg: &Reg, bytes: usize) {
        let slots = bytes.div_ceil(8);
        if self.stack_frame(reg).stack.len() >= slots {
            return;
        }
        let frame = self.stack_frame_mut(reg);
        frame.stack_mut(slots);
        let subprog = frame.subprog as usize;
        if let Some(subprog) = self.subprogs.get_mut(subprog) {
            subprog.stack_depth = subprog.stack_depth.max(8 * slots as u32);
        }
    }

    /// The slots are worth printing after this instruction.
    fn touch(&mut self, slots: std::ops::RangeInclusive<usize>) {
        for slot in slots {
            self.log.scratch_slot(slot);
        }
    }

    /// A load from a fixed place; `off` counts from the frame's top.
    fn read_stack(&mut self, pointer: &Reg, off: i32, access: &Access) -> Rule {
        let index = slot_index(off);
        let slot = self.stack_frame(pointer).slot(off);
        let number = self.stack_frame(pointer).number;
        let size = access.size as usize;
        self.stack_read(number, 1 << (index & 63));
        self.touch(index..=index);
        if !slot.is_spill() {
            if self.check_readable(&slot, off, size, false)? {
                self.note_unwritten(usize::from(number));
            }
            if let Some(value) = access.value {
                let zeros = self.zeros(pointer, i64::from(off), i64::from(off) + size as i64);
                self.set_reg(value, if zeros { zero() } else { Reg::UNKNOWN });
            }
            return Ok(());
        }
        let spilled = slot
            .bytes
            .iter()
            .rev()
            .take_while(|&&byte| byte == SlotByte::Spill)
            .count();
        if size == 8 && spilled == 8 {
            let Some(value) = access.value else {
                if !self.allow.ptr_leaks && slot.reg.is_pointer() {
                    return Err(denied(
                        "verifier-pointer-leak",
                        format!("leaking pointer from stack off {off}"),
                    ));
                }
                self.note_stack_access(number, index);
                return Ok(());
            };
            if self.allow.bpf {
                self.link_slot(pointer, index);
            }
            let reg = self.stack_frame(pointer).stack[index].reg;
            self.set_reg(value, reg);
            self.note_stack_access(number, index);
            return Ok(());
        }
        if slot.reg.kind != Kind::Scalar {
            return Err(denied(
                "verifier-fill-size",
                "invalid size of register fill",
            ));
        }
        let Some(value) = access.value else {
            return Ok(());
        };
        if size <= spilled && off % 8 == 0 {
            let width = 64 - slot.reg.num.umax.leading_zeros();
            if self.allow.bpf && size == 4 && spilled == 4 && width <= 32 {
                self.link_slot(pointer, index);
            }
            let mut reg = self.stack_frame(pointer).stack[index].reg;
            if width > 8 * access.size {
                (reg.id, reg.off) = (0, 0);
            }
            self.set_reg(value, reg);
            self.note_stack_access(number, index);
            return Ok(());
        }
        if self.check_readable(&slot, off, size, true)? {
            self.note_unwritten(usize::from(number));
        }
        let of = |kind| {
            (0..size)
                .filter(|&at| slot.bytes[byte_index(off + at as i32)] == kind)
                .count()
        };
        if of(SlotByte::Spill) == size && slot.reg.is_zero() {
            self.set_reg(value, zero());
            self.note_stack_access(number, index);
        } else if of(SlotByte::Zero) == size {
            self.set_reg(value, zero());
        } else {
            self.set_reg(value, Reg::UNKNOWN);
        }
        Ok(())
    }

    /// Whether the bytes of one slot may be read as numbers; says whether nothing has written some of them.
    fn check_readable(&self, slot: &Slot, off: i32, size: usize, spills: bool) -> Rule<bool> {
        let mut unwritten = false;
        for at in 0..size {
            match slot.bytes[byte_index(off + at as i32)] {
                SlotByte::Misc | SlotByte::Zero => {}
                SlotByte::Spill if spills => {}
                SlotByte::Invalid if self.allow.uninit_stack => unwritten = true,
                _ => {
                    return Err(denied(
                        "verifier-uninitialised-stack",
                        format!("invalid read from stack off {off}+{at} size {size}"),
                    ));
                }
            }
        }
        Ok(unwritten)
    }

    /// Whether all bytes from `from` to before `to` are known zeros.
    fn zeros(&self, pointer: &Reg, from: i64, to: i64) -> bool {
        let frame = self.stack_frame(pointer);
        (from..to).all(|off| {
            let off = off as i32;
            frame.slot(off).bytes[byte_index(off)] == SlotByte::Zero
        })
    }

    /// A load from one of several places.
    fn read_stack_somewhere(
        &mut self,
        regno: u8,
        pointer: &Reg,
        off: i32,
        access: &Access,
    ) -> Rule {
        let Some(value) = access.value else {
            return Err(denied(
                "verifier-variable-stack-access",
                format!(
                    "variable offset stack pointer cannot be passed into helper function; var_off={} off={off} size={}",
                    pointer.num.bits, access.size
                ),
            ));
        };
        self.check_stack_range_initialized(regno, off, access.size as i32, false, false, None)?;
        let from = pointer.num.smin + i64::from(off);
        let to = pointer.num.smax + i64::from(off) + i64::from(access.size);
        let zeros = self.zeros(pointer, from, to);
        self.touch(slot_index(to as i32 - 1)..=slot_index(from as i32));
        self.set_reg(value, if zeros { zero() } else { Reg::UNKNOWN });
        Ok(())
    }

    /// A store to a fixed place.
    fn write_stack(&mut self, pointer: &Reg, off: i32, access: &Access) -> Rule {
        let index = slot_index(off);
        let slot = self.stack_frame(pointer).slot(off);
        let size = access.size as usize;
        if !self.allow.ptr_leaks && slot.is_spill() && slot.reg.kind != Kind::Scalar && size != 8 {
            return Err(denied(
                "verifier-spilled-pointer-corrupted",
                "attempt to corrupt spilled pointer on stack",
            ));
        }
        let value = access.value.map(|value| *self.reg(value));
        if !self.allow.bypass_spec_v4 {
            let pointer_spilled = value.is_some_and(|reg| is_spillable(reg.kind));
            let stale = slot.bytes[..size]
                .iter()
                .any(|byte| !matches!(byte, SlotByte::Misc | SlotByte::Zero));
            if pointer_spilled || stale {
                self.aux[self.insn_idx].nospec_result = true;
            }
        }
        self.destroy_dynptr_at(usize::from(pointer.frame), index)?;
        let frame = self.stack_frame(pointer).number;
        if off % 8 == 0 && size == 8 {
            self.stack_written(frame, 1 << (index & 63));
        }
        self.touch(index..=index);
        let aligned = off % 8 == 0;
        match value {
            Some(reg) if aligned && reg.kind == Kind::Scalar && self.allow.bpf => {
                let fits = 64 - reg.num.umax.leading_zeros() <= 8 * access.size;
                let mut spilled = reg;
                if fits {
                    if let Some(value) = access.value {
                        self.link_before_move(value);
                        spilled = *self.reg(value);
                    }
                } else {
                    (spilled.id, spilled.off) = (0, 0);
                }
                self.spill(pointer, index, spilled, size);
                self.note_stack_access(frame, index);
            }
            None if aligned && self.allow.bpf && self.stored_imm().is_some() => {
                let imm = self.stored_imm().unwrap_or(0);
                let reg = Reg::scalar(Scalar::constant(i64::from(imm) as u64));
                self.spill(pointer, index, reg, size);
                self.note_stack_access(frame, index);
            }
            Some(reg) if is_spillable(reg.kind) => {
                if size != 8 {
                    return Err(denied(
                        "verifier-spill-size",
                        "invalid size of register spill",
                    ));
                }
                if reg.kind == Kind::Stack && frame != self.frame().number {
                    return Err(Fault::new(
                        EINVAL,
                        "verifier-stack-pointer-to-caller",
                        "cannot spill pointers to stack into stack frame of the caller",
                    ));
                }
                self.spill(pointer, index, reg, size);
                self.note_stack_access(frame, index);
            }
            _ => {
                let zeros = match value {
                    Some(reg) => reg.is_zero(),
                    None => self.stored_imm() == Some(0),
                };
                if zeros && let Some(value) = access.value {
                    // The zero is no spill: what it was computed from must stay so.
                    self.mark_precise(value)?;
                }
                let byte = if zeros {
                    SlotByte::Zero
                } else {
                    SlotByte::Misc
                };
                let slot = &mut self.stack_frame_mut(pointer).stack_mut(index + 1)[index];
                if slot.is_special() {
                    slot.scrub();
                }
                slot.reg = Reg::NOT_INIT;
                for at in 0..size {
                    slot.bytes[byte_index(off + at as i32)] = byte;
                }
            }
        }
        Ok(())
    }

    /// Puts the register into the slot's `size` bytes of lowest address; the others are some number from now on.
    fn spill(&mut self, pointer: &Reg, index: usize, reg: Reg, size: usize) {
        let slot = &mut self.stack_frame_mut(pointer).stack_mut(index + 1)[index];
        slot.reg = reg;
        for (at, byte) in slot.bytes.iter_mut().enumerate() {
            if at >= 8 - size.min(8) {
                *byte = SlotByte::Spill;
            } else if !matches!(*byte, SlotByte::Zero | SlotByte::Invalid) {
                *byte = SlotByte::Misc;
            }
        }
    }

    /// Lets the number spilled there have an identity, for a copy to share.
    fn link_slot(&mut self, pointer: &Reg, index: usize) {
        let reg = self.stack_frame(pointer).stack[index].reg;
        if reg.kind != Kind::Scalar {
            return;
        }
        let chained = reg.id & LINKED_ADD != 0;
        if !chained && (reg.id != 0 || reg.num.is_const()) {
            return;
        }
        let id = if reg.num.is_const() { 0 } else { self.new_id() };
        let reg = &mut self.stack_frame_mut(pointer).stack_mut(index + 1)[index].reg;
        (reg.id, reg.off) = (id, 0);
    }

    /// A store to one of several places: each of them may or may not hold it.
    fn write_stack_somewhere(&mut self, pointer: &Reg, off: i32, access: &Access) -> Rule {
        let first = pointer.num.smin + i64::from(off);
        let end = pointer.num.smax + i64::from(off) + i64::from(access.size);
        let zeros = match access.value {
            Some(value) => self.reg(value).is_zero(),
            None => self.stored_imm() == Some(0),
        };
        let at = self.insn_idx;
        let (first, end) = (first as i32, end as i32);
        for index in slot_index(end - 1)..=slot_index(first) {
            self.destroy_dynptr_at(usize::from(pointer.frame), index)?;
        }
        self.touch(slot_index(end - 1)..=slot_index(first));
        let mut zero_used = false;
        let (ptr_leaks, uninit_stack) = (self.allow.ptr_leaks, self.allow.uninit_stack);
        let stack = self
            .stack_frame_mut(pointer)
            .stack_mut(slot_index(first) + 1);
        for off in first..end {
            let slot = &mut stack[slot_index(off)];
            let byte = slot.bytes[byte_index(off)];
            if !ptr_leaks && !matches!(byte, SlotByte::Misc | SlotByte::Zero) {
                return Err(Fault::new(
                    EINVAL,
                    "verifier-variable-stack-write",
                    format!(
                        "spilled ptr in range of var-offset stack write; insn {at}, ptr off: {off}"
                    ),
                ));
            }
            if zeros && byte == SlotByte::Spill && slot.is_scalar_spill() && slot.reg.is_zero() {
                zero_used = true;
                continue;
            }
            if byte == SlotByte::Invalid && !uninit_stack {
                return Err(Fault::new(
                    EINVAL,
                    "verifier-variable-stack-write",
                    format!(
                        "uninit stack in range of var-offset write prohibited for !root; insn {at}, off: {off}"
                    ),
                ));
            }
            if slot.is_special() {
                // Part of the register may be overwritten, so its other bytes are no spill any more.
                slot.scrub();
            }
            slot.reg = Reg::NOT_INIT;
            let kept = zeros && byte == SlotByte::Zero;
            zero_used |= kept;
            slot.bytes[byte_index(off)] = if kept { SlotByte::Zero } else { SlotByte::Misc };
        }
        if zero_used && let Some(value) = access.value {
            self.mark_precise(value)?;
        }
        Ok(())
    }
}

/// Whether a register of that kind keeps what is known of it when it is spilled.
pub(crate) const fn is_spillable(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::NotInit | Kind::Scalar | Kind::TpBuffer | Kind::ConstDynptr
    )
}
