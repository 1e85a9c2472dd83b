//! Helpers of maps, memory, tasks, events, stacks, text and locks, each called by a program: results as the kernel's.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use skep_spec::errno::Errno;
use skep_spec::insn::{Insn, alu, class, jmp, mode, pseudo, size, source};
use skep_spec::map::{MapDef, MapType, flags, update};
use skep_vm::map::{CreateOptions, create};
use skep_vm::{Ctx, Current, Env, FixedEnv, Image, Limits, Map, Program, Trap, TrapCause};

const EXIT: Insn = Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0);

/// An argument of a helper.
#[derive(Clone, Copy)]
enum Arg {
    Value(u64),
    /// The map with this index.
    Map(usize),
    /// So far into the memory that the program is given.
    At(usize),
}
use Arg::{At, Value};

/// A task, its memory, and a model of the kernel's.
#[derive(Default)]
struct World {
    inner: FixedEnv,
    current: Option<Current>,
    user: (u64, Vec<u8>),
    kernel: (u64, Vec<u8>),
    regions: Vec<Range<u64>>,
    stack: Vec<u64>,
    cpu: u32,
    printed: Mutex<String>,
}

fn part(memory: &(u64, Vec<u8>), addr: u64, out: &mut [u8]) -> Result<(), Errno> {
    let at = addr.checked_sub(memory.0).ok_or(Errno::EFAULT)? as usize;
    let bytes = memory
        .1
        .get(at..)
        .and_then(|rest| rest.get(..out.len()))
        .ok_or(Errno::EFAULT)?;
    out.copy_from_slice(bytes);
    Ok(())
}

impl Env for World {
    fn random_u32(&self) -> u32 {
        self.inner.random_u32()
    }
    fn cpu(&self) -> u32 {
        self.cpu
    }
    fn current(&self) -> Option<Current> {
        self.current
    }
    fn read_user(&self, addr: u64, out: &mut [u8]) -> Result<(), Errno> {
        part(&self.user, addr, out)
    }
    fn read_kernel(&self, addr: u64, out: &mut [u8]) -> Result<(), Errno> {
        part(&self.kernel, addr, out)
    }
    fn kernel_regions(&self) -> &[Range<u64>] {
        &self.regions
    }
    fn trace_print(&self, text: &str) {
        self.printed.lock().expect("one thread").push_str(text);
    }
    fn user_stack(&self, out: &mut [u64]) -> Result<usize, Errno> {
        let count = self.stack.len().min(out.len());
        out[..count].copy_from_slice(&self.stack[..count]);
        Ok(count)
    }
}

fn wide(dst: u8, src: u8, value: u64) -> [Insn; 2] {
    [
        Insn::new(class::LD | mode::IMM | size::DW, dst, src, 0, value as i32),
        Insn::new(0, 0, 0, 0, (value >> 32) as i32),
    ]
}

fn map_into(dst: u8, map: usize) -> [Insn; 2] {
    wide(dst, pseudo::MAP_FD, map as u64)
}

fn call(id: i32) -> Insn {
    Insn::new(class::JMP | jmp::CALL, 0, 0, 0, id)
}

fn mov(dst: u8, src: u8) -> Insn {
    Insn::new(class::ALU64 | alu::MOV | source::X, dst, src, 0, 0)
}

fn run(
    insns: Vec<Insn>,
    maps: &[Arc<dyn Map>],
    memory: &mut [u8],
    env: &dyn Env,
) -> Result<u64, Trap> {
    let image = Image {
        name: "test".into(),
        insns,
        maps: maps.to_vec(),
        ..Image::default()
    };
    let program = Program::sandboxed(image).unwrap_or_else(|error| panic!("{error}"));
    program.run(&mut Ctx::Flat(memory), env, &Limits::default())
}

/// One call of a helper; `memory` is the program's.
fn try_helper(
    id: i32,
    args: &[Arg],
    maps: &[Arc<dyn Map>],
    memory: &mut [u8],
    env: &dyn Env,
) -> Result<u64, Trap> {
    let start = memory.as_mut_ptr() as u64;
    let mut insns = Vec::new();
    for (register, arg) in (1..).zip(args) {
        insns.extend(match *arg {
            Arg::Value(value) => wide(register, 0, value),
            Arg::Map(index) => map_into(register, index),
            Arg::At(offset) => wide(register, 0, start + offset as u64),
        });
    }
    insns.extend([call(id), EXIT]);
    run(insns, maps, memory, env)
}

#[track_caller]
fn helper(id: i32, args: &[Arg], maps: &[Arc<dyn Map>], memory: &mut [u8], env: &dyn Env) -> i64 {
    match try_helper(id, args, maps, memory, env) {
        Ok(r0) => r0 as i64,
        Err(trap) => panic!("{trap}"),
    }
}

fn err(errno: Errno) -> i64 {
    -i64::from(errno.0)
}

fn make(kind: MapType, key: u32, value: u32, entries: u32, flags: u32) -> Arc<dyn Map> {
    let mut def = MapDef::new("map", kind, key, value, entries);
    def.flags = flags;
    create(
        &def,
        &CreateOptions {
            cpus: 2,
            ..CreateOptions::default()
        },
    )
    .expect("a valid definition")
}

