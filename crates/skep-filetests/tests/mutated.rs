//! Real programs with a few instructions changed: the verifier always answers, and what it accepts runs in the sandbox
//! with every instruction held against its states.
//!
//! `SKEP_MUTATED_OBJECTS` names a folder of compiled objects; skipped, and said, without it. `SKEP_MUTATED_SECONDS` says
//! how long (60), `SKEP_MUTATED_SEED` what is changed, `SKEP_MUTATED_BTF` a kernel's types. A failure names the object, the
//! program, the seed and the changed instructions.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use skep::ObjectSpec;
use skep::btf::Btf;
use skep::spec::context;
use skep::spec::disasm::{self, Style};
use skep::spec::insn::Insn;
use skep::spec::map::MapDef;
use skep::spec::profile::Profile;
use skep::spec::program::ProgramType;
use skep::verifier::Input;
use skep::verifier::explain::calls;
use skep::verifier::input::Caps;
use skep::verify::{LoadOptions, Prepared, TargetKernel};
use skep_filetests::random::Random;
use skep_verifier::recording::{self, Concrete, Recording};
use skep_vm::map::CreateOptions;
use skep_vm::packet::{PacketCtx, PacketKind};
use skep_vm::{Ctx, FixedEnv, Image, Limits, Map, Moment, Program, TrapCause, Watch};

/// Programs that take more work than that as they are would leave no time for others.
const WORK_MAX: u64 = 20_000;
/// Changed programs that take more are not held against their states.
const CHECKED_WORK_MAX: u64 = 200_000;

/// What became of a changed program.
enum Outcome {
    Refused,
    /// Accepted; nothing here runs it.
    Accepted,
    /// So many instructions ran.
    Ran(u64),
    Wrong(String),
}

/// A number that is likelier at the edges than chance makes it.
fn number(random: &mut Random) -> i32 {
    match random.below(4) {
        0 => random.of(&[
            0,
            1,
            -1,
            2,
            7,
            8,
            31,
            32,
            63,
            64,
            255,
            256,
            -8,
            -16,
            -512,
            -520,
            i32::MIN,
            i32::MAX,
        ]),
        1 => random.below(64) as i32,
        2 => (1_u64 << random.below(32)) as i32,
        _ => random.next() as i32,
    }
}

/// One change.
fn mutate(insns: &mut [Insn], random: &mut Random) {
    let at = random.below(insns.len() as u64) as usize;
    let other = insns[random.below(insns.len() as u64) as usize];
    let insn = &mut insns[at];
    match random.below(14) {
        0 => insn.code ^= 1 << random.below(8),
        1 => insn.dst = random.below(11) as u8,
        2 => insn.src = random.below(11) as u8,
        3 => insn.off = insn.off.wrapping_add(random.below(9) as i16 - 4),
        4 => insn.off = number(random) as i16,
        5 => insn.imm = insn.imm.wrapping_add(random.below(9) as i32 - 4),
        6 | 7 => insn.imm = number(random),
        8 => *insn = other,
        9 => *insn = Insn::ja(0),
        // Another operation of the same class, or width of an access.
        10 => insn.code = insn.code & 0x0f | (random.below(16) as u8) << 4,
        11 => insn.code = insn.code & 0xe7 | (random.below(4) as u8) << 3,
        // Between 32 and 64 bits.
        12 => {
            insn.code ^= if insn.code & 7 >= 6 || insn.code & 7 == 4 {
                3
            } else {
                0
            }
        }
        _ => {
            let next = (at + 1).min(insns.len() - 1);
            insns.swap(at, next);
        }
    }
}

struct Held<'r> {
    recording: &'r Recording,
    maps: &'r [Arc<dyn Map>],
    wrong: Option<String>,
}

impl Watch for Held<'_> {
    fn insn(&mut self, moment: &Moment<'_>) -> bool {
        let value_start = |map: u32, address: u64| {
            let map = self.maps.get(map as usize)?;
            // One past the end still belongs to the value.
            [address, address.wrapping_sub(1)]
                .into_iter()
                .find_map(|address| Some(map.value_at(address)?.0))
        };
        let concrete = Concrete {
            regs: moment.regs,
            frame_tops: moment.frame_tops,
            packet: moment.packet.clone(),
            value_start: &value_start,
        };
        self.wrong = self.recording.check(moment.pc, &concrete).err();
        self.wrong.is_none()
    }
}

