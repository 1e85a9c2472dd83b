//! The pass: blocks, functions and the choice of what lowers an operation.
//!
//! Invariants: at a leader every wanted value is in its home; `live` are the registers wanted after the operation at
//! hand, `keep` those and its operands; what an operation defines it announces with `define` before it reads operands.

use crate::decode::{Code, Op};
use crate::jit::run::Run;
use crate::jit::scan::{Charges, FunctionScan, Mask, Scan, flow, flow_at, target};
use crate::jit::{Input, Lowered};
use crate::program::Program;

use super::cold::Cold;
use super::encode::{Asm, Label, Mem, R12, Reg, Unfit, Width};
use super::gate::Gates;
use super::value::{HOME, Value, Values};

/// The register that points to the [`Run`].
pub(super) const RUN: Reg = R12;

/// A field of the [`Run`] or around it.
pub(super) const fn field(at: i32) -> Mem {
    Mem::at(RUN, at)
}

pub(super) struct Lower<'a> {
    pub program: &'a Program,
    pub ops: &'a [Op],
    pub scan: &'a Scan,
    pub limited: bool,
    /// Frames lie on the host's stack: nothing looks for them.
    pub native: bool,
    /// Nothing calls a thunk.
    pub lean: bool,
    /// Jumps forward may take the short form.
    short: bool,
    pub asm: Asm,
    pub values: Values,
    pub live: Mask,
    pub keep: Mask,
    pub cold: Vec<Cold>,
    pub gates: Gates,
    pub charges: Charges,
    next_start: usize,
    next_edge: usize,
    /// Index of the function at hand.
    pub function: usize,
    /// Where each function is entered.
    pub entries: Vec<Label>,
    pub pc: usize,
}

