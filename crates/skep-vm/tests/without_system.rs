//! Programs, maps and helpers as they are without a system too: `cargo test -p skep-vm --no-default-features --test without_system`
//! runs them on spinning locks and on the allocator's memory.

use std::sync::Arc;

use skep_spec::asm::assemble_insns;
use skep_spec::insn::pseudo;
use skep_spec::map::{MapDef, MapType};
use skep_vm::map::{self, CreateOptions, Map};
use skep_vm::{Ctx, FixedEnv, Image, Limits, Program, TrapCause};

fn make(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> Arc<dyn Map> {
    let def = MapDef::new("m", map_type, key_size, value_size, max_entries);
    map::create(&def, &CreateOptions::default()).expect("the map can be made")
}

/// Each `ld_imm64` of 1 becomes one of map 0.
fn load(text: &str, maps: Vec<Arc<dyn Map>>) -> Arc<Program> {
    let mut insns = assemble_insns(text).expect("the test's program assembles");
    for insn in &mut insns {
        if insn.is_ld_imm64() {
            (insn.src, insn.imm) = (pseudo::MAP_FD, 0);
        }
    }
    let image = Image {
        insns,
        maps,
        ..Image::default()
    };
    Program::sandboxed(image).expect("the test's program loads")
}

fn run(program: &Program) -> u64 {
    let env = FixedEnv::default();
    match program.run(&mut Ctx::None, &env, &Limits::default()) {
        Ok(value) => value,
        Err(trap) => panic!("{trap}"),
    }
}

/// Adds one to the value of the key 7, which it makes if it is not there; takes and gives the bucket's lock each time.
const COUNT: &str = "
    *(u64 *)(r10 - 8) = 7
    r6 = 100
again:
    r2 = r10
    r2 += -8
    r1 = 1 ll
    call 1
    if r0 != 0 goto there
    *(u64 *)(r10 - 16) = 0
    r2 = r10
    r2 += -8
    r3 = r10
    r3 += -16
    r4 = 1
    r1 = 1 ll
    call 2
    goto again
there:
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    r6 += -1
    if r6 != 0 goto again
    r0 = 0
    exit";

#[test]
fn threads_count_in_one_table() {
    let table = make(MapType::Hash, 8, 8, 16);
    let program = load(COUNT, vec![table.clone()]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(run(&program), 0);
                }
            });
        }
    });
    let mut value = Vec::new();
    let key = 7u64.to_ne_bytes();
    table.lookup_user(&key, 0, &mut value).expect("is there");
    assert_eq!(value, 20_000u64.to_ne_bytes());
}

#[test]
fn records_come_out_of_a_ring() {
    let ring = make(MapType::Ringbuf, 0, 0, 4096);
    let text =
        "r1 = 1 ll\n*(u64 *)(r10 - 8) = 42\nr2 = r10\nr2 += -8\nr3 = 8\nr4 = 0\ncall 130\nexit";
    let program = load(text, vec![ring.clone()]);
    assert_eq!(run(&program), 0);
    assert_eq!(run(&program), 0);
    let ring = ring.as_ringbuf().expect("is a ring buffer");
    assert!(ring.wait(std::time::Duration::ZERO));
    let mut records = Vec::new();
    let shown = ring.drain(|record| {
        records.push(record.to_vec());
        true
    });
    assert_eq!((shown, records), (2, vec![42u64.to_ne_bytes().to_vec(); 2]));
}

#[test]
fn every_kind_of_map_that_needs_nothing_can_be_made() {
    for (kind, key, value) in [
        (MapType::Array, 4, 8),
        (MapType::PercpuArray, 4, 8),
        (MapType::Hash, 4, 8),
        (MapType::LruHash, 4, 8),
        (MapType::PercpuHash, 4, 8),
        (MapType::Queue, 0, 8),
        (MapType::Stack, 0, 8),
        (MapType::BloomFilter, 0, 8),
        (MapType::ProgArray, 4, 4),
    ] {
        assert_eq!(make(kind, key, value, 4).def().max_entries, 4, "{kind:?}");
    }
}

#[test]
fn a_budget_ends_a_run() {
    let program = load("again:\ngoto again", Vec::new());
    let limits = Limits {
        insns: Some(1000),
        ..Limits::default()
    };
    let trap = program
        .run(&mut Ctx::None, &FixedEnv::default(), &limits)
        .expect_err("never ends by itself");
    assert_eq!(trap.cause, TrapCause::Budget { insns: 1000 });
}