#[test]
fn elements_are_looked_up_changed_and_deleted() {
    let env = World::default();
    let maps = [make(MapType::Hash, 4, 4, 1, 0)];
    let mut memory = [0u8; 16];
    memory[..8].copy_from_slice(&[1, 0, 0, 0, 42, 0, 0, 0]);
    let (map, key, value) = (Arg::Map(0), At(0), At(4));
    assert_eq!(helper(1, &[map, key], &maps, &mut memory, &env), 0);
    assert_eq!(
        helper(
            2,
            &[map, key, value, Value(update::EXIST)],
            &maps,
            &mut memory,
            &env
        ),
        err(Errno::ENOENT)
    );
    assert_eq!(
        helper(
            2,
            &[map, key, value, Value(update::LOCK)],
            &maps,
            &mut memory,
            &env
        ),
        err(Errno::EINVAL)
    );
    assert_eq!(
        helper(2, &[map, key, value, Value(0)], &maps, &mut memory, &env),
        0
    );
    assert_eq!(
        helper(2, &[map, key, value, Value(1)], &maps, &mut memory, &env),
        err(Errno::EEXIST)
    );
    assert_eq!(
        helper(2, &[map, value, value, Value(0)], &maps, &mut memory, &env),
        err(Errno::E2BIG)
    );
    // r0 = *(u32 *)bpf_map_lookup_elem(map, key)
    let start = memory.as_mut_ptr() as u64;
    let mut insns = Vec::from(map_into(1, 0));
    insns.extend(wide(2, 0, start));
    insns.extend([
        call(1),
        Insn::new(class::LDX | mode::MEM | size::W, 0, 0, 0, 0),
        EXIT,
    ]);
    assert_eq!(run(insns, &maps, &mut memory, &env).expect("no trap"), 42);
    assert_eq!(helper(3, &[map, key], &maps, &mut memory, &env), 0);
    assert_eq!(
        helper(3, &[map, key], &maps, &mut memory, &env),
        err(Errno::ENOENT)
    );
}

#[test]
fn what_the_verifier_refuses_traps() {
    let env = World::default();
    let maps = [
        make(MapType::Array, 4, 4, 1, flags::RDONLY_PROG),
        make(MapType::Array, 4, 4, 1, flags::WRONLY_PROG),
        make(MapType::Array, 4, 4, 1, 0),
    ];
    let mut memory = [0u8; 16];
    let refused = |id: i32, args: &[Arg], memory: &mut [u8]| {
        try_helper(id, args, &maps, memory, &env)
            .expect_err("traps")
            .cause
    };
    let is_argument = |cause: TrapCause| matches!(cause, TrapCause::BadArgument { .. });
    assert!(is_argument(refused(
        2,
        &[Arg::Map(0), At(0), At(4), Value(0)],
        &mut memory
    )));
    // A map that programs only write can still be looked up: the value is for writing.
    assert!(try_helper(1, &[Arg::Map(1), At(0)], &maps, &mut memory, &env).is_ok());
    // Arguments that are no map, no ring buffer, no perf buffer, no stack map, no storage, no cgroups.
    assert!(matches!(
        refused(1, &[At(0), At(0)], &mut memory),
        TrapCause::NotAMap { .. }
    ));
    for (id, args) in [
        (130, vec![Arg::Map(2), At(0), Value(4), Value(0)]),
        (131, vec![Arg::Map(2), Value(4), Value(0)]),
        (25, vec![At(0), Arg::Map(2), Value(0), At(0), Value(4)]),
        (27, vec![At(0), Arg::Map(2), Value(0)]),
        (156, vec![Arg::Map(2), Value(1), Value(0), Value(1)]),
        (37, vec![Arg::Map(2), Value(0)]),
        (209, vec![Arg::Map(2), Value(0), Value(0), Value(0)]),
        (132, vec![At(0), Value(0)]),
        (93, vec![At(0)]),
        (94, vec![At(0)]),
    ] {
        let cause = refused(id, &args, &mut memory);
        assert!(is_argument(cause.clone()), "helper {id}: {cause}");
    }
    // A key and a value that reach beyond the memory.
    let beyond = |cause: TrapCause| matches!(cause, TrapCause::BadAccess { .. });
    assert!(beyond(refused(1, &[Arg::Map(2), At(13)], &mut memory)));
    assert!(beyond(refused(
        2,
        &[Arg::Map(2), At(0), At(13), Value(0)],
        &mut memory
    )));
    assert!(beyond(refused(113, &[At(8), Value(9), At(0)], &mut memory)));
    // The value of a read-only map.
    let mut insns = Vec::from(map_into(1, 0));
    insns.extend(wide(2, 0, memory.as_mut_ptr() as u64));
    insns.extend([
        call(1),
        Insn::new(class::STX | mode::MEM | size::W, 0, 0, 0, 0),
        EXIT,
    ]);
    assert!(beyond(
        run(insns, &maps, &mut memory, &env)
            .expect_err("traps")
            .cause
    ));
}

#[test]
fn queues_and_filters_are_pushed_and_peeked() {
    let env = World::default();
    let maps = [
        make(MapType::Queue, 0, 4, 1, 0),
        make(MapType::BloomFilter, 0, 4, 9, 0),
    ];
    let mut memory = *b"\x07\0\0\0\xff\xff\xff\xff";
    assert_eq!(
        helper(88, &[Arg::Map(0), At(4)], &maps, &mut memory, &env),
        err(Errno::ENOENT)
    );
    assert_eq!(memory[4..], [0; 4]);
    assert_eq!(
        helper(
            87,
            &[Arg::Map(0), At(0), Value(0)],
            &maps,
            &mut memory,
            &env
        ),
        0
    );
    assert_eq!(
        helper(
            87,
            &[Arg::Map(0), At(0), Value(0)],
            &maps,
            &mut memory,
            &env
        ),
        err(Errno::E2BIG)
    );
    assert_eq!(
        helper(
            87,
            &[Arg::Map(0), At(0), Value(2)],
            &maps,
            &mut memory,
            &env
        ),
        0
    );
    assert_eq!(
        helper(89, &[Arg::Map(0), At(4)], &maps, &mut memory, &env),
        0
    );
    assert_eq!(memory[4..], [7, 0, 0, 0]);
    assert_eq!(
        helper(88, &[Arg::Map(0), At(4)], &maps, &mut memory, &env),
        0
    );
    assert_eq!(
        helper(89, &[Arg::Map(1), At(0)], &maps, &mut memory, &env),
        err(Errno::ENOENT)
    );
    assert_eq!(
        helper(
            87,
            &[Arg::Map(1), At(0), Value(0)],
            &maps,
            &mut memory,
            &env
        ),
        0
    );
    assert_eq!(
        helper(89, &[Arg::Map(1), At(0)], &maps, &mut memory, &env),
        0
    );
    assert_eq!(
        helper(
            87,
            &[Arg::Map(1), At(0), Value(2)],
            &maps,
            &mut memory,
            &env
        ),
        err(Errno::EINVAL)
    );
}