/// The maps of a program that the engine has, constants filled in.
fn maps(input: &Input, random: &mut Random) -> Option<Vec<Arc<dyn Map>>> {
    let made = input.maps.iter().map(|info| {
        let def = MapDef {
            name: info.name.clone(),
            map_type: info.map_type,
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries.min(1 << 16),
            flags: info.flags,
            map_extra: info.map_extra,
            numa_node: None,
        };
        if info.inner.is_some() || info.value_size > 1 << 20 {
            return None;
        }
        let options = CreateOptions {
            cpus: 1,
            seed: Some(1),
            ..CreateOptions::default()
        };
        let map = skep_vm::map::create(&def, &options).ok()?;
        let key = vec![0; info.key_size as usize];
        if let Some(constants) = &info.frozen {
            map.update_user(&key, constants, 0).ok()?;
        } else {
            // Maps that take no such value stay as they are.
            let value: Vec<u8> = (0..info.value_size).map(|_| random.next() as u8).collect();
            let _ = map.update_user(&key, &value, 0);
        }
        Some(map)
    });
    made.collect()
}

/// What r1 points to, for kinds of programs that a packet is all that they need.
fn packet_kind(kind: ProgramType) -> Option<PacketKind> {
    match kind {
        ProgramType::Xdp => Some(PacketKind::Xdp),
        ProgramType::SchedCls
        | ProgramType::SchedAct
        | ProgramType::SocketFilter
        | ProgramType::CgroupSkb => Some(PacketKind::Skb),
        _ => None,
    }
}

fn attempt(input: &Input, random: &mut Random) -> Outcome {
    let Ok(verified) = skep_verifier::verify(input) else {
        return Outcome::Refused;
    };
    let Some(kind) = packet_kind(input.program_type) else {
        return Outcome::Accepted;
    };
    if verified.stats.insns_processed > CHECKED_WORK_MAX {
        return Outcome::Accepted;
    }
    let Some(maps) = maps(input, random) else {
        return Outcome::Accepted;
    };
    let layout = context::for_program(input.program_type, input.attach_type);
    let kfuncs = input.insns.iter().enumerate().filter_map(|(at, insn)| {
        let name = calls::name(input, at).filter(|_| insn.is_kfunc_call())?;
        Some((at, name.to_owned()))
    });
    let image = Image {
        name: input.name.clone(),
        insns: input.insns.clone(),
        maps: maps.clone(),
        program_type: Some(input.program_type),
        layout: Some(layout),
        kfuncs: kfuncs.collect(),
        ..Image::default()
    };
    // The engine does not have every helper and kernel function.
    let Ok(program) = Program::sandboxed(image) else {
        return Outcome::Accepted;
    };
    let Ok((_, recording)) = recording::record(input) else {
        return Outcome::Wrong("accepted, and refused while its states are recorded".into());
    };
    let mut executed = 0;
    for round in 0..4 {
        let mut packet = PacketCtx::new(layout, kind);
        let len = random.of(&[14, 34, 60, 128, 600]);
        let mut bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        if round > 0 {
            // IPv4 and TCP, so that parsers go on.
            bytes[12..14].copy_from_slice(&[8, 0]);
            if len > 24 {
                bytes[14] = 0x45;
                bytes[23] = random.of(&[1, 6, 17]);
            }
        }
        if packet.load(&bytes).is_err() {
            return Outcome::Accepted;
        }
        let env = FixedEnv::new(0, 1, random.next());
        let mut held = Held {
            recording: &recording,
            maps: &maps,
            wrong: None,
        };
        let limits = Limits {
            insns: Some(300_000),
            ..Limits::default()
        };
        let (result, count) =
            program.run_watched(&mut Ctx::Packet(&mut packet), &env, &limits, &mut held);
        executed += count;
        if let Some(wrong) = held.wrong {
            return Outcome::Wrong(wrong);
        }
        match result {
            // A helper that asks the current task where there is no skb; the engine has only the skb's answer.
            Err(trap) if trap.to_string().contains("not an skb") => return Outcome::Accepted,
            Err(trap) if !matches!(trap.cause, TrapCause::Budget { .. }) => {
                return Outcome::Wrong(format!("trap: {trap}"));
            }
            _ => {}
        }
    }
    Outcome::Ran(executed)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Every program of the folder's objects that takes little work.
fn programs(folder: &Path, types: &[Arc<Btf>]) -> Vec<(String, Input)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder of objects")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "o"))
        .collect();
    files.sort();
    let kernel = TargetKernel::new(Profile::V6_18, types.to_vec());
    let mut found = Vec::new();
    for file in files {
        let Ok(bytes) = std::fs::read(&file) else {
            continue;
        };
        let Ok(spec) = ObjectSpec::parse(&bytes) else {
            continue;
        };
        let Ok(prepared) = Prepared::new(spec.object(), &kernel) else {
            continue;
        };
        let stem = file
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        for program in &prepared.object().programs {
            let Ok(input) = prepared.input(program, &LoadOptions::default()) else {
                continue;
            };
            let work = match skep_verifier::verify(&input) {
                Ok(verified) => verified.stats.insns_processed,
                Err(rejection) => rejection.stats.insns_processed,
            };
            if work <= WORK_MAX {
                found.push((format!("{stem}/{}", program.name), input));
            }
        }
    }
    found
}

