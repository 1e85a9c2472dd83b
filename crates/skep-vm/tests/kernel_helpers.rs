//! The kernel's helpers beside the engine's: the same program with the same map contents gives the same results.
//!
//! Invariants: what bpf(2) refuses as a whole is skipped and said; a program that the kernel's verifier refuses is a
//! mistake in the test.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use skep_linux::{Kernel, Map as KernelMap, Program as KernelProgram, ProgramLoad, TestRun};
use skep_spec::insn::{Insn, alu, class, jmp, mode, pseudo, size, source};
use skep_spec::map::{MapDef, MapType, flags};
use skep_vm::map::{CreateOptions, create};
use skep_vm::{Ctx, FixedEnv, Image, Limits, Map, Program};

const XDP: u32 = 6;
const EXIT: Insn = Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0);

fn kernel() -> bool {
    match skep_linux::probe::available(&Kernel) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("skipped: {error}");
            false
        }
    }
}

/// The same map twice.
struct Twin {
    kernel: KernelMap,
    ours: Arc<dyn Map>,
}

impl Twin {
    fn new(def: MapDef) -> Twin {
        let cpus = skep_linux::map::possible_cpus();
        Twin {
            kernel: KernelMap::create(&Kernel, &def, None, None)
                .expect("the kernel makes this map"),
            ours: create(
                &def,
                &CreateOptions {
                    cpus,
                    ..CreateOptions::default()
                },
            )
            .expect("so does the engine"),
        }
    }

    /// A frozen read-only array of one with these bytes, as `.rodata` is.
    fn constant(bytes: &[u8]) -> Twin {
        let mut def = MapDef::new("rodata", MapType::Array, 4, bytes.len() as u32, 1);
        def.flags = flags::RDONLY_PROG;
        let twin = Twin::new(def);
        twin.kernel
            .update(&Kernel, &[0; 4], bytes, 0)
            .expect("update");
        twin.ours.update_user(&[0; 4], bytes, 0).expect("update");
        twin.kernel.freeze(&Kernel).expect("freeze");
        twin.ours.freeze().expect("freeze");
        twin
    }

    /// An array of one value for results.
    fn results(value_size: u32) -> Twin {
        Twin::new(MapDef::new("results", MapType::Array, 4, value_size, 1))
    }

    fn values(&self) -> (Vec<u8>, Vec<u8>) {
        let theirs = self.kernel.lookup(&Kernel, &[0; 4], 0).expect("the value");
        let mut ours = Vec::new();
        self.ours
            .lookup_user(&[0; 4], 0, &mut ours)
            .expect("the value");
        (theirs, ours)
    }
}

/// Instructions whose map references are indices.
#[derive(Default)]
struct Code(Vec<Insn>);

impl Code {
    fn push(&mut self, insns: &[Insn]) -> &mut Code {
        self.0.extend_from_slice(insns);
        self
    }

    fn wide(&mut self, dst: u8, src: u8, low: i32, high: i32) -> &mut Code {
        let insn = Insn::new(class::LD | mode::IMM | size::DW, dst, src, 0, low);
        self.push(&[insn, Insn::new(0, 0, 0, 0, high)])
    }

    fn value(&mut self, dst: u8, value: u64) -> &mut Code {
        self.wide(dst, 0, value as i32, (value >> 32) as i32)
    }

    fn map(&mut self, dst: u8, index: usize) -> &mut Code {
        self.wide(dst, pseudo::MAP_FD, index as i32, 0)
    }

    fn map_value(&mut self, dst: u8, index: usize) -> &mut Code {
        self.wide(dst, pseudo::MAP_VALUE, index as i32, 0)
    }

    fn mov(&mut self, dst: u8, src: u8) -> &mut Code {
        self.push(&[Insn::new(
            class::ALU64 | alu::MOV | source::X,
            dst,
            src,
            0,
            0,
        )])
    }

    fn set(&mut self, dst: u8, value: i32) -> &mut Code {
        self.push(&[Insn::new(
            class::ALU64 | alu::MOV | source::K,
            dst,
            0,
            0,
            value,
        )])
    }

