//! Compiled programs whose proofs are wrong: the run ends with a trap, and the process goes on.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::process::Command;
use std::sync::Arc;

use skep_spec::insn::{Insn, alu, atomic, class, jmp, size};
use skep_vm::proof::{Access, FrameProof, InsnProof};
use skep_vm::trap::Line;
use skep_vm::{Ctx, FixedEnv, Image, JitOptions, Limits, Program, Proof, Trap, TrapCause};

const EXIT: Insn = Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0);

/// Of whose loads, stores and atomic operations a proof says that they are good.
fn trusted(insns: Vec<Insn>, lies: &[usize], frames: &[usize]) -> Arc<Program> {
    let mut facts = vec![InsnProof::default(); insns.len()];
    for pc in lies {
        facts[*pc].access = Access::Direct;
    }
    let lines = vec![Line {
        insn: 0,
        file: "wrong.c".into(),
        line: 7,
        column: 1,
        text: "return *wrong;".into(),
    }];
    prove(
        Image {
            name: "wrong".into(),
            insns,
            lines,
            ..Image::default()
        },
        facts,
        frames,
    )
}

fn prove(image: Image, insns: Vec<InsnProof>, frames: &[usize]) -> Arc<Program> {
    let frame = |start: &usize| FrameProof {
        start: *start,
        bytes: 16,
        reads_unwritten: false,
    };
    let proof = Proof {
        insns,
        frames: frames.iter().map(frame).collect(),
        ..Proof::default()
    };
    // SAFETY: the facts are false, and each test runs the program only where the processor refuses what they allow.
    let program = unsafe { Program::proven(image, proof) };
    let program = program.unwrap_or_else(|error| panic!("{error}"));
    program
        .compile(&JitOptions::default())
        .unwrap_or_else(|error| panic!("{error}"));
    program
}

fn run_limited(program: &Program, bytes: &mut [u8], limits: &Limits) -> Result<u64, Trap> {
    program.run(&mut Ctx::Flat(bytes), &FixedEnv::default(), limits)
}

fn run(program: &Program, bytes: &mut [u8]) -> Result<u64, Trap> {
    run_limited(program, bytes, &Limits::default())
}

/// Reads where the context's first 8 bytes say.
fn loads() -> Arc<Program> {
    trusted(
        vec![
            Insn::load(size::DW, 6, 1, 8),
            Insn::mov64_imm(3, 33),
            Insn::load(size::DW, 2, 1, 0),
            Insn::load(size::DW, 0, 2, 8),
            Insn::alu64_reg(alu::ADD, 0, 6),
            Insn::alu64_reg(alu::ADD, 0, 3),
            EXIT,
        ],
        &[0, 2, 3],
        &[],
    )
}

/// A context: an address, and 66.
fn arguments(addr: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&addr.to_ne_bytes());
    bytes[8] = 66;
    bytes
}

const SEGV: i32 = 11;

#[track_caller]
fn assert_fault(trap: &Trap, pc: usize, addr: u64) {
    assert_eq!(trap.pc, pc);
    let cause = TrapCause::Fault {
        signal: SEGV,
        addr: Some(addr),
    };
    assert_eq!(trap.cause, cause);
    assert_eq!(&*trap.program, "wrong");
    assert_eq!(trap.line.as_ref().map(|line| line.line), Some(7));
}

#[test]
fn a_bad_load_ends_the_run_and_nothing_else() {
    let program = loads();
    let target = [0u64, 1000];
    let good = target.as_ptr() as u64;
    for _ in 0..3 {
        let trap = run(&program, &mut arguments(8)).expect_err("no such page");
        assert_fault(&trap, 3, 16);
        assert_eq!((trap.regs[2], trap.regs[6]), (8, 66));
        assert_eq!(
            trap.to_string(),
            "wrong: instruction 3: access to 0x10 faulted in compiled code (signal 11): its proof is wrong \
             (wrong.c:7: return *wrong;)"
        );
        assert_eq!(run(&program, &mut arguments(good)).expect("good"), 1099);
    }
}

#[test]
fn so_it_is_with_limits() {
    let program = loads();
    let limits = Limits {
        insns: Some(1000),
        ..Limits::default()
    };
    for _ in 0..3 {
        let trap = run_limited(&program, &mut arguments(8), &limits).expect_err("no page");
        assert_fault(&trap, 3, 16);
        assert_eq!((trap.regs[2], trap.regs[6]), (8, 66));
    }
}

