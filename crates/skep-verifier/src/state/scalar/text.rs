//! Scalars as the kernel's log prints them.
//!
//! Invariants: bounds that say nothing are left out; equal bounds are printed once, after all their names; small
//! numbers are decimal and large ones hexadecimal, with the limits of the log.

use std::fmt::{self, Write};

use super::Scalar;

/// A number of at most five digits.
fn write_short(out: &mut dyn Write, mut number: u16) -> fmt::Result {
    let mut digits = [0_u8; 5];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.write_str(std::str::from_utf8(&digits[at..]).unwrap_or_default())
}

/// An unsigned number: decimal up to 16 bits.
pub fn write_unsigned(out: &mut dyn Write, number: u64) -> fmt::Result {
    match u16::try_from(number) {
        Ok(number) => write_short(out, number),
        Err(_) => write!(out, "{number:#x}"),
    }
}

/// A signed number: decimal if it fits in 16 bits.
pub fn write_signed(out: &mut dyn Write, number: i64) -> fmt::Result {
    match i16::try_from(number) {
        Ok(number) => {
            if number < 0 {
                out.write_char('-')?;
            }
            write_short(out, number.unsigned_abs())
        }
        Err(_) => write!(out, "{number:#x}"),
    }
}

/// A signed number of 32 bits: where it is printed in hexadecimal, it has 32 bits.
fn shown32(number: i32) -> u64 {
    if i16::try_from(number).is_ok() {
        number as u64
    } else {
        u64::from(number as u32)
    }
}

impl Scalar {
    /// The bounds and bits that say something, a comma before each but the first; `first` says whether none was printed
    /// before.
    pub fn write_ranges(&self, out: &mut dyn Write, first: bool) -> fmt::Result {
        let rows: [(&str, u64, bool); 8] = [
            ("smin", self.smin as u64, self.smin == i64::MIN),
            ("smax", self.smax as u64, self.smax == i64::MAX),
            ("umin", self.umin, self.umin == 0),
            ("umax", self.umax, self.umax == u64::MAX),
            ("smin32", shown32(self.s32_min), self.s32_min == i32::MIN),
            ("smax32", shown32(self.s32_max), self.s32_max == i32::MAX),
            ("umin32", u64::from(self.u32_min), self.u32_min == 0),
            ("umax32", u64::from(self.u32_max), self.u32_max == u32::MAX),
        ];
        let is_negative = |row: usize| rows[row].0.starts_with('s') && (rows[row].1 as i64) < 0;
        let mut comma = !first;
        let mut printed = 0u8;
        for row in 0..8 {
            let (name, number, says_nothing) = rows[row];
            if says_nothing || printed & 1 << row != 0 {
                continue;
            }
            if comma {
                out.write_char(',')?;
            }
            comma = true;
            out.write_str(name)?;
            out.write_char('=')?;
            for other in (row + 2..8).step_by(2) {
                // A negative number and a large unsigned one are not the same although their bits are.
                let same = rows[other].1 == number && is_negative(other) == is_negative(row);
                if same && !rows[other].2 && printed & 1 << other == 0 {
                    printed |= 1 << other;
                    out.write_str(rows[other].0)?;
                    out.write_char('=')?;
                }
            }
            if name.starts_with('s') {
                write_signed(out, number as i64)?;
            } else {
                write_unsigned(out, number)?;
            }
        }
        if !self.bits.is_unknown() {
            if comma {
                out.write_char(',')?;
            }
            write!(out, "var_off={}", self.bits)?;
        }
        Ok(())
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits.is_const() {
            return write_signed(f, self.bits.value as i64);
        }
        f.write_str("scalar(")?;
        self.write_ranges(f, true)?;
        f.write_str(")")
    }
}