/// The changed instructions, with what they were.
fn changes(before: &[Insn], after: &[Insn]) -> String {
    let text = |insns: &[Insn], at: usize| disasm::insn(&insns[at], insns.get(at + 1), Style::Asm);
    let differ = (0..before.len()).filter(|&at| before[at] != after[at]);
    differ
        .map(|at| {
            format!(
                "  {at}: {} (was {}) {:?}",
                text(after, at),
                text(before, at),
                after[at]
            )
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn changed_programs_never_break_the_verifier_nor_leave_its_states() {
    let Some(folder) = std::env::var_os("SKEP_MUTATED_OBJECTS") else {
        println!("skipped: SKEP_MUTATED_OBJECTS names no folder of objects");
        return;
    };
    let types = std::env::var_os("SKEP_MUTATED_BTF").map(|file| {
        let bytes = std::fs::read(file).expect("the kernel's types");
        vec![Arc::new(Btf::parse(bytes).expect("the kernel's types"))]
    });
    let programs = programs(Path::new(&folder), &types.unwrap_or_default());
    assert!(!programs.is_empty(), "no program in that folder");
    let seed = setting("SKEP_MUTATED_SEED", 0x5eed_0001);
    let until = Instant::now() + Duration::from_secs(setting("SKEP_MUTATED_SECONDS", 60));
    let mut random = Random(seed);
    let mut tried = 0_u64;
    let (mut accepted, mut ran, mut executed) = (0_u64, 0_u64, 0_u64);
    // One of each kind of failure is enough to look at.
    let mut broken: BTreeMap<String, String> = BTreeMap::new();
    while Instant::now() < until && broken.len() < 20 {
        let (name, original) = &programs[random.below(programs.len() as u64) as usize];
        let mut input = original.clone();
        for _ in 0..1 + random.below(3) {
            mutate(&mut input.insns, &mut random);
        }
        if random.below(8) == 0 {
            input.caps = Caps::NONE;
        }
        if random.below(8) == 0 {
            input.profile = Profile::ALL[random.below(Profile::ALL.len() as u64) as usize].clone();
        }
        tried += 1;
        let outcome = catch_unwind(AssertUnwindSafe(|| attempt(&input, &mut random)));
        let wrong = match outcome {
            Ok(Outcome::Refused) => continue,
            Ok(Outcome::Accepted) => {
                accepted += 1;
                continue;
            }
            Ok(Outcome::Ran(count)) => {
                accepted += 1;
                ran += 1;
                executed += count;
                continue;
            }
            Ok(Outcome::Wrong(wrong)) => wrong,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
                format!("panic: {}", text.unwrap_or_default())
            }
        };
        let kind: String = wrong
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .take(60)
            .collect();
        broken.entry(kind).or_insert_with(|| {
            let what = format!(
                "{name}, kernel {}, seed {seed:#x}, try {tried}: {wrong}\n{}",
                input.profile.name,
                changes(&original.insns, &input.insns)
            );
            println!("{what}");
            what
        });
    }
    println!(
        "{tried} changed programs of {}: {accepted} accepted, {ran} of them ran, {executed} instructions",
        programs.len()
    );
    let broken: Vec<String> = broken.into_values().collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
