//! Stored states and what covers them.

use super::equal::IdMap;
use super::history::{Deed, History, PackedLinks, Trail};
use crate::{Input, Rejection, Verified, verify};
use skep_spec::insn::{Insn, alu, jmp};
use skep_spec::program::ProgramType;

#[test]
fn identities_map_one_to_one() {
    let mut ids = IdMap::default();
    ids.reset(100);
    assert!(ids.check(0, 0));
    assert!(!ids.check(0, 1));
    assert!(ids.check(1, 5));
    assert!(ids.check(1, 5));
    assert!(!ids.check(1, 6));
    assert!(!ids.check(2, 5));
    // No identity counts as one of its own.
    assert!(ids.check_scalar(0, 7));
    assert!(!ids.check_scalar(0, 7));
    assert!(!ids.check_scalar(1, 0));
}

#[test]
fn history_is_walked_back_over_jumps() {
    let mut history = History::default();
    let mut trail = Trail::EMPTY;
    // 0, 1, then a jump to 5, 6 with a stack access, 7
    history.start_insn();
    history.note(&mut trail, 5, 1, Deed::NONE, PackedLinks::default());
    let branch = trail;
    history.start_insn();
    history.note(
        &mut trail,
        6,
        5,
        Deed::stack_access(1, 9),
        PackedLinks::default(),
    );
    history.note(&mut trail, 6, 5, Deed::SRC_IS_STACK, PackedLinks::default());
    assert_eq!(trail.len, 2);
    let entry = history.entry(trail, 6).unwrap();
    assert_eq!(entry.deed.slot(), Some((1, 9)));
    assert!(entry.deed.has(Deed::SRC_IS_STACK));
    let mut seen = vec![7];
    let mut walked = trail;
    loop {
        let at = *seen.last().unwrap();
        let entry = history.entry(walked, at).copied();
        let Some(before) = History::step_back(&mut walked, 0, at, entry.as_ref()) else {
            break;
        };
        seen.push(before as usize);
    }
    assert_eq!(seen, [7, 6, 5, 1, 0]);
    // The other path of the branch does not see what came after.
    assert_eq!(branch.len, 1);
    assert!(history.entry(branch, 6).is_none());
}

fn verified(insns: Vec<Insn>, log_level: u32) -> Result<Verified, Box<Rejection>> {
    let mut input = Input::new(ProgramType::SocketFilter, insns);
    input.log_level = log_level;
    verify(&input)
}

// The counts and texts below are those of Linux 6.18 for the same programs.

#[test]
fn a_bounded_loop_is_walked_round_by_round() {
    let proof = verified(
        vec![
            Insn::mov64_imm(0, 0),
            Insn::alu64_imm(0, 0, 1),
            Insn::jmp64_imm(jmp::JLT, 0, 4, -2),
            Insn::exit(),
        ],
        0,
    )
    .unwrap();
    assert_eq!(proof.stats.insns_processed, 10);
    let ways = proof.facts[2].ways;
    assert!(ways.next && ways.target);
    assert_eq!(proof.stats.states_total, 1);
}

#[test]
fn what_a_decided_jump_depends_on_is_followed() {
    let proof = verified(
        vec![
            Insn::mov64_imm(2, 8),
            Insn::alu64_imm(alu::NEG, 2, 0),
            Insn::jmp64_imm(jmp::JNE, 2, -8, 1),
            Insn::mov64_imm(0, 0),
            Insn::exit(),
        ],
        2,
    );
    let proof = proof.unwrap();
    let ways = proof.facts[2].ways;
    // The jump is never made, so r0 is always set.
    assert!(ways.next && !ways.target);
    let log = proof.log;
    let wanted = "\
2: (55) if r2 != 0xfffffff8 goto pc+1
mark_precise: frame0: last_idx 2 first_idx 0 subseq_idx -1 
mark_precise: frame0: regs=r2 stack= before 1: (87) r2 = -r2
mark_precise: frame0: regs=r2 stack= before 0: (b7) r2 = 8
2: R2=-8
3: (b7) r0 = 0                        ; R0=0
";
    assert!(log.contains(wanted), "{log}");
}

#[test]
fn no_progress_is_an_infinite_loop() {
    let fault = verified(vec![Insn::mov64_imm(0, 0), Insn::ja(-1), Insn::exit()], 0);
    // The exit is not reached by any edge.
    assert_eq!(fault.unwrap_err().fault.lines, ["unreachable insn 2"]);
    let fault = verified(
        vec![
            Insn::mov64_imm(0, 0),
            Insn::jmp64_imm(jmp::JEQ, 0, 0, 0),
            Insn::ja(-2),
            Insn::exit(),
        ],
        0,
    );
    assert_eq!(fault.unwrap_err().fault.lines, ["unreachable insn 3"]);
    let fault = verified(
        vec![
            Insn::mov64_imm(0, 0),
            Insn::jmp64_imm(jmp::JNE, 0, 0, 1),
            Insn::ja(-2),
            Insn::exit(),
        ],
        0,
    );
    let lines = fault.unwrap_err().fault.lines.clone();
    assert!(
        lines[0].starts_with("infinite loop detected at insn"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("cur state: R0=0 R1=ctx()"),
        "{lines:?}"
    );
}

#[test]
fn before_6_17_what_only_mis_speculation_does_is_rejected() {
    use crate::input::Caps;
    use skep_spec::profile::Profile;
    let on = |profile| {
        let mut input = Input::new(
            ProgramType::SocketFilter,
            vec![
                Insn::mov64_imm(0, 0),
                Insn::jmp64_imm(jmp::JEQ, 0, 0, 1),
                Insn::mov64_reg(0, 2),
                Insn::exit(),
            ],
        );
        input.caps = Caps::NONE;
        input.profile = profile;
        verify(&input)
    };
    assert!(on(Profile::V6_18).is_ok());
    for profile in [Profile::V6_1, Profile::V6_12] {
        let rejection = on(profile).unwrap_err();
        assert_eq!(rejection.fault.lines, ["R2 !read_ok"]);
    }
}