#[test]
fn an_inner_map_is_a_map() {
    let env = World::default();
    let template = MapDef::new("inner", MapType::Array, 4, 4, 1);
    let options = CreateOptions {
        inner: Some(template.clone()),
        ..CreateOptions::default()
    };
    let outer = create(
        &MapDef::new("outer", MapType::ArrayOfMaps, 4, 4, 2),
        &options,
    )
    .expect("outer");
    let inner = create(&template, &CreateOptions::default()).expect("inner");
    inner
        .update_user(&[0; 4], &77u32.to_ne_bytes(), 0)
        .expect("update");
    outer
        .as_array_of_maps()
        .expect("the kind")
        .set(0, inner)
        .expect("set");
    let mut memory = [0u8; 8];
    let start = memory.as_mut_ptr() as u64;
    // r0 = *(u32 *)lookup(lookup(outer, 0), 0)
    let mut insns = Vec::from(map_into(1, 0));
    insns.extend(wide(2, 0, start));
    insns.extend([call(1), mov(1, 0)]);
    insns.extend(wide(2, 0, start));
    insns.extend([
        call(1),
        Insn::new(class::LDX | mode::MEM | size::W, 0, 0, 0, 0),
        EXIT,
    ]);
    assert_eq!(
        run(insns, std::slice::from_ref(&outer), &mut memory, &env).expect("no trap"),
        77
    );
    memory[0] = 1;
    assert_eq!(
        helper(1, &[Arg::Map(0), At(0)], &[outer], &mut memory, &env),
        0,
        "an empty slot"
    );
}

#[test]
fn other_cpus_values_can_be_read() {
    let env = World {
        cpu: 1,
        ..World::default()
    };
    let maps = [make(MapType::PercpuArray, 4, 4, 1, 0)];
    let mut memory = [0, 0, 0, 0, 9, 0, 0, 0];
    assert_eq!(
        helper(
            2,
            &[Arg::Map(0), At(0), At(4), Value(0)],
            &maps,
            &mut memory,
            &env
        ),
        0
    );
    let start = memory.as_mut_ptr() as u64;
    for (cpu, expected) in [(0, 0), (1, 9)] {
        let mut insns = Vec::from(map_into(1, 0));
        insns.extend(wide(2, 0, start));
        insns.extend(wide(3, 0, cpu));
        insns.extend([
            call(195),
            Insn::new(class::LDX | mode::MEM | size::W, 0, 0, 0, 0),
            EXIT,
        ]);
        assert_eq!(
            run(insns, &maps, &mut memory, &env).expect("no trap"),
            expected,
            "cpu {cpu}"
        );
    }
    assert_eq!(
        helper(
            195,
            &[Arg::Map(0), At(0), Value(2)],
            &maps,
            &mut memory,
            &env
        ),
        0
    );
}

#[test]
fn memory_is_read_from_the_right_space() {
    let (user, kernel) = (0x10_0000u64, 0xffff_8000_0000_0000u64);
    let world = World {
        user: (user, b"user text\0rest".to_vec()),
        kernel: (kernel, b"kernel\0".to_vec()),
        regions: std::iter::once(kernel..kernel + 7).collect(),
        ..World::default()
    };
    let mut memory = [0xffu8; 16];
    let fault = err(Errno::EFAULT);
    // id, address, answer, first bytes
    for (id, from, answer, bytes) in [
        (112, user, 0, &b"user text\0rest"[..4]),
        (112, kernel, fault, &[0; 4]),
        (113, kernel, 0, b"kern"),
        (113, user, fault, &[0; 4]),
        (113, 0, fault, &[0; 4]),
        (4, kernel, 0, b"kern"),
        (4, user, 0, b"user"),
        (4, 8, fault, &[0; 4]),
        (148, user + 5, 0, b"text"),
        (148, user + 12, fault, &[0; 4]),
    ] {
        memory.fill(0xff);
        assert_eq!(
            helper(
                id,
                &[At(0), Value(4), Value(from)],
                &[],
                &mut memory,
                &world
            ),
            answer,
            "{id} {from:#x}"
        );
        assert_eq!(&memory[..4], bytes, "{id} {from:#x}");
        assert_eq!(memory[4], 0xff, "{id}: only what was asked for");
    }
    assert_eq!(
        helper(113, &[At(0), Value(0), Value(0)], &[], &mut memory, &world),
        0,
        "nothing can be read anywhere"
    );
    // The program's own memory is the kernel's, not the user's.
    memory[8..12].copy_from_slice(b"mine");
    assert_eq!(
        helper(113, &[At(0), Value(4), At(8)], &[], &mut memory, &world),
        0
    );
    assert_eq!(&memory[..4], b"mine");
    assert_eq!(
        helper(112, &[At(0), Value(4), At(8)], &[], &mut memory, &world),
        fault
    );
    // Overlapping is no problem.
    memory[..8].copy_from_slice(b"abcdefgh");
    assert_eq!(
        helper(113, &[At(2), Value(6), At(0)], &[], &mut memory, &world),
        0
    );
    assert_eq!(&memory[..8], b"ababcdef");
}

