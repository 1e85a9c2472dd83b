//! Set-up for the tests: installs the tools they compare with, where this machine lets us; says what stays missing.
//!
//! Invariant: nothing here is needed to build or use skep; a tool that cannot be had makes the tests that need it skip,
//! and say so.

use std::path::Path;
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

/// Packages whose file is absent.
pub fn missing() -> Vec<&'static str> {
    NEEDS
        .iter()
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
