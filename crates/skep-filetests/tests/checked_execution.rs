//! Random programs that our verifier accepts, run in the sandbox with every instruction held against the verifier's states:
//! no value may lie outside of them, and no run may trap; run without checks, they must give the same.
//!
//! The seed is fixed, so a failure repeats; `SKEP_CHECKED_PROGRAMS` asks for more accepted programs, `SKEP_CHECKED_SEED`
//! for others.

use std::sync::Arc;

use skep_filetests::random::Random;
use skep_spec::context::xdp;
use skep_spec::insn::Insn;
use skep_spec::map::{MapDef, MapType};
use skep_spec::profile::Profile;
use skep_spec::program::ProgramType;
use skep_verifier::facts::width::{self, Width, Widths};
use skep_verifier::input::MapInfo;
use skep_verifier::recording::{self, Concrete, Recording};
use skep_verifier::{Input, Verified};
use skep_vm::packet::{PacketCtx, PacketKind};
use skep_vm::{Ctx, FixedEnv, Image, JitOptions, Limits, Map, Moment, Program, Watch};

/// Immediates.
trait Immediates {
    /// Numbers at the edges are likelier than chance makes them.
    fn imm(&mut self) -> i32;
}

impl Immediates for Random {
    fn imm(&mut self) -> i32 {
        match self.below(4) {
            0 => self.of(&[
                0,
                1,
                -1,
                i32::MIN,
                i32::MAX,
                31,
                32,
                63,
                255,
                0x8000,
                -128,
                2,
                7,
            ]),
            1 => self.below(64) as i32,
            2 => (1u64 << self.below(31)) as i32,
            _ => self.next() as i32,
        }
    }
}

const VALUE_BYTES: u32 = 64;
/// r6 is the context, r7 a map's value; these hold numbers.
const NUMBERS: [u8; 7] = [0, 2, 3, 4, 5, 8, 9];
const SLOTS: [i16; 4] = [-8, -16, -24, -32];

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn {
        code,
        dst,
        src,
        off,
        imm,
    }
}

/// The random part of a program: numbers are computed, compared, spilled, and used as offsets.
struct Body<'r> {
    random: &'r mut Random,
    code: Vec<Insn>,
    /// Forward jumps whose targets are set at the end.
    jumps: Vec<usize>,
}

