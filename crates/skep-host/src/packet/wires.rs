//! Named wires: captures that come in as interfaces and captures that take what is sent out of them.
//!
//! Invariants: every packet sent to a wire is counted there, whether or not a file takes it; what cannot be delivered is
//! counted with its reason, never dropped silently.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use skep_vm::packet::{Device, Network};

use super::capture::{Interface, LinkType, PcapngWriter, Reader};
use super::hook::Port;

/// An interface made of files.
pub struct Wire {
    /// Its name.
    pub name: String,
    /// Its number, which programs and devmaps use.
    pub ifindex: u32,
    /// Its own address.
    pub mac: [u8; 6],
    /// The longest network-layer packet that it takes.
    pub mtu: u32,
    /// Packets that arrive.
    pub input: Option<Reader<Box<dyn Read>>>,
    /// Where packets that leave are written.
    output: Option<Output>,
    /// What came and went.
    pub counts: WireCounts,
}

struct Output {
    writer: PcapngWriter<Box<dyn Write>>,
    /// The file's interfaces, one for each link type that was written.
    interfaces: Vec<(LinkType, u32)>,
}

/// Packets of a wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireCounts {
    /// Arrived.
    pub received: u64,
    /// Left by the verdict "transmit".
    pub transmitted: u64,
    /// Left by a redirect from this or another wire.
    pub redirected: u64,
}

impl Wire {
    /// A wire without files.
    pub fn new(name: &str, ifindex: u32) -> Wire {
        Wire {
            name: name.to_owned(),
            ifindex,
            mac: [0; 6],
            mtu: 65_536,
            input: None,
            output: None,
            counts: WireCounts::default(),
        }
    }

    /// Packets arrive from this capture.
    pub fn with_input(mut self, input: Reader<Box<dyn Read>>) -> Wire {
        self.input = Some(input);
        self
    }

    /// Packets that leave are written to `out` as pcapng.
    pub fn with_output(mut self, out: Box<dyn Write>) -> Wire {
        self.output = Some(Output {
            writer: PcapngWriter::new(out, "skep"),
            interfaces: Vec::new(),
        });
        self
    }

    pub(super) fn port(&self) -> Port {
        Port {
            ifindex: self.ifindex,
            queue: 0,
            mac: self.mac,
            broadcast: [0xff; 6],
        }
    }

    pub(super) fn send(
        &mut self,
        link: LinkType,
        time: u64,
        bytes: &[u8],
        comment: &str,
    ) -> io::Result<()> {
        let Some(output) = &mut self.output else {
            return Ok(());
        };
        let interface = match output.interfaces.iter().find(|(l, _)| *l == link) {
            Some((_, i)) => *i,
            None => {
                let described = Interface {
                    name: Some(self.name.clone()),
                    ..Interface::new(link)
                };
                let i = output.writer.interface_like(&described)?;
                output.interfaces.push((link, i));
                i
            }
        };
        output
            .writer
            .packet(interface, time, bytes, bytes.len() as u32, comment)
    }
}

/// Why a packet that was sent somewhere arrived nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// The verdict was "redirect", but no helper had said where to.
    NoTarget,
    /// No wire has that number.
    NoWire {
        /// The interface number.
        ifindex: u32,
    },
    /// The packet is longer than the wire takes.
    TooLong {
        /// The interface number.
        ifindex: u32,
    },
    /// The target is an AF_XDP socket, of which there are none here.
    NoSocket {
        /// The map's key.
        key: u32,
    },
    /// The program of the devmap's entry dropped it.
    DroppedByEntry {
        /// The interface number.
        ifindex: u32,
    },
    /// The program of the devmap's entry is not known here.
    NoEntryProgram {
        /// The program's number in the map.
        program: u32,
    },
    /// A broadcast to a map in which nothing else is.
    NobodyListens,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::NoTarget => {
                f.write_str("the verdict was redirect, but no helper had set a target")
            }
            Lost::NoWire { ifindex } => write!(
                f,
                "redirected to interface {ifindex}, but no wire has that number"
            ),
            Lost::TooLong { ifindex } => write!(f, "longer than the MTU of interface {ifindex}"),
            Lost::NoSocket { key } => write!(
                f,
                "redirected to AF_XDP socket {key}, of which there are none here"
            ),
            Lost::DroppedByEntry { ifindex } => {
                write!(
                    f,
                    "dropped by the program of the devmap entry for interface {ifindex}"
                )
            }
            Lost::NoEntryProgram { program } => {
                write!(f, "the devmap entry's program {program} is not loaded here")
            }
            Lost::NobodyListens => f.write_str("broadcast to a devmap without other entries"),
        }
    }
}

