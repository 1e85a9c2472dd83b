//! The door against the real kernel (skipped, and said, where bpf(2) is refused) and against a fake.

use std::sync::Mutex;

use skep_linux::map::Map;
use skep_linux::program::{Program, ProgramLoad, TestRun};
use skep_linux::syscall::{Command, Kernel, Syscall};
use skep_spec::errno::Errno;
use skep_spec::insn::Insn;
use skep_spec::map::{MapDef, MapType};

fn kernel() -> Option<Kernel> {
    match skep_linux::probe::available(&Kernel) {
        Ok(()) => Some(Kernel),
        Err(error) => {
            eprintln!("skipped: this kernel refuses bpf(2): {error}");
            None
        }
    }
}

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn {
        code,
        dst,
        src,
        off,
        imm,
    }
}

fn xdp<'a>(insns: &'a [Insn]) -> ProgramLoad<'a> {
    ProgramLoad {
        name: "test",
        program_type: 6,
        expected_attach_type: 0,
        insns,
        license: "GPL",
        flags: 0,
        btf: None,
        attach_btf_id: 0,
    }
}

fn hash() -> MapDef {
    MapDef {
        name: "counts".to_owned(),
        map_type: MapType::Hash,
        key_size: 4,
        value_size: 8,
        max_entries: 2,
        flags: 0,
        map_extra: 0,
        numa_node: None,
    }
}

#[test]
fn a_program_runs_and_answers() {
    let Some(kernel) = kernel() else { return };
    // r0 = 2; exit
    let insns = [insn(0xb7, 0, 0, 0, 2), insn(0x95, 0, 0, 0, 0)];
    let program = Program::load(&kernel, &xdp(&insns)).expect("loads");
    let output = program
        .test_run(
            &kernel,
            &TestRun {
                data: &[0u8; 64],
                ..TestRun::default()
            },
        )
        .expect("runs");
    assert_eq!((output.retval, output.data.len()), (2, 64));
}

#[test]
fn a_refused_program_comes_back_with_the_log() {
    let Some(kernel) = kernel() else { return };
    let error =
        Program::load(&kernel, &xdp(&[insn(0x95, 0, 0, 0, 0)])).expect_err("r0 was never written");
    assert!(error.log.contains("R0 !read_ok"), "{error:#}");
    assert!(error.to_string().contains("R0 !read_ok"), "{error}");
}

#[test]
fn map_operations_give_the_kernels_codes() {
    let Some(kernel) = kernel() else { return };
    let map = Map::create(&kernel, &hash(), None, None).expect("creates");
    let key = |n: u32| n.to_ne_bytes();
    assert_eq!(map.lookup(&kernel, &key(1), 0), Err(Errno(libc::ENOENT)));
    map.update(&kernel, &key(1), &7u64.to_ne_bytes(), 0)
        .expect("inserts");
    assert_eq!(
        map.update(&kernel, &key(1), &8u64.to_ne_bytes(), 1),
        Err(Errno(libc::EEXIST))
    );
    map.update(&kernel, &key(2), &9u64.to_ne_bytes(), 0)
        .expect("inserts");
    assert_eq!(
        map.update(&kernel, &key(3), &9u64.to_ne_bytes(), 0),
        Err(Errno(libc::E2BIG))
    );
    assert_eq!(
        map.lookup(&kernel, &key(1), 0),
        Ok(7u64.to_ne_bytes().to_vec())
    );
    let first = map.next_key(&kernel, None).expect("has keys");
    let second = map.next_key(&kernel, Some(&first)).expect("has two");
    assert_ne!(first, second);
    assert_eq!(
        map.next_key(&kernel, Some(&second)),
        Err(Errno(libc::ENOENT))
    );
    assert_eq!(
        map.lookup_and_delete(&kernel, &key(1), 0),
        Ok(7u64.to_ne_bytes().to_vec())
    );
    assert_eq!(map.delete(&kernel, &key(1)), Err(Errno(libc::ENOENT)));
    map.freeze(&kernel).expect("freezes");
    assert_eq!(
        map.update(&kernel, &key(2), &9u64.to_ne_bytes(), 0),
        Err(Errno(libc::EPERM))
    );
}

/// A kernel that always gives one answer and remembers what it was asked.
struct Fake {
    answer: Errno,
    asked: Mutex<Vec<(Command, usize)>>,
}

impl Syscall for Fake {
    unsafe fn bpf(&self, command: Command, attr: &mut [u8]) -> Result<i64, Errno> {
        self.asked
            .lock()
            .expect("not poisoned")
            .push((command, attr.len()));
        Err(self.answer)
    }
}

#[test]
fn a_full_log_is_asked_for_a_bounded_number_of_times() {
    let fake = Fake {
        answer: Errno(libc::ENOSPC),
        asked: Mutex::new(Vec::new()),
    };
    let insns = [insn(0x95, 0, 0, 0, 0)];
    let error = Program::load(&fake, &xdp(&insns)).expect_err("the fake refuses");
    assert_eq!(error.errno, Errno(libc::ENOSPC));
    assert_eq!(fake.asked.lock().expect("not poisoned").len(), 4);
}

#[test]
fn missing_privilege_is_told_with_what_to_do() {
    let fake = Fake {
        answer: Errno(libc::EPERM),
        asked: Mutex::new(Vec::new()),
    };
    let error = Map::create(&fake, &hash(), None, None).expect_err("the fake refuses");
    assert!(error.to_string().contains("CAP_BPF"), "{error}");
    assert!(
        error.to_string().contains("BPF_MAP_CREATE of `counts`"),
        "{error}"
    );
}