#[test]
fn an_address_that_no_processor_knows_is_not_told() {
    let trap = run(&loads(), &mut arguments(1 << 60)).expect_err("not canonical");
    let cause = TrapCause::Fault {
        signal: SEGV,
        addr: None,
    };
    assert_eq!((trap.pc, trap.cause), (3, cause));
}

/// Keeps values in registers and in frames over calls, two deep, the inner of which writes where it is told.
fn nested(helper: bool) -> Arc<Program> {
    let insns = vec![
        Insn::mov64_imm(6, 1),
        Insn::mov64_imm(7, 2),
        Insn::store_reg(size::DW, 10, -8, 6),
        Insn::load(size::DW, 1, 1, 0),
        Insn::call_local(4),
        Insn::alu64_reg(alu::ADD, 0, 6),
        Insn::alu64_reg(alu::ADD, 0, 7),
        // 7
        if helper {
            Insn::call_helper(5)
        } else {
            Insn::mov64_imm(3, 0)
        },
        EXIT,
        // 9
        Insn::mov64_imm(6, 3),
        Insn::mov64_imm(8, 4),
        Insn::store_reg(size::DW, 10, -16, 6),
        Insn::call_local(3),
        Insn::alu64_reg(alu::ADD, 0, 6),
        Insn::alu64_reg(alu::ADD, 0, 8),
        EXIT,
        // 16
        Insn::mov64_imm(9, 5),
        Insn::alu64_reg(alu::MUL, 9, 9),
        Insn::mov64_imm(6, 6),
        Insn::store_reg(size::DW, 1, 0, 9),
        Insn::mov64_reg(0, 6),
        EXIT,
    ];
    trusted(insns, &[2, 3, 11, 19], &[0, 9, 16])
}

#[test]
fn a_fault_in_a_function_ends_those_that_called_it() {
    for helper in [false, true] {
        let program = nested(helper);
        let mut target = 0u64;
        let good = &raw mut target as u64;
        for _ in 0..50 {
            let trap = run(&program, &mut arguments(0x20)).expect_err("no such page");
            assert_fault(&trap, 19, 0x20);
            assert_eq!((trap.regs[1], trap.regs[9]), (0x20, 25));
            let value = run(&program, &mut arguments(good)).expect("good");
            assert!(helper || value == 6 + 3 + 4 + 1 + 2, "{value}");
        }
        assert_eq!(target, 25);
    }
}

// Calls code with r1, and tells what it left in rbx, rbp, r12 to r15, rdx.
std::arch::global_asm!(
    ".globl skep_fault_test_call",
    "skep_fault_test_call:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push rdx",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov ebx, 101",
    "mov ebp, 102",
    "mov r12d, 103",
    "mov r13d, 104",
    "mov r14d, 105",
    "mov r15d, 106",
    "call rax",
    "pop rcx",
    "mov [rcx], rbx",
    "mov [rcx + 8], rbp",
    "mov [rcx + 16], r12",
    "mov [rcx + 24], r13",
    "mov [rcx + 32], r14",
    "mov [rcx + 40], r15",
    "mov [rcx + 48], rdx",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
);

unsafe extern "C" {
    fn skep_fault_test_call(code: usize, r1: *const u64, left: *mut [u64; 7]) -> u64;
}

#[test]
fn the_host_gets_its_registers_back_from_any_depth() {
    let mut target = [0u64; 2];
    for program in [loads(), nested(false)] {
        // The program starts where its code does, as it reads nothing that it has not written.
        let code = program.listing().expect("compiled").address;
        for (addr, stop) in [([&raw mut target as u64, 0], 0), ([8, 0], 3)] {
            let mut left = [0; 7];
            // SAFETY: the code is a C function of r1.
            unsafe { skep_fault_test_call(code, addr.as_ptr(), &mut left) };
            assert_eq!(left, [101, 102, 103, 104, 105, 106, stop]);
        }
    }
}

