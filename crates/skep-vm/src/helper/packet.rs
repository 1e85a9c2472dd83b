//! Helpers of packets: XDP's here, those of an skb by what they do in the files below.
//!
//! Invariants: the checks are the kernel's, in its order and with its error numbers; a copy between packet and program
//! memory never allocates.

use skep_spec::errno::Errno;

use super::{Call, HelperFn, failure, status};
use crate::packet::{PacketCtx, PacketKind, XDP_FRAME_HEADER};
use crate::trap::Trap;

mod bytes;
mod resize;
mod skb;
mod vlan;

pub use bytes::HELPERS as BYTES;
pub use resize::HELPERS as RESIZE;
pub use skb::HELPERS as SKB;
pub use vlan::HELPERS as VLAN;

pub const XDP: &[(u32, HelperFn)] = &[
    (44, xdp_adjust_head),
    (54, xdp_adjust_meta),
    (65, xdp_adjust_tail),
    (188, xdp_get_buff_len),
    (189, xdp_load_bytes),
    (190, xdp_store_bytes),
];

/// `ETH_HLEN`
const ETH_HLEN: usize = 14;
/// `ETH_P_IP` and so on, as they lie in a packet and in `skb->protocol`.
mod ether_type {
    pub const IP: u16 = 0x0800u16.to_be();
    pub const IPV6: u16 = 0x86ddu16.to_be();
    pub const VLAN: u16 = 0x8100u16.to_be();
    pub const VLAN_STACKED: u16 = 0x88a8u16.to_be();
}
/// The longest skb that helpers make (`SKB_MAX_ALLOC`).
const SKB_LEN_MAX: usize = 16_064;

/// The packet of an XDP program.
fn xdp<'c>(
    call: &'c mut Call<'_, '_>,
    ctx: u64,
    helper: &'static str,
) -> Result<&'c mut PacketCtx, Trap> {
    let is_skb = call.packet_of(ctx, helper)?.kind() == PacketKind::Skb;
    if is_skb {
        return Err(call.bad_argument(helper, "the packet is an skb, not an XDP buffer"));
    }
    call.packet_of(ctx, helper)
}

/// The packet of a program that gets an skb.
fn skb<'c>(
    call: &'c mut Call<'_, '_>,
    ctx: u64,
    helper: &'static str,
) -> Result<&'c mut PacketCtx, Trap> {
    let is_skb = call.packet_of(ctx, helper)?.kind() == PacketKind::Skb;
    if !is_skb {
        return Err(call.bad_argument(helper, "the packet is an XDP buffer, not an skb"));
    }
    call.packet_of(ctx, helper)
}

/// Copies `len` packet bytes, which start `at` after the first byte of the packet with its headers, to program memory.
fn copy_out(
    call: &mut Call<'_, '_>,
    ctx: u64,
    at: usize,
    to: u64,
    len: u64,
    helper: &'static str,
) -> Result<bool, Trap> {
    let (bytes, _) = call.packet_of(ctx, helper)?.bytes_with_headers();
    let Some(from) = usize::try_from(len)
        .ok()
        .and_then(|n| bytes.get(at..at.checked_add(n)?))
    else {
        return Ok(false);
    };
    let from = from.as_ptr();
    let to = call.write(to, len)?;
    // SAFETY: `from` are `len` bytes of the frame, which nothing has moved since; `to` are as many that may be written. The
    // two may overlap, since a program may name packet bytes as the buffer.
    unsafe { core::ptr::copy(from, to.as_mut_ptr(), to.len()) };
    Ok(true)
}

/// Copies program memory over packet bytes; the range must have been checked.
fn copy_in(
    call: &mut Call<'_, '_>,
    ctx: u64,
    at: usize,
    from: u64,
    len: u64,
    helper: &'static str,
) -> Result<(), Trap> {
    let from = call.read(from, len)?;
    let (from, n) = (from.as_ptr(), from.len());
    if let Some(to) = call.packet_of(ctx, helper)?.bytes_mut().get_mut(at..at + n) {
        // SAFETY: as in `copy_out`, the other way around.
        unsafe { core::ptr::copy(from, to.as_mut_ptr(), n) };
    }
    Ok(())
}

