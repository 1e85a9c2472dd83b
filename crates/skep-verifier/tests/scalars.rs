//! Scalars lose no number: whatever members the operands have, their outcome is a member of the result, on the side of
//! a jump that they go to they stay members, and a side that they go to is not called impossible.
//!
//! All small ranges beside every place where 32 or 64 bits wrap are tried against each other, and then random sets.
//! Shapes of arithmetic that kernels once got wrong stand at the end, by the number of the report.

use skep_verifier::state::scalar::Scalar;
use skep_verifier::state::scalar::rules::Rules;
use skep_verifier::state::tnum::Tnum;
use skep_verifier::step::alu_scalar::{AluOp, Width, alu, fork};
use skep_verifier::step::refine::{Cond, branch_taken, refine, refine_self};

const OPS: [AluOp; 17] = [
    AluOp::Add,
    AluOp::Sub,
    AluOp::Mul,
    AluOp::Div,
    AluOp::Sdiv,
    AluOp::Mod,
    AluOp::Smod,
    AluOp::Or,
    AluOp::And,
    AluOp::Xor,
    AluOp::Lsh,
    AluOp::Rsh,
    AluOp::Arsh,
    AluOp::Mov,
    AluOp::Movsx(1),
    AluOp::Movsx(2),
    AluOp::Neg,
];

const CONDS: [Cond; 12] = [
    Cond::Eq,
    Cond::Ne,
    Cond::Set,
    Cond::Clear,
    Cond::Gt,
    Cond::Ge,
    Cond::Lt,
    Cond::Le,
    Cond::Sgt,
    Cond::Sge,
    Cond::Slt,
    Cond::Sle,
];

/// What the machine computes.
fn machine64(op: AluOp, a: u64, b: u64) -> u64 {
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Sdiv if b == 0 => 0,
        AluOp::Sdiv => (a as i64).wrapping_div(b as i64) as u64,
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::Smod if b == 0 => a,
        AluOp::Smod => (a as i64).wrapping_rem(b as i64) as u64,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => a.wrapping_shl(b as u32),
        AluOp::Rsh => a.wrapping_shr(b as u32),
        AluOp::Arsh => (a as i64).wrapping_shr(b as u32) as u64,
        AluOp::Neg => a.wrapping_neg(),
        AluOp::Mov => b,
        AluOp::Movsx(1) => b as i8 as u64,
        AluOp::Movsx(2) => b as i16 as u64,
        AluOp::Movsx(_) => b as i32 as u64,
        AluOp::Cut(2) => u64::from(a as u16),
        AluOp::Cut(4) => u64::from(a as u32),
        AluOp::Cut(_) => a,
        AluOp::Swap(2) => u64::from((a as u16).swap_bytes()),
        AluOp::Swap(4) => u64::from((a as u32).swap_bytes()),
        AluOp::Swap(_) => a.swap_bytes(),
    }
}

fn machine32(op: AluOp, a: u32, b: u32) -> u32 {
    match op {
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Sdiv if b == 0 => 0,
        AluOp::Sdiv => (a as i32).wrapping_div(b as i32) as u32,
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::Smod if b == 0 => a,
        AluOp::Smod => (a as i32).wrapping_rem(b as i32) as u32,
        AluOp::Lsh => a.wrapping_shl(b),
        AluOp::Rsh => a.wrapping_shr(b),
        AluOp::Arsh => (a as i32).wrapping_shr(b) as u32,
        _ => machine64(op, u64::from(a), u64::from(b)) as u32,
    }
}

fn machine(op: AluOp, width: Width, a: u64, b: u64) -> u64 {
    match width {
        Width::W64 => machine64(op, a, b),
        Width::W32 => u64::from(machine32(op, a as u32, b as u32)),
    }
}

