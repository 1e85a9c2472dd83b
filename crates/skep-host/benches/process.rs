//! What supervision costs a child: nanoseconds of one getppid(2), beside strace in the same run.
//!
//! Run with `cargo bench -p skep-host --bench process [-- CALLS]`. The child is this program again, with `loop CALLS`;
//! everything runs on one CPU unless a line says otherwise. Each line is the least and the median of several rounds.

use skep_host::process::{CallSet, Event, Interest, Launch, Stop, Supervisor, Tracee};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Instant;

const ROUNDS: usize = 7;

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    if let [mode, count] = args.as_slice()
        && mode == "loop"
    {
        return child(count.parse().unwrap_or(1000));
    }
    let calls: u64 = args.first().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let plain = line("plain", calls * 50, |n| {
        by_command(&["taskset", "-c", "0"], n)
    });
    let getppid = || set(libc::SYS_getppid);
    let other = Interest {
        enter: set(libc::SYS_openat),
        exit: set(libc::SYS_openat),
        ..Interest::default()
    };
    let enter = Interest {
        enter: getppid(),
        ..Interest::default()
    };
    let exit = Interest {
        exit: getppid(),
        ..Interest::default()
    };
    let both = Interest {
        enter: getppid(),
        exit: getppid(),
        ..Interest::default()
    };
    let untraced = line("untraced", calls * 50, |n| supervised(&other, true, n));
    for (name, interest) in [("enter", &enter), ("exit", &exit), ("enter+exit", &both)] {
        line(name, calls, |n| supervised(interest, true, n));
        line(&format!("{name}, any CPU"), calls / 4, |n| {
            supervised(interest, false, n)
        });
    }
    let strace = [
        "taskset",
        "-c",
        "0",
        "strace",
        "-f",
        "--seccomp-bpf",
        "-e",
        "trace=getppid",
        "-o",
        "/dev/null",
    ];
    line("strace --seccomp-bpf", calls, |n| by_command(&strace, n));
    line("strace, untraced", calls, |n| {
        by_command(
            &[
                "taskset",
                "-c",
                "0",
                "strace",
                "-f",
                "--seccomp-bpf",
                "-e",
                "trace=openat",
                "-o",
                "/dev/null",
            ],
            n,
        )
    });
    println!("untraced calls cost {:.0} ns more", untraced - plain);
}

fn set(nr: i64) -> CallSet {
    let mut set = CallSet::none();
    set.insert(nr as u32);
    set
}

fn line(name: &str, calls: u64, run: impl Fn(u64) -> Option<f64>) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS).filter_map(|_| run(calls)).collect();
    rounds.sort_by(f64::total_cmp);
    match (rounds.first(), rounds.get(rounds.len() / 2)) {
        (Some(least), Some(median)) => {
            println!("{name:24} {least:9.0} ns {median:9.0} ns");
            *least
        }
        _ => {
            println!("{name:24} not available");
            f64::NAN
        }
    }
}

/// The child: makes the calls and prints nanoseconds per call.
fn child(count: u64) {
    let start = Instant::now();
    for _ in 0..count {
        // SAFETY: getppid takes nothing and cannot fail.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
    println!("{}", start.elapsed().as_nanos() as f64 / count as f64);
}

fn own_path() -> std::path::PathBuf {
    std::env::current_exe().unwrap_or_default()
}

fn by_command(before: &[&str], count: u64) -> Option<f64> {
    let mut command = Command::new(before.first()?);
    command
        .args(&before[1..])
        .arg(own_path())
        .args(["loop", &count.to_string()])
        .stderr(Stdio::null());
    String::from_utf8(command.output().ok()?.stdout)
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn supervised(interest: &Interest, same_cpu: bool, count: u64) -> Option<f64> {
    let interest = interest.clone();
    // On a thread of its own: `same_cpu` confines the thread that supervises.
    let run = std::thread::spawn(move || {
        let path = std::env::temp_dir().join(format!("skep-bench-{}", std::process::id()));
        let mut launch = Launch::new(own_path()).args(["loop".to_owned(), count.to_string()]);
        launch.same_cpu = same_cpu;
        launch.stdio[1] = Some(OwnedFd::from(File::create(&path).ok()?));
        let mut sum = 0u64;
        let stop = Stop::new().ok()?;
        let outcome = Supervisor::spawn(launch, &interest)
            .ok()?
            .run(
                &mut |event: &Event<'_>, at: &Tracee<'_>| {
                    if let Event::SysExit { ret, .. } = event {
                        sum = sum.wrapping_add(*ret as u64);
                    }
                    sum = sum.wrapping_add(at.tid() as u64);
                },
                &stop,
            )
            .ok()?;
        std::hint::black_box((sum, outcome));
        let mut text = String::new();
        File::open(&path).ok()?.read_to_string(&mut text).ok()?;
        let _ = std::fs::remove_file(&path);
        text.trim().parse().ok()
    });
    run.join().ok()?
}
