//! Control flow of small programs: what is reached, where states are kept, which jumps go back.

use skep_spec::insn::Insn;

use super::live::LiveRegisters;
use super::scc::Loops;
use super::*;
use crate::structure::Subprograms;

fn cfg(insns: &[Insn], call: &mut dyn FnMut(usize, Insn) -> CallEffects) -> Cfg {
    let subs = Subprograms::find(insns, true, None, |_, _| Ok(())).unwrap();
    Cfg::walk(insns, &subs, BackEdges::Allowed, call).unwrap()
}

fn marked(cfg: &Cfg, slots: usize, mark: Mark) -> Vec<usize> {
    (0..slots)
        .filter(|&slot| cfg.marks(slot).has(mark))
        .collect()
}

/// r0 = 0; if r0 == 1 goto 4; r0 = 2; goto 5; r0 = 3; exit
fn diamond() -> Vec<Insn> {
    vec![
        Insn::mov64_imm(0, 0),
        Insn::jmp64_imm(0x10, 0, 1, 2),
        Insn::mov64_imm(0, 2),
        Insn::ja(1),
        Insn::mov64_imm(0, 3),
        Insn::exit(),
    ]
}

#[test]
fn branches_and_their_targets_are_marked() {
    let found = cfg(&diamond(), &mut |_, _| CallEffects::default());
    assert_eq!(marked(&found, 6, Mark::PRUNE), [1, 4, 5]);
    assert_eq!(marked(&found, 6, Mark::JUMP), [4, 5]);
    assert!(marked(&found, 6, Mark::CHECKPOINT).is_empty());
}

#[test]
fn summaries_come_up_through_calls() {
    // main calls f, f calls a helper that sleeps
    let insns = [
        Insn::call_local(1),
        Insn::exit(),
        Insn::call_helper(7),
        Insn::exit(),
    ];
    let found = cfg(&insns, &mut |_, insn| CallEffects {
        might_sleep: insn.imm == 7,
        ..CallEffects::default()
    });
    for subprogram in 0..2 {
        assert!(found.summary(subprogram).might_sleep);
        assert!(!found.summary(subprogram).changes_pkt_data);
    }
    assert_eq!(marked(&found, 4, Mark::PRUNE), [0, 1, 2, 3]);
    assert_eq!(marked(&found, 4, Mark::JUMP), [1, 2, 3]);
}

#[test]
fn back_edges_are_for_the_privileged() {
    let insns = [
        Insn::mov64_imm(0, 0),
        Insn::jmp64_imm(0x10, 0, 1, -2),
        Insn::exit(),
    ];
    let subs = Subprograms::find(&insns, true, None, |_, _| Ok(())).unwrap();
    let mut call = |_: usize, _: Insn| CallEffects::default();
    assert!(Cfg::walk(&insns, &subs, BackEdges::Allowed, &mut call).is_ok());
    let fault = Cfg::walk(&insns, &subs, BackEdges::Refused, &mut call).unwrap_err();
    assert_eq!(fault.lines, ["back-edge from insn 1 to 0"]);
}

#[test]
fn before_6_7_only_jumps_close_loops() {
    let walk = |insns: &[Insn], back_edges| {
        let subs = Subprograms::find(insns, true, None, |_, _| Ok(())).unwrap();
        Cfg::walk(insns, &subs, back_edges, &mut |_, _| CallEffects::default()).map(|_| ())
    };
    // Into the loop at its end: the walk comes to 3 over the jump at 2 and falls into 3 again from 2's other side.
    let falls = [
        Insn::mov64_imm(0, 0),
        Insn::ja(1),
        Insn::alu64_imm(0, 0, 1),
        Insn::jmp64_imm(0xa0, 0, 4, -2),
        Insn::exit(),
    ];
    assert!(walk(&falls, BackEdges::Allowed).is_ok());
    let fault = walk(&falls, BackEdges::ByJumps).unwrap_err();
    assert_eq!(fault.lines, ["back-edge from insn 2 to 3"]);
    let jumps = [
        Insn::mov64_imm(0, 0),
        Insn::jmp64_imm(0x10, 0, 1, -2),
        Insn::exit(),
    ];
    assert!(walk(&jumps, BackEdges::ByJumps).is_ok());
    let recursion = [
        Insn::call_local(1),
        Insn::exit(),
        Insn::call_local(-1),
        Insn::exit(),
    ];
    assert!(walk(&recursion, BackEdges::Allowed).is_ok());
    let fault = walk(&recursion, BackEdges::ByJumps).unwrap_err();
    assert_eq!(fault.lines, ["back-edge from insn 2 to 2"]);
}