#[test]
fn strings_are_terminated_and_counted() {
    let (user, kernel) = (0x10_0ff8u64, 0xffff_8000_0000_0ffcu64);
    let world = World {
        // Over a page's end, and without NUL.
        user: (user, b"0123456789".to_vec()),
        kernel: (kernel, b"kernel\0".to_vec()),
        regions: std::iter::once(kernel..kernel + 7).collect(),
        ..World::default()
    };
    let fault = err(Errno::EFAULT);
    let mut memory = [0xffu8; 16];
    for (id, from, size, answer, bytes) in [
        (115, kernel, 16, 7, &b"kernel\0\xff"[..]),
        (115, kernel, 7, 7, b"kernel\0\xff"),
        (115, kernel, 4, 4, b"ker\0\xff"),
        (115, kernel, 1, 1, b"\0\xff"),
        (115, kernel + 6, 16, 1, b"\0\xff"),
        (115, kernel + 7, 16, fault, &[0; 16]),
        (115, kernel, 0, 0, b"\xff"),
        (114, user, 8, 8, b"0123456\0\xff"),
        (114, user, 11, 11, b"0123456789\0\xff"),
        (114, user, 12, fault, &[0; 12]),
        (114, user - 1, 4, fault, &[0; 4]),
        (45, user, 4, 4, b"012\0\xff"),
        (45, kernel, 9, 7, b"kernel\0\xff"),
    ] {
        memory.fill(0xff);
        let got = helper(
            id,
            &[At(0), Value(size), Value(from)],
            &[],
            &mut memory,
            &world,
        );
        assert_eq!(got, answer, "{id} {from:#x} {size}");
        assert_eq!(&memory[..bytes.len()], bytes, "{id} {from:#x} {size}");
    }
}

#[test]
fn the_current_task_is_told() {
    let mut world = World::default();
    let mut memory = [0xffu8; 20];
    for id in [14, 15] {
        assert_eq!(
            helper(id, &[], &[], &mut memory, &world),
            err(Errno::EINVAL),
            "{id} without a task"
        );
    }
    assert_eq!(
        helper(16, &[At(0), Value(20)], &[], &mut memory, &world),
        err(Errno::EINVAL)
    );
    assert_eq!(memory, [0; 20]);
    assert_eq!(helper(35, &[], &[], &mut memory, &world), 0);
    let mut comm = [0; 16];
    comm[..4].copy_from_slice(b"bash");
    world.current = Some(Current {
        pid: 3,
        tgid: 2,
        uid: 1000,
        gid: 100,
        comm,
        task_addr: 0xffff_9000_0000_0000,
        cgroup_id: 77,
    });
    assert_eq!(helper(14, &[], &[], &mut memory, &world), 2 << 32 | 3);
    assert_eq!(helper(15, &[], &[], &mut memory, &world), 100 << 32 | 1000);
    assert_eq!(
        helper(35, &[], &[], &mut memory, &world) as u64,
        0xffff_9000_0000_0000
    );
    assert_eq!(
        helper(158, &[], &[], &mut memory, &world) as u64,
        0xffff_9000_0000_0000
    );
    assert_eq!(helper(80, &[], &[], &mut memory, &world), 77);
    for (size, text) in [
        (16, &b"bash\0\0\0\0"[..]),
        (5, b"bash\0\xff"),
        (3, b"ba\0\xff"),
        (1, b"\0\xff"),
    ] {
        memory.fill(0xff);
        assert_eq!(
            helper(16, &[At(0), Value(size)], &[], &mut memory, &world),
            0,
            "{size}"
        );
        assert_eq!(&memory[..text.len()], text, "{size}");
    }
    assert_eq!(
        helper(109, &[Value(9)], &[], &mut memory, &world),
        err(Errno::EPERM)
    );
    assert_eq!(
        helper(117, &[Value(65)], &[], &mut memory, &world),
        err(Errno::EINVAL)
    );
    memory.fill(0xff);
    assert_eq!(
        helper(
            120,
            &[Value(1), Value(2), At(0), Value(8)],
            &[],
            &mut memory,
            &world
        ),
        err(Errno::EINVAL)
    );
    assert_eq!(memory[..9], [0, 0, 0, 0, 0, 0, 0, 0, 0xff]);

    let groups = make(MapType::CgroupArray, 4, 4, 3, 0);
    let slots = groups.as_cgroup_array().expect("the kind");
    slots.set(0, 77).expect("set");
    slots.set(1, 78).expect("set");
    let maps = [groups];
    let expected = [
        (0, 1),
        (1, 0),
        (2, err(Errno::EAGAIN)),
        (3, err(Errno::E2BIG)),
    ];
    for (index, answer) in expected {
        assert_eq!(
            helper(37, &[Arg::Map(0), Value(index)], &maps, &mut memory, &world),
            answer,
            "{index}"
        );
    }
}

#[test]
fn a_task_has_storage() {
    let task = 0xffff_9000_0000_0000;
    let world = World {
        current: Some(Current {
            pid: 3,
            task_addr: task,
            ..Current::default()
        }),
        ..World::default()
    };
    let maps = [make(MapType::TaskStorage, 4, 8, 0, flags::NO_PREALLOC)];
    let mut memory = [6u8; 8];
    let get = |flags: u64, memory: &mut [u8]| {
        helper(
            156,
            &[Arg::Map(0), Value(task), At(0), Value(flags)],
            &maps,
            memory,
            &world,
        )
    };
    assert_eq!(get(0, &mut memory), 0);
    assert_eq!(get(2, &mut memory), 0, "unknown flags");
    let value = get(1, &mut memory);
    assert_ne!(value, 0);
    assert_eq!(get(0, &mut memory), value);
    let mut out = Vec::new();
    assert_eq!(
        maps[0].lookup_user(&3u32.to_ne_bytes(), 0, &mut out),
        Ok(()),
        "the user asks by pid"
    );
    assert_eq!(out, [6; 8]);
    assert_eq!(
        helper(157, &[Arg::Map(0), Value(task)], &maps, &mut memory, &world),
        0
    );
    assert_eq!(
        helper(157, &[Arg::Map(0), Value(task)], &maps, &mut memory, &world),
        err(Errno::ENOENT)
    );
    assert_eq!(
        helper(157, &[Arg::Map(0), Value(0)], &maps, &mut memory, &world),
        err(Errno::EINVAL)
    );
}

