//! Capture files: pcap and pcapng, read as a stream of borrowed packets and written back.
//!
//! Invariants:
//! - a reader holds one buffer, whose size a hostile file cannot raise above [`PACKET_MAX`] and a block's head;
//! - every packet before a fault is delivered, then the fault with its offset in the file, then nothing more;
//! - no length from the file is trusted before it is compared with a limit and with what is there.

use std::fmt;
use std::io::{self, Read};

mod link;
mod pcap;
mod pcapng;
mod write;

pub use link::LinkType;
pub use write::{PcapWriter, PcapngWriter};

/// The longest packet a reader delivers; libpcap's own ceiling for a snapshot.
pub const PACKET_MAX: usize = 256 * 1024;

/// Bytes asked of the file at once: large against a packet, small against a second-level cache.
const CHUNK: usize = 128 * 1024;

/// One packet of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The captured bytes, from the link-layer header on.
    pub data: &'a [u8],
    /// How long the packet was on the wire; more than `data.len()` when the capture cut it.
    pub original_len: u32,
    /// Nanoseconds since 1970; 0 where the format has none (a pcapng simple packet).
    pub timestamp_ns: u64,
    /// Index of the interface among [`Reader::interfaces`].
    pub interface: u32,
    /// Where its record or block starts in the file.
    pub offset: u64,
}

/// One interface of a capture; a pcap file has exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// What the packets start with.
    pub link_type: LinkType,
    /// The capture's cut-off length, 0 for none.
    pub snaplen: u32,
    /// The interface's name when it was captured.
    pub name: Option<String>,
    /// The unit of the file's timestamps.
    pub resolution: Resolution,
    /// Seconds to add to every timestamp (`if_tsoffset`).
    pub offset_s: i64,
}

impl Interface {
    /// An interface of the given link type with nanosecond timestamps.
    pub fn new(link_type: LinkType) -> Interface {
        Interface {
            link_type,
            snaplen: 0,
            name: None,
            resolution: Resolution::Decimal(9),
            offset_s: 0,
        }
    }
}

/// The unit of timestamps (`if_tsresol`): a second divided by a power of ten or of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// 10 to the minus n seconds.
    Decimal(u8),
    /// 2 to the minus n seconds.
    Binary(u8),
}

impl Resolution {
    /// A count of units in nanoseconds, saturating.
    pub fn to_ns(self, units: u64) -> u64 {
        match self {
            Resolution::Decimal(9) => units,
            Resolution::Decimal(6) => units.saturating_mul(1000),
            Resolution::Decimal(n) if n < 9 => units.saturating_mul(10u64.pow(u32::from(9 - n))),
            Resolution::Decimal(n) => 10u64.checked_pow(u32::from(n - 9)).map_or(0, |d| units / d),
            Resolution::Binary(n) => {
                let ns = (u128::from(units) * 1_000_000_000)
                    .checked_shr(u32::from(n))
                    .unwrap_or(0);
                u64::try_from(ns).unwrap_or(u64::MAX)
            }
        }
    }
}

/// What is wrong with a capture file, and where.
#[derive(Debug)]
pub struct CaptureError {
    /// Offset in the file of the record, block or field at fault.
    pub offset: u64,
    /// What it is.
    pub fault: Fault,
}

