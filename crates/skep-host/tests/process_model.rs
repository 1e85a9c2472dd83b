//! The modelled kernel: what programs read of `task_struct` and its kin is what /proc tells of the same task.

use skep_btf::{Btf, Kind, Ty, TypeId};
use skep_host::process::{
    CallSet, Ending, Event, Hook, Interest, Launch, Stop, Supervisor, Tracee, embedded_btf,
    raw_arguments, record,
};
use skep_vm::env::Env;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

fn command(program: &str, args: &[&str]) -> Launch {
    let null = || {
        Some(OwnedFd::from(
            std::fs::File::options()
                .read(true)
                .write(true)
                .open("/dev/null")
                .unwrap(),
        ))
    };
    let mut launch = Launch::new(program).args(args.iter().copied());
    launch.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    launch.stdio = [null(), null(), null()];
    launch
}

fn calls(nr: i64) -> CallSet {
    let mut set = CallSet::none();
    set.insert(nr as u32);
    set
}

/// Follows members as a relocated program does: `task_struct` at `address`, then `path` with pointers followed.
fn walk(
    btf: &Btf,
    at: &Tracee<'_>,
    structure: &str,
    mut address: u64,
    path: &[&str],
) -> (u64, TypeId) {
    let mut ty = btf.find(Kind::Struct, structure).unwrap();
    for (i, name) in path.iter().enumerate() {
        let Ty::Struct(s) = btf.ty(ty).unwrap() else {
            panic!("{name} of what is not a struct")
        };
        let m = s
            .members
            .iter()
            .find(|m| m.name == *name)
            .unwrap_or_else(|| panic!("no member {name}"));
        address += u64::from(m.bit_offset / 8);
        ty = m.ty;
        if i + 1 < path.len()
            && let Ty::Ptr { target } = btf.ty(ty).unwrap()
        {
            address = number(at, address, 8);
            ty = target;
        }
    }
    (address, ty)
}

fn number(at: &Tracee<'_>, address: u64, size: usize) -> u64 {
    let mut bytes = [0; 8];
    at.read_kernel(address, &mut bytes[..size])
        .unwrap_or_else(|e| panic!("{address:#x}: {e:?}"));
    u64::from_le_bytes(bytes)
}

fn member(btf: &Btf, at: &Tracee<'_>, path: &[&str]) -> u64 {
    let (address, ty) = walk(btf, at, "task_struct", at.task_address(), path);
    number(at, address, btf.size_of(ty).unwrap().min(8) as usize)
}

fn text(at: &Tracee<'_>, address: u64) -> String {
    let mut bytes = vec![0; 64];
    at.read_kernel(address, &mut bytes).unwrap();
    String::from_utf8_lossy(bytes.split(|&b| b == 0).next().unwrap()).into_owned()
}

/// Runs `command` and calls `check` once, at its first event.
fn at_first_event(
    launch: Launch,
    interest: Interest,
    mut check: impl FnMut(&Event<'_>, &Tracee<'_>),
) {
    let mut told = 0;
    let outcome = Supervisor::spawn(launch, &interest)
        .unwrap()
        .run(
            &mut |event: &Event<'_>, at: &Tracee<'_>| {
                told += 1;
                if told == 1 {
                    check(event, at);
                }
            },
            &Stop::new().unwrap(),
        )
        .unwrap();
    assert!(told >= 1);
    assert_eq!(outcome.status, Some(Ending::Code(0)), "{:?}", outcome.notes);
}

