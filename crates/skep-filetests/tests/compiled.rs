//! Random programs that nobody has verified: compiled they must do what the interpreter does, down to the trap.
//!
//! Each is structurally valid and else arbitrary: it reads and writes where it may and where it may not, loops, calls
//! functions, helpers, callbacks and other programs. Compared are r0 or the trap (instruction and cause), the memory it
//! was given, its maps, and whether it used up its budget.
//!
//! The seed is fixed, so a failure repeats; `SKEP_FUZZ_PROGRAMS` asks for more programs, `SKEP_FUZZ_SEED` for others.

use std::sync::Arc;

use skep_filetests::random::Random;
use skep_spec::insn::{Insn, alu, atomic, class, jmp, mode, pseudo, size, source};
use skep_spec::map::{MapDef, MapType};
use skep_vm::map::{CreateOptions, create};
use skep_vm::{Ctx, FixedEnv, Image, JitError, JitOptions, Limits, Map, Program, Trap, TrapCause};

/// Bytes of the memory that r1 points to.
const MEMORY: usize = 64;
/// How far around its budget a program may be seen to have used it up or not: callbacks in each other are counted late.
const STRETCH: u64 = 800;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

struct Writer<'r> {
    random: &'r mut Random,
    insns: Vec<Insn>,
    /// Instructions that are to be jumps to somewhere ahead in the same function.
    jumps: Vec<usize>,
    /// Calls of functions, and loads of their addresses.
    calls: Vec<usize>,
    starts: Vec<usize>,
    functions: usize,
}

