//! What a compiler wants to know before its pass over the operations: where blocks and loops start, which registers are
//! still wanted, which are never wider than 32 bits, and what instruction counting has to charge where.
//!
//! Invariants: whatever is not known is assumed (a register is wanted, a value is wide); the work is linear in the size
//! of the program, because the search for a fixed point gives up after a few rounds and assumes the rest.

use crate::decode::{Code, Op};
use crate::program::Program;

/// A set of registers, one bit each.
pub(crate) type Mask = u16;

/// r0 to r5, which calls may change.
pub(crate) const CALLER_SAVED: Mask = 0x3f;
/// r1 to r5.
pub(crate) const ARGUMENTS: Mask = 0x3e;
/// r6 to r9.
pub(crate) const CALLEE_SAVED: Mask = 0x3c0;
const ALL: Mask = 0x7ff;

/// Rounds of the search for live registers.
const ROUNDS: usize = 4;

/// How an operation uses registers and control flow: bits of [`FLOW`].
pub(crate) mod flow {
    pub const USE_DST: u16 = 1;
    pub const USE_SRC: u16 = 2;
    pub const DEF_DST: u16 = 4;
    pub const DEF_SRC: u16 = 8;
    /// What it defines has zeros in its upper half.
    pub const NARROW: u16 = 16;
    /// Goes to its target, or to the next operation.
    pub const JUMP: u16 = 32;
    /// Never goes to the next operation.
    pub const LAST: u16 = 64;
    /// Takes two slots.
    pub const WIDE: u16 = 128;
    /// Calls something, or needs another special look.
    pub const SPECIAL: u16 = 256;
    /// Looks for what it accesses, unless it is proven.
    pub const CHECKED: u16 = 512;
    /// Asks the machine.
    pub const MACHINE: u16 = 1024;
    pub const CALLS: u16 = 2048;
    pub const MAY_GOTO: u16 = 4096;
}

const CODES: usize = Code::Poison as usize + 1;

/// By [`Code`].
static FLOW: [u16; CODES] = {
    let mut table = [0; CODES];
    let mut code = 0;
    while code < CODES {
        table[code] = flow_of(code as u8) | needs_of(code as u8);
        code += 1;
    }
    table
};

const fn within(code: u8, from: Code, to: Code) -> bool {
    from as u8 <= code && code <= to as u8
}

const fn needs_of(code: u8) -> u16 {
    use flow::*;
    if within(code, Code::LdB, Code::LdsW)
        || within(code, Code::StB, Code::StxD)
        || within(code, Code::AtomicAdd32, Code::StoreRelD)
    {
        CHECKED
    } else if within(code, Code::LdProbeB, Code::LdsProbeW) {
        MACHINE
    } else if code == Code::Call as u8 {
        CALLS
    } else if within(code, Code::CallPure, Code::CallX) || code == Code::Packet as u8 {
        CALLS | MACHINE
    } else if code == Code::MayGoto as u8 {
        MAY_GOTO
    } else {
        0
    }
}

