//! A kernel's verifier log, read back: the fault, the path to it, the source lines and what the registers held.
//!
//! Invariants: every text is accepted, also one that is cut or no log at all; what is not understood is left out. The steps
//! of a log are those of the path that was refused: what a branch put aside is walked later and starts where its jump stands.

use std::collections::BTreeMap;

use crate::explain::catalogue;

/// One load's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifierLog {
    /// The program, where the loader names it.
    pub program: Option<String>,
    /// The kernel's last words, by line; empty if the program was accepted or the log was cut.
    pub fault: Vec<String>,
    /// What looks like an error and is none.
    pub noise: Vec<String>,
    /// The path to the fault.
    pub steps: Vec<Step>,
    /// What 7.3 and later add.
    pub diagnosis: Option<Diagnosis>,
    /// `processed N insns`: there, the log is whole.
    pub processed: Option<u64>,
    /// What the loader says of the system call: a positive errno.
    pub errno: Option<i32>,
}

/// One instruction of the path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Its slot.
    pub insn: usize,
    /// In the kernel's form, without its number and code.
    pub text: String,
    /// The line of the given text, from 1.
    pub at: u32,
    /// The source line that it belongs to.
    pub source: Option<SourceLine>,
    /// What the log shows of registers after it, newest value last.
    pub after: BTreeMap<u8, String>,
}

/// A source line as the log shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceLine {
    pub text: String,
    /// File and line, since Linux 6.10.
    pub file: Option<(String, u32)>,
}

/// The structured part of newer logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// `Memory Safety: Access outside bounds`.
    pub title: String,
    pub reason: String,
    pub suggestion: String,
}

impl VerifierLog {
    /// Whether there is anything of a verifier in it.
    pub fn is_empty(&self) -> bool {
        self.fault.is_empty()
            && self.steps.is_empty()
            && self.diagnosis.is_none()
            && self.processed.is_none()
            && self.errno.is_none()
    }

    /// What the kinds of rejection are told by: the fault, else what the newer form says.
    pub fn telling(&self) -> Vec<String> {
        match &self.diagnosis {
            Some(diagnosis) if self.fault.is_empty() => [&diagnosis.reason, &diagnosis.title]
                .into_iter()
                .filter(|line| !line.is_empty())
                .cloned()
                .collect(),
            _ => self.fault.clone(),
        }
    }

    /// The refused instruction: the one that the fault names, else the last of the path.
    pub fn insn(&self) -> Option<usize> {
        let named = self
            .fault
            .iter()
            .find_map(|line| number_after(line, "at insn "));
        let first = self.fault.iter().find_map(|line| {
            [
                "unreachable insn ",
                "back-edge from insn ",
                "jump out of range from insn ",
            ]
            .iter()
            .find_map(|start| number_after(line, start))
        });
        first
            .or(named)
            .or_else(|| self.steps.last().map(|step| step.insn))
    }
}

/// `12` of `text` after `start`.
fn number_after(text: &str, start: &str) -> Option<usize> {
    let rest = &text[text.find(start)? + start.len()..];
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Reads every log that the text holds: one for each program that a loader names or that starts over.
pub fn parse(text: &str) -> Vec<VerifierLog> {
    let mut reader = Reader::default();
    for (index, line) in text.lines().enumerate() {
        reader.line(line, u32::try_from(index + 1).unwrap_or(u32::MAX));
    }
    reader.end();
    reader.done
}

/// Part of a sectioned log that the reader is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Section {
    #[default]
    None,
    Reason,
    Suggestion,
    /// `At`, `Causal path` and what later kernels may add.
    Other,
}

#[derive(Debug, Default)]
struct Reader {
    done: Vec<VerifierLog>,
    log: VerifierLog,
    source: Option<SourceLine>,
    /// Messages since the last instruction.
    messages: Vec<String>,
    /// Messages before it, the last of each run: the fault if there is no later one.
    earlier: Vec<String>,
    section: Section,
    /// The verdict stands: only another log can follow.
    closed: bool,
}

