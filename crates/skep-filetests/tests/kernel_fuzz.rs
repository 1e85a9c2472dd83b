//! Random programs that the kernel's verifier accepts: ours must accept them, and they must give the kernel's r0 in all
//! four ways that the virtual machine runs a program: interpreted or compiled, in the sandbox or proven.
//!
//! The seed is fixed, so a failure repeats; `SKEP_FUZZ_PROGRAMS` asks for more programs, `SKEP_FUZZ_SEED` for others.

use skep_filetests::random::Random;
use skep_linux::program::{Program as KernelProgram, ProgramLoad, TestRun};
use skep_linux::syscall::Kernel;
use skep_spec::context::xdp;
use skep_spec::insn::Insn;
use skep_spec::profile::Profile;
use skep_spec::program::ProgramType;
use skep_verifier::Input;
use skep_vm::packet::{PacketCtx, PacketKind};
use skep_vm::{Ctx, DefaultEnv, Image, JitError, JitOptions, Limits, Program};

/// Immediates.
trait Immediates {
    /// Values at the edges are likelier than chance makes them.
    fn imm(&mut self) -> i32;
}

impl Immediates for Random {
    fn imm(&mut self) -> i32 {
        match self.below(4) {
            0 => self.of(&[0, 1, -1, i32::MIN, i32::MAX, 31, 32, 63, 255, 0x8000, -128]),
            _ => self.next() as i32,
        }
    }
}

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn {
        code,
        dst,
        src,
        off,
        imm,
    }
}