const fn flow_of(code: u8) -> u16 {
    use flow::*;
    if within(code, Code::Add64K, Code::Smod32X) {
        let mut flow = DEF_DST | USE_DST;
        if within(code, Code::Mov64K, Code::Mov32X) {
            flow = DEF_DST;
        }
        if code & 1 != 0 {
            flow |= USE_SRC;
        }
        if code & 2 != 0 {
            flow |= NARROW;
        }
        return flow;
    }
    if code == Code::Neg64 as u8 || code == Code::Be64 as u8 || code == Code::Swap64 as u8 {
        return DEF_DST | USE_DST;
    }
    if code == Code::Nop as u8 {
        return 0;
    }
    if within(code, Code::Movsx8To64, Code::Movsx32To64) {
        return DEF_DST | USE_SRC;
    }
    if within(code, Code::Movsx8To32, Code::Movsx16To32) {
        return DEF_DST | USE_SRC | NARROW;
    }
    if within(code, Code::Neg32, Code::Swap32) {
        return DEF_DST | USE_DST | NARROW;
    }
    if within(code, Code::LdImm64, Code::LdFunc) {
        return DEF_DST | WIDE;
    }
    if within(code, Code::LdB, Code::LdsProbeW) {
        let narrow = code == Code::LdB as u8
            || code == Code::LdH as u8
            || within(code, Code::LdRawB, Code::LdRawW);
        return DEF_DST | USE_SRC | if narrow { NARROW } else { 0 };
    }
    if within(code, Code::StB, Code::StD) || within(code, Code::StRawB, Code::StRawD) {
        return USE_DST;
    }
    if within(code, Code::StxB, Code::StxD)
        || within(code, Code::StxRawB, Code::StxRawD)
        || within(code, Code::AtomicAdd32, Code::AtomicXor32)
        || within(code, Code::AtomicAdd64, Code::AtomicXor64)
        || within(code, Code::StoreRelB, Code::StoreRelD)
    {
        return USE_DST | USE_SRC;
    }
    if within(code, Code::FetchAdd32, Code::Xchg32) {
        return USE_DST | USE_SRC | DEF_SRC | NARROW;
    }
    if within(code, Code::FetchAdd64, Code::Xchg64) {
        return USE_DST | USE_SRC | DEF_SRC;
    }
    if within(code, Code::LoadAcqB, Code::LoadAcqW) {
        return USE_SRC | DEF_DST | NARROW;
    }
    if code == Code::LoadAcqD as u8 {
        return USE_SRC | DEF_DST;
    }
    if within(code, Code::Jeq64K, Code::Jset32X) {
        let x = (code - Code::Jeq64K as u8) & 1 != 0;
        return JUMP | USE_DST | if x { USE_SRC } else { 0 };
    }
    if code == Code::Ja as u8 {
        return JUMP | LAST;
    }
    if code == Code::MayGoto as u8 {
        return JUMP;
    }
    if code == Code::Exit as u8 || code == Code::Poison as u8 {
        return LAST | SPECIAL;
    }
    // Calls, packet loads, compare-and-exchange.
    SPECIAL
}

/// The flags of an operation.
#[inline(always)]
pub(crate) fn flow_at(op: &Op) -> u16 {
    FLOW[op.code as usize]
}

/// Registers that an operation reads, unless it is a special one.
#[inline(always)]
fn uses_of(op: &Op, flow: u16) -> Mask {
    (flow & 1) << (op.dst & 15) | (flow >> 1 & 1) << (op.src & 15)
}

/// Registers that an operation writes, unless it is a special one.
#[inline(always)]
fn defines_of(op: &Op, flow: u16) -> Mask {
    (flow >> 2 & 1) << (op.dst & 15) | (flow >> 3 & 1) << (op.src & 15)
}

const _: () =
    assert!(flow::USE_DST == 1 && flow::USE_SRC == 2 && flow::DEF_DST == 4 && flow::DEF_SRC == 8);

/// What a function's code does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FunctionScan {
    /// Its first operation.
    pub start: usize,
    /// Which of r6 to r9 it changes.
    pub saved: Mask,
    /// Registers that never hold more than 32 bits in it.
    pub narrow: Mask,
    /// It uses r10.
    pub frame: bool,
    /// It calls something.
    pub calls: bool,
}

/// The findings.
pub(crate) struct Scan {
    /// Bit of an operation: control flow joins here.
    leader: Box<[u64]>,
    /// Bit of an operation: it is jumped to from behind.
    head: Box<[u64]>,
    /// Registers that are wanted before each operation.
    live: Box<[Mask]>,
    /// In the order of [`Program::functions`].
    pub functions: Box<[FunctionScan]>,
    /// No jump leads from one function into another.
    pub apart: bool,
    pub may_goto: bool,
    /// Some access is checked as it runs, or some operation asks the machine.
    pub machine: bool,
}

fn bit(bits: &[u64], at: usize) -> bool {
    bits[at / 64] >> (at % 64) & 1 != 0
}

fn set(bits: &mut [u64], at: usize) {
    bits[at / 64] |= 1 << (at % 64);
}

/// The operation that a jump or call leads to.
#[inline(always)]
pub(crate) fn target(pc: usize, delta: i64) -> usize {
    (pc as i64 + 1 + delta) as usize
}

impl Scan {
    pub fn new(program: &Program) -> Scan {
        let ops = &*program.ops;
        let words = ops.len() / 64 + 1;
        let mut scan = Scan {
            leader: vec![0; words].into(),
            head: vec![0; words].into(),
            live: vec![0; ops.len() + 1].into(),
            functions: Box::default(),
            apart: true,
            may_goto: false,
            machine: false,
        };
        let writes = scan.find_blocks(program);
        scan.find_live(program);
        scan.find_narrow(writes);
        scan
    }

    /// Whether control flow may come here from elsewhere than the operation before.
    #[inline(always)]
    pub fn is_leader(&self, pc: usize) -> bool {
        bit(&self.leader, pc)
    }

