use super::equal::IdMap;
use super::history::{Deed, History, PackedLinks, Trail};

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
    while let Some(before) = history.step_back(&mut walked, 0, *seen.last().unwrap()) {
        seen.push(before as usize);
    }
    assert_eq!(seen, [7, 6, 5, 1, 0]);
    // The other path of the branch does not see what came after.
    assert_eq!(branch.len, 1);
    assert!(history.entry(branch, 6).is_none());
}
