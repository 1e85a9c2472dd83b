//! Which instructions of a program can run at all: conditional constant propagation over registers, with loads from
//! frozen maps folded.
//!
//! Invariants: the answer errs only towards "reachable"; a register is a constant only if it is that constant on every
//! path that reaches the instruction; nothing is known about memory other than frozen map values. Terminates because
//! each register falls at most twice (constant, map value, anything).

use skep_spec::insn::Insn;

// The few bits of the encoding that the analysis reads (RFC 9669, section 3).
const CLASS_MASK: u8 = 0x07;
const LD: u8 = 0x00;
const LDX: u8 = 0x01;
const ST: u8 = 0x02;
const STX: u8 = 0x03;
const ALU: u8 = 0x04;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
const ALU64: u8 = 0x07;
const FROM_REGISTER: u8 = 0x08;
const LD_IMM64: u8 = 0x18;
const MODE_MASK: u8 = 0xe0;
const MODE_MEM: u8 = 0x60;
const MODE_MEMSX: u8 = 0x80;
const MODE_ATOMIC: u8 = 0xc0;
const PSEUDO_MAP_VALUE: u8 = 2;
const PSEUDO_FUNC: u8 = 4;
const PSEUDO_MAP_IDX_VALUE: u8 = 6;
const PSEUDO_CALL: u8 = 1;

/// What a register holds, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Value {
    /// No path has come here yet.
    Unset,
    Constant(u64),
    /// The address of byte `offset` of the value of map `map` (an index into the program's maps).
    InMap {
        map: u32,
        offset: i64,
    },
    Anything,
}

impl Value {
    fn join(self, other: Value) -> Value {
        match (self, other) {
            (Value::Unset, v) | (v, Value::Unset) => v,
            (a, b) if a == b => a,
            _ => Value::Anything,
        }
    }

    fn constant(self) -> Option<u64> {
        match self {
            Value::Constant(c) => Some(c),
            _ => None,
        }
    }
}

type Registers = [Value; 11];

const UNKNOWN: Registers = [Value::Anything; 11];

/// Marks the instructions of `insns` that can run, starting at instruction 0. `frozen(map, offset, width)` gives the
/// little-endian value of `width` bytes in a map that can never change, or `None`. Both slots of a 16-byte
/// instruction carry the same mark.
pub fn reachable(insns: &[Insn], frozen: &dyn Fn(u32, u64, usize) -> Option<u64>) -> Vec<bool> {
    let mut analysis = Analysis {
        insns,
        frozen,
        states: vec![None; insns.len()],
        work: Vec::new(),
    };
    let mut entry = UNKNOWN;
    entry[0] = Value::Unset;
    analysis.flow_to(0, &entry);
    while let Some(pc) = analysis.work.pop() {
        analysis.step(pc);
    }
    let mut marks: Vec<bool> = analysis.states.iter().map(Option::is_some).collect();
    for pc in 0..insns.len() {
        if marks[pc] && insns[pc].code == LD_IMM64 && pc + 1 < marks.len() {
            marks[pc + 1] = true;
        }
    }
    marks
}

struct Analysis<'a> {
    insns: &'a [Insn],
    frozen: &'a dyn Fn(u32, u64, usize) -> Option<u64>,
    states: Vec<Option<Box<Registers>>>,
    work: Vec<usize>,
}

