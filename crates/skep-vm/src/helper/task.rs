//! Helpers that tell who runs: ids, names, control group; and those that send it signals.
//!
//! Invariants: without a current task they fail as the kernel's do in a context without one; no id is invented.

use super::{Call, HelperFn, failure, status};
use crate::trap::Trap;
use skep_spec::errno::Errno;

pub const HELPERS: &[(u32, HelperFn)] = &[
    (14, current_pid_tgid),
    (15, current_uid_gid),
    (16, current_comm),
    (35, current_task),
    (37, current_task_under_cgroup),
    (80, current_cgroup_id),
    (109, send_signal),
    (117, send_signal_thread),
    (120, ns_current_pid_tgid),
    (158, current_task),
    (173, func_ip),
    (174, attach_cookie),
];

/// Signals end here.
const SIGNAL_MAX: u32 = 64;

fn current_pid_tgid(call: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(match call.current() {
        Some(current) => u64::from(current.tgid) << 32 | u64::from(current.pid),
        None => failure(Errno::EINVAL),
    })
}

fn current_uid_gid(call: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(match call.current() {
        Some(current) => u64::from(current.gid) << 32 | u64::from(current.uid),
        None => failure(Errno::EINVAL),
    })
}

/// Fills the buffer, with zeroes behind the name; a short buffer gets a short name with its NUL.
fn current_comm(call: &mut Call<'_, '_>, [to, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    let current = call.current();
    let out = call.write(to, u64::from(size as u32))?;
    out.fill(0);
    let Some(current) = current else {
        return Ok(failure(Errno::EINVAL));
    };
    let end = current
        .comm
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(current.comm.len());
    let len = end.min(out.len().saturating_sub(1));
    out[..len].copy_from_slice(&current.comm[..len]);
    Ok(0)
}

fn current_task(call: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(call.current().map_or(0, |current| current.task_addr))
}

fn current_cgroup_id(call: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(call.current().map_or(0, |current| current.cgroup_id))
}

fn current_task_under_cgroup(
    call: &mut Call<'_, '_>,
    [map, index, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let Some(cgroups) = call.map(map)?.as_cgroup_array() else {
        let what = "the map is no cgroup_array";
        return Err(call.bad_argument("bpf_current_task_under_cgroup", what));
    };
    let answer = cgroups
        .id(u64::from(index as u32))
        .and_then(|id| call.env().under_cgroup(id));
    Ok(answer.map_or_else(failure, u64::from))
}

/// Fills `struct bpf_pidns_info`; zeroes it and fails if the task is not in the namespace that is asked for.
fn ns_current_pid_tgid(
    call: &mut Call<'_, '_>,
    [device, inode, to, size, _]: [u64; 5],
) -> Result<u64, Trap> {
    let answer = call.env().ns_pid_tgid(device, inode);
    let out = call.write(to, u64::from(size as u32))?;
    out.fill(0);
    let Some(out) = out
        .as_chunks_mut::<4>()
        .0
        .first_chunk_mut::<2>()
        .filter(|_| size as u32 == 8)
    else {
        return Ok(failure(Errno::EINVAL));
    };
    match answer {
        Ok((pid, tgid)) => {
            *out = [pid.to_ne_bytes(), tgid.to_ne_bytes()];
            Ok(0)
        }
        Err(errno) => Ok(failure(errno)),
    }
}

fn signal(call: &Call<'_, '_>, signal: u64, thread_only: bool) -> u64 {
    let signal = signal as u32;
    if signal > SIGNAL_MAX {
        return failure(Errno::EINVAL);
    }
    status(call.env().send_signal(signal, thread_only))
}

fn send_signal(call: &mut Call<'_, '_>, [number, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(signal(call, number, false))
}

fn send_signal_thread(call: &mut Call<'_, '_>, [number, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(signal(call, number, true))
}

fn func_ip(call: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(call.env().func_ip())
}

fn attach_cookie(call: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(call.env().attach_cookie())
}
