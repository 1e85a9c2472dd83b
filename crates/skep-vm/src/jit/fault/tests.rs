//! The registry and the slots, without signals.

use super::*;

#[test]
fn code_is_found_while_it_is_registered() {
    // Addresses that no code has.
    let base = 0x10;
    assert_eq!(find(base), None);
    let registered = Registered::new(base, base + 8, base + 9, true);
    let place = Place {
        start: base,
        end: base + 8,
        stop: base + 9,
        anchored: true,
    };
    assert_eq!(find(base), Some(place));
    assert_eq!(find(base + 7), Some(place));
    assert_eq!(find(base + 8), None);
    drop(registered);
    assert_eq!(find(base), None);
}

#[test]
fn a_fault_comes_back_as_it_was_put_by() {
    let fault = Fault {
        signal: 11,
        addr: Some(7),
        pc: 99,
        regs: [5; 11],
    };
    let other = Fault {
        addr: None,
        ..fault
    };
    let (first, second) = (put(&fault).expect("a slot"), put(&other).expect("a slot"));
    assert_ne!(first, second);
    assert_eq!(take(second), Some(other));
    assert_eq!(take(first), Some(fault));
    assert_eq!(take(SLOTS.len() as u64), None);
}
