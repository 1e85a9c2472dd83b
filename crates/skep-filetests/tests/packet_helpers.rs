//! Packet helpers against the kernel's own: random sequences of helper calls run on both engines with the same packets, and
//! every answer, every visible field and every byte of the packet must agree.
//!
//! The answers are mixed into r0, so that one number tells of all of them. Left out, because they depend on the machine:
//! routes and neighbours, the keyed flow hash, the test run's socket, and packets really sent to a device.

mod frames;

use std::os::fd::{AsFd, AsRawFd};

use frames::{Sequence, any_frame, frame};
use skep_host::packet::{Hook, LinkType, Port};
use skep_linux::probe::available;
use skep_linux::{Kernel, Map as KernelMap, Program as KernelProgram, ProgramLoad, TestRun};
use skep_spec::insn::{Insn, alu, size};
use skep_spec::map::{MapDef, MapType};
use skep_spec::program::ProgramType;
use skep_vm::map::{CreateOptions, create};
use skep_vm::packet::PacketCtx;
use skep_vm::{Ctx, FixedEnv, Image, Limits, Program};

/// Writes programs: r6 is the context, r7 mixes what was seen.
struct Writer<'s> {
    insns: Vec<Insn>,
    seq: &'s mut Sequence,
    text: String,
}

const FP: u8 = 10;

