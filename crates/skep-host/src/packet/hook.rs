//! Hooks that take packets: which context each builds from a captured frame, and what its answers mean.
//!
//! Invariants: a context holds what the kernel's test run puts there for the same bytes; what a capture cannot tell (a
//! socket, a tunnel, a hardware timestamp) is absent, never invented.

use std::fmt;

use skep_spec::context;
use skep_spec::program::{AttachType, ProgramType};
use skep_vm::packet::{FrameError, PacketCtx, PacketKind};

use super::capture::LinkType;
use super::verdict::{self, Verdict};
use super::{socket, tc, xdp};

/// A place where programs see packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// At the device, before there is an skb.
    Xdp {
        /// Whether the program takes packets of several buffers (`xdp.frags`).
        frags: bool,
    },
    /// At a redirect's target (`xdp/devmap`).
    XdpDevmap,
    /// Traffic control: classifier or action. The packet starts at its MAC header.
    Tc {
        /// Whether a VLAN tag is taken out of the packet before the program sees it, as a receiving device does.
        untag_vlan: bool,
    },
    /// A socket's filter.
    Socket(SocketStart),
    /// A cgroup's packets. They start at the network header.
    CgroupSkb {
        /// Whether they arrive.
        ingress: bool,
    },
    /// A lightweight tunnel's packets. They start at the network header.
    Lwt,
}

/// Where a socket filter's packet starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SocketStart {
    /// At the network header, as in the kernel's test run and for IP sockets' raw filters.
    #[default]
    Network,
    /// At the MAC header, as an AF_PACKET socket sees it.
    Mac,
}

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The interface's number.
    pub ifindex: u32,
    /// The receive queue.
    pub queue: u32,
    /// The interface's own address: decides `pkt_type`.
    pub mac: [u8; 6],
    /// Its broadcast address; the loopback device's is zero.
    pub broadcast: [u8; 6],
}

impl Default for Port {
    /// The loopback device, where the kernel's test run believes to be.
    fn default() -> Port {
        Port {
            ifindex: 1,
            queue: 0,
            mac: [0; 6],
            broadcast: [0; 6],
        }
    }
}

/// Why a captured packet cannot be given to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its length does not suit the hook.
    Frame(FrameError),
    /// It does not start with a header that the hook can take.
    Link(LinkType),
    /// Its network protocol cannot be told.
    Protocol(LinkType),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Frame(FrameError::TooLong { len, max }) => write!(
                f,
                "a packet of {len} bytes is longer than one XDP buffer ({max} bytes); a program in section xdp.frags takes it"
            ),
            Unfit::Frame(e) => e.fmt(f),
            Unfit::Link(link) => write!(f, "the hook needs Ethernet frames, these are {link}"),
            Unfit::Protocol(link) => {
                write!(f, "no network protocol can be told from this {link} packet")
            }
        }
    }
}

impl std::error::Error for Unfit {}

impl Hook {
    /// The hook of a kind of program; `None` for programs that see no packets (or only a socket's stream).
    pub fn for_program(
        program: ProgramType,
        attach: Option<AttachType>,
        frags: bool,
    ) -> Option<Hook> {
        Some(match program {
            ProgramType::Xdp if attach == Some(AttachType::XdpDevmap) => Hook::XdpDevmap,
            ProgramType::Xdp => Hook::Xdp { frags },
            ProgramType::SchedCls | ProgramType::SchedAct => Hook::Tc { untag_vlan: false },
            ProgramType::SocketFilter => Hook::Socket(SocketStart::Network),
            ProgramType::CgroupSkb => Hook::CgroupSkb {
                ingress: attach != Some(AttachType::CgroupInetEgress),
            },
            ProgramType::LwtIn | ProgramType::LwtOut | ProgramType::LwtXmit => Hook::Lwt,
            _ => return None,
        })
    }

    /// A context for the hook's packets, to be reused for all of them.
    pub fn context(self) -> PacketCtx {
        match self {
            Hook::Xdp { frags: false } => PacketCtx::new(&context::xdp::XDP, PacketKind::Xdp),
            Hook::Xdp { frags: true } => PacketCtx::new(&context::xdp::XDP, PacketKind::XdpFrags),
            Hook::XdpDevmap => PacketCtx::new(&context::xdp::DEVMAP, PacketKind::XdpFrags),
            Hook::Tc { .. } => PacketCtx::new(&context::skb::TC, PacketKind::Skb),
            Hook::Socket(_) => PacketCtx::new(&context::skb::SOCKET_FILTER, PacketKind::Skb),
            Hook::CgroupSkb { .. } => PacketCtx::new(&context::skb::CGROUP, PacketKind::Skb),
            Hook::Lwt => PacketCtx::new(&context::skb::LWT, PacketKind::Skb),
        }
    }

    /// Puts a captured packet into the context.
    #[inline]
    pub fn load(
        self,
        ctx: &mut PacketCtx,
        packet: &[u8],
        link: LinkType,
        port: &Port,
    ) -> Result<(), Unfit> {
        match self {
            Hook::Xdp { .. } | Hook::XdpDevmap => xdp::load(ctx, packet, link, port),
            Hook::Tc { untag_vlan } => tc::load(ctx, packet, link, port, untag_vlan),
            Hook::Socket(SocketStart::Mac) => tc::load(ctx, packet, link, port, false),
            Hook::Socket(SocketStart::Network) | Hook::CgroupSkb { .. } | Hook::Lwt => {
                socket::load(ctx, packet, link, port)
            }
        }
    }

    /// The bytes of the packet as it leaves the program, from its link-layer header on.
    pub fn bytes(self, ctx: &PacketCtx) -> &[u8] {
        match self {
            Hook::Socket(SocketStart::Network) | Hook::CgroupSkb { .. } | Hook::Lwt => {
                ctx.bytes_with_headers().0
            }
            _ => ctx.bytes(),
        }
    }

    /// Everything that the hook's programs can answer.
    pub fn verdicts(self) -> &'static [Verdict] {
        match self {
            Hook::Xdp { .. } | Hook::XdpDevmap => verdict::XDP,
            Hook::Tc { .. } => verdict::TC,
            Hook::Socket(_) => verdict::SOCKET,
            Hook::CgroupSkb { .. } => verdict::CGROUP_SKB,
            Hook::Lwt => verdict::LWT,
        }
    }

    /// Which of [`Hook::verdicts`] an r0 is.
    #[inline]
    pub fn judge(self, r0: u64) -> usize {
        let value = r0 as u32;
        match self {
            Hook::Xdp { .. } | Hook::XdpDevmap => (value as usize).min(verdict::XDP.len() - 1),
            Hook::Tc { .. } => match value as i32 {
                known @ -1..=8 => (known + 1) as usize,
                _ => verdict::TC.len() - 1,
            },
            Hook::Socket(_) => usize::from(value != 0),
            // Two bits: whether it passes, and (leaving) whether it met congestion.
            Hook::CgroupSkb { ingress: true } => (value & 1) as usize,
            Hook::CgroupSkb { ingress: false } => (value & 3) as usize,
            Hook::Lwt => match value {
                0 => 0,
                2 => 1,
                7 => 2,
                128 => 3,
                _ => 4,
            },
        }
    }
}

#[cfg(test)]
mod tests;