impl Writer<'_> {
    fn push(&mut self, code: u8, dst: u8, src: u8, off: i16, imm: i32) {
        self.insns.push(Insn::new(code, dst, src, off, imm));
    }

    fn register(&mut self) -> u8 {
        self.random.below(10) as u8
    }

    fn imm(&mut self) -> i32 {
        match self.random.below(4) {
            0 => self.random.of(&[
                0,
                1,
                -1,
                i32::MIN,
                i32::MAX,
                8,
                31,
                32,
                33,
                63,
                64,
                255,
                0xffff,
                0x8000,
                -128,
            ]),
            1 => self.random.below(64) as i32,
            _ => self.random.next() as i32,
        }
    }

    fn width(&mut self) -> u8 {
        self.random.of(&[class::ALU, class::ALU64])
    }

    fn arithmetic(&mut self) {
        let (dst, src, width) = (self.register(), self.register(), self.width());
        let op = self.random.of(&[
            alu::ADD,
            alu::ADD,
            alu::SUB,
            alu::MUL,
            alu::DIV,
            alu::OR,
            alu::AND,
            alu::LSH,
            alu::RSH,
            alu::MOD,
            alu::XOR,
            alu::MOV,
            alu::MOV,
            alu::ARSH,
        ]);
        let signed = matches!(op, alu::DIV | alu::MOD) && self.random.below(2) == 0;
        if self.random.below(2) == 0 {
            self.push(op | width | source::X, dst, src, signed.into(), 0);
        } else {
            let imm = self.imm();
            self.push(op | width, dst, 0, signed.into(), imm);
        }
    }

    fn unusual(&mut self) {
        let (dst, src) = (self.register(), self.register());
        match self.random.below(5) {
            0 => {
                let width = self.width();
                self.push(alu::NEG | width, dst, 0, 0, 0);
            }
            1 => {
                let bits = self.random.of(&[16, 32, 64]);
                let code = self.random.of(&[0xd4u8, 0xdc, 0xd7]);
                self.push(code, dst, 0, 0, bits);
            }
            2 => {
                let width = self.width();
                let choices: &[i16] = if width == class::ALU {
                    &[8, 16]
                } else {
                    &[8, 16, 32]
                };
                let bits = self.random.of(choices);
                self.push(alu::MOV | width | source::X, dst, src, bits, 0);
            }
            3 => {
                let (low, high) = (self.imm(), self.imm());
                self.push(0x18, dst, 0, 0, low);
                self.push(0, 0, 0, 0, high);
            }
            _ => {
                let imm = self.imm();
                self.push(alu::MOV | class::ALU64, dst, 0, 0, imm);
            }
        }
    }

    /// What compilers write and a compiler of machine code looks for.
    fn idiom(&mut self) {
        let (a, b, c) = (self.register(), self.register(), self.register());
        let by = 1 + self.random.below(31) as i32;
        match self.random.below(7) {
            0 => {
                self.push(alu::LSH | class::ALU64, a, 0, 0, 32);
                self.push(alu::RSH | class::ALU64, a, 0, 0, 32);
            }
            1 => {
                let width = self.width();
                let size = if width == class::ALU { 32 } else { 64 };
                self.push(alu::MOV | width | source::X, a, b, 0, 0);
                self.push(alu::RSH | width, a, 0, 0, size - by);
                self.push(alu::LSH | width, b, 0, 0, by);
                let op = self.random.of(&[alu::OR, alu::XOR, alu::ADD]);
                self.push(op | width | source::X, b, a, 0, 0);
            }
            2 => {
                let width = self.width();
                let size = if width == class::ALU { 32 } else { 64 };
                self.push(alu::MOV | width | source::X, a, c, 0, 0);
                self.push(alu::RSH | width, a, 0, 0, size - by);
                self.push(alu::MOV | width | source::X, b, c, 0, 0);
                self.push(alu::LSH | width, b, 0, 0, by);
                self.push(alu::OR | width | source::X, b, a, 0, 0);
            }
            3 => {
                let (first, second) = (self.random.below(2) as i32, self.imm());
                self.push(alu::MOV | class::ALU, a, 0, 0, first);
                let imm = self.imm();
                let op = self.random.of(&[jmp::JEQ, jmp::JGT, jmp::JSLT, jmp::JSET]);
                let class = self.random.of(&[class::JMP, class::JMP32]);
                self.push(op | class, b, 0, 1, imm);
                let second = if self.random.below(2) == 0 {
                    1 - first
                } else {
                    second
                };
                self.push(alu::MOV | class::ALU, a, 0, 0, second);
            }
            4 => {
                let width = self.width();
                self.push(alu::MOV | width | source::X, a, b, 0, 0);
                let imm = self.random.of(&[0xff, 0xffff, 1, 0x7ff]);
                self.push(alu::AND | width, a, 0, 0, imm);
                let imm = self.random.below(300) as i32;
                let op = self
                    .random
                    .of(&[jmp::JEQ, jmp::JNE, jmp::JLT, jmp::JGE, jmp::JSGT]);
                self.push(op | class::JMP32, a, 0, 0, imm);
                let at = self.insns.len() - 1;
                self.jumps.push(at);
            }
            5 => {
                self.push(alu::AND | class::ALU, a, 0, 0, 1);
                let (width, imm) = (self.width(), self.imm());
                self.push(alu::MUL | width, a, 0, 0, imm);
            }
            _ => {
                self.push(alu::MOV | class::ALU64 | source::X, a, b, 0, 0);
                self.push(alu::LSH | class::ALU64, a, 0, 0, by & 3);
                let width = self.width();
                self.push(alu::ADD | width | source::X, c, a, 0, 0);
            }
        }
    }

    /// An address that is mostly good, in a register.
    fn address(&mut self) -> u8 {
        let to = self.register();
        match self.random.below(8) {
            0..=3 => {
                // What the function was given; the first keeps it in r9.
                self.push(alu::MOV | class::ALU64 | source::X, to, 9, 0, 0);
                if self.random.below(2) == 0 {
                    let step = self.random.below(70) as i32;
                    self.push(alu::ADD | class::ALU64, to, 0, 0, step);
                } else if self.random.below(2) == 0 {
                    let index = self.register();
                    if index != to {
                        self.push(alu::AND | class::ALU64, index, 0, 0, 0x3f);
                        self.push(alu::ADD | class::ALU64 | source::X, to, index, 0, 0);
                    }
                }
            }
            4..=6 => {
                self.push(alu::MOV | class::ALU64 | source::X, to, 10, 0, 0);
                let step = -(self.random.below(80) as i32);
                self.push(alu::ADD | class::ALU64, to, 0, 0, step);
            }
            _ => {}
        }
        to
    }

    fn offset(&mut self) -> i16 {
        match self.random.below(6) {
            0 => self.random.below(100) as i16 - 20,
            _ => self.random.below(5) as i16 * 4,
        }
    }

    fn memory(&mut self) {
        let size = self.random.of(&[size::B, size::H, size::W, size::DW]);
        let stack = self.random.below(3) == 0;
        let (base, off) = if stack {
            (10, -8 * (1 + self.random.below(8) as i16))
        } else {
            (self.address(), self.offset())
        };
        let other = self.register();
        match self.random.below(6) {
            0 | 1 => self.push(class::LDX | mode::MEM | size, other, base, off, 0),
            2 if size != size::DW => {
                self.push(class::LDX | mode::MEMSX | size, other, base, off, 0)
            }
            3 => {
                let imm = self.imm();
                self.push(class::ST | mode::MEM | size, base, 0, off, imm);
            }
            _ => self.push(class::STX | mode::MEM | size, base, other, off, 0),
        }
    }

    fn atomic(&mut self) {
        let size = self.random.of(&[size::W, size::DW]);
        let base = self.address();
        let src = self.register();
        let op = self.random.of(&[
            atomic::ADD,
            atomic::OR,
            atomic::AND,
            atomic::XOR,
            atomic::ADD | atomic::FETCH,
            atomic::OR | atomic::FETCH,
            atomic::AND | atomic::FETCH,
            atomic::XOR | atomic::FETCH,
            atomic::XCHG,
            atomic::CMPXCHG,
            atomic::LOAD_ACQ,
            atomic::STORE_REL,
        ]);
        let off = self.random.of(&[0, 0, 8, 16, -8, 4, 1]);
        if op == atomic::LOAD_ACQ {
            self.push(class::STX | mode::ATOMIC | size, src, base, off, op);
        } else {
            self.push(class::STX | mode::ATOMIC | size, base, src, off, op);
        }
    }

    fn branch(&mut self) {
        let (dst, src) = (self.register(), self.register());
        let op = self.random.of(&[
            jmp::JEQ,
            jmp::JNE,
            jmp::JGT,
            jmp::JGE,
            jmp::JLT,
            jmp::JLE,
            jmp::JSGT,
            jmp::JSGE,
            jmp::JSLT,
            jmp::JSLE,
            jmp::JSET,
        ]);
        let class = self.random.of(&[class::JMP, class::JMP32]);
        match self.random.below(12) {
            0 => self.push(jmp::JA | class::JMP, 0, 0, 0, 0),
            1 => self.push(jmp::JCOND | class::JMP, 0, 0, 0, 0),
            2..=6 => self.push(op | class | source::X, dst, src, 0, 0),
            _ => {
                let imm = self.imm();
                self.push(op | class, dst, 0, 0, imm);
            }
        }
        let at = self.insns.len() - 1;
        self.jumps.push(at);
    }

    /// A loop that ends after a few rounds, unless its body does something to the counter.
    fn counted(&mut self) {
        let counter = self.register();
        let rounds = 1 + self.random.below(6) as i32;
        self.push(alu::MOV | class::ALU, counter, 0, 0, 0);
        let head = self.insns.len();
        for _ in 0..self.random.below(5) {
            self.something(1);
        }
        self.push(alu::ADD | class::ALU, counter, 0, 0, 1);
        let back = head as i64 - self.insns.len() as i64 - 1;
        self.push(jmp::JLT | class::JMP32, counter, 0, back as i16, rounds);
    }

    fn call(&mut self) {
        let at = self.insns.len();
        match self.random.below(10) {
            0..=3 => {
                self.push(class::JMP | jmp::CALL, 0, pseudo::CALL, 0, 0);
                self.calls.push(at);
            }
            4 => {
                // callx of a function, of helper 5, or of nothing.
                let to = self.register();
                match self.random.below(4) {
                    0 | 1 => {
                        self.push(0x18, to, pseudo::FUNC, 0, 0);
                        self.push(0, 0, 0, 0, 0);
                        self.calls.push(at);
                    }
                    2 => self.push(alu::MOV | class::ALU64, to, 0, 0, 5),
                    _ => {}
                }
                self.push(class::JMP | jmp::CALL | source::X, to, 0, 0, 0);
            }
            5 | 6 => {
                // bpf_loop
                let rounds = self.random.below(5) as i32;
                self.push(alu::MOV | class::ALU64, 1, 0, 0, rounds);
                let at = self.insns.len();
                self.push(0x18, 2, pseudo::FUNC, 0, 0);
                self.push(0, 0, 0, 0, 0);
                self.calls.push(at);
                self.push(alu::MOV | class::ALU64 | source::X, 3, 9, 0, 0);
                self.push(alu::MOV | class::ALU64, 4, 0, 0, 0);
                self.push(class::JMP | jmp::CALL, 0, 0, 0, 181);
            }
            7 => {
                // A lookup in the map, of a key on the stack.
                let key = self.random.below(3) as i32;
                self.push(class::ST | mode::MEM | size::W, 10, 0, -4, key);
                self.push(0x18, 1, pseudo::MAP_FD, 0, 0);
                self.push(0, 0, 0, 0, 0);
                self.push(alu::MOV | class::ALU64 | source::X, 2, 10, 0, 0);
                self.push(alu::ADD | class::ALU64, 2, 0, 0, -4);
                self.push(class::JMP | jmp::CALL, 0, 0, 0, 1);
                self.push(jmp::JEQ | class::JMP, 0, 0, 1, 0);
                let size = self.random.of(&[size::B, size::W, size::DW]);
                let src = self.register();
                self.push(class::STX | mode::MEM | size, 0, src, 0, 0);
            }
            8 => {
                // A tail call of the other program.
                self.push(alu::MOV | class::ALU64, 1, 0, 0, 0);
                self.push(0x18, 2, pseudo::MAP_FD, 0, 1);
                self.push(0, 0, 0, 0, 0);
                let index = self.random.below(3) as i32;
                self.push(alu::MOV | class::ALU64, 3, 0, 0, index);
                self.push(class::JMP | jmp::CALL, 0, 0, 0, 12);
            }
            // ktime, random, cpu: repeatable here.
            _ => {
                let helper = self.random.of(&[5, 7, 8]);
                self.push(class::JMP | jmp::CALL, 0, 0, 0, helper);
            }
        }
    }

    fn something(&mut self, depth: u32) {
        match self.random.below(24) {
            0..=6 => self.arithmetic(),
            7 | 8 => self.unusual(),
            9..=11 => self.idiom(),
            12..=15 => self.memory(),
            16 => self.atomic(),
            17..=20 => self.branch(),
            21 if depth == 0 => self.counted(),
            22 if self.functions > 0 => self.call(),
            _ => self.arithmetic(),
        }
    }

    fn function(&mut self, first: bool) {
        let start = self.insns.len();
        self.starts.push(start);
        if first {
            self.push(alu::MOV | class::ALU64 | source::X, 9, 1, 0, 0);
        }
        for register in 0..9 {
            if self.random.below(if first { 2 } else { 8 }) == 0 {
                let imm = self.imm();
                self.push(alu::MOV | class::ALU64, register, 0, 0, imm);
            }
        }
        for _ in 0..4 + self.random.below(30) {
            self.something(0);
        }
        self.push(class::JMP | jmp::EXIT, 0, 0, 0, 0);
        let end = self.insns.len();
        // Jumps lead ahead, now and then back, seldom into another function.
        for at in std::mem::take(&mut self.jumps) {
            let to = loop {
                let to = match self.random.below(40) {
                    0 => start + self.random.below((end - start) as u64) as usize,
                    1 if self.functions > 2 => self.random.below(end as u64) as usize,
                    _ => at + 1 + self.random.below((end - at - 1).min(12) as u64) as usize,
                };
                let second = to > 0 && self.insns[to - 1].is_ld_imm64();
                if !second {
                    break to;
                }
            };
            self.insns[at].off = (to as i64 - at as i64 - 1) as i16;
        }
    }
}

