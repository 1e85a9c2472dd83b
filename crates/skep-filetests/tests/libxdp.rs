//! The XDP objects of Debian's libxdp1, unmodified, against the kernel's test run of the same objects and packets: every
//! verdict, every byte of every packet and the contents of every map must agree.
//!
//! The objects come from the package (`/usr/lib/*/bpf`), never from the repository. Skipped, and said, where it is not
//! installed or bpf(2) is refused. `xdpdump_bpf.o` holds fentry and fexit programs, which need a loaded program to attach
//! to and see no packet by themselves: it is only read.

mod engines;
mod frames;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use engines::{Both, Entries, parse};
use frames::{ADDRESSES_V4, MACS, PORTS, Sequence, address_v6, any_frame};
use skep_host::packet::{Hook, LinkType, PcapWriter, Reader, Replay, Wires};
use skep_linux::probe::available;
use skep_linux::{Kernel, TestRun};
use skep_spec::map::MapDef;
use skep_vm::FixedEnv;
use skep_vm::map::perf_event_array::PerfEventArray;

const PACKETS: usize = 6000;
const SNAPLEN: usize = 96;

fn objects() -> Option<Vec<PathBuf>> {
    let dir = std::fs::read_dir("/usr/lib")
        .ok()?
        .filter_map(|e| Some(e.ok()?.path().join("bpf")))
        .find(|d| d.join("xdp-dispatcher.o").exists())?;
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .ok()?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "o"))
        .collect();
    found.sort();
    Some(found)
}

/// Half of the generator's addresses and ports, with each kind of flag: source 1, destination 2, TCP 4, UDP 8.
fn filters(map: &MapDef) -> Entries {
    let flags = |i: usize| ((i % 3 + 1) as u64).to_ne_bytes().to_vec();
    match map.name.as_str() {
        "filter_ethernet" => MACS
            .iter()
            .enumerate()
            .step_by(2)
            .map(|(i, m)| (m.to_vec(), flags(i)))
            .collect(),
        "filter_ipv4" => ADDRESSES_V4
            .iter()
            .enumerate()
            .step_by(2)
            .map(|(i, a)| (a.to_vec(), flags(i)))
            .collect(),
        "filter_ipv6" => (1..=4u8)
            .step_by(2)
            .map(|i| (address_v6(i).to_vec(), flags(i.into())))
            .collect(),
        "filter_ports" => PORTS
            .iter()
            .enumerate()
            .filter(|(i, _)| i % 3 != 2)
            .map(|(i, p)| {
                let flags = [
                    0b0101u64, 0b1010, 0b1111, 0b0110, 0b1001, 0b1101, 0b1110, 0b1100,
                ][i];
                (
                    u32::from(p.to_be()).to_ne_bytes().to_vec(),
                    flags.to_ne_bytes().to_vec(),
                )
            })
            .collect(),
        // xdp-dispatcher's configuration: ten programs; all but the last go on after the stubs' answer, 31.
        name if name.ends_with(".rodata") && map.value_size == 124 => {
            let mut conf = vec![0; 124];
            conf[2] = 10;
            for chain in conf[4..40].chunks_mut(4) {
                chain.copy_from_slice(&(1u32 << 31).to_ne_bytes());
            }
            vec![(vec![0; 4], conf)]
        }
        // xdpdump's: what interface 1 receives, at most SNAPLEN bytes, as program 5.
        name if name.ends_with(".data") && map.value_size == 12 => {
            let trace = [1u32, SNAPLEN as u32, 5].map(u32::to_ne_bytes).concat();
            vec![(vec![0; 4], trace)]
        }
        _ => Vec::new(),
    }
}

/// The capture: frames of every kind, whole, cut and damaged.
fn capture() -> Vec<u8> {
    let mut seq = Sequence::new(0x11bd_0001);
    let mut file = PcapWriter::new(Vec::new(), LinkType::ETHERNET, 0);
    for i in 0..PACKETS {
        let frame = any_frame(&mut seq);
        file.packet(
            1_700_000_000_000_000_000 + i as u64 * 10_000,
            &frame,
            frame.len() as u32,
        )
        .unwrap();
    }
    file.finish().unwrap()
}

