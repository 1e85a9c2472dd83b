//! Writers of pcap and pcapng, little-endian, with nanosecond timestamps.
//!
//! Invariants: bytes reach the file in the order of the calls; nothing is lost silently, since `finish` reports what a
//! drop cannot.

use std::io::{self, Write};

use super::{Interface, LinkType};

const FLUSH_AT: usize = 128 * 1024;

/// Writes a pcapng file: one section, its interfaces, enhanced packet blocks with an optional comment.
pub struct PcapngWriter<W: Write> {
    out: W,
    buf: Vec<u8>,
    interfaces: u32,
}

impl<W: Write> PcapngWriter<W> {
    /// Starts a file; `application` names the writer (`shb_userappl`).
    pub fn new(out: W, application: &str) -> PcapngWriter<W> {
        let mut writer = PcapngWriter {
            out,
            buf: Vec::with_capacity(FLUSH_AT + 4096),
            interfaces: 0,
        };
        writer.block(0x0a0d_0d0a, |b| {
            b.extend_from_slice(&0x1a2b_3c4du32.to_le_bytes());
            b.extend_from_slice(&[1, 0, 0, 0]);
            b.extend_from_slice(&u64::MAX.to_le_bytes());
            option(b, 4, application.as_bytes());
            end_of_options(b);
        });
        writer
    }

    /// Describes an interface; answers its number for [`PcapngWriter::packet`].
    pub fn interface(
        &mut self,
        link_type: LinkType,
        snaplen: u32,
        name: Option<&str>,
    ) -> io::Result<u32> {
        self.block(1, |b| {
            b.extend_from_slice(&link_type.0.to_le_bytes());
            b.extend_from_slice(&[0, 0]);
            b.extend_from_slice(&snaplen.to_le_bytes());
            if let Some(name) = name {
                option(b, 2, name.as_bytes());
            }
            option(b, 9, &[9]);
            end_of_options(b);
        });
        self.interfaces += 1;
        self.drain(FLUSH_AT)?;
        Ok(self.interfaces - 1)
    }

    /// Describes an interface as a reader found it (timestamps are written in nanoseconds).
    pub fn interface_like(&mut self, like: &Interface) -> io::Result<u32> {
        self.interface(like.link_type, like.snaplen, like.name.as_deref())
    }

    /// Writes a packet; an empty `comment` is left out.
    pub fn packet(
        &mut self,
        interface: u32,
        timestamp_ns: u64,
        data: &[u8],
        original_len: u32,
        comment: &str,
    ) -> io::Result<()> {
        if interface >= self.interfaces {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a packet of an interface that is not described",
            ));
        }
        self.block(6, |b| {
            b.extend_from_slice(&interface.to_le_bytes());
            b.extend_from_slice(&((timestamp_ns >> 32) as u32).to_le_bytes());
            b.extend_from_slice(&(timestamp_ns as u32).to_le_bytes());
            b.extend_from_slice(&(data.len() as u32).to_le_bytes());
            b.extend_from_slice(&original_len.max(data.len() as u32).to_le_bytes());
            b.extend_from_slice(data);
            pad(b);
            if !comment.is_empty() {
                option(b, 1, comment.as_bytes());
                end_of_options(b);
            }
        });
        self.drain(FLUSH_AT)
    }

    /// Writes what is buffered and hands the output back.
    pub fn finish(mut self) -> io::Result<W> {
        self.drain(0)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.buf.len();
        self.buf.extend_from_slice(&kind.to_le_bytes());
        self.buf.extend_from_slice(&[0; 4]);
        body(&mut self.buf);
        let len = (self.buf.len() - start + 4) as u32;
        self.buf.extend_from_slice(&len.to_le_bytes());
        self.buf[start + 4..start + 8].copy_from_slice(&len.to_le_bytes());
    }

    fn drain(&mut self, above: usize) -> io::Result<()> {
        if self.buf.len() > above {
            self.out.write_all(&self.buf)?;
            self.buf.clear();
        }
        Ok(())
    }
}

/// Every body starts at a multiple of four, so padding the buffer pads the field.
fn pad(b: &mut Vec<u8>) {
    b.resize(b.len().next_multiple_of(4), 0);
}

fn option(b: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    b.extend_from_slice(&code.to_le_bytes());
    b.extend_from_slice(&(value.len() as u16).to_le_bytes());
    b.extend_from_slice(value);
    pad(b);
}

fn end_of_options(b: &mut Vec<u8>) {
    b.extend_from_slice(&[0; 4]);
}

/// Writes a pcap file with nanosecond timestamps: no comments, one interface, but every tool reads it.
pub struct PcapWriter<W: Write> {
    out: W,
    buf: Vec<u8>,
}

impl<W: Write> PcapWriter<W> {
    /// Starts a file; a `snaplen` of 0 is written as 262144.
    pub fn new(out: W, link_type: LinkType, snaplen: u32) -> PcapWriter<W> {
        let mut buf = Vec::with_capacity(FLUSH_AT + 4096);
        buf.extend_from_slice(&0xa1b2_3c4du32.to_le_bytes());
        buf.extend_from_slice(&[2, 0, 4, 0]);
        buf.extend_from_slice(&[0; 8]);
        let snaplen = if snaplen == 0 {
            super::PACKET_MAX as u32
        } else {
            snaplen
        };
        buf.extend_from_slice(&snaplen.to_le_bytes());
        buf.extend_from_slice(&u32::from(link_type.0).to_le_bytes());
        PcapWriter { out, buf }
    }

    /// Writes a packet.
    pub fn packet(&mut self, timestamp_ns: u64, data: &[u8], original_len: u32) -> io::Result<()> {
        let (s, ns) = (timestamp_ns / 1_000_000_000, timestamp_ns % 1_000_000_000);
        let len = data.len() as u32;
        for word in [
            u32::try_from(s).unwrap_or(u32::MAX),
            ns as u32,
            len,
            original_len.max(len),
        ] {
            self.buf.extend_from_slice(&word.to_le_bytes());
        }
        self.buf.extend_from_slice(data);
        if self.buf.len() > FLUSH_AT {
            self.out.write_all(&self.buf)?;
            self.buf.clear();
        }
        Ok(())
    }

    /// Writes what is buffered and hands the output back.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&self.buf)?;
        self.out.flush()?;
        Ok(self.out)
    }
}