#[test]
fn loops_are_components() {
    let insns = [
        Insn::mov64_imm(0, 0),
        Insn::alu64_imm(0, 0, 1),
        Insn::jmp64_imm(0xa0, 0, 9, -2),
        Insn::jmp64_imm(0xa0, 0, 9, -1),
        Insn::exit(),
    ];
    let loops = Loops::find(&insns);
    assert_eq!(loops.count(), 2);
    assert_eq!(loops.of(0), 0);
    assert_eq!(loops.of(1), loops.of(2));
    assert!(loops.of(3) != 0 && loops.of(3) != loops.of(1));
    assert_eq!(loops.of(4), 0);
}

#[test]
fn registers_live_until_their_last_use() {
    // if r1 > r2 goto +1; r0 = r3; r4 = r0; exit with r0
    let insns = [
        Insn::mov64_imm(0, 0),
        Insn::jmp64_reg(0x20, 1, 2, 1),
        Insn::mov64_reg(0, 3),
        Insn::call_helper(1),
        Insn::exit(),
    ];
    let live = LiveRegisters::compute(&insns, &mut |_, _| Some(2));
    let text: Vec<String> = (0..5).map(|slot| live.text(slot)).collect();
    let wanted = [
        ".123......",
        ".123......",
        ".123......",
        ".12.......",
        "0.........",
    ];
    assert_eq!(text, wanted);
}

#[test]
fn a_million_slots_take_no_stack() {
    let mut insns = vec![Insn::jmp64_imm(0x10, 0, 0, 0); 999_999];
    insns.push(Insn::exit());
    cfg(&insns, &mut |_, _| CallEffects::default());
    assert_eq!(Loops::find(&insns).count(), 0);
    assert_eq!(
        LiveRegisters::compute(&insns, &mut |_, _| None).before(0),
        1
    );
}

#[test]
fn registers_live_through_irreducible_loops() {
    // A ladder of jumps that enters each loop in its middle: what is read at the very end is live everywhere.
    let mut insns = Vec::new();
    for _ in 0..2000 {
        insns.push(Insn::jmp64_imm(0x10, 2, 0, 1));
        insns.push(Insn::jmp64_imm(
            0x10,
            2,
            0,
            if insns.len() > 4 { -4 } else { 0 },
        ));
    }
    insns.push(Insn::mov64_reg(0, 7));
    insns.push(Insn::exit());
    let live = LiveRegisters::compute(&insns, &mut |_, _| None);
    assert!((0..4001).all(|slot| live.before(slot) == 1 << 2 | 1 << 7 || slot == 4000));
    // One pass more changes nothing.
    let mut around = vec![Insn::ja(0); 50];
    around.extend([Insn::mov64_reg(0, 9), Insn::ja(-52)]);
    let live = LiveRegisters::compute(&around, &mut |_, _| None);
    assert!((0..52).all(|slot| live.before(slot) == 1 << 9));
}

/// Functions that each call the next.
fn chain(depth: usize) -> Vec<Insn> {
    let mut insns = Vec::new();
    for _ in 1..depth {
        insns.extend([Insn::call_local(1), Insn::exit()]);
    }
    insns.extend([Insn::mov64_imm(0, 0), Insn::exit()]);
    insns
}

fn depth(bytes: &[u32], private_stack: bool) -> Result<stack::Depth, String> {
    let insns = chain(bytes.len());
    let subs = Subprograms::find(&insns, true, None, |_, _| Ok(())).unwrap();
    let uses: Vec<_> = bytes
        .iter()
        .map(|&stack_bytes| stack::FrameUse {
            stack_bytes,
            ..Default::default()
        })
        .collect();
    let layout = stack::Layout {
        jit: true,
        private_stack,
    };
    stack::check(&insns, &subs, &uses, layout, &mut |_, _| false)
        .map_err(|fault| fault.lines.join("\n"))
}

