//! Nanoseconds per instruction of the sandboxed interpreter and of rbpf's, on the programs compiled into a folder.
//!
//! Prints `NAME SKEP RBPF`, a line a program; `-` where the peer refuses the program or answers otherwise.

use std::error::Error;
use std::path::Path;

use object::{Object, ObjectSection};
use skep_bench::{cpu_ns, input};
use skep_spec::insn::{Endian, decode_all};
use skep_vm::env::DefaultEnv;
use skep_vm::Ctx;
use skep_vm::program::{Image, Limits, Program};

const PROGRAMS: &[&str] =
    &["arith", "divmod", "sieve", "siphash", "copy", "state", "packet", "crc32", "calls", "unrolled"];
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