/// A random program of up to four functions.
fn program(random: &mut Random) -> Vec<Insn> {
    let functions = random.of(&[0, 0, 1, 2, 3]);
    let mut writer = Writer {
        random,
        insns: Vec::new(),
        jumps: Vec::new(),
        calls: Vec::new(),
        starts: Vec::new(),
        functions,
    };
    for index in 0..=functions {
        writer.function(index == 0);
    }
    for at in std::mem::take(&mut writer.calls) {
        let to = writer.starts[writer.random.below(writer.starts.len() as u64) as usize];
        writer.insns[at].imm = (to as i64 - at as i64 - 1) as i32;
    }
    writer.insns
}

/// What a run came to.
#[derive(Debug, PartialEq)]
struct Outcome {
    result: Result<u64, (usize, Arc<str>, TrapCause)>,
    memory: Vec<u8>,
    map: Vec<u8>,
}

impl Outcome {
    fn spent(&self) -> bool {
        matches!(&self.result, Err((_, _, TrapCause::Budget { .. })))
    }
}

struct Bench {
    map: Arc<dyn Map>,
    programs: Arc<dyn Map>,
    program: Arc<Program>,
    memory: Box<[u64; MEMORY / 8]>,
}

impl Bench {
    fn new(insns: &[Insn], other: &[Insn]) -> Bench {
        let options = CreateOptions {
            seed: Some(1),
            ..CreateOptions::default()
        };
        let array = MapDef::new("values", MapType::Array, 4, 16, 2);
        let map = create(&array, &options).expect("an array");
        let slots = MapDef::new("programs", MapType::ProgArray, 4, 4, 2);
        let programs = create(&slots, &options).expect("a program array");
        let load = |insns: &[Insn]| {
            Program::sandboxed(Image {
                name: "random".into(),
                insns: insns.to_vec(),
                maps: vec![map.clone(), programs.clone()],
                ..Image::default()
            })
            .unwrap_or_else(|error| panic!("{error}\n{insns:?}"))
        };
        let program = load(insns);
        let array = programs.as_prog_array().expect("a program array");
        array.set(0, load(other)).expect("a slot");
        Bench {
            map,
            programs,
            program,
            memory: Box::new([0; MEMORY / 8]),
        }
    }

