//! Calls, callbacks, tail calls, memory, atomics, limits and traps of the interpreter.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skep_spec::context;
use skep_spec::errno::Errno;
use skep_spec::insn::{Insn, alu, atomic, class, jmp, mode, pseudo, size, source};
use skep_spec::map::{MapDef, MapType};
use skep_vm::{
    Ctx, DefaultEnv, Env, FixedEnv, Image, Limits, Line, LoadError, Map, Program, Trap, TrapCause,
};

const EXIT: Insn = Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0);
const CALL: u8 = class::JMP | jmp::CALL;

fn image(insns: &[Insn]) -> Image {
    Image {
        name: "test".into(),
        insns: insns.to_vec(),
        ..Image::default()
    }
}

fn load(insns: &[Insn]) -> Arc<Program> {
    Program::sandboxed(image(insns)).unwrap_or_else(|error| panic!("{error}"))
}

fn run(insns: &[Insn]) -> Result<u64, Trap> {
    load(insns).run(&mut Ctx::None, &FixedEnv::default(), &Limits::default())
}

fn value(insns: &[Insn]) -> u64 {
    run(insns).unwrap_or_else(|trap| panic!("{trap}"))
}

fn trap(insns: &[Insn]) -> Trap {
    run(insns).expect_err("traps")
}

fn refused(insns: &[Insn]) -> String {
    Program::sandboxed(image(insns))
        .expect_err("is refused")
        .to_string()
}

fn call_local(delta: i32) -> Insn {
    Insn::new(CALL, 0, pseudo::CALL, 0, delta)
}

fn wide(dst: u8, src: u8, low: i32, high: i32) -> [Insn; 2] {
    [
        Insn::new(0x18, dst, src, 0, low),
        Insn::new(0, 0, 0, 0, high),
    ]
}

/// An array map with one writable region, or a program array: what the interpreter itself asks of maps.
struct Cells {
    def: MapDef,
    memory: Box<[u64]>,
    programs: Vec<Option<Arc<Program>>>,
    writable: bool,
}

impl Cells {
    fn new(values: usize) -> Cells {
        Cells {
            def: MapDef::new("cells", MapType::Array, 4, 8, values as u32),
            memory: vec![0; values].into(),
            programs: Vec::new(),
            writable: true,
        }
    }

    fn start(&self) -> u64 {
        self.memory.as_ptr().expose_provenance() as u64
    }
}

