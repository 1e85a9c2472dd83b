//! What an skb knows besides its bytes: type, hash, timestamp, and the socket, cgroup and tunnel that packets from a file
//! do not have.
//!
//! Invariant: a packet here belongs to no socket, so every question about one gets the kernel's answer for such a packet.

use skep_spec::context::skb::slot;
use skep_spec::errno::Errno;

use super::{ETH_HLEN, ether_type, skb};
use crate::helper::{Call, HelperFn, failure};
use crate::packet::PacketCtx;
use crate::trap::Trap;

pub const HELPERS: &[(u32, HelperFn)] = &[
    (17, zero),            // get_cgroup_classid
    (20, get_tunnel_key),  //
    (24, zero),            // get_route_realm
    (29, get_tunnel_opt),  //
    (32, skb_change_type), //
    (33, skb_under_cgroup),
    (34, get_hash_recalc),
    (41, set_hash_invalid),
    (46, get_socket_cookie),
    (47, get_socket_uid),
    (48, set_hash),
    (79, zero), // skb_cgroup_id
    (83, zero), // skb_ancestor_cgroup_id
    (84, no_socket),
    (85, no_socket),
    (86, sk_release),
    (97, skb_ecn_set_ce),
    (99, no_socket),
    (151, zero), // skb_cgroup_classid
    (192, skb_set_tstamp),
];

/// The highest packet type that programs may set or change from (`PACKET_OTHERHOST`).
const TYPE_MAX: u64 = 3;
/// The uid of a packet without a socket (`overflowuid`).
const OVERFLOW_UID: u64 = 65_534;

pub(super) fn clear_hash(packet: &mut PacketCtx) {
    packet.set_slot(slot::HASH, 0);
    packet.skb.hashed = false;
}

/// Questions about a cgroup, class or realm that the packet is not in.
fn zero(call: &mut Call<'_, '_>, [ctx, ..]: [u64; 5]) -> Result<u64, Trap> {
    skb(call, ctx, "a question about an skb's socket")?;
    Ok(0)
}