/// Lines that people quote instead of the error.
const NOISE: &[&[&str]] = &[
    &["btf_vmlinux is malformed"],
    &["reg type unsupported for arg#"],
    &["Global function ", "doesn't return scalar"],
    &["arg#", "reference type(", "size cannot be determined"],
    &["kernel btf is not available"],
    &["BTF debug data section"],
    &["elf: skipping"],
];

/// Lines of the walk itself, which say nothing about the fault.
const TRACE: &[&str] = &[
    "mark_precise:",
    "last_idx ",
    "regs=",
    "parent didn't have regs",
    "parent already had regs",
    "func#",
    "Validating ",
    "Func#",
    "caller:",
    "callee:",
    "caller frame",
    "returning from callee:",
    "returning from callback:",
    "to caller at ",
    "Live regs before insn:",
    "propagating ",
    "verification time ",
    "stack depth ",
    "max_states_per_insn ",
    "insns processed",
    "REG INVARIANTS VIOLATION",
    "stack_depth",
    "safe:",
    "processed_insns",
    "hit eager",
    "hit the same",
    "subprog ",
    "insn_set",
    "cur state:",
    "old state:",
];

impl Reader {
    fn line(&mut self, raw: &str, at: u32) {
        let mut line = raw.trim();
        if line.is_empty() {
            return;
        }
        if self.wrapper(line) {
            return;
        }
        for start in ["Verifier output:", "verifier log:", "Verifier error:"] {
            if let Some(rest) = line.strip_prefix(start) {
                line = rest.trim();
            }
        }
        if line.is_empty() {
            return;
        }
        if let Some(title) = after(line, "Verification failed:") {
            self.log.diagnosis = Some(Diagnosis {
                title: title.trim().to_owned(),
                ..Diagnosis::default()
            });
            self.section = Section::Other;
            return;
        }
        if let Some(rest) = line.strip_prefix("processed ")
            && rest.contains("insns") | rest.contains("insn ")
        {
            self.log.processed = rest
                .split(|c: char| !c.is_ascii_digit())
                .next()
                .and_then(|number| number.parse().ok());
            self.close();
            return;
        }
        if self.section != Section::None && self.sectioned(line) {
            return;
        }
        if let Some((insn, text, wrapped)) = instruction(line) {
            // One line may hold all of it: `load program: permission denied: 7: (79) r1 = …: R0 invalid …`.
            if wrapped && let Some((text, message)) = text.split_once(": ") {
                self.loader(line);
                self.step(insn, text, at);
                let message = message.split(" (").next().unwrap_or(message);
                self.message(message.trim());
                return;
            }
            self.step(insn, text, at);
            return;
        }
        if let Some(source) = line.strip_prefix(';') {
            self.source = Some(source_line(source.trim()));
            return;
        }
        if let Some((from, rest)) = branch(line) {
            if let Some(found) = self.log.steps.iter().rposition(|step| step.insn == from) {
                self.log.steps.truncate(found + 1);
            }
            self.earlier.clear();
            self.messages.clear();
            self.state(rest);
            return;
        }
        if self.state(line) || liveness(line) || TRACE.iter().any(|start| line.starts_with(start)) {
            return;
        }
        if NOISE.iter().any(|parts| has(line, parts)) {
            self.log.noise.push(line.to_owned());
            return;
        }
        self.message(line);
    }

    /// Lines of loaders around a log.
    fn wrapper(&mut self, line: &str) -> bool {
        let begins = line.contains("BEGIN PROG LOAD LOG");
        let ends = line.contains("END PROG LOAD LOG");
        if let Some(name) = after(line, "prog '").and_then(|rest| rest.split('\'').next()) {
            let again = begins && !self.log.steps.is_empty();
            if again || self.log.program.as_deref() != Some(name) {
                self.end();
                self.log.program = Some(name.to_owned());
            }
            if let Some(errno) = errno_of(line) {
                self.log.errno = Some(errno);
            }
            return true;
        }
        if begins {
            if !self.log.steps.is_empty() || self.log.processed.is_some() {
                self.end();
            }
            return true;
        }
        if ends {
            self.close();
            return true;
        }
        if line.starts_with("libbpf:") {
            return true;
        }
        let loader = [
            "load program:",
            "BPF_PROG_LOAD",
            "bpf(BPF_PROG_LOAD",
            "Failed to load program",
            "failed to load",
            "Error: ",
        ]
        .iter()
        .any(|part| line.contains(part));
        if loader && instruction(line).is_none() {
            self.loader(line);
            // The end of the log may follow on the same line.
            let cause = [
                "permission denied: ",
                "invalid argument: ",
                "argument list too long: ",
            ]
            .iter()
            .find_map(|words| after(line, words));
            if let Some(cause) = cause {
                let end = cause.rfind(" (").unwrap_or(cause.len());
                let omitted = cause[end..].contains("omitted");
                self.message(if omitted { &cause[..end] } else { cause });
            }
            return true;
        }
        false
    }

