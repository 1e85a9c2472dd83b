//! From process start to a loaded CO-RE object: CPU time and peak memory, beside libbpf where its headers are installed.

use std::path::Path;
use std::process::Command;

use super::{Built, Row, least};

const TRIES: usize = 15;
const CORE: &str = include_str!("core.bpf.c");
const LIBBPF: &str = include_str!("load_libbpf.c");

pub(super) fn run(built: &Built) -> Result<Vec<Row>, String> {
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
        return Err("clang-19 and libbpf's headers are needed to compile the CO-RE object".to_owned());
    }
    let libbpf = compile_peer(built);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TRIES {
        // `inspect --load` is the load path of `run`, without a child to trace.
        ours.push(usage(Command::new(&built.skep).args(["run", "--load-only"]).arg(&object)));
        if let Some(peer) = &libbpf {
            theirs.push(usage(Command::new(peer).arg(&object)));
        }
    }
    let pick = |all: &[Option<Usage>], get: fn(&Usage) -> f64| least(all.iter().map(|usage| usage.as_ref().map(get)));
    let cpu = pick(&ours, |usage| usage.cpu_ms).ok_or("skep could not load the CO-RE object")?;
    let memory = pick(&ours, |usage| usage.rss_mb).ok_or("skep could not load the CO-RE object")?;
    let peer = |get: fn(&Usage) -> f64| pick(&theirs, get).map(|value| ("libbpf (kernel)".to_owned(), value));
    Ok(vec![
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
    ])
}

struct Usage {
    cpu_ms: f64,
    rss_mb: f64,
}

/// CPU time and peak memory of a whole process, as the bench's helper measures them; `None` when it fails.
fn usage(command: &mut Command) -> Option<Usage> {
    let program = command.get_program().to_owned();
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    // `time` of the shell counts in 10 ms; the helper reads the kernel's own count of the child.
    let output = Command::new("python3")
        .args(["-c", MEASURE])
        .arg(program)
        .args(args)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.lines().last()?.split_whitespace();
    let (status, cpu, rss): (i32, f64, f64) =
        (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (status == 0).then_some(Usage { cpu_ms: cpu * 1e3, rss_mb: rss / 1024.0 })
}

/// Runs argv, prints exit status, user + system seconds and peak KiB of that child alone.
const MEASURE: &str = "import os,sys
pid=os.posix_spawn(sys.argv[1],sys.argv[1:],os.environ,file_actions=[(os.POSIX_SPAWN_OPEN,1,'/dev/null',os.O_WRONLY,0)])
_,s,u=os.wait4(pid,0)
print(os.waitstatus_to_exitcode(s),u.ru_utime+u.ru_stime,u.ru_maxrss)";

fn compile_peer(built: &Built) -> Option<std::path::PathBuf> {
    let (source, binary) = (built.scratch.join("load_libbpf.c"), built.scratch.join("load_libbpf"));
    std::fs::write(&source, LIBBPF).ok()?;
    let status = Command::new("cc").arg("-O2").arg(&source).arg("-o").arg(&binary).arg("-lbpf").status().ok()?;
    (status.success() && Path::new(&binary).exists()).then_some(binary)
}
