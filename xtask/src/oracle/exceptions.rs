//! Differences that are allowed, each with its reason (`conformance/verifier-oracle/exceptions.txt`).
//!
//! Invariant: an entry names a kernel series, an object, a program and a mode; `*` stands for any. A reason is never empty.

use std::path::Path;

use super::table::Row;

struct Entry {
    kernel: String,
    object: String,
    program: String,
    mode: String,
    reason: String,
}

/// The file's entries.
#[derive(Default)]
pub struct Exceptions(Vec<Entry>);

impl Exceptions {
    /// `kernel object program mode reason…`, a line each; `#` begins a comment.
    pub fn read(path: &Path) -> Result<Exceptions, String> {
        let Ok(text) = std::fs::read_to_string(path) else {
            return Ok(Exceptions::default());
        };
        let mut entries = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.splitn(5, char::is_whitespace);
            let mut word = || words.next().map(str::trim).filter(|word| !word.is_empty());
            match (word(), word(), word(), word(), word()) {
                (Some(kernel), Some(object), Some(program), Some(mode), Some(reason)) => {
                    entries.push(Entry {
                        kernel: kernel.into(),
                        object: object.into(),
                        program: program.into(),
                        mode: mode.into(),
                        reason: reason.into(),
                    });
                }
                _ => {
                    return Err(format!(
                        "{}:{}: kernel, object, program, mode and reason are wanted",
                        path.display(),
                        number + 1
                    ));
                }
            }
        }
        Ok(Exceptions(entries))
    }

    /// Why this row may differ on that kernel.
    pub fn reason(&self, kernel: &str, row: &Row) -> Option<&str> {
        let test = row.test.map(|test| format!("#{test}"));
        let matches = |wanted: &str, is: &str| wanted == "*" || wanted == is;
        self.0
            .iter()
            .find(|entry| {
                (entry.kernel == "*" || kernel.starts_with(&entry.kernel))
                    && matches(&entry.object, &row.object)
                    && (matches(&entry.program, &row.program)
                        || test.as_ref() == Some(&entry.program))
                    && matches(&entry.mode, row.mode())
            })
            .map(|entry| entry.reason.as_str())
    }
}
