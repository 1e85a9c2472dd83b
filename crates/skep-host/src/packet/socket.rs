//! The context of programs whose skb starts at the network header: socket filters, cgroups, lightweight tunnels.
//!
//! The MAC header stays before the packet, where loads relative to it find it. A cgroup's program also sees the addresses
//! that the kernel's test run gives the packet's socket: the source as local, the destination as remote.

use skep_spec::context::skb::{CGROUP, slot};
use skep_vm::packet::{FrameError, PacketCtx, ethernet_protocol};

use super::capture::LinkType;
use super::hook::{Port, Unfit};
use super::tc::{load_bare, packet_type, set_common};

const ETH_HLEN: usize = 14;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;

pub(super) fn load(
    ctx: &mut PacketCtx,
    packet: &[u8],
    link: LinkType,
    port: &Port,
) -> Result<(), Unfit> {
    if link == LinkType::ETHERNET {
        if packet.len() < ETH_HLEN {
            return Err(Unfit::Frame(FrameError::TooShort { len: packet.len() }));
        }
        ctx.load(packet).map_err(Unfit::Frame)?;
        ctx.move_data(ETH_HLEN as i64);
        ctx.skb.mac_offset = -(ETH_HLEN as i32);
        set_common(
            ctx,
            port,
            ethernet_protocol(packet),
            packet_type(packet, port),
        );
    } else {
        load_bare(ctx, packet, link, port)?;
    }
    if std::ptr::eq(ctx.layout(), &CGROUP) {
        set_addresses(ctx);
    }
    Ok(())
}

fn set_addresses(ctx: &mut PacketCtx) {
    let word = |at: usize, bytes: &[u8]| {
        u64::from(u32::from_ne_bytes([
            bytes[at],
            bytes[at + 1],
            bytes[at + 2],
            bytes[at + 3],
        ]))
    };
    let mut header = [0; 40];
    let have = ctx.bytes().len().min(40);
    header[..have].copy_from_slice(&ctx.bytes()[..have]);
    match u16::from_be(ctx.slot(slot::PROTOCOL) as u16) {
        0x0800 if have >= 20 => {
            ctx.set_slot(slot::FAMILY, AF_INET);
            ctx.set_slot(slot::LOCAL_IP4, word(12, &header));
            ctx.set_slot(slot::REMOTE_IP4, word(16, &header));
        }
        0x86dd if have >= 40 => {
            ctx.set_slot(slot::FAMILY, AF_INET6);
            for i in 0..4 {
                ctx.set_slot(slot::LOCAL_IP6 + i, word(8 + 4 * i, &header));
                ctx.set_slot(slot::REMOTE_IP6 + i, word(24 + 4 * i, &header));
            }
        }
        _ => {}
    }
}
