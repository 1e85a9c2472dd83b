//! Random arithmetic and jumps over unknown numbers: after each instruction the verifier must know exactly what the
//! kernel's verifier prints that it knows.
//!
//! Each instruction is compared by itself, from the state that the kernel printed before it. The expectations are those
//! of Linux 6.18, so another kernel is skipped. The seed is fixed; `SKEP_SCALAR_PROGRAMS` asks for more programs,
//! `SKEP_SCALAR_SEED` for others.

use std::fmt::Write as _;
use std::os::fd::{FromRawFd, OwnedFd};

use skep_filetests::random::Random;
use skep_linux::attr::Attr;
use skep_linux::syscall::{Command, Kernel, Syscall};
use skep_spec::insn::{Endian, Insn, class, mode, size};
use skep_verifier::state::scalar::Scalar;
use skep_verifier::state::scalar::rules::Rules;
use skep_verifier::state::tnum::Tnum;
use skep_verifier::step::alu_scalar::{AluOp, alu, fork};
use skep_verifier::step::refine::{Cond, branch_taken, refine, refine_self};

const REGS: [u8; 5] = [5, 6, 7, 8, 9];

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn {
        code,
        dst,
        src,
        off,
        imm,
    }
}

/// A register's worth of state.
type Regs = [Scalar; 11];

/// A number at or beside something that the scalar knows, or at a place where something wraps.
fn number_near(random: &mut Random, scalar: &Scalar) -> u64 {
    let base = match random.below(14) {
        0 => scalar.umin,
        1 => scalar.umax,
        2 => scalar.smin as u64,
        3 => scalar.smax as u64,
        4 => u64::from(scalar.u32_min),
        5 => u64::from(scalar.u32_max),
        6 => scalar.s32_min as u64,
        7 => scalar.s32_max as u64,
        8 => scalar.bits.value,
        9 => scalar.bits.mask,
        10 => 1 << random.below(64),
        11 => random.next() >> random.below(64),
        12 => !(random.next() >> random.below(64)),
        _ => random.of(&[0, 1 << 31, 1 << 32, 1 << 63, u64::MAX, 0xff, 0xffff]),
    };
    match random.below(6) {
        0 => base.wrapping_add(1),
        1 => base.wrapping_sub(1),
        2 => base.wrapping_add(random.below(64)).wrapping_sub(32),
        _ => base,
    }
}

