//! Programs on packets: direct access, its limits, and the loads of classic BPF.

use skep_spec::context::{skb, xdp};
use skep_spec::insn::{Insn, alu, class, jmp, mode, size};
use skep_vm::packet::{PacketCtx, PacketKind};
use skep_vm::{Ctx, FixedEnv, Image, Limits, Program, Trap, TrapCause};

const EXIT: Insn = Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0);

fn run(packet: &mut PacketCtx, insns: &[Insn]) -> Result<u64, Trap> {
    let image = Image {
        insns: insns.to_vec(),
        layout: Some(packet.layout()),
        ..Image::default()
    };
    let program = Program::sandboxed(image).unwrap_or_else(|error| panic!("{error}"));
    program.run(
        &mut Ctx::Packet(packet),
        &FixedEnv::default(),
        &Limits::default(),
    )
}

fn skb_of(bytes: &[u8]) -> PacketCtx {
    let mut packet = PacketCtx::new(&skb::TC, PacketKind::Skb);
    packet.load(bytes).expect("fits");
    packet
}

fn xdp_of(bytes: &[u8]) -> PacketCtx {
    let mut packet = PacketCtx::new(&xdp::XDP, PacketKind::Xdp);
    packet.load(bytes).expect("fits");
    packet
}

#[test]
fn packets_are_read_and_written_in_place() {
    let mut packet = xdp_of(&(0..34).collect::<Vec<u8>>());
    let insns = [
        // data and data_end are 32 bits wide in the context, and whole pointers in the registers.
        Insn::load(size::W, 2, 1, 0),
        Insn::load(size::W, 3, 1, 4),
        Insn::load(size::H, 4, 2, 12),
        Insn::store_imm(size::B, 2, 33, 0x7f),
        Insn::mov64_reg(0, 3),
        Insn::alu64_reg(alu::SUB, 0, 2),
        Insn::alu64_imm(alu::LSH, 0, 16),
        Insn::alu64_reg(alu::OR, 0, 4),
        EXIT,
    ];
    assert_eq!(
        run(&mut packet, &insns).expect("runs"),
        34 << 16 | u64::from(u16::from_ne_bytes([12, 13]))
    );
    assert_eq!(packet.bytes()[33], 0x7f);
}

#[test]
fn a_packet_ends_where_it_ends() {
    let mut packet = xdp_of(&[7; 34]);
    let trap = run(
        &mut packet,
        &[
            Insn::load(size::W, 2, 1, 0),
            Insn::load(size::W, 0, 2, 34),
            EXIT,
        ],
    )
    .expect_err("traps");
    assert!(
        trap.to_string()
            .contains("4 bytes at packet+34, packet ends at 34"),
        "{trap}"
    );
    let trap = run(
        &mut packet,
        &[
            Insn::load(size::W, 2, 1, 0),
            Insn::load(size::W, 0, 2, 31),
            EXIT,
        ],
    )
    .expect_err("traps");
    assert!(matches!(
        trap.cause,
        TrapCause::BadAccess {
            len: 4,
            write: false,
            ..
        }
    ));
    let trap = run(
        &mut packet,
        &[
            Insn::load(size::W, 2, 1, 0),
            Insn::store_imm(size::B, 2, -1, 0),
            EXIT,
        ],
    )
    .expect_err("traps");
    assert_eq!(trap.pc, 1);
}

#[test]
fn a_moved_edge_moves_what_may_be_touched() {
    let mut packet = xdp_of(&[7; 64]);
    // Reads the last byte, cuts 10 bytes off the end, reads the same byte again.
    let insns = [
        Insn::mov64_reg(6, 1),
        Insn::load(size::W, 7, 1, 0),
        Insn::load(size::B, 0, 7, 63),
        Insn::mov64_imm(2, -10),
        Insn::call_helper(65),
        Insn::load(size::B, 0, 7, 53),
        Insn::load(size::B, 0, 7, 63),
        EXIT,
    ];
    let trap = run(&mut packet, &insns).expect_err("traps");
    assert_eq!(trap.pc, 6);
    assert!(
        trap.to_string().contains("packet+63, packet ends at 54"),
        "{trap}"
    );
}

fn classic(mode: u8, size: u8, src: u8, imm: i32) -> [Insn; 4] {
    [
        Insn::mov64_reg(6, 1),
        Insn::mov64_imm(3, 2),
        Insn::new(class::LD | mode | size, 0, src, 0, imm),
        EXIT,
    ]
}

#[test]
fn classic_loads_are_big_endian_and_end_the_program_outside() {
    let mut packet = skb_of(&(0..60).collect::<Vec<u8>>());
    packet.skb.network_offset = 14;
    let mut at =
        |mode, size, src, imm| run(&mut packet, &classic(mode, size, src, imm)).expect("runs");
    assert_eq!(at(mode::ABS, size::B, 0, 9), 9);
    assert_eq!(at(mode::ABS, size::H, 0, 12), 0x0c0d);
    assert_eq!(at(mode::ABS, size::W, 0, 56), 0x3839_3a3b);
    assert_eq!(at(mode::IND, size::W, 3, 4), 0x0607_0809);
    // From the network header, and from the link header.
    assert_eq!(at(mode::ABS, size::B, 0, -0x10_0000 + 9), 14 + 9);
    assert_eq!(at(mode::ABS, size::H, 0, -0x20_0000 + 12), 0x0c0d);
    assert_eq!(at(mode::ABS, size::B, 0, 60), 0);
    assert_eq!(at(mode::ABS, size::W, 0, 57), 0);
    assert_eq!(at(mode::ABS, size::B, 0, -1), 0);
    assert_eq!(at(mode::ABS, size::B, 0, i32::MIN), 0);
    assert_eq!(at(mode::IND, size::B, 3, i32::MAX), 0);
}

#[test]
fn classic_loads_end_the_program_at_once() {
    let mut packet = skb_of(&[1; 20]);
    let mut insns = classic(mode::ABS, size::B, 0, 20).to_vec();
    insns.insert(3, Insn::mov64_imm(0, 5));
    assert_eq!(run(&mut packet, &insns).expect("runs"), 0);
    insns[2].imm = 19;
    assert_eq!(run(&mut packet, &insns).expect("runs"), 5);
    insns[0] = Insn::mov64_imm(6, 0);
    assert!(matches!(
        run(&mut packet, &insns).expect_err("traps").cause,
        TrapCause::BadArgument { .. }
    ));
}