/// The kinds of fault of a capture file.
#[derive(Debug)]
pub enum Fault {
    /// The first bytes belong to no format read here.
    NotACapture([u8; 4]),
    /// A version of the format that is not read here.
    Version {
        /// The format's name.
        format: &'static str,
        /// Its major and minor number.
        version: (u16, u16),
    },
    /// The file ends inside something.
    Truncated {
        /// Inside what.
        what: &'static str,
        /// Bytes it should have.
        needed: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// A length above what is plausible.
    TooLong {
        /// Of what.
        what: &'static str,
        /// The length in the file.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// A field that contradicts another one or the format.
    Malformed(&'static str),
    /// A packet of an interface that no block before described.
    NoInterface {
        /// The interface's number.
        interface: u32,
        /// How many are described.
        known: u32,
    },
    /// The file could not be read.
    Io(io::Error),
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Fault::NotACapture(
                [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] | [0xfd, 0x37, 0x7a, 0x58],
            ) => f.write_str("the capture is compressed; decompress it first"),
            Fault::NotACapture(m) => write!(
                f,
                "not a pcap or pcapng file: it starts with {:02x} {:02x} {:02x} {:02x}",
                m[0], m[1], m[2], m[3]
            ),
            Fault::Version {
                format,
                version: (major, minor),
            } => {
                write!(f, "{format} version {major}.{minor} is not supported")
            }
            Fault::Truncated { what, needed, have } => {
                write!(
                    f,
                    "the file ends inside a {what}: {needed} bytes expected, {have} there"
                )
            }
            Fault::TooLong { what, len, max } => {
                write!(f, "a {what} of {len} bytes; at most {max} are plausible")
            }
            Fault::Malformed(what) => f.write_str(what),
            Fault::NoInterface { interface, known } => {
                write!(
                    f,
                    "a packet of interface {interface}, but only {known} are described before it"
                )
            }
            Fault::Io(e) => write!(f, "cannot read the capture: {e}"),
        }?;
        write!(f, " (at offset {:#x})", self.offset)
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::Io(e) => Some(e),
            _ => None,
        }
    }
}

/// Byte order of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    #[inline]
    fn u16(self, b: &[u8], at: usize) -> u16 {
        let a = array::<2>(b, at);
        if self == Order::Little {
            u16::from_le_bytes(a)
        } else {
            u16::from_be_bytes(a)
        }
    }

    #[inline]
    fn u32(self, b: &[u8], at: usize) -> u32 {
        let a = array::<4>(b, at);
        if self == Order::Little {
            u32::from_le_bytes(a)
        } else {
            u32::from_be_bytes(a)
        }
    }

    #[inline]
    fn u64(self, b: &[u8], at: usize) -> u64 {
        let a = array::<8>(b, at);
        if self == Order::Little {
            u64::from_le_bytes(a)
        } else {
            u64::from_be_bytes(a)
        }
    }
}

#[inline]
fn array<const N: usize>(b: &[u8], at: usize) -> [u8; N] {
    b.get(at..at + N)
        .and_then(|s| s.try_into().ok())
        .unwrap_or([0; N])
}

/// The file's bytes through one buffer: `ensure` makes a number of bytes contiguous, `advance` leaves them behind.
struct Window<R> {
    input: R,
    buf: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset in the file of `buf[start]`.
    offset: u64,
    ended: bool,
}

impl<R: Read> Window<R> {
    fn new(input: R) -> Window<R> {
        Window {
            input,
            buf: vec![0; CHUNK],
            start: 0,
            end: 0,
            offset: 0,
            ended: false,
        }
    }

    /// Makes at least `n` bytes available if the file has them; answers how many there are.
    #[inline]
    fn ensure(&mut self, n: usize) -> Result<usize, CaptureError> {
        if self.end - self.start >= n {
            return Ok(self.end - self.start);
        }
        self.fill(n)
    }

