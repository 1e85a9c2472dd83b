//! What a register of the program holds while its value is not yet in the host register that is its home.
//!
//! Invariants: a value names homes as they are now; it names the home of another register only if that one's own value
//! is there, or if that one waits with a value that leaves its home as it is; before a home is written, all
//! that name it and are still wanted are worked out. A register whose new value does not name its own home first has
//! all others that name it worked out, so that no two wait for each other.

use super::scan::Mask;

/// Puts values where they belong.
pub(crate) trait Place {
    /// Makes the home of `register` hold the value, which is not [`Value::Home`]. Changes no other home, and no scratch
    /// register that an operation uses between two of its own instructions.
    fn place(&mut self, register: u8, value: Value);
}

/// No register.
pub(crate) const NONE: u8 = 255;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    /// In its home.
    Home,
    Const(u64),
    /// `base + (index << shift) + disp`, or the low half of that.
    Sum {
        base: u8,
        index: u8,
        shift: u8,
        disp: i32,
        narrow: bool,
    },
    /// The low 8 or 16 bits.
    Low {
        src: u8,
        bits: u8,
    },
    /// Shifted by a constant; of the low half if `narrow`.
    Shifted {
        src: u8,
        by: u8,
        left: bool,
        narrow: bool,
    },
}

impl Value {
    pub const fn copy(src: u8) -> Value {
        Value::Sum {
            base: src,
            index: NONE,
            shift: 0,
            disp: 0,
            narrow: false,
        }
    }

    pub const fn low_half(src: u8) -> Value {
        Value::Sum {
            base: src,
            index: NONE,
            shift: 0,
            disp: 0,
            narrow: true,
        }
    }

    /// The homes that it names.
    pub fn names(self) -> Mask {
        let of = |register: u8| if register == NONE { 0 } else { 1 << register };
        match self {
            Value::Home | Value::Const(_) => 0,
            Value::Sum { base, index, .. } => of(base) | of(index),
            Value::Low { src, .. } | Value::Shifted { src, .. } => of(src),
        }
    }
}

/// The values of all registers.
pub(crate) struct Values {
    pub of: [Value; 11],
    /// Those that are not [`Value::Home`].
    pub waiting: Mask,
    /// All homes that one of them names, and perhaps others.
    named: Mask,
    /// The value of a register is less than `1 << bits`.
    pub bits: [u8; 11],
    /// The same of what is in its home.
    pub home_bits: [u8; 11],
}

impl Values {
    pub fn new() -> Values {
        Values {
            of: [Value::Home; 11],
            waiting: 0,
            named: 0,
            bits: [64; 11],
            home_bits: [64; 11],
        }
    }

    /// Everything is at home; `narrow` registers hold 32 bits at most.
    pub fn reset(&mut self, narrow: Mask) {
        self.of = [Value::Home; 11];
        self.waiting = 0;
        self.named = 0;
        for (register, bits) in self.bits.iter_mut().enumerate() {
            *bits = if narrow >> register & 1 != 0 { 32 } else { 64 };
        }
        self.home_bits = self.bits;
    }

    #[inline(always)]
    pub fn is_home(&self, register: u8) -> bool {
        self.waiting >> register & 1 == 0
    }

    /// Nobody wants a register's value any more; its home stays as it is.
    pub fn forget(&mut self, register: u8) {
        self.drop_value(register);
    }

    fn drop_value(&mut self, register: u8) {
        self.of[register as usize] = Value::Home;
        self.waiting &= !(1 << register);
        if self.waiting == 0 {
            self.named = 0;
        }
    }

    /// Waiting registers other than `register` that name its home.
    fn that_name(&self, register: u8) -> Mask {
        let mut found = 0;
        if self.named >> register & 1 == 0 {
            return found;
        }
        let mut left = self.waiting & !(1 << register);
        while left != 0 {
            let other = left.trailing_zeros() as u8;
            left &= left - 1;
            if self.of[other as usize].names() >> register & 1 != 0 {
                found |= 1 << other;
            }
        }
        found
    }