    fn other(&self) -> Arc<Program> {
        self.programs.program(0).expect("a program")
    }

    fn run(&mut self, budget: Option<u64>) -> Outcome {
        for (index, word) in self.memory.iter_mut().enumerate() {
            *word = (index as u64 + 1).wrapping_mul(0x0102_0304_0506_0708);
        }
        for key in 0..2u32 {
            let value = [key as u8 + 1; 16];
            self.map
                .update_user(&key.to_ne_bytes(), &value, 0)
                .expect("a value");
        }
        let start = self.memory.as_mut_ptr().cast::<u8>();
        // SAFETY: the bytes of the words, which nothing else refers to during the run.
        let bytes = unsafe { std::slice::from_raw_parts_mut(start, MEMORY) };
        let limits = Limits {
            insns: budget,
            ..Limits::default()
        };
        let result = self
            .program
            .run(&mut Ctx::Flat(bytes), &FixedEnv::default(), &limits);
        let mut map = Vec::new();
        let mut value = Vec::new();
        for key in 0..2u32 {
            self.map
                .lookup_user(&key.to_ne_bytes(), 0, &mut value)
                .expect("a value");
            map.extend_from_slice(&value);
        }
        Outcome {
            result: result.map_err(|trap: Trap| (trap.pc, trap.program, trap.cause)),
            memory: self
                .memory
                .iter()
                .flat_map(|word| word.to_ne_bytes())
                .collect(),
            map,
        }
    }
}

