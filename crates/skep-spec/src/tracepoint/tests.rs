//! Records and system calls as the kernel's format files have them.

use super::*;

#[test]
fn records_have_the_offsets_of_the_format_files() {
    let open = record("syscalls", "sys_enter_openat").unwrap();
    let offsets: Vec<(&str, u32)> = open.fields.iter().map(|f| (&*f.name, f.offset)).collect();
    assert_eq!(
        offsets,
        [
            ("__syscall_nr", 8),
            ("dfd", 16),
            ("filename", 24),
            ("flags", 32),
            ("mode", 40)
        ]
    );
    assert_eq!(open.size, 48);
    let exit = record("syscalls", "sys_exit_openat").unwrap();
    assert_eq!((exit.field("ret").unwrap().offset, exit.size), (16, 24));
    assert_eq!(record("raw_syscalls", "sys_enter").unwrap().size, 64);
    assert_eq!(
        record("sched", "sched_process_fork")
            .unwrap()
            .field("child_pid")
            .unwrap()
            .offset,
        44
    );
    assert_eq!(
        record("sched", "sched_process_exec")
            .unwrap()
            .field("filename")
            .unwrap()
            .kind,
        FieldKind::Located
    );
    assert_eq!(record("sched", "sched_process_exit").unwrap().size, 32);
    assert_eq!(record("sched", "sched_no_such"), None);
    assert_eq!(record("syscalls", "sys_enter_no_such"), None);
    assert_eq!(record("syscalls", "openat"), None);
    assert_eq!(record("syscalls", "sys_enter_sync").unwrap().size, 16);
}

#[test]
fn events_are_named_after_the_kernel_function() {
    let name = |event: &str| syscall_event(event).map(|(_, syscall)| syscall.name);
    assert_eq!(name("sys_enter_newfstat"), Some("fstat"));
    assert_eq!(name("sys_enter_newstat"), Some("stat"));
    assert_eq!(name("sys_exit_umount"), Some("umount2"));
    assert_eq!(name("sys_enter_newuname"), Some("uname"));
    assert_eq!(name("sys_enter_fstat"), None);
    assert_eq!(name("sys_enter_futex"), Some("futex"));
}

#[test]
fn syscalls_by_name_and_number() {
    assert!(syscalls().is_sorted_by(|a, b| a.name < b.name));
    for (name, x86_64, arm64) in [
        ("read", Some(0), Some(63)),
        ("openat", Some(257), Some(56)),
        ("open", Some(2), None),
        ("execve", Some(59), Some(221)),
        ("statx", Some(332), Some(291)),
        ("clone3", Some(435), Some(435)),
    ] {
        let syscall = syscall_by_name(name).unwrap();
        assert_eq!((syscall.x86_64, syscall.arm64), (x86_64, arm64), "{name}");
    }
    for machine in [Machine::X86_64, Machine::Arm64] {
        for syscall in syscalls() {
            if let Some(number) = syscall.number(machine) {
                assert_eq!(
                    syscall_by_number(machine, number.into()),
                    Some(syscall),
                    "{}",
                    syscall.name
                );
            }
            assert!(
                syscall.args.is_none_or(|args| args.len() <= 6),
                "{}",
                syscall.name
            );
        }
    }
    assert_eq!(syscall_by_number(Machine::X86_64, u64::MAX), None);
}