/// Checks everything that can be done with two sets of which some members are known.
fn check(rules: Rules, a: &Scalar, in_a: &[u64], b: &Scalar, in_b: &[u64]) {
    for op in OPS {
        for width in [Width::W32, Width::W64] {
            let result = alu(rules, op, width, a, b);
            let forked = fork(rules, op, a, b).map(|(zero, ones)| {
                // Both paths together.
                (
                    alu(rules, op, width, &zero, b),
                    alu(rules, op, width, &ones, b),
                )
            });
            for &x in in_a {
                for &y in in_b {
                    let outcome = machine(op, width, x, y);
                    assert!(
                        result.contains(outcome),
                        "{op:?} {width:?}: {x:#x} of {a} and {y:#x} of {b}: {outcome:#x} not in {result}"
                    );
                    if let Some((zero, ones)) = forked {
                        assert!(zero.contains(outcome) || ones.contains(outcome));
                    }
                }
            }
        }
    }
    for cond in CONDS {
        for is32 in [false, true] {
            let known = branch_taken(rules, a, b, cond, is32);
            let sides = [true, false].map(|taken| {
                let (mut x, mut y) = (*a, *b);
                refine(rules, cond, is32, taken, &mut x, &mut y);
                (x, y)
            });
            for &x in in_a {
                for &y in in_b {
                    let taken = cond.holds(x, y, is32);
                    assert!(
                        known.is_none_or(|known| known == taken),
                        "{cond:?} is32={is32}: {x:#x} of {a}, {y:#x} of {b} goes to {taken}"
                    );
                    let (new_a, new_b) = sides[usize::from(!taken)];
                    assert!(
                        new_a.contains(x) && new_b.contains(y),
                        "{cond:?} is32={is32} {taken}: {x:#x} of {a} and {y:#x} of {b} not in {new_a} and {new_b}"
                    );
                }
            }
        }
    }
}

fn check_alone(rules: Rules, a: &Scalar, in_a: &[u64]) {
    let unary = [
        AluOp::Cut(2),
        AluOp::Cut(4),
        AluOp::Cut(8),
        AluOp::Swap(2),
        AluOp::Swap(4),
        AluOp::Swap(8),
    ];
    for &x in in_a {
        for op in unary {
            assert!(
                alu(rules, op, Width::W64, a, a).contains(machine64(op, x, x)),
                "{op:?} {x:#x} of {a}"
            );
        }
        assert!(alu(rules, AluOp::Movsx(4), Width::W64, a, a).contains(x as i32 as u64));
        assert!(a.zext32().contains(u64::from(x as u32)));
        for bytes in [1u8, 2, 4, 8] {
            let keep = u64::MAX >> (64 - 8 * u32::from(bytes));
            assert!(
                a.truncate(bytes).contains(x & keep),
                "{bytes}: {x:#x} of {a}"
            );
            let shift = 64 - 8 * u32::from(bytes);
            let extended = (((x << shift) as i64) >> shift) as u64;
            assert!(a.sext(bytes).contains(extended), "{bytes}: {x:#x} of {a}");
        }
        for cond in CONDS {
            for is32 in [false, true] {
                let mut refined = *a;
                refine_self(rules, cond, is32, cond.holds(x, x, is32), &mut refined);
                assert!(refined.contains(x), "{cond:?} is32={is32}: {x:#x} of {a}");
            }
        }
    }
}

const ALL: [Rules; 4] = [Rules::V6_1, Rules::V6_6, Rules::V6_18, Rules::V7_0];

/// Where 32 or 64 bits wrap, or a sign changes.
const EDGES: [u64; 7] = [
    0,
    1 << 31,
    1 << 32,
    (1 << 32) + (1 << 31),
    1 << 63,
    (1 << 63) + (1 << 31),
    0xffff_ffff_8000_0000,
];

