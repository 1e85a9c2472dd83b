//! Helpers that read memory at any address: of the kernel (the engine's model of it), of the current task, or both.
//!
//! Invariants: a read that fails leaves the destination zero and answers `-EFAULT`; a string is always terminated, and
//! its length counts the NUL; what the user's memory holds is never taken from the engine's own.

use super::{Call, HelperFn, failure, status};
use crate::trap::Trap;
use alloc::vec::Vec;
use skep_spec::errno::Errno;

pub const HELPERS: &[(u32, HelperFn)] = &[
    (4, probe_read),
    (36, probe_write_user),
    (45, probe_read_str),
    (112, probe_read_user),
    (113, probe_read_kernel),
    (114, probe_read_user_str),
    (115, probe_read_kernel_str),
    (148, copy_from_user),
    (191, copy_from_user_task),
];

const PAGE: u64 = 4096;

/// Whose memory an address belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Space {
    User,
    Kernel,
    /// The kernel's if it is there, else the user's: the addresses tell on the machines where old programs run.
    Either,
}

/// Fills `out` from `addr`; what `out` holds after an error is not defined.
fn fetch(call: &Call<'_, '_>, space: Space, addr: u64, out: &mut [u8]) -> Result<(), Errno> {
    match space {
        Space::User => call.env().read_user(addr, out),
        Space::Kernel => fetch_kernel(call, addr, out),
        Space::Either => fetch_kernel(call, addr, out).or_else(|_| call.env().read_user(addr, out)),
    }
}

/// The model's memory, or what the program itself may read: its stack, its maps' values, its context.
fn fetch_kernel(call: &Call<'_, '_>, addr: u64, out: &mut [u8]) -> Result<(), Errno> {
    let env = call.env();
    if env
        .kernel_regions()
        .iter()
        .any(|region| region.contains(&addr))
    {
        return env.read_kernel(addr, out);
    }
    if addr >= PAGE
        && let Some(bytes) = call.peek(addr, out.len() as u64)
    {
        out.copy_from_slice(bytes);
        return Ok(());
    }
    env.read_kernel(addr, out)
}

/// `size` is what the kernel makes of r2: 32 bits.
fn read(call: &mut Call<'_, '_>, space: Space, to: u64, size: u64, from: u64) -> Result<u64, Trap> {
    let size = u64::from(size as u32);
    if size == 0 {
        return Ok(0);
    }
    // The destination is checked first: an invalid one is the program's fault, whatever the source holds.
    call.write(to, size)?;
    let mut small = [0u8; 256];
    let mut large = Vec::new();
    let bytes = match small.get_mut(..size as usize) {
        Some(bytes) => bytes,
        None => {
            large.resize(size as usize, 0);
            large.as_mut_slice()
        }
    };
    let result = fetch(call, space, from, bytes);
    if result.is_err() {
        bytes.fill(0);
    }
    call.write(to, size)?.copy_from_slice(bytes);
    Ok(if result.is_ok() {
        0
    } else {
        failure(Errno::EFAULT)
    })
}

fn read_str(
    call: &mut Call<'_, '_>,
    space: Space,
    to: u64,
    size: u64,
    from: u64,
) -> Result<u64, Trap> {
    let size = u64::from(size as u32);
    if size == 0 {
        return Ok(0);
    }
    call.write(to, size)?;
    let text = string(call, space, from, size as usize - 1);
    let out = call.write(to, size)?;
    match text {
        Ok(text) => {
            out[..text.len()].copy_from_slice(&text);
            out[text.len()] = 0;
            Ok(text.len() as u64 + 1)
        }
        Err(_) => {
            out.fill(0);
            Ok(failure(Errno::EFAULT))
        }
    }
}

/// The bytes of a string before its NUL, at most `max`.
fn string(call: &Call<'_, '_>, space: Space, from: u64, max: usize) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    while text.len() < max {
        let at = from.wrapping_add(text.len() as u64);
        // To the end of the page: what follows may not be there.
        let step = ((PAGE - at % PAGE) as usize).min(max - text.len());
        let known = text.len();
        text.resize(known + step, 0);
        let mut got = step;
        if fetch(call, space, at, &mut text[known..]).is_err() {
            // The model's objects and the program's memory end within pages.
            got = 0;
            while got < step && space != Space::User {
                let byte = &mut text[known + got..known + got + 1];
                if fetch(call, space, at + got as u64, byte).is_err() {
                    break;
                }
                if byte[0] == 0 {
                    text.truncate(known + got);
                    return Ok(text);
                }
                got += 1;
            }
            if got < step {
                return Err(Errno::EFAULT);
            }
        }
        if let Some(end) = text[known..known + got].iter().position(|byte| *byte == 0) {
            text.truncate(known + end);
            return Ok(text);
        }
    }
    // A string that fills the room must still be readable where the next byte is.
    if max == 0 {
        fetch(call, space, from, &mut [0])?;
    }
    Ok(text)
}

fn probe_read(call: &mut Call<'_, '_>, [to, size, from, ..]: [u64; 5]) -> Result<u64, Trap> {
    read(call, Space::Either, to, size, from)
}

fn probe_read_str(call: &mut Call<'_, '_>, [to, size, from, ..]: [u64; 5]) -> Result<u64, Trap> {
    read_str(call, Space::Either, to, size, from)
}

fn probe_read_user(call: &mut Call<'_, '_>, [to, size, from, ..]: [u64; 5]) -> Result<u64, Trap> {
    read(call, Space::User, to, size, from)
}

fn probe_read_kernel(call: &mut Call<'_, '_>, [to, size, from, ..]: [u64; 5]) -> Result<u64, Trap> {
    read(call, Space::Kernel, to, size, from)
}

fn probe_read_user_str(
    call: &mut Call<'_, '_>,
    [to, size, from, ..]: [u64; 5],
) -> Result<u64, Trap> {
    read_str(call, Space::User, to, size, from)
}

fn probe_read_kernel_str(
    call: &mut Call<'_, '_>,
    [to, size, from, ..]: [u64; 5],
) -> Result<u64, Trap> {
    read_str(call, Space::Kernel, to, size, from)
}

fn copy_from_user(call: &mut Call<'_, '_>, [to, size, from, ..]: [u64; 5]) -> Result<u64, Trap> {
    read(call, Space::User, to, size, from)
}

/// Only the current task's memory can be read; another's is as one that is gone.
fn copy_from_user_task(
    call: &mut Call<'_, '_>,
    [to, size, from, task, flags]: [u64; 5],
) -> Result<u64, Trap> {
    if flags != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    if call
        .current()
        .is_none_or(|current| current.task_addr != task)
    {
        call.write(to, u64::from(size as u32))?.fill(0);
        return Ok(failure(Errno::EFAULT));
    }
    read(call, Space::User, to, size, from)
}

fn probe_write_user(call: &mut Call<'_, '_>, [to, from, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    let bytes = call.read(from, u64::from(size as u32))?;
    Ok(status(call.env().write_user(to, bytes)))
}
