//! Eight bytes of stack: what each byte is, and the register spilled there.
//!
//! Invariant: `reg` means something only where a byte is `Spill`, `Dynptr`, `Iter` or `Irq`; a full spill has all eight
//! bytes `Spill`, a narrower one its upper bytes (those at the higher index are nearest the frame's top).

use super::reg::{Kind, Reg};

/// What one byte of stack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotByte {
    /// Nothing written.
    Invalid,
    /// Part of a spilled register.
    Spill,
    /// Some number.
    Misc,
    /// Zero.
    Zero,
    /// Part of a dynptr.
    Dynptr,
    /// Part of an iterator.
    Iter,
    /// Part of a saved interrupt flag.
    Irq,
}

/// Eight bytes, `bytes[7]` at the highest address... as the kernel indexes: byte `i` of slot `s` lies at `-8*s - 1 - i`
/// from the frame's top.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    pub bytes: [SlotByte; 8],
    pub reg: Reg,
}

impl Slot {
    /// Nothing written.
    pub const EMPTY: Slot = Slot {
        bytes: [SlotByte::Invalid; 8],
        reg: Reg::NOT_INIT,
    };

    /// Whether some register was spilled here in full or in part (the byte nearest the slot's low address decides).
    pub fn is_spill(&self) -> bool {
        self.bytes[7] == SlotByte::Spill
    }

    /// Whether a scalar was spilled here.
    pub fn is_scalar_spill(&self) -> bool {
        self.is_spill() && self.reg.kind == Kind::Scalar
    }

    /// What was written is some number from now on.
    pub fn scrub(&mut self) {
        for byte in &mut self.bytes {
            if *byte != SlotByte::Invalid {
                *byte = SlotByte::Misc;
            }
        }
    }

    /// Whether all eight bytes are one spilled register.
    pub fn is_full_spill(&self) -> bool {
        self.bytes[0] == SlotByte::Spill
    }

    /// Whether it is all numbers: misc, zero or a scalar's spill.
    pub fn is_special(&self) -> bool {
        matches!(
            self.bytes[7],
            SlotByte::Spill | SlotByte::Dynptr | SlotByte::Iter | SlotByte::Irq
        )
    }
}
