//! What a verification takes: steps that grow with the program and no faster, and memory within a bound whatever the
//! program does to be remembered.
//!
//! Invariants: steps are counted, not timed; memory is the peak of this process, so nothing else is measured beside it.

use skep_spec::insn::{Insn, class, jmp, mode, size};
use skep_spec::program::{ProgramType, flags};
use skep_verifier::{Input, Stats, verify};

/// What the most demanding program may take.
const BYTES_MAX: u64 = 512 << 20;

fn stats(insns: Vec<Insn>, flags: u32) -> (Stats, bool) {
    let mut input = Input::new(ProgramType::SocketFilter, insns);
    input.flags = flags;
    match verify(&input) {
        Ok(verified) => (verified.stats, true),
        Err(rejection) => (rejection.stats, false),
    }
}

fn store(base: u8, off: i16, value: u8) -> Insn {
    Insn::new(class::STX | mode::MEM | size::DW, base, value, off, 0)
}

fn jump_if_equal(register: u8, imm: i32, off: i16) -> Insn {
    Insn::new(class::JMP | jmp::JEQ, register, 0, off, imm)
}

fn exit() -> [Insn; 2] {
    let exit = Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0);
    [Insn::mov64_imm(0, 0), exit]
}

/// r6 is unknown, r7 is 1, and the whole stack holds r6.
fn start() -> Vec<Insn> {
    let load = class::LDX | mode::MEM | size::W;
    let mut insns = vec![Insn::new(load, 6, 1, 0, 0), Insn::mov64_imm(7, 1)];
    insns.extend((1..=64).map(|slot| store(10, -8 * slot, 6)));
    insns
}

/// About so many instructions without a loop, some of which jump where it is known that they do not.
fn straight(count: usize) -> Vec<Insn> {
    let mut insns = start();
    // A path that waits may come to any instruction, so no state is done with.
    insns.push(jump_if_equal(6, 77, 1));
    insns.push(Insn::alu64_imm(0x00, 7, 1));
    let mut slot = 0;
    while insns.len() + 10 < count {
        for _ in 0..6 {
            slot = slot % 64 + 1;
            insns.push(store(10, -8 * slot, 7));
        }
        insns.push(jump_if_equal(7, 0, 0));
        insns.push(jump_if_equal(7, 3, 0));
    }
    insns.extend(exit());
    insns
}

/// A loop of so many rounds, with a state at each.
fn rounds(count: i32) -> Vec<Insn> {
    let mut insns = start();
    let body = [
        store(10, -512, 7),
        store(10, -256, 7),
        Insn::alu64_imm(0x00, 7, 1),
        Insn::new(class::JMP | jmp::JLT, 7, 0, -4, count),
    ];
    insns.extend(body);
    insns.extend(exit());
    insns
}

/// Branches that all wait, each with another stack.
fn branches(count: usize) -> Vec<Insn> {
    let mut insns = start();
    for at in 0..count {
        insns.push(store(10, -8 * (at as i16 % 64 + 1), 7));
        insns.push(Insn::alu64_imm(0x00, 7, 1));
        insns.push(jump_if_equal(6, at as i32, 0));
    }
    insns.extend(exit());
    insns
}

#[test]
fn code_without_loops_takes_steps_by_its_length() {
    let steps = |count: usize| {
        let (stats, accepted) = stats(straight(count), 0);
        assert!(accepted);
        assert!(stats.insns_processed >= count as u64 / 2, "{stats:?}");
        stats.insns_processed + stats.side_steps
    };
    let (few, many) = (steps(5_000), steps(40_000));
    assert!(
        many <= 9 * few,
        "{few} steps for 5000 instructions, {many} for 40000"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_million_instructions_are_verified_within_the_bound() {
    let peak = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB").parse::<u64>();
        kib.unwrap() << 10
    };
    let programs = [
        ("without loops", straight(990_000), 0),
        (
            "a state each round",
            rounds(120_000),
            flags::TEST_STATE_FREQ,
        ),
        ("waiting branches", branches(8_000), flags::TEST_STATE_FREQ),
    ];
    for (what, insns, flags) in programs {
        let (stats, _) = stats(insns, flags);
        let bytes = peak();
        println!("{what}: {stats:?}, {} MB", bytes >> 20);
        assert!(
            stats.states_total > 7_000,
            "{what}: too little is remembered: {stats:?}"
        );
        assert!(bytes <= BYTES_MAX, "{what}: {} MB", bytes >> 20);
    }
}
