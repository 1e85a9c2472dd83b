//! Growing and shrinking an skb: at its ends, and between its headers.

use skep_spec::context::skb::slot;
use skep_spec::errno::Errno;

use super::{ETH_HLEN, SKB_LEN_MAX, ether_type, int, skb};
use crate::helper::packet::skb::clear_hash;
use crate::helper::{Call, HelperFn, failure, status};
use crate::packet::PacketCtx;
use crate::trap::Trap;

pub const HELPERS: &[(u32, HelperFn)] = &[
    (31, skb_change_proto),
    (38, skb_change_tail),
    (43, skb_change_head),
    (50, skb_adjust_room),
];

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// `BPF_F_ADJ_ROOM_*`
mod flag {
    pub const FIXED_GSO: u64 = 1;
    pub const ENCAP_L3_IPV4: u64 = 1 << 1;
    pub const ENCAP_L3_IPV6: u64 = 1 << 2;
    pub const ENCAP_L4_GRE: u64 = 1 << 3;
    pub const ENCAP_L4_UDP: u64 = 1 << 4;
    pub const NO_CSUM_RESET: u64 = 1 << 5;
    pub const ENCAP_L2_ETH: u64 = 1 << 6;
    pub const DECAP_L3_IPV4: u64 = 1 << 7;
    pub const DECAP_L3_IPV6: u64 = 1 << 8;
    pub const ENCAP_L2_SHIFT: u32 = 56;
    pub const ENCAP_L3: u64 = ENCAP_L3_IPV4 | ENCAP_L3_IPV6;
    pub const DECAP_L3: u64 = DECAP_L3_IPV4 | DECAP_L3_IPV6;
    pub const ALL: u64 = FIXED_GSO
        | ENCAP_L3
        | ENCAP_L4_GRE
        | ENCAP_L4_UDP
        | NO_CSUM_RESET
        | ENCAP_L2_ETH
        | DECAP_L3
        | 0xff << ENCAP_L2_SHIFT;
}

/// `SKB_GSO_*`
mod gso {
    pub const TCPV4: u32 = 1;
    pub const DODGY: u32 = 1 << 1;
    pub const TCPV6: u32 = 1 << 4;
    pub const UDP_L4: u32 = 1 << 17;
}

/// `BPF_ADJ_ROOM_NET`, `BPF_ADJ_ROOM_MAC`
const ROOM_NET: u64 = 0;
const ROOM_MAC: u64 = 1;

fn is_gso(packet: &PacketCtx) -> bool {
    packet.slot(slot::GSO_SIZE) != 0
}

fn protocol(packet: &PacketCtx) -> u16 {
    packet.slot(slot::PROTOCOL) as u16
}

/// Length of what lies before the network header and behind the MAC header's start.
fn mac_header_len(packet: &PacketCtx) -> usize {
    usize::try_from(packet.skb.network_offset - packet.skb.mac_offset).unwrap_or(0)
}