impl Analysis<'_> {
    fn flow_to(&mut self, pc: usize, incoming: &Registers) {
        let Some(slot) = self.states.get_mut(pc) else {
            return;
        };
        match slot {
            None => {
                *slot = Some(Box::new(*incoming));
                self.work.push(pc);
            }
            Some(state) => {
                let mut changed = false;
                for (have, new) in state.iter_mut().zip(incoming) {
                    let joined = have.join(*new);
                    changed |= joined != *have;
                    *have = joined;
                }
                if changed {
                    self.work.push(pc);
                }
            }
        }
    }

    fn jump(&mut self, pc: usize, offset: i64, regs: &Registers) {
        let target = pc as i64 + 1 + offset;
        if let Ok(target) = usize::try_from(target) {
            self.flow_to(target, regs);
        }
    }

    fn step(&mut self, pc: usize) {
        let Some(state) = &self.states[pc] else {
            return;
        };
        let mut regs: Registers = **state;
        let insn = self.insns[pc];
        let (dst, src) = (usize::from(insn.dst), usize::from(insn.src));
        if dst > 10 || (src > 10 && insn.code & CLASS_MASK != JMP) {
            // Malformed: whoever decodes the program says so; here it only must not hide anything.
            self.flow_to(pc + 1, &UNKNOWN);
            return;
        }
        match insn.code & CLASS_MASK {
            LD if insn.code == LD_IMM64 => {
                let high = self.insns.get(pc + 1).map_or(0, |next| next.imm);
                regs[dst] = match insn.src {
                    0 => Value::Constant((high as u32 as u64) << 32 | insn.imm as u32 as u64),
                    PSEUDO_MAP_VALUE | PSEUDO_MAP_IDX_VALUE => Value::InMap {
                        map: insn.imm as u32,
                        offset: i64::from(high as u32),
                    },
                    _ => Value::Anything,
                };
                if insn.src == PSEUDO_FUNC {
                    self.jump(pc, i64::from(insn.imm), &UNKNOWN);
                }
                self.flow_to(pc + 2, &regs);
            }
            LD => {
                // Legacy packet loads: r0 gets the value, r1 to r5 are scratched.
                regs[..6].fill(Value::Anything);
                self.flow_to(pc + 1, &regs);
            }
            LDX => {
                regs[dst] = self.load(insn, regs[src]);
                self.flow_to(pc + 1, &regs);
            }
            ST => self.flow_to(pc + 1, &regs),
            STX => {
                if insn.code & MODE_MASK == MODE_ATOMIC {
                    // Fetching forms write src, compare-and-exchange writes r0, load-acquire writes dst.
                    regs[src] = Value::Anything;
                    regs[dst] = Value::Anything;
                    regs[0] = Value::Anything;
                }
                self.flow_to(pc + 1, &regs);
            }
            ALU | ALU64 => {
                regs[dst] = alu(insn, regs[dst], regs[src]);
                self.flow_to(pc + 1, &regs);
            }
            JMP | JMP32 => self.branch(pc, insn, regs),
            _ => self.flow_to(pc + 1, &UNKNOWN),
        }
    }

    fn load(&self, insn: Insn, base: Value) -> Value {
        let Value::InMap { map, offset } = base else {
            return Value::Anything;
        };
        let width = match insn.code & 0x18 {
            0x00 => 4,
            0x08 => 2,
            0x10 => 1,
            _ => 8,
        };
        let signed = match insn.code & MODE_MASK {
            MODE_MEM => false,
            MODE_MEMSX => true,
            _ => return Value::Anything,
        };
        let at = offset.checked_add(i64::from(insn.off));
        let Some(at) = at.and_then(|at| u64::try_from(at).ok()) else {
            return Value::Anything;
        };
        match (self.frozen)(map, at, width) {
            Some(value) if signed => {
                let shift = 64 - 8 * width as u32;
                Value::Constant((((value << shift) as i64) >> shift) as u64)
            }
            Some(value) => Value::Constant(value),
            None => Value::Anything,
        }
    }

    fn branch(&mut self, pc: usize, insn: Insn, mut regs: Registers) {
        let narrow = insn.code & CLASS_MASK == JMP32;
        match insn.code & 0xf0 {
            0x00 if insn.code & FROM_REGISTER != 0 => {
                // callx-style indirect jump: anything with its address taken was entered at the ld_imm64 that took it.
            }
            0x00 if narrow => self.jump(pc, i64::from(insn.imm), &regs),
            0x00 => self.jump(pc, i64::from(insn.off), &regs),
            0x80 => {
                if insn.src == PSEUDO_CALL {
                    let mut callee = regs;
                    callee[0] = Value::Unset;
                    callee[6..10].fill(Value::Unset);
                    callee[10] = Value::Anything;
                    self.jump(pc, i64::from(insn.imm), &callee);
                }
                regs[..6].fill(Value::Anything);
                self.flow_to(pc + 1, &regs);
            }
            0x90 => {}
            0xe0 => {
                // may_goto: either way.
                self.jump(pc, i64::from(insn.off), &regs);
                self.flow_to(pc + 1, &regs);
            }
            operation => {
                let left = regs[usize::from(insn.dst)].constant();
                let right = if insn.code & FROM_REGISTER != 0 {
                    regs.get(usize::from(insn.src)).and_then(|v| v.constant())
                } else {
                    Some(insn.imm as i64 as u64)
                };
                match left
                    .zip(right)
                    .and_then(|(a, b)| taken(operation, narrow, a, b))
                {
                    Some(true) => self.jump(pc, i64::from(insn.off), &regs),
                    Some(false) => self.flow_to(pc + 1, &regs),
                    None => {
                        self.jump(pc, i64::from(insn.off), &regs);
                        self.flow_to(pc + 1, &regs);
                    }
                }
            }
        }
    }
}

