//! The three texts side by side, and llvm-objdump's to the character.

use super::*;

fn texts(insn: Insn, next: Option<Insn>) -> [String; 3] {
    [Style::Asm, Style::Llvm, Style::Kernel].map(|style| super::insn(&insn, next.as_ref(), style))
}

#[test]
fn the_three_styles_side_by_side() {
    use crate::insn::{alu, atomic, jmp, size};
    for (insn, asm, llvm, kernel) in [
        (
            Insn::mov64_imm(0, -7),
            "r0 = -0x7",
            "r0 = -0x7",
            "(b7) r0 = -7",
        ),
        (
            Insn::alu32_reg(alu::ADD, 1, 2),
            "w1 += w2",
            "w1 += w2",
            "(0c) w1 += w2",
        ),
        (
            Insn::load(size::W, 1, 2, -4),
            "r1 = *(u32 *)(r2 - 0x4)",
            "r1 = *(u32 *)(r2 - 0x4)",
            "(61) r1 = *(u32 *)(r2 -4)",
        ),
        (Insn::ja(-2), "goto -0x2", "goto -0x2", "(05) goto pc-2"),
        (
            Insn::jmp64_imm(jmp::JEQ, 1, -7, 5),
            "if r1 == -0x7 goto +0x5",
            "if r1 == -0x7 goto +0x5",
            "(15) if r1 == 0xfffffff9 goto pc+5",
        ),
        (
            Insn::call_helper(5),
            "call bpf_ktime_get_ns",
            "call 0x5",
            "(85) call bpf_ktime_get_ns#5",
        ),
        (
            Insn::call_helper(9999),
            "call 9999",
            "call 0x270f",
            "(85) call unknown#9999",
        ),
        (
            Insn::call_local(-1),
            "call pc-1",
            "call -0x1",
            "(85) call pc-1",
        ),
        (
            Insn::new(0x85, 0, 2, 0, 7),
            "call kfunc 7",
            "call 0x7",
            "(85) call kernel-function#7",
        ),
        (
            Insn::atomic(size::W, atomic::CMPXCHG, 1, 8, 2),
            "w0 = cmpxchg32_32(r1 + 0x8, w0, w2)",
            "w0 = cmpxchg32_32(r1 + 0x8, w0, w2)",
            "(c3) r0 = atomic_cmpxchg((u32 *)(r1 +8), r0, r2)",
        ),
        (
            Insn::atomic(size::DW, atomic::ADD | atomic::FETCH, 1, 8, 2),
            "r2 = atomic_fetch_add((u64 *)(r1 + 0x8), r2)",
            "r2 = atomic_fetch_add((u64 *)(r1 + 0x8), r2)",
            "(db) r2 = atomic64_fetch_add((u64 *)(r1 +8), r2)",
        ),
        (
            Insn::new(0x40, 0, 2, 0, 16),
            "r0 = *(u32 *)skb[r2 + 0x10]",
            "r0 = *(u32 *)skb[r2]",
            "(40) r0 = *(u32 *)skb[r2 + 16]",
        ),
        (
            Insn::new(0xbf, 1, 2, 1, 0x10_0002),
            "r1 = addr_space_cast(r2, 0x10, 0x2)",
            "r1 = addr_space_cast(r2, 0x10, 0x2)",
            "(bf) r1 = addr_space_cast(r2, 16, 2)",
        ),
        (Insn::exit(), "exit", "exit", "(95) exit"),
    ] {
        assert_eq!(texts(insn, None), [asm, llvm, kernel]);
    }
}

#[test]
fn wide_loads() {
    for (src, imm, next, asm, llvm, kernel) in [
        (
            0,
            0x1122_3344,
            0x55,
            "r1 = 0x5511223344 ll",
            "r1 = 0x5511223344 ll",
            "(18) r1 = 0x5511223344",
        ),
        (
            0,
            -1,
            -1,
            "r1 = -0x1 ll",
            "r1 = -0x1 ll",
            "(18) r1 = 0xffffffffffffffff",
        ),
        (
            1,
            5,
            0,
            "r1 = map_fd 0x5 ll",
            "ld_pseudo\tr1, 0x1, 0x5",
            "(18) r1 = 0x5",
        ),
        (
            2,
            5,
            8,
            "r1 = map_fd_value 0x5 + 0x8 ll",
            "ld_pseudo\tr1, 0x2, 0x5",
            "(18) r1 = 0x800000005",
        ),
        (
            3,
            9,
            0,
            "r1 = btf_id 0x9 ll",
            "ld_pseudo\tr1, 0x3, 0x9",
            "(18) r1 = 0x9",
        ),
        (
            4,
            -3,
            0,
            "r1 = func pc-3 ll",
            "ld_pseudo\tr1, 0x4, 0xfffffffd",
            "(18) r1 = 0xfffffffd",
        ),
        (
            5,
            1,
            0,
            "r1 = map_idx 0x1 ll",
            "ld_pseudo\tr1, 0x5, 0x1",
            "(18) r1 = 0x1",
        ),
        (
            6,
            1,
            -2,
            "r1 = map_idx_value 0x1 - 0x2 ll",
            "ld_pseudo\tr1, 0x6, 0x1",
            "(18) r1 = 0xfffffffe00000001",
        ),
    ] {
        let [first, second] = Insn::ld_imm64_pseudo(1, src, imm, next);
        assert_eq!(texts(first, Some(second)), [asm, llvm, kernel]);
    }
}

#[test]
fn what_is_no_instruction_stays_a_slot() {
    let insn = Insn::new(0x8f, 1, 2, 3, 4);
    assert_eq!(
        texts(insn, None),
        [".slot 0x000000040003218f", "<unknown>", "(8f) BUG_8f"]
    );
    let unused = Insn {
        off: 3,
        ..Insn::exit()
    };
    assert_eq!(texts(unused, None)[0], ".slot 0x0000000000030095");
    let [first, second] = Insn::ld_imm64(1, 2);
    assert_eq!(
        super::insn(&first, None, Style::Asm),
        ".slot 0x0000000200000118"
    );
    let broken = Insn { off: 1, ..second };
    let all = lines(&[first, broken, Insn::exit()], Style::Asm);
    assert_eq!(all.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(all[0].1.starts_with(".slot") && all[1].1.starts_with(".slot"));
}

/// Code bytes, a tab, the text.
#[test]
fn llvm_objdumps_text_to_the_character() {
    let data = include_str!("../../tests/data/llvm-objdump.txt");
    let mut count = 0;
    for line in data.lines().filter(|line| !line.starts_with('#')) {
        let (bytes, text) = line.split_once('\t').unwrap();
        let bytes: Vec<u8> = bytes
            .split(' ')
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        let insns: Vec<Insn> = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|slot| Insn::from_bytes(slot, Endian::Little))
            .collect();
        assert_eq!(
            super::insn(&insns[0], insns.get(1), Style::Llvm),
            text,
            "{line}"
        );
        count += 1;
    }
    assert!(count > 300, "{count}");
}