fn skb_change_tail(call: &mut Call<'_, '_>, [ctx, len, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    let packet = skb(call, ctx, "bpf_skb_change_tail")?;
    let len = len as u32 as usize;
    let mut min = usize::try_from(packet.skb.network_offset).unwrap_or(0);
    if let Some(Ok(transport @ 1..)) = packet.skb.transport_offset.map(usize::try_from) {
        min = transport;
    }
    if flags != 0 || len > SKB_LEN_MAX || len < min {
        return Ok(failure(Errno::EINVAL));
    }
    if packet.skb.encapsulation {
        return Ok(failure(Errno::ENOTSUPP));
    }
    let more = len.saturating_sub(packet.frame().len());
    if !packet.reserve(0, more) || !packet.set_len(len) {
        return Ok(failure(Errno::ENOMEM));
    }
    if is_gso(packet) {
        packet.set_slot(slot::GSO_SIZE, 0);
        packet.set_slot(slot::GSO_SEGS, 0);
        packet.skb.gso_type = 0;
    }
    Ok(0)
}

fn skb_change_head(call: &mut Call<'_, '_>, [ctx, room, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    let packet = skb(call, ctx, "bpf_skb_change_head")?;
    let room = room as u32;
    let len = packet.frame().len() as u64 + u64::from(room);
    if flags != 0 || (!is_gso(packet) && len > SKB_LEN_MAX as u64) || len > u64::from(u32::MAX) {
        return Ok(failure(Errno::EINVAL));
    }
    let n = room as usize;
    if !packet.reserve(n, 0) || !packet.move_data(-i64::from(room)) {
        return Ok(failure(Errno::ENOMEM));
    }
    packet.bytes_mut()[..n].fill(0);
    packet.skb.mac_offset = 0;
    packet.skb.network_offset += room as i32;
    packet.skb.reset_mac_len();
    packet.skb.transport_offset = packet.skb.transport_offset.map(|at| at + room as i32);
    Ok(0)
}

/// Opens `len` zeroed bytes behind the first `at`, or behind a packet that is shorter than that, which the kernel does not
/// refuse. All headers keep their distance from the packet's start.
fn push(packet: &mut PacketCtx, at: usize, len: usize) -> Result<(), Errno> {
    let at = at.min(packet.frame().len());
    if packet.move_header(at, len as i64) {
        Ok(())
    } else {
        Err(Errno::ENOMEM)
    }
}

/// Closes `len` bytes behind the first `at`.
fn pop(packet: &mut PacketCtx, at: usize, len: usize) -> Result<(), Errno> {
    if packet.move_header(at, -(len as i64)) {
        Ok(())
    } else {
        Err(Errno::ENOMEM)
    }
}

fn skb_change_proto(
    call: &mut Call<'_, '_>,
    [ctx, proto, flags, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let packet = skb(call, ctx, "bpf_skb_change_proto")?;
    if flags != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let at = mac_header_len(packet);
    let (done, old, new) = match (protocol(packet), proto as u16) {
        (ether_type::IP, ether_type::IPV6) => (
            push(packet, at, IPV6_HEADER - IPV4_HEADER),
            gso::TCPV4,
            gso::TCPV6,
        ),
        (ether_type::IPV6, ether_type::IP) => (
            pop(packet, at, IPV6_HEADER - IPV4_HEADER),
            gso::TCPV6,
            gso::TCPV4,
        ),
        _ => return Ok(failure(Errno::ENOTSUPP)),
    };
    if let Err(errno) = done {
        return Ok(failure(errno));
    }
    if is_gso(packet) {
        let kind = &mut packet.skb.gso_type;
        if *kind & old != 0 {
            *kind = *kind & !old | new;
        }
        *kind |= gso::DODGY;
    }
    packet.set_slot(slot::PROTOCOL, u64::from(proto as u16));
    clear_hash(packet);
    Ok(0)
}

fn skb_adjust_room(
    call: &mut Call<'_, '_>,
    [ctx, diff, mode, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let packet = skb(call, ctx, "bpf_skb_adjust_room")?;
    Ok(status(adjust_room(
        packet,
        int(diff),
        u64::from(mode as u32),
        flags,
    )))
}

fn adjust_room(packet: &mut PacketCtx, diff: i64, mode: u64, flags: u64) -> Result<(), Errno> {
    let shrink = diff < 0;
    let amount = usize::try_from(diff.unsigned_abs()).unwrap_or(usize::MAX);
    if flags & !flag::ALL != 0 {
        return Err(Errno::EINVAL);
    }
    if amount > 0xfff {
        return Err(Errno::EFAULT);
    }
    let base = match protocol(packet) {
        ether_type::IP => IPV4_HEADER,
        ether_type::IPV6 => IPV6_HEADER,
        _ => return Err(Errno::ENOTSUPP),
    };
    let at = match mode {
        ROOM_NET => mac_header_len(packet) + base,
        ROOM_MAC => mac_header_len(packet),
        _ => return Err(Errno::ENOTSUPP),
    };
    let mut min = base;
    if flags & flag::DECAP_L3 != 0 {
        if !shrink {
            return Err(Errno::EINVAL);
        }
        min = match flags & flag::DECAP_L3 {
            flag::DECAP_L3_IPV4 => IPV4_HEADER,
            flag::DECAP_L3_IPV6 => IPV6_HEADER,
            _ => return Err(Errno::EINVAL),
        };
    }
    let len = packet.frame().len();
    let network = len as i64 - i64::from(packet.skb.network_offset);
    let too_small = amount as i64 >= network || network - (amount as i64) < min as i64;
    if (shrink && too_small) || (!shrink && len + amount > SKB_LEN_MAX && !is_gso(packet)) {
        return Err(Errno::ENOTSUPP);
    }
    if shrink {
        net_shrink(packet, at, amount, flags)?
    } else {
        net_grow(packet, at, amount, flags)?
    }
    if flags & flag::NO_CSUM_RESET == 0 {
        packet.skb.csum_level = None;
    }
    Ok(())
}

/// Whether the packet's GSO kind allows its headers to change length.
fn check_gso(packet: &PacketCtx, flags: u64) -> Result<(), Errno> {
    let kind = packet.skb.gso_type;
    let tcp = kind & (gso::TCPV4 | gso::TCPV6) != 0;
    if is_gso(packet) && !tcp && (kind & gso::UDP_L4 == 0 || flags & flag::FIXED_GSO == 0) {
        return Err(Errno::ENOTSUPP);
    }
    Ok(())
}

fn net_grow(packet: &mut PacketCtx, at: usize, amount: usize, flags: u64) -> Result<(), Errno> {
    check_gso(packet, flags)?;
    let encap = flags & flag::ENCAP_L3 != 0;
    let inner_mac = (flags >> flag::ENCAP_L2_SHIFT) as usize;
    if encap {
        let both = |pair: u64| flags & pair == pair;
        if both(flag::ENCAP_L3)
            || both(flag::ENCAP_L4_GRE | flag::ENCAP_L4_UDP)
            || (flags & flag::ENCAP_L2_ETH != 0 && inner_mac < ETH_HLEN)
        {
            return Err(Errno::EINVAL);
        }
        if packet.skb.encapsulation {
            return Err(Errno::EALREADY);
        }
        if inner_mac > amount {
            return Err(Errno::EINVAL);
        }
    }
    push(packet, at, amount)?;
    if encap {
        packet.skb.encapsulation = true;
        let v6 = flags & flag::ENCAP_L3_IPV6 != 0;
        if flags & (flag::ENCAP_L4_GRE | flag::ENCAP_L4_UDP) != 0 {
            let header = if v6 { IPV6_HEADER } else { IPV4_HEADER };
            packet.skb.transport_offset = Some((mac_header_len(packet) + header) as i32);
        }
        packet.set_slot(
            slot::PROTOCOL,
            u64::from(if v6 { ether_type::IPV6 } else { ether_type::IP }),
        );
    }
    resized_gso(packet, flags, -(amount as i64));
    Ok(())
}

fn net_shrink(packet: &mut PacketCtx, at: usize, amount: usize, flags: u64) -> Result<(), Errno> {
    if flags & !(flag::FIXED_GSO | flag::DECAP_L3 | flag::NO_CSUM_RESET) != 0 {
        return Err(Errno::EINVAL);
    }
    check_gso(packet, flags)?;
    pop(packet, at, amount)?;
    match flags & flag::DECAP_L3 {
        flag::DECAP_L3_IPV6 => packet.set_slot(slot::PROTOCOL, u64::from(ether_type::IPV6)),
        flag::DECAP_L3_IPV4 => packet.set_slot(slot::PROTOCOL, u64::from(ether_type::IP)),
        _ => {}
    }
    resized_gso(packet, flags, amount as i64);
    Ok(())
}

/// Segments lose what the headers gained; their number must be counted anew.
fn resized_gso(packet: &mut PacketCtx, flags: u64, change: i64) {
    if !is_gso(packet) {
        return;
    }
    packet.skb.gso_type |= gso::DODGY;
    packet.set_slot(slot::GSO_SEGS, 0);
    if flags & flag::FIXED_GSO == 0 {
        let size = packet.slot(slot::GSO_SIZE) as i64 + change;
        packet.set_slot(slot::GSO_SIZE, u64::from(size as u16));
    }
}
