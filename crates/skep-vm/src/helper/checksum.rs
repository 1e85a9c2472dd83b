//! Internet checksums: the arithmetic, and the helpers that keep checksums true while bytes change.
//!
//! Invariants: sums are ones' complement sums over native 16-bit words as the kernel keeps them, so a value that a program
//! loads from a packet can be passed as it is; what leaves `bpf_csum_diff` is folded to 16 bits and of any length, as
//! since Linux 6.13 (before, lengths had to be multiples of four).

use skep_spec::errno::Errno;

use super::{Call, HelperFn, failure, status};
use crate::packet::PacketCtx;
use crate::trap::Trap;

pub const HELPERS: &[(u32, HelperFn)] = &[
    (10, l3_csum_replace),
    (11, l4_csum_replace),
    (28, csum_diff),
    (40, csum_update),
    (135, csum_level),
];

/// The width of the changed field, in the flags of the replacing helpers.
const FIELD_MASK: u64 = 0xf;
const PSEUDO_HEADER: u64 = 1 << 4;
const MARK_MANGLED_0: u64 = 1 << 5;
const MARK_ENFORCE: u64 = 1 << 6;
const IPV6: u64 = 1 << 7;
/// What a UDP checksum of zero is sent as.
const MANGLED_0: u16 = 0xffff;

/// Adds with end-around carry.
fn add(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u32::from(carry)
}

fn add16(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u16::from(carry)
}

/// Folds a sum to 16 bits.
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// The sum over `bytes`, added to `seed`; an odd last byte counts as the first of a word.
fn sum(bytes: &[u8], seed: u32) -> u32 {
    let mut total = u64::from(seed);
    let mut words = bytes.chunks_exact(4);
    for w in &mut words {
        total += u64::from(u32::from_ne_bytes([w[0], w[1], w[2], w[3]]));
    }
    let mut last = [0; 4];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    // Fewer than 2^30 words of 2^32 each: no overflow before the fold.
    total += u64::from(u32::from_ne_bytes(last));
    let total = (total & 0xffff_ffff) + (total >> 32);
    ((total & 0xffff_ffff) + (total >> 32)) as u32
}

/// The checksum field after the words summing to `from` became words summing to `to`.
fn replaced(field: u16, from: u32, to: u32) -> u16 {
    !fold(add(add(!u32::from(field), !from), to))
}

/// The checksum field at an offset, or the errno that the kernel answers.
fn field_at(packet: &PacketCtx, offset: u64) -> Result<(usize, u16), Errno> {
    let offset = offset as u32;
    if offset > 0xffff || offset & 1 != 0 {
        return Err(Errno::EFAULT);
    }
    let at = offset as usize;
    match packet.bytes().get(at..at + 2) {
        Some(field) => Ok((at, u16::from_ne_bytes([field[0], field[1]]))),
        None => Err(Errno::EFAULT),
    }
}

fn l3_csum_replace(
    call: &mut Call<'_, '_>,
    [ctx, offset, from, to, flags]: [u64; 5],
) -> Result<u64, Trap> {
    let packet = call.packet_of(ctx, "bpf_l3_csum_replace")?;
    if flags & !FIELD_MASK != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let (at, field) = match field_at(packet, offset) {
        Ok(found) => found,
        Err(errno) => return Ok(failure(errno)),
    };
    let new = match flags {
        0 if from != 0 => return Ok(failure(Errno::EINVAL)),
        0 => replaced(field, u32::MAX, to as u32),
        2 => !add16(add16(!field, !(from as u16)), to as u16),
        4 => replaced(field, from as u32, to as u32),
        _ => return Ok(failure(Errno::EINVAL)),
    };
    packet.bytes_mut()[at..at + 2].copy_from_slice(&new.to_ne_bytes());
    Ok(0)
}

fn l4_csum_replace(
    call: &mut Call<'_, '_>,
    [ctx, offset, from, to, flags]: [u64; 5],
) -> Result<u64, Trap> {
    let packet = call.packet_of(ctx, "bpf_l4_csum_replace")?;
    if flags & !(FIELD_MASK | PSEUDO_HEADER | MARK_MANGLED_0 | MARK_ENFORCE | IPV6) != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let (at, field) = match field_at(packet, offset) {
        Ok(found) => found,
        Err(errno) => return Ok(failure(errno)),
    };
    let udp = flags & MARK_MANGLED_0 != 0;
    if udp && flags & MARK_ENFORCE == 0 && field == 0 {
        return Ok(0);
    }
    let mut new = match flags & FIELD_MASK {
        0 if from != 0 => return Ok(failure(Errno::EINVAL)),
        0 => replaced(field, u32::MAX, to as u32),
        2 => replaced(field, u32::from(from as u16), u32::from(to as u16)),
        4 => replaced(field, from as u32, to as u32),
        _ => return Ok(failure(Errno::EINVAL)),
    };
    if udp && new == 0 {
        new = MANGLED_0;
    }
    packet.bytes_mut()[at..at + 2].copy_from_slice(&new.to_ne_bytes());
    Ok(0)
}

fn csum_diff(
    call: &mut Call<'_, '_>,
    [from, from_size, to, to_size, seed]: [u64; 5],
) -> Result<u64, Trap> {
    let (from_size, to_size, seed) = (from_size as u32, to_size as u32, seed as u32);
    // Zero has two forms in ones' complement; the three cases give the kernel's.
    let difference = match (from_size, to_size) {
        (0, 0) => seed,
        (0, _) => sum(call.read(to, u64::from(to_size))?, seed),
        (_, 0) => !sum(call.read(from, u64::from(from_size))?, !seed),
        _ => {
            let new = sum(call.read(to, u64::from(to_size))?, seed);
            add(new, !sum(call.read(from, u64::from(from_size))?, 0))
        }
    };
    Ok(u64::from(fold(difference)))
}

/// Packets here never carry a complete checksum from a device, so there is none to update.
fn csum_update(call: &mut Call<'_, '_>, [ctx, ..]: [u64; 5]) -> Result<u64, Trap> {
    call.packet_of(ctx, "bpf_csum_update")?;
    Ok(failure(Errno::ENOTSUPP))
}

fn csum_level(call: &mut Call<'_, '_>, [ctx, level, ..]: [u64; 5]) -> Result<u64, Trap> {
    let known = &mut call.packet_of(ctx, "bpf_csum_level")?.skb.csum_level;
    let result = match level {
        0 => match *known {
            Some(level) => return Ok(u64::from(level)),
            None => Err(Errno::EACCES),
        },
        1 => {
            *known = Some(known.map_or(0, |level| (level + 1).min(3)));
            Ok(())
        }
        2 => {
            *known = known.and_then(|level| level.checked_sub(1));
            Ok(())
        }
        3 => {
            *known = None;
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    };
    Ok(status(result))
}
