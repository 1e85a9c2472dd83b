//! The rules of single instructions: which codes exist, which fields must be zero, which constants are refused.
//!
//! Invariants: [`Verdicts`] agrees with [`check_insn`] and [`check_late`] on every slot. The kernel reports the faults
//! of one instruction in three steps: reserved fields, then operands (a register that does not exist among them), then
//! constants (`div by zero`, `invalid shift`); so do these functions. Comparisons read their first operand before the
//! first step.

use skep_spec::insn::{Insn, alu, atomic, class, jmp, mode, pseudo, size, source};

use super::EINVAL;
use crate::fault::{Fault, Rule};

/// Which instructions a kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa {
    /// Atomics other than a plain add (5.12).
    pub atomics: bool,
    /// Sign-extending loads and moves, signed division, bswap (6.6).
    pub v4: bool,
    /// gotol (6.6, and carried back to the stable releases of 6.1).
    pub gotol: bool,
    /// may_goto (6.9).
    pub may_goto: bool,
    /// addr_space_cast (6.9).
    pub arena: bool,
    /// Load-acquire and store-release (6.15).
    pub ordered: bool,
}

impl Default for Isa {
    fn default() -> Isa {
        Isa::linux(6, 18)
    }
}

impl Isa {
    /// What Linux `major.minor` has.
    pub const fn linux(major: u16, minor: u16) -> Isa {
        const fn since(have: (u16, u16), want: (u16, u16)) -> bool {
            have.0 > want.0 || (have.0 == want.0 && have.1 >= want.1)
        }
        let have = (major, minor);
        Isa {
            atomics: since(have, (5, 12)),
            v4: since(have, (6, 6)),
            gotol: since(have, (6, 6)) || matches!(have, (6, 1)),
            may_goto: since(have, (6, 9)),
            arena: since(have, (6, 9)),
            ordered: since(have, (6, 15)),
        }
    }

    /// Whether the kernel has the code at all; fields are another matter. Wide loads are known.
    pub const fn knows(&self, insn: Insn) -> bool {
        let code = insn.code;
        match insn.class() {
            class::LD => {
                let legacy = matches!(insn.mode(), mode::ABS | mode::IND);
                insn.is_ld_imm64() || (legacy && insn.size() != size::DW)
            }
            class::LDX => match insn.mode() {
                mode::MEM => true,
                mode::MEMSX => self.v4 && insn.size() != size::DW,
                _ => false,
            },
            class::ST => insn.mode() == mode::MEM,
            class::STX => match insn.mode() {
                mode::MEM => true,
                mode::ATOMIC => {
                    matches!(insn.size(), size::W | size::DW)
                        || (self.ordered && matches!(insn.size(), size::B | size::H))
                }
                _ => false,
            },
            class::ALU | class::ALU64 => match insn.op() {
                alu::NEG => !insn.is_register_form(),
                alu::END if insn.class() == class::ALU64 => self.v4 && !insn.is_register_form(),
                alu::END => true,
                op => op < alu::END,
            },
            class::JMP => match insn.op() {
                jmp::JA | jmp::CALL | jmp::EXIT => !insn.is_register_form(),
                jmp::JCOND => self.may_goto && !insn.is_register_form(),
                op => op < jmp::JCOND,
            },
            // The last class: JMP32.
            _ => match insn.op() {
                jmp::JA => self.gotol && code & source::X == 0,
                jmp::CALL | jmp::EXIT => false,
                op => op < jmp::JCOND,
            },
        }
    }
}

/// Whether a slot of class LDX is a load from memory with nothing in its immediate.
pub(super) const fn is_plain_load(insn: Insn, isa: &Isa) -> bool {
    insn.imm == 0 && (insn.mode() == mode::MEM || (isa.v4 && insn.mode() == mode::MEMSX))
}

/// What the kernel has against an instruction by its fields alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Verdict {
    /// Nothing.
    #[default]
    Fine,
    /// [`check_insn`] refuses it.
    Reserved,
    /// [`check_insn`] refuses it, but a comparison's first operand is read before that.
    ReservedAfterFirst,
    /// It names a register above r10: [`check_register`] refuses that operand when its turn comes.
    Register,
    /// [`check_late`] refuses it, once its operands are found readable.
    Late,
}

/// The verdict on each slot, made once; slots after the last that is not fine are left out.
#[derive(Clone, Debug, Default)]
pub struct Verdicts(Vec<Verdict>);

impl Verdicts {
    /// Judges every slot that starts an instruction.
    pub fn of(insns: &[Insn], isa: &Isa) -> Verdicts {
        // Most programs are fine throughout.
        let mut verdicts = Vec::new();
        let mut at = 0;
        while at < insns.len() {
            let insn = insns[at];
            let verdict = if reserved(insn, isa).is_some() {
                match is_comparison(insn) {
                    true => Verdict::ReservedAfterFirst,
                    false => Verdict::Reserved,
                }
            } else if (uses_destination(insn) && insn.dst > 10)
                || (uses_source(insn) && insn.src > 10)
            {
                Verdict::Register
            } else if late(insn).is_some() {
                Verdict::Late
            } else {
                Verdict::Fine
            };
            if verdict != Verdict::Fine {
                verdicts.resize(at, Verdict::Fine);
                verdicts.push(verdict);
            }
            at += insn.slots();
        }
        Verdicts(verdicts)
    }

