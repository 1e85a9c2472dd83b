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

#[test]
fn a_program_that_is_not_there_is_an_error() {
    for (program, errno) in [
        ("no-such-program", libc::ENOENT),
        ("/no/such/program", libc::ENOENT),
        ("", libc::ENOENT),
    ] {
        let error = Supervisor::spawn(command(program, &[]), &Interest::default())
            .and_then(|s| {
                s.run(
                    &mut |_: &Event<'_>, _: &Tracee<'_>| {},
                    &Stop::new().unwrap(),
                )
            })
            .map(|outcome| outcome.status)
            .unwrap_err();
        assert_eq!(error.errno(), errno, "{error}");
        assert!(
            error.to_string().contains(&format!("{program:?}")),
            "{error}"
        );
    }
    // Not executable, and executable but no program: the kernel's own answer, with only the execve told.
    let error = Supervisor::spawn(command("/etc/passwd", &[]), &Interest::everything())
        .unwrap()
        .run(
            &mut |event: &Event<'_>, _: &Tracee<'_>| {
                let call = match *event {
                    Event::SysEnter { nr, .. } | Event::SysExit { nr, .. } => nr,
                    _ => -1,
                };
                assert_eq!(call, libc::SYS_execve, "{event:?}");
            },
            &Stop::new().unwrap(),
        )
        .map(|outcome| outcome.status)
        .unwrap_err();
    assert_eq!(error.errno(), libc::EACCES, "{error}");
    let mut lost = command("true", &[]);
    lost.directory = Some("/no/such/directory".into());
    let error = Supervisor::spawn(lost, &Interest::everything())
        .map(|s| s.root())
        .unwrap_err();
    assert_eq!(error.errno(), libc::ENOENT);
    assert!(error.to_string().contains("directory"), "{error}");
}

#[test]
fn threads_and_their_names_are_followed() {
    let interest = Interest {
        enter: calls(&[libc::SYS_getppid]),
        fork: true,
        task_exit: true,
        ..Interest::default()
    };
    let script = "
import threading, os, ctypes
libc = ctypes.CDLL(None)
def work(n):
    libc.prctl(15, b'worker-%d' % n, 0, 0, 0)
    os.getppid()
threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
for t in threads: t.start()
for t in threads: t.join()
";
    let mut names = Vec::new();
    let (mut threads, mut exits, mut dead) = (0, 0, 0);
    let outcome = Supervisor::spawn(
        command("/usr/bin/python3", &["-S", "-c", script]),
        &interest,
    )
    .unwrap()
    .run(
        &mut |event: &Event<'_>, at: &Tracee<'_>| match *event {
            Event::SysEnter { .. } => {
                assert_ne!(at.tid(), at.tgid());
                let comm = at.comm();
                names.push(
                    String::from_utf8_lossy(&comm)
                        .trim_end_matches('\0')
                        .to_owned(),
                );
            }
            Event::Fork { thread, .. } => threads += u32::from(thread),
            Event::Exit { group_dead, .. } => {
                exits += 1;
                dead += u32::from(group_dead);
            }
            _ => {}
        },
        &Stop::new().unwrap(),
    )
    .unwrap();
    assert_eq!(outcome.status, Some(Ending::Code(0)));
    names.sort();
    assert_eq!(
        names,
        ["worker-0", "worker-1", "worker-2", "worker-3", "worker-4"]
    );
    assert_eq!((threads, exits, dead), (5, 6, 1));
    assert!(outcome.counts.tasks_at_once >= 2);
}

