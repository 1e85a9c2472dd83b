//! Readers against files made here byte by byte, against the writers, and against damage.

use super::*;

/// A deterministic sequence for the mutations.
struct Sequence(u64);

impl Sequence {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

type Record = (Vec<u8>, u32, u64, u32);

fn read_all(bytes: &[u8]) -> (Vec<Record>, Option<CaptureError>) {
    let mut out = Vec::new();
    let mut reader = match Reader::new(bytes) {
        Ok(r) => r,
        Err(e) => return (out, Some(e)),
    };
    loop {
        match reader.next() {
            Ok(Some(p)) => out.push((p.data.to_vec(), p.original_len, p.timestamp_ns, p.interface)),
            Ok(None) => return (out, None),
            Err(e) => {
                assert!(
                    matches!(reader.next(), Ok(None)),
                    "nothing follows an error"
                );
                return (out, Some(e));
            }
        }
    }
}

fn pcap(big: bool, magic: u32, records: &[(&[u8], u32, u32, u32)]) -> Vec<u8> {
    let w32 = |v: u32| {
        if big {
            v.to_be_bytes()
        } else {
            v.to_le_bytes()
        }
    };
    let mut b = w32(magic).to_vec();
    b.extend_from_slice(&if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] });
    b.extend_from_slice(&[0; 8]);
    b.extend_from_slice(&w32(65535));
    b.extend_from_slice(&w32(1));
    for (data, original, s, frac) in records {
        for v in [*s, *frac, data.len() as u32, *original] {
            b.extend_from_slice(&w32(v));
        }
        b.extend_from_slice(data);
    }
    b
}

#[test]
fn pcap_is_read_in_both_orders_and_both_units() {
    for (big, magic, frac_ns) in [
        (false, 0xa1b2c3d4, 1000),
        (true, 0xa1b2c3d4, 1000),
        (false, 0xa1b23c4d, 1),
        (true, 0xa1b23c4d, 1),
    ] {
        let file = pcap(
            big,
            magic,
            &[
                (b"abcdefghijklmnop", 16, 7, 5),
                (b"xyz", 1500, 8, 6),
                (b"", 0, 9, 0),
            ],
        );
        let (packets, error) = read_all(&file);
        assert!(error.is_none(), "{error:?}");
        let expected = vec![
            (
                b"abcdefghijklmnop".to_vec(),
                16,
                7_000_000_000 + 5 * frac_ns,
                0,
            ),
            (b"xyz".to_vec(), 1500, 8_000_000_000 + 6 * frac_ns, 0),
            (vec![], 0, 9_000_000_000, 0),
        ];
        assert_eq!(packets, expected);
    }
}

#[test]
fn a_cut_pcap_delivers_the_whole_packets_and_says_where_it_ends() {
    let file = pcap(
        false,
        0xa1b2c3d4,
        &[(&[1; 60], 60, 0, 0), (&[2; 60], 60, 0, 0)],
    );
    for cut in 0..file.len() {
        let (packets, error) = read_all(&file[..cut]);
        let whole = if cut < 24 { 0 } else { (cut - 24) / 76 };
        assert_eq!(packets.len(), whole, "cut at {cut}");
        let at_boundary = cut == 24 || cut == 100;
        match error {
            None => assert!(at_boundary, "cut at {cut} must be an error"),
            Some(e) => {
                assert!(!at_boundary, "cut at {cut}: {e}");
                let offset = if cut < 24 { 0 } else { 24 + whole as u64 * 76 };
                assert_eq!(e.offset, offset, "cut at {cut}");
                assert!(
                    matches!(e.fault, Fault::Truncated { .. } | Fault::NotACapture(_)),
                    "{e}"
                );
            }
        }
    }
}

#[test]
fn absurd_lengths_are_refused_before_memory_is_taken() {
    let mut file = pcap(false, 0xa1b2c3d4, &[(&[1; 60], 60, 0, 0)]);
    file[24 + 8..24 + 12].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    let mut reader = Reader::new(&file[..]).unwrap();
    let error = reader.next().unwrap_err();
    assert_eq!(error.offset, 24);
    assert_eq!(
        error.to_string(),
        "a packet of 2147483647 bytes; at most 262144 are plausible (at offset 0x18)"
    );
    assert_eq!(reader.window.buf.len(), CHUNK, "the buffer did not grow");
}

