//! `bpf_fib_lookup` and `bpf_check_mtu`: questions about the network, answered from the packet's [`Network`] table.
//!
//! Invariants: every device of the table forwards; a destination without a route is "not forwarded", as in a kernel
//! without routes; nothing is answered that the table does not hold.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use skep_spec::context::skb::slot;
use skep_spec::errno::Errno;

use super::{Call, HelperFn, failure};
use crate::packet::{Network, PacketKind, RouteKind};
use crate::trap::Trap;

pub const HELPERS: &[(u32, HelperFn)] = &[(69, fib_lookup), (163, check_mtu)];

/// Length of an Ethernet header.
const ETH_HLEN: i64 = 14;

/// `sizeof(struct bpf_fib_lookup)`
const PARAMS: usize = 64;
/// All `BPF_FIB_LOOKUP_*` flags: DIRECT, OUTPUT, SKIP_NEIGH, TBID, SRC, MARK.
const FLAGS: u64 = 0x3f;
const SKIP_NEIGH: u64 = 1 << 2;
const TBID: u64 = 1 << 3;
const SRC: u64 = 1 << 4;

/// `BPF_FIB_LKUP_RET_*`
mod answer {
    pub const SUCCESS: u64 = 0;
    pub const BLACKHOLE: u64 = 1;
    pub const UNREACHABLE: u64 = 2;
    pub const PROHIBIT: u64 = 3;
    pub const NOT_FWDED: u64 = 4;
    pub const NO_NEIGH: u64 = 7;
    pub const FRAG_NEEDED: u64 = 8;
    pub const NO_SRC_ADDR: u64 = 9;
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Offsets in `struct bpf_fib_lookup`.
mod at {
    pub const FAMILY: usize = 0;
    pub const TOT_LEN: usize = 6;
    pub const IFINDEX: usize = 8;
    pub const METRIC: usize = 12;
    pub const SRC: usize = 16;
    pub const DST: usize = 32;
    pub const VLAN: usize = 48;
    pub const SMAC: usize = 52;
    pub const DMAC: usize = 58;
}

fn fib_lookup(
    call: &mut Call<'_, '_>,
    [ctx, params, len, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let len = len as u32 as i32;
    let packet = call.packet_of(ctx, "bpf_fib_lookup")?;
    let network = packet.network.clone();
    let (is_skb, packet_len) = (
        packet.kind() == PacketKind::Skb,
        packet.frame().len() as u64,
    );
    let flags = u64::from(flags as u32);
    if len < PARAMS as i32 || flags & !FLAGS != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let block = call.write(params, PARAMS as u64)?;
    let Some(block) = block.first_chunk_mut::<PARAMS>() else {
        return Ok(failure(Errno::EINVAL));
    };
    Ok(lookup(&network, block, flags, is_skb.then_some(packet_len)))
}

/// The lookup proper: changes the parameters and answers as the helper does. An skb's length is checked against the route's
/// device where the program gave no length.
fn lookup(network: &Network, p: &mut [u8; PARAMS], flags: u64, skb_len: Option<u64>) -> u64 {
    let u32_at =
        |p: &[u8; PARAMS], at: usize| u32::from_ne_bytes([p[at], p[at + 1], p[at + 2], p[at + 3]]);
    let mut octets = [0u8; 16];
    octets.copy_from_slice(&p[at::DST..at::DST + 16]);
    let destination = match p[at::FAMILY] {
        AF_INET => IpAddr::V4(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3])),
        AF_INET6 => IpAddr::V6(Ipv6Addr::from(octets)),
        _ => return failure(Errno::EAFNOSUPPORT),
    };
    if let IpAddr::V6(to) = destination {
        let mut from = [0; 16];
        from.copy_from_slice(&p[at::SRC..at::SRC + 16]);
        let local = |a: Ipv6Addr| a.is_multicast() || a.is_unicast_link_local() || a.is_loopback();
        if local(to) || local(Ipv6Addr::from(from)) {
            return answer::NOT_FWDED;
        }
    }
    if network.device(u32_at(p, at::IFINDEX)).is_none() {
        return failure(Errno::ENODEV);
    }
    // Other tables than the one given do not exist.
    if flags & TBID != 0 {
        return answer::NOT_FWDED;
    }
    let Some(route) = network.route(destination) else {
        return answer::NOT_FWDED;
    };
    let (ifindex, gateway) = match route.kind {
        RouteKind::Unicast { ifindex, gateway } => (ifindex, gateway),
        RouteKind::Local => return answer::NOT_FWDED,
        RouteKind::Blackhole => return answer::BLACKHOLE,
        RouteKind::Unreachable => return answer::UNREACHABLE,
        RouteKind::Prohibit => return answer::PROHIBIT,
    };
    let Some(device) = network.device(ifindex) else {
        return answer::NOT_FWDED;
    };
    let total = u16::from_ne_bytes([p[at::TOT_LEN], p[at::TOT_LEN + 1]]);
    let checked = match skb_len {
        None => u64::from(total),
        Some(_) if total != 0 => u64::from(total),
        Some(len) => len.saturating_sub(ETH_HLEN as u64),
    };
    let mtu = device.mtu.min(u32::from(u16::MAX)) as u16;
    if checked > u64::from(device.mtu) {
        p[at::TOT_LEN..at::TOT_LEN + 2].copy_from_slice(&mtu.to_ne_bytes());
        return answer::FRAG_NEEDED;
    }
    if flags & SRC != 0 {
        // The table holds no addresses of this host.
        return answer::NO_SRC_ADDR;
    }
    p[at::TOT_LEN..at::TOT_LEN + 2].copy_from_slice(&mtu.to_ne_bytes());
    p[at::METRIC..at::METRIC + 4].copy_from_slice(&route.metric.to_ne_bytes());
    p[at::IFINDEX..at::IFINDEX + 4].copy_from_slice(&ifindex.to_ne_bytes());
    let next_hop = gateway.unwrap_or(destination);
    match next_hop {
        IpAddr::V4(a) => {
            if gateway.is_some() {
                // An IPv6 destination behind an IPv4 gateway does not exist; the family stays.
                p[at::DST..at::DST + 4].copy_from_slice(&a.octets());
            }
        }
        IpAddr::V6(a) => {
            if gateway.is_some() {
                p[at::FAMILY] = AF_INET6;
                p[at::DST..at::DST + 16].copy_from_slice(&a.octets());
            }
        }
    }
    if flags & SKIP_NEIGH == 0 {
        let Some(mac) = network.neighbour(ifindex, next_hop) else {
            return answer::NO_NEIGH;
        };
        p[at::DMAC..at::DMAC + 6].copy_from_slice(&mac);
        p[at::SMAC..at::SMAC + 6].copy_from_slice(&device.mac);
    }
    p[at::VLAN..at::VLAN + 4].fill(0);
    answer::SUCCESS
}