#[test]
fn small_ranges_at_all_edges() {
    const WINDOW: u64 = 6;
    let mut sets = Vec::new();
    for edge in EDGES {
        let first = edge.wrapping_sub(WINDOW / 2);
        for low in 0..WINDOW {
            for high in low..WINDOW {
                let members: Vec<u64> = (low..=high).map(|at| first.wrapping_add(at)).collect();
                let (min, max) = (members[0], members[members.len() - 1]);
                // Across the edge one of the orders has no such range.
                let unsigned = (min <= max).then(|| Scalar::unsigned_range(min, max));
                let signed = (min as i64 <= max as i64)
                    .then(|| Scalar::signed_range(min as i64, max as i64));
                for scalar in unsigned.into_iter().chain(signed) {
                    for &member in &members {
                        assert!(scalar.contains(member), "{member:#x} {scalar}");
                    }
                    for rules in ALL {
                        check_alone(rules, &scalar, &members);
                    }
                    if sets.last().is_none_or(|(last, _)| *last != scalar) {
                        sets.push((scalar, members.clone()));
                    }
                }
            }
        }
    }
    for (a, in_a) in sets.iter().step_by(3) {
        for (b, in_b) in &sets {
            for rules in ALL {
                check(rules, a, in_a, b, in_b);
            }
        }
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn number(&mut self) -> u64 {
        let edge = EDGES[self.below(EDGES.len() as u64) as usize];
        match self.below(4) {
            0 => self.next() >> self.below(64),
            1 => !(self.next() >> self.below(64)),
            2 => edge.wrapping_add(self.below(64)).wrapping_sub(32),
            _ => edge.wrapping_add(self.next() >> (32 + self.below(30))),
        }
    }

    /// A set that holds these numbers, every part of it as wide as chance makes it, some deduced and some not.
    fn around(&mut self, members: &[u64]) -> Scalar {
        let mut scalar = Scalar::constant(members[0]);
        let mut bits = Tnum::constant(members[0]);
        for &member in members {
            bits = bits.union(Tnum::constant(member));
            scalar.umin = scalar.umin.min(member);
            scalar.umax = scalar.umax.max(member);
            scalar.smin = scalar.smin.min(member as i64);
            scalar.smax = scalar.smax.max(member as i64);
            scalar.u32_min = scalar.u32_min.min(member as u32);
            scalar.u32_max = scalar.u32_max.max(member as u32);
            scalar.s32_min = scalar.s32_min.min(member as i32);
            scalar.s32_max = scalar.s32_max.max(member as i32);
        }
        let more = self.next() & self.next() & self.next();
        bits = bits.union(Tnum::new(bits.value, more));
        let slack = |random: &mut Random| match random.below(4) {
            0 => 0,
            1 => random.below(4),
            2 => random.next() >> random.below(64),
            _ => u64::MAX,
        };
        scalar.bits = bits;
        scalar.umin = scalar.umin.saturating_sub(slack(self));
        scalar.umax = scalar.umax.saturating_add(slack(self));
        scalar.smin = scalar.smin.saturating_sub_unsigned(slack(self));
        scalar.smax = scalar.smax.saturating_add_unsigned(slack(self));
        scalar.u32_min = scalar.u32_min.saturating_sub(slack(self) as u32);
        scalar.u32_max = scalar.u32_max.saturating_add(slack(self) as u32);
        scalar.s32_min = scalar.s32_min.saturating_sub_unsigned(slack(self) as u32);
        scalar.s32_max = scalar.s32_max.saturating_add_unsigned(slack(self) as u32);
        if self.below(4) > 0 {
            let rules = ALL[self.below(4) as usize];
            scalar.sync_by(rules);
        }
        scalar
    }
}

#[test]
fn random_sets() {
    let mut random = Random(0x0dd5_0c5e);
    for round in 0..20_000 {
        let mut members = |count: u64| -> Vec<u64> {
            let first = random.number();
            (0..count)
                .map(|at| match at {
                    0 => first,
                    _ if random.below(2) == 0 => {
                        first.wrapping_add(random.below(9)).wrapping_sub(4)
                    }
                    _ => random.number(),
                })
                .collect()
        };
        let (in_a, mut in_b) = (members(1 + round % 3), members(1 + round / 3 % 3));
        if round % 5 == 0 {
            // Counts of shifts.
            in_b = vec![random.below(64)];
        }
        let (a, b) = (random.around(&in_a), random.around(&in_b));
        assert!(in_a.iter().all(|&x| a.contains(x)), "{in_a:x?} {a}");
        let rules = ALL[round as usize % 4];
        check(rules, &a, &in_a, &b, &in_b);
        check_alone(rules, &a, &in_a);
        // What holds for a set holds for any in it.
        if b.covers(&a) {
            assert!(in_a.iter().all(|&x| b.contains(x)));
            assert!(a.is_subset_of(&b));
        }
    }
}

/// The shapes are the same under all rules.
const RULES: Rules = Rules::V6_18;

fn number(imm: i32) -> Scalar {
    Scalar::constant(i64::from(imm) as u64)
}

#[test]
fn cve_2017_16995_moves_of_32_bits_do_not_extend_the_sign() {
    let moved = alu(RULES, AluOp::Mov, Width::W32, &Scalar::UNKNOWN, &number(-1));
    assert_eq!(moved.as_const(), Some(0xffff_ffff));
    assert_eq!(
        branch_taken(RULES, &moved, &number(-1), Cond::Ne, false),
        Some(true)
    );
}

#[test]
fn cve_2018_18445_right_shifts_of_32_bits_see_32_bits() {
    let two = alu(RULES, AluOp::Lsh, Width::W64, &number(1), &number(33));
    let shifted = alu(RULES, AluOp::Rsh, Width::W32, &two, &number(31));
    assert_eq!(shifted.as_const(), Some(0));
    let range = Scalar::unsigned_range(1 << 33, (1 << 33) + (1 << 31));
    let shifted = alu(RULES, AluOp::Rsh, Width::W32, &range, &number(31));
    assert!(shifted.contains(0) && shifted.contains(1));
}

#[test]
fn cve_2020_8835_jumps_of_32_bits_say_nothing_of_the_upper_half() {
    let mut wide = Scalar::unsigned_range(1, (1 << 32) + 1);
    refine(RULES, Cond::Ne, true, false, &mut wide, &mut number(1));
    assert!(wide.contains(1) && wide.contains((1 << 32) + 1));
    let masked = alu(RULES, AluOp::And, Width::W64, &wide, &number(2));
    assert!(masked.contains(0));
    let mut some = Scalar::UNKNOWN;
    refine(RULES, Cond::Ge, true, false, &mut some, &mut number(1));
    assert!(some.contains(0x5_0000_0000));
}

#[test]
fn cve_2020_27194_or_of_32_bits_takes_bounds_of_32_bits() {
    let range = Scalar::unsigned_range(1, 0x6_0000_0000);
    let result = alu(RULES, AluOp::Or, Width::W32, &range, &number(0));
    assert!(result.contains(0) && result.contains(1) && result.contains(0xffff_ffff));
}

#[test]
fn cve_2021_3490_known_low_halves_give_known_low_halves() {
    let a = Scalar::from_bits(Tnum::new(1, 0xffff_ffff_0000_0000));
    let b = Scalar::from_bits(Tnum::new(0xffff_fffe, 0xffff_ffff_0000_0000));
    for (op, low) in [
        (AluOp::And, 0u64),
        (AluOp::Or, 0xffff_ffff),
        (AluOp::Xor, 0xffff_ffff),
    ] {
        let narrow = alu(RULES, op, Width::W32, &a, &b);
        assert_eq!(narrow, Scalar::constant(low));
        let wide = alu(RULES, op, Width::W64, &a, &b);
        assert!(wide.consistent());
        assert_eq!(wide.subreg_const(), Some(low as u32));
        assert_eq!((wide.u32_min, wide.u32_max), (low as u32, low as u32));
    }
}

#[test]
fn cve_2021_31440_bounds_of_64_bits_bound_32_bits_together_or_not() {
    let range = Scalar::unsigned_range(1, 1 << 32);
    assert!(range.contains(1 << 32) && range.contains(0xffff_ffff));
    assert_eq!((range.u32_min, range.u32_max), (0, u32::MAX));
    let mut low = Scalar::UNKNOWN;
    refine(
        RULES,
        Cond::Gt,
        false,
        false,
        &mut low,
        &mut Scalar::constant((1 << 32) + 1),
    );
    assert!(low.contains(0x8000_0000));
}

#[test]
fn cve_2021_3444_division_by_zero_of_32_bits() {
    let dst = Scalar::constant(0xffff_ffff_ffff_ffff);
    for op in [AluOp::Div, AluOp::Sdiv, AluOp::Mod, AluOp::Smod] {
        let result = alu(RULES, op, Width::W32, &dst, &Scalar::unsigned_range(0, 1));
        assert!(result.contains(0) && result.contains(0xffff_ffff) && result.contains(u64::MAX));
    }
}

#[test]
fn cve_2024_41003_a_register_compared_with_itself() {
    let scalar = Scalar::unsigned_range(0, 1);
    for cond in CONDS {
        for is32 in [false, true] {
            for member in [0, 1] {
                let mut refined = scalar;
                refine_self(
                    RULES,
                    cond,
                    is32,
                    cond.holds(member, member, is32),
                    &mut refined,
                );
                assert!(refined.contains(member), "{cond:?} {is32}");
            }
        }
    }
}