#[test]
fn an_exec_from_a_thread_keeps_the_process() {
    let script = "
import threading, os
t = threading.Thread(target=lambda: os.execv('/bin/sh', ['sh', '-c', 'exit 9']))
t.start()
t.join()
";
    let interest = Interest {
        exit: calls(&[libc::SYS_execve, libc::SYS_exit_group]),
        exec: true,
        task_exit: true,
        ..Interest::default()
    };
    let (outcome, seen) = supervise(
        command("/usr/bin/python3", &["-S", "-c", script]),
        &interest,
    );
    assert_eq!(outcome.status, Some(Ending::Code(9)));
    let Some(Seen::Exec(tid, name, old)) = seen.iter().rev().find(|s| matches!(s, Seen::Exec(..)))
    else {
        panic!("{seen:?}")
    };
    assert_eq!(name, b"/bin/sh");
    assert_ne!(tid, old, "a thread other than the leader called");
    assert!(
        seen.contains(&Seen::Exit(*tid, libc::SYS_execve, 0)),
        "{seen:?}"
    );
    assert!(
        seen.contains(&Seen::TaskExit(*tid, 9 << 8, true)),
        "{seen:?}"
    );
}

#[test]
fn vforks_are_followed() {
    let script = "
import subprocess
subprocess.run(['/bin/true'], close_fds=False)
";
    let interest = Interest {
        fork: true,
        exec: true,
        ..Interest::default()
    };
    let (outcome, seen) = supervise(
        command("/usr/bin/python3", &["-S", "-c", script]),
        &interest,
    );
    assert_eq!(outcome.status, Some(Ending::Code(0)));
    assert!(
        seen.iter()
            .any(|s| matches!(s, Seen::Exec(_, name, _) if name == b"/bin/true")),
        "{seen:?}"
    );
}

#[test]
fn a_fork_storm_stays_bounded() {
    let script = "my @p; for (1..300) { my $p = fork; if (!$p) { getppid; exit 0 } push @p, $p } waitpid $_, 0 for @p;";
    let interest = Interest {
        enter: calls(&[libc::SYS_getppid]),
        fork: true,
        task_exit: true,
        ..Interest::default()
    };
    let (outcome, seen) = supervise(command("perl", &["-e", script]), &interest);
    assert_eq!(outcome.status, Some(Ending::Code(0)));
    assert_eq!(
        (
            outcome.counts.forks,
            outcome.counts.task_exits,
            outcome.counts.ended
        ),
        (300, 301, 301)
    );
    assert!(seen.iter().filter(|s| matches!(s, Seen::Enter(..))).count() >= 300);
    assert_eq!(outcome.counts.lost, 0);
    assert!(outcome.counts.tasks_at_once <= 301);
}

#[test]
fn a_parent_killed_while_it_forks_leaves_nobody_behind() {
    let script = "my $p = fork; if (!$p) { while (1) { my $q = fork; exit 0 if !$q; waitpid $q, 0 if rand() < 0.5 } }
select undef, undef, undef, 0.03; kill 9, $p; waitpid $p, 0; exit 0";
    for _ in 0..5 {
        let (outcome, seen) = supervise(
            command("perl", &["-e", script]),
            &Interest {
                fork: true,
                ..Interest::everything()
            },
        );
        assert_eq!(outcome.status, Some(Ending::Code(0)));
        let ends = seen
            .iter()
            .filter(|s| matches!(s, Seen::TaskExit(..)))
            .count() as u64;
        assert_eq!(ends, outcome.counts.ended);
        let forks = outcome.counts.forks;
        assert!(
            forks >= 2 && outcome.counts.ended.abs_diff(forks + 1) <= 2,
            "{:?}",
            outcome.counts
        );
    }
}

#[test]
fn a_stopped_child_stays_stopped_until_it_is_continued() {
    // Continued again and again: whether it has stopped yet does not show, a traced task often looks stopped.
    let script = "sh -c 'kill -STOP $$; exit 5' & p=$!
(for i in $(seq 200); do sleep 0.05; kill -CONT $p 2>/dev/null || exit; done) &
wait $p";
    let started = std::time::Instant::now();
    let (outcome, _) = supervise(shell(script), &Interest::everything());
    assert_eq!(outcome.status, Some(Ending::Code(5)));
    assert!(started.elapsed().as_millis() >= 50, "it did not stop");
}

