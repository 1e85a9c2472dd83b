//! Large programs, interpreted and compiled: jumps and slow paths far from where they are needed.

use skep_spec::asm::assemble_insns;
use skep_spec::insn::Insn;
use skep_vm::{Ctx, FixedEnv, Image, JitError, JitOptions, Limits, Program};

fn insns(text: &str) -> Vec<Insn> {
    assemble_insns(text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// Conditional jumps of each form over as much code as their offset can span, three times; every access is checked, and
/// those through r2 are not of the memory that runs find at once.
fn program() -> Vec<Insn> {
    let mut all = insns(
        "*(u64 *)(r10 - 16) = 3
         *(u64 *)(r10 - 8) = 5
         r2 = r10
         r2 += -16
         r4 = *(u64 *)(r1 + 0)
         r0 = 0",
    );
    let body = insns(
        "r3 = *(u64 *)(r1 + 8)
         r0 += r3
         r3 = *(u32 *)(r2 + 8)
         r0 ^= r3
         r0 += 7",
    );
    const BODIES: usize = 6_000;
    let over = BODIES * body.len();
    for bit in [1, 2, 4] {
        // A test of one bit, a comparison with zero, one with a number, and all of them again in 32 bits.
        for jump in [
            format!("if r4 & {bit} goto +{}", over + 5),
            format!("if r4 == {} goto +{}", 8 * bit, over + 4),
            format!("if r4 s< -{bit} goto +{}", over + 3),
            format!("if w4 & {} goto +{}", 16 * bit, over + 2),
            format!("if w4 == 0 goto +{}", over + 1),
            format!("if w4 > {} goto +{over}", 1000 * bit),
        ] {
            all.extend(insns(&jump));
        }
        for _ in 0..BODIES {
            all.extend_from_slice(&body);
        }
        all.extend(insns("r0 += 1"));
    }
    all.extend(insns("exit"));
    all
}

#[test]
fn far_jumps_land_and_far_slow_paths_come_back() {
    let insns = program();
    assert!(insns.len() > 90_000);
    let load = || {
        Program::sandboxed(Image {
            name: "large".into(),
            insns: insns.clone(),
            ..Image::default()
        })
        .expect("a program")
    };
    let (interpreted, compiled) = (load(), load());
    if let Err(error @ JitError::Architecture(_)) = compiled.compile(&JitOptions::default()) {
        println!("skipped: {error}");
        return;
    }
    assert!(compiled.is_compiled());
    let mut answers = std::collections::HashSet::new();
    for first in [
        0,
        1,
        2,
        4,
        8,
        16,
        32,
        64,
        128,
        999,
        1001,
        5000,
        u64::MAX,
        1 << 63,
    ] {
        let run = |program: &Program| {
            let mut words = [first, 11];
            // SAFETY: the bytes of the words, which nothing else refers to during the run.
            let bytes =
                unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), 16) };
            let limits = Limits::default();
            let result = program.run(&mut Ctx::Flat(bytes), &FixedEnv::default(), &limits);
            result.map_err(|trap| trap.to_string())
        };
        let want = run(&interpreted);
        assert!(want.is_ok(), "{want:?}");
        assert_eq!(run(&compiled), want, "with {first:#x}");
        answers.insert(want);
    }
    assert!(answers.len() >= 4, "{answers:?}");
}
