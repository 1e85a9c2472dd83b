//! Helpers of per-CPU event buffers: those that write records, and those that read counters.
//!
//! Invariants: the errors are the kernel's, in its order; what did not fit is counted by the map.

use super::{Call, HelperFn, failure, status};
use crate::map::perf_event_array::INDEX_MASK;
use crate::trap::Trap;
use skep_spec::errno::Errno;

pub const HELPERS: &[(u32, HelperFn)] = &[
    (22, perf_event_read),
    (25, perf_event_output),
    (55, perf_event_read_value),
    (111, packet_output),
    (121, packet_output),
];

/// The part of the flags that says how many bytes of the packet to append.
const PACKET_LEN_MASK: u64 = 0xf_ffff << 32;

/// With a packet's context, the upper bits of `flags` ask for bytes of the packet behind the data.
fn perf_event_output(
    call: &mut Call<'_, '_>,
    [ctx, map, flags, data, size]: [u64; 5],
) -> Result<u64, Trap> {
    let Some(events) = call.map(map)?.as_perf() else {
        let what = "the map is no perf_event_array";
        return Err(call.bad_argument("bpf_perf_event_output", what));
    };
    let data = call.read(data, size)?.to_vec();
    let cpu = call.cpu();
    let with_packet = call.is_ctx(ctx) && call.packet().is_some();
    let known = if with_packet {
        INDEX_MASK | PACKET_LEN_MASK
    } else {
        INDEX_MASK
    };
    if flags & !known != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let len = ((flags & PACKET_LEN_MASK) >> 32) as usize;
    let packet = match call.packet() {
        Some(packet) if with_packet => match packet.bytes().get(..len) {
            Some(packet) => packet,
            None => return Ok(failure(Errno::EFAULT)),
        },
        _ => &[],
    };
    Ok(status(events.output(flags, cpu, &[&data, packet])))
}

/// The same for programs that trace others' packets, whose first argument is a pointer to a model's object.
fn packet_output(
    call: &mut Call<'_, '_>,
    [ctx, map, flags, data, size]: [u64; 5],
) -> Result<u64, Trap> {
    perf_event_output(call, [ctx, map, flags, data, size])
}

/// Size of `struct bpf_perf_event_value`.
const VALUE_BYTES: u64 = 24;

/// Why the counter of an entry cannot be read: the engine's events are buffers of records, which count nothing.
fn no_counter(
    call: &Call<'_, '_>,
    map: u64,
    flags: u64,
    helper: &'static str,
) -> Result<Errno, Trap> {
    let Some(events) = call.map(map)?.as_perf() else {
        return Err(call.bad_argument(helper, "the map is no perf_event_array"));
    };
    Ok(events
        .check_index(flags, call.cpu())
        .err()
        .unwrap_or(Errno::EOPNOTSUPP))
}

fn perf_event_read(call: &mut Call<'_, '_>, [map, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    no_counter(call, map, flags, "bpf_perf_event_read").map(failure)
}

/// Zeroes the value, as every failure does.
fn perf_event_read_value(
    call: &mut Call<'_, '_>,
    [map, flags, to, size, _]: [u64; 5],
) -> Result<u64, Trap> {
    let mut errno = no_counter(call, map, flags, "bpf_perf_event_read_value")?;
    let size = u64::from(size as u32);
    call.write(to, size)?.fill(0);
    if size != VALUE_BYTES {
        errno = Errno::EINVAL;
    }
    Ok(failure(errno))
}
