//! Sending packets elsewhere: to a device, a map's entry, a peer or a neighbour, now or when the verdict says so.
//!
//! Invariants: a helper only notes the wish in the packet; the host carries it out when the verdict is "redirect", and
//! says what had nowhere to go.

use alloc::vec::Vec;
use skep_spec::context::skb::slot;
use skep_spec::errno::Errno;
use skep_spec::map::MapType;

use super::{Call, HelperFn, failure};
use crate::map::Map;
use crate::packet::{ClonedPacket, EntryKind, PacketKind, Redirect, RedirectEntry, RedirectTarget};
use crate::trap::Trap;

pub const HELPERS: &[(u32, HelperFn)] = &[
    (13, clone_redirect),
    (23, redirect),
    (51, redirect_map),
    (152, redirect_neigh),
    (155, redirect_peer),
];

const XDP_ABORTED: u64 = 0;
const XDP_REDIRECT: u64 = 4;
const TC_ACT_SHOT: u64 = 2;
const TC_ACT_REDIRECT: u64 = 7;

const INGRESS: u64 = 1;
/// Verdicts that `bpf_redirect_map`'s flags may name for a missing entry: `XDP_ABORTED` to `XDP_TX`.
const ACTION_MASK: u64 = 3;
const BROADCAST: u64 = 1 << 3;
const EXCLUDE_INGRESS: u64 = 1 << 4;
/// `sizeof(struct bpf_redir_neigh)`
const NEIGHBOUR_SIZE: u64 = 20;

fn redirect(call: &mut Call<'_, '_>, [ifindex, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    let Some(packet) = call.packet() else {
        return Err(call.bad_argument("bpf_redirect", "there is no packet to redirect"));
    };
    let (refused, redirected, allowed) = match packet.kind() {
        PacketKind::Skb => (TC_ACT_SHOT, TC_ACT_REDIRECT, INGRESS),
        _ => (XDP_ABORTED, XDP_REDIRECT, 0),
    };
    if flags & !allowed != 0 {
        return Ok(refused);
    }
    packet.redirect = Some(Redirect {
        target: RedirectTarget::Interface(ifindex as u32),
        flags,
    });
    Ok(redirected)
}

fn redirect_peer(call: &mut Call<'_, '_>, [ifindex, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    let Some(packet) = call.packet() else {
        return Err(call.bad_argument("bpf_redirect_peer", "there is no packet to redirect"));
    };
    if flags != 0 {
        return Ok(TC_ACT_SHOT);
    }
    packet.redirect = Some(Redirect {
        target: RedirectTarget::Peer(ifindex as u32),
        flags,
    });
    Ok(TC_ACT_REDIRECT)
}

fn redirect_neigh(
    call: &mut Call<'_, '_>,
    [ifindex, params, len, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let len = u64::from(len as u32);
    call.read(params, len)?;
    let Some(packet) = call.packet() else {
        return Err(call.bad_argument("bpf_redirect_neigh", "there is no packet to redirect"));
    };
    if (len != 0 && len < NEIGHBOUR_SIZE) || flags != 0 {
        return Ok(TC_ACT_SHOT);
    }
    packet.redirect = Some(Redirect {
        target: RedirectTarget::Neighbour(ifindex as u32),
        flags,
    });
    Ok(TC_ACT_REDIRECT)
}

fn clone_redirect(
    call: &mut Call<'_, '_>,
    [ctx, ifindex, flags, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let packet = call.packet_of(ctx, "bpf_clone_redirect")?;
    let ifindex = ifindex as u32;
    if flags & !INGRESS != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    if (packet.slot(slot::GSO_SIZE) != 0) && packet.skb.gso_type == 0 {
        return Ok(failure(Errno::EBADMSG));
    }
    if packet.network.device(ifindex).is_none() {
        return Ok(failure(Errno::EINVAL));
    }
    let bytes = packet.bytes().to_vec();
    packet.clones.push(ClonedPacket {
        ifindex,
        flags,
        bytes,
    });
    Ok(0)
}

/// What the entries of a redirect map lead to.
fn entry_kind(map: &dyn Map) -> Option<EntryKind> {
    match map.def().map_type {
        MapType::Devmap | MapType::DevmapHash => Some(EntryKind::Device),
        MapType::Cpumap => Some(EntryKind::Cpu),
        MapType::Xskmap => Some(EntryKind::Socket),
        _ => None,
    }
}

/// The entry of a key. An interface's or queue's word is never zero; an entry without a program has none in its second.
fn entry(map: &dyn Map, kind: EntryKind, key: u32, cpu: u32) -> Option<RedirectEntry> {
    let value = map.lookup(&key.to_ne_bytes(), cpu)?;
    let word = |at: u32| {
        if at + 4 > map.def().value_size {
            return 0;
        }
        // SAFETY: a lookup answers the address of `value_size` bytes that stay readable as long as the map lives, and the
        // word lies within them; another thread's store to it may be seen or not.
        u32::from_ne_bytes(unsafe {
            value
                .as_ptr()
                .add(at as usize)
                .cast::<[u8; 4]>()
                .read_volatile()
        })
    };
    Some(RedirectEntry {
        kind,
        key,
        value: word(0),
        program: word(4),
    })
}

fn redirect_map(call: &mut Call<'_, '_>, [map, key, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = call.map(map)?;
    let cpu = call.cpu();
    let Some(kind) = entry_kind(map) else {
        return Err(call.bad_argument("bpf_redirect_map", "the map is no devmap, cpumap or xskmap"));
    };
    let Some(packet) = call.packet() else {
        return Err(call.bad_argument("bpf_redirect_map", "there is no packet to redirect"));
    };
    let allowed = if kind == EntryKind::Device {
        BROADCAST | EXCLUDE_INGRESS
    } else {
        0
    };
    if flags & !(ACTION_MASK | allowed) != 0 {
        return Ok(XDP_ABORTED);
    }
    if flags & BROADCAST != 0 {
        let ingress = packet.field("ingress_ifindex").unwrap_or(0) as u32;
        let mut entries = Vec::new();
        let mut at: Option<Vec<u8>> = None;
        let mut next = Vec::new();
        while map.next_key(at.as_deref(), &mut next).is_ok() {
            let Ok(key) = <[u8; 4]>::try_from(&next[..]) else {
                break;
            };
            if let Some(found) = entry(map, kind, u32::from_ne_bytes(key), cpu)
                && (flags & EXCLUDE_INGRESS == 0 || found.value != ingress)
            {
                entries.push(found);
            }
            at = Some(core::mem::take(&mut next));
        }
        packet.redirect = Some(Redirect {
            target: RedirectTarget::Broadcast(entries),
            flags,
        });
        return Ok(XDP_REDIRECT);
    }
    match entry(map, kind, key as u32, cpu) {
        Some(found) => {
            packet.redirect = Some(Redirect {
                target: RedirectTarget::Entry(found),
                flags,
            });
            Ok(XDP_REDIRECT)
        }
        None => {
            // The last lookup takes precedence, also when it finds nothing.
            packet.redirect = None;
            Ok(flags & ACTION_MASK)
        }
    }
}
