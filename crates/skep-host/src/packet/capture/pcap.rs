//! The classic pcap format: a 24-byte header, then 16-byte record headers with their packets.
//!
//! Layout: draft-ietf-opsawg-pcap (magic numbers a1b2c3d4 for microseconds, a1b23c4d for nanoseconds, either byte order).

use std::io::Read;

use super::{
    CaptureError, Fault, Found, Interface, LinkType, Order, PACKET_MAX, Resolution, Window,
};

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

pub(super) struct State {
    order: Order,
    /// Nanoseconds in one unit of the fraction.
    unit_ns: u32,
    /// Bytes to leave behind before the next record: the packet that was lent last.
    lent: usize,
}

impl State {
    pub(super) fn open<R: Read>(
        window: &mut Window<R>,
        magic: [u8; 4],
        interfaces: &mut Vec<Interface>,
    ) -> Result<State, CaptureError> {
        let (order, unit_ns) = match u32::from_le_bytes(magic) {
            0xa1b2_c3d4 => (Order::Little, 1000),
            0xd4c3_b2a1 => (Order::Big, 1000),
            0xa1b2_3c4d => (Order::Little, 1),
            0x4d3c_b2a1 => (Order::Big, 1),
            0xa1b2_cd34 | 0x34cd_b2a1 => {
                let why = "a pcap file of the old modified format (a1b2cd34), which is not read; convert it to pcap or pcapng";
                return Err(window.fault(Fault::Malformed(why)));
            }
            _ => return Err(window.fault(Fault::NotACapture(magic))),
        };
        window.need("file header", FILE_HEADER)?;
        let head = window.bytes();
        let version = (order.u16(head, 4), order.u16(head, 6));
        if version.0 != 2 {
            return Err(window.fault(Fault::Version {
                format: "pcap",
                version,
            }));
        }
        let (snaplen, link) = (order.u32(head, 16), order.u32(head, 20));
        interfaces.push(Interface {
            // The upper bits hold the length of a frame check sequence, which these packets then end with.
            link_type: LinkType(link as u16),
            snaplen,
            name: None,
            resolution: Resolution::Decimal(if unit_ns == 1 { 9 } else { 6 }),
            offset_s: 0,
        });
        window.advance(FILE_HEADER);
        Ok(State {
            order,
            unit_ns,
            lent: 0,
        })
    }

    #[inline]
    pub(super) fn next<R: Read>(
        &mut self,
        window: &mut Window<R>,
    ) -> Result<Option<Found>, CaptureError> {
        window.advance(std::mem::take(&mut self.lent));
        let have = window.ensure(RECORD_HEADER)?;
        if have < RECORD_HEADER {
            if have == 0 {
                return Ok(None);
            }
            return Err(window.fault(Fault::Truncated {
                what: "record header",
                needed: RECORD_HEADER,
                have,
            }));
        }
        let head = window.bytes();
        let order = self.order;
        let (seconds, fraction) = (order.u32(head, 0), order.u32(head, 4));
        let (len, original_len) = (order.u32(head, 8), order.u32(head, 12));
        let timestamp_ns =
            u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * u64::from(self.unit_ns);
        if len as usize > PACKET_MAX {
            return Err(window.fault(Fault::TooLong {
                what: "packet",
                len: len.into(),
                max: PACKET_MAX as u64,
            }));
        }
        let whole = RECORD_HEADER + len as usize;
        window.need("packet record", whole)?;
        self.lent = whole;
        Ok(Some(Found {
            start: window.start + RECORD_HEADER,
            len: len as usize,
            original_len,
            timestamp_ns,
            interface: 0,
            offset: window.offset,
        }))
    }
}
