//! The context of programs whose skb starts at the MAC header: traffic control, and a socket filter on AF_PACKET.
//!
//! Fields are those that the kernel's test run sets; `wire_len` is the packet's length, as on a real interface. Packets
//! without a MAC header (raw IP captures) come as from a tunnel device: they start at the network header.

use skep_spec::context::skb::slot;
use skep_vm::packet::{FrameError, PacketCtx, ethernet_protocol};

use super::capture::LinkType;
use super::hook::{Port, Unfit};

const ETH_HLEN: usize = 14;
const VLAN_HLEN: usize = 4;

/// `PACKET_*`: to this host, to all, to several, to another host.
mod kind {
    pub const HOST: u64 = 0;
    pub const BROADCAST: u64 = 1;
    pub const MULTICAST: u64 = 2;
    pub const OTHERHOST: u64 = 3;
}

/// `pkt_type` by the destination address of the frame.
pub(super) fn packet_type(frame: &[u8], port: &Port) -> u64 {
    match frame.first_chunk::<6>() {
        Some(to) if *to == port.mac => kind::HOST,
        Some(to) if *to == port.broadcast => kind::BROADCAST,
        Some([first, ..]) if first & 1 != 0 => kind::MULTICAST,
        _ => kind::OTHERHOST,
    }
}

/// Fields that do not depend on where the packet starts.
pub(super) fn set_common(ctx: &mut PacketCtx, port: &Port, protocol: u16, pkt_type: u64) {
    ctx.set_slot(slot::PROTOCOL, u64::from(protocol));
    ctx.set_slot(slot::PKT_TYPE, pkt_type);
    ctx.set_slot(slot::IFINDEX, u64::from(port.ifindex));
    ctx.set_slot(slot::WIRE_LEN, ctx.slot(slot::LEN));
}

pub(super) fn load(
    ctx: &mut PacketCtx,
    packet: &[u8],
    link: LinkType,
    port: &Port,
    untag_vlan: bool,
) -> Result<(), Unfit> {
    if link != LinkType::ETHERNET {
        return load_bare(ctx, packet, link, port);
    }
    if packet.len() < ETH_HLEN {
        return Err(Unfit::Frame(FrameError::TooShort { len: packet.len() }));
    }
    ctx.load(packet).map_err(Unfit::Frame)?;
    ctx.skb.network_offset = ETH_HLEN as i32;
    let mut protocol = ethernet_protocol(packet);
    let tagged = matches!(u16::from_be(protocol), 0x8100 | 0x88a8);
    if untag_vlan && tagged && packet.len() >= ETH_HLEN + VLAN_HLEN {
        ctx.set_slot(slot::VLAN_PRESENT, 1);
        ctx.set_slot(
            slot::VLAN_TCI,
            u64::from(u16::from_be_bytes([packet[14], packet[15]])),
        );
        ctx.set_slot(slot::VLAN_PROTO, u64::from(protocol));
        protocol = ethernet_protocol(&packet[VLAN_HLEN..]);
        ctx.move_header(12, -(VLAN_HLEN as i64));
    }
    set_common(ctx, port, protocol, packet_type(packet, port));
    Ok(())
}

/// A packet without a MAC header.
pub(super) fn load_bare(
    ctx: &mut PacketCtx,
    packet: &[u8],
    link: LinkType,
    port: &Port,
) -> Result<(), Unfit> {
    let (start, protocol) = link.network(packet).ok_or(Unfit::Protocol(link))?;
    ctx.load(packet.get(start..).unwrap_or(&[]))
        .map_err(Unfit::Frame)?;
    set_common(ctx, port, protocol.to_be(), kind::HOST);
    Ok(())
}
