//! `bpf_trace_printk` and its kin, and the format language that they share.
//!
//! Invariants: a format that the kernel refuses is refused with its error; a string argument that cannot be read prints
//! as nothing, as in the kernel; at most [`TEXT_MAX`] bytes come out.

use super::{Call, HelperFn, failure};
use crate::trap::Trap;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Write;
use skep_spec::errno::Errno;
use skep_spec::limits::{MAX_BPRINTF_ARGS, MAX_TRACE_PRINTK_ARGS};

pub const HELPERS: &[(u32, HelperFn)] = &[(6, trace_printk), (177, trace_vprintk)];

/// Most bytes of one message (`MAX_BPRINTF_BUF`).
pub(crate) const TEXT_MAX: usize = 1024;

fn trace_printk(call: &mut Call<'_, '_>, [format, size, a, b, c]: [u64; 5]) -> Result<u64, Trap> {
    print(call, format, size, &[a, b, c])
}

fn trace_vprintk(
    call: &mut Call<'_, '_>,
    [format, size, data, len, _]: [u64; 5],
) -> Result<u64, Trap> {
    let len = len as u32 as u64;
    if !len.is_multiple_of(8) || len > 8 * MAX_BPRINTF_ARGS as u64 || (len != 0 && data == 0) {
        return Ok(failure(Errno::EINVAL));
    }
    let args: Vec<u64> = words(call.read(data, len)?);
    print(call, format, size, &args)
}

/// The 64-bit arguments that a helper was given as bytes.
pub(crate) fn words(bytes: &[u8]) -> Vec<u64> {
    bytes
        .chunks_exact(8)
        .map(|word| {
            u64::from_ne_bytes([
                word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7],
            ])
        })
        .collect()
}

fn print(call: &mut Call<'_, '_>, format: u64, size: u64, args: &[u64]) -> Result<u64, Trap> {
    debug_assert!(args.len() <= MAX_BPRINTF_ARGS || args.len() <= MAX_TRACE_PRINTK_ARGS);
    let format = call.read(format, size as u32 as u64)?.to_vec();
    match format_text(call, &format, args) {
        Ok(mut text) => {
            text.truncate(TEXT_MAX - 1);
            call.env().trace_print(&String::from_utf8_lossy(&text));
            Ok(text.len() as u64)
        }
        Err(errno) => Ok(failure(errno)),
    }
}

/// How a number is printed.
#[derive(Clone, Copy, Default)]
struct Style {
    zero: bool,
    plus: bool,
    left: bool,
    space: bool,
    width: usize,
}

impl Style {
    fn pad(self, out: &mut Vec<u8>, sign: &str, digits: &str) {
        let len = sign.len() + digits.len();
        let fill = self.width.saturating_sub(len);
        if self.left {
            out.extend_from_slice(sign.as_bytes());
            out.extend_from_slice(digits.as_bytes());
            out.extend(core::iter::repeat_n(b' ', fill));
        } else if self.zero {
            out.extend_from_slice(sign.as_bytes());
            out.extend(core::iter::repeat_n(b'0', fill));
            out.extend_from_slice(digits.as_bytes());
        } else {
            out.extend(core::iter::repeat_n(b' ', fill));
            out.extend_from_slice(sign.as_bytes());
            out.extend_from_slice(digits.as_bytes());
        }
    }

    fn signed(self, out: &mut Vec<u8>, value: i64) {
        let sign = match value {
            ..0 => "-",
            _ if self.plus => "+",
            _ if self.space => " ",
            _ => "",
        };
        self.pad(out, sign, &value.unsigned_abs().to_string());
    }
}

