//! Supervises real commands and checks what is told of them.

use skep_host::process::{
    CallSet, Ending, Event, Hook, Interest, Launch, Outcome, Stop, Supervisor, Tracee,
};
use skep_vm::env::Env;
use std::ffi::OsString;
use std::os::fd::OwnedFd;

fn environment() -> Vec<(OsString, OsString)> {
    vec![
        ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
        ("LC_ALL".into(), "C".into()),
    ]
}

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
    let mut launch = Launch::new(program)
        .args(args.iter().copied())
        .env(environment());
    launch.stdio = [null(), null(), null()];
    launch
}

fn shell(script: &str) -> Launch {
    command("sh", &["-c", script])
}

fn calls(numbers: &[i64]) -> CallSet {
    let mut set = CallSet::none();
    for &nr in numbers {
        set.insert(nr as u32);
    }
    set
}

/// An event, kept after its task went on.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Enter(i32, i64, [u64; 6]),
    Exit(i32, i64, i64),
    Fork(i32, i32, bool),
    Exec(i32, Vec<u8>, i32),
    TaskExit(i32, i32, bool),
}

fn seen(event: &Event<'_>, at: &Tracee<'_>) -> Seen {
    match *event {
        Event::SysEnter { nr, args, .. } => Seen::Enter(at.tid(), nr, args),
        Event::SysExit { nr, ret, .. } => Seen::Exit(at.tid(), nr, ret),
        Event::Fork { child_tid, thread } => Seen::Fork(at.tid(), child_tid, thread),
        Event::Exec { filename, old_tid } => Seen::Exec(at.tid(), filename.to_vec(), old_tid),
        Event::Exit { code, group_dead } => Seen::TaskExit(at.tid(), code, group_dead),
    }
}

fn supervise(launch: Launch, interest: &Interest) -> (Outcome, Vec<Seen>) {
    let mut all = Vec::new();
    let supervisor = Supervisor::spawn(launch, interest).unwrap();
    let outcome = supervisor
        .run(
            &mut |event: &Event<'_>, at: &Tracee<'_>| all.push(seen(event, at)),
            &Stop::new().unwrap(),
        )
        .unwrap();
    (outcome, all)
}

#[test]
fn a_command_that_nobody_watches_just_runs() {
    let (outcome, seen) = supervise(command("true", &[]), &Interest::default());
    assert_eq!(outcome.status, Some(Ending::Code(0)));
    assert_eq!(seen, []);
    assert_eq!(outcome.notes, Vec::<String>::new());
}

#[test]
fn opens_are_seen_with_their_names() {
    let interest = Interest {
        enter: calls(&[libc::SYS_openat]),
        exit: calls(&[libc::SYS_openat]),
        ..Interest::default()
    };
    let mut names = Vec::new();
    let mut results = Vec::new();
    let outcome = Supervisor::spawn(
        command("cat", &["/etc/hostname", "/nonexistent"]),
        &interest,
    )
    .unwrap()
    .run(
        &mut |event: &Event<'_>, at: &Tracee<'_>| match *event {
            Event::SysEnter { nr, args, .. } => {
                assert_eq!(nr, libc::SYS_openat);
                names.push(String::from_utf8(at.read_string(args[1], 4096).unwrap()).unwrap());
            }
            Event::SysExit { ret, .. } => results.push(ret),
            _ => panic!("{event:?}"),
        },
        &Stop::new().unwrap(),
    )
    .unwrap();
    assert_eq!(outcome.status, Some(Ending::Code(1)));
    assert!(names.contains(&"/etc/hostname".to_owned()), "{names:?}");
    let failed = names
        .iter()
        .position(|name| name == "/nonexistent")
        .unwrap();
    assert_eq!(results[failed], -i64::from(libc::ENOENT));
    assert_eq!(names.len(), results.len());
    assert_eq!(
        (outcome.counts.enters, outcome.counts.exits),
        (names.len() as u64, results.len() as u64)
    );
}

#[test]
fn exit_codes_and_signals_are_passed_on() {
    let (outcome, _) = supervise(shell("exit 7"), &Interest::default());
    assert_eq!(outcome.status, Some(Ending::Code(7)));
    let (outcome, _) = supervise(shell("kill -KILL $$"), &Interest::everything());
    assert_eq!(outcome.status, Some(Ending::Signal(libc::SIGKILL)));
    assert_eq!(outcome.status.unwrap().shell_code(), 137);
    let (outcome, _) = supervise(
        shell("trap 'exit 3' TERM; kill -TERM $$; exit 4"),
        &Interest::everything(),
    );
    assert_eq!(outcome.status, Some(Ending::Code(3)));
}

#[test]
fn pipelines_are_followed() {
    let interest = Interest {
        fork: true,
        exec: true,
        task_exit: true,
        ..Interest::default()
    };
    let (outcome, seen) = supervise(
        shell("/bin/echo one | /bin/cat | /usr/bin/wc -l"),
        &interest,
    );
    assert_eq!(outcome.status, Some(Ending::Code(0)));
    let execs: Vec<&[u8]> = seen
        .iter()
        .filter_map(|s| {
            if let Seen::Exec(_, name, _) = s {
                Some(name.as_slice())
            } else {
                None
            }
        })
        .collect();
    for name in ["/bin/echo", "/bin/cat", "/usr/bin/wc"] {
        assert!(execs.contains(&name.as_bytes()), "{name} in {execs:?}");
    }
    let forks = seen
        .iter()
        .filter(|s| matches!(s, Seen::Fork(_, _, false)))
        .count();
    let exits = seen
        .iter()
        .filter(|s| matches!(s, Seen::TaskExit(_, 0, true)))
        .count();
    assert_eq!(
        (forks + 1, forks + 1),
        (exits, outcome.counts.ended as usize),
        "{seen:?}"
    );
    // A fork is told before anything of the child.
    for (i, s) in seen.iter().enumerate() {
        if let Seen::Fork(_, child, _) = s {
            let of_child =
                |s: &Seen| matches!(s, Seen::Exec(t, ..) | Seen::TaskExit(t, ..) if t == child);
            assert!(!seen[..i].iter().any(of_child), "{seen:?}");
        }
    }
}

#[test]
fn hooks_have_their_interest() {
    let hook = Hook::of_tracepoint("syscalls", "sys_exit_openat", |name| {
        (name == "openat").then_some(257)
    })
    .unwrap();
    assert_eq!(hook, Hook::Exit(257));
    assert!(hook.interest().exit.contains(257) && hook.interest().enter.is_empty());
    assert_eq!(
        Hook::of_tracepoint("syscalls", "sys_enter_nosuch", |_| None),
        None
    );
    assert_eq!(Hook::of_tracepoint("sched", "sched_switch", |_| None), None);
    assert_eq!(Hook::of_raw("sched_process_exec"), Some(Hook::Exec));
}

#[test]
fn the_current_task_is_the_child() {
    let interest = Interest {
        enter: calls(&[libc::SYS_getppid]),
        ..Interest::default()
    };
    let mut told = 0;
    Supervisor::spawn(shell("exec perl -e 'getppid'"), &interest)
        .unwrap()
        .run(
            &mut |_: &Event<'_>, at: &Tracee<'_>| {
                let current = at.current().unwrap();
                assert_eq!(current.pid as i32, at.tid());
                told += u64::from(current.comm.starts_with(b"perl\0"));
            },
            &Stop::new().unwrap(),
        )
        .unwrap();
    assert!(told >= 1);
}
