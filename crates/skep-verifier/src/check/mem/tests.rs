//! Memory accesses through each kind of pointer, with the kernel's wording.

mod typed;

use skep_spec::insn::{Insn, alu, jmp, size};
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
    for op in [0, 0x01, 0xe1, 0xf1, 0x100, 0x110] {
        for (dst, src) in [(15, 1), (1, 15)] {
            let unknown = program(&[&[Insn::atomic(W, op, dst, 0, src)]]);
            assert_eq!(
                verdict(ProgramType::SocketFilter, &unknown),
                "R15 is invalid",
                "{op:#x}"
            );
        }
    }
    // The register that gets the old value is lost before the access.
    let same = program(&[&[
        Insn::mov64_reg(1, 10),
        Insn::store_imm(DW, 10, -8, 0),
        Insn::atomic(DW, 0x01, 1, -8, 1),
    ]]);
    assert_eq!(
        verdict(ProgramType::SocketFilter, &same),
        "misaligned access off (0x0; 0xffffffffffffffff)+0+-8 size 8"
    );
    let uninit = program(&[&value(), &[Insn::atomic(W, 0, 1, 0, 2)]]);
    assert_eq!(verdict(ProgramType::SocketFilter, &uninit), "R2 !read_ok");
}

/// r0 = bpf_map_lookup_elem(values, &0)
fn lookup() -> Vec<Insn> {
    let [low, high] = Insn::ld_imm64_pseudo(1, 1, 0, 0);
    vec![
        Insn::store_imm(W, 10, -4, 0),
        Insn::mov64_reg(2, 10),
        Insn::alu64_imm(alu::ADD, 2, -4),
        low,
        high,
        Insn::call_helper(1),
    ]
}

// CVE-2022-23222: what was added before the check is still there after it.
#[test]
fn nothing_is_added_to_what_may_be_null() {
    let mut map = input(ProgramType::SocketFilter, &[]);
    map.maps[0].map_type = MapType::Hash;
    map.insns = program(&[&lookup(), &[Insn::alu64_imm(alu::ADD, 0, 8)]]);
    assert_eq!(
        verdict_of(&map),
        "R0 pointer arithmetic on map_value_or_null prohibited, null-check it first"
    );
    map.insns = program(&[&lookup(), &[Insn::load(W, 1, 0, 0)]]);
    assert_eq!(
        verdict_of(&map),
        "R0 invalid mem access 'map_value_or_null'"
    );
    map.insns = program(&[
        &lookup(),
        &[
            Insn::jmp64_imm(jmp::JEQ, 0, 0, 2),
            Insn::alu64_imm(alu::ADD, 0, 8),
            Insn::load(W, 1, 0, 36),
        ],
    ]);
    assert_eq!(verdict_of(&map), "");
}

// CVE-2024-26589: the range check of flow keys knows only fixed offsets.
#[test]
fn flow_keys_take_no_variable_offset() {
    let moved = |second| {
        program(&[&[
            Insn::load(DW, 2, 1, 144),
            Insn::load(B, 3, 2, 0),
            second,
            Insn::load(B, 4, 2, 0),
        ]])
    };
    assert_eq!(
        verdict(
            ProgramType::FlowDissector,
            &moved(Insn::alu64_imm(alu::ADD, 2, 55))
        ),
        ""
    );
    assert_eq!(
        verdict(
            ProgramType::FlowDissector,
            &moved(Insn::alu64_imm(alu::ADD, 2, 56))
        ),
        "invalid access to flow keys off=56 size=1"
    );
    assert_eq!(
        verdict(
            ProgramType::FlowDissector,
            &moved(Insn::alu64_reg(alu::ADD, 2, 3))
        ),
        "R2 pointer arithmetic on flow_keys prohibited"
    );
}

// CVE-2024-47702: half a pointer, sign-extended, is no pointer.
#[test]
fn packet_pointers_are_not_sign_extended() {
    let load = |code| {
        program(&[&[Insn {
            code,
            ..Insn::load(W, 2, 1, 76)
        }]])
    };
    assert_eq!(verdict(ProgramType::SchedCls, &load(0x61)), "");
    assert_eq!(
        verdict(ProgramType::SchedCls, &load(0x81)),
        "invalid bpf_context access off=76 size=4"
    );
}

// CVE-2023-52676: offsets of the stack are summed without overflow.
#[test]
fn stack_offsets_stay_small() {
    let by = |amount: i32| {
        program(&[&[
            Insn::load(W, 2, 1, 0),
            Insn::alu64_imm(alu::AND, 2, amount),
            Insn::mov64_reg(3, 10),
            Insn::alu64_reg(alu::ADD, 3, 2),
            Insn::load(B, 4, 3, -512),
        ]])
    };
    assert_eq!(verdict(ProgramType::SocketFilter, &by(511)), "");
    assert_eq!(
        verdict(ProgramType::SocketFilter, &by(512)),
        "invalid variable-offset read from stack R3 var_off=(0x0; 0x200) off=-512 size=1"
    );
    assert_eq!(
        verdict(ProgramType::SocketFilter, &by(0x7fff_ffff)),
        "invalid unbounded variable-offset read from stack R3"
    );
}

