//! Helpers of ring buffers, and the dynptrs that go with them.
//!
//! Invariants: a reserved record belongs to the run until it is submitted or discarded, and to nobody after; a dynptr
//! is 16 bytes that the program could forge, so each use checks the memory it names like any other access.

use super::{Call, HelperFn, failure, status};
use crate::map::Map;
use crate::map::ringbuf::RingBuf;
use crate::trap::Trap;
use skep_spec::errno::Errno;

pub const HELPERS: &[(u32, HelperFn)] = &[
    (130, output),
    (131, reserve),
    (132, submit),
    (133, discard),
    (134, query),
    (197, dynptr_from_mem),
    (198, reserve_dynptr),
    (199, submit_dynptr),
    (200, discard_dynptr),
    (201, dynptr_read),
    (202, dynptr_write),
    (203, dynptr_data),
    (209, user_ringbuf_drain),
];

/// The longest memory a dynptr spans.
const DYNPTR_MAX: u32 = (1 << 24) - 1;
/// Set in a dynptr's size if its memory may not be written.
const READ_ONLY: u32 = 1 << 31;
/// Where the kind of a dynptr starts in its size.
const KIND_SHIFT: u32 = 28;
const KIND_LOCAL: u32 = 1;
const KIND_RINGBUF: u32 = 2;

fn ring<'p>(call: &Call<'_, 'p>, map: u64, helper: &'static str) -> Result<&'p RingBuf, Trap> {
    match call.map(map)?.as_ringbuf() {
        Some(ring) => Ok(ring),
        None => Err(call.bad_argument(helper, "the map is no ringbuf")),
    }
}

fn throw_away(map: &dyn Map, data: u64) {
    if let Some(ring) = map.as_ringbuf() {
        ring.commit(data, true, 0);
    }
}

fn output(call: &mut Call<'_, '_>, [map, data, size, flags, _]: [u64; 5]) -> Result<u64, Trap> {
    let ring = ring(call, map, "bpf_ringbuf_output")?;
    let data = call.read(data, size)?;
    Ok(status(ring.output(data, flags)))
}

/// Reserves and hands the bytes to the run.
fn reserve_for(
    call: &mut Call<'_, '_>,
    map: u64,
    size: u64,
    helper: &'static str,
) -> Result<Option<u64>, Trap> {
    let ring = ring(call, map, helper)?;
    let shared = call.map_arc(map)?;
    let Some(data) = ring.reserve(size) else {
        return Ok(None);
    };
    let addr = data.as_ptr().expose_provenance() as u64;
    // SAFETY: the ring, which `shared` keeps, leaves the bytes alone until `commit` says they are done, which
    // happens when the record is taken or the run is over.
    unsafe { call.add_record(shared, addr, size, throw_away) };
    Ok(Some(addr))
}