impl<'a> Lower<'a> {
    pub fn new(input: &Input<'a>, short: bool) -> Lower<'a> {
        let (program, scan) = (input.program, input.scan);
        let ops = &*program.ops;
        let native = super::super::is_native(program, scan);
        let mut asm = Asm::new(ops.len() + 1, 8 * ops.len() + 512);
        let entries = program.functions.iter().map(|_| asm.label()).collect();
        let gates = Gates::new(&mut asm);
        Lower {
            program,
            ops,
            scan,
            limited: input.limited,
            native,
            lean: native && !scan.may_goto && !input.limited,
            short,
            asm,
            values: Values::new(has_bmi2()),
            live: 0,
            keep: 0,
            cold: Vec::new(),
            gates,
            charges: if input.limited {
                Charges::new(program, scan)
            } else {
                Charges::default()
            },
            next_start: 0,
            next_edge: 0,
            function: 0,
            entries,
            pc: 0,
        }
    }

    pub fn finish(mut self) -> Result<Lowered, Unfit> {
        let start = self.asm.label();
        self.body(start);
        let enter = self.enter_stub();
        self.cold_blocks();
        self.emit_gates();
        let (start, enter) = (self.at(start), self.at(enter));
        let functions = self.entries.clone();
        let functions = functions.into_iter().map(|label| self.at(label)).collect();
        let lean = self.lean;
        let count = self.ops.len();
        let (bytes, mut places) = self.asm.finish()?;
        places.truncate(count);
        // Operations without code are where the next one is.
        let mut next = bytes.len() as u32;
        for place in places.iter_mut().rev() {
            if *place == u32::MAX {
                *place = next;
            }
            next = *place;
        }
        Ok(Lowered {
            bytes,
            enter,
            start,
            functions,
            places: places.into(),
            lean,
        })
    }

    /// Where a label is; all that are asked for are bound.
    fn at(&self, label: Label) -> u32 {
        self.asm.place(label).unwrap_or(0)
    }

    pub fn info(&self) -> &FunctionScan {
        &self.scan.functions[self.function]
    }

    fn body(&mut self, start: Label) {
        let ops = self.ops;
        let mut next_function = 0;
        let mut falls = false;
        let mut pc = 0;
        while pc < ops.len() {
            self.pc = pc;
            let op = &ops[pc];
            let flow = flow_at(op);
            let leader = self.scan.is_leader(pc);
            if leader {
                let wanted = self.scan.live_at(pc);
                self.values.flush(&mut self.asm, wanted);
                if self.program.functions.get(next_function).map(|f| f.start) == Some(pc) {
                    if falls {
                        self.asm.jmp(Label(pc as u32), false);
                    }
                    self.function = next_function;
                    next_function += 1;
                    self.open_function(start);
                }
                self.values.reset(self.info().narrow);
                if self.native && self.scan.is_head(pc) {
                    self.align(32, 16);
                }
            }
            let wide = flow & flow::WIDE != 0;
            let next = pc + if wide { 2 } else { 1 };
            if !falls && !leader {
                // Nothing comes here.
                pc = next;
                continue;
            }
            self.asm.bind(Label(pc as u32));
            self.start_charge();
            let (uses, _) = self.scan.uses(self.program, op);
            self.live = if flow & flow::LAST != 0 {
                0
            } else {
                self.scan.live_at(next)
            };
            if flow & flow::JUMP != 0 {
                self.live |= self.scan.live_at(target(pc, op.off.into()));
            }
            self.keep = self.live | uses;
            let skip = self.operation(op, next);
            falls = flow & flow::LAST == 0;
            pc = next + skip;
        }
    }

    /// Starts at a multiple of `to`, if that takes less than `most` bytes.
    pub fn align(&mut self, to: usize, most: usize) {
        let gap = self.asm.here() as usize % to;
        if gap != 0 && to - gap < most {
            self.asm.nops(to - gap);
        }
    }

    /// Pays what the operation at hand starts with.
    fn start_charge(&mut self) {
        while let Some(&(pc, amount)) = self.charges.starts.get(self.next_start) {
            if pc as usize > self.pc {
                return;
            }
            if pc as usize == self.pc {
                self.charge(amount);
            }
            self.next_start += 1;
        }
    }

    /// The payment due at the jump or exit at hand.
    pub fn edge(&mut self) -> Option<crate::jit::scan::Edge> {
        while let Some(edge) = self.charges.edges.get(self.next_edge) {
            if edge.pc as usize > self.pc {
                return None;
            }
            self.next_edge += 1;
            if edge.pc as usize == self.pc {
                return Some(*edge);
            }
        }
        None
    }

    /// Announces that the home of a register will be written.
    pub fn define(&mut self, register: u8) {
        self.values
            .before_write(&mut self.asm, register, self.live, self.keep);
    }

    /// Announces that a register will get a value that has nothing to do with its last: who names its home, operands
    /// among them, is worked out.
    pub fn announce(&mut self, register: u8) {
        self.values
            .before_write(&mut self.asm, register, self.keep, self.keep);
    }

    pub fn wrote(&mut self, register: u8, bits: u8) {
        self.values.wrote(register, bits);
    }

    pub fn set(&mut self, register: u8, value: Value, bits: u8) {
        self.values
            .set(&mut self.asm, register, value, bits, self.live);
    }

    /// Puts a register's value in its home; answers the home.
    pub fn home(&mut self, register: u8) -> Reg {
        if !self.values.is_home(register) {
            self.values.work_out(&mut self.asm, register, self.keep);
        }
        HOME[register as usize]
    }

    /// Makes sure that [`Lower::reg`] finds a register's value (or low half).
    pub fn ready(&mut self, register: u8, half: bool) {
        if self.values.register(register, half).is_none() {
            self.home(register);
        }
    }

    /// The host register with a value that is ready.
    pub fn reg(&mut self, register: u8, half: bool) -> Reg {
        match self.values.register(register, half) {
            Some(reg) => reg,
            None => self.home(register),
        }
    }

    /// Makes sure that [`Lower::mem`] finds an operand.
    pub fn ready_mem(&mut self, register: u8, off: i32) {
        if self.values.memory(register, off).is_none() {
            self.home(register);
        }
    }

    pub fn mem(&mut self, register: u8, off: i32) -> Mem {
        match self.values.memory(register, off) {
            Some(mem) => mem,
            None => Mem::at(self.home(register), off),
        }
    }

    pub fn bits(&self, register: u8) -> u8 {
        self.values.bits[register as usize]
    }

    /// Whether a jump from here to an operation further on surely fits in a short one.
    pub fn is_near(&self, to: usize) -> bool {
        if !self.short || to <= self.pc || to - self.pc > 24 {
            return false;
        }
        let mut bytes = 0;
        for op in &self.ops[self.pc + 1..to] {
            bytes += size_estimate(op, self.limited);
            if bytes > 110 {
                return false;
            }
        }
        true
    }

    /// Lowers one operation; answers how many that follow are done with it.
    fn operation(&mut self, op: &Op, next: usize) -> usize {
        use Code::*;
        let code = op.code as u8;
        let is = |from: Code, to: Code| from as u8 <= code && code <= to as u8;
        if is(Add64K, Smod32X) {
            self.arithmetic(op);
            return 0;
        }
        if is(LdB, LdsW) || is(LdProbeB, LdsProbeW) {
            self.load_checked(op);
            return 0;
        }
        if is(LdRawB, LdsRawW) {
            return self.load_raw(op, next);
        }
        if is(StB, StD) || is(StxB, StxD) {
            self.store_checked(op);
            return 0;
        }
        if is(StRawB, StRawD) || is(StxRawB, StxRawD) {
            self.store_raw(op);
            return 0;
        }
        if is(AtomicAdd32, StoreRelD) {
            self.atomic(op);
            return 0;
        }
        if is(Jeq64K, Jset32X) {
            return self.branch(op, next);
        }
        match op.code {
            Neg64 | Neg32 => self.negate(op),
            Movsx8To64 | Movsx16To64 | Movsx32To64 | Movsx8To32 | Movsx16To32 => {
                self.move_signed(op)
            }
            Le16 => self.low(op.dst, 16),
            Le32 => self.narrow_move(op.dst, op.dst),
            Be16 | Be32 | Be64 | Swap16 | Swap32 | Swap64 => self.swap(op),
            Nop => {}
            LdImm64 => self.constant(op.dst, op.imm as u64),
            LdMap => {
                let slot = self.program.maps.as_ptr().wrapping_add(op.imm as usize);
                self.constant(op.dst, slot as u64);
            }
            LdFunc => {
                let function = self.ops.as_ptr().wrapping_add(op.imm as usize);
                self.constant(op.dst, function as u64);
            }
            Ja => self.jump(op),
            MayGoto => self.may_goto(op),
            Call => self.call(op),
            CallPure | CallHelper => self.call_helper(op),
            TailCall => self.tail_call(op),
            CallX => self.call_x(op),
            Exit => self.exit(),
            Packet => self.packet(op),
            Poison => self.poison(),
            // The ranges above have the rest.
            _ => {}
        }
        0
    }
}

/// At least how many bytes an operation's code takes, mostly.
fn size_estimate(op: &Op, limited: bool) -> u32 {
    let code = op.code as u8;
    let is = |from: Code, to: Code| from as u8 <= code && code <= to as u8;
    let base = if is(Code::LdB, Code::LdsW) || is(Code::StB, Code::StxD) {
        48
    } else if is(Code::AtomicAdd32, Code::StoreRelD) {
        70
    } else if is(Code::Div64K, Code::Div32X)
        || is(Code::Mod64K, Code::Mod32X)
        || is(Code::Sdiv64K, Code::Smod32X)
    {
        48
    } else if is(Code::Call, Code::Packet) || is(Code::LdProbeB, Code::LdsProbeW) {
        64
    } else if is(Code::Jeq64K, Code::Jset32X) {
        11
    } else if is(Code::LdImm64, Code::LdFunc) {
        10
    } else {
        7
    };
    base + if limited && is(Code::Jeq64K, Code::MayGoto) {
        14
    } else {
        0
    }
}

#[cfg(target_arch = "x86_64")]
fn has_bmi2() -> bool {
    std::arch::is_x86_feature_detected!("bmi2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_bmi2() -> bool {
    false
}

/// The width of an access by its place in a family of four.
pub(super) fn width(index: u8) -> Width {
    [Width::B, Width::H, Width::W, Width::D][index as usize & 3]
}

const _: () = assert!(size_of::<Run>() < 4096);
