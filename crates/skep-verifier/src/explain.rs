//! Why a program was refused, for people: where, what led to it, and what to do about it.
//!
//! Invariants: the kernel's own wording is always there; every cause points at an instruction of the path that was
//! refused; a suggested edit is marked as verified only if the changed program was verified.

use skep_diag::{Diagnostic, Sources};

use crate::fault::Fault;
use crate::input::Input;
use crate::state::State;
use crate::state::reg::Reg;
use crate::verified::Rejection;

pub mod calls;
pub mod catalogue;
pub mod edit;
pub mod from_log;
pub mod history;
pub mod log;
pub mod rules;
pub mod source;
pub mod trail;

use edit::Edit;
use history::{Event, Holder};
use source::Lines;
use trail::Point;

/// A rejection, explained.
#[derive(Debug)]
pub struct Explanation {
    /// Headline, places with their history, notes, one help.
    pub diagnostic: Diagnostic,
    /// What the diagnostic's places point into.
    pub sources: Sources,
    /// What led to it, from the earliest: instruction and sentence.
    pub because: Vec<(usize, String)>,
    /// A change that was suggested, and whether the program verifies with it.
    pub edit: Option<Suggestion>,
}

/// A suggested change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    pub edit: Edit,
    /// In words.
    pub text: String,
    pub outcome: Outcome,
}

/// What verifying the changed program gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It verifies.
    Verifies,
    /// It gets past this error and meets another.
    NextError,
}

/// What a rule finds out about one fault.
#[derive(Debug, Default)]
pub struct Findings {
    /// What led to it, in any order.
    pub because: Vec<(usize, String)>,
    /// What is at the fault's own place.
    pub here: String,
    pub notes: Vec<String>,
    pub help: Option<String>,
    /// Changes to try, the best first, each in words.
    pub edits: Vec<(Edit, String)>,
}

/// All that a rule may look at.
pub struct Case<'i> {
    pub input: &'i Input,
    pub fault: &'i Fault,
    /// The refused instruction.
    pub insn: usize,
    /// The path to it; empty where the fault is not of a path.
    pub trail: &'i [Point],
    pub lines: &'i Lines<'i>,
}

impl Case<'_> {
    /// The state before the refused instruction.
    pub fn state(&self) -> Option<&State> {
        self.trail.last().map(|point| &point.state)
    }

    /// The register that the fault names first (`R3 ...`).
    pub fn named_register(&self) -> Option<u8> {
        let lines = &self.fault.lines;
        lines
            .iter()
            .find_map(|line| register_in(line))
            .or_else(|| lines.iter().find_map(|line| argument_in(line)))
    }

    /// A register of the active frame before the refused instruction.
    pub fn reg(&self, number: u8) -> Option<Reg> {
        self.state()
            .map(|state| state.frame().regs[usize::from(number)])
    }

    /// The history of a register of the active frame.
    pub fn history(&self, number: u8) -> Vec<Event> {
        let Some(state) = self.state() else {
            return Vec::new();
        };
        let frame = (state.frames.len() - 1) as u8;
        history::of(
            self.input,
            self.trail,
            self.trail.len() - 1,
            Holder::Register { frame, number },
            64,
        )
    }

    /// The first line of the fault.
    pub fn line(&self) -> &str {
        self.fault.lines.first().map_or("", String::as_str)
    }
}

/// `R3` of a text.
fn register_in(line: &str) -> Option<u8> {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .find_map(|word| {
            let number: u8 = word.strip_prefix('R')?.parse().ok()?;
            (number <= 10).then_some(number)
        })
}

/// The register of `arg0` or `arg#0` of a text: arguments of kernel functions count from 0.
fn argument_in(line: &str) -> Option<u8> {
    let rest = &line[line.find("arg")? + 3..];
    let rest = rest.strip_prefix('#').unwrap_or(rest);
    let digit = rest
        .bytes()
        .next()
        .filter(|byte| (b'0'..b'5').contains(byte))?;
    Some(digit - b'0' + 1)
}

/// Explains the rejection of `input`.
pub fn explain(input: &Input, rejection: &Rejection) -> Explanation {
    let trail = trail::of(input);
    let fault = &*rejection.fault;
    let lines = Lines::of(input);
    let entry = catalogue::entry(fault);
    let insn = fault
        .insn
        .or_else(|| trail.last().map(|point| point.insn))
        .unwrap_or(0);
    let case = Case {
        input,
        fault,
        insn,
        trail: &trail,
        lines: &lines,
    };
    let mut found = entry
        .rule
        .map_or_else(Findings::default, |rule| rule(&case));
    found.because.sort();
    found.because.dedup();
    let suggestion = suggest(input, fault, &found.edits);

    let headline = fault.lines.last().map_or("", String::as_str);
    let mut diagnostic = Diagnostic::error(entry.id, format!("{}: {headline}", entry.title));
    if fault.insn.is_some() || !trail.is_empty() {
        let here = if found.here.is_empty() {
            entry.here.to_string()
        } else {
            found.here.clone()
        };
        diagnostic = diagnostic.at(lines.place(insn), here);
    }
    for (insn, text) in &found.because {
        diagnostic = diagnostic.and_at(lines.place(*insn), text.as_str());
    }
    for line in &fault.lines {
        diagnostic = diagnostic.note(format!("the kernel says: {line}"));
    }
    for note in &found.notes {
        diagnostic = diagnostic.note(note.as_str());
    }
    let help = found.help.clone().unwrap_or_else(|| entry.help.to_string());
    let help = match &suggestion {
        Some(Suggestion {
            text,
            outcome: Outcome::Verifies,
            ..
        }) => {
            format!("{help}\ntried: {text}; the program then verifies")
        }
        Some(Suggestion {
            text,
            outcome: Outcome::NextError,
            ..
        }) => {
            format!("{help}\ntried: {text}; that error is then gone, another one follows")
        }
        None => help,
    };
    if !help.is_empty() {
        diagnostic = diagnostic.help(help);
    }
    Explanation {
        diagnostic,
        because: found.because,
        edit: suggestion,
        sources: lines.sources,
    }
}

/// Tries the changes in turn.
fn suggest(input: &Input, fault: &Fault, edits: &[(Edit, String)]) -> Option<Suggestion> {
    let mut second = None;
    for (edit, text) in edits.iter().take(4) {
        let Some(changed) = edit.apply(input) else {
            continue;
        };
        let outcome = match crate::verify(&changed) {
            Ok(_) => Outcome::Verifies,
            Err(other) if other.fault.code != fault.code || other.fault.lines != fault.lines => {
                Outcome::NextError
            }
            Err(_) => continue,
        };
        let suggestion = Suggestion {
            edit: edit.clone(),
            text: text.clone(),
            outcome,
        };
        if outcome == Outcome::Verifies {
            return Some(suggestion);
        }
        second.get_or_insert(suggestion);
    }
    second
}
