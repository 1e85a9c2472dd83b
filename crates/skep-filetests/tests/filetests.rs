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