#[test]
fn events_go_to_the_cpus_buffer() {
    let world = World {
        cpu: 1,
        ..World::default()
    };
    let maps = [make(MapType::PerfEventArray, 4, 4, 2, 0)];
    let mut memory = *b"event\0\0\0";
    let mut output = |flags: u64, size: u64| {
        helper(
            25,
            &[At(0), Arg::Map(0), Value(flags), At(0), Value(size)],
            &maps,
            &mut memory,
            &world,
        )
    };
    assert_eq!(output(0xffff_ffff, 5), 0);
    assert_eq!(output(1, 3), 0);
    assert_eq!(output(0, 5), err(Errno::EOPNOTSUPP));
    assert_eq!(output(2, 5), err(Errno::E2BIG));
    assert_eq!(
        output(1 << 32, 5),
        err(Errno::EINVAL),
        "there is no packet to append"
    );
    assert_eq!(output(0xffff_ffff, 0), 0, "an event may be empty");
    let mut seen = Vec::new();
    maps[0].as_perf().expect("the kind").drain(|cpu, record| {
        seen.push((cpu, record.to_vec()));
        true
    });
    assert_eq!(
        seen,
        [(1, b"event".to_vec()), (1, b"eve".to_vec()), (1, vec![])]
    );
}

/// Reserves 8 bytes, then `rest` with the record in r6 (0 if there was no room).
fn with_record(map: usize, bytes: i32, rest: &[Insn]) -> Vec<Insn> {
    let mut insns = Vec::from(map_into(1, map));
    insns.extend([
        Insn::new(class::ALU64 | alu::MOV | source::K, 2, 0, 0, bytes),
        Insn::new(class::ALU64 | alu::MOV | source::K, 3, 0, 0, 0),
        call(131),
        mov(6, 0),
        Insn::new(class::JMP | jmp::JNE | source::K, 0, 0, 1, 0),
        EXIT,
    ]);
    insns.extend_from_slice(rest);
    insns
}

#[test]
fn records_are_reserved_filled_and_submitted() {
    let world = World::default();
    let maps = [make(MapType::Ringbuf, 0, 0, 4096, 0)];
    let ring = maps[0].as_ringbuf().expect("the kind");
    let mut memory = *b"output\0\0";
    let drained = || {
        let mut records = Vec::new();
        ring.drain(|record| {
            records.push(record.to_vec());
            true
        });
        records
    };
    let store = Insn::new(class::ST | mode::MEM | size::DW, 6, 0, 0, 5);
    let zero = Insn::new(class::ALU64 | alu::MOV | source::K, 2, 0, 0, 0);
    let finish = |id: i32| [mov(1, 6), zero, call(id), EXIT];
    let submit = with_record(0, 8, &[&[store], &finish(132)[..]].concat());
    run(submit, &maps, &mut memory, &world).expect("no trap");
    let discard = with_record(0, 8, &[&[store], &finish(133)[..]].concat());
    run(discard, &maps, &mut memory, &world).expect("no trap");
    assert_eq!(
        helper(
            130,
            &[Arg::Map(0), At(0), Value(6), Value(0)],
            &maps,
            &mut memory,
            &world
        ),
        0
    );
    assert_eq!(
        helper(
            130,
            &[Arg::Map(0), At(0), Value(6), Value(9)],
            &maps,
            &mut memory,
            &world
        ),
        err(Errno::EINVAL)
    );
    assert_eq!(drained(), [5u64.to_ne_bytes().to_vec(), b"output".to_vec()]);
    assert_eq!(
        helper(134, &[Arg::Map(0), Value(1)], &maps, &mut memory, &world),
        4096
    );

    // Beyond the record, after it was submitted, submitted twice, and never.
    let beyond = Insn::new(class::ST | mode::MEM | size::DW, 6, 0, 1, 5);
    let trap = run(
        with_record(0, 8, &[beyond, EXIT]),
        &maps,
        &mut memory,
        &world,
    )
    .expect_err("traps");
    assert!(matches!(trap.cause, TrapCause::BadAccess { .. }), "{trap}");
    let late = with_record(0, 8, &[&finish(132)[..3], &[store, EXIT]].concat());
    let trap = run(late, &maps, &mut memory, &world).expect_err("traps");
    assert!(matches!(trap.cause, TrapCause::BadAccess { .. }), "{trap}");
    let twice = with_record(0, 8, &[&finish(132)[..3], &finish(132)[..]].concat());
    let trap = run(twice, &maps, &mut memory, &world).expect_err("traps");
    assert!(
        matches!(trap.cause, TrapCause::BadArgument { .. }),
        "{trap}"
    );
    let trap = run(with_record(0, 8, &[EXIT]), &maps, &mut memory, &world).expect_err("traps");
    assert!(matches!(trap.cause, TrapCause::Unreleased(_)), "{trap}");
    assert_eq!(
        drained().len(),
        2,
        "what a trap left behind was thrown away"
    );
    assert_eq!(ring.query(0), 0, "and holds nothing back");
    let much = run(with_record(0, 8192, &[EXIT]), &maps, &mut memory, &world).expect("no trap");
    assert_eq!((much, ring.lost()), (0, 1));
}

#[test]
fn dynptrs_bound_what_they_span() {
    let world = World::default();
    let maps = [make(MapType::Ringbuf, 0, 0, 4096, 0)];
    // A dynptr at 0, bytes at 16 and at 32.
    let mut memory = [0u8; 48];
    memory[16..24].copy_from_slice(b"01234567");
    let mut ask = |id: i32, args: &[Arg]| helper(id, args, &maps, &mut memory, &world);
    assert_eq!(
        ask(197, &[At(16), Value(8), Value(1), At(0)]),
        err(Errno::EINVAL)
    );
    assert_eq!(
        ask(197, &[At(16), Value(1 << 24), Value(0), At(0)]),
        err(Errno::E2BIG)
    );
    assert_eq!(
        ask(201, &[At(32), Value(4), At(0), Value(0), Value(0)]),
        err(Errno::EINVAL),
        "a null dynptr"
    );
    assert_eq!(ask(203, &[At(0), Value(0), Value(1)]), 0);
    assert_eq!(ask(197, &[At(16), Value(8), Value(0), At(0)]), 0);
    assert_eq!(ask(201, &[At(32), Value(4), At(0), Value(2), Value(0)]), 0);
    assert_eq!(
        ask(201, &[At(32), Value(4), At(0), Value(5), Value(0)]),
        err(Errno::E2BIG)
    );
    assert_eq!(
        ask(201, &[At(32), Value(4), At(0), Value(2), Value(1)]),
        err(Errno::EINVAL)
    );
    assert_eq!(ask(202, &[At(0), Value(0), At(32), Value(4), Value(0)]), 0);
    assert_eq!(
        ask(202, &[At(0), Value(7), At(32), Value(2), Value(0)]),
        err(Errno::E2BIG)
    );
    assert_ne!(ask(203, &[At(0), Value(4), Value(4)]), 0);
    assert_eq!(ask(203, &[At(0), Value(4), Value(5)]), 0);
    assert_eq!(memory[16..24], *b"23454567");
    assert_eq!(memory[32..36], *b"2345");
    // A forged dynptr reaches nothing that the program could not reach itself.
    memory[..8].copy_from_slice(&0x1234_5678u64.to_ne_bytes());
    let trap = try_helper(
        201,
        &[At(32), Value(4), At(0), Value(0), Value(0)],
        &maps,
        &mut memory,
        &world,
    );
    assert!(matches!(
        trap.expect_err("traps").cause,
        TrapCause::BadAccess { .. }
    ));
}

