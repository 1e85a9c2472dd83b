//! How many bits of each operand may be set, and whether it may be 0: bounds worked out over the graph of a verified
//! program, so that they hold in all runs whatever paths the walk left out.
//!
//! Invariants: a width errs only towards more bits and towards 0; paths are those that the facts leave open; a register that
//! grows from round to round of a loop is given up after [`CHANGES_MAX`] changes, and all of them after
//! [`STEPS_MAX`] looks at each instruction on average.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use skep_spec::insn::{Insn, alu, atomic, class, jmp, mode, source};

use super::{InsnFacts, Way};
use crate::verified::Verified;

/// The number of a register before an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    /// It is less than two to the power of this; 64: any.
    pub bits: u8,
    pub not_zero: bool,
}

impl Width {
    /// Any number.
    pub const ANY: Width = Width {
        bits: 64,
        not_zero: false,
    };

    fn of(value: u64) -> Width {
        Width {
            bits: (64 - value.leading_zeros()) as u8,
            not_zero: value != 0,
        }
    }

    fn bits(bits: u8) -> Width {
        Width {
            bits,
            not_zero: false,
        }
    }

    fn join(self, other: Width) -> Width {
        Width {
            bits: self.bits.max(other.bits),
            not_zero: self.not_zero && other.not_zero,
        }
    }

    /// Both are known of one number.
    fn meet(self, other: Width) -> Width {
        Width {
            bits: self.bits.min(other.bits),
            not_zero: self.not_zero || other.not_zero,
        }
    }

    /// Its lower half.
    fn low(self) -> Width {
        if self.bits <= 32 {
            self
        } else {
            Width::bits(32)
        }
    }
}

/// r0 to r9.
type Registers = [Width; 10];
const UNKNOWN: Registers = [Width::ANY; 10];

/// How often a loop may come back with larger numbers before they are given up.
const CHANGES_MAX: u8 = 4;
const STEPS_MAX: usize = 32;

/// What is known of the operands of each instruction.
#[derive(Clone, Debug, Default)]
pub struct Widths {
    operands: Vec<(Width, Width)>,
}

impl Widths {
    /// The register that the instruction names first.
    pub fn dst(&self, at: usize) -> Width {
        self.operands.get(at).map_or(Width::ANY, |both| both.0)
    }

    /// The register that it names second.
    pub fn src(&self, at: usize) -> Width {
        self.operands.get(at).map_or(Width::ANY, |both| both.1)
    }

    /// Of an operation that extends 32 bits with zeros (a 32-bit move, the second shift of `<<= 32; >>= 32`): the upper bits
    /// of its source are zero already.
    pub fn upper_zero(&self, insns: &[Insn], at: usize) -> bool {
        let Some(&insn) = insns.get(at) else {
            return false;
        };
        let by_32 = |insn: &Insn, op: u8| insn.code == class::ALU64 | op && insn.imm == 32;
        if insn.code == class::ALU | alu::MOV | source::X && insn.off == 0 {
            return self.src(at).bits <= 32;
        }
        let first = at.checked_sub(1).and_then(|before| insns.get(before));
        let pair = first.is_some_and(|first| by_32(first, alu::LSH) && first.dst == insn.dst);
        by_32(&insn, alu::RSH) && pair && self.dst(at - 1).bits <= 32
    }

    /// Of a division or remainder by a register: the divisor, of the operation's width, is not 0.
    pub fn divisor_not_zero(&self, insns: &[Insn], at: usize) -> bool {
        insns.get(at).is_some_and(|insn| {
            let divides = matches!(insn.op(), alu::DIV | alu::MOD) && insn.is_register_form();
            let src = self.src(at);
            match insn.class() {
                class::ALU64 => divides && src.not_zero,
                class::ALU => divides && src.not_zero && src.bits <= 32,
                _ => false,
            }
        })
    }
}

/// Works the widths out. `insns` are those that were verified.
pub fn of(insns: &[Insn], verified: &Verified) -> Widths {
    let mut flow = Flow {
        insns,
        facts: &verified.facts,
        before: vec![None; insns.len()],
        changes: vec![0; insns.len()],
        is_waiting: vec![false; insns.len()],
        waiting: BinaryHeap::new(),
    };
    for function in &verified.functions {
        flow.reach(0, function.start, &UNKNOWN);
    }
    // In the order of the instructions: all but loops are settled at the first look.
    let mut steps = 0;
    while let Some(Reverse(at)) = flow.waiting.pop() {
        flow.is_waiting[at] = false;
        flow.step(at);
        steps += 1;
        if steps > STEPS_MAX * insns.len() {
            return Widths::default();
        }
    }
    let operands = insns.iter().zip(&flow.before).map(|(insn, before)| {
        let register = |number: u8| match before {
            Some(registers) => of_register(registers, number),
            None => Width::ANY,
        };
        (register(insn.dst), register(insn.src))
    });
    Widths {
        operands: operands.collect(),
    }
}

