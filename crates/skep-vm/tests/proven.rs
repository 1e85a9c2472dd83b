//! Proven programs: accesses without checks do what the checked ones do, and only in the context they were proven for.

use std::sync::Arc;

use skep_spec::context::xdp;
use skep_spec::insn::{Insn, alu, class, jmp, size};
use skep_vm::packet::{PacketCtx, PacketKind};
use skep_vm::proof::{Access, FrameProof, InsnProof};
use skep_vm::{Ctx, FixedEnv, Image, Limits, Program, Proof, Trap, TrapCause};

const EXIT: Insn = Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0);

fn proven(image: Image, facts: &[(usize, InsnProof)], frames: Vec<FrameProof>) -> Arc<Program> {
    let mut insns = vec![InsnProof::default(); image.insns.len()];
    for (pc, fact) in facts {
        insns[*pc] = *fact;
    }
    // SAFETY: each test's facts are true of its program.
    unsafe {
        Program::proven(
            image,
            Proof {
                insns,
                frames,
                ..Proof::default()
            },
        )
    }
    .unwrap_or_else(|error| panic!("{error}"))
}

fn access(access: Access) -> InsnProof {
    InsnProof {
        access,
        ..InsnProof::default()
    }
}

fn run(program: &Program, ctx: &mut Ctx<'_>) -> Result<u64, Trap> {
    program.run(ctx, &FixedEnv::default(), &Limits::default())
}

/// Reads the packet's length and its byte 1, through the converted context.
fn packet_program() -> Arc<Program> {
    let image = Image {
        insns: vec![
            Insn::load(size::W, 2, 1, 0),
            Insn::load(size::W, 3, 1, 4),
            Insn::mov64_reg(0, 3),
            Insn::alu64_reg(alu::SUB, 0, 2),
            Insn::load(size::B, 4, 2, 1),
            Insn::alu64_imm(alu::LSH, 0, 8),
            Insn::alu64_reg(alu::OR, 0, 4),
            EXIT,
        ],
        layout: Some(&xdp::XDP),
        ..Image::default()
    };
    proven(
        image,
        &[
            (0, access(Access::Context { offset: 0 })),
            (1, access(Access::Context { offset: 4 })),
            (4, access(Access::Direct)),
        ],
        Vec::new(),
    )
}

#[test]
fn a_converted_context_is_read_where_its_fields_lie() {
    let mut packet = PacketCtx::new(&xdp::XDP, PacketKind::Xdp);
    packet.load(&[9, 7, 5]).expect("fits");
    let program = packet_program();
    assert!(program.is_proven());
    let value = run(&program, &mut Ctx::Packet(&mut packet)).expect("runs");
    assert_eq!(value, 3 << 8 | 7);
}

#[test]
fn a_proof_for_one_context_is_none_for_another() {
    let program = packet_program();
    let mut bytes = [0; 64];
    for ctx in [&mut Ctx::None, &mut Ctx::Flat(&mut bytes)] {
        let trap = run(&program, ctx).expect_err("does not run");
        assert!(matches!(trap.cause, TrapCause::Context(_)), "{trap}");
        assert!(trap.to_string().contains("xdp_md"), "{trap}");
    }
}

#[test]
fn plain_bytes_must_be_long_enough() {
    let image = Image {
        insns: vec![Insn::load(size::DW, 0, 1, 8), EXIT],
        ..Image::default()
    };
    let facts = [(0, access(Access::Context { offset: 8 }))];
    let program = proven(image, &facts, Vec::new());
    let mut bytes = [0; 16];
    bytes[8] = 3;
    assert_eq!(run(&program, &mut Ctx::Flat(&mut bytes)).expect("runs"), 3);
    let trap = run(&program, &mut Ctx::Flat(&mut bytes[..15])).expect_err("does not run");
    assert!(matches!(trap.cause, TrapCause::Context(_)), "{trap}");
}

#[test]
fn a_probe_of_nothing_reads_0() {
    let image = Image {
        insns: vec![
            Insn::mov64_imm(1, 0x1234),
            Insn::load(size::DW, 0, 1, 8),
            EXIT,
        ],
        ..Image::default()
    };
    let program = proven(image, &[(1, access(Access::Probe))], Vec::new());
    assert_eq!(run(&program, &mut Ctx::None).expect("runs"), 0);
}

#[test]
fn jumps_that_go_one_way_go_it() {
    let jump = Insn::new(class::JMP | jmp::JEQ, 1, 0, 1, 5);
    let insns = vec![jump, Insn::mov64_imm(0, 1), Insn::mov64_imm(0, 2), EXIT];
    let program = |next: bool, target: bool| {
        let image = Image {
            insns: insns.clone(),
            ..Image::default()
        };
        let fact = InsnProof {
            next,
            target,
            ..InsnProof::default()
        };
        let dead = InsnProof {
            reached: false,
            ..InsnProof::default()
        };
        let facts = if next {
            vec![(0, fact)]
        } else {
            vec![(0, fact), (1, dead)]
        };
        run(&proven(image, &facts, Vec::new()), &mut Ctx::None).expect("runs")
    };
    // Both end at instruction 2; only a jump may pass the dead one.
    assert_eq!(program(true, false), 2);
    assert_eq!(program(false, true), 2);
}

#[test]
fn a_frame_has_the_size_that_is_proven() {
    let image = Image {
        insns: vec![
            Insn::mov64_reg(2, 10),
            Insn::alu64_imm(alu::ADD, 2, -16),
            Insn::store_imm(size::DW, 2, 0, 6),
            Insn::load(size::DW, 0, 10, -16),
            EXIT,
        ],
        ..Image::default()
    };
    let frame = FrameProof {
        start: 0,
        bytes: 16,
        reads_unwritten: false,
    };
    let program = proven(image, &[(2, access(Access::Direct))], vec![frame]);
    assert_eq!(run(&program, &mut Ctx::None).expect("runs"), 6);
}