/// A program and where each jump of it goes when taken: to a way out of its own.
fn program(rules: Rules, random: &mut Random) -> Vec<Insn> {
    let mut code = Vec::new();
    let mut regs = [Scalar::UNKNOWN; 11];
    for reg in [6, 7, 8, 9] {
        // 5: bpf_ktime_get_ns, which returns any number.
        code.push(insn(0x85, 0, 0, 0, 5));
        code.push(insn(0xbf, reg, 0, 0, 0));
    }
    code.push(insn(0x85, 0, 0, 0, 5));
    code.push(insn(0xbf, 5, 0, 0, 0));
    code.push(insn(0xb7, 0, 0, 0, 0));
    let mut jumps = Vec::new();
    let mut left = 10 + random.below(50);
    while left > 0 {
        left -= 1;
        let dst = random.of(&REGS);
        let src = random.of(&REGS.map(|reg| if reg == dst { 4 } else { reg }));
        if src == 4 {
            continue;
        }
        let wide = random.of(&[class::ALU, class::ALU64]);
        let with = |code: &mut Vec<Insn>, regs: &mut Regs, insn: Insn| {
            step(rules, regs, insn);
            code.push(insn);
        };
        match random.below(16) {
            0..=6 => {
                let op = random.of(&[0x00u8, 0x10, 0x20, 0x40, 0x50, 0xa0, 0x50, 0x40, 0x00, 0x10]);
                if random.below(2) == 0 {
                    with(&mut code, &mut regs, insn(op | wide | 8, dst, src, 0, 0));
                } else {
                    let imm = number_near(random, &regs[usize::from(dst)]) as i32;
                    with(&mut code, &mut regs, insn(op | wide, dst, 0, 0, imm));
                }
            }
            7 => {
                let op = random.of(&[0x60u8, 0x70, 0xc0]);
                let bits = if wide == class::ALU64 { 64 } else { 32 };
                let counts = [random.below(bits), random.below(3), bits / 2];
                let imm = random.of(&counts) as i32;
                if random.below(12) == 0 {
                    with(&mut code, &mut regs, insn(op | wide | 8, dst, src, 0, 0));
                } else {
                    with(&mut code, &mut regs, insn(op | wide, dst, 0, 0, imm));
                }
            }
            8 => match random.below(6) {
                0 => {
                    let imm = random.of(&[16, 32, 64]);
                    let swap = random.of(&[0xd4u8, 0xdc, 0xd7]);
                    with(&mut code, &mut regs, insn(swap, dst, 0, 0, imm));
                }
                1 => with(&mut code, &mut regs, insn(0x80 | wide, dst, 0, 0, 0)),
                2 => {
                    let op = random.of(&[0x30u8, 0x90]) | wide | random.of(&[0u8, 8]);
                    let off = random.below(2) as i16;
                    let imm = if op & 8 == 0 { 7 } else { 0 };
                    let src = if op & 8 == 0 { 0 } else { src };
                    with(&mut code, &mut regs, insn(op, dst, src, off, imm));
                }
                3 => {
                    let imm = number_near(random, &regs[usize::from(dst)]);
                    let first = insn(0x18, dst, 0, 0, imm as i32);
                    code.push(first);
                    code.push(insn(0, 0, 0, 0, (imm >> 32) as i32));
                    regs[usize::from(dst)] = Scalar::constant(imm);
                }
                _ => {
                    // A fresh unknown number, to be narrowed once more.
                    with(&mut code, &mut regs, insn(0x85, 0, 0, 0, 5));
                    regs[5] = Scalar::UNKNOWN;
                    with(&mut code, &mut regs, insn(0xbf, dst, 0, 0, 0));
                    with(&mut code, &mut regs, insn(0xb7, 0, 0, 0, 0));
                    with(&mut code, &mut regs, insn(0xbf, 5, dst, 0, 0));
                    with(&mut code, &mut regs, insn(0x37, 5, 0, 0, 3));
                }
            },
            9 if random.below(3) == 0 => {
                // Kept on the stack, and read back in part; then tied no more.
                code.push(insn(0x7b, 10, src, -8, 0));
                let load = random.of(&[0x61u8, 0x69, 0x71, 0x81, 0x89, 0x91]);
                with(&mut code, &mut regs, insn(load, dst, 10, -8, src.into()));
                let stop = code.len() - 1;
                code[stop].imm = 0;
                let imm = number_near(random, &regs[usize::from(dst)]) as i32;
                with(&mut code, &mut regs, insn(0xa7, dst, 0, 0, imm));
            }
            9 => {
                // A copy, cut or sign-extended; then an operation that breaks its tie to the original.
                let off = random.of(&[0i16, 8, 16, 32]);
                let wide = if off == 32 { class::ALU64 } else { wide };
                with(
                    &mut code,
                    &mut regs,
                    insn(0xb0 | wide | 8, dst, src, off, 0),
                );
                let op = random.of(&[0x40u8, 0x50, 0xa0]);
                let imm = number_near(random, &regs[usize::from(dst)]) as i32;
                with(&mut code, &mut regs, insn(op | wide, dst, 0, 0, imm));
            }
            _ => {
                for _ in 0..8 {
                    let cond = random.of(&[
                        0x10u8, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0,
                    ]);
                    let class = random.of(&[class::JMP, class::JMP32]);
                    let jump = if random.below(40) == 0 {
                        insn(cond | class | 8, dst, dst, 0, 0)
                    } else if random.below(2) == 0 {
                        insn(cond | class | 8, dst, src, 0, 0)
                    } else {
                        let imm = number_near(random, &regs[usize::from(dst)]) as i32;
                        insn(cond | class, dst, 0, 0, imm)
                    };
                    let (a, b) = operands(&regs, jump);
                    let taken = branch_taken(rules, &a, &b, condition(jump), is32(jump));
                    // Mostly jumps that can go on to the next instruction, or the program soon ends.
                    if taken.is_none()
                        || (taken == Some(false) && random.below(4) == 0)
                        || random.below(400) == 0
                    {
                        jumps.push(code.len());
                        code.push(jump);
                        if taken.is_none() {
                            let (a, b, _) = side(rules, jump, false, a, b);
                            regs[usize::from(dst)] = a;
                            if jump.code & 8 != 0 {
                                regs[usize::from(jump.src)] = b;
                            }
                        }
                        break;
                    }
                }
            }
        }
    }
    code.push(insn(0xb7, 0, 0, 0, 0));
    code.push(insn(0x95, 0, 0, 0, 0));
    for jump in jumps {
        code[jump].off = (code.len() - jump - 1) as i16;
        code.push(insn(0xb7, 0, 0, 0, 0));
        code.push(insn(0x95, 0, 0, 0, 0));
    }
    code
}

