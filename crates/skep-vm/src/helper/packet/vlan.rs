//! VLAN tags: the one beside the packet (`vlan_tci` and so on) and those inside of it.

use skep_spec::context::skb::slot;
use skep_spec::errno::Errno;

use super::{ETH_HLEN, ether_type, skb};
use crate::helper::{Call, HelperFn, failure, status};
use crate::packet::PacketCtx;
use crate::trap::Trap;

pub const HELPERS: &[(u32, HelperFn)] = &[(18, skb_vlan_push), (19, skb_vlan_pop)];

const VLAN_HLEN: usize = 4;
/// Where the tag, or the EtherType, lies in an Ethernet frame.
const TAG_AT: usize = 12;

fn is_vlan(protocol: u16) -> bool {
    matches!(protocol, ether_type::VLAN | ether_type::VLAN_STACKED)
}

fn put_tag(packet: &mut PacketCtx, protocol: u16, tci: u16) {
    packet.set_slot(slot::VLAN_PRESENT, 1);
    packet.set_slot(slot::VLAN_TCI, u64::from(tci));
    packet.set_slot(slot::VLAN_PROTO, u64::from(protocol));
}

fn skb_vlan_push(call: &mut Call<'_, '_>, [ctx, protocol, tci, ..]: [u64; 5]) -> Result<u64, Trap> {
    let packet = skb(call, ctx, "bpf_skb_vlan_push")?;
    let protocol = protocol as u16;
    let protocol = if is_vlan(protocol) {
        protocol
    } else {
        ether_type::VLAN
    };
    if (packet.slot(slot::VLAN_PRESENT) as u16) != 0 {
        let (old_protocol, old_tci) = (
            (packet.slot(slot::VLAN_PROTO) as u16),
            (packet.slot(slot::VLAN_TCI) as u16),
        );
        if packet.skb.mac_offset != 0 || packet.frame().len() < TAG_AT {
            return Ok(failure(Errno::EINVAL));
        }
        if !packet.move_header(TAG_AT, VLAN_HLEN as i64) {
            return Ok(failure(Errno::ENOMEM));
        }
        let tag = &mut packet.bytes_mut()[TAG_AT..TAG_AT + VLAN_HLEN];
        tag[..2].copy_from_slice(&old_protocol.to_ne_bytes());
        tag[2..].copy_from_slice(&old_tci.to_be_bytes());
        packet.set_slot(slot::PROTOCOL, u64::from(old_protocol));
    }
    put_tag(packet, protocol, tci as u16);
    packet.skb.reset_mac_len();
    Ok(0)
}

/// Takes the first tag out of the packet's bytes; answers its TCI.
fn take_tag(packet: &mut PacketCtx) -> Result<u16, Errno> {
    if packet.skb.mac_offset != 0 {
        return Err(Errno::EINVAL);
    }
    let bytes = packet.bytes();
    if bytes.len() < ETH_HLEN + VLAN_HLEN {
        return Err(Errno::ENOMEM);
    }
    let tci = u16::from_be_bytes([bytes[14], bytes[15]]);
    let inner = crate::packet::ethernet_protocol(&bytes[VLAN_HLEN..]);
    if !packet.move_header(TAG_AT, -(VLAN_HLEN as i64)) {
        return Err(Errno::ENOMEM);
    }
    packet.set_slot(slot::PROTOCOL, u64::from(inner));
    packet.skb.network_offset = (packet.skb.network_offset - VLAN_HLEN as i32).max(ETH_HLEN as i32);
    packet.skb.reset_mac_len();
    packet.skb.transport_offset = packet.skb.transport_offset.map(|at| at - VLAN_HLEN as i32);
    Ok(tci)
}

fn pop_tag(packet: &mut PacketCtx) -> Result<(), Errno> {
    if (packet.slot(slot::VLAN_PRESENT) as u16) != 0 {
        packet.set_slot(slot::VLAN_PRESENT, 0);
        packet.set_slot(slot::VLAN_TCI, 0);
        packet.set_slot(slot::VLAN_PROTO, 0);
    } else {
        if !is_vlan(packet.slot(slot::PROTOCOL) as u16) {
            return Ok(());
        }
        take_tag(packet)?;
    }
    // The next tag moves from the bytes to the fields.
    let protocol = packet.slot(slot::PROTOCOL) as u16;
    if is_vlan(protocol) {
        let tci = take_tag(packet)?;
        put_tag(packet, protocol, tci);
    }
    Ok(())
}

fn skb_vlan_pop(call: &mut Call<'_, '_>, [ctx, ..]: [u64; 5]) -> Result<u64, Trap> {
    let packet = skb(call, ctx, "bpf_skb_vlan_pop")?;
    Ok(status(pop_tag(packet)))
}