/// Scalars in r0 and r2..=r9, four initialised stack slots, then random instructions, then all of it folded into r0.
fn program(random: &mut Random) -> Vec<Insn> {
    const REGS: [u8; 9] = [0, 2, 3, 4, 5, 6, 7, 8, 9];
    const SLOTS: [i16; 4] = [-8, -16, -24, -32];
    let mut code = Vec::new();
    for reg in REGS {
        if random.below(2) == 0 {
            code.push(insn(0x18, reg, 0, 0, random.imm()));
            code.push(insn(0, 0, 0, 0, random.imm()));
        } else {
            code.push(insn(0xb7, reg, 0, 0, random.imm()));
        }
    }
    for slot in SLOTS {
        code.push(insn(0x7b, 10, random.of(&REGS), slot, 0));
    }
    let body = 8 + random.below(48) as usize;
    let mut pending: Vec<usize> = Vec::new();
    for at in 0..body {
        let (dst, src) = (random.of(&REGS), random.of(&REGS));
        let wide = random.below(2) as u8 * 3 + 4; // class ALU (4) or ALU64 (7)
        match random.below(16) {
            0..=5 => {
                // add sub mul or and xor mov, by register or immediate
                let op = random.of(&[0x00u8, 0x10, 0x20, 0x40, 0x50, 0xa0, 0xb0]);
                if random.below(2) == 0 {
                    code.push(insn(op | wide | 8, dst, src, 0, 0));
                } else {
                    code.push(insn(op | wide, dst, 0, 0, random.imm()));
                }
            }
            6 => {
                let op = random.of(&[0x60u8, 0x70, 0xc0]);
                let bits = if wide == 7 { 64 } else { 32 };
                code.push(insn(op | wide, dst, 0, 0, random.below(bits) as i32));
            }
            7 => {
                // div and mod, signed (offset 1) and not, by register or by a non-zero immediate
                let op = random.of(&[0x30u8, 0x90]);
                let off = random.below(2) as i16;
                if random.below(2) == 0 {
                    code.push(insn(op | wide | 8, dst, src, off, 0));
                } else {
                    let imm = random.imm();
                    code.push(insn(op | wide, dst, 0, off, if imm == 0 { 7 } else { imm }));
                }
            }
            8 => {
                // movsx
                let off = if wide == 7 {
                    random.of(&[8i16, 16, 32])
                } else {
                    random.of(&[8i16, 16])
                };
                code.push(insn(0xb0 | wide | 8, dst, src, off, 0));
            }
            9 => {
                let width = random.of(&[16, 32, 64]);
                code.push(insn(random.of(&[0xd4u8, 0xdc, 0xd7]), dst, 0, 0, width));
            }
            10 => code.push(insn(0x80 | wide, dst, 0, 0, 0)),
            11 => {
                // store, then load of any width, plain or sign-extending
                let slot = random.of(&SLOTS);
                code.push(insn(
                    random.of(&[0x63u8, 0x6b, 0x73, 0x7b]),
                    10,
                    src,
                    slot,
                    0,
                ));
                let load = random.of(&[0x61u8, 0x69, 0x71, 0x79, 0x81, 0x89, 0x91]);
                code.push(insn(load, dst, 10, slot, 0));
            }
            12 => {
                // atomics on a slot: add, or, and, xor, each with and without fetch; xchg; cmpxchg
                let op = random.of(&[0x00, 0x40, 0x50, 0xa0, 0x01, 0x41, 0x51, 0xa1, 0xe1, 0xf1]);
                code.push(insn(
                    random.of(&[0xc3u8, 0xdb]),
                    10,
                    src,
                    random.of(&SLOTS),
                    op,
                ));
            }
            _ => {
                // a conditional jump forward; its target is set when the body is known
                let op = random.of(&[
                    0x10u8, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0,
                ]);
                let class = random.of(&[5u8, 6]);
                pending.push(code.len());
                if random.below(2) == 0 {
                    code.push(insn(op | class | 8, dst, src, at as i16, 0));
                } else {
                    code.push(insn(op | class, dst, 0, at as i16, random.imm()));
                }
            }
        }
    }
    let end = code.len();
    for at in pending {
        let reach = (end - at - 1).min(6) as u64;
        code[at].off = random.below(reach + 1) as i16;
    }
    // Fold: r0 = r0 * 31 + rN, then the halves together, since the kernel answers 32 bits.
    for reg in &REGS[1..] {
        code.push(insn(0x27, 0, 0, 0, 31));
        code.push(insn(0x0f, 0, *reg, 0, 0));
    }
    for slot in SLOTS {
        code.push(insn(0x79, 2, 10, slot, 0));
        code.push(insn(0x27, 0, 0, 0, 31));
        code.push(insn(0x0f, 0, 2, 0, 0));
    }
    code.push(insn(0xbf, 2, 0, 0, 0));
    code.push(insn(0x77, 2, 0, 0, 32));
    code.push(insn(0xaf, 0, 2, 0, 0));
    code.push(insn(0x95, 0, 0, 0, 0));
    code
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// What both engines answer; `None` where the kernel refuses the program.
fn answers(insns: &[Insn]) -> Option<(u32, Result<u64, String>)> {
    // 6: BPF_PROG_TYPE_XDP, which runs on 64 zero bytes and gives r0 back as it is.
    let load = ProgramLoad {
        name: "fuzz",
        program_type: 6,
        expected_attach_type: 0,
        insns,
        license: "GPL",
        flags: 0,
        btf: None,
        attach_btf_id: 0,
    };
    let kernel = KernelProgram::load(&Kernel, &load).ok()?;
    let input = TestRun {
        data: &[0; 64],
        ..TestRun::default()
    };
    let theirs = kernel
        .test_run(&Kernel, &input)
        .expect("what the kernel loads, it runs")
        .retval;
    Some((theirs, ours(insns)))
}

/// What all our ways of running it answer.
fn ours(insns: &[Insn]) -> Result<u64, String> {
    let image = || Image {
        name: "fuzz".to_owned(),
        insns: insns.to_vec(),
        program_type: Some(ProgramType::Xdp),
        layout: Some(&xdp::XDP),
        ..Image::default()
    };
    let mut input = Input::new(ProgramType::Xdp, insns.to_vec());
    input.profile = PROFILE.with(Profile::clone);
    let sandboxed = Program::sandboxed(image()).map_err(|error| error.to_string())?;
    let proven = skep::engine::embedded::prove(&input, image())
        .map_err(|why| format!("our verifier refuses it: {why}"))?;
    let mut answer = None;
    for (mode, program) in [("sandboxed", sandboxed), ("proven", proven)] {
        for engine in ["interpreted", "compiled"] {
            if engine == "compiled" {
                match program.compile(&JitOptions::default()) {
                    Err(JitError::Architecture(_)) => continue,
                    compiled => compiled.map_err(|error| error.to_string())?,
                }
            }
            let mut packet = PacketCtx::new(&xdp::XDP, PacketKind::Xdp);
            packet.load(&[0; 64]).map_err(|error| error.to_string())?;
            let result = program.run(
                &mut Ctx::Packet(&mut packet),
                &DefaultEnv::default(),
                &Limits::default(),
            );
            let r0 = result.map_err(|trap| format!("{mode}, {engine}: {trap}"))?;
            match answer {
                Some(other) if other != r0 => {
                    return Err(format!("{mode}, {engine}: {r0:#x}, before {other:#x}"));
                }
                _ => answer = Some(r0),
            }
        }
    }
    answer.ok_or_else(|| "nothing ran it".to_owned())
}

thread_local! {
    static PROFILE: Profile = skep::verify::embedded_profile();
}

fn differs(insns: &[Insn]) -> bool {
    answers(insns).is_some_and(|(theirs, ours)| ours.map(|r0| r0 as u32) != Ok(theirs))
}

/// The same difference with as many instructions as can be turned into `goto +0`.
fn reduce(mut insns: Vec<Insn>) -> Vec<Insn> {
    for at in 0..insns.len() {
        let old = insns[at];
        // A slot that was never written holds whatever the kernel left there.
        let is_store = old.code == 0x7b;
        let stays = is_store || old.code == 0x18 || (at > 0 && insns[at - 1].code == 0x18);
        if !stays {
            insns[at] = insn(0x05, 0, 0, 0, 0);
            if !differs(&insns) {
                insns[at] = old;
            }
        }
    }
    insns
}

#[test]
fn every_engine_answers_as_the_kernel_does() {
    if let Err(error) = skep_linux::probe::available(&Kernel) {
        eprintln!("skipped: this kernel refuses bpf(2): {error}");
        return;
    }
    let wanted = setting("SKEP_FUZZ_PROGRAMS", 400);
    let mut random = Random(setting("SKEP_FUZZ_SEED", 0x5eed_0bee));
    let (mut compared, mut refused) = (0u64, 0u64);
    while compared < wanted {
        let insns = program(&mut random);
        let Some((theirs, ours)) = answers(&insns) else {
            // Jumps into the middle of a ld_imm64 and the like: the kernel says no, and that is no finding here.
            refused += 1;
            assert!(refused <= 50 + compared, "the kernel refuses most programs");
            continue;
        };
        if ours.as_ref().map(|r0| *r0 as u32) != Ok(theirs) {
            let small = reduce(insns);
            let (theirs, ours) = answers(&small).unwrap_or((theirs, ours));
            let small: Vec<String> = small.iter().map(|insn| format!("{insn:?}")).collect();
            panic!(
                "program {compared}: the kernel gives {theirs:#x}, we give {ours:x?}\n{}",
                small.join("\n")
            );
        }
        compared += 1;
    }
}