impl Body<'_> {
    fn push(&mut self, code: u8, dst: u8, src: u8, off: i16, imm: i32) {
        self.code.push(insn(code, dst, src, off, imm));
    }

    fn number(&mut self) -> u8 {
        self.random.of(&NUMBERS)
    }

    fn alu(&mut self) {
        let (dst, src) = (self.number(), self.number());
        let wide = self.random.of(&[4u8, 7, 7]);
        let op = self.random.of(&[
            0x00u8, 0x10, 0x20, 0x30, 0x40, 0x50, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0, 0xb0, 0xc0,
            0xd0,
        ]);
        let bits = if wide == 7 { 64 } else { 32 };
        match op {
            0x80 => self.push(0x80 | wide, dst, 0, 0, 0),
            0xd0 => {
                let width = self.random.of(&[16, 32, 64]);
                let code = self.random.of(&[0xd4u8, 0xdc, 0xd7]);
                self.push(code, dst, 0, 0, width);
            }
            0x60 | 0x70 | 0xc0 if self.random.below(3) > 0 => {
                let shift = self.random.below(bits) as i32;
                self.push(op | wide, dst, 0, 0, shift);
            }
            0x30 | 0x90 => {
                let signed = self.random.below(2) as i16;
                if self.random.below(2) == 0 {
                    self.push(op | wide | 8, dst, src, signed, 0);
                } else {
                    let imm = self.random.imm();
                    self.push(op | wide, dst, 0, signed, if imm == 0 { 7 } else { imm });
                }
            }
            0xb0 if self.random.below(3) == 0 => {
                let off = if wide == 7 {
                    self.random.of(&[8i16, 16, 32])
                } else {
                    self.random.of(&[8i16, 16])
                };
                self.push(0xb0 | wide | 8, dst, src, off, 0);
            }
            _ if self.random.below(2) == 0 => self.push(op | wide | 8, dst, src, 0, 0),
            0x60 | 0x70 | 0xc0 => self.push(op | wide | 8, dst, src, 0, 0),
            _ => {
                let imm = self.random.imm();
                self.push(op | wide, dst, 0, 0, imm);
            }
        }
    }

    fn jump(&mut self) {
        let op = self.random.of(&[
            0x10u8, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0,
        ]);
        let class = self.random.of(&[5u8, 5, 6]);
        let (dst, src) = (self.number(), self.number());
        self.jumps.push(self.code.len());
        if self.random.below(2) == 0 {
            self.push(op | class | 8, dst, src, 0, 0);
        } else {
            let imm = self.random.imm();
            self.push(op | class, dst, 0, 0, imm);
        }
    }

    fn stack(&mut self) {
        let (dst, src) = (self.number(), self.number());
        let slot = self.random.of(&SLOTS);
        let at = slot + self.random.of(&[0i16, 0, 0, 4]);
        match self.random.below(4) {
            0 => self.push(0x7b, 10, src, slot, 0),
            1 => {
                let code = self.random.of(&[0x63u8, 0x6b, 0x73]);
                self.push(code, 10, src, at, 0);
            }
            2 => {
                let imm = self.random.imm();
                let code = self.random.of(&[0x62u8, 0x6a, 0x72]);
                self.push(code, 10, 0, at, imm);
            }
            _ => {
                let code = self.random.of(&[0xc3u8, 0xdb]);
                let op = self
                    .random
                    .of(&[0x00, 0x40, 0x50, 0xa0, 0x01, 0x41, 0x51, 0xa1, 0xe1, 0xf1]);
                self.push(code, 10, src, slot, op);
            }
        }
        let load = self
            .random
            .of(&[0x61u8, 0x69, 0x71, 0x79, 0x79, 0x81, 0x89, 0x91]);
        let from = if matches!(load, 0x79) { slot } else { at };
        self.push(load, dst, 10, from, 0);
    }

    /// An offset that is bounded in some way, added to a pointer, and an access there.
    fn indexed(&mut self) {
        let index = self.number();
        match self.random.below(5) {
            0 => {
                let mask = self.random.of(&[7, 15, 31, 56, 63, 127]);
                self.push(0x57, index, 0, 0, mask);
            }
            1 => {
                let max = self.random.below(70) as i32;
                self.jumps.push(self.code.len());
                self.push(0x25, index, 0, 1000, max);
            }
            2 => {
                let shift = self.random.of(&[58, 59, 60]);
                self.push(0x77, index, 0, 0, shift);
            }
            3 => {
                self.push(0x97, index, 0, 0, 60);
            }
            _ => {}
        }
        let (pointer, off) = if self.random.below(3) == 0 {
            (10, -32)
        } else {
            (7, self.random.below(4) as i16)
        };
        self.push(0xbf, 1, pointer, 0, 0);
        self.push(0x0f, 1, index, 0, 0);
        let dst = self.number();
        match self.random.below(3) {
            0 => self.push(0x73, 1, dst, off, 0),
            1 => {
                let load = self.random.of(&[0x71u8, 0x91, 0x69, 0x61]);
                self.push(load, dst, 1, off, 0);
            }
            _ => self.push(0x72, 1, 0, off, 5),
        }
    }

    /// A number that nothing is known of.
    fn unknown(&mut self) {
        match self.random.below(3) {
            0 => {
                self.push(0x85, 0, 0, 0, 7);
                for reg in [2, 3, 4, 5] {
                    let imm = self.random.imm();
                    self.push(0xb7, reg, 0, 0, imm);
                }
            }
            1 => {
                let dst = self.number();
                let field = self.random.of(&[12i16, 16]);
                self.push(0x61, dst, 6, field, 0);
            }
            _ => {
                let dst = self.number();
                let load = self.random.of(&[0x61u8, 0x79, 0x71, 0x91, 0x81]);
                let at = self.random.below(7) as i16 * 8;
                self.push(load, dst, 7, at, 0);
            }
        }
    }

    /// Some bytes of the packet, behind a comparison with its end.
    fn packet(&mut self) {
        let bytes = self.random.of(&[1, 4, 14, 34]);
        let dst = self.number();
        self.push(0x61, 2, 6, 0, 0);
        self.push(0x61, 3, 6, 4, 0);
        let variable = self.random.below(2) == 0;
        if variable {
            self.push(0x57, 4, 0, 0, 31);
            self.push(0x0f, 2, 4, 0, 0);
        }
        self.push(0xbf, 1, 2, 0, 0);
        self.push(0x07, 1, 0, 0, bytes);
        self.push(0x2d, 1, 3, 1, 0);
        let last = bytes as i16 - 1;
        self.push(0x71, 4, 2, last, 0);
        for reg in [2, 3] {
            self.push(0xb7, reg, 0, 0, 3);
        }
        self.push(0xbf, dst, 4, 0, 0);
    }

    /// A loop with a counter, over a few computations.
    fn counted(&mut self) {
        let counter = self.random.of(&[8u8, 9]);
        self.push(0xb7, counter, 0, 0, 0);
        let head = self.code.len();
        for _ in 0..1 + self.random.below(3) {
            let (dst, src) = (self.random.of(&[0u8, 2, 3, 4, 5]), self.number());
            let op = self
                .random
                .of(&[0x0fu8, 0x1f, 0x5f, 0xaf, 0x4f, 0x2f, 0x0c, 0x5c]);
            self.push(op, dst, src, 0, 0);
        }
        self.push(0x07, counter, 0, 0, 1);
        let rounds = 2 + self.random.below(20) as i32;
        let back = head as i16 - self.code.len() as i16 - 1;
        self.push(0xa5, counter, 0, back, rounds);
    }
}

