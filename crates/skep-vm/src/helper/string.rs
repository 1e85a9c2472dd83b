//! Helpers of text: numbers from strings, comparison, formatting into a buffer.
//!
//! Invariants: what is not a number is `EINVAL`, what does not fit 64 bits `ERANGE`; formatted text is always
//! terminated, and the answer counts what a buffer large enough would hold, with its NUL.

use super::print::{format_text, words};
use super::{Call, HelperFn, failure};
use crate::trap::Trap;
use skep_spec::errno::Errno;
use skep_spec::limits::MAX_BPRINTF_ARGS;

pub const HELPERS: &[(u32, HelperFn)] = &[
    (105, strtol),
    (106, strtoul),
    (165, snprintf),
    (182, strncmp),
];

/// The part of the flags that names the base.
const BASE_MASK: u64 = 0x1f;
/// Digits beyond this are not looked at.
const TEXT_MAX: usize = 63;

/// A number at the start of `text`: whether it is negative, its magnitude, and how many bytes it takes.
fn parse(text: &[u8], flags: u64) -> Result<(bool, u64, usize), Errno> {
    let base = (flags & BASE_MASK) as u32;
    if flags & !BASE_MASK != 0 || !matches!(base, 0 | 8 | 10 | 16) {
        return Err(Errno::EINVAL);
    }
    let spaces = text
        .iter()
        .take_while(|byte| matches!(byte, b' ' | 9..=13))
        .count();
    let negative = text.get(spaces) == Some(&b'-');
    let start = spaces + usize::from(negative);
    let rest = &text[start..];
    let rest = &rest[..rest.len().min(TEXT_MAX)];
    let has_prefix = matches!(rest, [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit());
    let (base, prefix) = match base {
        0 if has_prefix => (16, 2),
        0 if rest.first() == Some(&b'0') => (8, 0),
        0 => (10, 0),
        16 if matches!(rest, [b'0', b'x' | b'X', ..]) => (16, 2),
        base => (base, 0),
    };
    let digits = rest[prefix..]
        .iter()
        .map_while(|byte| char::from(*byte).to_digit(base));
    let (mut value, mut count) = (Some(0u64), 0);
    for digit in digits {
        value = value
            .and_then(|value| value.checked_mul(u64::from(base)))
            .and_then(|value| value.checked_add(u64::from(digit)));
        count += 1;
    }
    if count == 0 {
        return Err(Errno::EINVAL);
    }
    Ok((
        negative,
        value.ok_or(Errno::ERANGE)?,
        start + prefix + count,
    ))
}

fn number(
    call: &mut Call<'_, '_>,
    [text, len, flags, to, _]: [u64; 5],
    convert: impl FnOnce(bool, u64) -> Result<u64, Errno>,
) -> Result<u64, Trap> {
    let parsed = parse(call.read(text, len)?, flags)
        .and_then(|(negative, value, used)| Ok((convert(negative, value)?, used)));
    // What is no number leaves a zero.
    let value = parsed.map_or(0, |(value, _)| value);
    call.write(to, 8)?.copy_from_slice(&value.to_ne_bytes());
    Ok(parsed.map_or_else(failure, |(_, used)| used as u64))
}

fn strtol(call: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    number(call, args, |negative, value| match negative {
        true if value <= 1 << 63 => Ok(value.wrapping_neg()),
        false if value < 1 << 63 => Ok(value),
        _ => Err(Errno::ERANGE),
    })
}

fn strtoul(call: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    number(call, args, |negative, value| {
        if negative {
            Err(Errno::EINVAL)
        } else {
            Ok(value)
        }
    })
}

/// Compares at most `size` bytes of `a`, up to its NUL, with the string `b`.
fn strncmp(call: &mut Call<'_, '_>, [a, size, b, ..]: [u64; 5]) -> Result<u64, Trap> {
    let a = call.read(a, u64::from(size as u32))?;
    let b = call.read_cstr(b, u64::MAX)?;
    let end = a.iter().position(|byte| *byte == 0);
    for (at, byte) in a.iter().enumerate() {
        let other = b.get(at).copied().unwrap_or(0);
        if *byte != other {
            return Ok(if *byte < other { -1i64 as u64 } else { 1 });
        }
        if Some(at) == end {
            break;
        }
    }
    Ok(0)
}

fn snprintf(call: &mut Call<'_, '_>, [to, size, format, data, len]: [u64; 5]) -> Result<u64, Trap> {
    let (size, len) = (u64::from(size as u32), u64::from(len as u32));
    if !len.is_multiple_of(8) || len > 8 * MAX_BPRINTF_ARGS as u64 || (len != 0 && data == 0) {
        return Ok(failure(Errno::EINVAL));
    }
    let args = words(call.read(data, len)?);
    let mut format = call.read_cstr(format, u64::MAX)?.to_vec();
    format.push(0);
    let text = match format_text(call, &format, &args) {
        Ok(text) => text,
        Err(errno) => return Ok(failure(errno)),
    };
    let out = call.write(to, size)?;
    if let Some(room) = out.len().checked_sub(1) {
        let kept = text.len().min(room);
        out[..kept].copy_from_slice(&text[..kept]);
        out[kept] = 0;
    }
    Ok(text.len() as u64 + 1)
}