#[test]
fn foreign_files_are_named() {
    let gz = [0x1f, 0x8b, 8, 0, 0, 0];
    assert!(
        Reader::new(&gz[..])
            .err()
            .unwrap()
            .to_string()
            .starts_with("the capture is compressed")
    );
    let elf = *b"\x7fELF\x02\x01\x01";
    assert_eq!(
        Reader::new(&elf[..]).err().unwrap().to_string(),
        "not a pcap or pcapng file: it starts with 7f 45 4c 46 (at offset 0x0)"
    );
    assert!(Reader::new(&[][..]).is_err());
    let mut version = pcap(false, 0xa1b2c3d4, &[]);
    version[4] = 3;
    assert!(matches!(
        Reader::new(&version[..]).err().unwrap().fault,
        Fault::Version {
            format: "pcap",
            version: (3, 4)
        }
    ));
}

/// Blocks of pcapng in either order, for the reader.
struct Blocks {
    big: bool,
    bytes: Vec<u8>,
}

impl Blocks {
    fn new(big: bool) -> Blocks {
        let mut b = Blocks {
            big,
            bytes: Vec::new(),
        };
        b.section();
        b
    }

    fn section(&mut self) {
        let mut body = self.w32(0x1a2b3c4d).to_vec();
        body.extend(self.w16(1));
        body.extend(self.w16(0));
        body.extend([0xff; 8]);
        self.block(0x0a0d0d0a, &body);
    }

    fn w32(&self, v: u32) -> [u8; 4] {
        if self.big {
            v.to_be_bytes()
        } else {
            v.to_le_bytes()
        }
    }

