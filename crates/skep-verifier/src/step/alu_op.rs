//! Arithmetic: operands, moves, and who computes what.
//!
//! Invariant: a number that no longer equals its linked copies has no link.

use skep_spec::insn::{Insn, alu as op, class};

use crate::fault::{Fault, Rule};
use crate::state::reg::{Flags, Kind, LINKED_ADD, Reg};
use crate::state::scalar::Scalar;
use crate::state::scalar::rules::Rules;
use crate::step::Use;
use crate::step::alu_scalar::{AluOp, alu, fork};
use crate::structure::{self, Verdict};
use crate::verifier::Verifier;

const EACCES: i32 = 13;
const EINVAL: i32 = 22;

/// The sign of each operation in the kernel's messages, by the high bits of the code.
pub(crate) const fn sign(code: u8) -> &'static str {
    match code & 0xf0 {
        op::ADD => "+=",
        op::SUB => "-=",
        op::MUL => "*=",
        op::DIV => "/=",
        op::OR => "|=",
        op::AND => "&=",
        op::LSH => "<<=",
        op::RSH => ">>=",
        op::NEG => "neg",
        op::MOD => "%=",
        op::XOR => "^=",
        op::MOV => "=",
        op::ARSH => "s>>=",
        op::END => "endian",
        _ => "?",
    }
}

/// An immediate as the operand of an instruction: sign-extended.
pub(crate) fn immediate(imm: i32) -> Reg {
    Reg::constant(i64::from(imm) as u64)
}