    /// Works out those that name a home; forgets those not in `keep`.
    fn release(&mut self, asm: &mut impl Place, register: u8, keep: Mask) {
        if self.named >> register & 1 == 0 {
            return;
        }
        let mut left = self.that_name(register);
        while left != 0 {
            let other = left.trailing_zeros() as u8;
            left &= left - 1;
            if self.is_home(other) {
                continue;
            }
            if keep >> other & 1 != 0 {
                self.work_out(asm, other, keep);
            } else {
                self.drop_value(other);
            }
        }
    }

    /// Before the home of `register` is written by the operation at hand: those of `these` that name the home get their
    /// values; what is in `keep` is not forgotten.
    pub fn before_write(&mut self, asm: &mut impl Place, register: u8, these: Mask, keep: Mask) {
        if self.named >> register & 1 == 0 {
            return;
        }
        let mut left = self.that_name(register) & these;
        while left != 0 {
            let other = left.trailing_zeros() as u8;
            left &= left - 1;
            if !self.is_home(other) {
                self.work_out(asm, other, keep);
            }
        }
    }

    /// The home of `register` has been written.
    pub fn wrote(&mut self, register: u8, bits: u8) {
        self.drop_value(register);
        self.bits[register as usize] = bits;
        self.home_bits[register as usize] = bits;
        if self.named >> register & 1 != 0 {
            let mut left = self.that_name(register);
            while left != 0 {
                self.drop_value(left.trailing_zeros() as u8);
                left &= left - 1;
            }
        }
    }

    /// Gives a register a value that waits.
    pub fn set(&mut self, asm: &mut impl Place, register: u8, value: Value, bits: u8, live: Mask) {
        if value.names() >> register & 1 == 0 {
            debug_assert_eq!(self.that_name(register) & live, 0, "announce first");
            self.release(asm, register, live);
        }
        self.bits[register as usize] = bits;
        if value == Value::copy(register) {
            return self.drop_value(register);
        }
        self.of[register as usize] = value;
        self.waiting |= 1 << register;
        self.named |= value.names();
    }

    /// Puts all values that are wanted in their homes, and forgets the others.
    pub fn flush(&mut self, asm: &mut impl Place, live: Mask) {
        while self.waiting & live != 0 {
            self.work_out(asm, (self.waiting & live).trailing_zeros() as u8, live);
        }
        while self.waiting != 0 {
            self.drop_value(self.waiting.trailing_zeros() as u8);
        }
    }

    /// Puts those in their homes, and lets the others wait.
    pub fn flush_only(&mut self, asm: &mut impl Place, these: Mask, keep: Mask) {
        while self.waiting & these != 0 {
            self.work_out(asm, (self.waiting & these).trailing_zeros() as u8, keep);
        }
    }

    /// Puts a value in its home. Those that name the home and are in `keep` get theirs first.
    pub fn work_out(&mut self, asm: &mut impl Place, register: u8, keep: Mask) {
        self.release(asm, register, keep);
        let value = self.of[register as usize];
        self.drop_value(register);
        self.home_bits[register as usize] = self.bits[register as usize];
        if value != Value::Home {
            asm.place(register, value);
        }
    }

    /// Whose home holds a register's value, or its low half if `half` is enough.
    pub fn holder(&self, register: u8, half: bool) -> Option<u8> {
        match self.of[register as usize] {
            Value::Home => Some(register),
            Value::Sum {
                base,
                index: NONE,
                disp: 0,
                narrow,
                ..
            } if !narrow || half => Some(base),
            _ => None,
        }
    }

    pub fn constant(&self, register: u8) -> Option<u64> {
        match self.of[register as usize] {
            Value::Const(value) => Some(value),
            _ => None,
        }
    }
}
