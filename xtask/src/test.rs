//! The one test command: set-up, formatting, lints, every test, the house rules.

use std::path::Path;
use std::process::Command;

use crate::{setup, tidy};

/// Runs all of it; stops at the first step that fails.
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
    // The command itself, built once, so that tests which run it measure the same binary.
    step(root, "build", &["build", "--workspace", "--quiet"])?;
    step(root, "tests", &["test", "--workspace", "--quiet"])
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
