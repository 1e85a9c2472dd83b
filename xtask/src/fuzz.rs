//! Runs the fuzz targets under fuzz/ for a bounded time each.

use std::path::Path;
use std::process::Command;

/// One target a parser; the folder of the same name under fuzz/seeds starts it off.
const TARGETS: &[&str] = &["elf", "btf", "btf_ext", "asm", "pcap", "program", "verify"];

/// Runs each target; an input that crashes is kept by the fuzzer and named in its output.
pub fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let mut seconds = "60".to_owned();
    let mut only = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if arg == "--seconds" {
            seconds = rest.next().cloned().ok_or("--seconds takes a number")?;
        } else {
            only.push(arg.as_str());
        }
    }
    let folder = root.join("fuzz");
    for target in TARGETS
        .iter()
        .filter(|target| only.is_empty() || only.contains(target))
    {
        println!("== fuzz {target} for {seconds} s");
        for kind in ["corpus", "seeds"] {
            let path = folder.join(kind).join(target);
            std::fs::create_dir_all(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        // Coverage instrumentation through stable flags, so that the one installed toolchain suffices.
        let flags = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let triple = host_triple()?;
        let status = Command::new(cargo)
            .args([
                "run",
                "--release",
                "--quiet",
                "--target",
                &triple,
                "--bin",
                target,
                "--",
            ])
            .arg(format!("corpus/{target}"))
            .arg(format!("seeds/{target}"))
            .args([
                &format!("-max_total_time={seconds}"),
                "-rss_limit_mb=1024",
                "-timeout=10",
                "-print_final_stats=1",
            ])
            .env("RUSTFLAGS", flags)
            .current_dir(&folder)
            .status()
            .map_err(|error| format!("fuzz {target}: {error}"))?;
        if !status.success() {
            return Err(format!(
                "fuzz {target}: an input broke it; see fuzz/ for the file that the fuzzer kept"
            ));
        }
    }
    Ok(())
}

fn host_triple() -> Result<String, String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .map_err(|error| format!("rustc: {error}"))?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .ok_or_else(|| "rustc -vV names no host".to_owned())
}