    /// `dst = fp + offset`
    fn frame(&mut self, dst: u8, offset: i32) -> &mut Code {
        self.mov(dst, 10).push(&[Insn::new(
            class::ALU64 | alu::ADD | source::K,
            dst,
            0,
            0,
            offset,
        )])
    }

    fn call(&mut self, id: i32) -> &mut Code {
        self.push(&[Insn::new(class::JMP | jmp::CALL, 0, 0, 0, id)])
    }

    /// Puts bytes, zeroes behind them to a multiple of 8, at `fp + offset`.
    fn text(&mut self, offset: i16, bytes: &[u8]) -> &mut Code {
        for (at, chunk) in (offset..).step_by(8).zip(bytes.chunks(8)) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.value(1, u64::from_ne_bytes(word));
            self.push(&[Insn::new(class::STX | mode::MEM | size::DW, 10, 1, at, 0)]);
        }
        self
    }

    /// `results[0].word[at] = src`, by the value's address in r9.
    fn keep(&mut self, at: i16, src: u8) -> &mut Code {
        self.push(&[Insn::new(
            class::STX | mode::MEM | size::DW,
            9,
            src,
            8 * at,
            0,
        )])
    }

    /// Runs in both engines; map 0 is the results'.
    #[track_caller]
    fn run(&mut self, what: &str, twins: &[&Twin]) -> (Vec<u8>, Vec<u8>) {
        self.try_run(what, twins)
            .unwrap_or_else(|refusal| panic!("{what}: {refusal}"))
    }

    /// The same, or what the kernel's verifier says.
    #[track_caller]
    fn try_run(&mut self, what: &str, twins: &[&Twin]) -> Result<(Vec<u8>, Vec<u8>), String> {
        self.set(0, 2).push(&[EXIT]);
        let mut theirs = self.0.clone();
        let mut second = false;
        for insn in &mut theirs {
            if !second && insn.code == class::LD | mode::IMM | size::DW {
                if insn.src != 0 {
                    insn.imm = twins[insn.imm as usize].kernel.as_fd().as_raw_fd();
                }
                second = true;
            } else {
                second = false;
            }
        }
        let load = ProgramLoad {
            name: "test",
            program_type: XDP,
            expected_attach_type: 0,
            insns: &theirs,
            license: "GPL",
            flags: 0,
            btf: None,
            attach_btf_id: 0,
        };
        let program = KernelProgram::load(&Kernel, &load).map_err(|error| format!("{error:#}"))?;
        let packet = [0u8; 64];
        let run = TestRun {
            data: &packet,
            data_out_room: 512,
            ..TestRun::default()
        };
        let output = program
            .test_run(&Kernel, &run)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(output.retval, 2, "{what}");
        let image = Image {
            name: "test".into(),
            insns: self.0.clone(),
            maps: twins.iter().map(|twin| twin.ours.clone()).collect(),
            ..Image::default()
        };
        let program = Program::sandboxed(image).unwrap_or_else(|error| panic!("{what}: {error}"));
        let r0 = program.run(&mut Ctx::None, &FixedEnv::default(), &Limits::default());
        assert_eq!(r0.unwrap_or_else(|trap| panic!("{what}: {trap}")), 2);
        Ok(twins[0].values())
    }
}

fn words(bytes: &[u8]) -> Vec<i64> {
    bytes
        .chunks_exact(8)
        .map(|word| i64::from_ne_bytes(word.try_into().expect("8 bytes")))
        .collect()
}

#[test]
fn numbers_are_parsed_alike() {
    if !kernel() {
        return;
    }
    let texts = [
        "42",
        " \t42",
        "-42",
        "- 42",
        "--1",
        "+1",
        "0",
        "00",
        "07",
        "08",
        "0x",
        "0x1f",
        "0X1F",
        "0xg",
        "x1",
        "1f",
        "1f,",
        "-0x10",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999",
        "12 34",
        "7\n",
        "\n",
        " ",
        "-",
        "0000000000000000000000000000000000000000000000000000000000000000012",
        "ffffffffffffffff",
        "1_000",
    ];
    let results = Twin::results(16);
    for id in [105, 106] {
        for text in texts {
            for base in [0u64, 8, 10, 16, 2, 31, 32] {
                let mut code = Code::default();
                code.map_value(9, 0)
                    .text(-80, text.as_bytes())
                    .text(-88, &[0xee; 8]);
                code.frame(1, -80)
                    .set(2, text.len() as i32)
                    .value(3, base)
                    .frame(4, -88)
                    .call(id);
                code.keep(0, 0)
                    .push(&[Insn::new(class::LDX | mode::MEM | size::DW, 1, 10, -88, 0)])
                    .keep(1, 1);
                let (theirs, ours) = code.run(text, &[&results]);
                assert_eq!(
                    words(&theirs),
                    words(&ours),
                    "helper {id} {text:?} base {base}: kernel, engine"
                );
            }
        }
    }
}