fn is32(jump: Insn) -> bool {
    jump.code & class::MASK == class::JMP32
}

fn condition(jump: Insn) -> Cond {
    Cond::decode(jump.code).expect("a conditional jump")
}

fn operands(regs: &Regs, insn: Insn) -> (Scalar, Scalar) {
    let src = if insn.code & 8 != 0 {
        regs[usize::from(insn.src)]
    } else {
        Scalar::constant(i64::from(insn.imm) as u64)
    };
    (regs[usize::from(insn.dst)], src)
}

/// Both operands on one side of a jump, and what is to be said of contradictions.
fn side(
    rules: Rules,
    jump: Insn,
    taken: bool,
    mut a: Scalar,
    mut b: Scalar,
) -> (Scalar, Scalar, Vec<String>) {
    let mut lines = Vec::new();
    let mut settle = |scalar: &mut Scalar, number: u8| {
        if let Some(line) = scalar.violation_line(&format!("{taken}_reg{number}")) {
            lines.push(line);
            scalar.forget_bounds();
        }
    };
    if jump.code & 8 != 0 && jump.dst == jump.src {
        refine_self(rules, condition(jump), is32(jump), taken, &mut a);
        settle(&mut a, 1);
        settle(&mut a, 2);
        b = a;
    } else {
        refine(rules, condition(jump), is32(jump), taken, &mut a, &mut b);
        settle(&mut a, 1);
        settle(&mut b, 2);
    }
    (a, b, lines)
}

/// What a load of that width leaves of a number on the stack.
fn loaded(rules: Rules, load: Insn, kept: &Scalar) -> Scalar {
    let bytes = match load.code & size::MASK {
        size::B => 1,
        size::H => 2,
        size::W => 4,
        _ => 8,
    };
    if load.code & mode::MASK == mode::MEMSX {
        kept.sext(bytes)
    } else {
        kept.truncate_by(rules, bytes)
    }
}

fn step(rules: Rules, regs: &mut Regs, insn: Insn) {
    if insn.code == 0x85 {
        regs[0] = Scalar::UNKNOWN;
        return;
    }
    if insn.code == 0x18 {
        return;
    }
    if insn.code & class::MASK == class::LDX {
        // The generator leaves the kept register in the immediate.
        regs[usize::from(insn.dst)] = loaded(rules, insn, &regs[insn.imm as usize]);
        return;
    }
    let (op, width) = AluOp::decode(insn).expect("arithmetic");
    let (dst, src) = operands(regs, insn);
    regs[usize::from(insn.dst)] = alu(rules, op, width, &dst, &src);
}

/// Loads the program with a log of every instruction; the log, unless the kernel refuses the call itself.
fn log_of(insns: &[Insn]) -> Result<String, String> {
    let bytes: Vec<u8> = insns
        .iter()
        .flat_map(|insn| insn.to_bytes(Endian::NATIVE))
        .collect();
    let mut log = vec![0u8; 4 << 20];
    // 6: BPF_PROG_TYPE_XDP; 2: the log level.
    let mut attr = Attr::new(144)
        .u32(0, 6)
        .u32(4, insns.len() as u32)
        .pointer(8, &bytes)
        .pointer(16, b"GPL\0")
        .u32(24, 2)
        .u32(28, log.len() as u32)
        .pointer_mut(32, &mut log);
    // SAFETY: all pointers name live buffers whose lengths stand beside them in the attribute.
    let result = unsafe { Kernel.bpf(Command::ProgLoad, attr.bytes_mut()) };
    let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
    log.truncate(end);
    let log = String::from_utf8_lossy(&log).into_owned();
    match result {
        Ok(fd) => {
            // SAFETY: the kernel has just made this descriptor for us.
            drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
            Ok(log)
        }
        Err(errno) => Err(format!("{errno}\n{log}")),
    }
}

