//! Replays of small captures: what is counted, what leaves through which wire, what the files then hold.

use std::sync::Mutex;

use skep_spec::insn::{Insn, jmp, size};
use skep_spec::program::ProgramType;
use skep_vm::map::{CreateOptions, create};
use skep_vm::{FixedEnv, Image, Map};

use super::super::SocketStart;
use super::super::capture::{PcapWriter, Reader};
use super::super::wires::Wire;
use super::*;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn packets(&self) -> Vec<(Vec<u8>, u32, u64)> {
        let bytes = self.0.lock().unwrap().clone();
        let mut out = Vec::new();
        if bytes.is_empty() {
            return out;
        }
        let mut reader = Reader::new(&bytes[..]).unwrap();
        while let Some(p) = reader.next().unwrap() {
            out.push((p.data.to_vec(), p.original_len, p.timestamp_ns));
        }
        out
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

fn capture(link: LinkType, packets: &[(u64, &[u8])]) -> Vec<u8> {
    let mut file = PcapWriter::new(Vec::new(), link, 0);
    for (time, data) in packets {
        file.packet(*time, data, data.len() as u32).unwrap();
    }
    file.finish().unwrap()
}

fn reader(bytes: Vec<u8>) -> Reader<Box<dyn io::Read>> {
    Reader::new(Box::new(io::Cursor::new(bytes)) as Box<dyn io::Read>).unwrap()
}

fn frame(first: u8, len: usize) -> Vec<u8> {
    let mut f = vec![0; len];
    f[0] = first;
    f[12] = 8;
    f
}

fn program(hook: Hook, insns: Vec<Insn>, maps: Vec<Arc<dyn Map>>) -> Arc<Program> {
    let program_type = match hook {
        Hook::Socket(_) => ProgramType::SocketFilter,
        Hook::Tc { .. } => ProgramType::SchedCls,
        _ => ProgramType::Xdp,
    };
    let image = Image {
        name: "test".into(),
        insns,
        maps,
        program_type: Some(program_type),
        layout: Some(hook.context().layout()),
        ..Image::default()
    };
    Program::sandboxed(image).unwrap()
}

const XDP: Hook = Hook::Xdp { frags: false };

/// Answers the packet's first byte.
fn first_byte() -> Vec<Insn> {
    vec![
        Insn::load(size::W, 1, 1, 0),
        Insn::load(size::B, 0, 1, 0),
        Insn::exit(),
    ]
}

fn run(hook: Hook, insns: Vec<Insn>, wires: &mut Wires) -> Report {
    let (env, stop) = (FixedEnv::default(), AtomicBool::new(false));
    Replay::new(program(hook, insns, Vec::new()), hook, &env, &stop)
        .run(wires)
        .unwrap()
}

#[test]
fn every_packet_is_counted_once() {
    let long = frame(1, 3521);
    let frames = [
        frame(0, 60),
        frame(1, 60),
        frame(1, 60),
        frame(2, 60),
        frame(9, 60),
        vec![1; 13],
        long,
    ];
    let packets: Vec<_> = frames
        .iter()
        .enumerate()
        .map(|(i, f)| (i as u64, &f[..]))
        .collect();
    let mut wires = Wires::single(reader(capture(LinkType::ETHERNET, &packets)));
    let report = run(XDP, first_byte(), &mut wires);
    assert_eq!(report.packets, 7);
    assert_eq!(report.verdicts, [1, 2, 1, 0, 0, 1]);
    assert_eq!((report.unfit, report.trapped, report.runs), (2, 0, 5));
    let (number, why) = report.first_unfit.unwrap();
    assert_eq!(number, 6);
    assert_eq!(
        why.to_string(),
        "a packet of 13 bytes is shorter than an Ethernet header (14 bytes)"
    );
    assert_eq!(wires.iter().next().unwrap().counts.received, 7);

    let mut wires = Wires::single(reader(capture(LinkType::ETHERNET, &packets)));
    let report = run(Hook::Xdp { frags: true }, first_byte(), &mut wires);
    assert_eq!(
        (report.verdicts[1], report.unfit),
        (3, 1),
        "a program for fragments takes the long packet"
    );
}

#[test]
fn a_capture_of_another_link_type_is_refused_by_name() {
    let mut wires = Wires::single(reader(capture(LinkType::RAW, &[(0, &[0x45; 40])])));
    let report = run(XDP, first_byte(), &mut wires);
    assert_eq!(report.unfit, 1);
    let text = report.first_unfit.unwrap().1.to_string();
    assert_eq!(
        text,
        "the hook needs Ethernet frames, these are raw IP (link type 101)"
    );
    // Traffic control and sockets take it as from a tunnel.
    let mut wires = Wires::single(reader(capture(
        LinkType::RAW,
        &[(0, &[0x45; 40]), (1, &[0x10; 40])],
    )));
    let len = vec![Insn::load(size::W, 0, 1, 0), Insn::exit()];
    let report = run(Hook::Socket(SocketStart::Network), len, &mut wires);
    assert_eq!((&report.verdicts[..], report.unfit), (&[0, 1][..], 1));
}

#[test]
fn a_trap_is_counted_and_kept() {
    let frames = [frame(1, 60), frame(1, 60)];
    let packets: Vec<_> = frames.iter().map(|f| (0, &f[..])).collect();
    let mut wires = Wires::single(reader(capture(LinkType::ETHERNET, &packets)));
    // Loads behind the packet's end.
    let beyond = vec![
        Insn::load(size::W, 1, 1, 4),
        Insn::load(size::B, 0, 1, 0),
        Insn::exit(),
    ];
    let report = run(XDP, beyond, &mut wires);
    assert_eq!(
        (report.packets, report.trapped, report.verdicts.iter().sum()),
        (2, 2, 0u64)
    );
    assert_eq!(
        (report.traps.len(), report.traps[0].0, report.traps[0].1.pc),
        (2, 1, 1)
    );
}

#[test]
fn wires_carry_what_is_sent_to_them() {
    // First byte 3: XDP_TX. 4: XDP_REDIRECT without a target. Otherwise bpf_redirect(first byte).
    let insns = vec![
        Insn::load(size::W, 1, 1, 0),
        Insn::load(size::B, 1, 1, 0),
        Insn::mov64_reg(0, 1),
        Insn::jmp64_imm(jmp::JEQ, 1, 3, 4),
        Insn::jmp64_imm(jmp::JEQ, 1, 4, 3),
        Insn::alu64_imm(skep_spec::insn::alu::SUB, 1, 10),
        Insn::mov64_imm(2, 0),
        Insn::call_helper(23),
        Insn::exit(),
    ];
    let (lan, wan) = (Shared::default(), Shared::default());
    let from_lan = [frame(3, 60), frame(4, 61), frame(12, 62), frame(19, 63)];
    let from_wan = [frame(11, 70), frame(12, 71)];
    let at = |frames: &'static [u64], f: &[Vec<u8>]| {
        capture(
            LinkType::ETHERNET,
            &f.iter()
                .zip(frames)
                .map(|(f, t)| (*t, &f[..]))
                .collect::<Vec<_>>(),
        )
    };
    let mut wires = Wires::new();
    assert!(
        wires.add(
            Wire::new("lan", 1)
                .with_input(reader(at(&[10, 20, 50, 60], &from_lan)))
                .with_output(Box::new(lan.clone()))
        )
    );
    assert!(
        wires.add(
            Wire::new("wan", 2)
                .with_input(reader(at(&[30, 55], &from_wan)))
                .with_output(Box::new(wan.clone()))
        )
    );
    assert!(
        !wires.add(Wire::new("lan", 5)) && !wires.add(Wire::new("dmz", 2)),
        "names and numbers are unique"
    );
    assert_eq!(wires.free_ifindex(), 3);
    let report = run(XDP, insns, &mut wires);
    assert_eq!(report.verdicts, [0, 0, 0, 1, 5, 0]);
    let lens = |s: &Shared| {
        s.packets()
            .iter()
            .map(|p| (p.0.len(), p.2))
            .collect::<Vec<_>>()
    };
    assert_eq!(lens(&lan), [(60, 10), (70, 30)]);
    assert_eq!(lens(&wan), [(62, 50), (71, 55)]);
    let lost: Vec<_> = wires
        .lost
        .iter()
        .map(|(why, n)| (why.to_string(), *n))
        .collect();
    assert_eq!(
        lost,
        [
            (
                "the verdict was redirect, but no helper had set a target".to_owned(),
                1
            ),
            (
                "redirected to interface 9, but no wire has that number".to_owned(),
                1
            )
        ]
    );
    let counts: Vec<_> = wires
        .iter()
        .map(|w| (w.counts.received, w.counts.transmitted, w.counts.redirected))
        .collect();
    assert_eq!(counts, [(4, 1, 1), (2, 0, 2)]);
    let mut order = Vec::new();
    for p in lan.packets().iter().chain(&wan.packets()) {
        order.push(p.2);
    }
    assert_eq!(order.len(), 4);
}

