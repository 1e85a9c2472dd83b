//! A rejection explained from the kernel's log alone: no program is at hand, only what the kernel wrote about it.
//!
//! Invariants: every cause is an instruction of the log's own path; nothing is said of registers that the log does not show.

use std::collections::BTreeMap;

use skep_diag::{Diagnostic, Place, SourceId, Sources, Span};

use crate::explain::catalogue;
use crate::explain::log::{Step, VerifierLog};
use crate::explain::{Explanation, register_in};

/// Events of a register's history that are shown at most.
const EVENTS_MAX: usize = 8;

/// Lines of all files that are kept at most; hostile line numbers end here.
const LINE_MAX: u32 = 1 << 20;

/// Explains what the log says; `name` and `text` are the log's own file.
pub fn explain(log: &VerifierLog, name: &str, text: &str) -> Explanation {
    let places = Places::of(log, name, text);
    let telling = log.telling();
    let entry = if telling.is_empty() && log.errno == Some(1) {
        &catalogue::PERMISSION
    } else {
        catalogue::by_lines(&telling)
    };
    let headline = match telling.last() {
        Some(line) => format!("{}: {line}", entry.title),
        None => entry.title.to_owned(),
    };
    let mut diagnostic = Diagnostic::error(entry.id, headline);
    let insn = log.insn();
    let step = insn.and_then(|insn| log.steps.iter().rev().find(|step| step.insn == insn));
    let mut because = Vec::new();
    match (step, insn) {
        (Some(step), _) => {
            let here = if entry.here.is_empty() {
                "refused here"
            } else {
                entry.here
            };
            diagnostic = diagnostic.at(places.place(step), format!("{here}: {}", step.text));
            let named = telling.iter().find_map(|line| register_in(line));
            if let Some(register) = named {
                because = history(log, step.insn, register);
            }
        }
        (None, Some(insn)) => {
            let program = log.program.clone().unwrap_or_else(|| "the program".into());
            diagnostic = diagnostic.at(Place::Insn { program, insn }, entry.here);
        }
        (None, None) => {}
    }
    // Where a leaked reference was taken.
    let taken = telling.iter().find_map(|line| {
        let digits = &line[line.find("alloc_insn=")? + "alloc_insn=".len()..];
        let end = digits
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(digits.len());
        digits[..end].parse::<usize>().ok()
    });
    if let Some(taken) = taken {
        because.push((taken, "the reference is taken here".into()));
    }
    because.sort();
    because.dedup();
    for (insn, text) in &because {
        if let Some(step) = log.steps.iter().rev().find(|step| step.insn == *insn) {
            diagnostic = diagnostic.and_at(places.place(step), text.as_str());
        }
    }
    for line in &log.fault {
        diagnostic = diagnostic.note(format!("the kernel says: {line}"));
    }
    if let Some(diagnosis) = &log.diagnosis {
        for (what, text) in [
            ("diagnosis", &diagnosis.title),
            ("reason", &diagnosis.reason),
            ("suggestion", &diagnosis.suggestion),
        ] {
            if !text.is_empty() {
                diagnostic = diagnostic.note(format!("the kernel's {what}: {text}"));
            }
        }
    }
    for line in &log.noise {
        diagnostic = diagnostic.note(format!("not the error: {line}"));
    }
    if !entry.help.is_empty() {
        diagnostic = diagnostic.help(entry.help);
    }
    Explanation {
        diagnostic,
        because,
        edit: None,
        sources: places.sources,
    }
}

/// Where the register's value came from, as far as the log shows it.
fn history(log: &VerifierLog, insn: usize, register: u8) -> Vec<(usize, String)> {
    let mut events = Vec::new();
    let Some(last) = log.steps.iter().rposition(|step| step.insn == insn) else {
        return events;
    };
    let mut register = register;
    for step in log.steps[..last].iter().rev() {
        if events.len() == EVENTS_MAX {
            break;
        }
        let shown = step
            .after
            .get(&register)
            .map_or_else(String::new, |value| format!(": {value}"));
        match written(&step.text, register) {
            Written::Not => {
                if step.text.starts_with("if ") && !shown.is_empty() && names(&step.text, register)
                {
                    events.push((
                        step.insn,
                        format!("after this comparison r{register} is{shown}"),
                    ));
                }
            }
            Written::Copied(from) => {
                events.push((
                    step.insn,
                    format!("r{register} is a copy of r{from}{shown}"),
                ));
                register = from;
            }
            Written::Changed => {
                events.push((step.insn, format!("r{register} is computed here{shown}")));
            }
            Written::Called(name) => {
                let text = if register == 0 {
                    format!("r0 is the result of {name}{shown}")
                } else {
                    format!("the call of {name} leaves nothing in r{register}")
                };
                events.push((step.insn, text));
                break;
            }
            Written::Loaded => {
                events.push((
                    step.insn,
                    format!("r{register} is read from memory here{shown}"),
                ));
                break;
            }
            Written::Set => {
                events.push((step.insn, format!("r{register} is set here{shown}")));
                break;
            }
        }
    }
    events
}

