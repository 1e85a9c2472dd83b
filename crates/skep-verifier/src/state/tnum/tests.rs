//! All tristate numbers of five bits, at the low end, at the high end and across the middle of 64.

use super::Tnum;

const BITS: u32 = 5;

/// Every tristate number of five bits, moved up by `at`.
fn all(at: u32) -> Vec<Tnum> {
    let mut tnums = Vec::new();
    for mask in 0..1u64 << BITS {
        for value in 0..1u64 << BITS {
            if value & mask == 0 {
                tnums.push(Tnum::new(value << at, mask << at));
            }
        }
    }
    tnums
}

/// The members of a tristate number whose unknown bits are few.
fn members(tnum: Tnum) -> Vec<u64> {
    let mut members = vec![tnum.value];
    for bit in (0..64).filter(|bit| tnum.mask >> bit & 1 == 1) {
        for at in 0..members.len() {
            members.push(members[at] | 1 << bit);
        }
    }
    members
}

/// The smallest tristate number with all of these.
fn hull(numbers: impl IntoIterator<Item = u64>) -> Tnum {
    let (mut ones, mut zeros) = (u64::MAX, u64::MAX);
    for number in numbers {
        ones &= number;
        zeros &= !number;
    }
    Tnum::new(ones, !(ones | zeros))
}

type Abstract = fn(Tnum, Tnum) -> Tnum;
type Concrete = fn(u64, u64) -> u64;

/// Checks one operation on all pairs; `exact` asks for the smallest result as well.
fn check(name: &str, exact: bool, abstract_op: Abstract, concrete: Concrete) {
    for at in [0, 29, 64 - BITS] {
        let all: Vec<(Tnum, Vec<u64>)> = all(at).into_iter().map(|t| (t, members(t))).collect();
        for (a, a_members) in &all {
            for (b, b_members) in &all {
                let result = abstract_op(*a, *b);
                assert_eq!(result.value & result.mask, 0, "{name} {a} {b}");
                let outcomes = || {
                    a_members
                        .iter()
                        .flat_map(|&x| b_members.iter().map(move |&y| concrete(x, y)))
                };
                for outcome in outcomes() {
                    assert!(
                        result.has(outcome),
                        "{name} {a} {b}: {outcome:#x} not in {result}"
                    );
                }
                if exact {
                    assert_eq!(result, hull(outcomes()), "{name} {a} {b}");
                }
            }
        }
    }
}

#[test]
fn sums_and_differences_are_exact() {
    check("add", true, Tnum::add, u64::wrapping_add);
    check("sub", true, Tnum::sub, u64::wrapping_sub);
    check("neg", true, |a, _| a.neg(), |a, _| a.wrapping_neg());
}

#[test]
fn bitwise_operations_are_exact() {
    check("and", true, Tnum::and, |a, b| a & b);
    check("or", true, Tnum::or, |a, b| a | b);
    check("xor", true, Tnum::xor, |a, b| a ^ b);
}

#[test]
fn products_hold_all_outcomes() {
    check("mul", false, Tnum::mul, u64::wrapping_mul);
}

#[test]
fn shifts_are_exact() {
    for at in [0, 29, 64 - BITS] {
        for tnum in all(at) {
            let members = members(tnum);
            for shift in 0..64u8 {
                let exact = |op: fn(u64, u8) -> u64| hull(members.iter().map(|&m| op(m, shift)));
                assert_eq!(tnum.lshift(shift), exact(|m, s| m << s));
                assert_eq!(tnum.rshift(shift), exact(|m, s| m >> s));
                assert_eq!(
                    tnum.arshift(shift, 64),
                    exact(|m, s| (m as i64 >> s) as u64)
                );
                if shift < 32 {
                    let low = exact(|m, s| u64::from((m as i32 >> s) as u32));
                    assert_eq!(tnum.arshift(shift, 32), low);
                }
            }
            assert_eq!(tnum.lshift(64), Tnum::constant(0));
            assert_eq!(tnum.rshift(255), Tnum::constant(0));
        }
    }
}

#[test]
fn sets_of_tristate_numbers() {
    for at in [0, 29, 64 - BITS] {
        let all = all(at);
        for &a in &all {
            let in_a = members(a);
            assert_eq!(a.is_const(), in_a.len() == 1);
            assert_eq!(a.max(), in_a.iter().copied().max().unwrap());
            for bytes in [1, 2, 4, 8] {
                let keep = u64::MAX >> (64 - 8 * bytes);
                assert_eq!(a.cast(bytes as u8), hull(in_a.iter().map(|m| m & keep)));
            }
            for size in [1, 2, 4, 8] {
                assert_eq!(a.is_aligned(size), in_a.iter().all(|m| m % size == 0));
            }
            for &b in &all {
                let in_b = members(b);
                let common: Vec<u64> = in_a.iter().copied().filter(|&m| b.has(m)).collect();
                assert_eq!(a.overlap(b), !common.is_empty(), "{a} {b}");
                if !common.is_empty() {
                    assert_eq!(a.intersect(b), hull(common), "{a} {b}");
                }
                assert_eq!(
                    a.union(b),
                    hull(in_a.iter().chain(&in_b).copied()),
                    "{a} {b}"
                );
                assert_eq!(a.contains(b), in_b.iter().all(|&m| a.has(m)), "{a} {b}");
            }
        }
    }
}

#[test]
fn ranges_are_covered() {
    for base in [
        0u64,
        0x7fff_fff8,
        0x7fff_ffff_ffff_fff8,
        0xffff_ffff_ffff_ffe0,
    ] {
        for low in 0..32 {
            for high in low..32 {
                let (min, max) = (base.wrapping_add(low), base.wrapping_add(high));
                if min > max {
                    continue;
                }
                let range = Tnum::range(min, max);
                assert!((min..=max).all(|m| range.has(m)));
                assert_eq!(Tnum::range(min, min), Tnum::constant(min));
            }
        }
    }
    assert_eq!(Tnum::range(0, u64::MAX), Tnum::UNKNOWN);
    assert_eq!(Tnum::range(8, 15), Tnum::new(8, 7));
}

#[test]
fn halves() {
    let tnum = Tnum::new(0x1234_5678_0000_0000, 0xff);
    assert_eq!(tnum.subreg(), Tnum::new(0, 0xff));
    assert_eq!(tnum.clear_subreg(), Tnum::constant(0x1234_5678_0000_0000));
    assert_eq!(tnum.const_subreg(7), Tnum::constant(0x1234_5678_0000_0007));
    assert_eq!(
        Tnum::UNKNOWN.with_subreg(Tnum::constant(1)),
        Tnum::new(1, !0xffff_ffff)
    );
}

#[test]
fn text() {
    assert_eq!(Tnum::new(0, 0xff).to_string(), "(0x0; 0xff)");
    assert_eq!(Tnum::new(0x10, 0x3).to_string(), "(0x10; 0x3)");
}

#[test]
fn the_least_member_from_a_bound() {
    for at in [0, 29, 64 - BITS] {
        for tnum in all(at) {
            for low in 0..1u64 << BITS {
                for bound in [
                    low << at,
                    (low << at).wrapping_add(1),
                    (low << at).wrapping_sub(1),
                ] {
                    let least = members(tnum).into_iter().filter(|&m| m >= bound).min();
                    assert_eq!(tnum.least_from(bound), least, "{tnum} {bound:#x}");
                }
            }
        }
    }
    assert_eq!(Tnum::UNKNOWN.least_from(77), Some(77));
}
