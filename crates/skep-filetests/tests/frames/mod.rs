//! Frames for tests that compare engines: every kind of header that packet programs look at, and broken ones.
//!
//! Invariant: the same seed gives the same frames, everywhere and always.

#![allow(dead_code)] // Each test that includes this file uses a part of it.

/// A deterministic sequence (xorshift64).
pub struct Sequence(u64);

impl Sequence {
    pub fn new(seed: u64) -> Sequence {
        Sequence(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 11) % n as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.next() >> 24) as u8).collect()
    }
}

/// Ones' complement sum over big-endian words.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for word in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

pub const MACS: [[u8; 6]; 6] = [
    [0; 6],
    [2, 0, 0, 0, 0, 1],
    [2, 0, 0, 0, 0, 2],
    [0x52, 0x54, 0, 0x12, 0x34, 0x56],
    [0xff; 6],
    [1, 0, 0x5e, 0, 0, 0xfb],
];
pub const ADDRESSES_V4: [[u8; 4]; 6] = [
    [10, 0, 0, 1],
    [10, 0, 0, 2],
    [192, 168, 1, 77],
    [172, 16, 0, 9],
    [8, 8, 8, 8],
    [224, 0, 0, 251],
];
pub const PORTS: [u16; 8] = [22, 53, 80, 443, 8080, 5353, 31337, 65535];

pub fn address_v6(n: u8) -> [u8; 16] {
    let mut a = [0; 16];
    a[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
    a[15] = n;
    a
}

fn transport(seq: &mut Sequence, protocol: u8, payload: usize) -> Vec<u8> {
    let (from, to) = (seq.pick(&PORTS), seq.pick(&PORTS));
    let mut b = Vec::new();
    match protocol {
        6 => {
            b.extend(from.to_be_bytes());
            b.extend(to.to_be_bytes());
            b.extend(seq.bytes(8));
            b.extend([0x50, seq.pick(&[2, 0x10, 0x18, 4, 0x12])]);
            b.extend(seq.bytes(6));
        }
        17 => {
            b.extend(from.to_be_bytes());
            b.extend(to.to_be_bytes());
            b.extend(((payload + 8) as u16).to_be_bytes());
            b.extend(seq.bytes(2));
        }
        _ => {
            b.extend([seq.pick(&[0, 8, 3, 128, 135]), 0]);
            b.extend(seq.bytes(6));
        }
    }
    b.extend(seq.bytes(payload));
    b
}

fn ipv4(seq: &mut Sequence, protocol: u8, payload: usize) -> Vec<u8> {
    let body = transport(seq, protocol, payload);
    let options = if seq.below(10) == 0 {
        4 * (1 + seq.below(10))
    } else {
        0
    };
    let mut b = vec![0x45 + (options / 4) as u8, seq.pick(&[0, 1, 2, 3, 0xb8])];
    b.extend(((20 + options + body.len()) as u16).to_be_bytes());
    b.extend(seq.bytes(2));
    b.extend(seq.pick(&[[0x40u8, 0], [0, 0], [0x20, 0], [0, 0x55]]));
    b.extend([64, protocol, 0, 0]);
    b.extend(seq.pick(&ADDRESSES_V4));
    b.extend(seq.pick(&ADDRESSES_V4));
    b.extend(std::iter::repeat_n(1, options));
    let sum = checksum(&[&b]);
    b[10..12].copy_from_slice(&sum.to_be_bytes());
    b.extend(body);
    b
}

fn ipv6(seq: &mut Sequence, protocol: u8, payload: usize) -> Vec<u8> {
    let mut body = transport(seq, protocol, payload);
    let mut next = protocol;
    if seq.below(8) == 0 {
        // A hop-by-hop or routing header before it.
        let kind = seq.pick(&[0u8, 43, 60]);
        let mut extension = vec![next, 0, 1, 4, 0, 0, 0, 0];
        extension.extend(body);
        (next, body) = (kind, extension);
    }
    let mut b = vec![0x60, seq.pick(&[0, 0x10, 0x20, 0x30]), 0, 0];
    b.extend((body.len() as u16).to_be_bytes());
    b.extend([next, 64]);
    b.extend(address_v6(1 + seq.below(4) as u8));
    b.extend(address_v6(1 + seq.below(4) as u8));
    b.extend(body);
    b
}

/// One frame: at least 14 bytes; IP headers are whole unless `broken` says otherwise.
pub fn frame(seq: &mut Sequence) -> Vec<u8> {
    let mut b = seq.pick(&MACS).to_vec();
    b.extend(seq.pick(&MACS));
    for _ in 0..seq.pick(&[0, 0, 0, 0, 1, 1, 2, 3]) {
        b.extend(seq.pick(&[[0x81u8, 0], [0x81, 0], [0x88, 0xa8]]));
        b.extend(seq.bytes(2));
    }
    let protocol = seq.pick(&[6u8, 6, 17, 17, 1, 58, 47, 132]);
    let payload = seq.pick(&[0usize, 1, 6, 18, 40, 100, 512, 1200, 1400]);
    match seq.below(16) {
        0..=7 => {
            b.extend([8, 0]);
            b.extend(ipv4(seq, protocol, payload));
        }
        8..=12 => {
            b.extend([0x86, 0xdd]);
            b.extend(ipv6(seq, protocol, payload));
        }
        13 => {
            b.extend([8, 6]);
            b.extend([0, 1, 8, 0, 6, 4, 0, seq.pick(&[1, 2])]);
            b.extend(seq.bytes(20));
        }
        14 => {
            // An 802.3 frame: a length instead of a type.
            b.extend([0, 40]);
            b.extend(seq.pick(&[[0xff, 0xff], [0x42, 0x42]]));
            b.extend(seq.bytes(38));
        }
        _ => {
            b.extend(seq.pick(&[[0x88u8, 0xcc], [0x88, 0x47], [0xff, 0xff]]));
            b.extend(seq.bytes(payload.min(100)));
        }
    }
    b
}

/// One frame, sometimes cut short or with flipped bits; never shorter than an Ethernet header.
pub fn any_frame(seq: &mut Sequence) -> Vec<u8> {
    let mut b = frame(seq);
    match seq.below(10) {
        0 => {
            let len = 14 + seq.below(b.len() - 13);
            b.truncate(len.max(14));
        }
        1 => {
            for _ in 0..4 {
                let at = seq.below(b.len());
                b[at] ^= 1 << seq.below(8);
            }
        }
        _ => {}
    }
    b
}
