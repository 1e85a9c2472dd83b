//! From process start to a loaded CO-RE object: CPU time and peak memory, beside libbpf where its headers are installed.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use super::{Built, Report, Row, least};

const TRIES: usize = 15;
const CORE: &str = include_str!("core.bpf.c");
const LIBBPF: &str = include_str!("load_libbpf.c");

pub(super) fn run(built: &Built) -> Result<Report, String> {
    let object = built.scratch.join("core.bpf.o");
    let source = built.scratch.join("core.bpf.c");
    std::fs::write(&source, CORE).map_err(|error| format!("{}: {error}", source.display()))?;
    let arch = format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let compiled = Command::new("clang-19")
        .args(["-g", "-O2", "-target", "bpf", "-I", &arch, "-c"])
        .arg(&source)
        .arg("-o")
        .arg(&object)
        .status();
    if !compiled.is_ok_and(|status| status.success()) {
        return Err(
            "clang-19 and libbpf's headers are needed to compile the CO-RE object".to_owned(),
        );
    }
    let libbpf = compile_peer(built);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TRIES {
        let object = object.as_os_str();
        ours.push(usage(built, &built.skep, &["test-run".as_ref(), object]));
        if let Some(peer) = &libbpf {
            theirs.push(usage(built, peer, &[object]));
        }
    }
    let pick = |all: &[Option<Usage>], get: fn(&Usage) -> f64| {
        least(all.iter().map(|usage| usage.as_ref().map(get)))
    };
    let cpu = pick(&ours, |usage| usage.cpu_ms).ok_or("skep could not load the CO-RE object")?;
    let memory = pick(&ours, |usage| usage.rss_mb).ok_or("skep could not load the CO-RE object")?;
    let peer = |get: fn(&Usage) -> f64| {
        pick(&theirs, get).map(|value| ("libbpf (kernel)".to_owned(), value))
    };
    Ok(Report::from(vec![
        Row {
            what: "load a CO-RE object, process start to loaded, CPU".to_owned(),
            skep: cpu,
            peer: peer(|usage| usage.cpu_ms),
            unit: "ms",
            bar: Some(6.0),
        },
        Row {
            what: "load a CO-RE object, peak memory".to_owned(),
            skep: memory,
            peer: peer(|usage| usage.rss_mb),
            unit: "MB",
            bar: Some(6.0),
        },
    ]))
}

struct Usage {
    cpu_ms: f64,
    rss_mb: f64,
}

/// CPU time and peak memory of a whole process, as the kernel counted them; `None` when it fails.
fn usage(built: &Built, program: &Path, args: &[&OsStr]) -> Option<Usage> {
    let output = Command::new(built.tools.join("usage"))
        .arg(program)
        .args(args)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.lines().last()?.split_whitespace();
    let status: i32 = words.next()?.parse().ok()?;
    let cpu: f64 = words.next()?.parse().ok()?;
    let rss: f64 = words.next()?.parse().ok()?;
    (status == 0).then_some(Usage {
        cpu_ms: cpu * 1e3,
        rss_mb: rss / 1024.0,
    })
}

fn compile_peer(built: &Built) -> Option<std::path::PathBuf> {
    let (source, binary) = (
        built.scratch.join("load_libbpf.c"),
        built.scratch.join("load_libbpf"),
    );
    std::fs::write(&source, LIBBPF).ok()?;
    let status = Command::new("cc")
        .arg("-O2")
        .arg(&source)
        .arg("-o")
        .arg(&binary)
        .arg("-lbpf")
        .status()
        .ok()?;
    (status.success() && Path::new(&binary).exists()).then_some(binary)
}