/// The registers of a printed state: number and text, without ids and marks.
fn registers(state: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut rest = state;
    while let Some(at) = rest.find('R') {
        rest = &rest[at + 1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let Ok(number) = rest[..digits].parse::<usize>() else {
            continue;
        };
        let Some(equals) = rest.find('=') else { break };
        rest = &rest[equals + 1..];
        let mut depth = 0;
        let end = rest
            .find(|c| {
                match c {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                c == ' ' && depth == 0
            })
            .unwrap_or(rest.len());
        let mut text = rest[..end].trim_start_matches('P').to_owned();
        rest = &rest[end..];
        if let Some(id) = text.find("(id=") {
            let stop = text[id + 4..]
                .find([',', ')'])
                .map_or(text.len(), |n| id + 4 + n);
            let stop = stop + usize::from(text[stop..].starts_with(','));
            text.replace_range(id + 1..stop, "");
        }
        found.push((number, text));
    }
    found
}

fn unsigned(text: &str) -> Option<u64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    text.parse::<i64>()
        .map(|n| n as u64)
        .ok()
        .or(text.parse().ok())
}

/// A printed scalar.
fn parse(text: &str) -> Option<Scalar> {
    let Some(inner) = text.strip_prefix("scalar(") else {
        return unsigned(text).map(Scalar::constant);
    };
    let mut scalar = Scalar::UNKNOWN;
    let mut inner = inner.strip_suffix(')')?;
    if let Some(at) = inner.find("var_off=(") {
        let (value, mask) = inner[at + 9..].strip_suffix(')')?.split_once("; ")?;
        scalar.bits = Tnum::new(unsigned(value)?, unsigned(mask)?);
        inner = inner[..at].trim_end_matches(',');
    }
    for group in inner.split(',').filter(|group| !group.is_empty()) {
        let (names, number) = group.rsplit_once('=')?;
        let number = unsigned(number)?;
        for name in names.split('=') {
            match name {
                "smin" => scalar.smin = number as i64,
                "smax" => scalar.smax = number as i64,
                "umin" => scalar.umin = number,
                "umax" => scalar.umax = number,
                "smin32" => scalar.s32_min = number as i32,
                "smax32" => scalar.s32_max = number as i32,
                "umin32" => scalar.u32_min = number as u32,
                "umax32" => scalar.u32_max = number as u32,
                _ => return None,
            }
        }
    }
    Some(scalar)
}

/// What was compared, and what differed.
#[derive(Default)]
struct Outcome {
    arithmetic: u64,
    loads: u64,
    jumps: u64,
    /// The lines about contradictions: what the kernel printed, and what we would.
    crossed: (Vec<String>, Vec<String>),
    differences: Vec<String>,
}

impl Outcome {
    fn compare(&mut self, what: &str, before: &[&Scalar], ours: &Scalar, theirs: &str) {
        if ours.to_string() != theirs {
            let mut text = format!("{what}\n");
            for scalar in before {
                let _ = writeln!(text, "  before {scalar}");
            }
            let _ = writeln!(text, "  ours   {ours}\n  kernel {theirs}");
            self.differences.push(text);
        }
    }
}

fn compare(rules: Rules, insns: &[Insn], log: &str, outcome: &mut Outcome) {
    let mut regs = [Scalar::UNKNOWN; 11];
    // Where a jump was seen: its operands, to be refined again for the side that is walked later.
    let mut pending: Vec<Option<(Scalar, Scalar)>> = vec![None; insns.len()];
    // For jumps with one side only: what was known of the operands.
    let mut known: Vec<String> = vec![String::new(); insns.len()];
    let mut expected_next: Option<(usize, String)> = None;
    let body = log.split("R10=fp0\n").skip(1);
    let lines = body.flat_map(str::lines);
    for line in lines {
        if line.starts_with("verifier bug") {
            outcome.crossed.0.push(line.to_owned());
        }
        if let Some(rest) = line.strip_prefix("from ") {
            let mut words = rest.split([' ', ':']);
            let jump: usize = words.next().and_then(|w| w.parse().ok()).expect("a jump");
            let insn = insns[jump];
            expected_next = None;
            let Some((a, b)) = pending[jump].take() else {
                let text = format!("a side that cannot be taken: {insn:?}\n{}", known[jump]);
                outcome.differences.push(text);
                continue;
            };
            let (ours_a, ours_b) = if matches!(insn.code & class::MASK, class::JMP | class::JMP32) {
                let (a, b, _) = side(rules, insn, true, a, b);
                (a, b)
            } else {
                // The other path of a fork.
                (a, b)
            };
            for (number, text) in registers(rest) {
                let ours = match number {
                    _ if number == usize::from(insn.dst) => ours_a,
                    _ if number == usize::from(insn.src) => ours_b,
                    _ => Scalar::UNKNOWN,
                };
                if text == ours.to_string() {
                    regs[number] = ours;
                } else if let Some(scalar) = parse(&text) {
                    regs[number] = scalar;
                }
            }
            for (number, theirs) in registers(rest) {
                if number == usize::from(insn.dst) {
                    outcome.compare(&format!("taken: {insn:?}"), &[&a, &b], &ours_a, &theirs);
                } else if insn.code & 8 != 0 && number == usize::from(insn.src) {
                    outcome.compare(
                        &format!("taken, src: {insn:?}"),
                        &[&a, &b],
                        &ours_b,
                        &theirs,
                    );
                }
            }
            continue;
        }
        let Some((at, rest)) = line.split_once(": (") else {
            continue;
        };
        let Ok(at) = at.parse::<usize>() else {
            continue;
        };
        if let Some((next, what)) = expected_next.take()
            && at != next
        {
            let text = format!("goes to {at} and not to {next}: {what}");
            outcome.differences.push(text);
        }
        let insn = insns[at];
        let printed = rest.rsplit_once("; ").filter(|_| rest.contains("; R"));
        let printed = printed.map_or(Vec::new(), |_| {
            registers(&rest[rest.find("; R").unwrap_or(0)..])
        });
        let theirs = |number: u8| {
            printed
                .iter()
                .find(|(n, _)| *n == usize::from(number))
                .map(|(_, text)| text.clone())
        };
        let (a, b) = operands(&regs, insn);
        match insn.code & class::MASK {
            class::ALU | class::ALU64 => {
                let (op, width) = AluOp::decode(insn).expect("arithmetic");
                let mut ours = alu(rules, op, width, &a, &b);
                if let Some((zero, ones)) = fork(rules, op, &a, &b) {
                    pending[at] = Some((zero, b));
                    ours = alu(rules, op, width, &ones, &b);
                }
                // No state is printed where the next instruction made the kernel trace back first.
                regs[usize::from(insn.dst)] = ours;
                if let Some(theirs) = theirs(insn.dst) {
                    outcome.compare(line, &[&a, &b], &ours, &theirs);
                    outcome.arithmetic += 1;
                }
            }
            class::LDX => {
                let kept = regs[usize::from(insns[at - 1].src)];
                let ours = loaded(rules, insn, &kept);
                regs[usize::from(insn.dst)] = ours;
                if let Some(theirs) = theirs(insn.dst) {
                    outcome.compare(line, &[&kept], &ours, &theirs);
                    outcome.loads += 1;
                }
            }
            class::JMP | class::JMP32 if Cond::decode(insn.code).is_some() => {
                outcome.jumps += 1;
                let target = at + 1 + insn.off as usize;
                let what = format!("{line}\n  before {a}\n  before {b}");
                known[at].clone_from(&what);
                match branch_taken(rules, &a, &b, condition(insn), is32(insn)) {
                    Some(true) => expected_next = Some((target, what)),
                    Some(false) => expected_next = Some((at + 1, what)),
                    None => {
                        pending[at] = Some((a, b));
                        expected_next = Some((at + 1, what));
                        let (ours_a, ours_b, crossed) = side(rules, insn, false, a, b);
                        outcome.crossed.1.extend(side(rules, insn, true, a, b).2);
                        outcome.crossed.1.extend(crossed);
                        regs[usize::from(insn.dst)] = ours_a;
                        if insn.code & 8 != 0 {
                            regs[usize::from(insn.src)] = ours_b;
                        }
                        if let Some(theirs) = theirs(insn.dst) {
                            outcome.compare(line, &[&a, &b], &ours_a, &theirs);
                        }
                        if let Some(theirs) = theirs(insn.src).filter(|_| insn.code & 8 != 0) {
                            outcome.compare(&format!("src: {line}"), &[&a, &b], &ours_b, &theirs);
                        }
                    }
                }
            }
            _ => {}
        }
        for (number, text) in printed {
            // A number without bounds that agree is printed like one with them: what we know it by is then better.
            if text != regs[number].to_string()
                && let Some(scalar) = parse(&text)
            {
                regs[number] = scalar;
            }
        }
    }
    let open = pending.iter().flatten().count();
    if open > 0 {
        outcome
            .differences
            .push(format!("{open} sides that the kernel did not walk:\n{log}"));
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[test]
fn scalars_are_known_as_the_kernel_knows_them() {
    if let Err(error) = skep_linux::probe::available(&Kernel) {
        eprintln!("skipped: this kernel refuses bpf(2): {error}");
        return;
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let stable = release.split(['-', '+', '\n']).next().unwrap_or_default();
    let rules = match stable {
        "6.18.15" => Rules::V6_18,
        // The rules of 7.0 came to it with the stable updates.
        "6.18.44" => Rules::V7_0,
        _ => {
            eprintln!("skipped: rules were measured on 6.18.15 and 6.18.44, this is {release}");
            return;
        }
    };
    let wanted = setting("SKEP_SCALAR_PROGRAMS", 300);
    let mut random = Random(setting("SKEP_SCALAR_SEED", 0x5ca1_ab1e));
    let mut outcome = Outcome::default();
    for _ in 0..wanted {
        let insns = program(rules, &mut random);
        let log = log_of(&insns).unwrap_or_else(|error| panic!("the kernel refuses: {error}"));
        compare(rules, &insns, &log, &mut outcome);
        if outcome.differences.len() > 20 {
            break;
        }
    }
    eprintln!(
        "{} operations, {} loads, {} jumps, {} contradictions",
        outcome.arithmetic,
        outcome.loads,
        outcome.jumps,
        outcome.crossed.0.len()
    );
    for (theirs, ours) in outcome.crossed.0.iter().zip(&outcome.crossed.1) {
        assert_eq!(theirs, ours);
    }
    assert_eq!(outcome.crossed.0.len(), outcome.crossed.1.len());
    assert!(
        outcome.differences.is_empty(),
        "{} differences:\n{}",
        outcome.differences.len(),
        outcome.differences.join("\n")
    );
    assert!(
        outcome.arithmetic > 10 * wanted && outcome.jumps > wanted && 4 * outcome.loads > wanted
    );
}

/// What Linux 6.18.15 printed before and after single instructions: the rules of that release, on any machine.
#[test]
fn what_6_18_15_printed() {
    let rules = Rules::V6_18;
    let mut outcome = Outcome::default();
    let mut lines = 0;
    for line in include_str!("data/scalars-6.18.15.txt").lines() {
        if line.starts_with('#') {
            continue;
        }
        lines += 1;
        let fields: Vec<&str> = line.split('\t').collect();
        let [code, way, a, b, after_a, after_b] = fields[..] else {
            panic!("not a record: {line}");
        };
        let mut bytes = [0; 8];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&code[2 * at..2 * at + 2], 16).expect("hexadecimal");
        }
        let insn = Insn::from_bytes(&bytes, Endian::Little);
        let (a, b) = (parse(a).expect("a scalar"), parse(b).expect("a scalar"));
        if way == "alu" {
            let (op, width) = AluOp::decode(insn).expect("arithmetic");
            assert_eq!(fork(rules, op, &a, &b), None);
            outcome.compare(line, &[&a, &b], &alu(rules, op, width, &a, &b), after_a);
            continue;
        }
        let known = branch_taken(rules, &a, &b, condition(insn), is32(insn));
        if way == "always" || way == "never" {
            assert_eq!(known, Some(way == "always"), "{line}");
            continue;
        }
        assert_eq!(known, None, "{line}");
        let (ours_a, ours_b, _) = side(rules, insn, way == "taken", a, b);
        outcome.compare(line, &[&a, &b], &ours_a, after_a);
        if !after_b.is_empty() {
            outcome.compare(line, &[&a, &b], &ours_b, after_b);
        }
    }
    assert!(
        outcome.differences.is_empty(),
        "{}",
        outcome.differences.join("\n")
    );
    assert!(lines > 500);
}