#[test]
fn a_task_is_what_proc_says() {
    let btf = embedded_btf(&[]).unwrap();
    let mut launch = command("/usr/bin/perl", &["-e", "getppid"]);
    launch.directory = Some("/usr/share".into());
    at_first_event(
        launch,
        Interest {
            enter: calls(libc::SYS_getppid),
            ..Interest::default()
        },
        |_, at| {
            let tid = at.tid();
            let of = |path: &[&str]| member(&btf, at, path);
            assert_eq!((of(&["pid"]), of(&["tgid"])), (tid as u64, tid as u64));
            assert_eq!(of(&["group_leader", "pid"]), tid as u64);
            assert_eq!(of(&["real_parent", "tgid"]), u64::from(std::process::id()));
            assert_eq!(of(&["parent", "pid"]), of(&["real_parent", "pid"]));
            // The chain of parents ends at a task that is its own parent.
            let (mut at_task, mut depth) = (at.task_address(), 0);
            loop {
                let up = number(
                    at,
                    walk(&btf, at, "task_struct", at_task, &["real_parent"]).0,
                    8,
                );
                if up == at_task {
                    break;
                }
                at_task = up;
                depth += 1;
                assert!(depth < 100);
            }
            assert!(depth >= 2);
            let (comm, _) = walk(&btf, at, "task_struct", at.task_address(), &["comm"]);
            assert_eq!(text(at, comm), "perl");
            let uid = std::fs::metadata(format!("/proc/{tid}")).unwrap().uid();
            assert_eq!(of(&["cred", "uid", "val"]), u64::from(uid));
            for (path, link) in [
                (["nsproxy", "mnt_ns", "ns", "inum"], "mnt"),
                (["nsproxy", "net_ns", "ns", "inum"], "net"),
                (["nsproxy", "uts_ns", "ns", "inum"], "uts"),
                (
                    ["nsproxy", "pid_ns_for_children", "ns", "inum"],
                    "pid_for_children",
                ),
            ] {
                let inode = std::fs::metadata(format!("/proc/{tid}/ns/{link}"))
                    .unwrap()
                    .ino();
                assert_eq!(of(&path), inode, "{link}");
            }
            assert_eq!(of(&["thread_pid", "level"]) as u32 as usize, 0);
            let exe = std::fs::metadata(format!("/proc/{tid}/exe")).unwrap().ino();
            assert_eq!(of(&["mm", "exe_file", "f_inode", "i_ino"]), exe);
            let mut arg = vec![0; 13];
            at.read_user(of(&["mm", "arg_start"]), &mut arg).unwrap();
            assert_eq!(arg, b"/usr/bin/perl");
            assert_eq!(of(&["signal", "live", "counter"]), 1);
            let start = of(&["start_time"]);
            assert!(start > 0 && start < at.ktime_ns());
            // The working directory: entries up to the root of its file system.
            let entry = of(&["fs", "pwd", "dentry"]);
            let name = |entry| {
                text(
                    at,
                    number(
                        at,
                        walk(&btf, at, "dentry", entry, &["d_name", "name"]).0,
                        8,
                    ),
                )
            };
            assert_eq!(name(entry), "share");
            let up = number(at, walk(&btf, at, "dentry", entry, &["d_parent"]).0, 8);
            assert_eq!(name(up), "usr");
            let mount_root = of(&["fs", "pwd", "mnt", "mnt_root"]);
            assert_eq!(name(mount_root), "/");
            // What lies outside is refused, not invented.
            let mut byte = [0];
            assert!(at.read_kernel(0, &mut byte).is_err());
            assert!(at.read_kernel(u64::MAX, &mut byte).is_err());
            assert!(
                at.read_kernel(at.kernel_regions()[0].end, &mut byte)
                    .is_err()
            );
            assert!(
                at.read_kernel(at.kernel_regions()[0].end - 1, &mut byte)
                    .is_err(),
                "no task has that slot"
            );
        },
    );
}