impl Drop for Bench {
    /// The program in the slot holds the array that it is in.
    fn drop(&mut self) {
        let _ = self.programs.delete_user(&0u32.to_ne_bytes());
    }
}

/// Runs a program in all ways; tells where they differ.
fn difference(insns: &[Insn], other: &[Insn], random: u64) -> Option<String> {
    const BUDGET: u64 = 20_000;
    let mut bench = Bench::new(insns, other);
    let small = 1 + random % 3_000;
    let wholly = bench.run(Some(BUDGET));
    let ends = !wholly.spent();
    let early = !bench.run(Some(BUDGET - STRETCH)).spent();
    let surely_spent = bench.run(Some(BUDGET + STRETCH)).spent();
    let tight = bench.run(Some(small));
    let tight_spent = bench.run(Some(small + STRETCH)).spent();
    let tight_ends = small > STRETCH && !bench.run(Some(small - STRETCH)).spent();

    let compile = |program: &Program| {
        program
            .compile(&JitOptions::default())
            .unwrap_or_else(|error| panic!("{error}"))
    };
    compile(&bench.program);
    if random & 1 << 40 == 0 {
        compile(&bench.other());
    }
    let differs = |what: &str, want: &Outcome, got: &Outcome| {
        (want != got).then(|| format!("{what}:\n  interpreted {want:x?}\n  compiled    {got:x?}"))
    };
    let limited = bench.run(Some(BUDGET));
    if ends {
        if early && let Some(text) = differs("with a budget", &wholly, &limited) {
            return Some(text);
        }
        let free = bench.run(None);
        if let Some(text) = differs("without a budget", &wholly, &free) {
            return Some(text);
        }
    } else if surely_spent && !limited.spent() {
        return differs("a budget that is used up", &wholly, &limited);
    }
    let limited = bench.run(Some(small));
    if tight.spent() && tight_spent && !limited.spent() {
        return differs("a small budget that is used up", &tight, &limited);
    }
    if !tight.spent() && tight_ends {
        return differs("a small budget that suffices", &tight, &limited);
    }
    None
}