    fn w16(&self, v: u16) -> [u8; 2] {
        if self.big {
            v.to_be_bytes()
        } else {
            v.to_le_bytes()
        }
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> usize {
        let at = self.bytes.len();
        let len = 12 + body.len().next_multiple_of(4);
        self.bytes.extend(self.w32(kind));
        self.bytes.extend(self.w32(len as u32));
        self.bytes.extend(body);
        self.bytes.resize(at + len - 4, 0);
        self.bytes.extend(self.w32(len as u32));
        at
    }

    fn interface(&mut self, link: u16, snaplen: u32, options: &[(u16, &[u8])]) -> usize {
        let mut body = self.w16(link).to_vec();
        body.extend([0, 0]);
        body.extend(self.w32(snaplen));
        for (code, value) in options {
            body.extend(self.w16(*code));
            body.extend(self.w16(value.len() as u16));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        if !options.is_empty() {
            body.extend([0; 4]);
        }
        self.block(1, &body)
    }

    fn enhanced(&mut self, interface: u32, units: u64, data: &[u8], original: u32) -> usize {
        let mut body = Vec::new();
        for v in [
            interface,
            (units >> 32) as u32,
            units as u32,
            data.len() as u32,
            original,
        ] {
            body.extend(self.w32(v));
        }
        body.extend(data);
        self.block(6, &body)
    }

    fn simple(&mut self, data: &[u8], original: u32) -> usize {
        let mut body = self.w32(original).to_vec();
        body.extend(data);
        self.block(3, &body)
    }
}

#[test]
fn pcapng_sections_interfaces_and_resolutions() {
    for big in [false, true] {
        let mut b = Blocks::new(big);
        b.interface(1, 0, &[(2, b"eth0"), (9, &[9])]);
        b.interface(101, 64, &[(9, &[0x80 | 20])]);
        b.block(0x0bad, &[7; 40]);
        b.enhanced(0, 123_456_789_012, b"hello world!!", 1000);
        b.block(5, &[0; 12]);
        b.enhanced(1, 3 << 20, b"raw", 3);
        b.section();
        b.interface(1, 4, &[]);
        b.enhanced(0, 5, b"again", 5);
        b.simple(b"abcd", 9);
        let mut reader = Reader::new(&b.bytes[..]).unwrap();
        assert_eq!(reader.format(), "pcapng");
        let (packets, error) = read_all(&b.bytes);
        assert!(error.is_none(), "{error:?}");
        let expected = vec![
            (b"hello world!!".to_vec(), 1000, 123_456_789_012, 0),
            (b"raw".to_vec(), 3, 3_000_000_000, 1),
            (b"again".to_vec(), 5, 5000, 2),
            (b"abcd".to_vec(), 9, 0, 2),
        ];
        assert_eq!(packets, expected);
        while reader.next().unwrap().is_some() {}
        assert_eq!(reader.interfaces().len(), 3);
        assert_eq!(reader.interfaces()[0].name.as_deref(), Some("eth0"));
        assert_eq!(reader.interfaces()[1].link_type, LinkType::RAW);
        assert_eq!(reader.interfaces()[1].resolution, Resolution::Binary(20));
        assert_eq!(reader.position(), b.bytes.len() as u64);
    }
}

#[test]
fn pcapng_faults_name_the_block() {
    let mut b = Blocks::new(false);
    let at = b.enhanced(0, 0, b"x", 1);
    let (_, error) = read_all(&b.bytes);
    let error = error.unwrap();
    assert_eq!(error.offset, at as u64);
    assert!(matches!(
        error.fault,
        Fault::NoInterface {
            interface: 0,
            known: 0
        }
    ));

    let mut b = Blocks::new(false);
    b.interface(1, 0, &[]);
    b.enhanced(0, 0, b"good", 4);
    let at = b.enhanced(0, 0, b"evil", 4);
    b.bytes[at + 20..at + 24].copy_from_slice(&5u32.to_le_bytes());
    let (packets, error) = read_all(&b.bytes);
    assert_eq!(packets.len(), 1);
    assert_eq!(
        error.unwrap().to_string(),
        format!("a packet that is longer than its block (at offset {at:#x})")
    );

    let end = b.bytes.len();
    b.bytes[at + 20] = 4;
    b.bytes[end - 4] ^= 1;
    let (packets, error) = read_all(&b.bytes);
    assert_eq!(packets.len(), 1);
    assert_eq!(error.unwrap().offset, at as u64);

    let mut b = Blocks::new(false);
    let at = b.interface(1, 0, &[]);
    b.bytes[at + 4..at + 8].copy_from_slice(&0xffff_fff0u32.to_le_bytes());
    let (_, error) = read_all(&b.bytes);
    assert!(matches!(
        error.unwrap().fault,
        Fault::TooLong { what: "block", .. }
    ));
    // An unknown block of that length is stepped over, and found to be cut.
    b.bytes[at] = 77;
    let (_, error) = read_all(&b.bytes);
    assert!(matches!(
        error.unwrap().fault,
        Fault::Truncated { what: "block", .. }
    ));
}

#[test]
fn what_the_writers_write_is_read_back() {
    let mut seq = Sequence(0x5eed);
    let packets: Vec<(Vec<u8>, u64)> = (0..500)
        .map(|i| {
            (
                (0..seq.below(1600)).map(|_| seq.next() as u8).collect(),
                1_700_000_000_123_456_789 + i * 1_000_003,
            )
        })
        .collect();
    let mut ng = PcapngWriter::new(Vec::new(), "skep test");
    assert!(
        ng.packet(0, 0, b"", 0, "").is_err(),
        "an interface must be described first"
    );
    let a = ng.interface(LinkType::ETHERNET, 0, Some("lan")).unwrap();
    let b = ng.interface(LinkType::RAW, 96, None).unwrap();
    let mut old = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0);
    for (i, (data, time)) in packets.iter().enumerate() {
        let comment = if i % 3 == 0 { "xdp: drop" } else { "" };
        ng.packet(
            if i % 2 == 0 { a } else { b },
            *time,
            data,
            data.len() as u32 + 7,
            comment,
        )
        .unwrap();
        old.packet(*time, data, data.len() as u32 + 7).unwrap();
    }
    for (bytes, ng) in [(ng.finish().unwrap(), true), (old.finish().unwrap(), false)] {
        let (read, error) = read_all(&bytes);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(read.len(), packets.len());
        for (i, (r, (data, time))) in read.iter().zip(&packets).enumerate() {
            let interface = if ng { i as u32 % 2 } else { 0 };
            assert_eq!(*r, (data.clone(), data.len() as u32 + 7, *time, interface));
        }
    }
}

#[test]
fn packets_that_straddle_the_buffer_are_whole() {
    struct Dribble<'a>(&'a [u8], usize);
    impl Read for Dribble<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1 * 31 % 997 + 1;
            let n = out.len().min(self.1).min(self.0.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }
    let mut old = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0);
    for i in 0..3000u32 {
        old.packet(u64::from(i), &vec![i as u8; (i * 37 % 1500) as usize], 0)
            .unwrap();
    }
    old.packet(0, &vec![9; PACKET_MAX], 0).unwrap();
    let file = old.finish().unwrap();
    let mut reader = Reader::new(Dribble(&file, 1)).unwrap();
    for i in 0..3000u32 {
        let p = reader.next().unwrap().unwrap();
        assert!(
            p.data.len() == (i * 37 % 1500) as usize && p.data.iter().all(|b| *b == i as u8),
            "packet {i}"
        );
    }
    assert_eq!(reader.next().unwrap().unwrap().data.len(), PACKET_MAX);
    assert!(reader.next().unwrap().is_none());
}