fn reserve(call: &mut Call<'_, '_>, [map, size, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    if flags != 0 {
        return Ok(0);
    }
    Ok(reserve_for(call, map, size, "bpf_ringbuf_reserve")?.unwrap_or(0))
}

fn finish(
    call: &mut Call<'_, '_>,
    data: u64,
    throw_away: bool,
    flags: u64,
    helper: &'static str,
) -> Result<u64, Trap> {
    let done = call
        .take_record(data)
        .and_then(|map| Some(map.as_ringbuf()?.commit(data, throw_away, flags)));
    match done {
        Some(true) => Ok(0),
        _ => Err(call.bad_argument(helper, "the argument is no reserved record")),
    }
}

fn submit(call: &mut Call<'_, '_>, [data, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    finish(call, data, false, flags, "bpf_ringbuf_submit")
}

fn discard(call: &mut Call<'_, '_>, [data, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    finish(call, data, true, flags, "bpf_ringbuf_discard")
}

fn query(call: &mut Call<'_, '_>, [map, what, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(ring(call, map, "bpf_ringbuf_query")?.query(what))
}

/// `struct bpf_dynptr`, as it lies in the program's memory.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Dynptr {
    data: u64,
    size: u32,
    offset: u32,
}

impl Dynptr {
    fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.data.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.size.to_ne_bytes());
        bytes[12..].copy_from_slice(&self.offset.to_ne_bytes());
        bytes
    }

    fn load(call: &Call<'_, '_>, addr: u64) -> Result<Dynptr, Trap> {
        let bytes = call.read(addr, 16)?;
        let half = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let (low, high) = (u32::from_ne_bytes(half(0)), u32::from_ne_bytes(half(4)));
        let data = if cfg!(target_endian = "little") {
            u64::from(high) << 32 | u64::from(low)
        } else {
            u64::from(low) << 32 | u64::from(high)
        };
        Ok(Dynptr {
            data,
            size: u32::from_ne_bytes(half(8)),
            offset: u32::from_ne_bytes(half(12)),
        })
    }

    fn store(self, call: &mut Call<'_, '_>, addr: u64) -> Result<(), Trap> {
        call.write(addr, 16)?.copy_from_slice(&self.bytes());
        Ok(())
    }

    fn is_read_only(self) -> bool {
        self.size & READ_ONLY != 0
    }

    /// Address of `len` bytes at `offset`, if they lie in the span.
    fn at(self, offset: u64, len: u64) -> Result<u64, Errno> {
        let size = u64::from(self.size & DYNPTR_MAX);
        if len > size || offset > size - len {
            return Err(Errno::E2BIG);
        }
        Ok(self
            .data
            .wrapping_add(u64::from(self.offset))
            .wrapping_add(offset))
    }
}

fn dynptr_from_mem(
    call: &mut Call<'_, '_>,
    [data, size, flags, to, _]: [u64; 5],
) -> Result<u64, Trap> {
    let size = size as u32;
    let refusal = match (size, flags) {
        (DYNPTR_MAX.., _) if size > DYNPTR_MAX => Some(Errno::E2BIG),
        (_, 0) => None,
        _ => Some(Errno::EINVAL),
    };
    if let Some(errno) = refusal {
        Dynptr::default().store(call, to)?;
        return Ok(failure(errno));
    }
    call.write(data, u64::from(size))?;
    Dynptr {
        data,
        size: size | KIND_LOCAL << KIND_SHIFT,
        offset: 0,
    }
    .store(call, to)?;
    Ok(0)
}

fn reserve_dynptr(
    call: &mut Call<'_, '_>,
    [map, size, flags, to, _]: [u64; 5],
) -> Result<u64, Trap> {
    let size = size as u32;
    let refusal = if flags != 0 {
        Some(Errno::EINVAL)
    } else if size > DYNPTR_MAX {
        Some(Errno::E2BIG)
    } else {
        None
    };
    if let Some(errno) = refusal {
        Dynptr::default().store(call, to)?;
        return Ok(failure(errno));
    }
    match reserve_for(call, map, u64::from(size), "bpf_ringbuf_reserve_dynptr")? {
        Some(data) => {
            Dynptr {
                data,
                size: size | KIND_RINGBUF << KIND_SHIFT,
                offset: 0,
            }
            .store(call, to)?;
            Ok(0)
        }
        None => {
            Dynptr::default().store(call, to)?;
            Ok(failure(Errno::EINVAL))
        }
    }
}

fn finish_dynptr(
    call: &mut Call<'_, '_>,
    [addr, flags, ..]: [u64; 5],
    throw_away: bool,
    helper: &'static str,
) -> Result<u64, Trap> {
    let dynptr = Dynptr::load(call, addr)?;
    if dynptr.data == 0 {
        return Ok(0);
    }
    finish(call, dynptr.data, throw_away, flags, helper)?;
    Dynptr::default().store(call, addr)?;
    Ok(0)
}

fn submit_dynptr(call: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    finish_dynptr(call, args, false, "bpf_ringbuf_submit_dynptr")
}

fn discard_dynptr(call: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    finish_dynptr(call, args, true, "bpf_ringbuf_discard_dynptr")
}

fn dynptr_read(
    call: &mut Call<'_, '_>,
    [to, len, from, offset, flags]: [u64; 5],
) -> Result<u64, Trap> {
    let len = u64::from(len as u32);
    let dynptr = Dynptr::load(call, from)?;
    if dynptr.data == 0 || flags != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    match dynptr.at(u64::from(offset as u32), len) {
        Ok(at) => {
            let bytes = call.read(at, len)?.to_vec();
            call.write(to, len)?.copy_from_slice(&bytes);
            Ok(0)
        }
        Err(errno) => Ok(failure(errno)),
    }
}

fn dynptr_write(
    call: &mut Call<'_, '_>,
    [to, offset, from, len, flags]: [u64; 5],
) -> Result<u64, Trap> {
    let len = u64::from(len as u32);
    let dynptr = Dynptr::load(call, to)?;
    if dynptr.data == 0 || dynptr.is_read_only() || flags != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    match dynptr.at(u64::from(offset as u32), len) {
        Ok(at) => {
            let bytes = call.read(from, len)?.to_vec();
            call.write(at, len)?.copy_from_slice(&bytes);
            Ok(0)
        }
        Err(errno) => Ok(failure(errno)),
    }
}

fn dynptr_data(call: &mut Call<'_, '_>, [from, offset, len, ..]: [u64; 5]) -> Result<u64, Trap> {
    let dynptr = Dynptr::load(call, from)?;
    if dynptr.data == 0 || dynptr.is_read_only() {
        return Ok(0);
    }
    Ok(dynptr
        .at(u64::from(offset as u32), u64::from(len as u32))
        .unwrap_or(0))
}

/// Calls back with a read-only dynptr of each record and the context; stops when the callback answers 1.
fn user_ringbuf_drain(
    call: &mut Call<'_, '_>,
    [map, callback, context, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    const NO_WAKEUP: u64 = 1;
    const FORCE_WAKEUP: u64 = 2;
    let Some(ring) = call.map(map)?.as_user_ringbuf() else {
        return Err(call.bad_argument("bpf_user_ringbuf_drain", "the map is no user_ringbuf"));
    };
    if flags & !(NO_WAKEUP | FORCE_WAKEUP) != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let drained = ring.drain(|data, len| {
        let size = len | READ_ONLY | KIND_LOCAL << KIND_SHIFT;
        let dynptr = Dynptr {
            data,
            size,
            offset: 0,
        }
        .bytes();
        let start = dynptr.as_ptr().expose_provenance() as u64;
        let lent = &mut call.machine.memory.lent;
        lent.push(start..start + dynptr.len() as u64);
        lent.push(data..data + u64::from(len));
        let answer = call.callback(callback, [start, context, 0, 0, 0]);
        let lent = &mut call.machine.memory.lent;
        lent.truncate(lent.len() - 2);
        call.machine.memory.forget();
        answer.map(|answer| answer == 0)
    });
    match drained {
        Ok(shown) => shown,
        Err(errno) => Ok(failure(errno)),
    }
}
