//! Helpers that call back: `bpf_loop` and `bpf_for_each_map_elem`.

use super::{Call, HelperFn, failure};
use crate::trap::Trap;
use alloc::vec::Vec;
use skep_spec::errno::Errno;

pub const HELPERS: &[(u32, HelperFn)] = &[(181, bpf_loop), (164, for_each_map_elem)];

/// Most iterations of one `bpf_loop` (`BPF_MAX_LOOPS`).
const LOOPS_MAX: u32 = 8 * 1024 * 1024;

fn bpf_loop(
    call: &mut Call<'_, '_>,
    [count, callback, context, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let count = count as u32;
    if flags != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    if count > LOOPS_MAX {
        return Ok(failure(Errno::E2BIG));
    }
    for index in 0..count {
        if call.callback(callback, [u64::from(index), context, 0, 0, 0])? != 0 {
            return Ok(u64::from(index) + 1);
        }
    }
    Ok(u64::from(count))
}

/// The callback gets the map, the address of the key, the address of the value and the context.
fn for_each_map_elem(
    call: &mut Call<'_, '_>,
    [map, callback, context, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    if flags != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let elements = call.map(map)?;
    let mut key_copy = Vec::new();
    let mut trap = None;
    let cpu = call.cpu();
    let visited = elements.for_each(cpu, &mut |key, value| {
        key_copy.clear();
        key_copy.extend_from_slice(key);
        match call.callback_with_key(
            callback,
            &key_copy,
            [map, 0, value.as_ptr() as u64, context, 0],
        ) {
            Ok(answer) => answer == 0,
            Err(error) => {
                trap = Some(error);
                false
            }
        }
    });
    match (trap, visited) {
        (Some(trap), _) => Err(trap),
        (None, Ok(visited)) => Ok(visited),
        (None, Err(errno)) => Ok(failure(errno)),
    }
}