/// `BPF_MTU_CHK_RET_*`
const MTU_OK: u64 = 0;
const MTU_FRAG_NEEDED: u64 = 1;
const CHECK_SEGMENTS: u64 = 1;

fn check_mtu(
    call: &mut Call<'_, '_>,
    [ctx, ifindex, mtu_len, len_diff, flags]: [u64; 5],
) -> Result<u64, Trap> {
    let wanted = call.write(mtu_len, 4)?;
    let given = u32::from_ne_bytes([wanted[0], wanted[1], wanted[2], wanted[3]]);
    let packet = call.packet_of(ctx, "bpf_check_mtu")?;
    let diff = i64::from(len_diff as u32 as i32);
    let is_skb = packet.kind() == PacketKind::Skb;
    let allowed = if is_skb { CHECK_SEGMENTS } else { 0 };
    if flags & !allowed != 0 || (flags & CHECK_SEGMENTS != 0 && (diff != 0 || given != 0)) {
        return Ok(failure(Errno::EINVAL));
    }
    let own = if is_skb { "ifindex" } else { "ingress_ifindex" };
    let ifindex = match ifindex as u32 {
        0 => packet.field(own).unwrap_or(0) as u32,
        other => other,
    };
    let Some(mtu) = packet.network.device(ifindex).map(|d| d.mtu) else {
        return Ok(failure(Errno::ENODEV));
    };
    let len = if given != 0 {
        i64::from(given) + ETH_HLEN
    } else {
        packet.frame().len() as i64
    };
    let fits = len + diff <= i64::from(mtu) + ETH_HLEN;
    // A GSO packet is cut into segments before it leaves.
    let gso = is_skb && (packet.slot(slot::GSO_SIZE) != 0);
    call.write(mtu_len, 4)?.copy_from_slice(&mtu.to_ne_bytes());
    Ok(if fits || gso { MTU_OK } else { MTU_FRAG_NEEDED })
}

#[cfg(test)]
mod tests;