#[test]
fn devmap_entries_may_hold_programs() {
    let def = skep_spec::map::MapDef {
        name: "targets".into(),
        map_type: skep_spec::map::MapType::Devmap,
        key_size: 4,
        value_size: 8,
        max_entries: 8,
        flags: 0,
        map_extra: 0,
        numa_node: None,
    };
    let map = create(&def, &CreateOptions::default()).unwrap();
    let put = |key: u32, ifindex: u32, program: u32| {
        let value = [ifindex.to_ne_bytes(), program.to_ne_bytes()].concat();
        map.update_user(&key.to_ne_bytes(), &value, 0).unwrap();
    };
    put(0, 2, 0);
    put(1, 2, 77);
    put(2, 2, 78);
    put(3, 2, 79);
    // bpf_redirect_map(map, first byte, XDP_DROP for missing entries)
    let mut insns = vec![Insn::load(size::W, 2, 1, 0), Insn::load(size::B, 2, 2, 0)];
    insns.extend(Insn::ld_imm64_pseudo(1, 1, 0, 0));
    insns.extend([Insn::mov64_imm(3, 1), Insn::call_helper(51), Insn::exit()]);
    // Answers XDP_PASS where the egress interface is 2 after writing to the packet; 78 drops all.
    let passing = program(
        Hook::XdpDevmap,
        vec![
            Insn::load(size::W, 0, 1, 20),
            Insn::load(size::W, 2, 1, 0),
            Insn::store_imm(size::B, 2, 0, 0x55),
            Insn::exit(),
        ],
        Vec::new(),
    );
    let dropping = program(
        Hook::XdpDevmap,
        vec![Insn::mov64_imm(0, 1), Insn::exit()],
        Vec::new(),
    );
    let find = |id: u32| match id {
        77 => Some(passing.clone()),
        78 => Some(dropping.clone()),
        _ => None,
    };
    let frames: Vec<_> = (0..6).map(|i| frame(i, 60)).collect();
    let packets: Vec<_> = frames
        .iter()
        .enumerate()
        .map(|(i, f)| (i as u64, &f[..]))
        .collect();
    let wan = Shared::default();
    let mut wires = Wires::single(reader(capture(LinkType::ETHERNET, &packets)));
    assert!(wires.add(Wire::new("wan", 2).with_output(Box::new(wan.clone()))));
    let (env, stop) = (FixedEnv::default(), AtomicBool::new(false));
    let mut replay = Replay::new(program(XDP, insns, vec![map.clone()]), XDP, &env, &stop);
    replay.entry_programs = &find;
    let report = replay.run(&mut wires).unwrap();
    assert_eq!((report.verdicts[1], report.verdicts[4]), (2, 4));
    let firsts: Vec<_> = wan.packets().iter().map(|p| p.0[0]).collect();
    assert_eq!(firsts, [0, 0x55]);
    let lost: Vec<_> = wires.lost.keys().copied().collect();
    assert_eq!(
        lost,
        [
            Lost::DroppedByEntry { ifindex: 2 },
            Lost::NoEntryProgram { program: 79 }
        ]
    );
}