#[test]
fn a_record_can_be_a_dynptr() {
    let world = World::default();
    let maps = [make(MapType::Ringbuf, 0, 0, 4096, 0)];
    let mut memory = *b"0123456789abcdefrecord\0\0";
    let start = memory.as_mut_ptr() as u64;
    let reserve = |size: u64, flags: u64| {
        let mut insns = Vec::from(map_into(1, 0));
        insns.extend(wide(2, 0, size));
        insns.extend(wide(3, 0, flags));
        insns.extend(wide(4, 0, start));
        insns.push(call(198));
        insns
    };
    let mut insns = reserve(6, 0);
    insns.extend(wide(1, 0, start));
    insns.extend(wide(2, 0, 0));
    insns.extend(wide(3, 0, start + 16));
    insns.extend(wide(4, 0, 6));
    insns.extend(wide(5, 0, 0));
    insns.push(call(202));
    insns.extend(wide(1, 0, start));
    insns.extend(wide(2, 0, 0));
    insns.extend([call(199), EXIT]);
    assert_eq!(run(insns, &maps, &mut memory, &world).expect("no trap"), 0);
    let mut records = Vec::new();
    maps[0].as_ringbuf().expect("the kind").drain(|record| {
        records.push(record.to_vec());
        true
    });
    assert_eq!(records, [b"record".to_vec()]);
    assert_eq!(memory[..16], [0; 16], "the dynptr is null again");
    for (size, flags, errno) in [
        (8192, 0, Errno::EINVAL),
        (8, 1, Errno::EINVAL),
        (1 << 24, 0, Errno::E2BIG),
    ] {
        let mut insns = reserve(size, flags);
        insns.push(mov(6, 0));
        insns.extend(wide(1, 0, start));
        insns.extend(wide(2, 0, 0));
        // Also what could not be reserved must be given back.
        insns.extend([call(200), mov(0, 6), EXIT]);
        let answer = run(insns, &maps, &mut memory, &world).expect("no trap");
        assert_eq!(answer as i64, err(errno), "{size} {flags}");
    }
}

#[test]
fn a_program_drains_what_the_user_wrote() {
    let world = World::default();
    let maps = [make(MapType::UserRingbuf, 0, 0, 4096, 0)];
    let ring = maps[0].as_user_ringbuf().expect("the kind");
    for number in 1..=3u8 {
        ring.push(&[number; 4]).expect("room");
    }
    let mut memory = [0u8; 16];
    let start = memory.as_mut_ptr() as u64;
    // r0 = bpf_user_ringbuf_drain(map, callback, memory, 0); callback: bpf_dynptr_read(memory + 8, 4, dynptr, 0, 0),
    // then *(u32 *)memory += *(u32 *)(memory + 8); stops at the second.
    let mut insns = Vec::from(map_into(1, 0));
    insns.extend(wide(2, pseudo::FUNC, 6));
    insns.extend(wide(3, 0, start));
    insns.extend(wide(4, 0, 0));
    insns.extend([call(209), EXIT]);
    let callback = insns.len();
    insns[2] = wide(2, pseudo::FUNC, (callback - 3) as u64)[0];
    insns.extend([
        mov(6, 2),
        mov(3, 1),
        mov(1, 6),
        Insn::new(class::ALU64 | alu::ADD | source::K, 1, 0, 0, 8),
        Insn::new(class::ALU64 | alu::MOV | source::K, 2, 0, 0, 4),
        Insn::new(class::ALU64 | alu::MOV | source::K, 4, 0, 0, 0),
        Insn::new(class::ALU64 | alu::MOV | source::K, 5, 0, 0, 0),
        call(201),
        Insn::new(class::LDX | mode::MEM | size::B, 1, 6, 8, 0),
        Insn::new(class::LDX | mode::MEM | size::B, 2, 6, 0, 0),
        Insn::new(class::ALU64 | alu::ADD | source::X, 2, 1, 0, 0),
        Insn::new(class::STX | mode::MEM | size::B, 6, 2, 0, 0),
        Insn::new(class::ALU64 | alu::MOV | source::K, 0, 0, 0, 0),
        Insn::new(class::JMP | jmp::JNE | source::K, 1, 0, 1, 2),
        Insn::new(class::ALU64 | alu::MOV | source::K, 0, 0, 0, 1),
        EXIT,
    ]);
    let program = |insns: &[Insn]| Image {
        name: "test".into(),
        insns: insns.to_vec(),
        maps: maps.to_vec(),
        functions: vec![
            skep_vm::FnRange {
                name: "main".into(),
                start: 0,
                len: callback,
            },
            skep_vm::FnRange {
                name: "callback".into(),
                start: callback,
                len: insns.len() - callback,
            },
        ],
        ..Image::default()
    };
    let program = Program::sandboxed(program(&insns)).unwrap_or_else(|error| panic!("{error}"));
    let drained = program
        .run(&mut Ctx::Flat(&mut memory), &world, &Limits::default())
        .expect("no trap");
    assert_eq!((drained, memory[0]), (2, 3), "stopped at the second record");
    let drained = program
        .run(&mut Ctx::Flat(&mut memory), &world, &Limits::default())
        .expect("no trap");
    assert_eq!((drained, memory[0]), (1, 6));
}

