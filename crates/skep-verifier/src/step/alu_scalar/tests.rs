//! Arithmetic loses no outcome: bounds of eight bits, where nearly all cases can be tried.

use crate::state::scalar::range::Range8;

/// Around every place where something wraps.
const EDGES: [u8; 16] = [
    0, 1, 2, 3, 15, 16, 17, 100, 126, 127, 128, 129, 200, 253, 254, 255,
];

/// Ranges between edges in either order of numbers, and the members at and beside edges.
fn ranges() -> Vec<(Range8, Vec<u8>)> {
    let mut ranges = Vec::new();
    for low in EDGES {
        for high in EDGES {
            let mut range = Range8::FULL;
            if low <= high {
                range.meet_unsigned(low, high);
                ranges.push(range);
            }
            if low as i8 <= high as i8 {
                let mut range = Range8::FULL;
                range.meet_signed(low as i8, high as i8);
                ranges.push(range);
                range.meet_unsigned(2, 253);
                ranges.push(range);
            }
        }
    }
    let near = |number: u8| {
        EDGES
            .iter()
            .any(|edge| edge.wrapping_sub(number).wrapping_add(1) < 3)
    };
    let members = |range: Range8| {
        (0..=255u8)
            .filter(|&m| range.contains(m) && near(m))
            .collect()
    };
    ranges.into_iter().map(|r| (r, members(r))).collect()
}

#[test]
fn bounds_hold_all_outcomes() {
    type Row = (&'static str, fn(Range8, Range8) -> Range8, fn(u8, u8) -> u8);
    let rows: [Row; 3] = [
        ("add", Range8::add, u8::wrapping_add),
        ("sub", Range8::sub, u8::wrapping_sub),
        ("mul", Range8::mul, u8::wrapping_mul),
    ];
    let ranges = ranges();
    for (name, op, concrete) in rows {
        for (a, in_a) in &ranges {
            for (b, in_b) in &ranges {
                let result = op(*a, *b);
                for &x in in_a {
                    for &y in in_b {
                        assert!(
                            result.contains(concrete(x, y)),
                            "{name} {x} of {a:?} and {y} of {b:?}: not in {result:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn shifted_bounds_hold_all_outcomes() {
    for (range, members) in ranges() {
        for shift in 0..8u8 {
            for &member in &members {
                assert!(range.shl(shift).contains(member << shift));
                assert!(range.shr(shift).contains(member >> shift));
                assert!(range.sar(shift).contains((member as i8 >> shift) as u8));
            }
        }
    }
}

#[test]
fn deduction_keeps_all_members() {
    for (range, members) in ranges() {
        let (mut signs, mut one_sign) = (range, range);
        signs.meet_signs();
        one_sign.meet_one_sign();
        for &member in &members {
            assert!(signs.contains(member), "{range:?} {signs:?}");
            assert!(one_sign.contains(member), "{range:?} {one_sign:?}");
        }
    }
}

#[test]
fn bits_bound_all_members() {
    for mask in 0..=255u8 {
        for value in (0..=255u8).filter(|value| value & mask == 0) {
            let mut range = Range8::FULL;
            range.meet_bits(value, mask);
            let members = (0..=255u8).filter(|m| (m ^ value) & !mask == 0);
            let (mut umin, mut umax, mut smin, mut smax) = (u8::MAX, 0, i8::MAX, i8::MIN);
            for member in members {
                (umin, umax) = (umin.min(member), umax.max(member));
                (smin, smax) = (smin.min(member as i8), smax.max(member as i8));
            }
            assert_eq!(
                (range.umin, range.umax, range.smin, range.smax),
                (umin, umax, smin, smax)
            );
        }
    }
}
