//! All text tests, as one test: what breaks is listed with file and line.

use std::path::Path;

#[test]
fn filetests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filetests");
    let report = skep_filetests::run_all(&folder, std::env::var_os("BLESS").is_some());
    for line in &report.skipped {
        eprintln!("skipped: {line}");
    }
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
    assert!(report.passed >= 200, "only {} cases ran", report.passed);
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