#[test]
fn stacks_are_the_users() {
    let world = World {
        stack: vec![10, 20, 30],
        ..World::default()
    };
    let maps = [make(MapType::StackTrace, 4, 80, 64, 0)];
    let mut memory = [0xffu8; 40];
    let id = helper(
        27,
        &[At(0), Arg::Map(0), Value(256)],
        &maps,
        &mut memory,
        &world,
    );
    assert!(id >= 0);
    assert_eq!(
        helper(
            27,
            &[At(0), Arg::Map(0), Value(256)],
            &maps,
            &mut memory,
            &world
        ),
        id
    );
    assert_eq!(
        helper(
            27,
            &[At(0), Arg::Map(0), Value(0)],
            &maps,
            &mut memory,
            &world
        ),
        err(Errno::EFAULT)
    );
    assert_eq!(
        helper(
            27,
            &[At(0), Arg::Map(0), Value(1 << 12)],
            &maps,
            &mut memory,
            &world
        ),
        err(Errno::EINVAL)
    );
    assert_eq!(
        helper(
            27,
            &[At(0), Arg::Map(0), Value(256 | 3)],
            &maps,
            &mut memory,
            &world
        ),
        err(Errno::EFAULT)
    );
    let mut stack = |size: u64, flags: u64| {
        memory.fill(0xff);
        let got = helper(
            67,
            &[At(0), At(0), Value(size), Value(flags)],
            &maps,
            &mut memory,
            &world,
        );
        let frames: Vec<u64> = memory
            .chunks_exact(8)
            .map(|frame| u64::from_ne_bytes(frame.try_into().expect("8")))
            .collect();
        (got, frames)
    };
    let untouched = u64::MAX;
    assert_eq!(stack(32, 256), (24, vec![10, 20, 30, 0, untouched]));
    assert_eq!(
        stack(16, 256 | 1),
        (16, vec![20, 30, untouched, untouched, untouched])
    );
    assert_eq!(
        stack(32, 0),
        (err(Errno::EFAULT), vec![0, 0, 0, 0, untouched])
    );
    assert_eq!(stack(32, 1 << 12).0, err(Errno::EINVAL));
    assert_eq!(stack(12, 256).0, err(Errno::EINVAL));
    assert_eq!(stack(32, 1 << 11).0, err(Errno::EINVAL));
}

#[test]
fn numbers_are_parsed() {
    let world = World::default();
    let parse = |id: i32, text: &str, flags: u64| {
        let mut memory = [0xffu8; 96];
        memory[8..8 + text.len()].copy_from_slice(text.as_bytes());
        let args = [At(8), Value(text.len() as u64), Value(flags), At(0)];
        let used = helper(id, &args, &[], &mut memory, &world);
        (used, i64::from_ne_bytes(memory[..8].try_into().expect("8")))
    };
    let einval = (err(Errno::EINVAL), 0);
    let erange = (err(Errno::ERANGE), 0);
    for (text, flags, expected) in [
        ("42", 0, (2, 42)),
        ("  -42 x", 0, (5, -42)),
        ("0x1F,", 0, (4, 31)),
        ("0x1F", 16, (4, 31)),
        ("1f", 16, (2, 31)),
        ("017", 0, (3, 15)),
        ("017", 10, (3, 17)),
        ("08", 0, (1, 0)),
        ("9223372036854775807", 10, (19, i64::MAX)),
        ("-9223372036854775808", 10, (20, i64::MIN)),
        ("9223372036854775808", 10, erange),
        ("-9223372036854775809", 10, erange),
        ("99999999999999999999", 10, erange),
        ("", 0, einval),
        ("-", 0, einval),
        ("x", 0, einval),
        ("+1", 0, einval),
        ("12", 2, einval),
        ("12", 32, einval),
    ] {
        assert_eq!(
            parse(105, text, flags),
            expected,
            "strtol {text:?} base {flags}"
        );
    }
    assert_eq!(parse(106, "18446744073709551615", 0), (20, -1));
    assert_eq!(parse(106, "18446744073709551616", 0), erange);
    assert_eq!(parse(106, "-1", 0), einval);
    assert_eq!(parse(106, "7", 8), (1, 7));
}

#[test]
fn strings_are_compared_and_formatted() {
    let world = World::default();
    for (a, size, b, expected) in [
        ("abc", 3, "abc\0", 0),
        ("abc", 3, "abd\0", -1),
        ("abd", 3, "abc\0", 1),
        ("abc", 2, "abd\0", 0),
        ("ab\0x", 4, "ab\0y", 0),
        ("ab", 2, "abc\0", 0),
        ("abcd", 4, "abc\0", 1),
        ("", 0, "abc\0", 0),
    ] {
        let mut memory = [0u8; 32];
        memory[..a.len()].copy_from_slice(a.as_bytes());
        memory[16..16 + b.len()].copy_from_slice(b.as_bytes());
        assert_eq!(
            helper(182, &[At(0), Value(size), At(16)], &[], &mut memory, &world),
            expected,
            "{a:?} {b:?}"
        );
    }
    // Format at 32, arguments at 16, result at 0.
    let format = |format: &str, args: &[u64], size: u64| {
        let mut memory = [0xffu8; 96];
        memory[32..32 + format.len()].copy_from_slice(format.as_bytes());
        memory[32 + format.len()] = 0;
        for (at, arg) in args.iter().enumerate() {
            memory[16 + at * 8..24 + at * 8].copy_from_slice(&arg.to_ne_bytes());
        }
        let len = 8 * args.len() as u64;
        let got = helper(
            165,
            &[At(0), Value(size), At(32), At(16), Value(len)],
            &[],
            &mut memory,
            &world,
        );
        let end = memory
            .iter()
            .position(|byte| *byte == 0 || *byte == 0xff)
            .unwrap_or(0);
        (got, String::from_utf8_lossy(&memory[..end]).into_owned())
    };
    assert_eq!(format("%d %x", &[7, 255], 16), (5, "7 ff".into()));
    assert_eq!(
        format("%d %x", &[7, 255], 3),
        (5, "7 ".into()),
        "cut, but counted"
    );
    assert_eq!(
        format("%d", &[7], 0),
        (2, String::new()),
        "nothing is written"
    );
    assert_eq!(format("%d %d", &[7], 16).0, err(Errno::EINVAL));
    assert_eq!(format("%y", &[7], 16).0, err(Errno::EINVAL));
    let mut memory = [0u8; 64];
    let odd = [At(0), Value(8), At(32), At(16), Value(7)];
    assert_eq!(
        helper(165, &odd, &[], &mut memory, &world),
        err(Errno::EINVAL)
    );
}

