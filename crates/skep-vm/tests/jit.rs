//! Compiled programs beside interpreted ones where the code that runs is another: lookups without a call, limits, traps;
//! and the memory that the code lies in.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use skep_spec::insn::{Insn, alu, class, jmp, mode, pseudo, size};
use skep_spec::map::{MapDef, MapType};
use skep_vm::jit::{Arch, Listing, perf};
use skep_vm::map::{CreateOptions, create};
use skep_vm::proof::{Access, InsnProof};
use skep_vm::{Ctx, FixedEnv, Image, JitOptions, Limits, Map, Program, Proof, Trap, TrapCause};

const EXIT: Insn = Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0);

fn is_compilable() -> bool {
    if Arch::HOST.is_none() {
        eprintln!("skipped: there is no compiler for this architecture");
    }
    Arch::HOST.is_some()
}

fn image(insns: Vec<Insn>, maps: Vec<Arc<dyn Map>>) -> Image {
    Image {
        name: "test".into(),
        insns,
        maps,
        ..Image::default()
    }
}

fn compiled(image: Image) -> Arc<Program> {
    let program = Program::sandboxed(image).unwrap_or_else(|error| panic!("{error}"));
    compile(&program);
    program
}

fn compile(program: &Program) {
    program
        .compile(&JitOptions::default())
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(program.is_compiled());
}

fn run(program: &Program, ctx: &mut Ctx<'_>, limits: &Limits) -> Result<u64, Trap> {
    program.run(ctx, &FixedEnv::default(), limits)
}

/// Looks up the element whose index the context holds; answers its first byte, or 1000.
fn lookup_program() -> Vec<Insn> {
    let mut insns = vec![
        Insn::load(size::W, 2, 1, 0),
        Insn::store_reg(size::W, 10, -4, 2),
        Insn::mov64_reg(2, 10),
        Insn::alu64_imm(alu::ADD, 2, -4),
    ];
    insns.extend(Insn::ld_imm64_pseudo(1, pseudo::MAP_FD, 0, 0));
    insns.extend([
        Insn::call_helper(1),
        Insn::jmp64_imm(jmp::JNE, 0, 0, 2),
        Insn::mov64_imm(0, 1000),
        EXIT,
        Insn::load(size::B, 0, 0, 0),
        EXIT,
    ]);
    insns
}

#[test]
fn a_lookup_without_a_call_finds_what_the_helper_finds() {
    for value_size in [1, 8, 24, 64, 100] {
        let def = MapDef::new("values", MapType::Array, 4, value_size, 5);
        let map = create(&def, &CreateOptions::default()).expect("an array");
        for key in 0..5u32 {
            let value = vec![key as u8 + 7; value_size as usize];
            map.update_user(&key.to_ne_bytes(), &value, 0)
                .expect("an element");
        }
        let insns = lookup_program();
        let mut facts = vec![InsnProof::default(); insns.len()];
        for (pc, insn) in insns.iter().enumerate() {
            if insn.class() == class::LDX {
                facts[pc].access = Access::Direct;
            }
            if insn.is_helper_call() {
                facts[pc].map = Some(0);
            }
        }
        let proof = Proof {
            insns: facts,
            ..Proof::default()
        };
        // SAFETY: the context is four bytes, the key is on the stack, and what is found has a byte at least.
        let program = unsafe { Program::proven(image(insns, vec![map]), proof) }
            .unwrap_or_else(|error| panic!("{error}"));
        let answer = |program: &Program, key: u32| {
            let mut bytes = key.to_ne_bytes();
            run(program, &mut Ctx::Flat(&mut bytes), &Limits::default())
                .unwrap_or_else(|trap| panic!("{trap}"))
        };
        let keys = [0, 1, 4, 5, 6, u32::MAX, 1 << 31];
        let interpreted: Vec<u64> = keys.iter().map(|key| answer(&program, *key)).collect();
        assert_eq!(interpreted, [7, 8, 11, 1000, 1000, 1000, 1000]);
        if is_compilable() {
            compile(&program);
            let compiled: Vec<u64> = keys.iter().map(|key| answer(&program, *key)).collect();
            assert_eq!(compiled, interpreted, "values of {value_size} bytes");
        }
    }
}

