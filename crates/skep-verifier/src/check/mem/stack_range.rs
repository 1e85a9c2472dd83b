//! Ranges of stack that helpers and kfuncs read or fill.
//!
//! Invariant: a helper never reads bytes that may hold something the program must not see, and what it may write is
//! no spill afterwards.

use super::denied;
use super::stack::{byte_index, slots_mask};
use crate::check::call_meta::CallMeta;
use crate::fault::Rule;
use crate::state::frame::slot_index;
use crate::state::reg::{Kind, Reg};
use crate::state::slot::{Slot, SlotByte};
use crate::verifier::Verifier;

impl Verifier<'_> {
    /// Whether `size` bytes at `*(regno + off)` hold something wherever the register may point. With `write` a helper may
    /// change them; with `meta` in raw mode it fills them whatever they held.
    pub fn check_stack_range_initialized(
        &mut self,
        regno: u8,
        off: i32,
        size: i32,
        zero_size_allowed: bool,
        write: bool,
        mut meta: Option<&mut CallMeta>,
    ) -> Rule {
        let reg = *self.reg(regno);
        if size == 0 && !zero_size_allowed {
            return Err(denied(
                "verifier-zero-sized-read",
                "invalid zero-sized read",
            ));
        }
        self.check_stack_bounds(regno, &reg, off, size, write)?;
        let (min, max) = match reg.num.as_const() {
            Some(variable) => {
                let at = (variable as i32).wrapping_add(off);
                (at, at)
            }
            None => {
                if !self.allow.bypass_spec_v1 {
                    return Err(denied(
                        "verifier-variable-stack-access",
                        format!(
                            "R{regno} variable offset stack access prohibited for !root, var_off={}",
                            reg.num.bits
                        ),
                    ));
                }
                // Which bytes are filled is not known, so all must hold something before.
                meta = None;
                (
                    (reg.num.smin as i32).wrapping_add(off),
                    (reg.num.smax as i32).wrapping_add(off),
                )
            }
        };
        let end = max.wrapping_add(size);
        let number = usize::from(reg.frame).min(self.state.frames.len() - 1);
        if let Some(meta) = meta.filter(|meta| meta.raw_mode) {
            let frame = &self.state.frames[number];
            let byte = |at: i32| match frame.stack.get(slot_index(at)) {
                Some(slot) => slot.bytes[byte_index(at)],
                None => SlotByte::Invalid,
            };
            for at in min..end {
                if byte(at) == SlotByte::Dynptr {
                    return Err(denied(
                        "verifier-dynptr-overwritten",
                        format!("potential write to dynptr at off={at} disallowed"),
                    ));
                }
            }
            meta.regno = regno;
            meta.access_size = size as u32;
            // A call that fails may leave them as they were.
            let unwritten = |at: i32| byte(at) == SlotByte::Invalid;
            if (min..end).any(unwritten) && !meta.fills_always() {
                self.note_unwritten(number);
            }
            return Ok(());
        }
        let (ptr_leaks, uninit_stack) = (self.allow.ptr_leaks, self.allow.uninit_stack);
        let mut unwritten = false;
        for at in min..end {
            let slot = self.state.frames[number].stack.get(slot_index(at));
            let slot = slot.unwrap_or(&Slot::EMPTY);
            let byte = slot.bytes[byte_index(at)];
            match byte {
                SlotByte::Misc => continue,
                SlotByte::Zero => {}
                SlotByte::Invalid if uninit_stack => unwritten = true,
                _ if slot.is_spill() && (slot.reg.kind == Kind::Scalar || ptr_leaks) => {
                    if write {
                        let stack = self
                            .state
                            .frame_at_mut(number)
                            .stack_mut(slot_index(at) + 1);
                        let slot = &mut stack[slot_index(at)];
                        slot.reg = Reg::UNKNOWN;
                        slot.scrub();
                    }
                    continue;
                }
                _ => {
                    let passed = at - min;
                    return Err(denied(
                        "verifier-uninitialised-stack",
                        if reg.num.is_const() {
                            format!(
                                "invalid read from stack R{regno} off {min}+{passed} size {size}"
                            )
                        } else {
                            format!(
                                "invalid read from stack R{regno} var_off {}+{passed} size {size}",
                                reg.num.bits
                            )
                        },
                    ));
                }
            }
            if write {
                let stack = self
                    .state
                    .frame_at_mut(number)
                    .stack_mut(slot_index(at) + 1);
                stack[slot_index(at)].bytes[byte_index(at)] = SlotByte::Misc;
            }
        }
        if unwritten {
            self.note_unwritten(number);
        }
        if min < end && min < 0 {
            self.stack_read(number as u8, slots_mask(min, end - 1));
        }
        Ok(())
    }
}