// SAFETY: the memory is allocated once and freed with the map. The tests use it from one thread.
unsafe impl Map for Cells {
    fn def(&self) -> &MapDef {
        &self.def
    }
    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        let index = u32::from_ne_bytes(key.try_into().ok()?) as usize;
        (index < self.memory.len())
            .then(|| NonNull::new((self.start() + 8 * index as u64) as *mut u8))?
    }
    fn update(&self, _: &[u8], _: &[u8], _: u64, _: u32) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
    fn delete(&self, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
    fn for_each(
        &self,
        cpu: u32,
        visit: &mut dyn FnMut(&[u8], NonNull<u8>) -> bool,
    ) -> Result<u64, Errno> {
        for index in 0..self.memory.len() as u32 {
            let key = index.to_ne_bytes();
            let value = self.lookup(&key, cpu).expect("in range");
            if !visit(&key, value) {
                return Ok(u64::from(index) + 1);
            }
        }
        Ok(self.memory.len() as u64)
    }
    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        let offset = addr.checked_sub(self.start())?;
        let index = offset / 8;
        (index < self.memory.len() as u64)
            .then(|| (self.start() + 8 * index, self.start() + 8 * index + 8))
    }
    fn direct_value(&self, offset: u32) -> Option<u64> {
        (u64::from(offset) < 8 * self.memory.len() as u64).then(|| self.start() + u64::from(offset))
    }
    fn program_writable(&self) -> bool {
        self.writable
    }
    fn lookup_user(&self, _: &[u8], _: u64, _: &mut Vec<u8>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    fn update_user(&self, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    fn next_key(&self, _: Option<&[u8]>, _: &mut Vec<u8>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    fn program(&self, index: u32) -> Option<Arc<Program>> {
        self.programs.get(index as usize)?.clone()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn run_with(map: Cells, insns: &[Insn]) -> Result<u64, Trap> {
    let image = Image {
        maps: vec![Arc::new(map)],
        ..image(insns)
    };
    let program = Program::sandboxed(image).unwrap_or_else(|error| panic!("{error}"));
    program.run(&mut Ctx::None, &FixedEnv::default(), &Limits::default())
}

#[test]
fn functions_keep_r6_to_r9_and_have_their_own_stack() {
    let insns = [
        Insn::mov64_imm(6, 7),
        Insn::store_imm(size::DW, 10, -8, 5),
        Insn::mov64_reg(1, 10),
        Insn::alu64_imm(alu::ADD, 1, -8),
        call_local(4),
        Insn::load(size::DW, 1, 10, -8),
        Insn::alu64_reg(alu::ADD, 0, 1),
        Insn::alu64_reg(alu::ADD, 0, 6),
        EXIT,
        // Changes the caller's variable through its pointer, and a variable of its own at the same place.
        Insn::store_imm(size::DW, 10, -8, 1000),
        Insn::store_imm(size::DW, 1, 0, 20),
        Insn::mov64_imm(6, 99),
        Insn::mov64_imm(0, 300),
        EXIT,
    ];
    assert_eq!(value(&insns), 300 + 20 + 7);
}

#[test]
fn a_frame_starts_zeroed() {
    let insns = [
        call_local(3),
        call_local(7),
        Insn::mov64_reg(0, 0),
        EXIT,
        Insn::store_imm(size::DW, 10, -16, -1),
        Insn::mov64_reg(1, 10),
        Insn::store_imm(size::DW, 1, -512, -1),
        Insn::mov64_imm(0, 0),
        EXIT,
        Insn::load(size::DW, 0, 10, -16),
        Insn::mov64_reg(1, 10),
        Insn::load(size::DW, 1, 1, -512),
        Insn::alu64_reg(alu::OR, 0, 1),
        EXIT,
    ];
    assert_eq!(value(&insns), 0);
}

#[test]
fn the_ninth_frame_traps() {
    // Recursion r1 deep: 7 calls make 8 frames.
    let deep = |calls: i32| {
        [
            Insn::mov64_imm(1, calls),
            call_local(1),
            EXIT,
            Insn::jmp64_imm(jmp::JEQ, 1, 1, 2),
            Insn::alu64_imm(alu::SUB, 1, 1),
            call_local(-3),
            EXIT,
        ]
    };
    let mut seven = deep(7);
    seven[0] = Insn::mov64_imm(1, 7);
    assert!(run(&seven).is_ok());
    let trap = trap(&deep(8));
    assert_eq!(trap.cause, TrapCause::CallDepth { max: 8 });
    assert_eq!(trap.pc, 5);
}

#[test]
fn callx_calls_functions_and_nothing_else() {
    let mut insns = wide(2, pseudo::FUNC, 4, 0).to_vec();
    insns.extend([
        Insn::mov64_imm(1, 4),
        Insn::new(CALL | source::X, 2, 0, 0, 0),
        EXIT,
        Insn::mov64_reg(0, 1),
        Insn::alu64_imm(alu::MUL, 0, 3),
        EXIT,
    ]);
    assert_eq!(value(&insns), 12);
    insns.insert(3, Insn::alu64_imm(alu::ADD, 2, 16));
    insns[0].imm = 5;
    assert!(matches!(trap(&insns).cause, TrapCause::BadCall { .. }));
}

#[test]
fn bpf_loop_calls_back() {
    let mut insns = vec![Insn::store_imm(size::DW, 10, -8, 0), Insn::mov64_imm(1, 10)];
    insns.extend(wide(2, pseudo::FUNC, 8, 0));
    insns.extend([
        Insn::mov64_reg(3, 10),
        Insn::alu64_imm(alu::ADD, 3, -8),
        Insn::mov64_imm(4, 0),
        Insn::call_helper(181),
        Insn::load(size::DW, 1, 10, -8),
        Insn::alu64_imm(alu::MUL, 0, 1000),
        Insn::alu64_reg(alu::ADD, 0, 1),
        EXIT,
    ]);
    insns[2].imm = insns.len() as i32 - 3;
    // Adds the index; stops after 6.
    insns.extend([
        Insn::load(size::DW, 3, 2, 0),
        Insn::alu64_reg(alu::ADD, 3, 1),
        Insn::store_reg(size::DW, 2, 0, 3),
        Insn::mov64_imm(0, 0),
        Insn::jmp64_imm(jmp::JNE, 1, 6, 1),
        Insn::mov64_imm(0, 1),
        EXIT,
    ]);
    assert_eq!(value(&insns), 7 * 1000 + 21);
}

#[test]
fn for_each_passes_key_and_value() {
    let mut insns = wide(1, pseudo::MAP_FD, 0, 0).to_vec();
    insns.extend(wide(2, pseudo::FUNC, 0, 0));
    insns.extend([
        Insn::store_imm(size::DW, 10, -8, 0),
        Insn::mov64_reg(3, 10),
        Insn::alu64_imm(alu::ADD, 3, -8),
        Insn::mov64_imm(4, 0),
        Insn::call_helper(164),
    ]);
    insns.extend([Insn::load(size::DW, 0, 10, -8), EXIT]);
    insns[2].imm = insns.len() as i32 - 3;
    // sum += key + 100 * value; value = key
    insns.extend([
        Insn::load(size::W, 5, 2, 0),
        Insn::load(size::DW, 1, 3, 0),
        Insn::alu64_imm(alu::MUL, 1, 100),
        Insn::alu64_reg(alu::ADD, 1, 5),
        Insn::load(size::DW, 0, 4, 0),
        Insn::alu64_reg(alu::ADD, 0, 1),
        Insn::store_reg(size::DW, 4, 0, 0),
        Insn::store_reg(size::DW, 3, 0, 5),
        Insn::mov64_imm(0, 0),
        EXIT,
    ]);
    let mut cells = Cells::new(3);
    cells.memory[1] = 5;
    assert_eq!(run_with(cells, &insns).expect("runs"), 503);
    // The key is the engine's copy: not to be written.
    let at = insns.len() - 10;
    insns[at] = Insn::store_imm(size::W, 2, 0, 1);
    let trap = run_with(Cells::new(3), &insns).expect_err("traps");
    assert!(
        matches!(trap.cause, TrapCause::BadAccess { write: true, .. }),
        "{trap}"
    );
    assert_eq!(trap.pc, at);
}

fn tail_caller(next: i32) -> Vec<Insn> {
    let mut insns = vec![Insn::mov64_imm(1, 0)];
    insns.extend(wide(2, pseudo::MAP_FD, 0, 0));
    insns.extend([
        Insn::mov64_imm(3, next),
        Insn::call_helper(12),
        Insn::mov64_imm(0, 77),
        EXIT,
    ]);
    insns
}

#[test]
fn tail_calls_replace_the_program() {
    let mut cells = Cells::new(1);
    cells.programs = vec![Some(load(&[Insn::mov64_imm(0, 42), EXIT])), None];
    let map: Arc<dyn Map> = Arc::new(cells);
    let of = |slot: i32| {
        let image = Image {
            maps: vec![map.clone()],
            ..image(&tail_caller(slot))
        };
        Program::sandboxed(image)
            .expect("loads")
            .run(&mut Ctx::None, &FixedEnv::default(), &Limits::default())
            .expect("runs")
    };
    assert_eq!(of(0), 42);
    assert_eq!(of(1), 77);
    assert_eq!(of(2), 77);
}

#[test]
fn a_tail_call_in_a_function_returns_to_its_caller() {
    let mut cells = Cells::new(1);
    cells.programs = vec![Some(load(&[Insn::mov64_imm(0, 42), EXIT]))];
    let mut insns = vec![
        Insn::mov64_imm(6, 1000),
        call_local(2),
        Insn::alu64_reg(alu::ADD, 0, 6),
        EXIT,
    ];
    insns.extend(tail_caller(0));
    assert_eq!(run_with(cells, &insns).expect("runs"), 1042);
}

/// A program array that always answers with a program that tail-calls again.
struct Endless {
    inner: Cells,
    next: std::sync::OnceLock<Arc<Program>>,
}

// SAFETY: hands out no addresses.
unsafe impl Map for Endless {
    fn def(&self) -> &MapDef {
        &self.inner.def
    }
    fn lookup(&self, _: &[u8], _: u32) -> Option<NonNull<u8>> {
        None
    }
    fn update(&self, _: &[u8], _: &[u8], _: u64, _: u32) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
    fn delete(&self, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        self.inner.value_at(addr)
    }
    fn direct_value(&self, offset: u32) -> Option<u64> {
        self.inner.direct_value(offset)
    }
    fn lookup_user(&self, _: &[u8], _: u64, _: &mut Vec<u8>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    fn update_user(&self, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    fn next_key(&self, _: Option<&[u8]>, _: &mut Vec<u8>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
    fn program(&self, _: u32) -> Option<Arc<Program>> {
        self.next.get().cloned()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[test]
fn the_34th_tail_call_falls_through() {
    let map = Arc::new(Endless {
        inner: Cells::new(1),
        next: Default::default(),
    });
    // Counts its runs in the map's value, then calls itself; answers the count when that fails.
    let mut insns = wide(6, pseudo::MAP_VALUE, 0, 0).to_vec();
    insns.extend([
        Insn::load(size::DW, 7, 6, 0),
        Insn::alu64_imm(alu::ADD, 7, 1),
        Insn::store_reg(size::DW, 6, 0, 7),
    ]);
    insns.extend(tail_caller(0));
    let end = insns.len() - 2;
    insns[end] = Insn::mov64_reg(0, 7);
    let program = Program::sandboxed(Image {
        maps: vec![map.clone()],
        ..image(&insns)
    })
    .expect("loads");
    map.next.set(program.clone()).expect("once");
    assert_eq!(
        program
            .run(&mut Ctx::None, &FixedEnv::default(), &Limits::default())
            .expect("runs"),
        34
    );
}

#[test]
fn atomics_on_the_stack() {
    let with = |size: u8, op: i32, start: i32, operand: i32, r0: i32| {
        let insns = [
            Insn::store_imm(size::DW, 10, -8, start),
            Insn::mov64_imm(0, r0),
            Insn::mov64_imm(1, operand),
            Insn::atomic(size, op, 10, -8, 1),
            Insn::load(size::DW, 2, 10, -8),
            Insn::alu64_imm(alu::LSH, 2, 32),
            Insn::alu64_imm(alu::LSH, 1, 16),
            Insn::alu64_reg(alu::OR, 0, 1),
            Insn::alu64_reg(alu::OR, 0, 2),
            EXIT,
        ];
        let all = value(&insns);
        (all >> 32, all >> 16 & 0xffff, all & 0xffff)
    };
    for size in [size::W, size::DW] {
        // (memory, source register, r0)
        assert_eq!(with(size, atomic::ADD, 5, 3, 1), (8, 3, 1));
        assert_eq!(with(size, atomic::ADD | atomic::FETCH, 5, 3, 1), (8, 5, 1));
        assert_eq!(with(size, atomic::OR, 5, 3, 1), (7, 3, 1));
        assert_eq!(with(size, atomic::OR | atomic::FETCH, 5, 3, 1), (7, 5, 1));
        assert_eq!(with(size, atomic::AND, 5, 3, 1), (1, 3, 1));
        assert_eq!(with(size, atomic::AND | atomic::FETCH, 5, 3, 1), (1, 5, 1));
        assert_eq!(with(size, atomic::XOR, 5, 3, 1), (6, 3, 1));
        assert_eq!(with(size, atomic::XOR | atomic::FETCH, 5, 3, 1), (6, 5, 1));
        assert_eq!(with(size, atomic::XCHG, 5, 3, 1), (3, 5, 1));
        assert_eq!(with(size, atomic::CMPXCHG, 5, 3, 5), (3, 3, 5));
        assert_eq!(with(size, atomic::CMPXCHG, 5, 3, 4), (5, 3, 5));
    }
}

#[test]
fn acquire_and_release_in_all_widths() {
    for (size, mask) in [
        (size::B, 0xff),
        (size::H, 0xffff),
        (size::W, 0xffff_ffff),
        (size::DW, u64::MAX),
    ] {
        let mut insns = wide(1, 0, 0x5566_7788, 0x1122_3344).to_vec();
        insns.extend([
            Insn::atomic(size, atomic::STORE_REL, 10, -8, 1),
            Insn::new(
                class::STX | mode::ATOMIC | size,
                0,
                10,
                -8,
                atomic::LOAD_ACQ,
            ),
            EXIT,
        ]);
        assert_eq!(value(&insns), 0x1122_3344_5566_7788 & mask);
    }
    let crooked = [
        Insn::mov64_imm(1, 1),
        Insn::atomic(size::DW, atomic::ADD, 10, -12, 1),
        EXIT,
    ];
    assert!(matches!(
        trap(&crooked).cause,
        TrapCause::Misaligned { len: 8, .. }
    ));
}

#[test]
fn sign_extending_loads() {
    for (size, want) in [
        (size::B, -0x78i64),
        (size::H, 0x7788),
        (size::W, -0x1122_8878i64),
    ] {
        let start: u64 = if size == size::W { 0xeedd_7788 } else { 0x7788 };
        let mut insns = wide(1, 0, start as u32 as i32, 0).to_vec();
        insns.extend([
            Insn::store_reg(size::DW, 10, -8, 1),
            Insn::new(class::LDX | mode::MEMSX | size, 0, 10, -8, 0),
            Insn::mov64_reg(2, 10),
            Insn::new(class::LDX | mode::MEMSX | size, 3, 2, -8, 0),
            Insn::alu64_reg(alu::SUB, 3, 0),
            Insn::alu64_reg(alu::ADD, 0, 3),
            EXIT,
        ]);
        assert_eq!(value(&insns) as i64, want);
    }
}

#[test]
fn may_goto_ends_its_loop() {
    let insns = [
        Insn::mov64_imm(0, 0),
        Insn::new(class::JMP | jmp::JCOND, 0, 0, 2, 0),
        Insn::alu64_imm(alu::ADD, 0, 1),
        Insn::ja(-3),
        EXIT,
    ];
    assert_eq!(value(&insns), 8 * 1024 * 1024);
}

#[test]
fn long_jumps() {
    let insns = [
        Insn::mov64_imm(0, 1),
        Insn::new(class::JMP32 | jmp::JA, 0, 0, 0, 1),
        Insn::mov64_imm(0, 2),
        EXIT,
    ];
    assert_eq!(value(&insns), 1);
}

#[test]
fn the_budget_ends_a_loop_soon() {
    let program = load(&[Insn::alu64_imm(alu::ADD, 0, 1), Insn::ja(-2), EXIT]);
    let limits = Limits {
        insns: Some(1000),
        ..Limits::default()
    };
    let (result, executed) = program.run_counted(&mut Ctx::None, &FixedEnv::default(), &limits);
    assert_eq!(
        result.expect_err("traps").cause,
        TrapCause::Budget { insns: 1000 }
    );
    assert!((1000..1004).contains(&executed), "{executed}");
}

#[test]
fn the_budget_counts_callbacks() {
    let mut insns = vec![Insn::mov64_imm(1, 1_000_000)];
    insns.extend(wide(2, pseudo::FUNC, 5, 0));
    insns.extend([
        Insn::mov64_imm(3, 0),
        Insn::mov64_imm(4, 0),
        Insn::call_helper(181),
        EXIT,
        Insn::mov64_imm(0, 0),
        EXIT,
    ]);
    let limits = Limits {
        insns: Some(5000),
        ..Limits::default()
    };
    let (result, executed) =
        load(&insns).run_counted(&mut Ctx::None, &FixedEnv::default(), &limits);
    assert_eq!(
        result.expect_err("traps").cause,
        TrapCause::Budget { insns: 5000 }
    );
    assert!((5000..5020).contains(&executed), "{executed}");
}

#[test]
fn instructions_are_counted() {
    // 2 (ld_imm64 counts once, mov) + 5 rounds of 2 + exit
    let mut insns = wide(1, 0, 5, 0).to_vec();
    insns.extend([
        Insn::mov64_imm(0, 0),
        Insn::alu64_imm(alu::SUB, 1, 1),
        Insn::jmp64_imm(jmp::JNE, 1, 0, -2),
        EXIT,
    ]);
    let (result, executed) =
        load(&insns).run_counted(&mut Ctx::None, &FixedEnv::default(), &Limits::default());
    assert_eq!((result.expect("runs"), executed), (0, 13));
    // A call, its function's two instructions, and the two exits.
    let insns = [call_local(1), EXIT, Insn::mov64_imm(0, 3), EXIT];
    let (result, executed) =
        load(&insns).run_counted(&mut Ctx::None, &FixedEnv::default(), &Limits::default());
    assert_eq!((result.expect("runs"), executed), (3, 4));
}

#[test]
fn an_interrupt_ends_an_endless_loop() {
    let flag = Arc::new(AtomicBool::new(false));
    let limits = Limits {
        insns: None,
        interrupt: Some(flag.clone()),
        ..Limits::default()
    };
    let program = load(&[Insn::ja(-1), EXIT]);
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        flag.store(true, Ordering::Relaxed);
    });
    let trap = program
        .run(&mut Ctx::None, &DefaultEnv::new(), &limits)
        .expect_err("traps");
    assert_eq!(trap.cause, TrapCause::Interrupted);
    stopper.join().expect("joins");
}

#[test]
fn traps_say_where_and_what() {
    let line = Line {
        insn: 1,
        file: "count.c".into(),
        line: 7,
        column: 3,
        text: "  return *p;".into(),
    };
    let insns = [Insn::mov64_imm(1, 16), Insn::load(size::W, 0, 1, 4), EXIT];
    let program = Program::sandboxed(Image {
        lines: vec![line.clone()],
        ..image(&insns)
    })
    .expect("loads");
    let trap = program
        .run(&mut Ctx::None, &FixedEnv::default(), &Limits::default())
        .expect_err("traps");
    assert_eq!(
        (trap.pc, trap.line.as_ref(), trap.regs[1]),
        (1, Some(&line), 16)
    );
    assert_eq!(
        trap.to_string(),
        "test: instruction 1: invalid read of 4 bytes at 0x14: a null pointer plus 20 (count.c:7: return *p;)"
    );
}

fn memory_trap(insns: &[Insn]) -> String {
    let trap = trap(insns);
    match trap.cause {
        TrapCause::BadAccess { what, .. } => what.into(),
        other => panic!("{other}"),
    }
}

#[test]
fn the_stack_has_two_ends() {
    let pointer = |off: i32| {
        [
            Insn::mov64_reg(1, 10),
            Insn::alu64_imm(alu::ADD, 1, off),
            Insn::load(size::DW, 0, 1, 0),
            EXIT,
        ]
    };
    assert_eq!(value(&pointer(-8)), 0);
    assert_eq!(value(&pointer(-512)), 0);
    assert_eq!(
        memory_trap(&pointer(-4)),
        "8 bytes at fp-4, the stack frame is 512 bytes"
    );
    assert_eq!(
        memory_trap(&pointer(0)),
        "8 bytes at fp+0, the stack frame is 512 bytes"
    );
    assert_eq!(
        memory_trap(&pointer(-520)),
        "8 bytes at fp-520, the stack frame is 512 bytes"
    );
    assert!(matches!(
        trap(&[Insn::load(size::DW, 0, 10, 8), EXIT]).cause,
        TrapCause::BadAccess { .. }
    ));
    assert!(matches!(
        trap(&[Insn::store_imm(size::B, 10, -513, 1), EXIT]).cause,
        TrapCause::BadAccess { write: true, .. }
    ));
}

#[test]
fn a_frame_that_is_gone_cannot_be_read() {
    let insns = [
        call_local(2),
        Insn::load(size::DW, 0, 0, 0),
        EXIT,
        Insn::mov64_reg(0, 10),
        Insn::alu64_imm(alu::ADD, 0, -8),
        Insn::store_imm(size::DW, 0, 0, 7),
        Insn::load(size::DW, 1, 0, 0),
        EXIT,
    ];
    assert_eq!(trap(&insns).pc, 1);
}

#[test]
fn flat_contexts_end_where_they_end() {
    let mut bytes = [1u8, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    let of = |off: i16, size: u8| {
        let program = load(&[Insn::load(size, 0, 1, off), EXIT]);
        program.run(
            &mut Ctx::Flat(&mut bytes.clone()),
            &FixedEnv::default(),
            &Limits::default(),
        )
    };
    assert_eq!(of(0, size::B).expect("runs"), 1);
    assert_eq!(of(9, size::B).expect("runs"), 10);
    assert_eq!(
        of(8, size::H).expect("runs"),
        u64::from(u16::from_ne_bytes([9, 10]))
    );
    assert_eq!(
        of(6, size::W).expect("runs"),
        u64::from(u32::from_ne_bytes([7, 8, 9, 10]))
    );
    for (off, size) in [
        (10, size::B),
        (9, size::H),
        (7, size::W),
        (3, size::DW),
        (-1, size::B),
        (-8, size::DW),
    ] {
        let trap = of(off, size).expect_err("traps");
        assert!(matches!(trap.cause, TrapCause::BadAccess { .. }));
    }
    let text = of(10, size::B).expect_err("traps").to_string();
    assert!(text.contains("context+10, context ends at 10"), "{text}");
    let program = load(&[Insn::mov64_reg(0, 2), EXIT]);
    assert_eq!(
        program
            .run(
                &mut Ctx::Flat(&mut bytes),
                &FixedEnv::default(),
                &Limits::default()
            )
            .expect("runs"),
        10
    );
}

#[test]
fn a_window_serves_only_what_it_holds() {
    // A good access, then one past its end: also with the window remembered.
    let mut insns = wide(1, pseudo::MAP_VALUE, 0, 0).to_vec();
    insns.extend([
        Insn::store_imm(size::DW, 1, 0, 1),
        Insn::load(size::DW, 0, 1, 0),
        Insn::load(size::DW, 0, 1, 1),
        EXIT,
    ]);
    assert_eq!(run_with(Cells::new(2), &insns).expect_err("traps").pc, 4);
    insns[4] = Insn::store_imm(size::W, 1, 6, 1);
    assert_eq!(run_with(Cells::new(2), &insns).expect_err("traps").pc, 4);
    insns[4] = Insn::store_imm(size::B, 1, -1, 1);
    assert_eq!(run_with(Cells::new(2), &insns).expect_err("traps").pc, 4);
}

#[test]
fn read_only_maps_are_not_written() {
    let mut insns = wide(1, pseudo::MAP_VALUE, 0, 8).to_vec();
    insns.extend([
        Insn::load(size::DW, 0, 1, 0),
        Insn::store_imm(size::DW, 1, 0, 1),
        EXIT,
    ]);
    let cells = Cells {
        writable: false,
        ..Cells::new(2)
    };
    let trap = run_with(cells, &insns).expect_err("traps");
    assert_eq!(trap.pc, 3);
    assert!(
        trap.to_string()
            .contains("value of map cells+0, which is read-only"),
        "{trap}"
    );
}

#[test]
fn converted_contexts_follow_the_layout() {
    let layout = context::for_program(skep_spec::program::ProgramType::Xdp, None);
    let mut slots = vec![0u64; layout.fields.len()];
    let (ifindex, field) = layout.field("ingress_ifindex").expect("a field");
    let (data, data_field) = layout.field("data").expect("a field");
    let bytes = [9u8; 16];
    slots[ifindex] = 0x0102_0304;
    slots[data] = bytes.as_ptr() as u64;
    let mut run = |insn: Insn| {
        let program = Program::sandboxed(Image {
            layout: Some(layout),
            ..image(&[insn, Insn::mov64_reg(0, 0), EXIT])
        })
        .expect("loads");
        program.run(
            &mut Ctx::Converted {
                layout,
                slots: &mut slots,
            },
            &FixedEnv::default(),
            &Limits::default(),
        )
    };
    let at = field.offset as i16;
    assert_eq!(
        run(Insn::load(size::W, 0, 1, at)).expect("runs"),
        0x0102_0304
    );
    assert!(run(Insn::load(size::H, 0, 1, at + 2)).is_err());
    assert_eq!(
        run(Insn::load(size::W, 0, 1, data_field.offset as i16)).expect("runs"),
        bytes.as_ptr() as u64
    );
    assert!(run(Insn::load(size::H, 0, 1, data_field.offset as i16)).is_err());
    assert!(run(Insn::store_imm(size::W, 1, at, 1)).is_err());
    let past = run(Insn::load(size::W, 0, 1, layout.size as i16)).expect_err("traps");
    assert!(matches!(past.cause, TrapCause::BadAccess { .. }));
}

#[test]
fn converted_fields_may_be_read_and_written_in_part() {
    let layout = context::for_program(skep_spec::program::ProgramType::SchedCls, None);
    let mut slots = vec![0u64; layout.fields.len()];
    let (mark, field) = layout.field("mark").expect("a field");
    let at = field.offset as i16;
    slots[mark] = 0x0102_0304;
    let insns = [
        Insn::store_imm(size::W, 1, at, 0x0506_0708),
        Insn::load(size::H, 0, 1, at + 2),
        Insn::load(size::B, 2, 1, at),
        Insn::alu64_imm(alu::LSH, 2, 16),
        Insn::alu64_reg(alu::OR, 0, 2),
        EXIT,
    ];
    let program = Program::sandboxed(Image {
        layout: Some(layout),
        ..image(&insns)
    })
    .expect("loads");
    let mut ctx = Ctx::Converted {
        layout,
        slots: &mut slots,
    };
    assert_eq!(
        program
            .run(&mut ctx, &FixedEnv::default(), &Limits::default())
            .expect("runs"),
        0x08_0506
    );
    assert_eq!(slots[mark], 0x0506_0708);
}

/// An environment with eight bytes of modelled kernel memory.
struct Kernel {
    regions: Vec<std::ops::Range<u64>>,
}

impl Env for Kernel {
    fn random_u32(&self) -> u32 {
        4
    }
    fn read_kernel(&self, addr: u64, out: &mut [u8]) -> Result<(), Errno> {
        out.iter_mut()
            .enumerate()
            .for_each(|(index, byte)| *byte = (addr as u8) + index as u8);
        Ok(())
    }
    fn kernel_regions(&self) -> &[std::ops::Range<u64>] {
        &self.regions
    }
}

#[test]
fn kernel_memory_is_read_through_the_environment() {
    let start = 0xffff_8000_0000_0010u64;
    let env = Kernel {
        regions: std::iter::once(start..start + 8).collect(),
    };
    let run = |insn: Insn| {
        let mut insns = wide(1, 0, start as u32 as i32, (start >> 32) as u32 as i32).to_vec();
        insns.extend([insn, EXIT]);
        load(&insns).run(&mut Ctx::None, &env, &Limits::default())
    };
    assert_eq!(
        run(Insn::load(size::W, 0, 1, 4)).expect("runs"),
        u64::from(u32::from_ne_bytes([0x14, 0x15, 0x16, 0x17]))
    );
    assert!(run(Insn::load(size::DW, 0, 1, 4)).is_err());
    assert!(run(Insn::store_imm(size::B, 1, 0, 4)).is_err());
}

#[test]
fn poisons_trap_with_their_reason() {
    let insns = [
        Insn::jmp64_imm(jmp::JEQ, 1, 0, 1),
        Insn::call_helper(0x0bad_2310),
        Insn::mov64_imm(0, 5),
        EXIT,
    ];
    let poisoned = Image {
        poisons: vec![(1, "field `start_time` of task_struct".into())],
        ..image(&insns)
    };
    let program = Program::sandboxed(poisoned).expect("loads");
    assert_eq!(
        program
            .run(&mut Ctx::None, &FixedEnv::default(), &Limits::default())
            .expect("runs"),
        5
    );
    let trap = program
        .run(
            &mut Ctx::Flat(&mut [0; 8]),
            &FixedEnv::default(),
            &Limits::default(),
        )
        .expect_err("traps");
    assert_eq!(
        trap.cause,
        TrapCause::Poison("field `start_time` of task_struct".into())
    );
}

#[test]
fn bad_programs_are_refused() {
    assert!(refused(&[]).contains("no instructions"));
    assert!(refused(&[Insn::mov64_imm(0, 0)]).contains("run off the end"));
    assert!(refused(&[Insn::ja(5), EXIT]).contains("jump out of range"));
    assert!(refused(&[Insn::ja(-2), EXIT]).contains("jump out of range"));
    assert!(refused(&[Insn::mov64_imm(10, 0), EXIT]).contains("frame pointer is read only"));
    assert!(refused(&[Insn::mov64_imm(11, 0), EXIT]).contains("R11 is invalid"));
    assert!(refused(&[Insn::new(0x18, 1, 0, 0, 1)]).contains("second half is missing"));
    let [low, high] = wide(1, 0, 1, 0);
    assert!(refused(&[Insn::ja(1), low, high, EXIT]).contains("into the middle"));
    assert!(refused(&[call_local(7), EXIT]).contains("outside of the program"));
    assert!(refused(&[Insn::new(0xff, 0, 0, 0, 0), EXIT]).contains("unknown opcode ff"));
    assert!(refused(&[Insn::call_helper(60_000), EXIT]).contains("60000"));
    let cast = Insn::new(class::ALU64 | alu::MOV | source::X, 1, 1, 1, 1);
    assert!(refused(&[cast, EXIT]).contains("arena"));
    let [low, high] = wide(1, pseudo::MAP_FD, 3, 0);
    assert!(refused(&[low, high, EXIT]).contains("map 3 does not exist"));
    let kfunc = Image {
        kfuncs: vec![(0, "bpf_cast_to_kern_ctx".into())],
        ..image(&[Insn::new(CALL, 0, pseudo::KFUNC_CALL, 0, 1), EXIT])
    };
    assert_eq!(
        Program::sandboxed(kfunc).expect_err("is refused"),
        LoadError::UnknownKfunc {
            pc: 0,
            name: "bpf_cast_to_kern_ctx".into()
        }
    );
}

#[test]
fn random_bytes_never_panic() {
    let mut state = 0x1234_5678_9abc_def1u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let limits = Limits {
        insns: Some(2_000),
        ..Limits::default()
    };
    let (mut loaded, mut ran) = (0, 0);
    let codes: Vec<u8> = vec![
        0x07, 0x0f, 0xb7, 0xbf, 0x61, 0x63, 0x62, 0x69, 0x71, 0x79, 0x7b, 0x7a, 0x05, 0x15, 0x1d,
        0x55, 0x85, 0x95, 0xdb, 0xc3, 0xe5, 0x81, 0x8d, 0x20, 0x40,
    ];
    for _ in 0..20_000 {
        let mut insns = Vec::new();
        for _ in 0..(random() % 12 + 1) {
            let bits = random();
            let code = codes[bits as usize % codes.len()];
            let imm = match code {
                0x85 => [1, 5, 7, 8, 181, 12, 6][(bits >> 8) as usize % 7],
                0xdb | 0xc3 => {
                    [0, 1, 0x40, 0x41, 0xe1, 0xf1, 0x100, 0x110][(bits >> 8) as usize % 8]
                }
                0x0f | 0xbf | 0x61 | 0x63 | 0x69 | 0x71 | 0x79 | 0x7b | 0x1d | 0x81 | 0x95
                | 0x8d | 0xe5 | 0x05 => 0,
                _ => (bits >> 8) as i32 % 600,
            };
            let jumps = matches!(code, 0x05 | 0x15 | 0x1d | 0x55 | 0xe5);
            let off = if jumps {
                (bits >> 40) as i16 % 6
            } else if code & 7 < 4 && code & 0xe0 != 0x20 && code & 0xe0 != 0x40 {
                (bits >> 40) as i16 % 600
            } else {
                0
            };
            let dst = if matches!(code, 0x05 | 0x85 | 0x95 | 0xe5 | 0x20 | 0x40) {
                0
            } else {
                (bits >> 56) as u8 % 11
            };
            let src = if matches!(
                code,
                0x0f | 0xbf
                    | 0x61
                    | 0x63
                    | 0x69
                    | 0x71
                    | 0x79
                    | 0x7b
                    | 0x1d
                    | 0xdb
                    | 0xc3
                    | 0x81
                    | 0x40
            ) {
                (bits >> 60) as u8 % 11
            } else {
                0
            };
            insns.push(Insn::new(code, dst, src, off, imm));
        }
        insns.push(EXIT);
        let Ok(program) = Program::sandboxed(image(&insns)) else {
            continue;
        };
        loaded += 1;
        let mut memory = [0u8; 64];
        ran += u32::from(
            program
                .run(&mut Ctx::Flat(&mut memory), &FixedEnv::default(), &limits)
                .is_ok(),
        );
    }
    assert!(loaded > 2_000 && ran > 500, "{loaded} loaded, {ran} ran");
}

#[test]
fn number_iterators_count() {
    let call = |kfunc: i32| Insn::new(CALL, 0, pseudo::KFUNC_CALL, 0, kfunc);
    let of = |start: i32, end: i32| {
        let insns = [
            Insn::mov64_imm(6, 0),
            Insn::mov64_reg(1, 10),
            Insn::alu64_imm(alu::ADD, 1, -8),
            Insn::mov64_imm(2, start),
            Insn::mov64_imm(3, end),
            call(1),
            Insn::mov64_reg(7, 0),
            // Next: sum the numbers, 1000 each.
            Insn::mov64_reg(1, 10),
            Insn::alu64_imm(alu::ADD, 1, -8),
            call(2),
            Insn::jmp64_imm(jmp::JEQ, 0, 0, 4),
            Insn::load(size::W, 1, 0, 0),
            Insn::alu64_imm(alu::ADD, 6, 1000),
            Insn::alu64_reg(alu::ADD, 6, 1),
            Insn::ja(-8),
            Insn::mov64_reg(1, 10),
            Insn::alu64_imm(alu::ADD, 1, -8),
            call(3),
            Insn::mov64_reg(0, 7),
            Insn::jmp64_imm(jmp::JNE, 0, 0, 1),
            Insn::mov64_reg(0, 6),
            EXIT,
        ];
        let names = [
            (5, "bpf_iter_num_new"),
            (9, "bpf_iter_num_next"),
            (17, "bpf_iter_num_destroy"),
        ];
        let kfuncs = names.map(|(pc, name)| (pc, name.to_owned())).to_vec();
        let program = Program::sandboxed(Image {
            kfuncs,
            ..image(&insns)
        })
        .expect("loads");
        program
            .run(&mut Ctx::None, &FixedEnv::default(), &Limits::default())
            .expect("runs") as i64
    };
    assert_eq!(of(3, 6), 3 * 1000 + 3 + 4 + 5);
    assert_eq!(of(0, 0), 0);
    assert_eq!(of(6, 3), i64::from(-Errno::EINVAL.0));
    assert_eq!(of(0, 8 * 1024 * 1024 + 1), i64::from(-Errno::E2BIG.0));
}

#[test]
fn every_helper_has_one_number_and_every_kfunc_one_name() {
    let mut seen = std::collections::BTreeSet::new();
    for (id, _) in skep_vm::helper::table() {
        assert!(seen.insert(id), "helper {id} is there twice");
        assert!(
            skep_spec::helper::by_id(id).is_some(),
            "helper {id} is unknown to the tables"
        );
    }
    let names: Vec<_> = skep_vm::helper::kfunc::names().collect();
    assert!(names.is_sorted());
    for name in names {
        assert!(
            skep_spec::kfunc::by_name(name).is_some(),
            "{name} is unknown to the tables"
        );
    }
}

#[test]
fn null_pointers_of_kernel_structures_read_as_zero() {
    let insns = [
        Insn::mov64_imm(1, 0),
        Insn::mov64_imm(0, 9),
        Insn::load(size::DW, 0, 1, 64),
        EXIT,
    ];
    let run = |program_type, insns: &[Insn]| {
        let program = Program::sandboxed(Image {
            program_type,
            ..image(insns)
        })
        .expect("loads");
        program.run(&mut Ctx::None, &FixedEnv::default(), &Limits::default())
    };
    assert_eq!(
        run(Some(skep_spec::program::ProgramType::Tracing), &insns).expect("runs"),
        0
    );
    assert!(run(Some(skep_spec::program::ProgramType::Xdp), &insns).is_err());
    let store = [
        Insn::mov64_imm(1, 0),
        Insn::store_imm(size::DW, 1, 64, 1),
        EXIT,
    ];
    assert!(run(Some(skep_spec::program::ProgramType::Tracing), &store).is_err());
}

#[test]
fn tasks_are_found_by_their_id() {
    let find = |pid: i32, env: &FixedEnv| {
        let program = Program::sandboxed(Image {
            kfuncs: vec![(1, "bpf_task_from_pid".to_owned())],
            ..image(&[
                Insn::mov64_imm(1, pid),
                Insn::new(CALL, 0, pseudo::KFUNC_CALL, 0, 1),
                EXIT,
            ])
        })
        .expect("loads");
        program
            .run(&mut Ctx::None, env, &Limits::default())
            .expect("runs")
    };
    let current = skep_vm::Current {
        pid: 7,
        tgid: 5,
        task_addr: 0x1000_0000,
        ..Default::default()
    };
    let env = FixedEnv::default().with_current(current);
    assert_eq!(find(7, &env), 0x1000_0000);
    assert_eq!(find(5, &env), 0);
    assert_eq!(find(7, &FixedEnv::default()), 0);
    let without = skep_vm::Current {
        task_addr: 0,
        ..current
    };
    assert_eq!(find(7, &FixedEnv::default().with_current(without)), 0);
}

/// Looks element 0 of map 0 up; `then` finds the value's address in r0.
fn with_value(map: &Arc<dyn Map>, then: &[Insn]) -> Result<u64, Trap> {
    let mut insns = vec![
        Insn::store_imm(size::W, 10, -4, 0),
        Insn::mov64_reg(2, 10),
        Insn::alu64_imm(alu::ADD, 2, -4),
    ];
    insns.extend(wide(1, pseudo::MAP_FD, 0, 0));
    insns.push(Insn::new(CALL, 0, 0, 0, 1));
    insns.extend_from_slice(then);
    insns.push(EXIT);
    let program = Program::sandboxed(Image {
        maps: vec![map.clone()],
        ..image(&insns)
    })
    .expect("loads");
    program.run(&mut Ctx::None, &FixedEnv::default(), &Limits::default())
}

#[test]
fn a_value_that_was_looked_up_ends_where_it_ends() {
    use skep_spec::map::flags;
    let make = |flags: u32| {
        let mut def = MapDef::new("values", MapType::Array, 4, 8, 1);
        def.flags = flags;
        let options = skep_vm::map::CreateOptions {
            cpus: 1,
            ..Default::default()
        };
        skep_vm::map::create(&def, &options).expect("a valid definition")
    };
    let map = make(0);
    let store = |at: i16| Insn::store_imm(size::W, 0, at, 5);
    let load = |at: i16| Insn::load(size::W, 0, 0, at);
    assert_eq!(with_value(&map, &[store(4), load(4)]).expect("inside"), 5);
    for outside in [store(5), store(8), store(-1), load(5), load(8), load(-4)] {
        let trap = with_value(&map, &[outside]).expect_err("outside");
        assert!(matches!(trap.cause, TrapCause::BadAccess { .. }), "{trap}");
    }
    // What a helper is given may reach as far, and no further: a key of 4 bytes out of the value.
    let key = |at: i32| {
        let mut insns = vec![Insn::mov64_reg(2, 0), Insn::alu64_imm(alu::ADD, 2, at)];
        insns.extend(wide(1, pseudo::MAP_FD, 0, 0));
        insns.extend([Insn::new(CALL, 0, 0, 0, 1), Insn::mov64_imm(0, 1)]);
        insns
    };
    assert_eq!(with_value(&map, &key(4)).expect("inside"), 1);
    let trap = with_value(&map, &key(5)).expect_err("outside");
    assert!(matches!(trap.cause, TrapCause::BadAccess { .. }), "{trap}");
    let frozen = make(flags::RDONLY_PROG);
    assert_eq!(with_value(&frozen, &[load(4)]).expect("readable"), 0);
    let trap = with_value(&frozen, &[store(4)]).expect_err("read-only");
    assert!(
        matches!(trap.cause, TrapCause::BadAccess { write: true, .. }),
        "{trap}"
    );
}
