//! The pcapng format: sections of blocks; interfaces are described, packets refer to them, other blocks are stepped over.
//!
//! Layout: draft-ietf-opsawg-pcapng, sections 3 and 4. Block lengths are checked at both ends of a block.

use std::io::Read;

use super::{
    CaptureError, Fault, Found, Interface, LinkType, Order, PACKET_MAX, Resolution, Window,
};

pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Block type, length, and the length again behind the body.
const FRAME: usize = 12;
/// What a block with options may take beside its packet.
const OPTIONS_MAX: usize = 1 << 20;
/// Interfaces that one file may describe: each takes memory for the whole read.
const INTERFACES_MAX: usize = 65_536;

pub(super) struct State {
    order: Order,
    /// Index of the section's first interface among all.
    first_interface: usize,
    lent: usize,
}

impl State {
    pub(super) fn open<R: Read>(window: &mut Window<R>) -> Result<State, CaptureError> {
        let mut state = State {
            order: Order::Little,
            first_interface: 0,
            lent: 0,
        };
        state.section(window, 0)?;
        Ok(state)
    }

    /// Reads a section header block; the byte order may change here.
    fn section<R: Read>(
        &mut self,
        window: &mut Window<R>,
        interfaces: usize,
    ) -> Result<(), CaptureError> {
        window.need("section header", 28)?;
        let head = window.bytes();
        self.order = match &head[8..12] {
            [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
            [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
            _ => {
                return Err(window.fault(Fault::Malformed(
                    "a section header without the byte-order magic 1a2b3c4d",
                )));
            }
        };
        let (len, version) = (
            self.order.u32(head, 4),
            (self.order.u16(head, 12), self.order.u16(head, 14)),
        );
        // 1.2 is 1.0 under a wrong number that some writers used.
        if version.0 != 1 {
            return Err(window.fault(Fault::Version {
                format: "pcapng",
                version,
            }));
        }
        if len < 28 || len % 4 != 0 {
            return Err(window.fault(Fault::Malformed(
                "a section header whose length is too small or no multiple of 4",
            )));
        }
        self.first_interface = interfaces;
        self.step_over(window, len)
    }

    /// Leaves a whole block behind without holding it.
    fn step_over<R: Read>(&self, window: &mut Window<R>, len: u32) -> Result<(), CaptureError> {
        let at = window.offset;
        let body = u64::from(len) - 4;
        let got = window.skip(body)?;
        let tail = window.ensure(4)?;
        if got < body || tail < 4 {
            let have = usize::try_from(got)
                .unwrap_or(usize::MAX)
                .saturating_add(tail);
            return Err(CaptureError {
                offset: at,
                fault: Fault::Truncated {
                    what: "block",
                    needed: len as usize,
                    have,
                },
            });
        }
        if self.order.u32(window.bytes(), 0) != len {
            return Err(CaptureError {
                offset: at,
                fault: Fault::Malformed(LENGTHS_DIFFER),
            });
        }
        window.advance(4);
        Ok(())
    }

    #[inline]
    pub(super) fn next<R: Read>(
        &mut self,
        window: &mut Window<R>,
        interfaces: &mut Vec<Interface>,
    ) -> Result<Option<Found>, CaptureError> {
        window.advance(std::mem::take(&mut self.lent));
        loop {
            let have = window.ensure(8)?;
            if have < 8 {
                if have == 0 {
                    return Ok(None);
                }
                return Err(window.fault(Fault::Truncated {
                    what: "block",
                    needed: FRAME,
                    have,
                }));
            }
            let head = window.bytes();
            let (kind, len) = (self.order.u32(head, 0), self.order.u32(head, 4));
            if kind == SECTION_HEADER {
                self.section(window, interfaces.len())?;
                continue;
            }
            if (len as usize) < FRAME || len % 4 != 0 {
                return Err(window.fault(Fault::Malformed(
                    "a block whose length is too small or no multiple of 4",
                )));
            }
            match kind {
                INTERFACE | ENHANCED_PACKET | OBSOLETE_PACKET | SIMPLE_PACKET => {}
                _ => {
                    self.step_over(window, len)?;
                    continue;
                }
            }
            let max = PACKET_MAX + OPTIONS_MAX;
            if len as usize > max {
                return Err(window.fault(Fault::TooLong {
                    what: "block",
                    len: len.into(),
                    max: max as u64,
                }));
            }
            window.need("block", len as usize)?;
            let block = &window.bytes()[..len as usize];
            if self.order.u32(block, len as usize - 4) != len {
                return Err(window.fault(Fault::Malformed(LENGTHS_DIFFER)));
            }
            if kind == INTERFACE {
                let found = self.interface(block).map_err(|fault| window.fault(fault))?;
                if interfaces.len() >= INTERFACES_MAX {
                    return Err(window.fault(Fault::Malformed("more than 65536 interfaces")));
                }
                interfaces.push(found);
                window.advance(len as usize);
                continue;
            }
            let found = self.packet(kind, block, &interfaces[self.first_interface..]);
            let mut found = found.map_err(|fault| window.fault(fault))?;
            found.start += window.start;
            found.offset = window.offset;
            found.interface += self.first_interface as u32;
            self.lent = len as usize;
            return Ok(Some(found));
        }
    }

    fn interface(&self, block: &[u8]) -> Result<Interface, Fault> {
        if block.len() < 20 {
            return Err(Fault::Malformed(
                "an interface description shorter than its fixed part",
            ));
        }
        let order = self.order;
        let mut found = Interface {
            link_type: LinkType(order.u16(block, 8)),
            snaplen: order.u32(block, 12),
            name: None,
            resolution: Resolution::Decimal(6),
            offset_s: 0,
        };
        let mut options = &block[16..block.len() - 4];
        while options.len() >= 4 {
            let (code, len) = (order.u16(options, 0), usize::from(order.u16(options, 2)));
            if code == 0 {
                break;
            }
            let Some(value) = options.get(4..4 + len) else {
                return Err(Fault::Malformed(
                    "an option of an interface description that leaves its block",
                ));
            };
            match (code, value) {
                (2, name) => {
                    found.name = Some(
                        String::from_utf8_lossy(name)
                            .trim_end_matches('\0')
                            .to_owned(),
                    )
                }
                (9, [r]) if r & 0x80 != 0 => found.resolution = Resolution::Binary(r & 0x7f),
                (9, [r]) => found.resolution = Resolution::Decimal(*r),
                (14, s) if s.len() == 8 => found.offset_s = order.u64(s, 0) as i64,
                _ => {}
            }
            options = options.get(4 + len.next_multiple_of(4)..).unwrap_or(&[]);
        }
        Ok(found)
    }

    /// A packet block; `start` counts from the block, `interface` from the section's first.
    #[inline]
    fn packet(&self, kind: u32, block: &[u8], interfaces: &[Interface]) -> Result<Found, Fault> {
        let order = self.order;
        let start = if kind == SIMPLE_PACKET { 12 } else { 28 };
        if block.len() < start + 4 {
            return Err(Fault::Malformed(
                "a packet block shorter than its fixed part",
            ));
        }
        let room = block.len() - start - 4;
        let (interface, units, len, original_len) = match kind {
            ENHANCED_PACKET | OBSOLETE_PACKET => {
                let interface = if kind == ENHANCED_PACKET {
                    order.u32(block, 8)
                } else {
                    u32::from(order.u16(block, 8))
                };
                let units = u64::from(order.u32(block, 12)) << 32 | u64::from(order.u32(block, 16));
                (
                    interface,
                    Some(units),
                    order.u32(block, 20) as usize,
                    order.u32(block, 24),
                )
            }
            _ => {
                let original_len = order.u32(block, 8);
                let snaplen = interfaces.first().map_or(0, |i| i.snaplen);
                let cut = if snaplen == 0 {
                    original_len
                } else {
                    original_len.min(snaplen)
                };
                (0, None, (cut as usize).min(room), original_len)
            }
        };
        let Some(described) = interfaces.get(interface as usize) else {
            return Err(Fault::NoInterface {
                interface,
                known: interfaces.len() as u32,
            });
        };
        if len > room {
            return Err(Fault::Malformed("a packet that is longer than its block"));
        }
        if len > PACKET_MAX {
            return Err(Fault::TooLong {
                what: "packet",
                len: len as u64,
                max: PACKET_MAX as u64,
            });
        }
        let timestamp_ns = units.map_or(0, |units| {
            let ns = described.resolution.to_ns(units);
            if described.offset_s == 0 {
                return ns;
            }
            let ns = i128::from(ns) + i128::from(described.offset_s) * 1_000_000_000;
            u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
        });
        Ok(Found {
            start,
            len,
            original_len,
            timestamp_ns,
            interface,
            offset: 0,
        })
    }
}

const LENGTHS_DIFFER: &str = "a block whose length before and behind its body differ";