/// xdpdump's records: 20 bytes (interface, queue, packet length, captured length, flags, program), then the packet's start.
fn check_records(both: &Both, seen: &[(u64, Vec<u8>)]) {
    let map = both.our_map("xdpdump_perf_map");
    let events = map
        .as_any()
        .downcast_ref::<PerfEventArray>()
        .expect("a perf_event_array");
    let mut number = 0;
    events.drain(|_, record| {
        let packet = &seen[number].1;
        let kept = packet.len().min(SNAPLEN);
        let half = |at: usize| usize::from(u16::from_ne_bytes([record[at], record[at + 1]]));
        assert_eq!(
            record[..4],
            1u32.to_ne_bytes(),
            "record {number}: interface"
        );
        assert_eq!(
            (half(8), half(10), half(14)),
            (packet.len(), kept, 5),
            "record {number}: lengths and program"
        );
        assert_eq!(
            record[20..20 + kept],
            packet[..kept],
            "record {number}: bytes"
        );
        number += 1;
        true
    });
    let lost = events.lost() as usize;
    assert_eq!(
        number + lost,
        PACKETS,
        "every packet made a record or was counted as lost"
    );
    assert!(number > 1000, "{number} records");
}

#[test]
fn verdicts_packets_and_maps_are_the_kernels() {
    let Some(objects) = objects() else {
        eprintln!(
            "skipped: the package libxdp1 is not installed (no /usr/lib/*/bpf/xdp-dispatcher.o)"
        );
        return;
    };
    if let Err(e) = available(&Kernel) {
        eprintln!("skipped: bpf(2) is refused here: {e}");
        return;
    }
    let file = capture();
    let mut programs = 0;
    let mut verdicts_of_filters = BTreeMap::<String, u64>::new();
    for path in &objects {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let object = parse(&std::fs::read(path).unwrap(), &name);
        for program in &object.programs {
            if program.program_type != Some(skep_spec::program::ProgramType::Xdp) {
                eprintln!(
                    "{name}: {} ({}) takes no packets: read, not run",
                    program.name, program.section
                );
                continue;
            }
            let both = Both::load(&object, &program.name, &filters);
            let env = FixedEnv::default();
            let stop = AtomicBool::new(false);
            let mut seen = Vec::with_capacity(PACKETS);
            let mut watch =
                |p: &skep_host::packet::PacketOutcome<'_>| seen.push((p.r0, p.bytes.to_vec()));
            let mut replay =
                Replay::new(both.ours.clone(), Hook::Xdp { frags: false }, &env, &stop);
            replay.watch = Some(&mut watch);
            let reader =
                Reader::new(Box::new(std::io::Cursor::new(file.clone())) as Box<dyn std::io::Read>)
                    .unwrap();
            let report = replay.run(&mut Wires::single(reader)).unwrap();
            assert_eq!(
                (report.packets, report.trapped, report.unfit),
                (PACKETS as u64, 0, 0),
                "{name}: {:?}",
                report.traps
            );
            assert_eq!(report.verdicts.iter().sum::<u64>(), PACKETS as u64);

            let mut reader = Reader::new(&file[..]).unwrap();
            for (number, (r0, bytes)) in seen.iter().enumerate() {
                let packet = reader.next().unwrap().unwrap();
                let run = TestRun {
                    data: packet.data,
                    data_out_room: 512,
                    ..TestRun::default()
                };
                let theirs = both
                    .kernel
                    .test_run(&Kernel, &run)
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(
                    *r0 as u32, theirs.retval,
                    "{name}: verdict on packet {number}: {:02x?}",
                    packet.data
                );
                assert!(*bytes == theirs.data, "{name}: bytes of packet {number}");
            }
            let entries = both.compare_maps();
            let told: Vec<String> = Hook::Xdp { frags: false }
                .verdicts()
                .iter()
                .zip(&report.verdicts)
                .filter(|(_, n)| **n > 0)
                .map(|(v, n)| format!("{} {n}", v.name))
                .collect();
            eprintln!(
                "{name}: {PACKETS} packets agree ({}), {entries} map entries agree",
                told.join(", ")
            );
            if name == "xdp-dispatcher" && program.name == "xdp_dispatcher" {
                assert_eq!(
                    report.verdicts[5] as usize, PACKETS,
                    "the last stub's answer ends the chain"
                );
            }
            if name == "xdpdump_xdp" {
                check_records(&both, &seen);
            }
            if name.starts_with("xdpfilt") {
                assert!(
                    report.verdicts[1] > 100 && report.verdicts[2] > 100,
                    "{name}: both verdicts must appear"
                );
                assert!(entries > 5, "{name}: its maps were compared");
                *verdicts_of_filters.entry(name.clone()).or_default() += report.verdicts[1];
            }
            programs += 1;
        }
    }
    assert!(
        programs >= 13,
        "only {programs} XDP programs of libxdp1 were found"
    );
    assert_eq!(verdicts_of_filters.len(), 10, "{verdicts_of_filters:?}");
}
