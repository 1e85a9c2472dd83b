//! The analysis on hand-written instructions: what it proves dead, and what it must not.

use super::reachable;
use skep_spec::insn::Insn;

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn {
        code,
        dst,
        src,
        off,
        imm,
    }
}

fn exit() -> Insn {
    insn(0x95, 0, 0, 0, 0)
}

/// `if (flag) <poison>` with `flag` in map 0.
fn guarded() -> Vec<Insn> {
    vec![
        insn(0x18, 1, 2, 0, 0),    // r1 = &map0[4]
        insn(0x00, 0, 0, 0, 4),    //
        insn(0x71, 1, 1, 0, 0),    // r1 = *(u8 *)(r1 + 0)
        insn(0x15, 1, 0, 1, 0),    // if r1 == 0 goto +1
        insn(0x85, 0, 0, 0, 0x1f), // the poisoned call
        insn(0xb7, 0, 0, 0, 0),    // r0 = 0
        exit(),
    ]
}

#[test]
fn a_false_flag_in_frozen_data_makes_its_branch_dead() {
    let marks = reachable(&guarded(), &|map, offset, width| {
        assert_eq!((map, offset, width), (0, 4, 1));
        Some(0)
    });
    assert_eq!(marks, [true, true, true, true, false, true, true]);
}

#[test]
fn a_true_flag_or_one_that_may_change_keeps_it() {
    assert!(reachable(&guarded(), &|_, _, _| Some(1))[4]);
    assert!(reachable(&guarded(), &|_, _, _| None)[4]);
}

#[test]
fn constants_that_differ_between_paths_are_not_constants() {
    // r2 = 1; if r1 == 0 goto +1; r2 = 2; if r2 == 2 goto +1; <x>; exit
    let program = [
        insn(0xb7, 2, 0, 0, 1),
        insn(0x15, 1, 0, 1, 0),
        insn(0xb7, 2, 0, 0, 2),
        insn(0x15, 2, 0, 1, 2),
        insn(0xb7, 0, 0, 0, 7),
        exit(),
    ];
    assert!(
        reachable(&program, &|_, _, _| None)
            .iter()
            .all(|&mark| mark)
    );
}

#[test]
fn narrow_compares_look_at_32_bits() {
    // r1 = -1 (64 bits); w1 == 0xffffffff holds, so the fall-through is dead.
    let program = [
        insn(0xb7, 1, 0, 0, -1),
        insn(0x16, 1, 0, 1, -1),
        insn(0x85, 0, 0, 0, 1),
        insn(0xb7, 0, 0, 0, 0),
        exit(),
    ];
    assert_eq!(
        reachable(&program, &|_, _, _| None),
        [true, true, false, true, true]
    );
}

#[test]
fn subprograms_are_entered_with_their_callers_arguments_joined() {
    // main: r1 = 0; call f; r1 = 0; call f; exit   f: if r1 == 0 goto +1; <dead>; exit
    let program = [
        insn(0xb7, 1, 0, 0, 0),
        insn(0x85, 0, 1, 0, 3),
        insn(0xb7, 1, 0, 0, 0),
        insn(0x85, 0, 1, 0, 1),
        exit(),
        insn(0x15, 1, 0, 1, 0),
        insn(0xb7, 0, 0, 0, 9),
        exit(),
    ];
    let marks = reachable(&program, &|_, _, _| None);
    assert!(!marks[6] && marks[5] && marks[7]);
}

#[test]
fn callbacks_count_as_entered_where_their_address_is_taken() {
    // r2 = func +3 ll; exit; f: exit
    let program = [insn(0x18, 2, 4, 0, 2), insn(0, 0, 0, 0, 0), exit(), exit()];
    assert_eq!(reachable(&program, &|_, _, _| None), [true; 4]);
}

#[test]
fn hostile_jumps_and_registers_do_not_panic() {
    let program = [insn(0x05, 0, 0, -9, 0), exit()];
    assert_eq!(reachable(&program, &|_, _, _| None), [true, false]);
    let program = [insn(0x07, 15, 0, 0, 1), insn(0x18, 0, 0, 0, 0)];
    assert_eq!(reachable(&program, &|_, _, _| None), [true, true]);
    assert!(reachable(&[], &|_, _, _| None).is_empty());
}

#[test]
fn offsets_beyond_all_numbers_are_no_place() {
    // r1 = &map0[0] + i64::MAX, then a load 4 behind it.
    let insns = [
        insn(0x18, 1, 2, 0, 0),
        insn(0x00, 0, 0, 0, 0),
        insn(0x18, 2, 0, 0, -1),
        insn(0x00, 0, 0, 0, i32::MAX),
        insn(0x0f, 1, 2, 0, 0),
        insn(0x71, 1, 1, 4, 0),
        exit(),
    ];
    let marks = reachable(&insns, &|_, _, _| panic!("no such place is asked for"));
    assert_eq!(marks, [true; 7]);
}

#[test]
fn the_time_grows_with_the_program() {
    // 200 000 conditional jumps back and forth over registers that change all the time.
    let mut insns = Vec::new();
    for at in 0..100_000 {
        insns.push(insn(0x07, (at % 10) as u8, 0, 0, at));
        insns.push(insn(0x15, 1, 0, if at > 3 { -5 } else { 0 }, at));
    }
    insns.push(exit());
    let start = std::time::Instant::now();
    assert!(reachable(&insns, &|_, _, _| None).iter().all(|&mark| mark));
    assert!(start.elapsed() < std::time::Duration::from_secs(20));
}