/// Formats as the kernel's `bpf_bprintf_prepare` and `bstr_printf` do. `format` holds its NUL.
pub(crate) fn format_text(
    call: &Call<'_, '_>,
    format: &[u8],
    args: &[u64],
) -> Result<Vec<u8>, Errno> {
    let end = format
        .iter()
        .position(|byte| *byte == 0)
        .ok_or(Errno::EINVAL)?;
    let format = &format[..end];
    if !format
        .iter()
        .all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | 9..=13))
    {
        return Err(Errno::EINVAL);
    }
    let mut out = Vec::new();
    let mut args = args.iter().copied();
    let mut at = 0;
    let byte = |at: usize| format.get(at).copied().unwrap_or(0);
    while at < format.len() {
        if format[at] != b'%' {
            out.push(format[at]);
            at += 1;
            continue;
        }
        at += 1;
        if byte(at) == b'%' {
            out.push(b'%');
            at += 1;
            continue;
        }
        let arg = args.next().ok_or(Errno::EINVAL)?;
        let mut style = Style::default();
        loop {
            match byte(at) {
                b'0' => style.zero = true,
                b'+' => style.plus = true,
                b'-' => style.left = true,
                b' ' => style.space = true,
                _ => break,
            }
            at += 1;
        }
        while byte(at).is_ascii_digit() {
            style.width = (10 * style.width + usize::from(byte(at) - b'0')).min(TEXT_MAX);
            at += 1;
        }
        match byte(at) {
            b'p' => {
                let (kind, family) = (byte(at + 1), byte(at + 2));
                at += match (kind, family) {
                    (b'k' | b'u', b's') => {
                        string(call, &mut out, style, arg, kind == b'u');
                        3
                    }
                    (b'i' | b'I', b'4' | b'6') => {
                        address(call, &mut out, style, arg, kind == b'i', family == b'6');
                        3
                    }
                    (b'K' | b'x' | b's' | b'S' | b'B', _) => {
                        style.pad(&mut out, "", &format!("{arg:016x}"));
                        2
                    }
                    (next, _)
                        if next == 0
                            || next.is_ascii_whitespace()
                            || next.is_ascii_punctuation() =>
                    {
                        style.pad(&mut out, "", &format!("{arg:016x}"));
                        1
                    }
                    _ => return Err(Errno::EINVAL),
                };
                continue;
            }
            b's' => {
                string(call, &mut out, style, arg, false);
                at += 1;
                continue;
            }
            b'c' => {
                style.pad(&mut out, "", "");
                if style.width > 1 {
                    // The character takes one of the places.
                    let last = out.len() - if style.left { style.width } else { 1 };
                    out[last] = arg as u8;
                } else {
                    out.push(arg as u8);
                }
                at += 1;
                continue;
            }
            _ => {}
        }
        let mut long = false;
        if byte(at) == b'l' {
            long = true;
            at += 1;
            if byte(at) == b'l' {
                at += 1;
            }
        }
        let unsigned = if long { arg } else { u64::from(arg as u32) };
        match byte(at) {
            b'd' | b'i' => style.signed(
                &mut out,
                if long {
                    arg as i64
                } else {
                    i64::from(arg as i32)
                },
            ),
            b'u' => style.pad(&mut out, "", &unsigned.to_string()),
            b'x' => style.pad(&mut out, "", &format!("{unsigned:x}")),
            b'X' => style.pad(&mut out, "", &format!("{unsigned:X}")),
            _ => return Err(Errno::EINVAL),
        }
        at += 1;
    }
    Ok(out)
}

/// Bytes at an address that may be the program's, the modelled kernel's or the current task's.
fn peek(call: &Call<'_, '_>, addr: u64, out: &mut [u8], user: bool) -> bool {
    if user {
        return call.env().read_user(addr, out).is_ok();
    }
    match call.peek(addr, out.len() as u64) {
        Some(bytes) => {
            out.copy_from_slice(bytes);
            true
        }
        None => call.env().read_kernel(addr, out).is_ok(),
    }
}

fn string(call: &Call<'_, '_>, out: &mut Vec<u8>, style: Style, addr: u64, user: bool) {
    let mut text = Vec::new();
    let mut byte = [0];
    while text.len() < TEXT_MAX
        && peek(call, addr.wrapping_add(text.len() as u64), &mut byte, user)
        && byte[0] != 0
    {
        text.push(byte[0]);
    }
    let fill = style.width.saturating_sub(text.len());
    if !style.left {
        out.extend(core::iter::repeat_n(b' ', fill));
    }
    out.extend_from_slice(&text);
    if style.left {
        out.extend(core::iter::repeat_n(b' ', fill));
    }
}

/// `%pI4`, `%pi4` (with leading zeros), `%pI6`, `%pi6` (without colons).
fn address(call: &Call<'_, '_>, out: &mut Vec<u8>, style: Style, addr: u64, raw: bool, v6: bool) {
    let mut bytes = [0; 16];
    let bytes = &mut bytes[..if v6 { 16 } else { 4 }];
    peek(call, addr, bytes, false);
    let mut text = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        let separator = match (index, v6) {
            (0, _) => "",
            (_, false) => ".",
            (index, true) if index % 2 == 0 && !raw => ":",
            _ => "",
        };
        // Writing to a string does not fail.
        let _ = match (v6, raw) {
            (true, _) => write!(text, "{separator}{byte:02x}"),
            (false, true) => write!(text, "{separator}{byte:03}"),
            (false, false) => write!(text, "{separator}{byte}"),
        };
    }
    style.pad(out, "", &text);
}
