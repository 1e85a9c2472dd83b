//! Conditional jumps on scalars: whether a side is impossible, and what each side teaches about both operands.
//!
//! Invariant: a member of both operands that goes to a side stays a member on that side. Nothing more is learned than
//! Linux 6.18 learns.

use skep_spec::insn::jmp;

use crate::state::scalar::Scalar;
use crate::state::scalar::rules::Rules;
use crate::state::tnum::Tnum;

/// The condition of a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cond {
    Eq,
    Ne,
    /// Some bit is set in both.
    Set,
    /// No bit is set in both; no instruction has it, it is the other side of [`Cond::Set`].
    Clear,
    Gt,
    Ge,
    Lt,
    Le,
    Sgt,
    Sge,
    Slt,
    Sle,
}

impl Cond {
    /// The condition of an instruction's code; `None` for `ja`, calls and exits.
    #[inline]
    #[must_use]
    pub const fn decode(code: u8) -> Option<Cond> {
        Some(match code & jmp::MASK {
            jmp::JEQ => Cond::Eq,
            jmp::JNE => Cond::Ne,
            jmp::JSET => Cond::Set,
            jmp::JGT => Cond::Gt,
            jmp::JGE => Cond::Ge,
            jmp::JLT => Cond::Lt,
            jmp::JLE => Cond::Le,
            jmp::JSGT => Cond::Sgt,
            jmp::JSGE => Cond::Sge,
            jmp::JSLT => Cond::Slt,
            jmp::JSLE => Cond::Sle,
            _ => return None,
        })
    }

    /// What holds where this does not.
    #[inline]
    #[must_use]
    pub const fn negated(self) -> Cond {
        match self {
            Cond::Eq => Cond::Ne,
            Cond::Ne => Cond::Eq,
            Cond::Set => Cond::Clear,
            Cond::Clear => Cond::Set,
            Cond::Gt => Cond::Le,
            Cond::Ge => Cond::Lt,
            Cond::Lt => Cond::Ge,
            Cond::Le => Cond::Gt,
            Cond::Sgt => Cond::Sle,
            Cond::Sge => Cond::Slt,
            Cond::Slt => Cond::Sge,
            Cond::Sle => Cond::Sgt,
        }
    }

    /// The same with the operands the other way round.
    #[inline]
    #[must_use]
    pub const fn swapped(self) -> Cond {
        match self {
            Cond::Gt => Cond::Lt,
            Cond::Ge => Cond::Le,
            Cond::Lt => Cond::Gt,
            Cond::Le => Cond::Ge,
            Cond::Sgt => Cond::Slt,
            Cond::Sge => Cond::Sle,
            Cond::Slt => Cond::Sgt,
            Cond::Sle => Cond::Sge,
            same => same,
        }
    }

    /// Whether the condition holds for two numbers.
    #[must_use]
    pub const fn holds(self, a: u64, b: u64, is32: bool) -> bool {
        // Extending both alike keeps either order.
        let (a, b) = if is32 {
            (a as i32 as i64, b as i32 as i64)
        } else {
            (a as i64, b as i64)
        };
        let (ua, ub) = (a as u64, b as u64);
        match self {
            Cond::Eq => a == b,
            Cond::Ne => a != b,
            Cond::Set => ua & ub != 0,
            Cond::Clear => ua & ub == 0,
            Cond::Gt => ua > ub,
            Cond::Ge => ua >= ub,
            Cond::Lt => ua < ub,
            Cond::Le => ua <= ub,
            Cond::Sgt => a > b,
            Cond::Sge => a >= b,
            Cond::Slt => a < b,
            Cond::Sle => a <= b,
        }
    }
}