    #[cold]
    fn fill(&mut self, n: usize) -> Result<usize, CaptureError> {
        if self.start > 0 {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buf.len() < n {
            // `n` is bounded by the callers' checks: at most a packet and its block's head.
            self.buf.resize(n.next_multiple_of(CHUNK), 0);
        }
        while self.end < n && !self.ended {
            match self.input.read(&mut self.buf[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(got) => self.end += got.min(self.buf.len() - self.end),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    return Err(CaptureError {
                        offset: self.offset + self.end as u64,
                        fault: Fault::Io(e),
                    });
                }
            }
        }
        Ok(self.end)
    }

    /// As `ensure`, but fewer bytes are a fault: the file ends inside a `what`.
    #[inline]
    fn need(&mut self, what: &'static str, n: usize) -> Result<(), CaptureError> {
        let have = self.ensure(n)?;
        if have < n {
            return Err(self.fault(Fault::Truncated {
                what,
                needed: n,
                have,
            }));
        }
        Ok(())
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// Leaves `n` bytes behind; they must be available.
    #[inline]
    fn advance(&mut self, n: usize) {
        let n = n.min(self.end - self.start);
        self.start += n;
        self.offset += n as u64;
    }

    /// Leaves `n` bytes behind without keeping them; answers how many there were.
    fn skip(&mut self, n: u64) -> Result<u64, CaptureError> {
        let mut left = n;
        while left > 0 {
            let have = self.ensure(1)?;
            if have == 0 {
                break;
            }
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(have);
            self.advance(step);
            left -= step as u64;
        }
        Ok(n - left)
    }

    fn fault(&self, fault: Fault) -> CaptureError {
        CaptureError {
            offset: self.offset,
            fault,
        }
    }
}

enum Format {
    Pcap(pcap::State),
    Pcapng(pcapng::State),
}

/// Reads packets from a pcap or pcapng file of either byte order.
pub struct Reader<R> {
    window: Window<R>,
    format: Format,
    interfaces: Vec<Interface>,
    found: Option<Found>,
    done: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the file's header; its first four bytes tell the format.
    pub fn new(input: R) -> Result<Reader<R>, CaptureError> {
        let mut window = Window::new(input);
        let have = window.ensure(4)?;
        if have == 0 {
            return Err(window.fault(Fault::Truncated {
                what: "file header",
                needed: 24,
                have,
            }));
        }
        let magic: [u8; 4] = array(window.bytes(), 0);
        let mut interfaces = Vec::new();
        let format = if magic == pcapng::SECTION_HEADER.to_le_bytes() {
            Format::Pcapng(pcapng::State::open(&mut window)?)
        } else {
            Format::Pcap(pcap::State::open(&mut window, magic, &mut interfaces)?)
        };
        Ok(Reader {
            window,
            format,
            interfaces,
            found: None,
            done: false,
        })
    }

    /// The next packet; `None` at the file's end. After an error there is nothing more.
    #[inline]
    #[allow(clippy::should_implement_trait)] // It lends from the reader, which an Iterator cannot.
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        self.advance()?;
        Ok(self.current())
    }

    /// Moves to the next packet; `false` at the file's end.
    #[inline]
    pub fn advance(&mut self) -> Result<bool, CaptureError> {
        if self.done {
            return Ok(false);
        }
        let found = match &mut self.format {
            Format::Pcap(state) => state.next(&mut self.window),
            Format::Pcapng(state) => state.next(&mut self.window, &mut self.interfaces),
        };
        match found {
            Ok(Some(found)) => {
                self.found = Some(found);
                Ok(true)
            }
            other => {
                self.found = None;
                self.done = true;
                other.map(|_| false)
            }
        }
    }

    /// The packet that the reader stands at.
    #[inline]
    pub fn current(&self) -> Option<Packet<'_>> {
        self.found.as_ref().map(|p| Packet {
            data: &self.window.buf[p.start..p.start + p.len],
            original_len: p.original_len,
            timestamp_ns: p.timestamp_ns,
            interface: p.interface,
            offset: p.offset,
        })
    }

    /// The link type of the packet that the reader stands at.
    #[inline]
    pub fn link_type(&self) -> LinkType {
        let interface = self.found.as_ref().map_or(0, |p| p.interface);
        self.interfaces
            .get(interface as usize)
            .map_or(LinkType::ETHERNET, |i| i.link_type)
    }

    /// The interfaces described so far: all sections' of a pcapng file, in order.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Bytes of the file left behind so far: the measure of progress.
    pub fn position(&self) -> u64 {
        self.window.offset
    }

    /// `"pcap"` or `"pcapng"`.
    pub fn format(&self) -> &'static str {
        match self.format {
            Format::Pcap(_) => "pcap",
            Format::Pcapng(_) => "pcapng",
        }
    }
}

/// A packet as a place in the window's buffer.
struct Found {
    start: usize,
    len: usize,
    original_len: u32,
    timestamp_ns: u64,
    interface: u32,
    offset: u64,
}

#[cfg(test)]
mod tests;
