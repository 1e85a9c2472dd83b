//! Nanoseconds per instruction of the sandboxed interpreter and of rbpf's, on the programs compiled into a folder.
//!
//! Prints `NAME SKEP RBPF`, a line a program; `-` where the peer refuses the program or answers otherwise.

use std::error::Error;
use std::path::Path;

use object::{Object, ObjectSection};
use skep_spec::insn::{Endian, decode_all};
use skep_vm::env::DefaultEnv;
use skep_vm::Ctx;
use skep_vm::program::{Image, Limits, Program};

const PROGRAMS: &[&str] =
    &["arith", "divmod", "sieve", "siphash", "copy", "state", "packet", "crc32", "calls", "unrolled"];
const MEMORY: usize = 3072;
const SAMPLES: usize = 15;
/// A sample runs at least this long, so that the clock's own cost does not count.
const SAMPLE_NS: u64 = 3_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: vm FOLDER")?;
    for name in PROGRAMS {
        let file = std::fs::read(Path::new(&folder).join(format!("{name}.o")))?;
        let object = object::File::parse(&*file)?;
        let text = object.section_by_name(".text").ok_or("no .text")?.data()?.to_vec();
        let image = Image { insns: decode_all(&text, Endian::Little)?, ..Image::default() };
        let program = Program::sandboxed(image)?;
        let mut memory = input(name);
        let (env, limits) = (DefaultEnv::default(), Limits::default());
        let (result, insns) = program.run_counted(&mut Ctx::Flat(&mut memory), &env, &limits);
        let expected = result.map_err(|trap| format!("{name}: {trap}"))?;
        let peer = rbpf::EbpfVmRaw::new(Some(&text)).ok();
        let peer_agrees = peer.as_ref().is_some_and(|vm| vm.execute_program(&mut input(name)).is_ok_and(|r0| r0 == expected));
        let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..SAMPLES {
            memory = input(name);
            ours = ours.min(sample(|| {
                let _ = program.run(&mut Ctx::Flat(&mut memory), &env, &limits);
            }));
            if let Some(vm) = peer.as_ref().filter(|_| peer_agrees) {
                let mut memory = input(name);
                theirs = theirs.min(sample(|| {
                    let _ = vm.execute_program(&mut memory);
                }));
            }
        }
        let per_insn = |ns: f64| ns / insns as f64;
        let peer = if theirs.is_finite() { format!("{:.3}", per_insn(theirs)) } else { "-".to_owned() };
        println!("{name} {:.3} {peer}", per_insn(ours));
    }
    Ok(())
}

/// Nanoseconds of CPU time a call, over at least `SAMPLE_NS`.
fn sample(mut call: impl FnMut()) -> f64 {
    let start = cpu_ns();
    let mut calls = 0u64;
    loop {
        for _ in 0..16 {
            call();
        }
        calls += 16;
        let spent = cpu_ns() - start;
        if spent >= SAMPLE_NS {
            return spent as f64 / calls as f64;
        }
    }
}

/// CPU time of this thread: what else the machine does costs cache and clock, not time.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The same input each time: text for the lexer, a frame for the packet parser, noise for the rest.
fn input(name: &str) -> Vec<u8> {
    const TEXT: &[u8] = b"alpha = 12, beta9 = 3.25 # a comment with words 1 2 3\n\"a string \\\" with an escape\" gamma_x 77.5.1 ,, x1\n  _y 42;\n";
    const FRAME: &[u8] = &[
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 5, 8, 0, 0x46, 0, 0, 80, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 1, 2, 3, 192, 168, 7, 9,
        1, 1, 1, 0, 0xc0, 1, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0,
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut memory: Vec<u8> = (0..MEMORY)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect();
    match name {
        "state" => memory.iter_mut().zip(TEXT.iter().cycle()).for_each(|(byte, text)| *byte = *text),
        "packet" => memory[..FRAME.len()].copy_from_slice(FRAME),
        _ => {}
    }
    memory
}
