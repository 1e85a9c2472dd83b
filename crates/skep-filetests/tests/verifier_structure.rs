//! Random programs, most of them broken: what the verifier decides before it explores must be what this kernel decides,
//! by its first fault, its live registers and its loops.
//!
//! The seeds are fixed, so a failure repeats; `SKEP_FUZZ_PROGRAMS` asks for more programs, `SKEP_FUZZ_SEED` for others.
//! Texts are those of Linux 6.18; on another kernel the test is skipped.

use skep_linux::program::{Program, ProgramLoad};
use skep_linux::syscall::Kernel;
use skep_spec::insn::{Insn, class, jmp};
use skep_verifier::cfg::live::LiveRegisters;
use skep_verifier::cfg::scc::Loops;
use skep_verifier::cfg::{BackEdges, CallEffects, Cfg, Mark};
use skep_verifier::fault::Rule;
use skep_verifier::structure::decode::check_packet_load;
use skep_verifier::structure::{
    Isa, Subprograms, Verdict, Verdicts, check_eager, check_insn, check_late, check_register,
    func_info,
};

const ISA: Isa = Isa::linux(6, 18);

/// xorshift64*: small, seeded, good enough to mix instructions.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Whether this machine's kernel can be asked, and speaks as 6.18 does.
fn kernel() -> bool {
    if let Err(error) = skep_linux::probe::available(&Kernel) {
        eprintln!("skipped: this kernel refuses bpf(2): {error}");
        return false;
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if !release.starts_with("6.18.") {
        eprintln!(
            "skipped: the texts are those of Linux 6.18, this is {}",
            release.trim()
        );
        return false;
    }
    true
}

/// The kernel's verdict and log at level 2.
fn ask(insns: &[Insn]) -> (bool, String) {
    ask_with(insns, 0)
}

fn ask_with(insns: &[Insn], flags: u32) -> (bool, String) {
    let load = ProgramLoad {
        name: "structure",
        // BPF_PROG_TYPE_SOCKET_FILTER, which may use legacy packet loads.
        program_type: 1,
        expected_attach_type: 0,
        insns,
        license: "GPL",
        flags,
        btf: None,
        attach_btf_id: 0,
    };
    let (verdict, log) = Program::load_with_log(&Kernel, &load, 2);
    (verdict.is_ok(), log)
}

/// The last line that is no count and no state.
fn fault(log: &str) -> &str {
    let line = |line: &&str| !line.is_empty() && !line.starts_with("processed ");
    log.lines().rfind(line).unwrap_or("")
}

/// The text of the faults that are found before or besides exploration.
fn is_structural(line: &str) -> bool {
    const TEXTS: &[&str] = &[
        "uses reserved fields",
        "unknown opcode",
        "bpf_ld_imm64 insn",
        "is invalid",
        "invalid shift",
        "div by zero",
        "invalid atomic operand size",
        "uses invalid atomic opcode",
        "invalid may_goto imm",
        "can only convert between address space",
        "jump out of range",
        "last insn is not an exit or jmp",
        "call to invalid destination",
        "too many subprograms",
        "unreachable insn",
        "jump into the middle",
        "back-edge",
        "is not allowed in subprogs without BTF",
    ];
    TEXTS.iter().any(|text| line.contains(text))
}

fn no_effects(_: usize, insn: Insn) -> CallEffects {
    CallEffects::default().with_helper_callbacks(insn.imm)
}

/// All that is decided before exploration.
fn before_exploring(insns: &[Insn]) -> Rule {
    let subs = Subprograms::find(insns, true, None, |_, _| Ok(()))?;
    subs.check_jumps(insns)?;
    func_info::check_without(&subs)?;
    check_eager(insns, &ISA, |_, _, _| Ok(()))?;
    Cfg::walk(insns, &subs, BackEdges::Allowed, &mut no_effects).map(|_| ())
}

fn text(insns: &[Insn]) -> String {
    let lines = insns.iter().enumerate();
    lines
        .map(|(at, insn)| format!("{at}: {insn:?}\n"))
        .collect()
}

/// A slot whose fields are mostly zero or near an edge.
fn soup(random: &mut Random) -> Insn {
    let code = match random.one_in(8) {
        true => random.next() as u8,
        false => skep_spec::opcode::all()[random.below(skep_spec::opcode::all().len())].code,
    };
    let register = |random: &mut Random| match random.one_in(12) {
        true => 11 + random.below(5) as u8,
        false => random.of(&[0, 0, 2, 3, 9]),
    };
    let off = match random.below(3) {
        0 => random.of(&[1, -1, 2, 8, 16, 32, 64]),
        _ => 0,
    };
    let imm = match random.below(3) {
        0 => random.of(&[
            1, -1, 16, 31, 32, 33, 63, 64, 65, 0x40, 0xe1, 0xf1, 0x100, 0x110, 0x10000,
        ]),
        1 => random.next() as i32 >> random.below(32),
        _ => 0,
    };
    Insn::new(code, register(random), register(random), off, imm)
}

/// What is wrong with the instruction at a slot, in the order in which the walk would find it, where its operands are
/// initialised numbers.
fn at_visit(insns: &[Insn], at: usize) -> Rule {
    let insn = insns[at];
    if matches!(insn.class(), class::LD) && !insn.is_ld_imm64() {
        return check_packet_load(insn);
    }
    match Verdicts::of(insns, &ISA).at(at) {
        Verdict::Fine => Ok(()),
        Verdict::Reserved => check_insn(insn, &ISA),
        Verdict::ReservedAfterFirst => {
            check_register(insn.dst).and_then(|()| check_insn(insn, &ISA))
        }
        Verdict::Register => match matches!(insn.class(), class::JMP | class::JMP32) {
            // Comparisons look at the first operand first; all else at the second.
            true => check_register(insn.dst).and_then(|()| check_register(insn.src)),
            false => check_register(match insn.src > 10 && is_read(insn) {
                true => insn.src,
                false => insn.dst,
            }),
        },
        Verdict::Late => check_late(insn),
    }
}

fn is_read(insn: Insn) -> bool {
    match insn.class() {
        class::LDX | class::STX => true,
        class::ALU | class::ALU64 => insn.is_register_form() && insn.op() != 0xd0,
        _ => false,
    }
}

#[test]
fn single_instructions_are_judged_as_the_kernel_does() {
    if !kernel() {
        return;
    }
    let mut random = Random(setting("SKEP_FUZZ_SEED", 0xc0de_0001));
    let (mut refused, mut accepted) = (0, 0);
    for number in 0..setting("SKEP_FUZZ_PROGRAMS", 3000) {
        let mut insns: Vec<Insn> = [0, 2, 3, 4, 5, 6, 7, 8, 9]
            .map(|reg| Insn::mov64_imm(reg, 1))
            .to_vec();
        let at = insns.len();
        insns.push(soup(&mut random));
        if random.one_in(2) && insns[at].is_ld_imm64() {
            insns.push(Insn::default());
        }
        insns.extend([Insn::mov64_imm(0, 0), Insn::exit()]);
        if insns[at].is_ld_imm64() && !matches!(insns[at].src, 0 | 7..) {
            // There is no such map, kernel variable or function.
            insns[at].src = 7;
        }
        if insns[at].is_kfunc_call() {
            insns[at].src = 3;
        }
        let (loads, log) = ask(&insns);
        let theirs = fault(&log);
        let ours = before_exploring(&insns).and_then(|()| at_visit(&insns, at));
        match ours {
            Err(fault) => {
                refused += 1;
                let ours = fault.lines.join("\n");
                // Packet loads look for the packet before they look at the register.
                let same = theirs == ours;
                assert!(
                    !loads && same,
                    "program {number}: we say `{ours}`, the kernel `{theirs}`\n{}",
                    text(&insns)
                );
            }
            Ok(()) => {
                accepted += 1;
                assert!(
                    !is_structural(theirs),
                    "program {number}: we find nothing, the kernel says `{theirs}`\n{}",
                    text(&insns)
                );
            }
        }
    }
    assert!(
        refused > 100 && accepted > 100,
        "{refused} refused, {accepted} accepted"
    );
}

/// `r0 = 0` and jumps, calls, exits and wide loads between.
fn graph(random: &mut Random) -> Vec<Insn> {
    let size = 4 + random.below(20);
    let wild = random.one_in(3);
    let mut insns: Vec<Insn> = Vec::new();
    while insns.len() < size {
        let at = insns.len();
        let anywhere = |random: &mut Random| {
            let to = match wild && random.one_in(8) {
                true => random.below(size + 6) as i32 - 3,
                false => random.below(size) as i32,
            };
            to - at as i32 - 1
        };
        let ahead = |random: &mut Random| random.below(3) as i32;
        let to = match random.one_in(3) {
            true => anywhere(random),
            false => ahead(random),
        };
        match random.below(16) {
            0..=4 => insns.push(Insn::mov64_imm(random.of(&[0, 0, 1, 6]), 0)),
            5..=8 => {
                let op = random.of(&[jmp::JEQ, jmp::JNE, jmp::JGT, jmp::JSLT, jmp::JSET]);
                insns.push(Insn::jmp64_imm(op, random.of(&[0, 0, 1, 10]), 1, to as i16));
            }
            9 => insns.push(Insn::ja(to as i16)),
            10 => insns.push(Insn::new(class::JMP32 | jmp::JA, 0, 0, 0, to)),
            11 => insns.push(Insn::exit()),
            12 => insns.push(Insn::call_local(anywhere(random))),
            13 => insns.extend(Insn::ld_imm64(0, 0)),
            14 if random.one_in(3) => {
                insns.extend(Insn::ld_imm64_pseudo(1, 4, anywhere(random), 0))
            }
            14 => insns.push(Insn::new(class::JMP | jmp::JCOND, 0, 0, to as i16, 0)),
            _ => insns.push(match random.below(6) {
                5 => Insn::new(random.of(&[0x30, 0x50]), 0, 0, 0, 3),
                0 => Insn::mov64_reg(2, 3),
                1 => Insn::new(0x0f, 0, 6, 0, 0),
                2 => Insn::call_helper(random.of(&[1, 5, 7, 12, 181, 164])),
                3 => Insn::store_reg(0x18, 10, -8, 0),
                _ => Insn::atomic(
                    0x18,
                    random.of(&[0, 1, 0xe1, 0xf1, 0x100, 0x110]),
                    10,
                    -8,
                    6,
                ),
            }),
        }
    }
    if !wild || !random.one_in(4) {
        insns.push(Insn::exit());
    }
    insns
}

/// Programs of which every slot is reached, and jumps go to whole instructions: dead code and bad targets are mended.
fn mended(mut insns: Vec<Insn>) -> Vec<Insn> {
    for _ in 0..200 {
        let Err(fault) = before_exploring(&insns) else {
            break;
        };
        let Some(at) = fault.insn else { break };
        let line = &fault.lines[0];
        if line.starts_with("unreachable") {
            // Give it a way in from before, if there is room; else drop it into what precedes.
            insns[at - 1] = Insn::jmp64_imm(jmp::JEQ, 0, 1, 0);
            if at >= 2 && insns[at - 2].is_ld_imm64() {
                insns[at - 2] = Insn::mov64_imm(0, 0);
            }
        } else if line.starts_with("jump into the middle") {
            insns[at] = Insn::mov64_imm(0, 0);
            insns[at + 1] = Insn::mov64_imm(0, 0);
        } else {
            insns[at] = Insn::exit();
        }
    }
    insns
}

#[test]
fn graphs_are_judged_as_the_kernel_does() {
    if !kernel() {
        return;
    }
    let mut random = Random(setting("SKEP_FUZZ_SEED", 0xc0de_0002));
    let (mut refused, mut accepted) = (0, 0);
    for number in 0..setting("SKEP_FUZZ_PROGRAMS", 3000) {
        let mut insns = graph(&mut random);
        if random.one_in(2) {
            insns = mended(insns);
        }
        let (_, log) = ask(&insns);
        match before_exploring(&insns) {
            Err(ours) => {
                refused += 1;
                let ours = ours.lines.join("\n");
                let theirs = fault(&log);
                assert_eq!(ours, theirs, "program {number}\n{}", text(&insns));
            }
            Ok(()) => {
                accepted += 1;
                assert!(
                    log.contains("Live regs before insn:\n"),
                    "program {number}: we find nothing, the kernel says `{}`\n{}",
                    fault(&log),
                    text(&insns)
                );
                assert_eq!(
                    facts(&insns),
                    their_facts(&log),
                    "program {number}\n{}",
                    text(&insns)
                );
            }
        }
    }
    assert!(
        refused > 100 && accepted > 100,
        "{refused} refused, {accepted} accepted"
    );
}

/// Loop and live registers of each instruction, as the log writes them before its text.
fn facts(insns: &[Insn]) -> Vec<String> {
    let params = |_: usize, insn: Insn| match insn.imm {
        1 => Some(2),
        5 | 7 => Some(0),
        12 => Some(3),
        _ => Some(4),
    };
    let live = LiveRegisters::compute(insns, &mut { params });
    let loops = Loops::find(insns);
    let mut lines = Vec::new();
    let mut at = 0;
    while at < insns.len() {
        let loop_number = match loops.of(at) {
            0 => "    ".to_owned(),
            number => format!("{number:3} "),
        };
        lines.push(format!("{loop_number}{at:3}: {}", live.text(at)));
        at += insns[at].slots();
    }
    lines
}

fn their_facts(log: &str) -> Vec<String> {
    let lines = log
        .lines()
        .skip_while(|line| *line != "Live regs before insn:")
        .skip(1);
    lines
        .take_while(|line| line.get(7..9) == Some(": "))
        .map(|line| line[..19].to_owned())
        .collect()
}

/// The one path through a program in which r0 is 0 or 1 at every comparison; `None` if it meets an instruction twice.
fn path(insns: &[Insn]) -> Option<Vec<usize>> {
    let (mut at, mut r0, mut seen, mut returns) = (0, 0, Vec::new(), Vec::new());
    loop {
        if seen.contains(&at) || returns.len() > 7 {
            return None;
        }
        seen.push(at);
        let insn = insns[at];
        let next = at + insn.slots();
        let to = |offset: i32| (at as i32 + 1 + offset) as usize;
        at = match (insn.class(), insn.op()) {
            (class::JMP, jmp::EXIT) => match returns.pop() {
                Some(at) => at,
                None => return Some(seen),
            },
            (class::JMP, jmp::CALL) if insn.is_local_call() => {
                returns.push(next);
                to(insn.imm)
            }
            (class::JMP, jmp::CALL) => return None,
            (class::JMP, jmp::JEQ) => match r0 == insn.imm {
                true => to(i32::from(insn.off)),
                false => next,
            },
            (class::JMP | class::JMP32, jmp::JA) => to(insn.jump_offset().unwrap_or(0)),
            _ => {
                r0 = insn.imm;
                next
            }
        };
    }
}

#[test]
fn states_are_kept_where_the_kernel_keeps_them() {
    if !kernel() {
        return;
    }
    /// Keep a state at every place where one may be kept.
    const BPF_F_TEST_STATE_FREQ: u32 = 8;
    let mut random = Random(setting("SKEP_FUZZ_SEED", 0xc0de_0003));
    let (mut compared, mut kept) = (0, 0);
    while compared < setting("SKEP_FUZZ_PROGRAMS", 3000) / 3 {
        let mut insns = vec![Insn::mov64_imm(0, 0)];
        let size = 6 + random.below(16);
        for at in 1..size {
            let ahead = (random.below(4) as i32).min((size - at - 1) as i32);
            insns.push(match random.below(9) {
                0 | 1 => Insn::mov64_imm(0, random.below(2) as i32),
                2..=4 => Insn::jmp64_imm(jmp::JEQ, 0, random.below(2) as i32, ahead as i16),
                5 => Insn::ja(ahead as i16),
                6 => Insn::new(class::JMP32 | jmp::JA, 0, 0, 0, ahead),
                7 => Insn::exit(),
                _ => Insn::call_local(ahead),
            });
        }
        insns.push(Insn::exit());
        insns = mended(insns);
        if before_exploring(&insns).is_err() {
            continue;
        }
        let Some(path) = path(&insns) else { continue };
        let (loads, log) = ask_with(&insns, BPF_F_TEST_STATE_FREQ);
        if !loads && log.contains("R0 !read_ok") {
            // A function that does not set r0 before it asks for it.
            continue;
        }
        assert!(loads, "{log}\n{}", text(&insns));
        let subs = Subprograms::find(&insns, true, None, |_, _| Ok(())).unwrap();
        let cfg = Cfg::walk(&insns, &subs, BackEdges::Allowed, &mut no_effects).unwrap();
        let ours = path
            .iter()
            .filter(|&&at| cfg.marks(at).has(Mark::PRUNE))
            .count();
        let mut words = log.lines().last().unwrap_or("").split(' ');
        words.find(|word| *word == "total_states");
        let theirs: usize = words.next().unwrap().parse().unwrap();
        assert_eq!(ours, theirs, "path {path:?}\n{}\n{log}", text(&insns));
        compared += 1;
        kept += theirs;
    }
    assert!(
        kept > compared as usize,
        "{kept} states in {compared} programs"
    );
}
