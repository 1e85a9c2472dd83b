//! Writes a capture of N packets in the simple IMIX proportion (7:4:1 of 64, 594 and 1518 bytes), the same each time.

use std::io::{BufWriter, Write};

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "imix.pcap".to_owned());
    let count: u32 = args.next().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    // pcap 2.4, microseconds, snap length 65535, Ethernet.
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1] {
        out.write_all(&word.to_le_bytes())?;
    }
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut frame = [0u8; 1518];
    for index in 0..count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = match index % 12 {
            0..7 => 64usize,
            7..11 => 594,
            _ => 1518,
        };
        frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame[14] = 0x45;
        frame[16..18].copy_from_slice(&((length - 14) as u16).to_be_bytes());
        frame[22] = 64;
        // Two in three are TCP; a sixteenth of these go to port 443.
        frame[23] = if index % 3 == 2 { 17 } else { 6 };
        frame[26..34].copy_from_slice(&(state & 0x0000_ffff_0000_ffff | 0x0a00_0000_0a00_0000).to_be_bytes());
        frame[34..36].copy_from_slice(&((state >> 32) as u16 | 1024).to_be_bytes());
        let port = if index % 16 == 0 { 443u16 } else { 8080 };
        frame[36..38].copy_from_slice(&port.to_be_bytes());
        let (seconds, micros) = (index / 1_000_000, index % 1_000_000);
        for word in [seconds, micros, length as u32, length as u32] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&frame[..length])?;
    }
    out.flush()
}
