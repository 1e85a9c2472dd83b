//! Bytes in both orders.

use super::*;

#[test]
fn both_byte_orders() {
    let insn = Insn::new(0x7b, 10, 1, -8, 0);
    assert_eq!(
        insn.to_bytes(Endian::Little),
        [0x7b, 0x1a, 0xf8, 0xff, 0, 0, 0, 0]
    );
    assert_eq!(
        insn.to_bytes(Endian::Big),
        [0x7b, 0xa1, 0xff, 0xf8, 0, 0, 0, 0]
    );
    for endian in [Endian::Little, Endian::Big] {
        assert_eq!(Insn::from_bytes(&insn.to_bytes(endian), endian), insn);
    }
}

#[test]
fn every_byte_pattern_survives() {
    let mut bytes = [0u8; 8];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..10_000 {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        bytes = (state ^ u64::from_le_bytes(bytes)).to_le_bytes();
        for endian in [Endian::Little, Endian::Big] {
            assert_eq!(Insn::from_bytes(&bytes, endian).to_bytes(endian), bytes);
        }
    }
}

#[test]
fn wide_loads_are_never_cut() {
    let wide = encode_all(&Insn::ld_imm64(1, 0x1122_3344_5566_7788), Endian::Little);
    let insns = decode_all(&wide, Endian::Little).unwrap();
    assert_eq!(insns[0].imm64(insns[1]), 0x1122_3344_5566_7788);
    assert_eq!(
        decode_all(&wide[..8], Endian::Little).unwrap_err().offset,
        0
    );
    assert_eq!(
        decode_all(&wide[..12], Endian::Little).unwrap_err().offset,
        8
    );
    let mut broken = wide.clone();
    broken[8] = 0x95;
    assert_eq!(decode_all(&broken, Endian::Little).unwrap_err().offset, 8);
    assert_eq!(
        decode_all(&wide[..3], Endian::Little)
            .unwrap_err()
            .to_string(),
        "instructions at offset 0x0: 3 bytes are left, an instruction takes 8"
    );
}

#[test]
fn jumps_know_their_offset() {
    assert_eq!(Insn::ja(-3).jump_offset(), Some(-3));
    assert_eq!(
        Insn::new(class::JMP32 | jmp::JA, 0, 0, 0, 70000).jump_offset(),
        Some(70000)
    );
    assert_eq!(Insn::jmp64_imm(jmp::JEQ, 1, 5, 4).jump_offset(), Some(4));
    assert_eq!(Insn::exit().jump_offset(), None);
    assert_eq!(Insn::call_helper(1).jump_offset(), None);
    assert_eq!(Insn::mov64_imm(1, 1).jump_offset(), None);
}