#[test]
fn repeated_runs_start_from_the_captured_packet() {
    // Grows the head by 100; a second growth of the same buffer would pass, a third would not.
    let insns = vec![
        Insn::mov64_imm(2, -100),
        Insn::call_helper(44),
        Insn::alu64_imm(skep_spec::insn::alu::ADD, 0, 2),
        Insn::exit(),
    ];
    let f = frame(1, 60);
    let mut wires = Wires::single(reader(capture(LinkType::ETHERNET, &[(0, &f)])));
    let (env, stop) = (FixedEnv::default(), AtomicBool::new(false));
    let mut lens = Vec::new();
    let mut watch = |p: &PacketOutcome<'_>| lens.push((p.verdict, p.bytes.len()));
    let mut replay = Replay::new(program(XDP, insns, Vec::new()), XDP, &env, &stop);
    replay.repeat = 50;
    replay.watch = Some(&mut watch);
    let report = replay.run(&mut wires).unwrap();
    assert_eq!(
        (report.packets, report.runs, report.verdicts[2]),
        (1, 50, 1)
    );
    assert_eq!(lens, [(Some(2), 160)]);
}

#[test]
fn the_record_holds_every_packet_with_its_verdict() {
    let frames = [frame(1, 60), frame(2, 61), frame(4, 62)];
    let packets: Vec<_> = frames
        .iter()
        .enumerate()
        .map(|(i, f)| (1000 + i as u64, &f[..]))
        .collect();
    let record = Shared::default();
    let mut wires = Wires::single(reader(capture(LinkType::ETHERNET, &packets)));
    let (env, stop) = (FixedEnv::default(), AtomicBool::new(false));
    let mut replay = Replay::new(program(XDP, first_byte(), Vec::new()), XDP, &env, &stop);
    replay.record = Some(PcapngWriter::new(Box::new(record.clone()), "test"));
    replay.run(&mut wires).unwrap();
    let read: Vec<_> = record.packets().iter().map(|p| (p.0.len(), p.2)).collect();
    assert_eq!(read, [(60, 1000), (61, 1001), (62, 1002)]);
    let text = record.text();
    for comment in [
        "XDP_DROP",
        "XDP_PASS",
        "XDP_REDIRECT; lost: the verdict was redirect",
    ] {
        assert!(text.contains(comment), "no comment {comment:?}");
    }

    // A socket filter keeps as many bytes as it answers, counted from where it sees the packet.
    let record = Shared::default();
    let mut wires = Wires::single(reader(capture(LinkType::ETHERNET, &packets[..1])));
    let hook = Hook::Socket(SocketStart::Network);
    let mut replay = Replay::new(
        program(hook, vec![Insn::mov64_imm(0, 20), Insn::exit()], Vec::new()),
        hook,
        &env,
        &stop,
    );
    replay.record = Some(PcapngWriter::new(Box::new(record.clone()), "test"));
    replay.run(&mut wires).unwrap();
    assert_eq!(record.packets()[0].0.len(), 34);
    assert_eq!(record.packets()[0].1, 60, "the original length stays");
}

