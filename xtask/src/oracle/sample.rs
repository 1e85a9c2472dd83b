//! The fixed sample for CI: Debian's package of the kernel's sources holds selftests whose annotations say the verdict.
//!
//! Invariants: nothing of those sources is kept in this repository; they are unpacked and compiled below `target/`. What the
//! machine lacks is said, and nothing fails for it.

use std::path::{Path, PathBuf};
use std::process::Command;

use skep::btf::Btf;
use skep::btf::format_c;

use super::annotations::Annotations;
use super::subjects::parse;
use super::table::{Row, Table, Verdict};

/// Debian's package, and the series whose rules its tests know.
pub const PACKAGE: &str = "linux-source-6.12";
const SERIES: &str = "6.12";
const TYPES: &str = "/sys/kernel/btf/vmlinux";
const COMPILER: &str = "clang-19";

/// The objects and what their annotations ask for; or what is missing here.
pub fn table(root: &Path) -> Result<(Table, PathBuf), String> {
    let objects = objects(root)?;
    let mut rows = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&objects)
        .map_err(|error| format!("{}: {error}", objects.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "o"))
        .collect();
    files.sort();
    for file in files {
        rows_of(&file, &mut rows);
    }
    let table = Table {
        name: format!("annotations of {PACKAGE}"),
        kernel: SERIES.into(),
        rows,
    };
    Ok((table, objects))
}

/// Tables kept here of objects that are kept here too, or that Debian packages; and where those lie.
pub fn kept(root: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let folder = root.join("conformance/verifier-oracle");
    let tables = ["cilium-ebpf.csv", "libxdp.csv"].map(|name| folder.join(name));
    let objects = [
        root.join("conformance/cilium-ebpf/testdata"),
        PathBuf::from("/usr/lib/x86_64-linux-gnu/bpf"),
        PathBuf::from("/usr/lib/aarch64-linux-gnu/bpf"),
    ];
    (tables.into(), objects.into())
}

fn rows_of(file: &Path, rows: &mut Vec<Row>) {
    let name = file.file_name().map(|name| name.to_string_lossy());
    let (Some(name), Ok(object)) = (name, parse(file)) else {
        return;
    };
    let Some(btf) = &object.btf else { return };
    for program in &object.programs {
        let annotations = Annotations::of(btf, &program.name);
        if !annotations.judged || annotations.elsewhere {
            continue;
        }
        for unprivileged in [false, true] {
            if unprivileged && !annotations.asks_unprivileged {
                continue;
            }
            rows.push(Row {
                object: name.clone().into_owned(),
                program: program.name.clone(),
                section: program.section.clone(),
                unprivileged,
                program_type: program
                    .program_type
                    .map_or(String::new(), |kind| kind.name().into()),
                insn_hash: String::new(),
                verdict: if annotations.mode(unprivileged).fails {
                    Verdict::Reject
                } else {
                    Verdict::Accept
                },
                message: String::new(),
                insns_processed: None,
                verify_us: None,
                messages_hold: true,
                return_expected: annotations.return_expected,
                run_ok: true,
                guessed: None,
                test: None,
            });
        }
    }
}