    /// Whether a loop starts here.
    #[inline(always)]
    pub fn is_head(&self, pc: usize) -> bool {
        bit(&self.head, pc)
    }

    /// Registers that are wanted before an operation.
    #[inline(always)]
    pub fn live_at(&self, pc: usize) -> Mask {
        self.live[pc]
    }

    fn find_blocks(&mut self, program: &Program) -> Vec<Writes> {
        let ops = &*program.ops;
        let mut functions: Vec<FunctionScan> = Vec::with_capacity(program.functions.len());
        let mut writes: Vec<Writes> = Vec::with_capacity(program.functions.len());
        for (index, function) in program.functions.iter().enumerate() {
            let end = program
                .functions
                .get(index + 1)
                .map_or(ops.len(), |next| next.start);
            let start = function.start;
            set(&mut self.leader, start);
            let mut info = FunctionScan {
                start,
                ..FunctionScan::default()
            };
            let mut pc = start;
            let mut falls = true;
            // All flags and all registers that occur.
            let (mut any, mut used, mut defined): (u16, Mask, Mask) = (0, 0, 0);
            let mut written = Writes::default();
            while pc < end {
                let op = &ops[pc];
                let flow = flow_at(op);
                any |= if op.direct {
                    flow & !flow::CHECKED
                } else {
                    flow
                };
                used |= uses_of(op, flow);
                defined |= defines_of(op, flow);
                if flow & (flow::JUMP | flow::SPECIAL) != 0 {
                    if flow & flow::JUMP != 0 {
                        let to = target(pc, op.off.into());
                        set(&mut self.leader, to);
                        if to <= pc {
                            set(&mut self.head, to);
                        }
                        self.apart &= start <= to && to < end;
                    } else {
                        // What a verifier has found no way to needs no code that says so.
                        let proof = || program.proven.as_ref().map(|proven| &proven.proof);
                        self.machine |= op.code == Code::Poison
                            && proof().is_none_or(|proof| proof.of(pc).reached);
                        used |= self.special(program, op).0;
                    }
                }
                if flow & (flow::DEF_DST | flow::DEF_SRC | flow::SPECIAL) != 0
                    && flow & flow::NARROW == 0
                {
                    written.note(ops, pc, op, flow);
                }
                falls = flow & flow::LAST == 0;
                pc += if flow & flow::WIDE != 0 { 2 } else { 1 };
            }
            writes.push(written);
            info.saved |= defined;
            info.frame |= used >> 10 & 1 != 0;
            info.calls |= any & flow::CALLS != 0;
            self.machine |= any & (flow::MACHINE | flow::CHECKED) != 0;
            self.may_goto |= any & flow::MAY_GOTO != 0;
            self.apart &= !falls || end == ops.len();
            info.saved &= CALLEE_SAVED;
            functions.push(info);
        }
        self.functions = functions.into();
        writes
    }

    /// What an operation reads and writes.
    #[inline(always)]
    pub fn uses(&self, program: &Program, op: &Op) -> (Mask, Mask) {
        let flow = flow_at(op);
        if flow & flow::SPECIAL != 0 {
            return self.special(program, op);
        }
        (uses_of(op, flow), defines_of(op, flow))
    }

    /// A verified program reads nothing after a call but r0 and what it saved; any other may read what was left.
    fn special(&self, program: &Program, op: &Op) -> (Mask, Mask) {
        let proven = program.is_proven();
        let changed = if proven { CALLER_SAVED } else { 1 };
        match op.code {
            Code::Exit if proven => (1, 0),
            // A function of another program may have come here by a tail call.
            Code::Exit => (CALLER_SAVED, 0),
            Code::Call if proven => (ARGUMENTS, CALLER_SAVED),
            Code::Call => (ALL, 0),
            Code::CallX if proven => (ARGUMENTS | 1 << op.dst, CALLER_SAVED),
            Code::CallX => (ALL, 0),
            Code::CallPure | Code::CallHelper | Code::TailCall => (ARGUMENTS, changed),
            Code::Packet if op.dst == 1 => (1 << 6 | 1 << op.src, changed),
            Code::Packet => (1 << 6, changed),
            Code::CmpXchg32 | Code::CmpXchg64 => (1 | 1 << op.dst | 1 << op.src, 1),
            _ => (0, 0),
        }
    }

    fn find_live(&mut self, program: &Program) {
        for round in 0..=ROUNDS {
            let assume = round == ROUNDS;
            if !self.live_round(program, assume) {
                return;
            }
        }
    }

