//! `bpf_tail_call`.

use super::{Call, HelperFn, failure};
use crate::trap::Trap;
use skep_spec::errno::Errno;

pub const HELPERS: &[(u32, HelperFn)] = &[(TAIL_CALL, tail_call)];

/// Number of `bpf_tail_call`, which the decoder makes an operation of its own.
pub(crate) const TAIL_CALL: u32 = 12;

/// Falls through to the next instruction when the slot is empty, out of range, or 33 tail calls were made.
fn tail_call(call: &mut Call<'_, '_>, [ctx, map, index, ..]: [u64; 5]) -> Result<u64, Trap> {
    if !call.is_ctx(ctx) && ctx != 0 {
        return Err(call.bad_argument("bpf_tail_call", "the first argument is not the context"));
    }
    let map = call.map(map)?;
    // The kernel takes the index as 32 bits.
    let Some(program) = map.program(index as u32) else {
        return Ok(failure(Errno::ENOENT));
    };
    if call.tail_call(program) {
        Ok(0)
    } else {
        Ok(failure(Errno::ENOENT))
    }
}