    /// The verdict on the instruction at a slot. Cheap: one load.
    #[inline]
    pub fn at(&self, slot: usize) -> Verdict {
        self.0.get(slot).copied().unwrap_or_default()
    }
}

/// Whether it is a conditional jump with operands.
const fn is_comparison(insn: Insn) -> bool {
    matches!(insn.class(), class::JMP | class::JMP32)
        && !matches!(insn.op(), jmp::JA | jmp::CALL | jmp::EXIT | jmp::JCOND)
}

/// Whether the destination field names a register. Where it does not, its rule is one of reserved fields.
const fn uses_destination(insn: Insn) -> bool {
    match insn.class() {
        class::LD => insn.is_ld_imm64(),
        class::JMP | class::JMP32 => is_comparison(insn),
        _ => true,
    }
}

/// Whether the source field names a register.
const fn uses_source(insn: Insn) -> bool {
    match insn.class() {
        class::LD => insn.mode() == mode::IND,
        class::LDX | class::STX => true,
        class::ST => false,
        class::ALU | class::ALU64 => insn.is_register_form() && insn.op() != alu::END,
        _ => insn.is_register_form() && is_comparison(insn),
    }
}

/// What a field holds that it must not; the rules are asked before any operand is looked at.
enum Reserved {
    /// A fixed text.
    Text(&'static str),
    /// may_goto with operands.
    MayGoto,
    /// An atomic operation that does not exist.
    Atomic,
}

const fn reserved(insn: Insn, isa: &Isa) -> Option<Reserved> {
    let text = match insn.class() {
        class::ALU | class::ALU64 => return reserved_alu(insn, isa),
        class::LDX => match is_plain_load(insn, isa) {
            true => return None,
            false => "BPF_LDX uses reserved fields",
        },
        class::ST if insn.mode() != mode::MEM || insn.src != 0 => "BPF_ST uses reserved fields",
        class::ST => return None,
        class::STX => return reserved_stx(insn, isa),
        class::LD => match insn.mode() {
            // Packet loads ask for the program type first, so their fields are judged by `check_packet_load`.
            mode::ABS | mode::IND => return None,
            mode::IMM if insn.size() != size::DW => "invalid BPF_LD_IMM insn",
            mode::IMM if insn.off != 0 => "BPF_LD_IMM64 uses reserved fields",
            mode::IMM => return None,
            _ => "invalid BPF_LD mode",
        },
        _ => return reserved_jmp(insn),
    };
    Some(Reserved::Text(text))
}

const fn reserved_alu(insn: Insn, isa: &Isa) -> Option<Reserved> {
    let wide = insn.class() == class::ALU64;
    let text = match insn.op() {
        alu::NEG => {
            if !insn.is_register_form() && insn.src == 0 && insn.off == 0 && insn.imm == 0 {
                return None;
            }
            "BPF_NEG uses reserved fields"
        }
        alu::END => {
            let width = matches!(insn.imm, 16 | 32 | 64);
            let order = !wide || !insn.is_register_form();
            if insn.src == 0 && insn.off == 0 && width && order {
                return None;
            }
            "BPF_END uses reserved fields"
        }
        alu::MOV if !insn.is_register_form() => {
            if insn.src == 0 && insn.off == 0 {
                return None;
            }
            "BPF_MOV uses reserved fields"
        }
        alu::MOV if wide && insn.off == 1 && isa.arena => {
            if insn.imm == 1 || insn.imm == 1 << 16 {
                return None;
            }
            "addr_space_cast insn can only convert between address space 1 and 0"
        }
        alu::MOV => {
            let extends = match insn.off {
                0 => true,
                8 | 16 => isa.v4,
                32 => isa.v4 && wide,
                _ => false,
            };
            if extends && insn.imm == 0 {
                return None;
            }
            "BPF_MOV uses reserved fields"
        }
        op => {
            let signed = isa.v4 && matches!(op, alu::DIV | alu::MOD);
            let off = match insn.off {
                0 => true,
                1 => signed,
                _ => false,
            };
            let other = if insn.is_register_form() {
                insn.imm == 0
            } else {
                insn.src == 0
            };
            if off && other {
                return None;
            }
            "BPF_ALU uses reserved fields"
        }
    };
    Some(Reserved::Text(text))
}

const fn reserved_stx(insn: Insn, isa: &Isa) -> Option<Reserved> {
    if insn.mode() != mode::ATOMIC {
        return match insn.mode() == mode::MEM && insn.imm == 0 {
            true => None,
            false => Some(Reserved::Text("BPF_STX uses reserved fields")),
        };
    }
    let word = matches!(insn.size(), size::W | size::DW);
    match insn.imm {
        atomic::LOAD_ACQ | atomic::STORE_REL if isa.ordered => None,
        atomic::ADD => sized(word),
        op if isa.atomics && is_read_modify_write(op) => sized(word),
        _ => Some(Reserved::Atomic),
    }
}

const fn sized(word: bool) -> Option<Reserved> {
    match word {
        true => None,
        false => Some(Reserved::Text("invalid atomic operand size")),
    }
}

/// Whether it is an operation of an atomic that reads, changes and writes.
const fn is_read_modify_write(op: i32) -> bool {
    matches!(
        op & !atomic::FETCH,
        atomic::ADD | atomic::OR | atomic::AND | atomic::XOR
    ) || op == atomic::XCHG
        || op == atomic::CMPXCHG
}

const fn reserved_jmp(insn: Insn) -> Option<Reserved> {
    let wide = insn.class() == class::JMP;
    let text = match insn.op() {
        jmp::CALL => {
            let off = insn.off == 0 || insn.src == pseudo::KFUNC_CALL;
            let kind = matches!(insn.src, pseudo::HELPER | pseudo::CALL | pseudo::KFUNC_CALL);
            if wide && !insn.is_register_form() && off && kind && insn.dst == 0 {
                return None;
            }
            "BPF_CALL uses reserved fields"
        }
        jmp::JA => {
            let unused = if wide { insn.imm == 0 } else { insn.off == 0 };
            if !insn.is_register_form() && insn.src == 0 && insn.dst == 0 && unused {
                return None;
            }
            "BPF_JA uses reserved fields"
        }
        jmp::EXIT => {
            let bare = insn.imm == 0 && insn.src == 0 && insn.dst == 0;
            if wide && !insn.is_register_form() && bare {
                return None;
            }
            "BPF_EXIT uses reserved fields"
        }
        jmp::JCOND => {
            if wide && insn.src == 0 && insn.dst == 0 && insn.imm == 0 {
                return None;
            }
            return Some(Reserved::MayGoto);
        }
        _ => {
            if (insn.is_register_form() && insn.imm == 0)
                || (!insn.is_register_form() && insn.src == 0)
            {
                return None;
            }
            "BPF_JMP/JMP32 uses reserved fields"
        }
    };
    Some(Reserved::Text(text))
}

/// The first step: fields that the instruction does not have must be zero.
pub fn check_insn(insn: Insn, isa: &Isa) -> Rule {
    let code = "verifier-reserved-field";
    Err(match reserved(insn, isa) {
        None => return Ok(()),
        Some(Reserved::Text(text)) => Fault::new(EINVAL, code, text),
        Some(Reserved::MayGoto) => {
            Fault::new(EINVAL, code, format!("invalid may_goto imm {}", insn.imm))
        }
        Some(Reserved::Atomic) => Fault::new(
            EINVAL,
            "verifier-unknown-atomic",
            format!("BPF_ATOMIC uses invalid atomic opcode {:02x}", insn.imm),
        ),
    })
}

/// The first step of a legacy packet load, after the program type was found to allow it.
pub fn check_packet_load(insn: Insn) -> Rule {
    let source = insn.mode() == mode::ABS && insn.src != 0;
    if insn.dst != 0 || insn.off != 0 || insn.size() == size::DW || source {
        return Err(Fault::new(
            EINVAL,
            "verifier-reserved-field",
            "BPF_LD_[ABS|IND] uses reserved fields",
        ));
    }
    Ok(())
}

/// The second step, for each operand: the register exists.
pub fn check_register(register: u8) -> Rule {
    match register {
        0..=10 => Ok(()),
        _ => {
            let line = format!("R{register} is invalid");
            Err(Fault::new(EINVAL, "verifier-no-such-register", line))
        }
    }
}

/// A constant operand that no value of the other makes right.
enum Late {
    Zero,
    Shift,
}

const fn late(insn: Insn) -> Option<Late> {
    if !matches!(insn.class(), class::ALU | class::ALU64) || insn.is_register_form() {
        return None;
    }
    let bits = if insn.class() == class::ALU64 { 64 } else { 32 };
    match insn.op() {
        alu::DIV | alu::MOD if insn.imm == 0 => Some(Late::Zero),
        alu::LSH | alu::RSH | alu::ARSH if insn.imm < 0 || insn.imm >= bits => Some(Late::Shift),
        _ => None,
    }
}

/// The third step, after the operands were found readable: the constant is usable.
pub fn check_late(insn: Insn) -> Rule {
    Err(match late(insn) {
        None => return Ok(()),
        Some(Late::Zero) => Fault::new(EINVAL, "verifier-div-by-zero", "div by zero"),
        Some(Late::Shift) => {
            let line = format!("invalid shift {}", insn.imm);
            Fault::new(EINVAL, "verifier-bad-shift", line)
        }
    })
}