impl<'s> Writer<'s> {
    fn new(seq: &'s mut Sequence) -> Writer<'s> {
        let mut w = Writer {
            insns: vec![Insn::mov64_reg(6, 1), Insn::mov64_imm(7, 0)],
            seq,
            text: String::new(),
        };
        for slot in 0..16 {
            let value = w.seq.next() as i32;
            w.insns
                .push(Insn::store_imm(size::DW, FP, -8 * (slot + 1), value));
        }
        w
    }

    fn mix(&mut self, register: u8) {
        self.insns.push(Insn::alu64_imm(alu::MUL, 7, 31));
        self.insns.push(Insn::alu64_reg(alu::ADD, 7, register));
    }

    /// Calls a helper with the context first and mixes its answer.
    fn call(&mut self, id: u32, args: &[Arg]) {
        self.text.push_str(&format!("{id}{args:?}; "));
        for (i, arg) in args.iter().enumerate() {
            let r = i as u8 + 1;
            match *arg {
                Arg::Ctx => self.insns.push(Insn::mov64_reg(r, 6)),
                Arg::Imm(v) => self.insns.push(Insn::mov64_imm(r, v)),
                Arg::Stack(off) => {
                    self.insns.push(Insn::mov64_reg(r, FP));
                    self.insns.push(Insn::alu64_imm(alu::ADD, r, off));
                }
                Arg::Wide(v) => self.insns.extend(Insn::ld_imm64(r, v)),
            }
        }
        self.insns.push(Insn::call_helper(id));
        self.mix(0);
    }

    /// Mixes the whole scratch area.
    fn see_stack(&mut self) {
        for slot in 0..16 {
            self.insns
                .push(Insn::load(size::DW, 0, FP, -8 * (slot + 1)));
            self.mix(0);
        }
    }

    /// Mixes a 32-bit context field.
    fn see_field(&mut self, offset: i16) {
        self.insns.push(Insn::load(size::W, 0, 6, offset));
        self.mix(0);
    }

    /// Mixes the distance of two packet pointers in the context.
    fn see_distance(&mut self, from: i16, to: i16) {
        self.insns.push(Insn::load(size::W, 0, 6, to));
        self.insns.push(Insn::load(size::W, 1, 6, from));
        self.insns.push(Insn::alu64_reg(alu::SUB, 0, 1));
        self.mix(0);
    }

    /// Loads the packet's first 14 bytes directly and stores to one of them, if they are there.
    fn touch_packet(&mut self, data: i16, data_end: i16) {
        let (at, value) = (self.seq.below(14) as i16, self.seq.next() as i32);
        self.insns.push(Insn::load(size::W, 2, 6, data));
        self.insns.push(Insn::load(size::W, 3, 6, data_end));
        self.insns.push(Insn::mov64_reg(4, 2));
        self.insns.push(Insn::alu64_imm(alu::ADD, 4, 14));
        // if r4 > r3 skip the following
        self.insns
            .push(Insn::jmp64_reg(skep_spec::insn::jmp::JGT, 4, 3, 8));
        self.insns.push(Insn::load(size::DW, 0, 2, 0));
        self.mix(0);
        self.insns.push(Insn::load(size::W, 0, 2, 10));
        self.mix(0);
        self.insns.push(Insn::mov64_imm(5, value));
        self.insns.push(Insn::store_reg(size::B, 2, at, 5));
    }

    fn finish(mut self) -> (Vec<Insn>, String) {
        self.insns.extend([
            Insn::mov64_reg(0, 7),
            Insn::alu64_imm(alu::RSH, 7, 32),
            Insn::alu64_reg(alu::XOR, 0, 7),
            Insn::exit(),
        ]);
        (self.insns, self.text)
    }
}

#[derive(Clone, Copy, Debug)]
enum Arg {
    Ctx,
    Imm(i32),
    Stack(i32),
    Wide(u64),
}
use Arg::{Ctx as C, Imm, Stack, Wide};

fn small(seq: &mut Sequence) -> i32 {
    let r = seq.next() as i32;
    seq.pick(&[
        0,
        1,
        -1,
        4,
        -4,
        8,
        -8,
        14,
        -14,
        20,
        -20,
        40,
        -40,
        64,
        100,
        -100,
        216,
        -216,
        217,
        -217,
        256,
        -256,
        r % 64,
        r % 2000,
    ])
}

fn offset(seq: &mut Sequence) -> i32 {
    let r = seq.next() as i32;
    seq.pick(&[
        0,
        2,
        12,
        14,
        16,
        24,
        34,
        36,
        50,
        60,
        0xffff,
        0x10000,
        -1,
        i32::MAX,
        r & 0x3f,
        r & 0x7ff,
        r & 0x3e,
    ])
}

fn length(seq: &mut Sequence) -> i32 {
    1 + seq.below(64) as i32
}

fn xdp_program(seq: &mut Sequence) -> (Vec<Insn>, String) {
    let steps = 1 + seq.below(8);
    let mut w = Writer::new(seq);
    for _ in 0..steps {
        match w.seq.below(11) {
            0 => {
                let by = small(w.seq);
                w.call(44, &[C, Imm(by)]);
            }
            1 => {
                let by = small(w.seq);
                w.call(54, &[C, Imm(by)]);
            }
            2 => {
                let by = small(w.seq);
                w.call(65, &[C, Imm(by)]);
            }
            3 => w.call(188, &[C]),
            4 => {
                let (at, n) = (offset(w.seq), length(w.seq));
                w.call(189, &[C, Imm(at), Stack(-64), Imm(n)]);
                w.see_stack();
            }
            5 => {
                let (at, n) = (offset(w.seq), length(w.seq));
                w.call(190, &[C, Imm(at), Stack(-64), Imm(n)]);
            }
            6 => {
                let (i, by) = (
                    w.seq.pick(&[0, 1, 99_999]),
                    small(w.seq) * w.seq.pick(&[1, 1000]),
                );
                let flags = w.seq.pick(&[0, 0, 0, 1, 2]);
                let given = w.seq.pick(&[0, 1500, 70_000]);
                w.insns.push(Insn::store_imm(size::W, FP, -8, given));
                w.call(163, &[C, Imm(i), Stack(-8), Imm(by), Imm(flags)]);
                w.see_stack();
            }
            7 => {
                let flags = w.seq.pick(&[0, 1, 2]);
                w.call(23, &[Imm(1), Imm(flags)]);
            }
            8 => csum_diff(&mut w),
            9 => fib_lookup(&mut w),
            _ => w.touch_packet(0, 4),
        }
        w.see_distance(0, 4);
        w.see_distance(8, 0);
    }
    w.finish()
}

fn csum_diff(w: &mut Writer<'_>) {
    let (a, b) = (
        w.seq.pick(&[0, 4, 8, 20, 64, 3]),
        w.seq.pick(&[0, 4, 8, 20, 64, 6]),
    );
    let seed = w.seq.pick(&[0, -1, 0x1234, 0x7fff_ffff, -0x7fff_0000]);
    w.call(28, &[Stack(-64), Imm(a), Stack(-128), Imm(b), Imm(seed)]);
}

/// Only what does not depend on this machine's routes.
fn fib_lookup(w: &mut Writer<'_>) {
    let family = w.seq.pick(&[0, 1, 2, 10, 11]);
    w.insns.push(Insn::store_imm(size::DW, FP, -64, family));
    w.insns.push(Insn::store_imm(size::W, FP, -56, 99_999));
    let (len, flags) = (
        w.seq.pick(&[64, 64, 63, 1]),
        w.seq.pick(&[0, 1, 4, 0x40, -1]),
    );
    w.call(69, &[C, Stack(-64), Imm(len), Imm(flags)]);
}

fn tc_program(seq: &mut Sequence) -> (Vec<Insn>, String) {
    let steps = 1 + seq.below(8);
    let mut w = Writer::new(seq);
    // When the kernel gives a test run's skb a bigger buffer it moves the transport header that was never set, and
    // bpf_skb_change_tail then takes it for one. On a real interface the header is set, so this is not followed here.
    // Room opened behind a shortened packet shows the bytes cut off; here it is zero.
    let (mut grown, mut cut) = (false, false);
    for _ in 0..steps {
        let step = w.seq.below(26);
        grown |= matches!(step, 12 | 14..=18);
        match step {
            11 if grown => {}
            15..=17 if cut => {}
            0 => {
                let (at, n, flags) = (offset(w.seq), length(w.seq), w.seq.pick(&[0, 1, 2, 3, 4]));
                w.call(9, &[C, Imm(at), Stack(-64), Imm(n), Imm(flags)]);
            }
            1 => {
                let (at, n) = (offset(w.seq), length(w.seq));
                w.call(26, &[C, Imm(at), Stack(-64), Imm(n)]);
                w.see_stack();
            }
            2 => {
                let (at, n, start) = (offset(w.seq), length(w.seq), w.seq.pick(&[0, 1, 2]));
                w.call(68, &[C, Imm(at), Stack(-64), Imm(n), Imm(start)]);
                w.see_stack();
            }
            3 => {
                let n = offset(w.seq);
                w.call(39, &[C, Imm(n)]);
            }
            4 | 5 => {
                let at = offset(w.seq);
                let flags = w.seq.pick(&[0, 2, 4, 2, 4, 1, 0x10]);
                let from = if flags == 0 {
                    w.seq.pick(&[0, 1])
                } else {
                    w.seq.next()
                };
                let to = w.seq.next();
                w.call(10, &[C, Imm(at), Wide(from), Wide(to), Imm(flags)]);
            }
            6 | 7 => {
                let at = offset(w.seq);
                let flags = w
                    .seq
                    .pick(&[0, 2, 4, 0x12, 0x14, 0x24, 0x64, 0x22, 0x30, 3, 0x100]);
                let from = if flags & 0xf == 0 {
                    w.seq.pick(&[0, 1])
                } else {
                    w.seq.next()
                };
                let to = w.seq.next();
                w.call(11, &[C, Imm(at), Wide(from), Wide(to), Imm(flags)]);
            }
            8 => csum_diff(&mut w),
            9 => w.call(40, &[C, Imm(7)]),
            10 => {
                let level = w.seq.pick(&[0, 1, 2, 3, 4, 1, 1]);
                w.call(135, &[C, Imm(level)]);
            }
            11 => {
                cut = true;
                let (n, flags) = (
                    w.seq
                        .pick(&[0, 13, 14, 34, 60, 100, 500, 1514, 3000, 16_064, 16_065, -1]),
                    w.seq.pick(&[0, 0, 0, 1]),
                );
                w.call(38, &[C, Imm(n), Imm(flags)]);
            }
            12 => {
                let (n, flags) = (
                    w.seq.pick(&[0, 1, 14, 20, 100, 1000, 20_000, -1]),
                    w.seq.pick(&[0, 0, 0, 1]),
                );
                w.call(43, &[C, Imm(n), Imm(flags)]);
            }
            13 => {
                let kind = w.seq.pick(&[0, 1, 2, 3, 4, 7]);
                w.call(32, &[C, Imm(kind)]);
            }
            14 => {
                let proto = w.seq.pick(&[0x0008, 0xdd86, 0x0081]);
                let flags = w.seq.pick(&[0, 0, 0, 1]);
                w.call(31, &[C, Imm(proto), Imm(flags)]);
            }
            15..=17 => {
                let by = small(w.seq);
                let mode = w.seq.pick(&[0, 1, 1, 2]);
                let low = w.seq.pick(&[
                    0u64, 1, 2, 4, 6, 0xa, 0x12, 0x0c, 0x14, 0x1a, 0x20, 0x42, 0x80, 0x100, 0x180,
                    0x200,
                ]);
                let flags = low | w.seq.pick(&[0, 0, 14, 20]) << 56;
                w.call(50, &[C, Imm(by), Imm(mode), Wide(flags)]);
            }
            18 => {
                let (proto, tci) = (
                    w.seq.pick(&[0x0081, 0xa888, 0x0008, 0]),
                    w.seq.next() as i32 & 0xffff,
                );
                w.call(18, &[C, Imm(proto), Imm(tci)]);
            }
            19 => w.call(19, &[C]),
            20 => {
                let hash = w.seq.next() as i32;
                w.call(48, &[C, Imm(hash)]);
                w.see_field(68);
                if w.seq.below(2) == 0 {
                    w.call(41, &[C]);
                }
            }
            21 => {
                let (i, flags) = (w.seq.pick(&[99_999, 99_998]), w.seq.pick(&[0, 1, 2]));
                w.call(13, &[C, Imm(i), Imm(flags)]);
                w.call(23, &[Imm(i), Imm(flags)]);
                w.call(155, &[Imm(i), Imm(flags)]);
                let n = w.seq.pick(&[20, 24, 19, 1]);
                w.call(152, &[Imm(i), Stack(-64), Imm(n), Imm(flags)]);
            }
            22 => w.call(97, &[C]),
            23 => {
                let (time, kind) = (w.seq.pick(&[0, 5, 1 << 40]), w.seq.pick(&[0, 1, 2, 3]));
                w.call(192, &[C, Wide(time), Imm(kind)]);
                w.insns.push(Insn::load(size::DW, 0, 6, 152));
                w.mix(0);
            }
            24 => {
                let (i, by) = (
                    w.seq.pick(&[0, 1, 99_999]),
                    small(w.seq) * w.seq.pick(&[1, 1000]),
                );
                let flags = w.seq.pick(&[0, 0, 0, 1, 2]);
                let given = w.seq.pick(&[0, 0, 1500, 70_000]);
                w.insns.push(Insn::store_imm(size::W, FP, -8, given));
                w.call(163, &[C, Imm(i), Stack(-8), Imm(by), Imm(flags)]);
                w.see_stack();
            }
            _ => {
                let n = w.seq.pick(&[28, 44]);
                w.call(20, &[C, Stack(-64), Imm(n), Imm(0)]);
                w.call(29, &[C, Stack(-64), Imm(16)]);
                w.see_stack();
                w.call(24, &[C]);
                w.touch_packet(76, 80);
            }
        }
        // len, pkt_type, mark, protocol, vlan_present, vlan_tci, vlan_proto, ifindex, hash, wire_len
        for field in [0, 4, 8, 16, 20, 24, 28, 40, 68, 160] {
            w.see_field(field);
        }
        w.see_distance(76, 80);
    }
    w.finish()
}

fn socket_program(seq: &mut Sequence) -> (Vec<Insn>, String) {
    let steps = 1 + seq.below(6);
    let mut w = Writer::new(seq);
    for _ in 0..steps {
        match w.seq.below(4) {
            0 => {
                let (at, n) = (offset(w.seq), length(w.seq));
                w.call(26, &[C, Imm(at), Stack(-64), Imm(n)]);
                w.see_stack();
            }
            1 => {
                let (at, n, start) = (offset(w.seq), length(w.seq), w.seq.pick(&[0, 1, 2]));
                w.call(68, &[C, Imm(at), Stack(-64), Imm(n), Imm(start)]);
                w.see_stack();
            }
            _ => {
                // A classic load; where it leaves the packet, the program ends with 0.
                let at = w.seq.pick(&[
                    0,
                    1,
                    9,
                    20,
                    33,
                    60,
                    -0x10_0000,
                    -0x10_0000 + 9,
                    -0x20_0000,
                    -0x20_0000 + 12,
                    -0x1000 * 2,
                ]);
                let width = w.seq.pick(&[size::B, size::H, size::W]);
                w.text.push_str(&format!("ld_abs {at} {width}; "));
                w.insns.push(Insn::new(0x20 | width, 0, 0, 0, at));
                w.mix(0);
            }
        }
        for field in [0, 4, 8, 16, 20, 24, 28, 40] {
            w.see_field(field);
        }
    }
    w.finish()
}

/// Loads on both engines and runs all packets; answers how many runs were compared, or the log of a program that the
/// kernel's verifier refuses.
fn compare(
    program_type: ProgramType,
    insns: &[Insn],
    text: &str,
    packets: &[Vec<u8>],
    ctx: &mut PacketCtx,
    hook: Hook,
) -> Result<usize, String> {
    let load = ProgramLoad {
        name: "compare",
        program_type: program_type as u32,
        expected_attach_type: 0,
        insns,
        license: "GPL",
        flags: 0,
        btf: None,
        attach_btf_id: 0,
    };
    let kernel =
        KernelProgram::load(&Kernel, &load).map_err(|e| format!("{text}: {e}\n{}", e.log))?;
    let image = Image {
        name: "compare".into(),
        insns: insns.to_vec(),
        program_type: Some(program_type),
        layout: Some(ctx.layout()),
        ..Image::default()
    };
    let ours = Program::sandboxed(image).unwrap_or_else(|e| panic!("{text}: {e}"));
    let env = FixedEnv::default();
    let mut compared = 0;
    for packet in packets {
        let skb = [0u8; 192];
        let run = TestRun {
            data: packet,
            ctx: if hook == (Hook::Xdp { frags: false }) {
                &[]
            } else {
                &skb
            },
            data_out_room: 20_000,
            ..TestRun::default()
        };
        let theirs = match kernel.test_run(&Kernel, &run) {
            Ok(out) => out,
            // The test run refuses packets whose IP header is cut.
            Err(e) if e.errno.0 == 22 => continue,
            Err(e) => panic!("{text}: {e}"),
        };
        hook.load(ctx, packet, LinkType::ETHERNET, &Port::default())
            .unwrap();
        let r0 = ours
            .run(&mut Ctx::Packet(ctx), &env, &Limits::default())
            .unwrap_or_else(|t| panic!("{text}\non {packet:02x?}: {t}"));
        if r0 as u32 != theirs.retval {
            let at = first_difference(program_type, insns, packet, ctx, hook);
            panic!(
                "{text}\n{at}\non {packet:02x?}: r0 is {r0:#x}, the kernel's {:#x}",
                theirs.retval
            );
        }
        let mut bytes = ctx.meta_bytes().to_vec();
        bytes.extend(hook.bytes(ctx));
        if hook == Hook::Socket(skep_host::packet::SocketStart::Network) {
            // The test run puts 14 zeroes where the MAC header was.
            bytes[..14].fill(0);
        }
        assert!(
            bytes == theirs.data,
            "bytes of {text}\non {packet:02x?}\nours   {bytes:02x?}\nkernel {:02x?}",
            theirs.data
        );
        compared += 1;
    }
    Ok(compared)
}

/// Cuts the program after each value that it mixes, to find the first one that differs.
fn first_difference(
    program_type: ProgramType,
    insns: &[Insn],
    packet: &[u8],
    ctx: &mut PacketCtx,
    hook: Hook,
) -> String {
    for (i, insn) in insns.iter().enumerate() {
        let mixes = *insn == Insn::alu64_imm(alu::MUL, 7, 31) && insns[i + 1].src == 0;
        if !mixes
            || insns[..i]
                .iter()
                .any(|j| j.code == 0x2d && insns[i - 1].code == j.code)
        {
            continue;
        }
        let mut cut = insns[..i].to_vec();
        cut.push(Insn::exit());
        // A jump over the cut lands on the exit.
        for (at, insn) in cut.iter_mut().enumerate() {
            if insn.code == 0x2d && at + 1 + insn.off as usize > i {
                insn.off = (i - at - 1) as i16;
            }
        }
        let load = ProgramLoad {
            name: "cut",
            program_type: program_type as u32,
            expected_attach_type: 0,
            insns: &cut,
            license: "GPL",
            flags: 0,
            btf: None,
            attach_btf_id: 0,
        };
        let skb = [0u8; 192];
        let run = TestRun {
            data: packet,
            ctx: if hook == (Hook::Xdp { frags: false }) {
                &[]
            } else {
                &skb
            },
            data_out_room: 20_000,
            ..TestRun::default()
        };
        let Ok(kernel) = KernelProgram::load(&Kernel, &load) else {
            continue;
        };
        let Ok(theirs) = kernel.test_run(&Kernel, &run) else {
            continue;
        };
        let image = Image {
            insns: cut.clone(),
            program_type: Some(program_type),
            layout: Some(ctx.layout()),
            ..Image::default()
        };
        let Ok(ours) = Program::sandboxed(image) else {
            continue;
        };
        hook.load(ctx, packet, LinkType::ETHERNET, &Port::default())
            .unwrap();
        let r0 = ours.run(
            &mut Ctx::Packet(ctx),
            &FixedEnv::default(),
            &Limits::default(),
        );
        if !matches!(r0, Ok(r0) if r0 as u32 == theirs.retval) {
            let before: Vec<_> = cut[i.saturating_sub(6)..i]
                .iter()
                .map(|i| format!("{i:?}"))
                .collect();
            return format!(
                "first difference: {r0:x?}, kernel {:#x}, after {}",
                theirs.retval,
                before.join("\n  ")
            );
        }
    }
    "no single value differs".to_owned()
}

type Generate = fn(&mut Sequence) -> (Vec<Insn>, String);

fn differential(program_type: ProgramType, generate: Generate, programs: usize, seed: u64) {
    if let Err(e) = available(&Kernel) {
        eprintln!("skipped: bpf(2) is refused here: {e}");
        return;
    }
    let hook = Hook::for_program(program_type, None, false).unwrap();
    let mut ctx = hook.context();
    let mut seq = Sequence::new(seed);
    let (mut runs, mut refused) = (0, Vec::new());
    for _ in 0..programs {
        let (insns, text) = generate(&mut seq);
        let packets: Vec<_> = (0..8)
            .map(|i| {
                if i % 2 == 0 {
                    frame(&mut seq)
                } else {
                    any_frame(&mut seq)
                }
            })
            .filter(|p| p.len() <= 3000)
            .collect();
        match compare(program_type, &insns, &text, &packets, &mut ctx, hook) {
            Ok(n) => runs += n,
            Err(log) => refused.push(log),
        }
    }
    assert!(
        runs > programs * 4,
        "{runs} runs of {programs} programs were compared"
    );
    assert!(
        refused.len() * 10 < programs,
        "{} of {programs} programs were refused; first: {}",
        refused.len(),
        refused[0]
    );
    eprintln!(
        "{runs} runs of {programs} programs agree with the kernel ({} refused by its verifier)",
        refused.len()
    );
}

#[test]
fn xdp_helpers_answer_as_the_kernel_does() {
    differential(ProgramType::Xdp, xdp_program, 1500, 0x99_1234_5678_9abc);
}

#[test]
fn tc_helpers_answer_as_the_kernel_does() {
    differential(ProgramType::SchedCls, tc_program, 2000, 0x0077_feed_f00d);
}

#[test]
fn socket_filters_answer_as_the_kernel_does() {
    differential(ProgramType::SocketFilter, socket_program, 800, 0xbeef11);
}

#[test]
fn redirects_through_maps_answer_as_the_kernel_does() {
    if let Err(e) = available(&Kernel) {
        eprintln!("skipped: bpf(2) is refused here: {e}");
        return;
    }
    let (mut answers, mut redirects) = (0, 0);
    for (kind, flags) in [
        (MapType::Devmap, 0),
        (MapType::DevmapHash, 0),
        (MapType::Cpumap, 0),
        (MapType::Xskmap, 0),
    ] {
        let def = MapDef {
            name: "targets".into(),
            map_type: kind,
            key_size: 4,
            value_size: 4,
            max_entries: 4,
            flags,
            map_extra: 0,
            numa_node: None,
        };
        let theirs = KernelMap::create(&Kernel, &def, None, None).unwrap();
        let ours = create(&def, &CreateOptions::default()).unwrap();
        // Interface 1 is the loopback device; CPU 0 always exists. No socket can be put in here.
        if kind != MapType::Xskmap {
            let (key, value) = (
                0u32.to_ne_bytes(),
                if kind == MapType::Cpumap { 64u32 } else { 1 }.to_ne_bytes(),
            );
            theirs.update(&Kernel, &key, &value, 0).unwrap();
            ours.update_user(&key, &value, 0).unwrap();
        }
        for key in [0u64, 1, 3, 4, 0xffff_ffff, 1 << 32] {
            for flags in 0..=33u64 {
                let mut insns = Insn::ld_imm64_pseudo(1, 1, 0, 0).to_vec();
                insns.extend(Insn::ld_imm64(2, key));
                insns.extend(Insn::ld_imm64(3, flags));
                insns.extend([Insn::call_helper(51), Insn::exit()]);
                let image = Image {
                    insns: insns.clone(),
                    maps: vec![ours.clone()],
                    program_type: Some(ProgramType::Xdp),
                    layout: Some(&skep_spec::context::xdp::XDP),
                    ..Image::default()
                };
                insns[0].imm = theirs.as_fd().as_raw_fd();
                let load = ProgramLoad {
                    name: "redirect",
                    program_type: ProgramType::Xdp as u32,
                    expected_attach_type: 0,
                    insns: &insns,
                    license: "GPL",
                    flags: 0,
                    btf: None,
                    attach_btf_id: 0,
                };
                let kernel = KernelProgram::load(&Kernel, &load)
                    .unwrap_or_else(|e| panic!("{e}\n{}", e.log));
                let run = TestRun {
                    data: &[0; 64],
                    ..TestRun::default()
                };
                let expected = kernel.test_run(&Kernel, &run).unwrap().retval;
                let hook = Hook::Xdp { frags: false };
                let mut ctx = hook.context();
                hook.load(&mut ctx, &[0; 64], LinkType::ETHERNET, &Port::default())
                    .unwrap();
                let r0 = Program::sandboxed(image)
                    .unwrap()
                    .run(
                        &mut Ctx::Packet(&mut ctx),
                        &FixedEnv::default(),
                        &Limits::default(),
                    )
                    .unwrap();
                assert_eq!(r0 as u32, expected, "{kind} key {key:#x} flags {flags:#x}");
                answers += 1;
                redirects += u32::from(r0 == 4);
            }
        }
    }
    assert!(
        answers == 816 && redirects > 20,
        "{answers} answers, {redirects} redirects"
    );
}
