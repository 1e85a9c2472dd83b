//! Set-up for the tests: installs the tools they compare with, where this machine lets us; says what stays missing.
//!
//! Invariant: nothing here is needed to build or use skep; a tool that cannot be had makes the tests that need it skip,
//! and say so.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file whose presence tells that a Debian package is there.
const NEEDS: &[(&str, &[&str])] = &[
    ("clang-19", &["/usr/bin/clang-19"]),
    ("llvm-19", &["/usr/bin/llvm-objdump-19"]),
    ("libbpf-dev", &["/usr/include/bpf/bpf_helpers.h"]),
    (
        "libxdp1",
        &[
            "/usr/lib/x86_64-linux-gnu/bpf/xdpfilt_alw_all.o",
            "/usr/lib/aarch64-linux-gnu/bpf/xdpfilt_alw_all.o",
        ],
    ),
    ("linux-source-6.12", &["/usr/src/linux-source-6.12.tar.xz"]),
    ("strace", &["/usr/bin/strace"]),
    ("tcpdump", &["/usr/bin/tcpdump"]),
];

/// The same for running arm64's code on another machine.
const NEEDS_FOREIGN: &[(&str, &[&str])] = &[
    (
        "qemu-user",
        &["/usr/bin/qemu-aarch64", "/usr/bin/qemu-aarch64-static"],
    ),
    ("gcc-aarch64-linux-gnu", &["/usr/bin/aarch64-linux-gnu-gcc"]),
    (
        "libc6-dev-arm64-cross",
        &["/usr/aarch64-linux-gnu/lib/libc.so"],
    ),
];

/// What this machine needs.
fn needs() -> impl Iterator<Item = &'static (&'static str, &'static [&'static str])> {
    let foreign = if cfg!(target_arch = "aarch64") {
        &[]
    } else {
        NEEDS_FOREIGN
    };
    NEEDS.iter().chain(foreign)
}

/// Packages whose file is absent.
pub fn missing() -> Vec<&'static str> {
    absent(needs())
}

/// Those among them that running arm64's code takes.
pub fn missing_for_arm64() -> Vec<&'static str> {
    absent(NEEDS_FOREIGN.iter())
}

fn absent<'n>(
    needs: impl Iterator<Item = &'n (&'static str, &'static [&'static str])>,
) -> Vec<&'static str> {
    needs
        .filter(|(_, files)| !files.iter().any(|file| Path::new(file).exists()))
        .map(|(package, _)| *package)
        .collect()
}

/// Installs what is missing, if `apt-get` is here and may be used.
pub fn run() {
    let wanted = missing();
    if wanted.is_empty() {
        return;
    }
    let apt = |args: &[&str]| {
        Command::new("apt-get")
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    println!("set-up: installing {}", wanted.join(" "));
    let _ = apt(&["update"]);
    for package in &wanted {
        if !apt(&["install", "-y", "--no-install-recommends", package]) {
            println!(
                "set-up: `{package}` could not be installed here (it takes apt-get and root); the tests that need it skip"
            );
        }
    }
}

/// Makes sure that the compiler has a target's standard library; an error says why it has not.
pub fn rust_target(target: &str) -> Result<(), String> {
    if has_target(target) {
        return Ok(());
    }
    println!("set-up: rustup target add {target}");
    let status = Command::new("rustup")
        .args(["target", "add", target])
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("rustup could not be started: {error}"))?;
    if status.success() && has_target(target) {
        Ok(())
    } else {
        Err(format!("`rustup target add {target}` failed"))
    }
}

fn has_target(target: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output();
    output.is_ok_and(|output| {
        let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        output.status.success() && folder.exists()
    })
}
