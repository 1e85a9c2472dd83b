//! Measures skep beside the peers that are installed, in one run, and prints ratios.
//!
//! Invariants: skep and its peer take turns in the same run on the same CPU, and the fastest of several tries of each
//! counts, since these machines are noisy; a peer that is not installed is named and left out, never guessed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

mod engines;
mod load;
mod packets;
mod replay;
mod syscalls;
mod verify;
mod vm;

/// One row of the report.
struct Row {
    what: String,
    skep: f64,
    peer: Option<(String, f64)>,
    unit: &'static str,
    /// The bar that the project has set itself; lower is better everywhere.
    bar: Option<f64>,
}

/// Where the built things are.
struct Built {
    root: PathBuf,
    skep: PathBuf,
    tools: PathBuf,
    scratch: PathBuf,
}

/// What a bench found: rows, and a table of its own if rows do not say it all.
struct Report {
    rows: Vec<Row>,
    table: String,
}

impl From<Vec<Row>> for Report {
    fn from(rows: Vec<Row>) -> Report {
        Report {
            rows,
            table: String::new(),
        }
    }
}

type Bench = (&'static str, fn(&Built) -> Result<Report, String>);

const BENCHES: &[Bench] = &[
    ("vm", vm::run),
    ("verify", verify::run),
    ("engines", engines::run),
    ("load", load::run),
    ("packets", packets::run),
    ("replay", replay::run),
    ("syscalls", syscalls::run),
];

/// Runs the named benches, or all, and writes `docs/bench.md` when all ran.
pub fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let built = build(root)?;
    let mut report = String::from(
        "# Measurements\n\nMade by `cargo xtask bench`: skep and its peer in turns on one CPU, the fastest of several tries. Lower is better. \
         A system call traced at entry and exit takes two ptrace stops, which is most of what it costs.\n\n\
         | what | skep | peer | ratio | bar | unit |\n|---|---|---|---|---|---|\n",
    );
    let mut tables = String::new();
    let mut missed = 0;
    for (name, bench) in BENCHES {
        if !args.is_empty() && !args.iter().any(|arg| arg == name) {
            continue;
        }
        println!("== {name}");
        let found = bench(&built)?;
        for row in found.rows {
            let line = row.line();
            println!("{line}");
            missed += usize::from(row.bar.is_some_and(|bar| row.skep > bar));
            let _ = writeln!(report, "{line}");
        }
        print!("{}", found.table);
        tables.push_str(&found.table);
    }
    let size = std::fs::metadata(&built.skep).map_or(0.0, |meta| meta.len() as f64 / 1e6);
    let row = Row {
        what: "release binary".to_owned(),
        skep: size,
        peer: None,
        unit: "MB",
        bar: Some(12.0),
    };
    println!("{}", row.line());
    let _ = writeln!(report, "{}", row.line());
    report.push_str(&tables);
    if args.is_empty() {
        let path = root.join("docs/bench.md");
        std::fs::write(&path, report).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if missed > 0 {
        println!("{missed} bars missed in this run");
    }
    Ok(())
}

impl Row {
    fn line(&self) -> String {
        let (peer, ratio) = match &self.peer {
            Some((name, value)) => (
                format!("{name} {value:.2}"),
                format!("{:.2}", self.skep / value),
            ),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let bar = self
            .bar
            .map_or_else(|| "-".to_owned(), |bar| format!("{bar}"));
        format!(
            "| {} | {:.2} | {peer} | {ratio} | {bar} | {} |",
            self.what, self.skep, self.unit
        )
    }
}

fn build(root: &Path) -> Result<Built, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let make = |folder: &Path, args: &[&str]| -> Result<(), String> {
        let status = Command::new(&cargo).args(args).current_dir(folder).status();
        if status.is_ok_and(|status| status.success()) {
            Ok(())
        } else {
            Err(format!(
                "cargo {} failed in {}",
                args.join(" "),
                folder.display()
            ))
        }
    };
    make(root, &["build", "--release", "--quiet", "-p", "skep-cli"])?;
    make(&root.join("benches"), &["build", "--release", "--quiet"])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let scratch = std::env::temp_dir().join(format!("skep-bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    Ok(Built {
        root: root.to_path_buf(),
        skep: target
            .clone()
            .unwrap_or_else(|| root.join("target"))
            .join("release/skep"),
        tools: target
            .unwrap_or_else(|| root.join("benches/target"))
            .join("release"),
        scratch,
    })
}

impl Drop for Built {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

/// Runs a command on CPU 0 and gives its standard output; `None` when it cannot be run.
fn pinned(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("taskset")
        .args(["-c", "0"])
        .arg(program)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program is on the PATH.
fn installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// The smallest of the values that came back.
fn least(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    values.into_iter().flatten().min_by(f64::total_cmp)
}

/// The geometric mean.
fn mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len().max(1) as f64).exp()
}