fn of_register(registers: &Registers, number: u8) -> Width {
    registers
        .get(usize::from(number))
        .copied()
        .unwrap_or(Width::ANY)
}

struct Flow<'a> {
    insns: &'a [Insn],
    facts: &'a [InsnFacts],
    before: Vec<Option<Registers>>,
    changes: Vec<u8>,
    is_waiting: Vec<bool>,
    waiting: BinaryHeap<Reverse<usize>>,
}

impl Flow<'_> {
    /// A path leads from `from` to `to` with those registers.
    fn reach(&mut self, from: usize, to: usize, registers: &Registers) {
        let Some(before) = self.before.get_mut(to) else {
            return;
        };
        let changed = match before {
            None => {
                *before = Some(*registers);
                true
            }
            Some(known) => {
                let comes_back = to <= from;
                let give_up = comes_back && self.changes[to] >= CHANGES_MAX;
                let mut changed = false;
                for (known, &new) in known.iter_mut().zip(registers) {
                    let joined = known.join(new);
                    if joined != *known {
                        *known = if give_up { Width::ANY } else { joined };
                        changed = true;
                    }
                }
                if changed && comes_back {
                    self.changes[to] = self.changes[to].saturating_add(1);
                }
                changed
            }
        };
        if changed && !std::mem::replace(&mut self.is_waiting[to], true) {
            self.waiting.push(Reverse(to));
        }
    }

    fn step(&mut self, at: usize) {
        let Some(mut registers) = self.before[at] else {
            return;
        };
        let (insn, facts) = (self.insns[at], self.facts[at]);
        if !facts.reached {
            return;
        }
        match insn.class() {
            class::ALU | class::ALU64 => {
                let result = compute(insn, &registers);
                set(&mut registers, insn.dst, result);
            }
            class::LDX => {
                let loaded = loaded(insn, facts.access);
                set(&mut registers, insn.dst, loaded);
            }
            class::LD if insn.is_ld_imm64() => {
                let next = self.insns.get(at + 1).copied().unwrap_or(insn);
                let value = match insn.src {
                    0 => Width::of(insn.imm64(next)),
                    _ => Width::ANY,
                };
                set(&mut registers, insn.dst, value);
                self.reach(at, at + 2, &registers);
                return;
            }
            class::LD => {
                registers[..6].fill(Width::ANY);
                registers[0] = Width::bits(32);
            }
            class::STX if insn.mode() == mode::ATOMIC => {
                let memory = Width::bits(8 * insn.width() as u8);
                match insn.imm {
                    atomic::CMPXCHG => registers[0] = memory,
                    atomic::LOAD_ACQ => {
                        let loaded = loaded(insn, facts.access);
                        set(&mut registers, insn.dst, loaded);
                    }
                    atomic::STORE_REL => {}
                    op if op & atomic::FETCH != 0 => set(&mut registers, insn.src, memory),
                    _ => {}
                }
            }
            class::JMP | class::JMP32 => {
                self.jump(at, insn, facts, &registers);
                return;
            }
            _ => {}
        }
        self.reach(at, at + 1, &registers);
    }

    fn jump(&mut self, at: usize, insn: Insn, facts: InsnFacts, registers: &Registers) {
        let target = match insn.jump_offset() {
            Some(offset) => usize::try_from(at as i64 + 1 + i64::from(offset)).ok(),
            None => None,
        };
        match insn.op() {
            jmp::EXIT => {}
            jmp::CALL => {
                let mut after = *registers;
                after[..6].fill(Width::ANY);
                self.reach(at, at + 1, &after);
            }
            jmp::JA => {
                if let Some(target) = target {
                    self.reach(at, target, registers);
                }
            }
            // Taken or not, it goes on; the ways do not tell which.
            _ if target == Some(at + 1) => self.reach(at, at + 1, registers),
            _ => {
                if facts.ways.next {
                    let taught = refined(insn, registers, false);
                    self.reach(at, at + 1, &taught);
                }
                if let (true, Some(target)) = (facts.ways.target, target) {
                    let taught = refined(insn, registers, true);
                    self.reach(at, target, &taught);
                }
            }
        }
    }
}

fn set(registers: &mut Registers, number: u8, width: Width) {
    if let Some(register) = registers.get_mut(usize::from(number)) {
        *register = width;
    }
}

/// What a load gives. Loads of a context may give whole pointers whatever their width, and so may those of structures that
/// the kernel converts.
fn loaded(insn: Insn, way: Way) -> Width {
    match way {
        Way::Direct | Way::Typed { .. } if insn.mode() != mode::MEMSX => {
            Width::bits(8 * insn.width() as u8)
        }
        _ => Width::ANY,
    }
}