#[test]
fn a_lock_is_taken_once_and_let_go_by_a_trap() {
    let world = World::default();
    let options = CreateOptions {
        spin_lock: Some(0),
        ..CreateOptions::default()
    };
    let map =
        create(&MapDef::new("map", MapType::Array, 4, 8, 1), &options).expect("a map with a lock");
    let maps = [map.clone()];
    let lock = map.lookup(&[0; 4], 0).expect("value").as_ptr() as u64;
    let mut memory = [0u8; 8];
    let ask = |id: i32| {
        let mut insns = Vec::from(wide(1, 0, lock));
        insns.push(call(id));
        insns
    };
    let mut both = ask(93);
    both.extend(ask(94));
    both.push(EXIT);
    for _ in 0..3 {
        run(both.clone(), &maps, &mut memory, &world).expect("no trap");
    }
    let mut twice = ask(93);
    twice.extend(ask(93));
    twice.push(EXIT);
    let trap = run(twice, &maps, &mut memory, &world).expect_err("traps");
    assert!(
        matches!(trap.cause, TrapCause::BadArgument { .. }),
        "{trap}"
    );
    let mut never = ask(93);
    never.push(EXIT);
    let trap = run(never, &maps, &mut memory, &world).expect_err("traps");
    assert!(matches!(trap.cause, TrapCause::Unreleased(_)), "{trap}");
    run(both, &maps, &mut memory, &world).expect("the lock is free again");
}

#[test]
fn a_lock_guards_its_value_from_other_threads() {
    const ROUNDS: u64 = 3000;
    let options = CreateOptions {
        spin_lock: Some(0),
        ..CreateOptions::default()
    };
    let map =
        create(&MapDef::new("map", MapType::Array, 4, 16, 1), &options).expect("a map with a lock");
    let value = map.lookup(&[0; 4], 0).expect("value").as_ptr() as u64;
    // lock; *(u64 *)(value + 8) += 1 in two steps; unlock
    let mut insns = Vec::from(wide(6, 0, value));
    insns.extend([
        mov(1, 6),
        call(93),
        Insn::new(class::LDX | mode::MEM | size::DW, 7, 6, 8, 0),
        Insn::new(class::ALU64 | alu::ADD | source::K, 7, 0, 0, 1),
        Insn::new(class::STX | mode::MEM | size::DW, 6, 7, 8, 0),
        mov(1, 6),
        call(94),
        EXIT,
    ]);
    let image = Image {
        name: "test".into(),
        insns,
        maps: vec![map.clone()],
        ..Image::default()
    };
    let program = Program::sandboxed(image).unwrap_or_else(|error| panic!("{error}"));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let world = World::default();
                for _ in 0..ROUNDS {
                    program
                        .run(&mut Ctx::None, &world, &Limits::default())
                        .expect("no trap");
                }
            });
        }
    });
    let mut out = Vec::new();
    map.lookup_user(&[0; 4], 0, &mut out).expect("value");
    assert_eq!(out[8..], (3 * ROUNDS).to_ne_bytes());
}

#[test]
fn counters_of_perf_events_are_not_there() {
    let env = World {
        cpu: 1,
        ..World::default()
    };
    let maps = [make(MapType::PerfEventArray, 4, 4, 2, 0)];
    const CURRENT_CPU: u64 = 0xffff_ffff;
    for open in [false, true] {
        let events = maps[0].as_perf().expect("a perf_event_array");
        for cpu in 0..2 {
            let _ = events.close(cpu);
            if open {
                assert_eq!(events.open(cpu, 4096), Ok(()));
            }
        }
        let (own, other) = match open {
            true => (Errno::EOPNOTSUPP, Errno::EINVAL),
            false => (Errno::ENOENT, Errno::ENOENT),
        };
        for (flags, errno) in [
            (CURRENT_CPU, own),
            (1, own),
            (0, other),
            (2, Errno::E2BIG),
            (1 << 32, Errno::EINVAL),
        ] {
            let mut memory = [0xee; 24];
            let args = [Arg::Map(0), Value(flags)];
            assert_eq!(helper(22, &args, &maps, &mut memory, &env), err(errno));
            let args = [Arg::Map(0), Value(flags), At(0), Value(24)];
            assert_eq!(helper(55, &args, &maps, &mut memory, &env), err(errno));
            assert_eq!(memory, [0; 24]);
        }
        // A value of another size is refused before the map is asked.
        let mut memory = [0xee; 24];
        let args = [Arg::Map(0), Value(2), At(0), Value(16)];
        assert_eq!(
            helper(55, &args, &maps, &mut memory, &env),
            err(Errno::EINVAL)
        );
        assert_eq!(memory[..16], [0; 16]);
        assert_eq!(memory[16..], [0xee; 8]);
    }
    let array = [make(MapType::Array, 4, 4, 1, 0)];
    for id in [22, 55] {
        let args = [Arg::Map(0), Value(0), At(0), Value(24)];
        let trap = try_helper(id, &args, &array, &mut [0; 24], &env).expect_err("traps");
        assert!(
            matches!(trap.cause, TrapCause::BadArgument { .. }),
            "{trap}"
        );
    }
}
