//! One instruction: what it does to the state.
//!
//! Invariant: a step either changes the state as every concrete run would, for all values that the state stands for,
//! or returns a fault.

use skep_spec::insn::{class, jmp, mode};

use crate::fault::{Fault, Rule};
use crate::record::FieldKind;
use crate::state::reg::{Kind, Reg};
use crate::structure::{self, Verdict};
use crate::verifier::Verifier;

pub mod alu_op;
pub mod alu_scalar;
pub mod jump;
pub mod linked;
pub mod load_imm;
pub mod pointer;
pub mod refine;

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// That instruction.
    Insn(usize),
    /// Nowhere: the path is walked to its end.
    PathEnds,
}

const EACCES: i32 = 13;

/// How a register is used ("SRC_OP", "DST_OP", "DST_OP_NO_MARK").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Read,
    /// Overwritten with something unknown.
    Write,
    /// Overwritten by the caller itself.
    WriteNoMark,
}

impl Verifier<'_> {
    /// Does the current instruction.
    pub fn step(&mut self) -> Rule<Next> {
        let at = self.insn_idx;
        let insn = self.insns[at];
        if self.shape.verdicts.at(at) == Verdict::Reserved {
            structure::check_insn(insn, &self.shape.isa)?;
        }
        let following = Next::Insn(at + 1);
        match insn.code & class::MASK {
            class::ALU | class::ALU64 => {
                self.check_alu_op(insn)?;
                Ok(following)
            }
            class::LDX => {
                self.step_load(insn)?;
                Ok(following)
            }
            class::STX if insn.code & mode::MASK == mode::ATOMIC => {
                self.check_atomic(insn)?;
                Ok(following)
            }
            class::STX => {
                self.step_store(insn)?;
                Ok(following)
            }
            class::ST => {
                self.step_store_imm(insn)?;
                Ok(following)
            }
            class::LD => self.step_load_imm(insn),
            _ => match insn.code & 0xf0 {
                jmp::CALL => self.step_call(insn),
                jmp::EXIT => self.step_exit(false),
                jmp::JA => Ok(Next::Insn(self.jump_always(insn))),
                _ => self.check_cond_jmp(insn),
            },
        }
    }

    /// Checks the use of a register ("R%d !read_ok", "frame pointer is read only").
    pub fn check_reg_arg(&mut self, number: u8, how: Use) -> Rule {
        if number > 10 {
            return Err(Fault::new(
                22,
                "verifier-register-number",
                format!("R{number} is invalid"),
            ));
        }
        self.log.scratch_reg(number);
        match how {
            Use::Read => {
                if self.reg(number).kind == Kind::NotInit {
                    return Err(Fault::new(
                        EACCES,
                        "verifier-register-uninitialised",
                        format!("R{number} !read_ok"),
                    ));
                }
            }
            Use::Write | Use::WriteNoMark => {
                if number == 10 {
                    return Err(Fault::new(
                        EACCES,
                        "verifier-frame-pointer-written",
                        "frame pointer is read only",
                    ));
                }
                if how == Use::Write {
                    self.set_reg(number, Reg::UNKNOWN);
                }
            }
        }
        Ok(())
    }

    /// The target of an unconditional jump, short or long.
    fn jump_always(&self, insn: skep_spec::insn::Insn) -> usize {
        let off = if insn.code & class::MASK == class::JMP32 {
            i64::from(insn.imm)
        } else {
            i64::from(insn.off)
        };
        (self.insn_idx as i64 + 1 + off) as usize
    }
}

impl Verifier<'_> {
    /// Whether the pointer may lead to a spin lock, whose identity its id is.
    fn may_point_to_lock(&self, reg: &Reg) -> bool {
        self.reg_record(reg).is_some_and(|record| record.has_lock())
    }

    /// Whether pointers to this inner map must be told apart (it has timers and the like).
    fn map_needs_uid(&self, map: crate::input::MapId) -> bool {
        self.map_record_ref(map).is_some_and(|record| {
            record.has(FieldKind::Timer)
                || record.has(FieldKind::Workqueue)
                || record.has(FieldKind::TaskWork)
        })
    }
}
