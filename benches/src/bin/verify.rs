//! Microseconds that skep's verifier and the running kernel's take for an explored instruction, on made-up programs of
//! the shapes that real ones are made of.
//!
//! Prints `NAME SKEP KERNEL`, a line a program; `-` where bpf(2) does not work or explores another number.

use std::ffi::CString;

use skep::verifier::{Input, verify};
use skep_spec::insn::{Endian, Insn, class, jmp, mode, size};
use skep_spec::program::ProgramType;

const TRIES: usize = 25;
const ADD: u8 = 0x00;
const AND: u8 = 0x50;

fn main() {
    let programs: [(&str, Vec<Insn>); 6] = [
        ("small", small()),
        ("straight", straight(2_000)),
        ("branches", branches(300)),
        ("loop", rounds(4_000)),
        ("stack", stack(1_500)),
        ("precise", precise(400)),
    ];
    for (name, insns) in programs {
        let mut input = Input::new(ProgramType::SocketFilter, insns);
        let (mut ours, mut theirs, mut explored) = (f64::INFINITY, f64::INFINITY, 0);
        for _ in 0..TRIES {
            let verified = match verify(&input) {
                Ok(verified) => verified.stats,
                Err(rejection) => {
                    eprintln!("{name}: {rejection}");
                    std::process::exit(1);
                }
            };
            explored = verified.insns_processed;
            ours = ours.min(verified.nanoseconds as f64 / 1e3);
            if let Some((us, _)) = kernel(&input.insns).filter(|(_, insns)| *insns == explored) {
                theirs = theirs.min(us);
            }
        }
        input.insns.clear();
        let per_insn = |us: f64| us / explored.max(1) as f64;
        let peer = if theirs.is_finite() { format!("{:.3}", per_insn(theirs)) } else { "-".to_owned() };
        println!("{name} {:.3} {peer}", per_insn(ours));
    }
}

fn load(into: u8, base: u8, off: i16) -> Insn {
    let width = if base == 1 { size::W } else { size::DW };
    Insn::new(class::LDX | mode::MEM | width, into, base, off, 0)
}

fn store(off: i16, value: u8) -> Insn {
    Insn::new(class::STX | mode::MEM | size::DW, 10, value, off, 0)
}

fn jump(op: u8, register: u8, imm: i32, off: i16) -> Insn {
    Insn::new(class::JMP | op, register, 0, off, imm)
}

fn done(mut insns: Vec<Insn>) -> Vec<Insn> {
    insns.extend([Insn::mov64_imm(0, 0), Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0)]);
    insns
}

/// A filter as people write them by hand.
fn small() -> Vec<Insn> {
    let mut insns = vec![load(6, 1, 0), load(7, 1, 16), store(-8, 6), store(-16, 7)];
    insns.extend([jump(jmp::JEQ, 6, 0, 3), jump(jmp::JGT, 7, 8, 2), load(2, 10, -8), Insn::alu64_imm(ADD, 2, 1)]);
    done(insns)
}

/// Arithmetic on numbers of which something is known.
fn straight(count: usize) -> Vec<Insn> {
    let mut insns = vec![load(6, 1, 0)];
    for at in 0..count {
        insns.push(match at % 4 {
            0 => Insn::mov64_reg(2, 6),
            1 => Insn::alu64_imm(AND, 2, 255),
            2 => Insn::alu64_imm(ADD, 2, at as i32),
            _ => Insn::alu32_imm(ADD, 2, 1),
        });
    }
    done(insns)
}

/// Comparisons of unknown numbers, whose sides meet again.
fn branches(count: i32) -> Vec<Insn> {
    let mut insns = vec![load(6, 1, 0), Insn::mov64_imm(2, 0)];
    for at in 0..count {
        insns.extend([jump(jmp::JEQ, 6, at, 2), Insn::mov64_imm(2, at), jump(jmp::JA, 0, 0, 1), Insn::mov64_imm(2, 7)]);
        insns.extend([Insn::mov64_reg(3, 2), Insn::alu64_imm(ADD, 3, 1)]);
    }
    done(insns)
}

/// A loop whose end is found by walking it.
fn rounds(count: i32) -> Vec<Insn> {
    let mut insns = vec![load(6, 1, 0), Insn::mov64_imm(7, 0)];
    insns.extend([Insn::mov64_reg(2, 6), Insn::alu64_imm(AND, 2, 15), Insn::alu64_imm(ADD, 7, 1)]);
    insns.push(jump(jmp::JLT, 7, count, -4));
    done(insns)
}

/// Spills and fills.
fn stack(count: usize) -> Vec<Insn> {
    let mut insns = vec![load(6, 1, 0)];
    for at in 0..count {
        let off = -8 * (at as i16 % 32 + 1);
        insns.extend([store(off, 6), load(2, 10, off)]);
        if at % 8 == 0 {
            insns.push(jump(jmp::JEQ, 2, at as i32, 0));
        }
    }
    done(insns)
}

/// Numbers whose exact value decides something.
fn precise(count: i32) -> Vec<Insn> {
    let mut insns = vec![load(6, 1, 0)];
    for at in 0..count {
        insns.extend([Insn::mov64_imm(2, 8), Insn::mov64_reg(3, 6), jump(jmp::JEQ, 6, at, 1), Insn::mov64_imm(2, 16)]);
        insns.extend([Insn::mov64_reg(4, 2), jump(jmp::JGT, 4, 32, 1), Insn::alu64_imm(ADD, 3, 1)]);
    }
    done(insns)
}

/// Microseconds and instructions that the running kernel's verifier says it took; `None` if it may not be asked.
fn kernel(insns: &[Insn]) -> Option<(f64, u64)> {
    const PROG_LOAD: libc::c_long = 5;
    const SOCKET_FILTER: u32 = 1;
    const STATS: u32 = 4;
    let code: Vec<u8> = insns.iter().flat_map(|insn| insn.to_bytes(Endian::NATIVE)).collect();
    let license = CString::new("GPL").ok()?;
    let mut log = vec![0_u8; 4096];
    #[repr(C)]
    #[derive(Default)]
    struct Attr {
        program_type: u32,
        insn_count: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        rest: [u64; 12],
    }
    let attr = Attr {
        program_type: SOCKET_FILTER,
        insn_count: insns.len() as u32,
        insns: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: STATS,
        log_size: log.len() as u32,
        log: log.as_mut_ptr() as u64,
        ..Attr::default()
    };
    // SAFETY: every pointer in `attr` leads to memory of the size given beside it that outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attr, size_of::<Attr>()) };
    if fd < 0 {
        return None;
    }
    // SAFETY: the descriptor was just made and is nobody else's.
    unsafe { libc::close(fd as i32) };
    let text = String::from_utf8_lossy(&log);
    let number = |after: &str| -> Option<u64> { text.split(after).nth(1)?.split_whitespace().next()?.parse().ok() };
    Some((number("verification time ")? as f64, number("processed ")?))
}