impl Verifier<'_> {
    /// Whether the loader may not see the register's value because it is a pointer.
    pub fn is_pointer_value(&self, number: u8) -> bool {
        !self.allow.ptr_leaks && self.reg(number).is_pointer()
    }

    /// An arithmetic instruction.
    pub fn check_alu_op(&mut self, insn: Insn) -> Rule {
        match insn.code & 0xf0 {
            op::NEG | op::END => self.check_unary(insn),
            op::MOV => self.check_move(insn),
            _ => {
                if insn.is_register_form() {
                    self.check_reg_arg(insn.src, Use::Read)?;
                }
                self.check_reg_arg(insn.dst, Use::Read)?;
                if self.shape.verdicts.at(self.insn_idx) == Verdict::Late {
                    structure::check_late(insn)?;
                }
                self.check_reg_arg(insn.dst, Use::WriteNoMark)?;
                self.adjust_reg(insn)?;
                self.check_invariants(insn.dst, "alu")
            }
        }
    }

    fn check_unary(&mut self, insn: Insn) -> Rule {
        self.check_reg_arg(insn.dst, Use::Read)?;
        if self.is_pointer_value(insn.dst) {
            return Err(Fault::new(
                EACCES,
                "verifier-pointer-arithmetic",
                format!("R{} pointer arithmetic prohibited", insn.dst),
            ));
        }
        self.check_reg_arg(insn.dst, Use::WriteNoMark)?;
        let dst = *self.reg(insn.dst);
        if dst.kind != Kind::Scalar {
            self.set_reg(insn.dst, Reg::UNKNOWN);
            return Ok(());
        }
        let num = compute(self.scalar_rules(), insn, &dst.num, &Scalar::constant(0));
        self.set_reg(
            insn.dst,
            Reg {
                num,
                id: 0,
                off: 0,
                ..dst
            },
        );
        self.check_invariants(insn.dst, "alu")
    }

    fn check_move(&mut self, insn: Insn) -> Rule {
        let wide = insn.code & class::MASK == class::ALU64;
        if !insn.is_register_form() {
            self.check_reg_arg(insn.dst, Use::WriteNoMark)?;
            let value = if wide {
                i64::from(insn.imm) as u64
            } else {
                u64::from(insn.imm as u32)
            };
            self.set_reg(insn.dst, Reg::constant(value));
            return Ok(());
        }
        if insn.off == 1 && wide {
            return self.check_addr_space_cast(insn);
        }
        self.check_reg_arg(insn.src, Use::Read)?;
        self.check_reg_arg(insn.dst, Use::WriteNoMark)?;
        let src = *self.reg(insn.src);
        if wide && insn.off == 0 {
            self.link_before_move(insn.src);
            let src = *self.reg(insn.src);
            self.set_reg(insn.dst, src);
            return Ok(());
        }
        if self.is_pointer_value(insn.src) {
            let line = if wide {
                format!("R{} sign-extension part of pointer", insn.src)
            } else {
                format!("R{} partial copy of pointer", insn.src)
            };
            return Err(Fault::new(EACCES, "verifier-partial-pointer", line));
        }
        if src.kind != Kind::Scalar {
            let num = compute(
                self.scalar_rules(),
                Insn { off: 0, ..insn },
                &Scalar::UNKNOWN,
                &Scalar::UNKNOWN,
            );
            self.set_reg(insn.dst, Reg::scalar(num));
            return self.check_invariants(insn.dst, "alu");
        }
        // The copy stays linked where it is the same number.
        let unchanged = match (wide, insn.off) {
            (_, 8 | 16 | 32) if wide || insn.off != 32 => src.num.umax < 1 << (insn.off - 1),
            _ => src.num.umax <= u64::from(u32::MAX),
        };
        if unchanged {
            self.link_before_move(insn.src);
        }
        let src = *self.reg(insn.src);
        let num = compute(self.scalar_rules(), insn, &src.num, &src.num);
        let mut dst = Reg { num, ..src };
        if !unchanged {
            dst.id = 0;
            dst.off = 0;
        }
        self.set_reg(insn.dst, dst);
        self.check_invariants(insn.dst, "alu")
    }

    /// A cast between the kernel's and the arena's view of an address.
    fn check_addr_space_cast(&mut self, insn: Insn) -> Rule {
        if !self.uses_arena() {
            return Err(Fault::new(
                EINVAL,
                "verifier-arena",
                "addr_space_cast insn can only be used in a program that has an associated arena",
            ));
        }
        self.check_reg_arg(insn.src, Use::Read)?;
        self.check_reg_arg(insn.dst, Use::WriteNoMark)?;
        let reg = if insn.imm == 1 {
            Reg {
                num: Scalar::UNKNOWN,
                ..Reg::pointer(Kind::Arena, Flags::NONE)
            }
        } else {
            Reg::UNKNOWN
        };
        self.set_reg(insn.dst, reg);
        Ok(())
    }

    /// Whether one of the program's maps is an arena.
    pub fn uses_arena(&self) -> bool {
        self.input
            .maps
            .iter()
            .any(|map| map.map_type == skep_spec::map::MapType::Arena)
    }

    /// `dst op= src` for all but moves and unary operations.
    fn adjust_reg(&mut self, insn: Insn) -> Rule {
        let wide = insn.code & class::MASK == class::ALU64;
        let dst = *self.reg(insn.dst);
        if dst.kind == Kind::Arena {
            // Any arithmetic is good: the access wraps within the arena.
            return Ok(());
        }
        let src = if insn.is_register_form() {
            *self.reg(insn.src)
        } else {
            immediate(insn.imm)
        };
        match (dst.is_pointer(), src.is_pointer()) {
            (true, true) => {
                if insn.code & 0xf0 == op::SUB && self.allow.ptr_leaks {
                    self.note_no_index();
                    self.set_reg(insn.dst, Reg::UNKNOWN);
                    return Ok(());
                }
                return Err(Fault::new(
                    EACCES,
                    "verifier-pointer-arithmetic",
                    format!(
                        "R{} pointer {} pointer prohibited",
                        insn.dst,
                        sign(insn.code)
                    ),
                ));
            }
            (false, true) => {
                self.mark_precise(insn.dst)?;
                let dst = *self.reg(insn.dst);
                return self.adjust_pointer(insn, &src, &dst);
            }
            (true, false) => {
                if insn.is_register_form() {
                    self.mark_precise(insn.src)?;
                }
                return self.adjust_pointer(insn, &dst, &src);
            }
            (false, false) => {
                self.note_no_index();
                if dst.precise && insn.is_register_form() {
                    self.mark_precise(insn.src)?;
                }
            }
        }
        self.sanitize_scalar_alu(insn)?;
        let operand = if insn.is_register_form() || wide {
            src.num
        } else {
            Scalar::constant(u64::from(insn.imm as u32))
        };
        let rules = self.scalar_rules();
        let mut before = dst.num;
        if let Some((op, _)) = AluOp::decode(insn)
            && let Some((zero, ones)) = fork(rules, op, &before, &operand)
        {
            // The other path does this instruction again.
            let at = self.insn_idx;
            self.push_branch(at, at, false)?.frame_mut().regs[usize::from(insn.dst)].num = zero;
            before = ones;
        }
        let num = compute(rules, insn, &before, &operand);
        let mut new = Reg { num, ..dst };
        self.relink(insn, wide, &src, &mut new);
        self.set_reg(insn.dst, new);
        Ok(())
    }

    /// Keeps a link over the addition of one constant, drops it over everything else.
    fn relink(&self, insn: Insn, wide: bool, src: &Reg, dst: &mut Reg) {
        let added = src
            .as_const()
            .filter(|_| insn.code & 0xf0 == op::ADD && wide && dst.id != 0 && self.allow.bpf);
        match added {
            Some(constant) if dst.id & LINKED_ADD == 0 && constant <= i32::MAX as u64 => {
                dst.id |= LINKED_ADD;
                dst.off = constant as i32;
            }
            _ => {
                dst.id = 0;
                dst.off = 0;
            }
        }
    }

    /// What this kernel deduces about numbers.
    #[inline]
    pub fn scalar_rules(&self) -> Rules {
        Rules::of(self.input.profile.version)
    }

    /// A number's bounds must not contradict each other; if they do, only its bits are known.
    pub fn check_invariants(&mut self, number: u8, place: &str) -> Rule {
        let mut num = self.reg(number).num;
        if num.consistent() {
            return Ok(());
        }
        self.settle(&mut num, place)?;
        self.reg_mut(number).num = num;
        Ok(())
    }

    /// Takes back the bounds of a number where they contradict each other, or refuses it where the program's flags ask
    /// for that.
    #[inline]
    pub(crate) fn settle(&mut self, num: &mut Scalar, place: &str) -> Rule {
        if num.consistent() || !self.scalar_rules().invariants {
            return Ok(());
        }
        self.contradiction(num, place)
    }

    #[cold]
    fn contradiction(&mut self, num: &mut Scalar, place: &str) -> Rule {
        let line = num.violation_line(place).unwrap_or_default();
        if self.allow.test_reg_invariants {
            return Err(Fault::new(14, "verifier-bounds-contradiction", line));
        }
        self.log.line(format_args!("{line}"));
        num.forget_bounds();
        Ok(())
    }
}

/// What the instruction makes of these numbers.
fn compute(rules: Rules, insn: Insn, dst: &Scalar, src: &Scalar) -> Scalar {
    match AluOp::decode(insn) {
        Some((op, width)) => alu(rules, op, width, dst, src),
        None => Scalar::UNKNOWN,
    }
}