#[test]
fn registers_and_the_stack_are_the_childs() {
    let btf = embedded_btf(&[]).unwrap();
    let interest = Interest {
        exit: calls(libc::SYS_getppid),
        ..Interest::default()
    };
    at_first_event(
        command("perl", &["-e", "getppid"]),
        interest,
        |event, at| {
            let Event::SysExit { ret, .. } = *event else {
                panic!("{event:?}")
            };
            let (args, count) = raw_arguments(event, at);
            assert_eq!((args[1], count), (ret as u64, 2));
            let of = |name| number(at, walk(&btf, at, "pt_regs", args[0], &[name]).0, 8);
            assert_eq!(of("ax") as i64, ret);
            assert_eq!(of("orig_ax") as i64, libc::SYS_getppid);
            let mut stack = [0; 8];
            let depth = at.user_stack(&mut stack).unwrap();
            assert!(depth >= 1);
            assert_eq!(stack[0], of("ip"));
        },
    );
}

#[test]
fn a_childs_memory_is_read_and_faults_are_errors() {
    let interest = Interest {
        enter: calls(libc::SYS_openat),
        ..Interest::default()
    };
    at_first_event(command("/bin/true", &[]), interest, |event, at| {
        let Event::SysEnter { args, .. } = *event else {
            panic!("{event:?}")
        };
        let name = at.read_string(args[1], 256).unwrap();
        assert!(name.starts_with(b"/"), "{name:?}");
        let mut same = vec![0; name.len()];
        at.read_user(args[1], &mut same).unwrap();
        assert_eq!(same, name);
        let mut bytes = [0; 16];
        for bad in [0, 8, u64::MAX, u64::MAX - 7, 1 << 63] {
            assert!(at.read_user(bad, &mut bytes).is_err(), "{bad:#x}");
            assert!(at.write_user(bad, &bytes).is_err(), "{bad:#x}");
        }
        assert!(at.read_string(0, 64).is_err());
        // Across the end of a mapping: all or nothing.
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", at.tid())).unwrap();
        let stack = maps.lines().find(|line| line.ends_with("[stack]")).unwrap();
        let end = u64::from_str_radix(stack.split(['-', ' ']).nth(1).unwrap(), 16).unwrap();
        assert!(at.read_user(end - 16, &mut bytes).is_ok());
        assert!(at.read_user(end - 8, &mut bytes).is_err());
        let mut large = vec![0; 8192];
        assert!(at.read_user(end - 8192, &mut large).is_ok());
        assert!(at.read_user(end - 8191, &mut large).is_err());
    });
}

#[test]
fn writes_reach_the_child() {
    let interest = Interest {
        enter: calls(libc::SYS_chdir),
        ..Interest::default()
    };
    let script = "chdir '/nonexistent-dir' or exit 1; exit 0";
    at_first_event(command("perl", &["-e", script]), interest, |event, at| {
        let Event::SysEnter { args, .. } = *event else {
            panic!("{event:?}")
        };
        at.write_user(args[0], b"/\0").unwrap();
        assert_eq!(at.read_string(args[0], 64).unwrap(), b"/");
    });
}

#[test]
fn records_are_the_kernels_bytes() {
    let interest = Interest {
        exec: true,
        fork: true,
        task_exit: true,
        ..Interest::default()
    };
    let mut bytes = Vec::new();
    let (mut forks, mut execs, mut exits) = (0, 0, 0);
    Supervisor::spawn(command("/bin/sh", &["-c", "/bin/true; exit 0"]), &interest)
        .unwrap()
        .run(
            &mut |event: &Event<'_>, at: &Tracee<'_>| {
                let int = |bytes: &[u8], at: usize| {
                    i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
                };
                match *event {
                    Event::Fork { child_tid, .. } => {
                        forks += 1;
                        record(Hook::Fork, event, at, &mut bytes);
                        assert_eq!(&bytes[8..11], b"sh\0");
                        assert_eq!(
                            (int(&bytes, 24), int(&bytes, 44), bytes.len()),
                            (at.tid(), child_tid, 48)
                        );
                    }
                    Event::Exec { filename, .. } => {
                        execs += 1;
                        record(Hook::Exec, event, at, &mut bytes);
                        let place = int(&bytes, 8) as usize;
                        assert_eq!(&bytes[place & 0xffff..][..(place >> 16) - 1], filename);
                        assert_eq!((int(&bytes, 12), int(&bytes, 16)), (at.tid(), at.tid()));
                        let (args, _) = raw_arguments(event, at);
                        let name = number(at, args[2], 8);
                        assert_eq!(text(at, name).as_bytes(), filename);
                    }
                    Event::Exit { .. } => {
                        exits += 1;
                        record(Hook::TaskExit, event, at, &mut bytes);
                        assert_eq!((int(&bytes, 24), int(&bytes, 28)), (at.tid(), 120));
                        assert!(at.read_user(4096, &mut [0]).is_err());
                    }
                    _ => panic!("{event:?}"),
                }
            },
            &Stop::new().unwrap(),
        )
        .unwrap();
    assert!(
        forks >= 1 && execs >= 2 && exits == forks + 1,
        "{forks} {execs} {exits}"
    );
}

