//! What tracing costs a system call: traced at entry, at entry and exit, and not traced, beside strace.

use std::path::Path;

use super::{Built, Report, Row, installed, least, pinned};

/// The bare minimum of tries for each cell.
const TRIES: usize = 5;

const ENTER: &str = include_str!("enter.s");
const EXIT: &str = include_str!("exit.s");
const OTHER: &str = include_str!("other.s");

pub(super) fn run(built: &Built) -> Result<Report, String> {
    let work = built.tools.join("syscall_loop");
    let work = work.to_string_lossy().into_owned();
    let write = |name: &str, text: &str| -> Result<String, String> {
        let path = built.scratch.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path.to_string_lossy().into_owned())
    };
    let (enter, exit, other) = (
        write("enter.s", ENTER)?,
        write("exit.s", EXIT)?,
        write("other.s", OTHER)?,
    );
    let traced = |object: &str| {
        pinned(
            &built.skep,
            &["run", object, "--no-maps", "--", &work, "20000"],
        )
    };
    let strace = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["-o", "/dev/null", "-f", "--", &work, "20000"]);
        pinned(Path::new("strace"), &all)
    };
    let mut cells: Vec<Vec<Option<f64>>> = vec![Vec::new(); 6];
    let has_strace = installed("strace");
    for _ in 0..TRIES {
        // Taking turns: what else the machine does then falls on all alike.
        cells[0].push(number(pinned(Path::new(&work), &["2000000"])));
        cells[1].push(number(traced(&enter)));
        cells[2].push(number(traced(&exit)));
        cells[3].push(number(traced(&other)));
        if has_strace {
            cells[4].push(number(strace(&["--seccomp-bpf", "-e", "trace=getppid"])));
            cells[5].push(number(strace(&["--seccomp-bpf", "-e", "trace=chdir"])));
        }
    }
    let best: Vec<Option<f64>> = cells.into_iter().map(least).collect();
    let bare = best[0].ok_or("the system call loop did not run (is taskset installed?)")?;
    let added = |cell: usize| best[cell].map(|ns| (ns - bare).max(0.0));
    let row = |what: &str, cell: usize, peer: usize, scale: f64, unit, bar| {
        added(cell).map(|value| Row {
            what: what.to_owned(),
            skep: value / scale,
            peer: added(peer).map(|value| ("strace --seccomp-bpf".to_owned(), value / scale)),
            unit,
            bar: Some(bar),
        })
    };
    let rows = [
        row(
            "system call traced at entry, added",
            1,
            4,
            1000.0,
            "µs",
            10.0,
        ),
        row(
            "system call traced at entry and exit, added",
            2,
            4,
            1000.0,
            "µs",
            10.0,
        ),
        row("system call not traced, added", 3, 5, 1.0, "ns", 150.0),
    ];
    if rows.iter().any(Option::is_none) {
        return Err("skep run did not trace the loop".to_owned());
    }
    Ok(rows.into_iter().flatten().collect::<Vec<_>>().into())
}

/// The last line that is a number: the loop's own report, among what the tracer prints.
fn number(output: Option<String>) -> Option<f64> {
    output?
        .lines()
        .rev()
        .find_map(|line| line.trim().parse().ok())
}