#[test]
fn a_loop_without_end_is_ended() {
    if !is_compilable() {
        return;
    }
    let program = compiled(image(vec![Insn::mov64_imm(0, 0), Insn::ja(-1)], Vec::new()));
    let limits = Limits {
        insns: Some(100_000),
        ..Limits::default()
    };
    let trap = run(&program, &mut Ctx::None, &limits).expect_err("it never returns");
    assert_eq!(trap.cause, TrapCause::Budget { insns: 100_000 });
    assert_eq!(trap.pc, 1);
    let limits = Limits {
        interrupt: Some(Arc::new(AtomicBool::new(true))),
        ..Limits::default()
    };
    let trap = run(&program, &mut Ctx::None, &limits).expect_err("it never returns");
    assert_eq!(trap.cause, TrapCause::Interrupted);
}

#[test]
fn a_trap_tells_instruction_and_registers() {
    if !is_compilable() {
        return;
    }
    let insns = vec![
        Insn::mov64_imm(6, 66),
        Insn::mov64_imm(3, 33),
        Insn::mov64_imm(2, 8),
        Insn::load(size::DW, 0, 2, 0),
        Insn::alu64_reg(alu::ADD, 0, 6),
        Insn::alu64_reg(alu::ADD, 0, 3),
        EXIT,
    ];
    let trap = run(
        &compiled(image(insns, Vec::new())),
        &mut Ctx::None,
        &Limits::default(),
    )
    .expect_err("a null pointer");
    assert_eq!(trap.pc, 3);
    assert!(
        matches!(
            trap.cause,
            TrapCause::BadAccess {
                addr: 8,
                len: 8,
                write: false,
                ..
            }
        ),
        "{trap}"
    );
    assert_eq!((trap.regs[6], trap.regs[3], trap.regs[2]), (66, 33, 8));
}

#[test]
fn the_code_is_never_writable_and_goes_with_the_program() {
    if !is_compilable() {
        return;
    }
    let program = compiled(image(vec![Insn::mov64_imm(0, 1), EXIT], Vec::new()));
    let listing = program.listing().expect("it is compiled");
    let lines = perf::lines(&program).expect("it is compiled");
    assert!(lines.contains("bpf_prog_test_0"), "{lines}");
    assert!(lines.starts_with(&format!(
        "{:x} ",
        listing.address + listing.starts[0] as usize
    )));
    let mapping = |address: usize| {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("a list of mappings");
        maps.lines()
            .find(|line| {
                let (start, rest) = line.split_once('-').unwrap_or_default();
                let end = rest.split(' ').next().unwrap_or_default();
                let number = |text| usize::from_str_radix(text, 16).unwrap_or(0);
                (number(start)..number(end)).contains(&address)
            })
            .map(str::to_owned)
    };
    let line = mapping(listing.address).expect("it is mapped");
    assert!(line.contains(" r-xp "), "{line}");
    let guard = mapping(listing.address + listing.bytes.len().next_multiple_of(4096));
    assert!(guard.is_some_and(|line| line.contains(" ---p ")));
    drop(program);
    // The place may have been taken again since, but not by code that can run.
    assert!(!mapping(listing.address).is_some_and(|line| line.contains(" r-xp ")));
}

#[test]
fn code_for_any_architecture_can_be_shown() {
    let insns = vec![
        Insn::mov64_imm(0, 1),
        Insn::new(class::LDX | mode::MEM | size::W, 3, 1, 4, 0),
        Insn::alu64_reg(alu::ADD, 0, 3),
        EXIT,
    ];
    let program = Program::sandboxed(image(insns, Vec::new())).expect("a program");
    for arch in [Arch::X64, Arch::A64] {
        let listing = Listing::of(&program, arch).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(listing.starts.len(), 4);
        assert!(listing.starts.is_sorted());
        assert!(listing.end as usize <= listing.bytes.len());
        assert!(!program.is_compiled());
    }
}

#[test]
fn a_million_instructions_compile() {
    if !is_compilable() {
        return;
    }
    let mut insns = vec![Insn::mov64_imm(0, 0)];
    while insns.len() < 1_000_000 - 1 {
        insns.push(Insn::alu64_imm(alu::ADD, 0, 1));
        insns.push(Insn::jmp64_imm(jmp::JEQ, 0, 0, 1));
        insns.push(Insn::alu64_reg(alu::XOR, 0, 0));
    }
    insns.push(EXIT);
    let steps = (insns.len() - 2) as u64 / 3;
    let program = compiled(image(insns, Vec::new()));
    let r0 =
        run(&program, &mut Ctx::None, &Limits::default()).unwrap_or_else(|trap| panic!("{trap}"));
    // Each step adds one, sees that it is not 0, and clears it.
    assert_eq!((r0, steps > 300_000), (0, true));
}
