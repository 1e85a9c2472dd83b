//! Link types: what the bytes of a captured packet start with.
//!
//! Numbers: the registry of LINKTYPE_ values at tcpdump.org, which is stable.

use std::fmt;

/// A LINKTYPE_ value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: a four-byte address family in the capturing host's order.
    pub const NULL: LinkType = LinkType(0);
    /// Ethernet.
    pub const ETHERNET: LinkType = LinkType(1);
    /// An IPv4 or IPv6 packet without link-layer header.
    pub const RAW: LinkType = LinkType(101);
    /// OpenBSD loopback: a four-byte address family in network order.
    pub const LOOP: LinkType = LinkType(108);
    /// Linux "cooked" capture, version 1 (`-i any`).
    pub const LINUX_SLL: LinkType = LinkType(113);
    /// An IPv4 packet.
    pub const IPV4: LinkType = LinkType(228);
    /// An IPv6 packet.
    pub const IPV6: LinkType = LinkType(229);
    /// Linux "cooked" capture, version 2.
    pub const LINUX_SLL2: LinkType = LinkType(276);

    /// Where the network header of `packet` starts and its EtherType, for the link types known here. `None` when the packet
    /// is too short to tell, or of another link type.
    pub fn network(self, packet: &[u8]) -> Option<(usize, u16)> {
        let be16 = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
        match self {
            LinkType::ETHERNET => Some((14, be16(12)?)),
            LinkType::LINUX_SLL => Some((16, be16(14)?)),
            LinkType::LINUX_SLL2 => Some((20, be16(0)?)),
            LinkType::RAW => match packet.first()? >> 4 {
                4 => Some((0, 0x0800)),
                6 => Some((0, 0x86dd)),
                _ => None,
            },
            LinkType::IPV4 => Some((0, 0x0800)),
            LinkType::IPV6 => Some((0, 0x86dd)),
            LinkType::NULL | LinkType::LOOP => {
                let word: [u8; 4] = packet.get(..4)?.try_into().ok()?;
                // The family's value depends on the capturing system; these are BSD's, macOS's and Linux's.
                let family = if word[0] == 0 && word[1] == 0 {
                    u32::from_be_bytes(word)
                } else {
                    u32::from_le_bytes(word)
                };
                match family {
                    2 => Some((4, 0x0800)),
                    10 | 24 | 28 | 30 => Some((4, 0x86dd)),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0 => "BSD loopback",
            1 => "Ethernet",
            9 => "PPP",
            101 => "raw IP",
            105 => "IEEE 802.11",
            108 => "OpenBSD loopback",
            113 => "Linux cooked v1",
            127 => "IEEE 802.11 radiotap",
            228 => "raw IPv4",
            229 => "raw IPv6",
            249 => "USBPcap",
            253 => "netlink",
            276 => "Linux cooked v2",
            n => return write!(f, "link type {n}"),
        };
        write!(f, "{name} (link type {})", self.0)
    }
}