/// Removes instructions while the difference stays.
fn reduce(mut insns: Vec<Insn>, other: &[Insn], random: u64) -> Vec<Insn> {
    let nop = Insn::new(jmp::JA | class::JMP, 0, 0, 0, 0);
    let mut again = true;
    while again {
        again = false;
        for at in 0..insns.len() {
            let width = insns[at].slots();
            if insns[at] == nop || insns[at].is_exit() || at > 0 && insns[at - 1].is_ld_imm64() {
                continue;
            }
            let before = insns.clone();
            for slot in &mut insns[at..at + width] {
                *slot = nop;
            }
            if difference(&insns, other, random).is_some() {
                again = true;
            } else {
                insns = before;
            }
        }
    }
    insns
}

fn show(insns: &[Insn]) -> String {
    let nop = Insn::new(jmp::JA | class::JMP, 0, 0, 0, 0);
    insns
        .iter()
        .enumerate()
        .filter(|(_, insn)| **insn != nop)
        .map(|(at, insn)| {
            format!(
                "{at:4}: {:02x} r{} r{} {:+} {:#x}\n",
                insn.code, insn.dst, insn.src, insn.off, insn.imm
            )
        })
        .collect()
}

#[test]
fn compiled_programs_do_what_interpreted_ones_do() {
    let exit = [
        Insn::mov64_imm(0, 0),
        Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0),
    ];
    let probe = Bench::new(&exit, &exit);
    if let Err(error @ JitError::Architecture(_)) = probe.program.compile(&JitOptions::default()) {
        eprintln!("skipped: {error}");
        return;
    }
    let seed = setting("SKEP_FUZZ_SEED", 0x5eed_c0de);
    let count = setting("SKEP_FUZZ_PROGRAMS", 3_000);
    let (mut returned, mut trapped) = (0u64, 0u64);
    for index in 0..count {
        let mut random = Random((seed.wrapping_add(index)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let insns = program(&mut random);
        let other = program(&mut random);
        let bits = random.next();
        if let Some(text) = difference(&insns, &other, bits) {
            let small = reduce(insns, &other, bits);
            let text = difference(&small, &other, bits).unwrap_or(text);
            panic!(
                "program {index} of seed {seed}: {text}\n{}\nwith\n{}",
                show(&small),
                show(&other)
            );
        }
        match Bench::new(&insns, &other).run(Some(2_000)).result {
            Ok(_) => returned += 1,
            Err(_) => trapped += 1,
        }
    }
    eprintln!("{count} programs: {returned} returned, {trapped} did not");
    assert!(
        returned * 5 > count,
        "most programs trap: the test says little"
    );
    assert!(trapped > 0 || count < 100);
}