/// The result of an arithmetic instruction.
fn compute(insn: Insn, registers: &Registers) -> Width {
    let wide = insn.class() == class::ALU64;
    let size: u8 = if wide { 64 } else { 32 };
    let operand = |width: Width| if wide { width } else { width.low() };
    let a = operand(of_register(registers, insn.dst));
    let constant = (!insn.is_register_form()).then_some(if wide {
        i64::from(insn.imm) as u64
    } else {
        u64::from(insn.imm as u32)
    });
    let b = match constant {
        Some(value) => Width::of(value),
        None => operand(of_register(registers, insn.src)),
    };
    let any = Width::bits(size);
    // Known only if it cannot overflow.
    let fits = |bits: u32, not_zero: bool| match u8::try_from(bits) {
        Ok(bits) if bits <= size => Width { bits, not_zero },
        _ => any,
    };
    let shift = constant.map(|by| (by & u64::from(size - 1)) as u8);
    match insn.op() {
        alu::ADD => fits(u32::from(a.bits.max(b.bits)) + 1, a.not_zero || b.not_zero),
        alu::MUL => fits(
            u32::from(a.bits) + u32::from(b.bits),
            a.not_zero && b.not_zero,
        ),
        alu::DIV if insn.off == 0 => Width::bits(a.bits),
        // By zero it leaves the dividend.
        alu::MOD if insn.off == 0 && b.not_zero => Width::bits(a.bits.min(b.bits)),
        alu::MOD if insn.off == 0 => Width::bits(a.bits),
        alu::OR => Width {
            bits: a.bits.max(b.bits),
            not_zero: a.not_zero || b.not_zero,
        },
        alu::AND => Width::bits(a.bits.min(b.bits)),
        alu::XOR => Width::bits(a.bits.max(b.bits)),
        alu::LSH => match shift {
            Some(by) => fits(u32::from(a.bits) + u32::from(by), a.not_zero),
            None => any,
        },
        alu::RSH => Width::bits(a.bits.saturating_sub(shift.unwrap_or(0))),
        // The sign is known to be 0.
        alu::ARSH if a.bits < size => Width::bits(a.bits.saturating_sub(shift.unwrap_or(0))),
        alu::NEG => Width {
            not_zero: a.not_zero,
            ..any
        },
        alu::MOV => match insn.off {
            0 => b,
            8 | 16 | 32 if i16::from(b.bits) < insn.off => b,
            1 => Width::ANY,
            _ => any,
        },
        alu::END => Width::bits(u8::try_from(insn.imm).unwrap_or(64).min(64)),
        _ => any,
    }
}

/// What a conditional jump teaches where it is (not) taken.
fn refined(insn: Insn, registers: &Registers, taken: bool) -> Registers {
    let mut taught = *registers;
    let (a, narrow) = (
        of_register(registers, insn.dst),
        insn.class() == class::JMP32,
    );
    let b = if insn.is_register_form() {
        of_register(registers, insn.src)
    } else if narrow {
        Width::of(u64::from(insn.imm as u32))
    } else {
        Width::of(i64::from(insn.imm) as u64)
    };
    if insn.op() == jmp::JCOND || narrow && (a.bits > 32 || b.bits > 32) {
        return taught;
    }
    let some = Width {
        bits: 64,
        not_zero: true,
    };
    // a < b, a <= b, a > b, a >= b, a = b
    let (mut less, mut at_most, mut more, mut at_least, mut same) =
        (false, false, false, false, false);
    match (insn.op(), taken) {
        (jmp::JEQ, true) | (jmp::JNE, false) => same = true,
        (jmp::JLT, true) | (jmp::JGE, false) => less = true,
        (jmp::JLE, true) | (jmp::JGT, false) => at_most = true,
        (jmp::JGT, true) | (jmp::JLE, false) => more = true,
        (jmp::JGE, true) | (jmp::JLT, false) => at_least = true,
        (jmp::JEQ, false) | (jmp::JNE, true) if b.bits == 0 => {
            set(&mut taught, insn.dst, a.meet(some));
        }
        (jmp::JSET, true) => set(&mut taught, insn.dst, a.meet(some)),
        _ => {}
    }
    let mut narrow_to = |of_a: Width, of_b: Width| {
        set(&mut taught, insn.dst, a.meet(of_a));
        if insn.is_register_form() && insn.src != insn.dst {
            set(&mut taught, insn.src, b.meet(of_b));
        }
    };
    if same {
        narrow_to(b, a);
    } else if less {
        narrow_to(Width::bits(b.bits), some);
    } else if at_most {
        narrow_to(Width::bits(b.bits), Width::ANY);
    } else if more {
        narrow_to(some, Width::bits(a.bits));
    } else if at_least {
        let of_a = if b.not_zero { some } else { Width::ANY };
        narrow_to(of_a, Width::bits(a.bits));
    }
    taught
}

#[cfg(test)]
mod tests;