/// A whole program; `ld_imm64` of map 0, which is an array of one value.
fn program(random: &mut Random) -> Vec<Insn> {
    let mut body = Body {
        random,
        code: Vec::new(),
        jumps: Vec::new(),
    };
    body.push(0xbf, 6, 1, 0, 0);
    body.push(0x62, 10, 0, -4, 0);
    body.push(0x18, 1, 1, 0, 0);
    body.push(0, 0, 0, 0, 0);
    body.push(0xbf, 2, 10, 0, 0);
    body.push(0x07, 2, 0, 0, -4);
    body.push(0x85, 0, 0, 0, 1);
    body.push(0x55, 0, 0, 1, 0);
    body.push(0x95, 0, 0, 0, 0);
    body.push(0xbf, 7, 0, 0, 0);
    body.push(0x85, 0, 0, 0, 7);
    body.push(0xbf, 8, 0, 0, 0);
    body.push(0x79, 9, 7, 0, 0);
    for reg in [0, 2, 3, 4, 5] {
        let imm = body.random.imm();
        body.push(0xb7, reg, 0, 0, imm);
    }
    for slot in SLOTS {
        let src = body.number();
        body.push(0x7b, 10, src, slot, 0);
    }
    for _ in 0..6 + body.random.below(30) {
        match body.random.below(24) {
            0..=8 => body.alu(),
            9..=13 => body.jump(),
            14..=16 => body.stack(),
            17..=18 => body.unknown(),
            19..=21 => body.indexed(),
            22 => body.packet(),
            _ => body.counted(),
        }
    }
    let end = body.code.len();
    for at in std::mem::take(&mut body.jumps) {
        let whole = body.code[at].off == 1000;
        let reach = if whole {
            end - at - 1
        } else {
            (end - at - 1).min(8)
        };
        let off = if whole {
            reach
        } else {
            body.random.below(reach as u64 + 1) as usize
        };
        body.code[at].off = off as i16;
    }
    for reg in [2u8, 3, 4, 5, 8, 9] {
        body.push(0x0f, 0, reg, 0, 0);
    }
    body.push(0x95, 0, 0, 0, 0);
    body.code
}

/// What a plain verification says of each instruction in all runs.
struct Said {
    insns: Vec<Insn>,
    verified: Verified,
    widths: Widths,
}