#[test]
fn an_atomic_operation_that_keeps_something_on_the_stack() {
    let program = trusted(
        vec![
            Insn::load(size::DW, 2, 1, 0),
            Insn::mov64_imm(3, 9),
            Insn::atomic(size::DW, atomic::OR | atomic::FETCH, 2, 0, 3),
            Insn::mov64_reg(0, 3),
            EXIT,
        ],
        &[0, 2],
        &[],
    );
    let mut target = 6u64;
    let good = &raw mut target as u64;
    for _ in 0..10 {
        let trap = run(&program, &mut arguments(0x40)).expect_err("no such page");
        assert_fault(&trap, 2, 0x40);
    }
    assert_eq!(run(&program, &mut arguments(good)).expect("good"), 6);
    assert_eq!(target, 15);
}

#[test]
fn a_division_by_what_was_proven_not_to_be_zero() {
    let mut facts = vec![InsnProof::default(); 4];
    facts[2].divisor_not_zero = true;
    let divides = vec![
        Insn::mov64_reg(0, 2),
        Insn::mov64_reg(3, 1),
        Insn::alu64_reg(alu::DIV, 0, 2),
        EXIT,
    ];
    let image = Image {
        insns: divides,
        ..Image::default()
    };
    let program = prove(image, facts, &[]);
    assert_eq!(run(&program, &mut [0; 5]).expect("5 / 5"), 1);
    let trap = run(&program, &mut []).expect_err("0 / 0");
    let cause = TrapCause::Fault {
        signal: 8,
        addr: None,
    };
    assert_eq!((trap.pc, trap.cause), (2, cause));
}

#[test]
fn an_instruction_that_was_proven_to_be_out_of_reach() {
    let mut facts = vec![InsnProof::default(); 4];
    facts[2].reached = false;
    let insns = vec![
        Insn::mov64_imm(0, 1),
        Insn::jmp64_imm(jmp::JEQ, 2, 3, 1),
        Insn::mov64_imm(0, 2),
        EXIT,
    ];
    let image = Image {
        insns,
        ..Image::default()
    };
    let program = prove(image, facts, &[]);
    assert_eq!(run(&program, &mut [0; 3]).expect("jumps"), 1);
    let trap = run(&program, &mut [0; 4]).expect_err("goes on");
    let cause = TrapCause::Fault {
        signal: 4,
        addr: None,
    };
    assert_eq!((trap.pc, trap.cause), (2, cause));
}

#[test]
fn many_threads_fault_at_once_while_programs_come_and_go() {
    let shared = loads();
    std::thread::scope(|scope| {
        for thread in 0..16u64 {
            let shared = &shared;
            scope.spawn(move || {
                for round in 0..200 {
                    let addr = 8 * (1 + thread);
                    let trap = run(shared, &mut arguments(addr)).expect_err("no such page");
                    assert_fault(&trap, 3, addr + 8);
                    assert_eq!(trap.regs[2], addr);
                    if round % 8 == 0 {
                        let own = nested(thread % 2 == 0);
                        let trap = run(&own, &mut arguments(addr)).expect_err("no such page");
                        assert_fault(&trap, 19, addr);
                    }
                }
            });
        }
    });
}

/// What the child processes below do.
const ROLE: &str = "SKEP_FAULT_TEST_ROLE";

fn child(role: &str) -> std::process::Output {
    Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "plays_a_role", "--nocapture"])
        .env(ROLE, role)
        .output()
        .expect("it starts")
}

#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    if room[0] == u64::MAX {
        return 0;
    }
    overflow(depth + 1) + room[(depth % 64) as usize]
}

/// Not a test of its own: what a child process runs.
#[test]
fn plays_a_role() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let program = loads();
    let trap = run(&program, &mut arguments(8)).expect_err("no such page");
    assert_fault(&trap, 3, 16);
    if role == "overflow" {
        println!("{}", overflow(0));
    } else {
        // SAFETY: the point is that it is not.
        let value = unsafe { std::ptr::read_volatile(std::hint::black_box(0x18 as *const u64)) };
        println!("{value}");
    }
}

#[test]
fn faults_of_the_host_are_the_host_s() {
    use std::os::unix::process::ExitStatusExt;
    let output = child("null");
    assert_eq!(output.status.signal(), Some(SEGV), "{output:?}");
    let output = child("overflow");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "{output:?}");
    assert!(text.contains("has overflowed its stack"), "{text}");
}