#[test]
fn a_broken_capture_ends_its_wire_only() {
    let f = frame(2, 60);
    let mut broken = capture(LinkType::ETHERNET, &[(1, &f), (2, &f)]);
    broken.truncate(broken.len() - 7);
    let whole = capture(LinkType::ETHERNET, &[(3, &f), (4, &f), (5, &f)]);
    let mut wires = Wires::new();
    wires.add(Wire::new("a", 1).with_input(reader(broken)));
    wires.add(Wire::new("b", 2).with_input(reader(whole)));
    let report = run(XDP, first_byte(), &mut wires);
    assert_eq!((report.packets, report.broken.len()), (4, 1));
    assert_eq!(report.broken[0].0, "a");
    assert_eq!(report.broken[0].1.offset, 24 + 76);
}

#[test]
fn the_stop_flag_ends_a_replay() {
    let f = frame(1, 60);
    let packets: Vec<_> = (0..10_000).map(|i| (i, &f[..])).collect();
    let file = capture(LinkType::ETHERNET, &packets);
    let (env, stop) = (FixedEnv::default(), AtomicBool::new(false));
    let mut seen = Vec::new();
    let mut progress = |packets, bytes| {
        seen.push((packets, bytes));
        if packets >= STRIDE {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let mut replay = Replay::new(program(XDP, first_byte(), Vec::new()), XDP, &env, &stop);
    replay.progress = Some(&mut progress);
    let report = replay.run(&mut Wires::single(reader(file))).unwrap();
    assert!(report.stopped);
    assert_eq!(report.packets, 2 * STRIDE);
    assert_eq!(report.verdicts[1], 2 * STRIDE);
    assert!(
        seen.windows(2)
            .all(|w| w[0].0 <= w[1].0 && w[0].1 <= w[1].1),
        "{seen:?}"
    );
}

#[test]
fn copies_go_to_their_wire_and_the_packet_goes_on() {
    // bpf_clone_redirect(ctx, 2, 0), then (ctx, 9, 0), which fails; answers -1 times the second result.
    let insns = vec![
        Insn::mov64_reg(6, 1),
        Insn::mov64_imm(2, 2),
        Insn::mov64_imm(3, 0),
        Insn::call_helper(13),
        Insn::mov64_reg(1, 6),
        Insn::mov64_imm(2, 9),
        Insn::mov64_imm(3, 0),
        Insn::call_helper(13),
        Insn::alu64_imm(skep_spec::insn::alu::ADD, 0, 22),
        Insn::exit(),
    ];
    let f = frame(1, 60);
    let out = Shared::default();
    let mut wires = Wires::single(reader(capture(LinkType::ETHERNET, &[(5, &f)])));
    wires.add(Wire::new("mirror", 2).with_output(Box::new(out.clone())));
    let report = run(Hook::Tc { untag_vlan: false }, insns, &mut wires);
    assert_eq!((report.cloned, report.verdicts[1]), (1, 1));
    assert_eq!(out.packets(), [(f, 60, 5)]);
}
