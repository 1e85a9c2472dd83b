//! Widths over loads, arithmetic, branches, loops and calls.

use skep_spec::asm::assemble_insns;
use skep_spec::insn::Insn;
use skep_spec::program::ProgramType;

use super::{Width, Widths, of};
use crate::{Input, verify};

fn widths(text: &str) -> (Vec<Insn>, Widths) {
    let insns = assemble_insns(text).unwrap_or_else(|diagnostics| panic!("{diagnostics:?}"));
    let input = Input::new(ProgramType::Xdp, insns.clone());
    let verified = verify(&input).unwrap_or_else(|why| panic!("{why}"));
    let widths = of(&insns, &verified);
    (insns, widths)
}

#[test]
fn arithmetic_keeps_count_of_bits() {
    let (_, widths) = widths(
        "*(u64 *)(r10 - 8) = 77
         r2 = *(u8 *)(r10 - 8)
         r2 <<= 4
         r2 += 1
         r2 &= 255
         r2 *= r2
         r2 >>= 3
         r2 -= 1
         w2 = w2
         r0 = 0
         exit",
    );
    let bits: Vec<u8> = (2..9).map(|at| widths.dst(at).bits).collect();
    assert_eq!(bits, [8, 12, 13, 8, 16, 13, 64]);
    assert!(
        widths.dst(4).not_zero,
        "something plus one without overflow"
    );
    assert!(!widths.dst(5).not_zero);
    assert_eq!(widths.dst(9), Width::ANY, "r0 was not set");
}

#[test]
fn moves_that_change_nothing_are_known() {
    let (insns, widths) = widths(
        "call 7
         r6 = r0
         *(u64 *)(r10 - 8) = r0
         r2 = *(u32 *)(r10 - 8)
         w3 = w2
         r4 = r2
         r4 <<= 32
         r4 >>= 32
         r6 <<= 32
         r6 >>= 32
         w6 = w6
         r2 = *(u64 *)(r10 - 8)
         w2 = w2
         r0 = 0
         exit",
    );
    let known: Vec<usize> = (0..insns.len())
        .filter(|&at| widths.upper_zero(&insns, at))
        .collect();
    // Neither the pair of unknown numbers (9) nor the move of all 64 bits (12).
    assert_eq!(known, [4, 7, 10]);
}

#[test]
fn a_context_may_give_pointers_of_four_bytes() {
    let (insns, widths) = widths(
        "r2 = *(u32 *)(r1 + 0)
         r3 = r2
         r4 = *(u32 *)(r1 + 12)
         w4 = w4
         r0 = 0
         exit",
    );
    assert_eq!(widths.src(1), Width::ANY);
    assert!(!widths.upper_zero(&insns, 3));
}

#[test]
fn branches_teach_and_paths_join() {
    let (insns, widths) = widths(
        "r6 = *(u32 *)(r1 + 12)
         w6 = w6
         r7 = 100
         if r6 == 0 goto out
         r7 /= r6
         if r6 > 9 goto out
         r6 += 0
      out:
         r8 = r6
         r7 %= r8
         r0 = 0
         exit",
    );
    assert!(widths.divisor_not_zero(&insns, 4));
    assert_eq!(
        widths.dst(6),
        Width {
            bits: 4,
            not_zero: true
        }
    );
    assert_eq!(widths.src(7).bits, 32);
    assert!(!widths.divisor_not_zero(&insns, 8), "0 comes here too");
}

#[test]
fn a_jump_to_the_next_instruction_teaches_nothing() {
    let (_, widths) = widths("r6 = 7\nr7 = 3\nif r7 < r6 goto +0\nr0 = r6\nr0 = 0\nexit");
    assert_eq!(widths.src(3).bits, 3);
}

#[test]
fn loops_come_to_an_end() {
    let (_, widths) = widths(
        "r6 = 0
         r7 = 1
      head:
         r7 += r7
         r6 += 1
         if r6 < 20 goto head
         r8 = r6
         r8 = r7
         r0 = 0
         exit",
    );
    // The counter is bounded by the comparison where the loop goes on, not where it ends.
    assert_eq!(widths.dst(3).bits, 5);
    assert_eq!(widths.src(6), Width::ANY);
}

#[test]
fn calls_forget_what_they_may_change() {
    let (_, widths) = widths(
        "r6 = 3
         r1 = 5
         call callee
         r7 = r6
         r7 = r0
         r0 = 0
         exit
      callee:
         r6 = r1
         r0 = 0
         exit",
    );
    assert_eq!(
        widths.src(3),
        Width {
            bits: 2,
            not_zero: true
        }
    );
    assert_eq!(widths.src(4), Width::ANY);
    assert_eq!(widths.src(7), Width::ANY, "any caller may come");
}