enum Written<'t> {
    Not,
    Copied(u8),
    Changed,
    Called(&'t str),
    Loaded,
    Set,
}

/// `6` of `r6` or `w6`.
fn register(text: &str) -> Option<u8> {
    let number: u8 = text.strip_prefix(['r', 'w'])?.parse().ok()?;
    (number <= 10).then_some(number)
}

fn names(text: &str, number: u8) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| register(word) == Some(number))
}

/// How an instruction in the kernel's form writes the register.
fn written(text: &str, number: u8) -> Written<'_> {
    if let Some(callee) = text.strip_prefix("call ") {
        // A function of the program itself is walked: its own steps follow.
        return if number <= 5 && !callee.starts_with("pc") {
            Written::Called(callee.trim())
        } else {
            Written::Not
        };
    }
    let mut parts = text.splitn(3, ' ');
    let (Some(target), Some(operator)) = (parts.next(), parts.next()) else {
        return Written::Not;
    };
    let source = parts.next().unwrap_or("").trim();
    if register(target) != Some(number) {
        return Written::Not;
    }
    match operator {
        "=" if source.starts_with('*') => Written::Loaded,
        "=" => match register(source) {
            Some(from) if target.starts_with('r') => Written::Copied(from),
            _ if source.starts_with('(') || names(source, number) => Written::Changed,
            _ => Written::Set,
        },
        _ if operator.ends_with('=') => Written::Changed,
        _ => Written::Not,
    }
}

/// What the diagnostic's places point into: the source lines that the log quotes, else the log itself.
struct Places {
    sources: Sources,
    files: BTreeMap<String, BTreeMap<u32, Span>>,
    log: SourceId,
    /// Where each line of the log starts, and its length.
    starts: Vec<(u32, u32)>,
}

impl Places {
    fn of(log: &VerifierLog, name: &str, text: &str) -> Places {
        let mut texts: BTreeMap<&str, BTreeMap<u32, &str>> = BTreeMap::new();
        for source in log.steps.iter().filter_map(|step| step.source.as_ref()) {
            if let Some((file, line)) = &source.file
                && (1..LINE_MAX).contains(line)
            {
                texts.entry(file).or_default().insert(*line, &source.text);
            }
        }
        let mut sources = Sources::new();
        let id = sources.add(name, text);
        let mut starts = Vec::new();
        let mut start = 0_usize;
        for line in text.split('\n') {
            let indent = line.len() - line.trim_start().len();
            let len = line.trim().len();
            starts.push(((start + indent) as u32, len as u32));
            start += line.len() + 1;
        }
        let mut files = BTreeMap::new();
        let mut room = LINE_MAX;
        for (file, lines) in texts {
            let last = lines.keys().next_back().copied().unwrap_or(0);
            let Some(left) = room.checked_sub(last) else {
                continue;
            };
            room = left;
            let mut text = String::new();
            let mut spans = BTreeMap::new();
            let mut ranges = Vec::new();
            for number in 1..=last {
                if let Some(line) = lines.get(&number) {
                    ranges.push((number, text.len() as u32, line.len() as u32));
                    text.push_str(line);
                }
                text.push('\n');
            }
            let source = sources.add(file, text);
            for (number, start, len) in ranges {
                let span = Span {
                    source,
                    start,
                    end: start + len,
                };
                spans.insert(number, span);
            }
            files.insert(file.to_owned(), spans);
        }
        Places {
            sources,
            files,
            log: id,
            starts,
        }
    }

    fn place(&self, step: &Step) -> Place {
        if let Some((file, line)) = step.source.as_ref().and_then(|source| source.file.as_ref())
            && let Some(span) = self.files.get(file).and_then(|spans| spans.get(line))
        {
            return Place::Span(*span);
        }
        let (start, len) = self
            .starts
            .get((step.at as usize).saturating_sub(1))
            .copied()
            .unwrap_or_default();
        Place::Span(Span {
            source: self.log,
            start,
            end: start + len,
        })
    }
}