    /// `program tail: load program: permission denied:` and the like.
    fn loader(&mut self, line: &str) {
        if let Some(errno) = errno_of(line) {
            self.log.errno = Some(errno);
        }
        if let Some(name) = line
            .strip_prefix("program ")
            .or_else(|| after(line, ": program "))
            .and_then(|rest| rest.split(':').next())
            && self.log.steps.is_empty()
        {
            self.log
                .program
                .get_or_insert_with(|| name.trim().to_owned());
        }
    }

    /// A line within the sectioned form; `false` where the form has ended.
    fn sectioned(&mut self, line: &str) -> bool {
        let heads = [
            ("Reason", Section::Reason),
            ("Suggestion", Section::Suggestion),
            ("At", Section::Other),
            ("Causal path", Section::Other),
        ];
        for (head, section) in heads {
            if let Some(rest) = line.strip_prefix(head)
                && let Some(rest) = rest.strip_prefix(':').or(rest.is_empty().then_some(""))
            {
                self.section = section;
                self.sentence(rest.trim());
                return true;
            }
        }
        if self.section != Section::Other {
            self.sentence(line);
        }
        true
    }

    fn sentence(&mut self, line: &str) {
        let diagnosis = self.log.diagnosis.get_or_insert_default();
        let text = match self.section {
            Section::Reason => &mut diagnosis.reason,
            Section::Suggestion => &mut diagnosis.suggestion,
            _ => return,
        };
        if !text.is_empty() && !line.is_empty() {
            text.push(' ');
        }
        text.push_str(line);
    }

    fn step(&mut self, insn: usize, text: &str, at: u32) {
        // A walk that starts over without a word of its loader.
        if self.closed {
            self.end();
        }
        self.earlier = std::mem::take(&mut self.messages);
        let (text, states) = match text.split_once(';') {
            Some((text, states)) => (text.trim(), states.trim()),
            None => (text.trim(), ""),
        };
        self.log.steps.push(Step {
            insn,
            text: text.to_owned(),
            at,
            source: self.source.clone(),
            after: BTreeMap::new(),
        });
        self.state(states);
    }

    fn message(&mut self, line: &str) {
        if !self.closed && !line.is_empty() {
            self.messages.push(line.to_owned());
        }
    }

    /// What a line shows of registers; `false` if it is no such line.
    fn state(&mut self, line: &str) -> bool {
        let line = match line.split_once(':') {
            Some((number, rest))
                if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) =>
            {
                rest
            }
            _ => line,
        };
        let line = line.trim_start();
        let line = match line.strip_prefix("frame") {
            Some(rest) => rest
                .split_once(':')
                .filter(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()))
                .map_or(line, |(_, rest)| rest.trim_start()),
            None => line,
        };
        let mut any = false;
        for word in words(line) {
            let Some((name, value)) = word.split_once('=') else {
                return any;
            };
            let Some(name) = name.strip_prefix('R') else {
                if name.starts_with("fp") || name.starts_with("refs") || name.starts_with("cb") {
                    any = true;
                    continue;
                }
                return any;
            };
            let name = name.split('_').next().unwrap_or(name);
            let Ok(number) = name.parse::<u8>() else {
                return any;
            };
            any = true;
            if let Some(step) = self.log.steps.last_mut() {
                step.after.insert(number, value.to_owned());
            }
        }
        any
    }

    /// The log says no more.
    fn close(&mut self) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.section = Section::None;
        let mut fault = std::mem::take(&mut self.messages);
        // A verdict on the whole program comes before any instruction, or after a path that was fine.
        if fault.is_empty() && self.log.steps.is_empty() {
            fault = std::mem::take(&mut self.earlier);
        }
        self.log.fault = fault;
    }

    fn end(&mut self) {
        self.close();
        let mut log = std::mem::take(&mut self.log);
        // Words without anything of a log around them count only if they are the kernel's.
        let bare = VerifierLog {
            fault: Vec::new(),
            noise: Vec::new(),
            program: None,
            ..log.clone()
        };
        if bare.is_empty() && catalogue::by_lines(&log.fault).id == catalogue::OTHER.id {
            log.fault.clear();
        }
        if !log.is_empty() {
            self.done.push(log);
        }
        *self = Reader {
            done: std::mem::take(&mut self.done),
            ..Reader::default()
        };
    }
}

