//! Runs the text tests under `filetests/`: each file holds its own directives and expectations.
//!
//! A file's first directive names the verb: `; test asm`, `; test error`, `; test verify` or `; test run on interp, kernel`. See
//! `filetests/README.md` for the format. With `BLESS=1` in the environment, expectations are rewritten from what the
//! first target answers.
//!
//! Invariants: a file without a verb or without a case fails; a target that is missing on this machine is named with the
//! reason, and every other target still runs.

pub mod asm;
pub mod directive;
pub mod pages;
pub mod random;
pub mod run;
pub mod verify;

use std::path::{Path, PathBuf};

/// What came of all files.
#[derive(Debug, Default)]
pub struct Report {
    /// Cases that held.
    pub passed: usize,
    /// What broke, each with file and line.
    pub failures: Vec<String>,
    /// What could not be tried here, with the reason.
    pub skipped: Vec<String>,
}

/// Runs the test files of `folder` that lie below its part `below`.
pub fn run_all(folder: &Path, below: &str, bless: bool) -> Report {
    let mut report = Report::default();
    let targets = run::targets(&mut report);
    for path in test_files(&folder.join(below)) {
        let shown = path
            .strip_prefix(folder)
            .unwrap_or(&path)
            .display()
            .to_string();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                report.failures.push(format!("{shown}: {error}"));
                continue;
            }
        };
        let file = match directive::File::parse(&text) {
            Ok(file) => file,
            Err(message) => {
                report.failures.push(format!("{shown}: {message}"));
                continue;
            }
        };
        let blessed = match file.verb.as_str() {
            "asm" => asm::round_trip(&shown, &text, &mut report),
            "error" => asm::errors(&shown, &text, &mut report),
            "verify" => verify::cases(&shown, &text, &mut report),
            "run" => run::cases(&shown, &text, &file, &targets, &mut report),
            other => {
                report
                    .failures
                    .push(format!("{shown}: no such verb: {other}"));
                None
            }
        };
        if let Some(blessed) = blessed.filter(|new| bless && *new != text)
            && let Err(error) = std::fs::write(&path, blessed)
        {
            report.failures.push(format!("{shown}: {error}"));
        }
    }
    report
}

/// The `.s` files below a folder, sorted.
fn test_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "s") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