#[test]
fn a_child_that_ignores_signals_is_killed_at_the_end() {
    let stop = Stop::new().unwrap();
    let asked = stop.clone();
    let interest = Interest {
        enter: calls(&[libc::SYS_getppid]),
        ..Interest::default()
    };
    let started = std::time::Instant::now();
    let outcome = Supervisor::spawn(
        command(
            "perl",
            &["-e", "$SIG{TERM} = 'IGNORE'; getppid; sleep 100 while 1"],
        ),
        &interest,
    )
    .unwrap()
    .run(&mut |_: &Event<'_>, _: &Tracee<'_>| asked.request(), &stop)
    .unwrap();
    assert!(outcome.stopped);
    assert_eq!(outcome.status, Some(Ending::Signal(libc::SIGKILL)));
    assert!(
        outcome.notes.iter().any(|note| note.contains("killed")),
        "{:?}",
        outcome.notes
    );
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn a_stop_wakes_a_quiet_supervisor() {
    let stop = Stop::new().unwrap();
    let asked = stop.clone();
    let later = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        asked.request();
    });
    let started = std::time::Instant::now();
    let outcome = Supervisor::spawn(command("sleep", &["100"]), &Interest::everything())
        .unwrap()
        .run(&mut |_: &Event<'_>, _: &Tracee<'_>| {}, &stop)
        .unwrap();
    later.join().unwrap();
    assert_eq!(outcome.status, Some(Ending::Signal(libc::SIGTERM)));
    assert!(started.elapsed().as_millis() < 10_000);
}

#[test]
fn a_dropped_supervisor_leaves_nothing() {
    let supervisor =
        Supervisor::spawn(command("sleep", &["100"]), &Interest::everything()).unwrap();
    let root = supervisor.root();
    drop(supervisor);
    assert!(!std::path::Path::new(&format!("/proc/{root}")).exists());
}

#[test]
fn attaching_sees_calls_and_lets_go() {
    let mut target = std::process::Command::new("perl")
        .args(["-e", "select undef, undef, undef, 0.005 while getppid"])
        .spawn()
        .unwrap();
    let pid = target.id() as i32;
    std::thread::sleep(std::time::Duration::from_millis(200));
    let stop = Stop::new().unwrap();
    let asked = stop.clone();
    let interest = Interest {
        enter: calls(&[libc::SYS_getppid]),
        exit: calls(&[libc::SYS_getppid]),
        ..Interest::default()
    };
    let (mut enters, mut exits) = (0, Vec::new());
    let outcome = Supervisor::attach(pid, &interest)
        .unwrap()
        .run(
            &mut |event: &Event<'_>, at: &Tracee<'_>| {
                assert_eq!(at.tid(), pid);
                match *event {
                    Event::SysEnter { .. } => enters += 1,
                    Event::SysExit { ret, .. } => exits.push(ret),
                    _ => {}
                }
                if exits.len() == 10 {
                    asked.request();
                }
            },
            &stop,
        )
        .unwrap();
    assert!(outcome.stopped && outcome.status.is_none());
    assert!(enters >= 10);
    assert!(
        exits
            .iter()
            .all(|&ret| ret == i64::from(std::process::id())),
        "{exits:?}"
    );
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(
        status.contains("TracerPid:\t0\n") && status.contains("Seccomp:\t0\n"),
        "{status}"
    );
    assert!(
        !status.contains("State:\tT") && !status.contains("State:\tt"),
        "{status}"
    );
    assert!(target.try_wait().unwrap().is_none(), "it still runs");
    target.kill().unwrap();
    target.wait().unwrap();
    let error = Supervisor::attach(pid, &interest)
        .map(|s| s.root())
        .unwrap_err();
    assert_eq!(error.errno(), libc::ESRCH, "{error}");
}

