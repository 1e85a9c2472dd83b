//! Pointer arithmetic: which pointers take which offsets.
//!
//! Invariant: the offset of a pointer, fixed and variable part, stays below 2^29 on either side, so that sums of
//! offsets and sizes do not overflow.

use skep_spec::insn::{Insn, alu as op, class};

use crate::check::mem::plain::VAR_OFF_MAX;
use crate::check::mem::stack::STACK_BYTES;
use crate::fault::{Fault, Rule};
use crate::state::name::type_name;
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::state::scalar::Scalar;
use crate::step::alu_op::sign;
use crate::verifier::Verifier;

const EACCES: i32 = 13;
const EINVAL: i32 = 22;

#[cold]
fn refused(line: String) -> Box<Fault> {
    Fault::new(EACCES, "verifier-pointer-arithmetic", line)
}

impl Verifier<'_> {
    /// The result of `ptr (+|-) off` in `insn.dst`; `ptr` and `off` are copies of the operands (in either order).
    pub fn adjust_pointer(&mut self, insn: Insn, ptr: &Reg, off: &Reg) -> Rule {
        let dst = insn.dst;
        let (of, by) = (&ptr.num, &off.num);
        let known = by.is_const();
        if known && (by.smin != by.smax || by.umin != by.umax)
            || by.smin > by.smax
            || by.umin > by.umax
        {
            // The offset's bounds contradict each other: a dead branch's leftovers.
            self.set_reg(dst, Reg::UNKNOWN);
            return Ok(());
        }
        let operation = insn.code & 0xf0;
        if insn.code & class::MASK != class::ALU64 {
            if operation == op::SUB && self.allow.ptr_leaks {
                self.set_reg(dst, Reg::UNKNOWN);
                return Ok(());
            }
            return Err(refused(format!(
                "R{dst} 32-bit pointer arithmetic prohibited"
            )));
        }
        if ptr.maybe_null() {
            return Err(refused(format!(
                "R{dst} pointer arithmetic on {} prohibited, null-check it first",
                ptr.type_name()
            )));
        }
        if ptr.kind == Kind::Mem && ptr.flags.has(Flags::UNTRUSTED) {
            // Loads are probed wherever they go.
            self.set_reg(dst, *ptr);
            return Ok(());
        }
        let takes_offsets = match ptr.kind {
            Kind::Ctx
            | Kind::MapValue
            | Kind::MapKey
            | Kind::Stack
            | Kind::PacketMeta
            | Kind::Packet
            | Kind::TpBuffer
            | Kind::BtfId
            | Kind::Mem
            | Kind::Buf
            | Kind::Func
            | Kind::ConstDynptr => true,
            Kind::FlowKeys => known,
            Kind::MapPtr => known && by.smin == 0 && operation == op::ADD,
            _ => false,
        };
        if !takes_offsets {
            return Err(refused(format!(
                "R{dst} pointer arithmetic on {} prohibited",
                ptr.type_name()
            )));
        }
        check_sane_offset(off, ptr)?;
        check_sane_offset(ptr, ptr)?;
        let masking = self.sanitize_pointer_before(insn, ptr, off)?;
        let mut new = *ptr;
        let fixed = match operation {
            op::ADD => i64::from(ptr.off) + by.smin,
            op::SUB => i64::from(ptr.off).wrapping_sub(by.smin),
            _ => 0,
        };
        match operation {
            op::ADD => match i32::try_from(fixed) {
                Ok(fixed) if known => new.off = fixed,
                _ => {
                    new.num = add(of, by);
                    if ptr.is_packet() {
                        new.id = self.new_id();
                        new.detail = Detail::Range(0);
                    }
                }
            },
            op::SUB => {
                if self.reg(dst).kind == Kind::Scalar {
                    return Err(refused(format!(
                        "R{dst} tried to subtract pointer from scalar"
                    )));
                }
                if ptr.kind == Kind::Stack {
                    return Err(refused(format!(
                        "R{dst} subtraction from stack pointer prohibited"
                    )));
                }
                match i32::try_from(fixed) {
                    Ok(fixed) if known => new.off = fixed,
                    _ => {
                        new.num = subtract(of, by);
                        if ptr.is_packet() {
                            new.id = self.new_id();
                            if by.smin < 0 {
                                // Something may have been added.
                                new.detail = Detail::Range(0);
                            }
                        }
                    }
                }
            }
            op::AND | op::OR | op::XOR => {
                return Err(refused(format!(
                    "R{dst} bitwise operator {} on pointer prohibited",
                    sign(insn.code)
                )));
            }
            _ => {
                return Err(refused(format!(
                    "R{dst} pointer arithmetic with {} operator prohibited",
                    sign(insn.code)
                )));
            }
        }
        check_sane_offset(&new, ptr)?;
        new.num.sync();
        self.set_reg(dst, new);
        if insn.is_register_form() {
            self.note_index(off.num.umax);
        }
        self.check_reachable(dst, &new)?;
        self.sanitize_pointer_after(insn, off, masking)
    }

    /// Without privileges the result must point into its object, so that it can be masked when speculation goes wrong.
    fn check_reachable(&mut self, dst: u8, new: &Reg) -> Rule {
        if self.allow.bypass_spec_v1 {
            return Ok(());
        }
        match new.kind {
            Kind::Stack => {
                let at = i64::from(new.off).wrapping_add(new.num.bits.value as i64);
                if !new.num.is_const() {
                    return Err(refused(format!(
                        "R{dst} variable stack access prohibited for !root, var_off={} off={at}",
                        new.num.bits
                    )));
                }
                if !(-STACK_BYTES..0).contains(&at) {
                    return Err(refused(format!(
                        "R{dst} stack pointer arithmetic goes out of range, prohibited for !root; off={at}"
                    )));
                }
            }
            Kind::MapValue => {
                self.check_map_access(dst, new.off, 1, false, true)
                    .map_err(|fault| {
                        fault.and(format!(
                            "R{dst} pointer arithmetic of map value goes out of range, prohibited for !root"
                        ))
                    })?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether an offset is small enough to be calculated with.
fn check_sane_offset(reg: &Reg, ptr: &Reg) -> Rule {
    let name = type_name(ptr.kind, ptr.flags);
    let (value, smin) = (reg.num.bits.value as i64, reg.num.smin);
    let line = if reg.num.is_const() && (value >= VAR_OFF_MAX || value <= -VAR_OFF_MAX) {
        format!("math between {name} pointer and {value} is not allowed")
    } else if i64::from(reg.off) >= VAR_OFF_MAX || i64::from(reg.off) <= -VAR_OFF_MAX {
        format!("{name} pointer offset {} is not allowed", reg.off)
    } else if smin == i64::MIN {
        format!("math between {name} pointer and register with unbounded min value is not allowed")
    } else if smin >= VAR_OFF_MAX || smin <= -VAR_OFF_MAX {
        format!("value {smin} makes {name} pointer be out of bounds")
    } else {
        return Ok(());
    };
    Err(Fault::new(EINVAL, "verifier-pointer-offset", line))
}

/// The variable part after adding a number; what its low half may be is not followed.
fn add(a: &Scalar, b: &Scalar) -> Scalar {
    let mut sum = Scalar {
        bits: a.bits.add(b.bits),
        ..Scalar::UNKNOWN
    };
    if let (Some(smin), Some(smax)) = (a.smin.checked_add(b.smin), a.smax.checked_add(b.smax)) {
        (sum.smin, sum.smax) = (smin, smax);
    }
    if let (Some(umin), Some(umax)) = (a.umin.checked_add(b.umin), a.umax.checked_add(b.umax)) {
        (sum.umin, sum.umax) = (umin, umax);
    }
    sum
}

/// The variable part after subtracting a number.
fn subtract(a: &Scalar, b: &Scalar) -> Scalar {
    let mut difference = Scalar {
        bits: a.bits.sub(b.bits),
        ..Scalar::UNKNOWN
    };
    if let (Some(smin), Some(smax)) = (a.smin.checked_sub(b.smax), a.smax.checked_sub(b.smin)) {
        (difference.smin, difference.smax) = (smin, smax);
    }
    if a.umin >= b.umax {
        (difference.umin, difference.umax) = (a.umin - b.umax, a.umax - b.umin);
    }
    difference
}
