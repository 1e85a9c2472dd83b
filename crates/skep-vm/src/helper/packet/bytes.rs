//! Reading and writing an skb's bytes by offset.

use skep_spec::errno::Errno;

use super::{copy_in, copy_out, skb};
use crate::helper::{Call, HelperFn, failure};
use crate::trap::Trap;

pub const HELPERS: &[(u32, HelperFn)] = &[
    (9, skb_store_bytes),
    (26, skb_load_bytes),
    (39, skb_pull_data),
    (68, skb_load_bytes_relative),
];

/// `BPF_F_RECOMPUTE_CSUM`: without effect here, since packets carry no complete checksum.
const RECOMPUTE_CSUM: u64 = 1;
const INVALIDATE_HASH: u64 = 2;
/// `BPF_HDR_START_MAC`, `BPF_HDR_START_NET`
const START_MAC: u32 = 0;
const START_NET: u32 = 1;
const INT_MAX: u64 = i32::MAX as u64;

fn skb_store_bytes(
    call: &mut Call<'_, '_>,
    [ctx, offset, from, len, flags]: [u64; 5],
) -> Result<u64, Trap> {
    const NAME: &str = "bpf_skb_store_bytes";
    let (offset, len) = (u64::from(offset as u32), u64::from(len as u32));
    let packet_len = skb(call, ctx, NAME)?.frame().len() as u64;
    call.read(from, len)?;
    if flags & !(RECOMPUTE_CSUM | INVALIDATE_HASH) != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    if offset > INT_MAX || offset + len > packet_len {
        return Ok(failure(Errno::EFAULT));
    }
    copy_in(call, ctx, offset as usize, from, len, NAME)?;
    if flags & INVALIDATE_HASH != 0 {
        super::skb::clear_hash(call.packet_of(ctx, NAME)?);
    }
    Ok(0)
}

fn skb_load_bytes(
    call: &mut Call<'_, '_>,
    [ctx, offset, to, len, _]: [u64; 5],
) -> Result<u64, Trap> {
    const NAME: &str = "bpf_skb_load_bytes";
    let (offset, len) = (u64::from(offset as u32), u64::from(len as u32));
    let (_, data) = skb(call, ctx, NAME)?.bytes_with_headers();
    if offset <= INT_MAX && copy_out(call, ctx, data + offset as usize, to, len, NAME)? {
        return Ok(0);
    }
    call.write(to, len)?.fill(0);
    Ok(failure(Errno::EFAULT))
}

fn skb_load_bytes_relative(
    call: &mut Call<'_, '_>,
    [ctx, offset, to, len, start]: [u64; 5],
) -> Result<u64, Trap> {
    const NAME: &str = "bpf_skb_load_bytes_relative";
    let (offset, len) = (i64::from(offset as u32), u64::from(len as u32));
    let packet = skb(call, ctx, NAME)?;
    let (_, data) = packet.bytes_with_headers();
    let header = match start as u32 {
        START_MAC => Some(packet.skb.mac_offset),
        START_NET => Some(packet.skb.network_offset),
        _ => None,
    };
    if offset <= 0xffff
        && let Some(header) = header
        && let Ok(at) = usize::try_from(data as i64 + i64::from(header) + offset)
        && copy_out(call, ctx, at, to, len, NAME)?
    {
        return Ok(0);
    }
    call.write(to, len)?.fill(0);
    Ok(failure(Errno::EFAULT))
}

/// An skb here is in one piece, so there is nothing to pull; asking for more than there is fails.
fn skb_pull_data(call: &mut Call<'_, '_>, [ctx, len, ..]: [u64; 5]) -> Result<u64, Trap> {
    let packet = skb(call, ctx, "bpf_skb_pull_data")?;
    if u64::from(len as u32) > packet.frame().len() as u64 {
        return Ok(failure(Errno::ENOMEM));
    }
    Ok(0)
}