/// Compares the number of each call with strace's, for commands whose calls are the same in every run.
#[test]
fn counts_are_those_of_strace() {
    for (program, args) in [
        ("/bin/ls", &["/etc"][..]),
        ("/bin/sh", &["-c", "/bin/echo x | /bin/cat; exec /bin/true"]),
    ] {
        let out =
            std::env::temp_dir().join(format!("skep-strace-{}-{}", std::process::id(), args.len()));
        let strace = std::process::Command::new("strace")
            .args([
                "-f",
                "-qq",
                "-e",
                "signal=none",
                "-e",
                "trace=openat,read,execve,mmap,close,clone,vfork,wait4",
            ])
            .arg("-o")
            .args([out.as_os_str(), program.as_ref()])
            .args(args)
            .env_clear()
            .envs(environment())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
        if strace.is_err() {
            eprintln!("skipped: strace is not installed");
            return;
        }
        let text = std::fs::read_to_string(&out).unwrap();
        let _ = std::fs::remove_file(&out);
        let numbers = [
            ("openat", libc::SYS_openat),
            ("read", libc::SYS_read),
            ("execve", libc::SYS_execve),
            ("mmap", libc::SYS_mmap),
            ("close", libc::SYS_close),
        ];
        let wanted: Vec<i64> = numbers.iter().map(|&(_, nr)| nr).collect();
        let interest = Interest {
            enter: calls(&wanted),
            exit: calls(&wanted),
            ..Interest::default()
        };
        let (_, seen) = supervise(command(program, args), &interest);
        for (name, nr) in numbers {
            let theirs = text
                .lines()
                .filter(|line| {
                    line.split_whitespace()
                        .nth(1)
                        .is_some_and(|call| call.starts_with(&format!("{name}(")))
                })
                .count();
            let enters = seen
                .iter()
                .filter(|s| matches!(s, Seen::Enter(_, n, _) if *n == nr))
                .count();
            let exits = seen
                .iter()
                .filter(|s| matches!(s, Seen::Exit(_, n, _) if *n == nr))
                .count();
            assert!(theirs > 0, "strace saw no {name}");
            assert_eq!((enters, exits), (theirs, theirs), "{name} of {program}");
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_clone_that_wants_no_tracer_is_followed() {
    let script = "my $p = syscall(56, 0x00800000 | 17, 0, 0, 0, 0); if (!$p) { getppid; exit 6 } waitpid $p, 0; exit $? >> 8";
    let interest = Interest {
        exit: calls(&[libc::SYS_getppid]),
        ..Interest::default()
    };
    let (outcome, seen) = supervise(command("perl", &["-e", script]), &interest);
    assert_eq!(outcome.status, Some(Ending::Code(6)), "{seen:?}");
    let root_and_child: std::collections::HashSet<i32> = seen
        .iter()
        .filter_map(|s| {
            if let Seen::Exit(tid, _, ret) = s {
                assert!(*ret > 0);
                Some(*tid)
            } else {
                None
            }
        })
        .collect();
    assert!(!root_and_child.is_empty());
    assert!(
        outcome
            .notes
            .iter()
            .any(|note| note.contains("CLONE_UNTRACED")),
        "{:?}",
        outcome.notes
    );
}

#[test]
fn a_set_user_id_program_that_loses_its_privileges_is_said() {
    if !std::path::Path::new("/bin/su").exists() {
        eprintln!("skipped: no /bin/su");
        return;
    }
    // SAFETY: takes nothing and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    for launch in [
        command("/bin/su", &["--version"]),
        shell("/bin/su --version; exit $?"),
    ] {
        let (outcome, _) = supervise(launch, &Interest::default());
        assert_eq!(outcome.status, Some(Ending::Code(0)));
        let said = outcome
            .notes
            .iter()
            .any(|note| note.contains("set-user-id") && note.contains("/su"));
        assert_eq!(said, !root, "{:?}", outcome.notes);
    }
}

/// Runs all other tests of this file as user 65534.
#[test]
fn an_ordinary_user_sees_the_same() {
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("skipped: this is an ordinary user");
        return;
    }
    let copy = std::env::temp_dir().join(format!("skep-process-test-{}", std::process::id()));
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let run = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["--skip", "an_ordinary_user"])
        .current_dir("/")
        .output();
    let _ = std::fs::remove_file(&copy);
    match run {
        Ok(output) => {
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stdout)
            );
            assert!(String::from_utf8_lossy(&output.stdout).contains("test result: ok"));
        }
        Err(_) => eprintln!("skipped: setpriv is not installed"),
    }
}