    /// One pass from the end; answers whether a loop saw something else than it will see next time.
    fn live_round(&mut self, program: &Program, assume: bool) -> bool {
        let ops = &*program.ops;
        let mut again = false;
        let mut next: Mask = 0;
        for pc in (0..ops.len()).rev() {
            let op = &ops[pc];
            let flow = flow_at(op);
            let mut live = if flow & flow::LAST != 0 { 0 } else { next };
            if flow & flow::WIDE != 0 {
                live = self.live[pc + 2];
            }
            if flow & flow::JUMP != 0 {
                let to = target(pc, op.off.into());
                live |= if assume && to <= pc {
                    ALL
                } else {
                    self.live[to]
                };
            }
            let (uses, defines) = self.uses(program, op);
            live = live & !defines | uses;
            if live != self.live[pc] {
                again |= bit(&self.head, pc);
                self.live[pc] = live;
            }
            next = live;
        }
        again && !assume
    }

    /// Registers that only narrow values are ever put into, function by function.
    fn find_narrow(&mut self, writes: Vec<Writes>) {
        let mut all = ALL;
        for (function, written) in self.functions.iter_mut().zip(writes) {
            // What comes from outside may be wide.
            let mut wide = written.wide | self.live[function.start] | 1 << 10;
            for (pc, register) in written.extensions {
                if bit(&self.leader, pc + 1) {
                    wide |= 1 << register;
                }
            }
            // At most one register joins a round.
            for _ in 0..written.copies.len() {
                for (register, from) in written.copies.iter().enumerate() {
                    if from & wide != 0 {
                        wide |= 1 << register;
                    }
                }
            }
            function.narrow = ALL & !wide;
            all &= function.narrow;
        }
        if !self.apart {
            for function in &mut self.functions {
                function.narrow = all;
            }
        }
    }
}

/// What a function puts into registers that may take more than 32 bits.
#[derive(Default)]
struct Writes {
    wide: Mask,
    /// By destination, which registers are copied there.
    copies: [Mask; 11],
    /// First halves of `<<= 32; >>= 32`, and their register: narrow if nothing jumps between.
    extensions: Vec<(usize, u8)>,
}

impl Writes {
    /// Takes note of an operation whose flags do not say that it gives something narrow.
    fn note(&mut self, ops: &[Op], pc: usize, op: &Op, flow: u16) {
        match op.code {
            Code::Mov64X => self.copies[op.dst as usize] |= 1 << op.src,
            Code::Lsh64K if is_zero_extension(ops, pc) => self.extensions.push((pc, op.dst)),
            Code::Mov64K | Code::LdImm64 if u32::try_from(op.imm).is_ok() => {}
            Code::And64K if op.imm >= 0 => {}
            Code::Rsh64K if op.imm & 63 >= 32 => {}
            Code::CmpXchg32 => {}
            Code::Call | Code::CallX => self.wide |= CALLER_SAVED,
            _ if flow & flow::SPECIAL != 0 => self.wide |= 1,
            _ => self.wide |= defines_of(op, flow),
        }
    }
}

/// `<<= 32; >>= 32`.
pub(crate) fn is_zero_extension(ops: &[Op], pc: usize) -> bool {
    let (left, right) = (&ops[pc], ops.get(pc + 1));
    left.imm & 63 == 32
        && right.is_some_and(|right| {
            right.code == Code::Rsh64K && right.dst == left.dst && right.imm & 63 == 32
        })
}

/// How many operations come before each one in its function: what code with a budget owes when it is there.
///
/// Going straight on costs nothing; a jump pays what it owes and takes on what is owed where it leads, so that one ahead
/// gets something back, and one back pays for the round. Where functions run into each other, all count from the start of
/// the program.
pub(crate) fn owed(program: &Program, scan: &Scan) -> Box<[i32]> {
    let ops = &*program.ops;
    let mut owed = vec![0i32; ops.len() + 1];
    let (mut count, mut pc) = (0i32, 0);
    let mut starts = scan.functions.iter().map(|function| function.start);
    let mut next_start = starts.next();
    while pc < ops.len() {
        if next_start == Some(pc) {
            next_start = starts.next();
            if scan.apart {
                count = 0;
            }
        }
        owed[pc] = count;
        count = count.saturating_add(1);
        let slots = if flow_at(&ops[pc]) & flow::WIDE != 0 {
            2
        } else {
            1
        };
        // What follows the last operation of a function is only asked for what it has run.
        for after in &mut owed[pc + 1..=pc + slots] {
            *after = count;
        }
        pc += slots;
    }
    owed.into()
}