impl Said {
    /// What of it does not hold now, after instruction `before`.
    fn broken(&self, before: Option<usize>, pc: usize, regs: &[u64; 11]) -> Option<String> {
        let (insn, facts) = (self.insns[pc], self.verified.facts[pc]);
        let value = |number: u8| regs[usize::from(number)];
        let outside = |number: u8, width: Width| {
            let value = value(number);
            width.bits < 64 && value >> width.bits != 0 || width.not_zero && value == 0
        };
        for (number, width) in [
            (insn.dst, self.widths.dst(pc)),
            (insn.src, self.widths.src(pc)),
        ] {
            if outside(number, width) {
                return Some(format!(
                    "before instruction {pc} r{number} is {:#x}, which is not {width:?}",
                    value(number)
                ));
            }
        }
        if let Some(max) = facts.index_max
            && value(insn.dst).min(value(insn.src)) > max
        {
            return Some(format!("instruction {pc} adds more than {max:#x}"));
        }
        let ways = before.map(|before| (before, self.verified.facts[before].ways));
        match ways {
            _ if !facts.reached => Some(format!("instruction {pc} is said not to be reached")),
            Some((from, ways))
                if (ways.next || ways.target)
                    && !(ways.next && pc == from + 1
                        || ways.target
                            && self.insns[from].jump_offset().is_some_and(|offset| {
                                pc as i64 == from as i64 + 1 + i64::from(offset)
                            })) =>
            {
                Some(format!("the jump at {from} is said not to lead to {pc}"))
            }
            _ => None,
        }
    }
}

struct Held<'r> {
    recording: &'r Recording,
    said: &'r Said,
    /// The instruction before.
    before: Option<usize>,
    map: Arc<dyn Map>,
    wrong: Option<String>,
}