/// Whether `line` has the parts in that order.
fn has(line: &str, parts: &[&str]) -> bool {
    let mut rest = line;
    parts.iter().all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

fn after<'t>(line: &'t str, start: &str) -> Option<&'t str> {
    Some(&line[line.find(start)? + start.len()..])
}

/// The errno that a loader's line names, by number or in words.
fn errno_of(line: &str) -> Option<i32> {
    let lower = line.to_ascii_lowercase();
    let named = [
        ("operation not permitted", 1),
        ("argument list too long", 7),
        ("permission denied", 13),
        ("invalid argument", 22),
    ];
    named
        .iter()
        .find_map(|(text, errno)| lower.contains(text).then_some(*errno))
        .or_else(|| {
            let digits = after(line, "failed to load: -")?;
            digits.trim().parse().ok()
        })
}

/// `7: (79) r1 = *(u64 *)(r0 +0)`: its slot, its text, and whether something stands before it.
fn instruction(line: &str) -> Option<(usize, &str, bool)> {
    let mut from = 0;
    while let Some(found) = line[from..].find(": (") {
        let at = from + found;
        from = at + 3;
        let code = line.get(at + 3..at + 5)?;
        if line.get(at + 5..at + 7) != Some(") ") || !code.bytes().all(|b| b.is_ascii_hexdigit()) {
            continue;
        }
        let digits = line[..at]
            .bytes()
            .rev()
            .take_while(u8::is_ascii_digit)
            .count();
        let Ok(insn) = line[at - digits..at].parse() else {
            continue;
        };
        return Some((insn, &line[at + 7..], digits != at));
    }
    None
}

/// `from 5 to 7: R0=…`: where the branch starts, and the state there.
fn branch(line: &str) -> Option<(usize, &str)> {
    let rest = line.strip_prefix("from ")?;
    let (from, rest) = rest.split_once(" to ")?;
    let (to, rest) = rest.split_once(':')?;
    to.split(' ').next()?.parse::<usize>().ok()?;
    Some((from.parse().ok()?, rest))
}

/// `code @ file.c:12`, or the code alone.
fn source_line(text: &str) -> SourceLine {
    if let Some((code, place)) = text.rsplit_once(" @ ")
        && let Some((file, line)) = place.rsplit_once(':')
        && let Ok(line) = line.trim().parse()
    {
        return SourceLine {
            text: code.trim().to_owned(),
            file: Some((file.trim().to_owned(), line)),
        };
    }
    SourceLine {
        text: text.to_owned(),
        file: None,
    }
}

/// `3: .1........ (b7) r0 = 2`: which registers matter before an instruction.
fn liveness(line: &str) -> bool {
    line.split_once(": ").is_some_and(|(number, rest)| {
        let live = rest.split(' ').next().unwrap_or(rest);
        !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
            && live.len() >= 10
            && live.bytes().all(|b| b == b'.' || b.is_ascii_digit())
    })
}

/// Words, with what is in parentheses kept together.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let mut depth = 0_u32;
        let end = rest
            .find(|c: char| {
                match c {
                    '(' => depth += 1,
                    ')' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                depth == 0 && c.is_whitespace()
            })
            .unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        rest = tail;
        (!word.is_empty()).then_some(word)
    })
}

#[cfg(test)]
mod tests;