/// All wires of a replay.
#[derive(Default)]
pub struct Wires {
    wires: Vec<Wire>,
    /// What arrived nowhere, by reason.
    pub lost: BTreeMap<Lost, u64>,
}

impl Wires {
    /// No wires.
    pub fn new() -> Wires {
        Wires::default()
    }

    /// One wire with a capture, as interface 1: what a replay of a single file is.
    pub fn single(input: Reader<Box<dyn Read>>) -> Wires {
        let mut wires = Wires::new();
        wires.wires.push(Wire::new("lo", 1).with_input(input));
        wires
    }

    /// Adds a wire; `false` when its name or number is taken.
    pub fn add(&mut self, wire: Wire) -> bool {
        let taken = self
            .wires
            .iter()
            .any(|w| w.name == wire.name || w.ifindex == wire.ifindex);
        if !taken {
            self.wires.push(wire);
        }
        !taken
    }

    /// The lowest interface number that is free.
    pub fn free_ifindex(&self) -> u32 {
        (1..)
            .find(|i| self.by_ifindex(*i).is_none())
            .unwrap_or(u32::MAX)
    }

    /// The wires, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Wire> {
        self.wires.iter()
    }

    /// The place of the wire with that number.
    pub fn by_ifindex(&self, ifindex: u32) -> Option<usize> {
        self.wires.iter().position(|w| w.ifindex == ifindex)
    }

    pub(super) fn wire(&mut self, at: usize) -> &mut Wire {
        &mut self.wires[at]
    }

    pub(super) fn len(&self) -> usize {
        self.wires.len()
    }

    /// The network that helpers see: a device for each wire.
    pub fn network(&self) -> Arc<Network> {
        let devices = self
            .wires
            .iter()
            .map(|w| Device {
                ifindex: w.ifindex,
                name: w.name.clone(),
                mtu: w.mtu,
                mac: w.mac,
            })
            .collect();
        Arc::new(Network {
            devices,
            routes: Vec::new(),
            neighbours: Vec::new(),
        })
    }

    pub(super) fn lose(&mut self, why: Lost) {
        *self.lost.entry(why).or_default() += 1;
    }

    /// Sends a packet out of the wire with that number; answers why it could not.
    pub(super) fn deliver(
        &mut self,
        ifindex: u32,
        link: LinkType,
        time: u64,
        bytes: &[u8],
        comment: &str,
    ) -> io::Result<Option<Lost>> {
        // An Ethernet header and a VLAN tag come on top of the MTU.
        const HEADERS: u64 = 18;
        let Some(at) = self.by_ifindex(ifindex) else {
            return Ok(Some(Lost::NoWire { ifindex }));
        };
        let wire = &mut self.wires[at];
        if bytes.len() as u64 > u64::from(wire.mtu) + HEADERS {
            return Ok(Some(Lost::TooLong { ifindex }));
        }
        wire.counts.redirected += 1;
        wire.send(link, time, bytes, comment)?;
        Ok(None)
    }

    /// Writes what the outputs hold back; without it the files may miss packets.
    pub fn finish(&mut self) -> io::Result<()> {
        for wire in &mut self.wires {
            if let Some(output) = wire.output.take() {
                output.writer.finish()?;
            }
        }
        Ok(())
    }
}
