use skep_spec::insn::{Insn, alu, size};
use skep_spec::map::MapType;
use skep_spec::program::ProgramType;

use crate::input::{Input, MapInfo};

const W: u8 = size::W;
const DW: u8 = size::DW;
const B: u8 = size::B;

/// The kernel's last line about that program, or nothing if it is accepted.
fn verdict(program: ProgramType, insns: &[Insn]) -> String {
    verdict_of(&input(program, insns))
}

fn verdict_of(input: &Input) -> String {
    match crate::verify(input) {
        Ok(_) => String::new(),
        Err(rejection) => rejection.fault.lines.join("; "),
    }
}

fn input(program: ProgramType, insns: &[Insn]) -> Input {
    let mut input = Input::new(program, insns.to_vec());
    input.maps.push(MapInfo {
        name: "values".into(),
        map_type: MapType::Array,
        key_size: 4,
        value_size: 48,
        max_entries: 1,
        flags: 0,
        map_extra: 0,
        key_type: None,
        value_type: None,
        inner: None,
        frozen: None,
        user_address: 0,
    });
    input
}

/// r1 = the address of the map's value.
fn value() -> [Insn; 2] {
    Insn::ld_imm64_pseudo(1, 2, 0, 0)
}

fn program(parts: &[&[Insn]]) -> Vec<Insn> {
    let mut insns = parts.concat();
    insns.push(Insn::mov64_imm(0, 0));
    insns.push(Insn::exit());
    insns
}

#[test]
fn spills_keep_pointers_and_numbers() {
    let ok = program(&[&[
        Insn::store_reg(DW, 10, -8, 1),
        Insn::load(DW, 2, 10, -8),
        Insn::load(W, 3, 2, 0),
    ]]);
    assert_eq!(verdict(ProgramType::SocketFilter, &ok), "");
    let narrow = program(&[&[Insn::store_reg(W, 10, -8, 1)]]);
    assert_eq!(
        verdict(ProgramType::SocketFilter, &narrow),
        "invalid size of register spill"
    );
    let fill = program(&[&[Insn::store_reg(DW, 10, -8, 1), Insn::load(W, 2, 10, -8)]]);
    assert_eq!(
        verdict(ProgramType::SocketFilter, &fill),
        "invalid size of register fill"
    );
    let outside = program(&[&[Insn::store_imm(DW, 10, 8, 0)]]);
    assert_eq!(
        verdict(ProgramType::SocketFilter, &outside),
        "invalid write to stack R10 off=8 size=8"
    );
    let misaligned = program(&[&[Insn::store_imm(W, 10, -6, 0)]]);
    assert_eq!(
        verdict(ProgramType::SocketFilter, &misaligned),
        "misaligned stack access off 0+0+-6 size 4"
    );
}

#[test]
fn map_values_have_ends() {
    let at = |off| program(&[&value(), &[Insn::load(DW, 2, 1, off)]]);
    assert_eq!(verdict(ProgramType::SocketFilter, &at(40)), "");
    assert_eq!(
        verdict(ProgramType::SocketFilter, &at(44)),
        "invalid access to map value, value_size=48 off=44 size=8; R1 min value is outside of the allowed memory range"
    );
    let unbounded = program(&[
        &[Insn::load(W, 6, 1, 0)],
        &value(),
        &[Insn::alu64_reg(alu::ADD, 1, 6), Insn::load(B, 2, 1, 0)],
    ]);
    assert_eq!(
        verdict(ProgramType::SocketFilter, &unbounded),
        "R1 unbounded memory access, make sure to bounds check any such access"
    );
}

#[test]
fn contents_that_never_change_are_numbers() {
    let insns = program(&[
        &value(),
        &[
            Insn::load(W, 2, 1, 4),
            Insn::mov64_reg(3, 10),
            Insn::alu64_reg(alu::SUB, 3, 2),
        ],
        &value(),
        &[Insn::alu64_reg(alu::ADD, 1, 2), Insn::load(DW, 4, 1, 0)],
    ]);
    let mut input = input(ProgramType::SocketFilter, &insns);
    assert!(verdict_of(&input).starts_with("R3 subtraction from stack pointer"));
    input.insns[3] = Insn::mov64_imm(3, 0);
    input.insns[4] = Insn::mov64_imm(3, 0);
    assert!(verdict_of(&input).starts_with("R1 unbounded memory access"));
    let mut bytes = [0; 48];
    bytes[4] = 40;
    input.maps[0].frozen = Some(bytes.into());
    input.maps[0].flags = skep_spec::map::flags::RDONLY_PROG;
    assert_eq!(verdict_of(&input), "");
    input.maps[0].frozen = Some([0xff; 48].into());
    assert_eq!(
        verdict_of(&input),
        "math between map_value pointer and 4294967295 is not allowed"
    );
}

#[test]
fn contexts_are_read_unmodified() {
    let moved = program(&[&[Insn::alu64_imm(alu::ADD, 1, 8), Insn::load(W, 2, 1, 0)]]);
    assert_eq!(
        verdict(ProgramType::SocketFilter, &moved),
        "dereference of modified ctx ptr R1 off=8 disallowed"
    );
    let outside = program(&[&[Insn::load(W, 2, 1, 4000)]]);
    assert_eq!(
        verdict(ProgramType::SocketFilter, &outside),
        "invalid bpf_context access off=4000 size=4"
    );
}

#[test]
fn pointers_take_few_operators() {
    let of = |insn| program(&[&value(), &[insn]]);
    assert_eq!(
        verdict(ProgramType::Xdp, &of(Insn::alu64_imm(alu::AND, 1, 8))),
        "R1 bitwise operator &= on pointer prohibited"
    );
    assert_eq!(
        verdict(ProgramType::Xdp, &of(Insn::alu64_imm(alu::MUL, 1, 8))),
        "R1 pointer arithmetic with *= operator prohibited"
    );
    assert_eq!(
        verdict(ProgramType::Xdp, &of(Insn::alu32_imm(alu::ADD, 1, 8))),
        "R1 32-bit pointer arithmetic prohibited"
    );
    assert_eq!(
        verdict(ProgramType::Xdp, &of(Insn::alu64_imm(alu::ADD, 1, 1 << 29))),
        "math between map_value pointer and 536870912 is not allowed"
    );
}

#[test]
fn atomics_need_plain_memory() {
    let ctx = program(&[&[Insn::mov64_imm(2, 1), Insn::atomic(W, 0, 1, 0, 2)]]);
    assert_eq!(
        verdict(ProgramType::SocketFilter, &ctx),
        "BPF_ATOMIC stores into R1 ctx is not allowed"
    );
    let uninit = program(&[&value(), &[Insn::atomic(W, 0, 1, 0, 2)]]);
    assert_eq!(verdict(ProgramType::SocketFilter, &uninit), "R2 !read_ok");
}