#[test]
fn damaged_files_end_in_packets_and_at_most_one_error() {
    let mut seeds = vec![pcap(
        false,
        0xa1b2c3d4,
        &[
            (&[1; 60], 60, 0, 0),
            (&[2; 300], 1500, 0, 0),
            (&[3; 1], 1, 0, 0),
        ],
    )];
    seeds.push(pcap(
        true,
        0xa1b23c4d,
        &[(&[1; 60], 60, 0, 0), (&[2; 300], 1500, 0, 0)],
    ));
    for big in [false, true] {
        let mut b = Blocks::new(big);
        b.interface(1, 0, &[(2, b"eth0"), (9, &[9]), (14, &[0; 8])]);
        b.block(0x0bad, &[7; 40]);
        b.enhanced(0, 9, &[5; 90], 90);
        b.simple(&[6; 60], 60);
        b.section();
        b.interface(113, 4, &[]);
        b.enhanced(0, 5, b"again", 5);
        seeds.push(b.bytes);
    }
    let mut seq = Sequence(0xdead_beef_cafe);
    let mut faults = 0;
    let mut whole = 0;
    for round in 0..20_000 {
        let mut file = seeds[round % seeds.len()].clone();
        for _ in 0..=seq.below(4) {
            match seq.below(4) {
                0 => file.truncate(seq.below(file.len()).max(1)),
                1 => {
                    let at = seq.below(file.len());
                    file[at] ^= 1 << seq.below(8);
                }
                2 => {
                    let at = seq.below(file.len());
                    let values = [
                        0u32,
                        1,
                        3,
                        11,
                        12,
                        13,
                        0x7fff_ffff,
                        0xffff_ffff,
                        0xffff_fffc,
                        65536,
                        262_144,
                    ];
                    let value = values[seq.below(values.len())].to_le_bytes();
                    for (b, v) in file[at..].iter_mut().zip(value) {
                        *b = v;
                    }
                }
                _ => {
                    let at = seq.below(file.len());
                    let part = file[at..].to_vec();
                    file.extend(part);
                }
            }
        }
        let (packets, error) = read_all(&file);
        let total: usize = packets.iter().map(|p| p.0.len()).sum();
        assert!(total <= file.len(), "more bytes than the file has");
        match error {
            Some(e) => {
                assert!(e.offset <= file.len() as u64, "{e}");
                faults += 1;
            }
            None => whole += 1,
        }
    }
    assert!(
        faults > 1000 && whole > 1000,
        "the mutations must reach both ends: {faults} faults, {whole} whole"
    );
}

#[test]
fn link_types_say_where_the_network_header_is() {
    let mut ether = vec![0; 14];
    ether[12] = 0x08;
    assert_eq!(LinkType::ETHERNET.network(&ether), Some((14, 0x0800)));
    assert_eq!(LinkType::ETHERNET.network(&ether[..13]), None);
    assert_eq!(LinkType::RAW.network(&[0x45]), Some((0, 0x0800)));
    assert_eq!(LinkType::RAW.network(&[0x60]), Some((0, 0x86dd)));
    assert_eq!(LinkType::RAW.network(&[]), None);
    assert_eq!(LinkType::NULL.network(&[2, 0, 0, 0]), Some((4, 0x0800)));
    assert_eq!(LinkType::NULL.network(&[0, 0, 0, 30]), Some((4, 0x86dd)));
    assert_eq!(LinkType(105).network(&ether), None);
    assert_eq!(LinkType(105).to_string(), "IEEE 802.11 (link type 105)");
}