/// The folder of compiled tests, made if it is not there yet.
fn objects(root: &Path) -> Result<PathBuf, String> {
    let archive = PathBuf::from(format!("/usr/src/{PACKAGE}.tar.xz"));
    for (what, path) in [
        (PACKAGE, archive.as_path()),
        (COMPILER, Path::new("/usr/bin/clang-19")),
        ("types of the running kernel", Path::new(TYPES)),
    ] {
        if !path.exists() {
            return Err(format!("{what} ({}) is not here", path.display()));
        }
    }
    let folder = root.join("target").join("oracle-sample");
    let done = folder.join("objects");
    if done.join("complete").exists() {
        return Ok(done);
    }
    let made = |path: &Path| {
        std::fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let sources = folder.join("sources");
    made(&sources)?;
    made(&done)?;
    step(
        Command::new("tar")
            .arg("xJf")
            .arg(&archive)
            .args(["--strip-components=1", "--wildcards", "-C"])
            .arg(&sources)
            .args([
                "*/tools/testing/selftests/bpf/progs/verifier_*.c",
                "*/tools/testing/selftests/bpf/progs/*.h",
                "*/tools/testing/selftests/bpf/*.h",
                "*/tools/lib/bpf/*.h",
                "*/tools/include/*",
                "*/include/uapi/linux/bpf.h",
                "*/scripts/bpf_doc.py",
            ]),
        "unpacking the sources",
    )?;
    let include = folder.join("include");
    made(&include.join("bpf"))?;
    headers(&sources, &include)?;
    compile(&sources, &include, &done)?;
    std::fs::write(done.join("complete"), "").map_err(|error| error.to_string())?;
    Ok(done)
}

/// `vmlinux.h` of the running kernel, and the library's headers with the generated list of helpers.
fn headers(sources: &Path, include: &Path) -> Result<(), String> {
    let types = std::fs::read(TYPES).map_err(|error| format!("{TYPES}: {error}"))?;
    let btf = Btf::parse(types).map_err(|error| format!("{TYPES}: {error}"))?;
    let text = format_c::dump(&btf).map_err(|error| error.to_string())?;
    let write = |path: PathBuf, bytes: &[u8]| {
        std::fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))
    };
    write(include.join("vmlinux.h"), text.as_bytes())?;
    let library = sources.join("tools/lib/bpf");
    let entries = std::fs::read_dir(&library).map_err(|error| error.to_string())?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default();
        std::fs::copy(&path, include.join("bpf").join(name)).map_err(|error| error.to_string())?;
    }
    let made = Command::new("python3")
        .arg(sources.join("scripts/bpf_doc.py"))
        .args(["--header", "--file"])
        .arg(sources.join("tools/include/uapi/linux/bpf.h"))
        .output()
        .map_err(|error| format!("python3: {error}"))?;
    if !made.status.success() {
        return Err("the list of helpers could not be generated".into());
    }
    write(include.join("bpf/bpf_helper_defs.h"), &made.stdout)
}

fn compile(sources: &Path, include: &Path, out: &Path) -> Result<(), String> {
    let tests = sources.join("tools/testing/selftests/bpf");
    let entries = std::fs::read_dir(tests.join("progs")).map_err(|error| error.to_string())?;
    let files = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "c"));
    let files: Vec<PathBuf> = files.collect();
    let parts = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for part in 0..parts {
            let (files, tests) = (&files, &tests);
            scope.spawn(move || {
                for file in files.iter().skip(part).step_by(parts) {
                    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
                    // Files that need another compiler or newer types are left out.
                    let _ = Command::new(COMPILER)
                        .args([
                            "-g",
                            "-O2",
                            "--target=bpfel",
                            "-mcpu=v3",
                            "-std=gnu11",
                            "-w",
                        ])
                        .args(["-fno-strict-aliasing", "-D__TARGET_ARCH_x86"])
                        .arg("-DENABLE_ATOMICS_TESTS")
                        .arg("-I")
                        .arg(include)
                        .arg("-I")
                        .arg(tests)
                        .arg("-I")
                        .arg(tests.join("progs"))
                        .arg("-I")
                        .arg(sources.join("tools/include"))
                        .arg("-I")
                        .arg(sources.join("tools/include/uapi"))
                        .args(["-idirafter", "/usr/include/x86_64-linux-gnu"])
                        .args(["-idirafter", "/usr/include", "-c"])
                        .arg(file)
                        .arg("-o")
                        .arg(out.join(format!("{stem}.bpf.o")))
                        .output();
                }
            });
        }
    });
    Ok(())
}

fn step(command: &mut Command, what: &str) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{what}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{what}: {}",
        words.lines().next().unwrap_or("failed")
    ))
}
