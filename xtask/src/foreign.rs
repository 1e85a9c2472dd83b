//! The tests of compiled code for arm64, run on a machine that is none: built across, executed by qemu's user mode.
//!
//! Invariant: where something is missing, the step says what and is counted as skipped; on arm64 itself the ordinary
//! tests do the same, and there is no such step.

use std::path::Path;
use std::process::Command;

use crate::setup;

const TARGET: &str = "aarch64-unknown-linux-gnu";
/// Where Debian's packages put the libraries of the target.
const SYSROOT: &str = "/usr/aarch64-linux-gnu";

/// A processor of the first version of the architecture, which has no atomic operations in one instruction.
const OLDEST: &str = "cortex-a53";

/// Packages, the tests of each that run compiled code, and whether the oldest processor runs them too.
const TESTS: &[(&str, &[&str], bool)] = &[
    (
        "skep-vm",
        &[
            "--lib", "--test", "run", "--test", "proven", "--test", "large",
        ],
        false,
    ),
    ("skep-vm", &["--test", "conformance"], true),
    ("skep-filetests", &["--test", "filetests", "run"], false),
    ("skep-filetests", &["--test", "compiled"], true),
];

/// The variables by which cargo builds for the target and runs what it built.
fn environment() -> Result<[(&'static str, String); 2], String> {
    let missing: Vec<_> = setup::missing_for_arm64();
    if !missing.is_empty() {
        return Err(format!("{} not installed", missing.join(", ")));
    }
    setup::rust_target(TARGET)?;
    let qemu = ["qemu-aarch64", "qemu-aarch64-static"]
        .into_iter()
        .find(|name| Path::new("/usr/bin").join(name).exists())
        .unwrap_or("qemu-aarch64");
    Ok([
        (
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
            "aarch64-linux-gnu-gcc".to_owned(),
        ),
        (
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER",
            format!("{qemu} -L {SYSROOT}"),
        ),
    ])
}

/// Runs them; answers what had to be skipped.
pub fn run(root: &Path) -> Result<Vec<String>, String> {
    if cfg!(target_arch = "aarch64") {
        return Ok(Vec::new());
    }
    let environment = match environment() {
        Ok(environment) => environment,
        Err(why) => return Ok(vec![format!("skipped: compiled code for arm64: {why}")]),
    };
    for (package, tests, oldest) in TESTS {
        let args: Vec<&str> = ["test", "--quiet", "--target", TARGET, "-p", package]
            .into_iter()
            .chain(tests.iter().copied())
            .collect();
        println!("== compiled code for arm64: cargo {}", args.join(" "));
        cargo(root, &args, &environment, None)?;
        if *oldest {
            println!("== the same on a {OLDEST}");
            cargo(root, &args, &environment, Some(OLDEST))?;
        }
    }
    Ok(Vec::new())
}

fn cargo(
    root: &Path,
    args: &[&str],
    environment: &[(&'static str, String)],
    processor: Option<&str>,
) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command
        .args(args)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(root);
    if let Some(processor) = processor {
        command.env("QEMU_CPU", processor);
    }
    let status = command
        .status()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("on arm64: cargo {} failed", args.join(" ")))
    }
}