#[test]
fn a_calls_record_holds_its_number_and_arguments() {
    let interest = Interest {
        enter: calls(libc::SYS_chdir),
        exit: calls(libc::SYS_chdir),
        ..Interest::default()
    };
    let mut bytes = Vec::new();
    at_first_event(
        command("perl", &["-e", "chdir '/'"]),
        interest,
        |event, at| {
            let Event::SysEnter { args, .. } = *event else {
                panic!("{event:?}")
            };
            record(Hook::Enter(libc::SYS_chdir as u32), event, at, &mut bytes);
            let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            assert_eq!(
                (bytes.len(), long(8), long(16)),
                (64, libc::SYS_chdir as u64, args[0])
            );
        },
    );
}

/// A program of three instructions: `exit(5)` by `int 0x80`.
fn exit_program_32() -> Vec<u8> {
    let code = [0xb8, 1, 0, 0, 0, 0xbb, 5, 0, 0, 0, 0xcd, 0x80];
    let base: u32 = 0x0804_8000;
    let mut elf = b"\x7fELF\x01\x01\x01".to_vec();
    elf.resize(16, 0);
    for half in [2u16, 3] {
        elf.extend(half.to_le_bytes());
    }
    for word in [1, base + 84, 52, 0, 0] {
        elf.extend(u32::to_le_bytes(word));
    }
    for half in [52u16, 32, 1, 40, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    let size = 84 + code.len() as u32;
    for word in [1, 0, base, base, size, size, 5, 4096] {
        elf.extend(u32::to_le_bytes(word));
    }
    elf.extend(code);
    elf
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_32_bit_program_is_said_and_seen_by_raw_hooks() {
    use skep_host::process::Abi;
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::temp_dir().join(format!("skep-exit32-{}", std::process::id()));
    std::fs::write(&path, exit_program_32()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut seen = Vec::new();
    let result = Supervisor::spawn(
        command(path.to_str().unwrap(), &[]),
        &Interest::everything(),
    )
    .unwrap()
    .run(
        &mut |event: &Event<'_>, _: &Tracee<'_>| {
            if let Event::SysEnter { nr, args, abi } = *event
                && abi != Abi::Native
            {
                seen.push((nr, args[0], abi));
            }
        },
        &Stop::new().unwrap(),
    );
    let _ = std::fs::remove_file(&path);
    match result {
        Ok(outcome) => {
            assert_eq!(outcome.status, Some(Ending::Code(5)));
            assert_eq!(seen, [(1, 5, Abi::Compat)]);
            assert_eq!(
                (outcome.counts.foreign, outcome.notes.len()),
                (1, 2),
                "{:?}",
                outcome.notes
            );
        }
        // A kernel without 32-bit programs.
        Err(e) => {
            assert_eq!(e.errno(), libc::ENOEXEC, "{e}");
            eprintln!("skipped: this kernel does not run 32-bit programs");
        }
    }
}
