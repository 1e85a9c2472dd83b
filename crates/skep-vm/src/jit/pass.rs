//! The pass that all architectures share: blocks, functions, what waits and what is wanted, and which way an operation
//! is lowered.
//!
//! Invariants: at a leader every wanted value is in its home; `live` are the registers wanted after the operation at
//! hand, `keep` those and its operands; what an operation defines it announces with `define` before it reads operands.

use crate::decode::{Code, Op};
use crate::program::Program;

use super::scan::{FunctionScan, Mask, Scan, flow, flow_at, owed, target};
use super::value::{Place, Value, Values};
use super::{Input, is_native};

/// A place in the code, perhaps not known yet. The first of a pass are those of the operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Label(pub u32);

/// What an architecture keeps during a pass.
pub(crate) trait Backend: Sized {
    type Asm: Place;
    /// A piece of code that is laid behind all others.
    type Cold;
    /// The ways to thunks that were asked for.
    type Gates;
}

/// One pass over a program.
pub(crate) struct Pass<'a, B: Backend> {
    pub program: &'a Program,
    pub ops: &'a [Op],
    pub scan: &'a Scan,
    pub limited: bool,
    /// Frames lie on the host's stack: nothing looks for them.
    pub native: bool,
    /// Nothing calls a thunk.
    pub lean: bool,
    /// What only this architecture asks about.
    pub backend: B,
    pub asm: B::Asm,
    pub values: Values,
    pub live: Mask,
    pub keep: Mask,
    pub cold: Vec<B::Cold>,
    pub gates: B::Gates,
    owed: Box<[i32]>,
    /// Index of the function at hand.
    pub function: usize,
    /// Where each function is entered.
    pub entries: Vec<Label>,
    pub pc: usize,
}

/// What an architecture does for the pass. Registers are the program's; what is said of [`Pass::define`] and
/// [`Pass::wrote`] is the architecture's to keep.
pub(crate) trait Lowering {
    /// An operation starts here, to which others may jump.
    fn bind(&mut self, label: Label);
    fn go(&mut self, label: Label);
    /// A loop starts here.
    fn loop_head(&mut self);
    /// The function at hand starts here; `start` is for the program's first.
    fn open_function(&mut self, start: Label);

    /// `dst = dst op src`, or with a constant that is not one of those that wait.
    fn combine(&mut self, op: Combine, dst: u8, src: u8, wide: bool);
    fn combine_constant(&mut self, op: Combine, dst: u8, imm: i32, wide: bool);
    /// `dst` is the home of `from`, turned left.
    fn rotate(&mut self, dst: u8, from: u8, left: u8, wide: bool);
    /// `dst` is the low 8, 16 or 32 bits of the home of `from` with their sign, in 64 bits or in 32.
    fn extend_sign(&mut self, dst: u8, from: u8, bits: u8, wide: bool);
    fn divide(&mut self, dst: u8, src: u8, wide: bool, how: Division);
    /// The divisor is neither 0 nor, if signed, -1.
    fn divide_constant(&mut self, dst: u8, divisor: u64, wide: bool, how: Division);
    fn negate(&mut self, dst: u8, wide: bool);
    fn move_signed(&mut self, op: &Op);
    fn swap(&mut self, op: &Op);

    fn load_checked(&mut self, op: &Op);
    /// Like the following ones with an answer: how many operations that follow are done with it.
    fn load_raw(&mut self, op: &Op, next: usize) -> usize;
    fn store_checked(&mut self, op: &Op);
    fn store_raw(&mut self, op: &Op);
    fn atomic(&mut self, op: &Op);
    fn branch(&mut self, op: &Op, next: usize) -> usize;
    fn jump(&mut self, op: &Op);
    fn may_goto(&mut self, op: &Op);
    fn call(&mut self, op: &Op);
    fn call_helper(&mut self, op: &Op);
    fn tail_call(&mut self, op: &Op);
    fn call_x(&mut self, op: &Op);
    fn exit(&mut self);
    fn packet(&mut self, op: &Op);
    fn poison(&mut self);
}

/// Arithmetic that is done when it comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Combine {
    Sub,
    Or,
    And,
    Xor,
    Mul,
    Lsh,
    Rsh,
    Arsh,
}

