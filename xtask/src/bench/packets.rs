//! Nanoseconds a packet in memory: the same object on the embedded engine and in the kernel's test run.

use std::process::Command;

use super::{Built, Report, Row, pinned};

/// What must not be slower than the kernel's test run.
const BARS: &[(&str, f64)] = &[
    ("x_drop", 21.0),
    ("x_parse_hash", 46.0),
    ("x_lb_restore", 95.0),
];

pub(super) fn run(built: &Built) -> Result<Report, String> {
    let source = built.root.join("benches/programs/net/progs.bpf.c");
    let object = built.scratch.join("progs.bpf.o");
    let arch = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let status = Command::new("clang-19")
        .args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", &arch, "-c"])
        .arg(&source)
        .arg("-o")
        .arg(&object)
        .status();
    if !status.is_ok_and(|status| status.success()) {
        return Err(format!(
            "clang-19 and libbpf's headers are needed to compile {}",
            source.display()
        ));
    }
    let object = object.to_string_lossy().into_owned();
    let output = pinned(&built.tools.join("packets"), &[&object])
        .ok_or("the bench of packets in memory failed")?;
    let mut rows = Vec::new();
    for line in output.lines() {
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        let ["packet", name, skep, kernel, what] = words[..] else {
            continue;
        };
        let Ok(skep) = skep.parse() else { continue };
        rows.push(Row {
            what: format!("packet in memory, {what}"),
            skep,
            peer: kernel.parse().ok().map(|ns| ("kernel".to_owned(), ns)),
            unit: "ns",
            bar: BARS
                .iter()
                .find(|(bar, _)| *bar == name)
                .map(|(_, bar)| *bar),
        });
    }
    if rows.is_empty() {
        return Err("the bench of packets in memory measured nothing".to_owned());
    }
    Ok(rows.into())
}