impl Watch for Held<'_> {
    fn insn(&mut self, moment: &Moment<'_>) -> bool {
        let value_start = |_: u32, address: u64| {
            // One past the end still belongs to the value.
            (0..=u64::from(VALUE_BYTES)).find_map(|back| {
                let (start, _) = self.map.value_at(address.wrapping_sub(back))?;
                Some(start)
            })
        };
        let concrete = Concrete {
            regs: moment.regs,
            frame_tops: moment.frame_tops,
            packet: moment.packet.clone(),
            value_start: &value_start,
        };
        let before = self.before.replace(moment.pc);
        if let Some(wrong) = self.said.broken(before, moment.pc, moment.regs) {
            self.wrong = Some(wrong);
            return false;
        }
        match self.recording.check(moment.pc, &concrete) {
            Ok(()) => true,
            Err(wrong) => {
                self.wrong = Some(wrong);
                false
            }
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

thread_local! {
    static PROFILE: Profile = skep::verify::embedded_profile();
}

fn map_def() -> MapDef {
    MapDef {
        name: "values".into(),
        map_type: MapType::Array,
        key_size: 4,
        value_size: VALUE_BYTES,
        max_entries: 1,
        flags: 0,
        map_extra: 0,
        numa_node: None,
    }
}

fn input(insns: &[Insn]) -> Input {
    let def = map_def();
    let mut input = Input::new(ProgramType::Xdp, insns.to_vec());
    input.profile = PROFILE.with(Profile::clone);
    input.maps.push(MapInfo {
        name: def.name,
        map_type: def.map_type,
        key_size: def.key_size,
        value_size: def.value_size,
        max_entries: def.max_entries,
        flags: 0,
        map_extra: 0,
        key_type: None,
        value_type: None,
        inner: None,
        frozen: None,
        user_address: 0,
    });
    input
}

fn value_of(map: &dyn Map) -> Vec<u8> {
    let mut value = Vec::new();
    let _ = map.lookup_user(&0u32.to_le_bytes(), 0, &mut value);
    value
}

/// Verifies and runs one program, checked and proven; answers how many instructions ran, `None` where it is refused.
fn check(insns: &[Insn], random: &mut Random) -> Option<Result<u64, String>> {
    let (_, recording) = recording::record(&input(insns)).ok()?;
    let verified = match skep_verifier::verify(&input(insns)) {
        Ok(verified) => verified,
        Err(why) => return Some(Err(format!("accepted with a recording only: {why}"))),
    };
    let said = Said {
        insns: insns.to_vec(),
        widths: width::of(insns, &verified),
        verified,
    };
    let map = skep_vm::map::create(&map_def(), &skep_vm::map::CreateOptions::default()).ok()?;
    let image = Image {
        name: "checked".into(),
        insns: insns.to_vec(),
        maps: vec![map.clone()],
        program_type: Some(ProgramType::Xdp),
        layout: Some(&xdp::XDP),
        ..Image::default()
    };
    let program = match Program::sandboxed(image.clone()) {
        Ok(program) => program,
        Err(error) => return Some(Err(format!("accepted, and not loadable: {error}"))),
    };
    // The recording compares more strictly; the proof is that of a plain verification.
    let prove = || {
        skep::engine::embedded::prove(&input(insns), image.clone())
            .map_err(|error| format!("accepted, and not proven: {error}"))
    };
    let (proven, compiled) = match (prove(), prove()) {
        (Ok(proven), Ok(compiled)) => (proven, compiled),
        (Err(error), _) | (_, Err(error)) => return Some(Err(error)),
    };
    // Where nothing can be compiled, both are interpreted.
    let _ = compiled.compile(&JitOptions::default());
    let mut executed = 0;
    for _ in 0..8 {
        let mut value = vec![0u8; VALUE_BYTES as usize];
        for chunk in value.chunks_mut(8) {
            let number = match random.below(3) {
                0 => random.below(256),
                1 => i64::from(random.imm()) as u64,
                _ => random.next(),
            };
            chunk.copy_from_slice(&number.to_le_bytes());
        }
        let _ = map.update_user(&0u32.to_le_bytes(), &value, 0);
        let bytes = vec![random.next() as u8; 14 + random.below(80) as usize];
        let (ifindex, queue) = (random.below(1 << 32), random.below(64));
        let arrive = || {
            let mut packet = PacketCtx::new(&xdp::XDP, PacketKind::Xdp);
            packet.load(&bytes).ok()?;
            packet.set_field("ingress_ifindex", ifindex);
            packet.set_field("rx_queue_index", queue);
            Some(packet)
        };
        let (Some(mut packet), Some(mut again), Some(mut compiled_on)) =
            (arrive(), arrive(), arrive())
        else {
            return Some(Err("a packet of less than 100 bytes does not fit".into()));
        };
        let moment = random.next();
        let env = FixedEnv::new(0, 1, moment);
        let mut held = Held {
            recording: &recording,
            said: &said,
            before: None,
            map: map.clone(),
            wrong: None,
        };
        let limits = Limits {
            insns: Some(2_000_000),
            ..Limits::default()
        };
        let (result, count) =
            program.run_watched(&mut Ctx::Packet(&mut packet), &env, &limits, &mut held);
        executed += count;
        if let Some(wrong) = held.wrong {
            return Some(Err(wrong));
        }
        let result = match result {
            Ok(result) => result,
            Err(trap) => return Some(Err(format!("trap: {trap}"))),
        };
        let after = value_of(&*map);
        for (how, program, again) in [
            ("proven", &proven, &mut again),
            ("compiled", &compiled, &mut compiled_on),
        ] {
            let _ = map.update_user(&0u32.to_le_bytes(), &value, 0);
            let env = FixedEnv::new(0, 1, moment);
            let unchecked = program.run(&mut Ctx::Packet(again), &env, &limits);
            if unchecked.as_ref().ok() != Some(&result) {
                return Some(Err(format!("r0 is {result:#x}, {how} {unchecked:?}")));
            }
            if again.bytes() != packet.bytes() || value_of(&*map) != after {
                return Some(Err(format!("{how}, it leaves other bytes")));
            }
        }
    }
    Some(Ok(executed))
}

#[test]
fn no_value_lies_outside_of_the_verifiers_states() {
    let wanted = setting("SKEP_CHECKED_PROGRAMS", 300);
    let seed = setting("SKEP_CHECKED_SEED", 0x0bee_5eed);
    let mut random = Random(seed);
    let (mut accepted, mut tried, mut executed) = (0u64, 0u64, 0u64);
    while accepted < wanted {
        tried += 1;
        assert!(
            tried < 2000 + 200 * wanted,
            "{accepted} of {tried} programs are accepted"
        );
        let insns = program(&mut random);
        match check(&insns, &mut random) {
            None => continue,
            Some(Ok(count)) => {
                accepted += 1;
                executed += count;
            }
            Some(Err(wrong)) => {
                let text: Vec<String> = insns
                    .iter()
                    .enumerate()
                    .map(|(at, insn)| {
                        let next = insns.get(at + 1);
                        format!(
                            "{at}: {}",
                            skep_spec::disasm::insn(insn, next, skep_spec::disasm::Style::Asm)
                        )
                    })
                    .collect();
                panic!(
                    "seed {seed:#x}, program {tried}: {wrong}\n{}",
                    text.join("\n")
                );
            }
        }
    }
    println!(
        "{accepted} of {tried} programs accepted, {executed} instructions executed, none outside of its states"
    );
}
