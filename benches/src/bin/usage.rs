//! Runs a command and prints its exit status, its own CPU seconds and its peak memory in KiB.
//!
//! A small program of its own, since a child's peak starts at what its parent had when it was forked.

use std::process::{Command, Stdio};

fn main() {
    let mut args = std::env::args_os().skip(1);
    let Some(program) = args.next() else {
        eprintln!("usage: usage PROGRAM [ARGS]");
        std::process::exit(2);
    };
    let status = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    // SAFETY: an rusage is plain numbers, for which zeros are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid rusage to write to.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let code = status.ok().and_then(|status| status.code()).unwrap_or(-1);
    println!("{code} {:.6} {}", seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss);
}