#[test]
fn frames_add_up() {
    assert_eq!(depth(&[512], false).unwrap().main_bytes, 512);
    assert_eq!(depth(&[504, 0], false).unwrap().main_bytes, 512);
    assert_eq!(
        depth(&[264, 248], false).unwrap_err(),
        "combined stack size of 2 calls is 528. Too large"
    );
    assert_eq!(
        depth(&[72; 8], false).unwrap_err(),
        "combined stack size of 7 calls is 560. Too large"
    );
    assert_eq!(
        depth(&[8; 9], false).unwrap_err(),
        "the call stack of 8 frames is too deep !"
    );
    let private = depth(&[512, 48, 512], true).unwrap();
    assert_eq!(private.private, [true, false, true]);
    assert_eq!(private.main_bytes, 48);
}

#[test]
fn many_paths_are_not_walked_one_by_one() {
    // 8 levels with 100 calls each: 10^14 paths.
    const CALLS: i32 = 100;
    let mut insns = Vec::new();
    for level in 0..8 {
        let last = level == 7;
        for at in 0..CALLS {
            insns.push(match last {
                true => Insn::mov64_imm(0, 0),
                false => Insn::call_local(CALLS - at),
            });
        }
        insns.push(Insn::exit());
    }
    let subs = Subprograms::find(&insns, true, None, |_, _| Ok(())).unwrap();
    assert_eq!(subs.count(), 8);
    let uses = vec![
        stack::FrameUse {
            stack_bytes: 64,
            ..Default::default()
        };
        8
    ];
    let layout = stack::Layout {
        jit: true,
        private_stack: false,
    };
    let found = stack::check(&insns, &subs, &uses, layout, &mut |_, _| false).unwrap();
    assert_eq!(found.main_bytes, 512);
}

/// The stack of main after `spills` pairs around a call of helper 8, and whatever stands after them.
fn after_fastcalls(around: &[(u8, i16)], more: &[Insn], access: Option<(usize, i64)>) -> u32 {
    let mut insns = vec![Insn::mov64_imm(1, 1)];
    insns.extend(
        around
            .iter()
            .rev()
            .map(|&(reg, off)| Insn::store_reg(0x18, 10, off, reg)),
    );
    insns.push(Insn::call_helper(8));
    insns.extend(
        around
            .iter()
            .map(|&(reg, off)| Insn::load(0x18, reg, 10, off)),
    );
    insns.extend(more);
    insns.push(Insn::exit());
    let subs = Subprograms::find(&insns, true, None, |_, _| Ok(())).unwrap();
    let call = |_: usize, insn: Insn| {
        insn.is_helper_call().then_some(fastcall::FastCall {
            params: 0,
            inlined: insn.imm == 8,
        })
    };
    let mut found = fastcall::FastCalls::find(&insns, &subs, &mut { call });
    if let Some((slot, off)) = access {
        found.access(0, slot, off);
    }
    found.stack_bytes(0, 512)
}

#[test]
fn spills_around_fast_calls_take_no_stack() {
    assert_eq!(after_fastcalls(&[(1, -16)], &[], None), 8);
    assert_eq!(after_fastcalls(&[(2, -24), (1, -16)], &[], None), 8);
    // Wrong order, wrong register, not the lowest spill.
    assert_eq!(after_fastcalls(&[(2, -16), (1, -24)], &[], None), 512);
    assert_eq!(after_fastcalls(&[(6, -16)], &[], None), 512);
    let lower = Insn::store_reg(0x18, 10, -32, 6);
    assert_eq!(after_fastcalls(&[(1, -16)], &[lower], None), 512);
    // A real call keeps its spills.
    assert_eq!(
        after_fastcalls(
            &[(1, -16)],
            &[
                Insn::store_reg(0x18, 10, -16, 1),
                Insn::call_helper(7),
                Insn::load(0x18, 1, 10, -16)
            ],
            None
        ),
        512
    );
    // An access from elsewhere voids it; one by the pattern or above the boundary does not.
    assert_eq!(after_fastcalls(&[(1, -16)], &[], Some((1, -16))), 8);
    assert_eq!(after_fastcalls(&[(1, -16)], &[], Some((4, -8))), 8);
    assert_eq!(after_fastcalls(&[(1, -16)], &[], Some((4, -16))), 512);
}