/// Whether the jump is always (`true`) or never (`false`) taken; `None` if that depends.
#[inline]
#[must_use]
pub fn branch_taken(rules: Rules, a: &Scalar, b: &Scalar, cond: Cond, is32: bool) -> Option<bool> {
    if !rules.pairs
        && known(b, is32).is_none()
        && !(rules.constant_first && known(a, is32).is_some())
    {
        return None;
    }
    // Both on 64 bits, signed bounds sign-extended: the comparisons are then the same for both widths.
    let (umin_a, umax_a, smin_a, smax_a) = bounds(a, is32);
    let (umin_b, umax_b, smin_b, smax_b) = bounds(b, is32);
    let always_or_never = |always: bool, never: bool| match (always, never) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    match cond {
        Cond::Eq => equality(rules, a, b, is32),
        Cond::Ne => equality(rules, a, b, is32).map(|equal| !equal),
        Cond::Set => common_bit(a, b, is32),
        Cond::Clear => common_bit(a, b, is32).map(|common| !common),
        Cond::Gt => always_or_never(umin_a > umax_b, umax_a <= umin_b),
        Cond::Ge => always_or_never(umin_a >= umax_b, umax_a < umin_b),
        Cond::Lt => always_or_never(umax_a < umin_b, umin_a >= umax_b),
        Cond::Le => always_or_never(umax_a <= umin_b, umin_a > umax_b),
        Cond::Sgt => always_or_never(smin_a > smax_b, smax_a <= smin_b),
        Cond::Sge => always_or_never(smin_a >= smax_b, smax_a < smin_b),
        Cond::Slt => always_or_never(smax_a < smin_b, smin_a >= smax_b),
        Cond::Sle => always_or_never(smax_a <= smin_b, smin_a > smax_b),
    }
}

#[inline]
fn bounds(scalar: &Scalar, is32: bool) -> (u64, u64, i64, i64) {
    if is32 {
        (
            u64::from(scalar.u32_min),
            u64::from(scalar.u32_max),
            i64::from(scalar.s32_min),
            i64::from(scalar.s32_max),
        )
    } else {
        (scalar.umin, scalar.umax, scalar.smin, scalar.smax)
    }
}

#[inline]
fn bits(scalar: &Scalar, is32: bool) -> Tnum {
    if is32 {
        scalar.bits.subreg()
    } else {
        scalar.bits
    }
}

#[inline]
fn known(scalar: &Scalar, is32: bool) -> Option<u64> {
    if is32 {
        scalar.subreg_const().map(u64::from)
    } else {
        scalar.as_const()
    }
}

fn equality(rules: Rules, a: &Scalar, b: &Scalar, is32: bool) -> Option<bool> {
    let (x, y) = (bits(a, is32), bits(b, is32));
    if x.is_const() && y.is_const() {
        return Some(x.value == y.value);
    }
    let apart = |is32: bool| {
        let (umin_a, umax_a, smin_a, smax_a) = bounds(a, is32);
        let (umin_b, umax_b, smin_b, smax_b) = bounds(b, is32);
        umin_a > umax_b || umax_a < umin_b || smin_a > smax_b || smax_a < smin_b
    };
    // 64-bit numbers whose low halves never agree are not equal either.
    if (rules.differing_bits && !x.overlap(y))
        || (rules.differing_bounds && (apart(is32) || (!is32 && apart(true))))
    {
        return Some(false);
    }
    None
}

fn common_bit(a: &Scalar, b: &Scalar, is32: bool) -> Option<bool> {
    let (x, constant) = match (known(a, is32), known(b, is32)) {
        (_, Some(constant)) => (bits(a, is32), constant),
        (Some(constant), None) => (bits(b, is32), constant),
        (None, None) => return None,
    };
    if x.value & constant != 0 {
        Some(true)
    } else if x.max() & constant == 0 {
        Some(false)
    } else {
        None
    }
}

/// What the side of a jump teaches about its operands: the condition holds (`taken`) or does not.
#[inline]
pub fn refine(rules: Rules, cond: Cond, is32: bool, taken: bool, a: &mut Scalar, b: &mut Scalar) {
    learn(rules, cond, is32, taken, a, b);
    a.sync_by(rules);
    b.sync_by(rules);
}

/// The same where both operands are one register.
#[inline]
pub fn refine_self(rules: Rules, cond: Cond, is32: bool, taken: bool, scalar: &mut Scalar) {
    let (mut a, mut b) = (*scalar, *scalar);
    learn(rules, cond, is32, taken, &mut a, &mut b);
    let (mut wide, mut low) = (a.range64(), a.range32());
    wide.meet_unsigned(b.umin, b.umax);
    wide.meet_signed(b.smin, b.smax);
    low.meet_unsigned(b.u32_min, b.u32_max);
    low.meet_signed(b.s32_min, b.s32_max);
    *scalar = Scalar::from_parts(a.bits.intersect(b.bits), wide, low);
    // Once as either operand.
    scalar.sync_by(rules);
    scalar.sync_by(rules);
}