// CVE-2023-52452: which bytes a store reaches is not known, so none of them counts as written for everybody.
#[test]
fn a_store_to_somewhere_initialises_nothing_for_everybody() {
    let insns = program(&[&[
        Insn::load(W, 2, 1, 0),
        Insn::alu64_imm(alu::AND, 2, 8),
        Insn::mov64_reg(3, 10),
        Insn::alu64_imm(alu::ADD, 3, -16),
        Insn::alu64_reg(alu::ADD, 3, 2),
        Insn::store_imm(DW, 3, 0, 1),
        Insn::load(DW, 4, 10, -8),
    ]]);
    let mut input = input(ProgramType::SocketFilter, &insns);
    assert_eq!(verdict_of(&input), "");
    input.caps.perfmon = false;
    input.caps.sys_admin = false;
    assert!(
        verdict_of(&input).contains("variable stack access prohibited for !root"),
        "{}",
        verdict_of(&input)
    );
}

// A partly overwritten spill is no register any more.
#[test]
fn half_a_pointer_is_a_number() {
    let insns = program(&[&[
        Insn::store_reg(DW, 10, -8, 1),
        Insn::store_imm(W, 10, -8, 0),
        Insn::load(DW, 2, 10, -8),
        Insn::load(W, 3, 2, 0),
    ]]);
    assert_eq!(
        verdict(ProgramType::SocketFilter, &insns),
        "R2 invalid mem access 'scalar'"
    );
}

#[test]
fn packets_are_as_long_as_was_checked() {
    let checked = |bytes, at| {
        let mut insns = vec![
            Insn::load(W, 2, 1, 0),
            Insn::load(W, 3, 1, 4),
            Insn::mov64_reg(4, 2),
            Insn::alu64_imm(alu::ADD, 4, bytes),
            Insn::jmp64_reg(jmp::JGT, 4, 3, 1),
            Insn::load(W, 5, 2, at),
        ];
        insns.push(Insn::mov64_imm(0, 0));
        insns.push(Insn::exit());
        insns
    };
    assert_eq!(verdict(ProgramType::Xdp, &checked(8, 4)), "");
    assert_eq!(
        verdict(ProgramType::Xdp, &checked(8, 5)),
        "invalid access to packet, off=5 size=4, R2(id=0,off=5,r=8); R2 offset is outside of the packet"
    );
    let mut strict = input(ProgramType::Xdp, &checked(8, 4));
    strict.flags |= skep_spec::program::flags::STRICT_ALIGNMENT;
    assert_eq!(
        verdict_of(&strict),
        "misaligned packet access off 2+0+0+4 size 4"
    );
}

#[test]
fn an_instruction_follows_one_kind_of_pointer() {
    // Either the context or a map's value, by the context's first field.
    let [low, high] = Insn::ld_imm64_pseudo(6, 2, 0, 0);
    let insns = program(&[&[
        Insn::mov64_reg(6, 1),
        Insn::load(W, 2, 1, 0),
        Insn::jmp64_imm(jmp::JEQ, 2, 0, 2),
        low,
        high,
        Insn::load(W, 3, 6, 0),
    ]]);
    assert_eq!(
        verdict(ProgramType::SocketFilter, &insns),
        "same insn cannot be used with different pointers"
    );
}

// A store that may reach half of a spilled register leaves none of it.
#[test]
fn a_store_to_somewhere_spoils_whole_spills() {
    let of = |last| {
        program(&[&[
            Insn::load(W, 6, 1, 0),
            Insn::alu64_imm(alu::AND, 6, 4),
            Insn::store_reg(DW, 10, -16, 1),
            Insn::store_reg(DW, 10, -8, 1),
            Insn::mov64_reg(3, 10),
            Insn::alu64_imm(alu::ADD, 3, -12),
            Insn::alu64_reg(alu::ADD, 3, 6),
            Insn::store_imm(W, 3, 0, 0),
            last,
            Insn::alu64_imm(alu::RSH, 5, 1),
        ]])
    };
    assert_eq!(
        verdict(ProgramType::SocketFilter, &of(Insn::load(DW, 5, 10, -8))),
        ""
    );
    assert_eq!(
        verdict(ProgramType::SocketFilter, &of(Insn::load(W, 5, 10, -4))),
        ""
    );
}