fn taken(operation: u8, narrow: bool, a: u64, b: u64) -> Option<bool> {
    let (ua, ub) = if narrow {
        (a as u32 as u64, b as u32 as u64)
    } else {
        (a, b)
    };
    let (sa, sb) = if narrow {
        (a as i32 as i64, b as i32 as i64)
    } else {
        (a as i64, b as i64)
    };
    Some(match operation {
        0x10 => ua == ub,
        0x20 => ua > ub,
        0x30 => ua >= ub,
        0x40 => ua & ub != 0,
        0x50 => ua != ub,
        0x60 => sa > sb,
        0x70 => sa >= sb,
        0xa0 => ua < ub,
        0xb0 => ua <= ub,
        0xc0 => sa < sb,
        0xd0 => sa <= sb,
        _ => return None,
    })
}

/// The result of an ALU instruction, folded where both operands are known; division is left alone.
fn alu(insn: Insn, dst: Value, src: Value) -> Value {
    let wide = insn.code & CLASS_MASK == ALU64;
    let operation = insn.code & 0xf0;
    let operand = if insn.code & FROM_REGISTER != 0 {
        src
    } else {
        Value::Constant(insn.imm as i64 as u64)
    };
    if wide && insn.off == 0 {
        match (operation, dst, operand) {
            (0xb0, _, v @ Value::InMap { .. }) => return v,
            (0x00, Value::InMap { map, offset }, Value::Constant(c)) => {
                return Value::InMap {
                    map,
                    offset: offset.wrapping_add(c as i64),
                };
            }
            (0x10, Value::InMap { map, offset }, Value::Constant(c)) => {
                return Value::InMap {
                    map,
                    offset: offset.wrapping_sub(c as i64),
                };
            }
            _ => {}
        }
    }
    if operation == 0xd0 {
        return Value::Anything;
    }
    // A sign-extending move keeps its width in `off`.
    let Some(b) = operand.constant() else {
        return Value::Anything;
    };
    if operation == 0xb0 {
        let moved = match insn.off {
            0 => b,
            8 => b as i8 as i64 as u64,
            16 => b as i16 as i64 as u64,
            32 => b as i32 as i64 as u64,
            _ => return Value::Anything,
        };
        return Value::Constant(if wide { moved } else { moved as u32 as u64 });
    }
    let Some(a) = dst.constant() else {
        return Value::Anything;
    };
    let (shift, a) = if wide {
        (b & 63, a)
    } else {
        (b & 31, a as u32 as u64)
    };
    let folded = match operation {
        0x00 => a.wrapping_add(b),
        0x10 => a.wrapping_sub(b),
        0x20 => a.wrapping_mul(b),
        0x40 => a | b,
        0x50 => a & b,
        0x60 => a << shift,
        0x70 => a >> shift,
        0x80 => a.wrapping_neg(),
        0xa0 => a ^ b,
        0xc0 if wide => ((a as i64) >> shift) as u64,
        0xc0 => ((a as u32 as i32) >> shift) as u32 as u64,
        _ => return Value::Anything,
    };
    Value::Constant(if wide { folded } else { folded as u32 as u64 })
}

#[cfg(test)]
mod tests;