/// Which division.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Division {
    pub signed: bool,
    pub remainder: bool,
}

impl<'a, B: Backend> Pass<'a, B>
where
    Self: Lowering,
{
    /// `entries` are labels of their own, one a function.
    pub fn new(
        input: &Input<'a>,
        backend: B,
        asm: B::Asm,
        gates: B::Gates,
        entries: Vec<Label>,
    ) -> Pass<'a, B> {
        let (program, scan) = (input.program, input.scan);
        let native = is_native(program, scan);
        // A way out of any depth leads through the one start of the program.
        let single = scan.apart && !starts_again(program);
        Pass {
            program,
            ops: &program.ops,
            scan,
            limited: input.limited,
            native,
            lean: native && !scan.may_goto && !input.limited && single,
            backend,
            asm,
            values: Values::new(),
            live: 0,
            keep: 0,
            cold: Vec::new(),
            gates,
            owed: if input.limited {
                owed(program, scan)
            } else {
                Box::default()
            },
            function: 0,
            entries,
            pc: 0,
        }
    }

    pub fn info(&self) -> &FunctionScan {
        &self.scan.functions[self.function]
    }

    /// Lowers all operations.
    pub fn body(&mut self, start: Label) {
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
                        self.go(Label(pc as u32));
                    }
                    self.function = next_function;
                    next_function += 1;
                    self.open_function(start);
                }
                self.values.reset(self.info().narrow);
                if self.native && self.scan.is_head(pc) {
                    self.loop_head();
                }
            }
            let wide = flow & flow::WIDE != 0;
            let next = pc + if wide { 2 } else { 1 };
            if !falls && !leader {
                // Nothing comes here.
                pc = next;
                continue;
            }
            self.bind(Label(pc as u32));
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

    /// What code with a budget owes before an operation, or, for the one after the operation at hand, after that: see
    /// [`owed`].
    pub fn owed(&self, pc: usize) -> i32 {
        self.owed.get(pc).copied().unwrap_or(0)
    }

    /// The same after the operation at hand, which has one slot.
    pub fn owed_after(&self) -> i32 {
        if self.limited {
            self.owed(self.pc).saturating_add(1)
        } else {
            0
        }
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

    /// Puts a register's value in its home.
    pub fn settle(&mut self, register: u8) {
        if !self.values.is_home(register) {
            self.values.work_out(&mut self.asm, register, self.keep);
        }
    }

    /// Makes sure that some home holds a register's value (or its low half).
    pub fn ready(&mut self, register: u8, half: bool) {
        if self.values.holder(register, half).is_none() {
            self.settle(register);
        }
    }

    /// Whose home holds it; call [`Pass::ready`] before.
    pub fn holder(&self, register: u8, half: bool) -> u8 {
        self.values.holder(register, half).unwrap_or(register)
    }

    pub fn bits(&self, register: u8) -> u8 {
        self.values.bits[register as usize]
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
        let checked = is(LdB, LdsW) || is(StB, StD) || is(StxB, StxD);
        if checked || is(AtomicAdd32, StoreRelD) && !op.direct {
            // Should it trap, registers that are wanted show what they hold.
            self.values.flush_only(&mut self.asm, self.live, self.keep);
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
            Neg64 | Neg32 => self.negate(op.dst, op.code == Neg64),
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
            CallX => self.call_x(op),
            CallPure | CallHelper => self.call_helper(op),
            TailCall => self.tail_call(op),
            Exit => self.exit(),
            Packet => self.packet(op),
            Poison => self.poison(),
            // The ranges above have the rest.
            _ => {}
        }
        0
    }
}

/// Whether the program's first function may be called by the program.
fn starts_again(program: &Program) -> bool {
    let calls = |(pc, op): (usize, &Op)| op.code == Code::Call && target(pc, op.imm) == 0;
    program.functions.len() > 1 && program.ops.iter().enumerate().any(calls)
}

/// Operations without code (`u32::MAX`) are where the next one is.
pub(crate) fn fill_places(places: &mut [u32], end: u32) {
    let mut next = end;
    for place in places.iter_mut().rev() {
        if *place == u32::MAX {
            *place = next;
        }
        next = *place;
    }
}
