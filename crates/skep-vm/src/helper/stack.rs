//! Helpers of call stacks.
//!
//! Invariants: only the user's stack is known; a kernel stack is as empty as in a context without one (`EFAULT`); a
//! failed `bpf_get_stack` leaves the buffer zero.

use super::{Call, HelperFn, failure};
use crate::map::stack_trace::{DEPTH_MAX, SKIP_MASK, USER_BUILD_ID, USER_STACK};
use crate::trap::Trap;
use alloc::vec;
use alloc::vec::Vec;
use skep_spec::errno::Errno;

pub const HELPERS: &[(u32, HelperFn)] = &[(27, stack_id), (67, stack), (141, task_stack)];

/// The stack that `flags` ask for, from its innermost frame.
fn frames(call: &Call<'_, '_>, flags: u64) -> Result<Vec<u64>, Errno> {
    if flags & USER_STACK == 0 {
        return Err(Errno::EFAULT);
    }
    let mut frames = vec![0; DEPTH_MAX];
    let count = call
        .env()
        .user_stack(&mut frames)
        .map_err(|_| Errno::EFAULT)?;
    frames.truncate(count);
    Ok(frames)
}

fn stack_id(call: &mut Call<'_, '_>, [_, map, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    let Some(traces) = call.map(map)?.as_stack_trace() else {
        return Err(call.bad_argument("bpf_get_stackid", "the map is no stack_trace"));
    };
    // Unknown flags are refused before the stack is walked.
    if let Err(errno) = traces.check_flags(flags) {
        return Ok(failure(errno));
    }
    let id = frames(call, flags).and_then(|frames| traces.id(&frames, flags));
    Ok(id.map_or_else(failure, u64::from))
}

fn stack(call: &mut Call<'_, '_>, [_, to, size, flags, _]: [u64; 5]) -> Result<u64, Trap> {
    let size = u64::from(size as u32);
    let frames = if flags & !(SKIP_MASK | USER_STACK | USER_BUILD_ID) != 0 {
        Err(Errno::EINVAL)
    } else if flags & USER_BUILD_ID != 0 {
        // Without a user's stack it is an error; with one, build ids are not modelled.
        Err(if flags & USER_STACK == 0 {
            Errno::EINVAL
        } else {
            Errno::EOPNOTSUPP
        })
    } else if !size.is_multiple_of(8) {
        Err(Errno::EINVAL)
    } else {
        frames(call, flags)
    };
    let out = call.write(to, size)?;
    out.fill(0);
    let skip = (flags & SKIP_MASK) as usize;
    let kept = match &frames {
        Ok(frames) => frames
            .get(skip..)
            .filter(|kept| !kept.is_empty())
            .ok_or(Errno::EFAULT),
        Err(errno) => Err(*errno),
    };
    match kept {
        Ok(kept) => {
            let mut copied = 0;
            for (to, frame) in out.as_chunks_mut::<8>().0.iter_mut().zip(kept) {
                *to = frame.to_ne_bytes();
                copied += 8;
            }
            Ok(copied)
        }
        Err(errno) => Ok(failure(errno)),
    }
}

/// Only the current task's stack is known.
fn task_stack(call: &mut Call<'_, '_>, [task, to, size, flags, _]: [u64; 5]) -> Result<u64, Trap> {
    if call
        .current()
        .is_none_or(|current| current.task_addr != task)
    {
        call.write(to, u64::from(size as u32))?.fill(0);
        return Ok(failure(Errno::EFAULT));
    }
    stack(call, [0, to, size, flags, 0])
}