#[test]
fn strings_are_compared_alike() {
    if !kernel() {
        return;
    }
    let results = Twin::results(8);
    for a in [
        "abc\0",
        "abd\0",
        "ab\0\0",
        "\0bcd",
        "abcd",
        "\u{7f}bc\0",
        "zzzz",
    ] {
        for b in ["abc\0", "ab\0c", "\0", "abcdef\0", "é\0"] {
            for len in [1, 2, 3, 4] {
                let constant = Twin::constant(b.as_bytes());
                let mut code = Code::default();
                code.map_value(9, 0).text(-8, a.as_bytes());
                code.frame(1, -8)
                    .set(2, len)
                    .map_value(3, 1)
                    .call(182)
                    .keep(0, 0);
                let (theirs, ours) = code.run(a, &[&results, &constant]);
                let sign = |bytes: &[u8]| (words(bytes)[0] as i32).signum();
                assert_eq!(
                    sign(&theirs),
                    sign(&ours),
                    "{a:?} {b:?} {len}: kernel, engine"
                );
            }
        }
    }
}

#[test]
fn text_is_formatted_alike() {
    if !kernel() {
        return;
    }
    // r0, then the buffer.
    let results = Twin::results(8 + 64);
    let formats: [(&str, &[u64]); 38] = [
        ("plain", &[]),
        ("100%%", &[]),
        ("%", &[]),
        ("%d", &[7]),
        ("%d", &[]),
        ("%d %d", &[1]),
        ("%d", &[1, 2]),
        ("%d|%i|%u", &[u64::MAX, 1 << 31, u64::MAX]),
        ("%ld|%lu|%lld|%llu", &[u64::MAX, u64::MAX, 1 << 63, 1 << 63]),
        (
            "%x|%X|%lx|%llX",
            &[0xabcd_ef01_2345, 0xabcd, u64::MAX, 0xabc],
        ),
        ("%5d|%-5d|%05d", &[42, 42, 42]),
        ("%+d|% d", &[42, 42]),
        ("%+5d|%-+5d|", &[42, 42]),
        ("%08x|%8x", &[0xbeef, 0xbeef]),
        ("%-08x|", &[0xbeef]),
        ("%#x", &[0xbeef]),
        ("%c%c", &[65, 66]),
        ("%5c|", &[65]),
        ("%-5c|", &[65]),
        ("%o", &[8]),
        ("%hd", &[8]),
        ("%hhx", &[8]),
        ("%zu", &[8]),
        ("%.5d", &[8]),
        ("%*d", &[8, 9]),
        ("%y", &[8]),
        ("%s", &[0]),
        ("%d%", &[8]),
        ("%l", &[8]),
        ("%lld%%%d", &[8, 9]),
        ("%100d", &[8]),
        ("tab\tline\n", &[]),
        ("\u{1}", &[]),
        ("%pi", &[8]),
        ("%pI5", &[8]),
        ("%pz", &[8]),
        ("%px", &[0xffff_8880_1234_5678]),
        ("%px %d", &[0x1000, 5]),
    ];
    let (mut differ, mut refused, mut compared) = (Vec::new(), Vec::new(), 0);
    for (format, args) in formats {
        for room in [64, 4, 1] {
            let mut text = format.as_bytes().to_vec();
            text.push(0);
            let constant = Twin::constant(&text);
            let mut code = Code::default();
            let bytes: Vec<u8> = args.iter().flat_map(|arg| arg.to_ne_bytes()).collect();
            code.map_value(9, 0).text(-32, &bytes).mov(1, 9);
            code.push(&[Insn::new(class::ALU64 | alu::ADD | source::K, 1, 0, 0, 8)]);
            for at in 1..9 {
                let fill = Insn::new(class::ST | mode::MEM | size::DW, 9, 0, 8 * at, 0x5555_5555);
                code.push(&[fill]);
            }
            code.set(2, room).map_value(3, 1);
            if args.is_empty() {
                code.set(4, 0);
            } else {
                code.frame(4, -32);
            }
            code.set(5, bytes.len() as i32);
            code.call(165).keep(0, 0);
            // The verifier checks a constant format itself: what it refuses, the helper never sees.
            let Ok((theirs, ours)) = code.try_run(format, &[&results, &constant]) else {
                refused.push(format);
                continue;
            };
            compared += 1;
            if theirs != ours {
                differ.push(format!(
                    "{format:?} {args:x?} in {room}: kernel {} {:?}, engine {} {:?}",
                    words(&theirs)[0],
                    String::from_utf8_lossy(&theirs[8..]),
                    words(&ours)[0],
                    String::from_utf8_lossy(&ours[8..]),
                ));
            }
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(
        compared >= 50,
        "only {compared} were compared; the verifier refused {refused:?}"
    );
}

#[test]
fn programs_change_elements_alike() {
    if !kernel() {
        return;
    }
    let key_at = -8;
    let value_at = -16;
    for (kind, map_flags, key_size) in [
        (MapType::Array, 0, 4),
        (MapType::PercpuArray, 0, 4),
        (MapType::Hash, 0, 4),
        (MapType::Hash, flags::NO_PREALLOC, 4),
        (MapType::PercpuHash, 0, 4),
        (MapType::LruHash, 0, 4),
        (MapType::LpmTrie, flags::NO_PREALLOC, 8),
    ] {
        let mut def = MapDef::new("elements", kind, key_size, 8, 2);
        def.flags = map_flags;
        // An LRU map of two is not the same in both.
        if kind == MapType::LruHash {
            def.max_entries = 1024;
        }
        let (results, map) = (Twin::results(8 * 40), Twin::new(def));
        let mut code = Code::default();
        code.map_value(9, 0);
        let mut at = 0;
        for (first, flags) in [
            (1u64, 2u64),
            (1, 0),
            (1, 1),
            (1, 2),
            (1, 3),
            (0, 1),
            (0, 0),
            (2, 0),
            (5, 1),
            (5, 2),
            (1, 4),
            (1, 1 << 32),
        ] {
            code.text(key_at, &first.to_ne_bytes())
                .text(value_at, &[first as u8 + 1; 8]);
            code.map(1, 1)
                .frame(2, key_at.into())
                .frame(3, value_at.into())
                .value(4, flags)
                .call(2)
                .keep(at, 0);
            at += 1;
        }
        for first in [1u64, 1, 9, 40] {
            code.text(key_at, &first.to_ne_bytes());
            code.map(1, 1).frame(2, key_at.into()).call(3).keep(at, 0);
            at += 1;
        }
        // What is left, by value: 0 stands for nothing.
        for first in [0u64, 1, 2, 5, 9] {
            code.text(key_at, &first.to_ne_bytes());
            code.map(1, 1).frame(2, key_at.into()).call(1);
            code.push(&[
                Insn::new(class::JMP | jmp::JEQ | source::K, 0, 0, 1, 0),
                Insn::new(class::LDX | mode::MEM | size::DW, 0, 0, 0, 0),
            ]);
            code.keep(at, 0);
            at += 1;
        }
        let (theirs, ours) = code.run(kind.name(), &[&results, &map]);
        assert_eq!(
            words(&theirs),
            words(&ours),
            "{kind} {map_flags}: kernel, engine"
        );
    }
}

#[test]
fn programs_push_and_pop_alike() {
    if !kernel() {
        return;
    }
    for kind in [MapType::Queue, MapType::Stack, MapType::BloomFilter] {
        let results = Twin::results(8 * 60);
        let map = Twin::new(MapDef::new("pile", kind, 0, 8, 2));
        let mut code = Code::default();
        code.map_value(9, 0);
        let mut at = 0;
        for (value, flags) in [
            (1u64, 0u64),
            (2, 1),
            (2, 0),
            (3, 0),
            (3, 2),
            (4, 3),
            (4, 4),
            (5, 1 << 32),
        ] {
            code.text(-8, &value.to_ne_bytes());
            code.map(1, 1)
                .frame(2, -8)
                .value(3, flags)
                .call(87)
                .keep(at, 0);
            at += 1;
        }
        for id in [89, 88, 89, 88, 88, 89] {
            // A bloom filter is only asked; what it may wrongly know depends on its seed, so only what it has.
            let value: u64 = if kind == MapType::BloomFilter {
                2
            } else {
                0x77
            };
            if kind == MapType::BloomFilter && id == 88 {
                continue;
            }
            code.text(-8, &value.to_ne_bytes());
            code.map(1, 1).frame(2, -8).call(id).keep(at, 0);
            code.push(&[Insn::new(class::LDX | mode::MEM | size::DW, 1, 10, -8, 0)])
                .keep(at + 1, 1);
            at += 2;
        }
        let (theirs, ours) = code.run(kind.name(), &[&results, &map]);
        assert_eq!(words(&theirs), words(&ours), "{kind}: kernel, engine");
    }
}

#[test]
fn rings_fill_alike() {
    if !kernel() {
        return;
    }
    let results = Twin::results(8 * 40);
    let ring = Twin::new(MapDef::new("ring", MapType::Ringbuf, 0, 0, 4096));
    let mut code = Code::default();
    code.map_value(9, 0).text(-400, &[7; 400]);
    let mut at = 0;
    for (size, flags) in [
        (8, 0u64),
        (400, 1),
        (400, 2),
        (1, 3),
        (8, 4),
        (7, 1 << 40),
        (400, 0),
        (400, 0),
        (400, 0),
        (400, 0),
        (400, 0),
        (400, 0),
        (400, 0),
        (400, 0),
        (8, 0),
    ] {
        code.map(1, 1)
            .frame(2, -400)
            .set(3, size)
            .value(4, flags)
            .call(130)
            .keep(at, 0);
        at += 1;
    }
    for what in 0..6 {
        code.map(1, 1).set(2, what).call(134).keep(at, 0);
        at += 1;
    }
    // Whether there is room for a record, and what it takes when it is thrown away.
    for size in [8, 16, 4000, 4088, 4096, 1 << 20] {
        code.map(1, 1).value(2, size).set(3, 0).call(131);
        code.set(7, 0)
            .push(&[Insn::new(class::JMP | jmp::JEQ | source::K, 0, 0, 4, 0)]);
        code.set(7, 1).mov(1, 0).set(2, 0).call(133).keep(at, 7);
        at += 1;
    }
    code.map(1, 1).set(2, 3).call(134).keep(at, 0);
    let (theirs, ours) = code.run("ring", &[&results, &ring]);
    assert_eq!(words(&theirs), words(&ours), "kernel, engine");
    assert!(words(&ours).contains(&-11), "the ring was filled: EAGAIN");
}

#[test]
fn events_without_a_buffer_fail_alike() {
    if !kernel() {
        return;
    }
    let results = Twin::results(8 * 10);
    let def = MapDef::new("events", MapType::PerfEventArray, 4, 4, 64);
    let kernel = KernelMap::create(&Kernel, &def, None, None).expect("the kernel makes this map");
    let closed = CreateOptions {
        perf_bytes: 0,
        ..CreateOptions::default()
    };
    let ours = create(&def, &closed).expect("so does the engine");
    let events = Twin { kernel, ours };
    let mut code = Code::default();
    code.map_value(9, 0).mov(8, 1).text(-8, &[1; 8]);
    for (at, flags) in [
        (0, 0xffff_ffffu64),
        (1, 0),
        (2, 63),
        (3, 64),
        (4, 0xffff_fffe),
        (5, 1 << 63),
    ] {
        code.mov(1, 8)
            .map(2, 1)
            .value(3, flags)
            .frame(4, -8)
            .set(5, 8)
            .call(25)
            .keep(at, 0);
    }
    let (theirs, ours) = code.run("events", &[&results, &events]);
    assert_eq!(words(&theirs), words(&ours), "kernel, engine");
}
