//! Packets as events: capture files in and out, contexts as the kernel builds them, named wires, replay.
//!
//! Invariants: nothing here reads or writes a network device; what a packet's fate was is always counted.

pub mod capture;
pub mod hook;
pub mod replay;
mod socket;
mod tc;
pub mod verdict;
pub mod wires;
mod xdp;

pub use capture::{CaptureError, Interface, LinkType, Packet, PcapWriter, PcapngWriter, Reader};
pub use hook::{Hook, Port, SocketStart, Unfit};
pub use replay::{PacketOutcome, Replay, ReplayError, Report};
pub use verdict::{Fate, Verdict};
pub use wires::{Wire, Wires};
