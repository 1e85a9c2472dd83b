//! Tables of verdicts: what a real kernel said about each program.
//!
//! Invariant: a row is kept as the table has it; columns are found by their names in the first line.

use std::path::Path;

use skep::spec::program::{AttachType, ProgramType};

/// What a kernel, or we, said about a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Accept,
    Reject,
    /// It never reached the verifier.
    Elsewhere,
}

/// One program on one kernel.
#[derive(Clone, Debug)]
pub struct Row {
    pub object: String,
    pub program: String,
    pub section: String,
    pub unprivileged: bool,
    pub program_type: String,
    pub insn_hash: String,
    pub verdict: Verdict,
    pub message: String,
    pub insns_processed: Option<u64>,
    pub verify_us: Option<u64>,
    /// The kernel's log held all messages that the program's annotations ask for.
    pub messages_hold: bool,
    pub return_expected: Option<i64>,
    pub run_ok: bool,
    /// The recording loader chose the kind of program itself, because the section does not say it.
    pub guessed: Option<(ProgramType, Option<AttachType>)>,
    /// The old suite: the number of the test.
    pub test: Option<u32>,
}

impl Row {
    /// `priv` or `unpriv`.
    pub fn mode(&self) -> &'static str {
        if self.unprivileged { "unpriv" } else { "priv" }
    }
}

/// A table and the kernel it was recorded on.
#[derive(Clone, Debug)]
pub struct Table {
    /// The file's name without its ending.
    pub name: String,
    pub kernel: String,
    pub rows: Vec<Row>,
}

impl Table {
    pub fn read(path: &Path) -> Result<Table, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let mut lines = records(&text).into_iter();
        let head = lines
            .next()
            .ok_or_else(|| format!("{}: empty", path.display()))?;
        let mut table = Table {
            name: path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
            kernel: String::new(),
            rows: Vec::new(),
        };
        let column = |name: &str| head.iter().position(|cell| cell == name);
        let is_suite = column("test").is_some();
        if !is_suite && column("object").is_none() {
            return Err(format!("{}: no column `object`", path.display()));
        }
        for line in lines {
            let cell = |name: &str| {
                column(name)
                    .and_then(|at| line.get(at))
                    .map_or("", String::as_str)
            };
            let number = |name: &str| cell(name).parse::<u64>().ok();
            if table.kernel.is_empty() {
                table.kernel = cell("kernel").into();
            }
            let skipped = is_suite && cell("result") == "SKIP";
            table.rows.push(Row {
                object: if is_suite {
                    "test_verifier".into()
                } else {
                    cell("object").into()
                },
                program: cell(if is_suite { "name" } else { "program" }).into(),
                section: cell("section").into(),
                unprivileged: cell("mode") == "unpriv",
                program_type: cell("prog_type").into(),
                insn_hash: cell("insn_hash").into(),
                verdict: match cell("verdict") {
                    "accept" if !skipped => Verdict::Accept,
                    "reject" if !skipped => Verdict::Reject,
                    _ => Verdict::Elsewhere,
                },
                message: cell("message").into(),
                insns_processed: number("insns_processed"),
                verify_us: number("verify_us"),
                messages_hold: cell("messages_match") == "ok",
                return_expected: cell("retval_expected").parse().ok(),
                run_ok: cell("run_ok") == "yes",
                guessed: ProgramType::by_name(cell("prog_type"))
                    .filter(|_| cell("type_guessed") == "yes")
                    .map(|kind| (kind, AttachType::by_name(cell("attach_type")))),
                test: number("test").and_then(|n| u32::try_from(n).ok()),
            });
        }
        Ok(table)
    }
}

/// Comma-separated cells; quoted ones may hold commas, line feeds and doubled quotes.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut line = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                line.push(std::mem::take(&mut cell));
                all.push(std::mem::take(&mut line));
            }
            '\r' if !quoted => {}
            c => cell.push(c),
        }
    }
    if !cell.is_empty() || !line.is_empty() {
        line.push(cell);
        all.push(line);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::records;

    #[test]
    fn cells_may_hold_commas_and_quotes() {
        let read = records("a,b\n\"x,\"\"y\",2\n");
        assert_eq!(read, [["a", "b"], ["x,\"y", "2"]]);
    }
}