fn int(value: u64) -> i64 {
    i64::from(value as u32 as i32)
}

fn xdp_adjust_head(call: &mut Call<'_, '_>, [ctx, offset, ..]: [u64; 5]) -> Result<u64, Trap> {
    let packet = xdp(call, ctx, "bpf_xdp_adjust_head")?;
    let (offset, frame) = (int(offset), packet.frame());
    let start = frame.data_offset() as i64 + offset;
    let low = (XDP_FRAME_HEADER + frame.meta_len()) as i64;
    let high = (frame.data_offset() + frame.len()) as i64 - ETH_HLEN as i64;
    if start < low || start > high || !packet.move_data(offset) {
        return Ok(failure(Errno::EINVAL));
    }
    Ok(0)
}

fn xdp_adjust_meta(call: &mut Call<'_, '_>, [ctx, offset, ..]: [u64; 5]) -> Result<u64, Trap> {
    let packet = xdp(call, ctx, "bpf_xdp_adjust_meta")?;
    let frame = packet.frame();
    let meta = frame.headroom() as i64 + int(offset);
    let data = frame.data_offset() as i64;
    if meta < XDP_FRAME_HEADER as i64 || meta > data {
        return Ok(failure(Errno::EINVAL));
    }
    let len = (data - meta) as usize;
    // The length must fit `skb_shared_info`'s byte and be a multiple of four.
    if !len.is_multiple_of(4) || len > usize::from(u8::MAX) || !packet.set_meta_len(len) {
        return Ok(failure(Errno::EACCES));
    }
    Ok(0)
}

fn xdp_adjust_tail(call: &mut Call<'_, '_>, [ctx, offset, ..]: [u64; 5]) -> Result<u64, Trap> {
    let packet = xdp(call, ctx, "bpf_xdp_adjust_tail")?;
    let len = packet.frame().len() as i64 + int(offset);
    if len < ETH_HLEN as i64 || !packet.set_len(len as usize) {
        return Ok(failure(Errno::EINVAL));
    }
    Ok(0)
}

fn xdp_get_buff_len(call: &mut Call<'_, '_>, [ctx, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(xdp(call, ctx, "bpf_xdp_get_buff_len")?.frame().len() as u64)
}

/// The checks that loading and storing share.
fn xdp_range(packet: &PacketCtx, offset: u64, len: u64) -> Result<(), Errno> {
    let (offset, len) = (u64::from(offset as u32), u64::from(len as u32));
    if offset > 0xffff || len > 0xffff {
        return Err(Errno::EFAULT);
    }
    if offset + len > packet.frame().len() as u64 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

fn xdp_load_bytes(
    call: &mut Call<'_, '_>,
    [ctx, offset, to, len, _]: [u64; 5],
) -> Result<u64, Trap> {
    let found = xdp_range(xdp(call, ctx, "bpf_xdp_load_bytes")?, offset, len);
    let len = u64::from(len as u32);
    if found.is_ok() {
        copy_out(
            call,
            ctx,
            offset as u32 as usize,
            to,
            len,
            "bpf_xdp_load_bytes",
        )?;
    } else {
        call.write(to, len)?;
    }
    Ok(status(found))
}

fn xdp_store_bytes(
    call: &mut Call<'_, '_>,
    [ctx, offset, from, len, _]: [u64; 5],
) -> Result<u64, Trap> {
    let found = xdp_range(xdp(call, ctx, "bpf_xdp_store_bytes")?, offset, len);
    let len = u64::from(len as u32);
    if found.is_ok() {
        copy_in(
            call,
            ctx,
            offset as u32 as usize,
            from,
            len,
            "bpf_xdp_store_bytes",
        )?;
    } else {
        call.read(from, len)?;
    }
    Ok(status(found))
}
