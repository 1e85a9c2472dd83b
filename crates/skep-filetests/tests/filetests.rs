//! All text tests, as one test: what breaks is listed with file and line.

use std::path::Path;

/// Runs the files of one folder, which hold at least so many cases.
fn files(below: &str, cases: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filetests");
    let report = skep_filetests::run_all(&root, below, std::env::var_os("BLESS").is_some());
    for line in &report.skipped {
        println!("skipped: {line}");
    }
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
    assert!(report.passed >= cases, "only {} cases ran", report.passed);
}

#[test]
fn files_of_asm() {
    files("asm", 230);
}

#[test]
fn files_of_run() {
    files("run", 150);
}

#[test]
fn files_of_verify() {
    files("verify", 50);
}

#[test]
fn every_folder_is_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filetests");
    let mut folders: Vec<_> = std::fs::read_dir(&root)
        .expect("filetests")
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name())
        .collect();
    folders.sort();
    assert_eq!(folders, ["asm", "run", "verify"]);
}

#[test]
fn every_opcode_stands_in_a_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filetests/asm");
    let mut seen = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(&folder).expect("filetests/asm").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a text file");
        for line in text.lines() {
            let code = line.split(';').next().unwrap_or_default();
            let insns = skep_spec::asm::assemble_insns(code).unwrap_or_default();
            seen.extend(
                insns
                    .first()
                    .and_then(|insn| skep_spec::opcode::decode(*insn))
                    .map(|row| row.name),
            );
        }
    }
    let missing: Vec<_> = skep_spec::opcode::all()
        .iter()
        .map(|row| row.name)
        .filter(|name| !seen.contains(name))
        .collect();
    assert!(
        missing.is_empty(),
        "no line under filetests/asm has {missing:?}"
    );
}