fn learn(rules: Rules, cond: Cond, is32: bool, taken: bool, a: &mut Scalar, b: &mut Scalar) {
    let cond = if taken { cond } else { cond.negated() };
    if !rules.pairs && cond != Cond::Eq && known(a, is32).is_none() && known(b, is32).is_none() {
        return;
    }
    match cond {
        Cond::Ne if !rules.not_equal => {}
        Cond::Eq => meet(is32, a, b),
        Cond::Ne => exclude(is32, a, b),
        Cond::Set | Cond::Clear => learn_bits(cond == Cond::Set, is32, a, b),
        Cond::Lt | Cond::Le | Cond::Slt | Cond::Sle => order(cond, is32, a, b),
        Cond::Gt | Cond::Ge | Cond::Sgt | Cond::Sge => order(cond.swapped(), is32, b, a),
    }
}

/// Equal numbers are in both; of equal 64-bit numbers the low halves are not compared.
fn meet(is32: bool, a: &mut Scalar, b: &mut Scalar) {
    if is32 {
        let mut low = a.range32();
        low.meet_unsigned(b.u32_min, b.u32_max);
        low.meet_signed(b.s32_min, b.s32_max);
        let subreg = a.bits.subreg().intersect(b.bits.subreg());
        for side in [a, b] {
            *side = Scalar::from_parts(side.bits.with_subreg(subreg), side.range64(), low);
        }
    } else {
        let mut wide = a.range64();
        wide.meet_unsigned(b.umin, b.umax);
        wide.meet_signed(b.smin, b.smax);
        let bits = a.bits.intersect(b.bits);
        for side in [a, b] {
            *side = Scalar::from_parts(bits, wide, side.range32());
        }
    }
}

/// A number that differs from a constant cannot be it: this shows only at the ends of the bounds.
fn exclude(is32: bool, a: &mut Scalar, b: &mut Scalar) {
    let (side, constant) = match (known(a, is32), known(b, is32)) {
        (_, Some(constant)) => (a, constant),
        (Some(constant), None) => (b, constant),
        (None, None) => return,
    };
    if is32 {
        let constant = constant as u32;
        if side.u32_min == constant {
            side.u32_min = side.u32_min.wrapping_add(1);
        }
        if side.u32_max == constant {
            side.u32_max = side.u32_max.wrapping_sub(1);
        }
        if side.s32_min == constant as i32 {
            side.s32_min = side.s32_min.wrapping_add(1);
        }
        if side.s32_max == constant as i32 {
            side.s32_max = side.s32_max.wrapping_sub(1);
        }
    } else {
        if side.umin == constant {
            side.umin = side.umin.wrapping_add(1);
        }
        if side.umax == constant {
            side.umax = side.umax.wrapping_sub(1);
        }
        if side.smin == constant as i64 {
            side.smin = side.smin.wrapping_add(1);
        }
        if side.smax == constant as i64 {
            side.smax = side.smax.wrapping_sub(1);
        }
    }
}

/// Of a constant's bits, all are clear, or one is set: the latter teaches something if there is only one.
fn learn_bits(set: bool, is32: bool, a: &mut Scalar, b: &mut Scalar) {
    let (side, constant) = match (known(a, is32), known(b, is32)) {
        (_, Some(constant)) => (a, constant),
        (Some(constant), None) => (b, constant),
        (None, None) => return,
    };
    let old = bits(side, is32);
    let new = if !set {
        // The bounds could contradict the bits on a side that is impossible: they go.
        side.forget_bounds();
        old.and(Tnum::constant(!constant))
    } else if constant.is_power_of_two() {
        old.or(Tnum::constant(constant))
    } else {
        return;
    };
    side.bits = if is32 {
        side.bits.with_subreg(new)
    } else {
        new
    };
}

/// `a` is below `b`, or equal to it where that is allowed.
fn order(cond: Cond, is32: bool, a: &mut Scalar, b: &mut Scalar) {
    macro_rules! below {
        ($min:ident, $max:ident, $gap:expr) => {{
            // A gap that wraps would forget a bound: there is none to gain then.
            let most = b.$max.saturating_sub($gap);
            let least = a.$min.saturating_add($gap);
            a.$max = a.$max.min(most);
            b.$min = b.$min.max(least);
        }};
    }
    match (cond, is32) {
        (Cond::Le, false) => below!(umin, umax, 0),
        (Cond::Le, true) => below!(u32_min, u32_max, 0),
        (Cond::Lt, false) => below!(umin, umax, 1),
        (Cond::Lt, true) => below!(u32_min, u32_max, 1),
        (Cond::Sle, false) => below!(smin, smax, 0),
        (Cond::Sle, true) => below!(s32_min, s32_max, 0),
        (Cond::Slt, false) => below!(smin, smax, 1),
        _ => below!(s32_min, s32_max, 1),
    }
}
