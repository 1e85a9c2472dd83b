//! Kernel functions that programs call by name: number iterators, and those that ask for no more than a kernel's patience.
//!
//! Invariants: what is not here is refused when a program is loaded; a reference that a program acquires is to a task
//! that the environment keeps for the whole run.

use super::{Call, HelperFn, failure};
use crate::trap::Trap;
use skep_spec::errno::Errno;
use skep_spec::limits::MAX_LOOPS;

const KFUNCS: &[(&str, HelperFn)] = &[
    ("bpf_iter_num_destroy", iter_num_destroy),
    ("bpf_iter_num_new", iter_num_new),
    ("bpf_iter_num_next", iter_num_next),
    ("bpf_preempt_disable", nothing),
    ("bpf_preempt_enable", nothing),
    ("bpf_rcu_read_lock", nothing),
    ("bpf_rcu_read_unlock", nothing),
    ("bpf_rdonly_cast", same),
    ("bpf_task_acquire", same),
    ("bpf_task_from_pid", task_from_pid),
    ("bpf_task_release", nothing),
];

/// The kernel function of that name, if the engine has it.
pub fn by_name(name: &str) -> Option<HelperFn> {
    KFUNCS
        .iter()
        .find(|(own, _)| *own == name)
        .map(|(_, kfunc)| *kfunc)
}

/// The names of all, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    KFUNCS.iter().map(|(name, _)| *name)
}

/// A run is never preempted and keeps what it sees alive.
fn nothing(_: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(0)
}

fn same(_: &mut Call<'_, '_>, [object, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(object)
}

/// The task with an id, or a null pointer.
fn task_from_pid(call: &mut Call<'_, '_>, [pid, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(call.env().task_of(pid as u32).unwrap_or(0))
}

/// `struct bpf_iter_num` as the kernel fills it: the number given last, and the end.
fn set(call: &mut Call<'_, '_>, iterator: u64, current: i32, end: i32) -> Result<(), Trap> {
    let bytes = call.write(iterator, 8)?;
    bytes[..4].copy_from_slice(&current.to_ne_bytes());
    bytes[4..].copy_from_slice(&end.to_ne_bytes());
    Ok(())
}

fn iter_num_new(
    call: &mut Call<'_, '_>,
    [iterator, start, end, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let (start, end) = (start as i32, end as i32);
    let error = if start > end {
        Errno::EINVAL
    } else if i64::from(end) - i64::from(start) > i64::from(MAX_LOOPS) {
        Errno::E2BIG
    } else {
        // One before the first, which may wrap: the next step wraps back.
        set(call, iterator, start.wrapping_sub(1), end)?;
        return Ok(0);
    };
    set(call, iterator, 0, 0)?;
    Ok(failure(error))
}

fn iter_num_next(call: &mut Call<'_, '_>, [iterator, ..]: [u64; 5]) -> Result<u64, Trap> {
    let bytes = call.read(iterator, 8)?;
    let current = i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let end = i32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    let next = current.wrapping_add(1);
    if next >= end {
        set(call, iterator, 0, 0)?;
        return Ok(0);
    }
    set(call, iterator, next, end)?;
    Ok(iterator)
}

fn iter_num_destroy(call: &mut Call<'_, '_>, [iterator, ..]: [u64; 5]) -> Result<u64, Trap> {
    set(call, iterator, 0, 0)?;
    Ok(0)
}
