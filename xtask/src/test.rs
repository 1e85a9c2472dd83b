//! The one test command: set-up, formatting, lints, every test, the house rules.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{foreign, oracle, setup, tidy};

/// The virtual machine with `alloc` only: no file of it may name the system's library, and what is left must work.
const WITHOUT_SYSTEM: &[(&str, &[&str])] = &[
    (
        "the virtual machine without a system",
        &[
            "clippy",
            "-p",
            "skep-vm",
            "--no-default-features",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    ),
    (
        "its tests",
        &[
            "test",
            "-p",
            "skep-vm",
            "--no-default-features",
            "--test",
            "without_system",
            "--quiet",
        ],
    ),
];

/// Runs all of it, or with `--arm64` that step alone; stops at the first step that fails.
pub fn run(root: &Path, args: &[String]) -> Result<(), String> {
    if !args.iter().any(|arg| arg == "--no-setup") {
        setup::run();
    }
    let missing = setup::missing();
    if !missing.is_empty() {
        println!(
            "note: not here: {}; the tests that need them say `skipped`",
            missing.join(", ")
        );
    }
    if args.iter().any(|arg| arg == "--arm64") {
        for line in foreign::run(root)? {
            println!("{line}");
        }
        return Ok(());
    }
    tidy::run(root)?;
    step(root, "formatting", &["fmt", "--all", "--check"])?;
    step(
        root,
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    )?;
    for (what, args) in WITHOUT_SYSTEM {
        step(root, what, args)?;
    }
    // The command itself, built once, so that tests which run it measure the same binary.
    step(root, "build", &["build", "--workspace", "--quiet"])?;
    let skipped = foreign::run(root)?;
    tests(root, skipped)?;
    println!("== the verifier beside annotated selftests: cargo xtask oracle --sample");
    oracle::run(root, &["--sample".to_owned()])
}

/// All tests; what was skipped, before and by passing tests, is shown at the end, so that a green run hides nothing.
fn tests(root: &Path, mut skipped: Vec<String>) -> Result<(), String> {
    let args = [
        "test",
        "--workspace",
        "--quiet",
        "--no-fail-fast",
        "--",
        "--show-output",
    ];
    println!("== tests: cargo {}", args.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut child = Command::new(cargo)
        .args(args)
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    let mut passed_output = false;
    for line in child
        .stdout
        .take()
        .into_iter()
        .flat_map(|out| BufReader::new(out).split(b'\n'))
    {
        let line = line.map_err(|error| format!("reading the tests' output: {error}"))?;
        let line = String::from_utf8_lossy(&line);
        // What passing tests printed stands between these two lines.
        passed_output |= line == "successes:";
        passed_output &= !(line.starts_with("test result:") || line == "failures:");
        if passed_output {
            if line.starts_with("skipped:") && !skipped.iter().any(|known| *known == line) {
                skipped.push(line.into_owned());
            }
        } else {
            println!("{line}");
        }
    }
    let status = child.wait().map_err(|error| format!("cargo: {error}"))?;
    println!("== not tried on this machine: {}", skipped.len());
    for line in &skipped {
        println!("{line}");
    }
    if status.success() {
        Ok(())
    } else {
        Err("tests failed".to_owned())
    }
}

fn step(root: &Path, what: &str, args: &[&str]) -> Result<(), String> {
    println!("== {what}: cargo {}", args.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(args)
        .current_dir(root)
        .status()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{what} failed: cargo {}", args.join(" ")))
    }
}