fn get_tunnel_key(call: &mut Call<'_, '_>, [ctx, to, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    skb(call, ctx, "bpf_skb_get_tunnel_key")?;
    call.write(to, u64::from(size as u32))?.fill(0);
    Ok(failure(Errno::EINVAL))
}

fn get_tunnel_opt(call: &mut Call<'_, '_>, [ctx, to, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    skb(call, ctx, "bpf_skb_get_tunnel_opt")?;
    call.write(to, u64::from(size as u32))?.fill(0);
    Ok(failure(Errno::ENOENT))
}

fn skb_change_type(call: &mut Call<'_, '_>, [ctx, kind, ..]: [u64; 5]) -> Result<u64, Trap> {
    let packet = skb(call, ctx, "bpf_skb_change_type")?;
    let kind = u64::from(kind as u32);
    if packet.slot(slot::PKT_TYPE) > TYPE_MAX || kind > TYPE_MAX {
        return Ok(failure(Errno::EINVAL));
    }
    packet.set_slot(slot::PKT_TYPE, kind);
    Ok(0)
}

fn skb_under_cgroup(call: &mut Call<'_, '_>, [ctx, map, ..]: [u64; 5]) -> Result<u64, Trap> {
    call.map(map)?;
    skb(call, ctx, "bpf_skb_under_cgroup")?;
    Ok(failure(Errno::ENOENT))
}

fn get_socket_cookie(call: &mut Call<'_, '_>, [ctx, ..]: [u64; 5]) -> Result<u64, Trap> {
    skb(call, ctx, "bpf_get_socket_cookie")?;
    Ok(0)
}

fn get_socket_uid(call: &mut Call<'_, '_>, [ctx, ..]: [u64; 5]) -> Result<u64, Trap> {
    skb(call, ctx, "bpf_get_socket_uid")?;
    Ok(OVERFLOW_UID)
}

/// `bpf_sk_lookup_tcp` and its kin: no socket listens where packets come from files.
fn no_socket(call: &mut Call<'_, '_>, [ctx, tuple, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    call.read(tuple, u64::from(size as u32))?;
    call.packet_of(ctx, "bpf_sk_lookup")?;
    Ok(0)
}

/// No program here ever holds a socket.
fn sk_release(call: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Err(call.bad_argument("bpf_sk_release", "the argument is no socket"))
}

/// The kernel's hash is keyed with a random number of each boot; this one is the same in every run.
fn get_hash_recalc(call: &mut Call<'_, '_>, [ctx, ..]: [u64; 5]) -> Result<u64, Trap> {
    let packet = skb(call, ctx, "bpf_get_hash_recalc")?;
    if !packet.skb.hashed {
        let hash = flow_hash(packet);
        packet.set_slot(slot::HASH, u64::from(hash));
        packet.skb.hashed = true;
    }
    Ok(packet.slot(slot::HASH))
}

fn set_hash(call: &mut Call<'_, '_>, [ctx, hash, ..]: [u64; 5]) -> Result<u64, Trap> {
    let packet = skb(call, ctx, "bpf_set_hash")?;
    packet.set_slot(slot::HASH, u64::from(hash as u32));
    packet.skb.hashed = true;
    Ok(0)
}

fn set_hash_invalid(call: &mut Call<'_, '_>, [ctx, ..]: [u64; 5]) -> Result<u64, Trap> {
    clear_hash(skb(call, ctx, "bpf_set_hash_invalid")?);
    Ok(0)
}

/// A hash over addresses, protocol and ports (of what is not fragmented); never zero, which means "no hash".
fn flow_hash(packet: &PacketCtx) -> u32 {
    let at = usize::try_from(packet.skb.network_offset).unwrap_or(0);
    let bytes = packet.bytes().get(at..).unwrap_or(&[]);
    let (addresses, protocol, ports) = match packet.slot(slot::PROTOCOL) as u16 {
        ether_type::IP if bytes.len() >= 20 => {
            let header = usize::from(bytes[0] & 0xf) * 4;
            let whole = u16::from_be_bytes([bytes[6], bytes[7]]) & 0x3fff == 0;
            (&bytes[12..20], bytes[9], whole.then_some(header))
        }
        ether_type::IPV6 if bytes.len() >= 40 => (&bytes[8..40], bytes[6], Some(40)),
        _ => (&bytes[..0], 0, None),
    };
    let ports = match (protocol, ports) {
        (6 | 17 | 33 | 132 | 136, Some(start)) => bytes.get(start..start + 4).unwrap_or(&[]),
        _ => &[],
    };
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in addresses.iter().chain(&[protocol]).chain(ports) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    }
    let hash = (hash ^ hash >> 32) as u32;
    hash.max(1)
}

/// The protocol behind all VLAN tags, 0 where the packet ends before.
fn inner_protocol(packet: &PacketCtx) -> u16 {
    const TAGS_MAX: usize = 8;
    let mut protocol = packet.slot(slot::PROTOCOL) as u16;
    // The search starts before the tag's EtherType.
    let mut at = match packet.skb.mac_len {
        0 => ETH_HLEN,
        len => match usize::try_from(len - 4) {
            Ok(at) => at,
            Err(_) if matches!(protocol, ether_type::VLAN | ether_type::VLAN_STACKED) => return 0,
            Err(_) => return protocol,
        },
    };
    for _ in 1..TAGS_MAX {
        if !matches!(protocol, ether_type::VLAN | ether_type::VLAN_STACKED) {
            return protocol;
        }
        let Some(tag) = packet.bytes().get(at..at + 4) else {
            return 0;
        };
        protocol = u16::from_ne_bytes([tag[2], tag[3]]);
        at += 4;
    }
    0
}

/// Marks an IPv4 or IPv6 packet as having met congestion, if it says that it can be. The bytes at the network header are
/// taken for the header even where VLAN tags lie there, as the kernel does.
fn skb_ecn_set_ce(call: &mut Call<'_, '_>, [ctx, ..]: [u64; 5]) -> Result<u64, Trap> {
    const CE: u8 = 3;
    let packet = skb(call, ctx, "bpf_skb_ecn_set_ce")?;
    let protocol = inner_protocol(packet);
    let at = usize::try_from(packet.skb.network_offset).unwrap_or(0);
    let Some(header) = packet.bytes_mut().get_mut(at..) else {
        return Ok(0);
    };
    match protocol {
        ether_type::IP if header.len() >= 20 => {
            let tos = header[1];
            match tos & CE {
                0 => return Ok(0),
                CE => return Ok(1),
                _ => {}
            }
            header[1] = tos | CE;
            // The checksum falls by as much as the field grew, in ones' complement.
            let grown = u16::from(header[1] - tos);
            let (sum, carry) = u16::from_be_bytes([header[10], header[11]]).overflowing_add(!grown);
            header[10..12].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
            Ok(1)
        }
        ether_type::IPV6 if header.len() >= 40 => {
            // The traffic class straddles the first two bytes; its ECN bits are bits 4 and 5 of the second.
            match header[1] >> 4 & CE {
                0 => Ok(0),
                _ => {
                    header[1] |= CE << 4;
                    Ok(1)
                }
            }
        }
        _ => Ok(0),
    }
}

fn skb_set_tstamp(call: &mut Call<'_, '_>, [ctx, tstamp, kind, ..]: [u64; 5]) -> Result<u64, Trap> {
    const REALTIME: u32 = 0;
    const MONOTONIC: u32 = 1;
    const TAI: u32 = 2;
    let packet = skb(call, ctx, "bpf_skb_set_tstamp")?;
    if !matches!(
        packet.slot(slot::PROTOCOL) as u16,
        ether_type::IP | ether_type::IPV6
    ) {
        return Ok(failure(Errno::EOPNOTSUPP));
    }
    let kind = kind as u32;
    match kind {
        REALTIME => {}
        MONOTONIC | TAI if tstamp != 0 => {}
        _ => return Ok(failure(Errno::EINVAL)),
    }
    packet.set_slot(slot::TSTAMP, tstamp);
    packet.set_slot(slot::TSTAMP_TYPE, u64::from(kind));
    Ok(0)
}
