//! The context of an XDP program: a frame with 256 bytes before it and the interface that it came from.

use skep_spec::context::xdp::slot;
use skep_vm::packet::{FrameError, PacketCtx};

use super::capture::LinkType;
use super::hook::{Port, Unfit};

/// Shorter frames never reach an XDP program.
const ETH_HLEN: usize = 14;

#[inline]
pub(super) fn load(
    ctx: &mut PacketCtx,
    packet: &[u8],
    link: LinkType,
    port: &Port,
) -> Result<(), Unfit> {
    if link != LinkType::ETHERNET {
        return Err(Unfit::Link(link));
    }
    if packet.len() < ETH_HLEN {
        return Err(Unfit::Frame(FrameError::TooShort { len: packet.len() }));
    }
    ctx.load(packet).map_err(Unfit::Frame)?;
    ctx.set_slot(slot::INGRESS_IFINDEX, u64::from(port.ifindex));
    ctx.set_slot(slot::RX_QUEUE_INDEX, u64::from(port.queue));
    Ok(())
}
