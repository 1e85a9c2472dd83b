//! One row against what the verifier here says.
//!
//! Invariant: a row is compared only if its kernel gave a verdict; everything else is counted apart.

use super::table::{Row, Verdict};
use super::work::{Said, Trouble};

/// What became of a row.
#[derive(Clone, Debug)]
pub enum Ours {
    Said(Box<Said>),
    /// What a loader would have said.
    NotLoadable(String),
    /// The corpus has no such object.
    NoObject,
    Trouble(Trouble),
}

/// How a row and we get on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    Same,
    /// Accepted here, rejected there.
    FalseAccept,
    /// Rejected here, accepted there.
    FalseReject,
    /// The verifier there gave a verdict, and a loader here would not get that far.
    NotLoadable,
    Panic,
    TooLate,
    /// The table has no verdict, or the object is not here.
    NotCompared,
}

impl Relation {
    pub fn name(self) -> &'static str {
        match self {
            Relation::Same => "same",
            Relation::FalseAccept => "FALSE ACCEPT",
            Relation::FalseReject => "false reject",
            Relation::NotLoadable => "not loadable",
            Relation::Panic => "PANIC",
            Relation::TooLate => "too late",
            Relation::NotCompared => "not compared",
        }
    }
}

/// A row with its answer.
#[derive(Clone, Debug)]
pub struct Compared {
    pub row: Row,
    pub ours: Ours,
    /// The instructions are those that the kernel got.
    pub same_program: bool,
    /// Our last words, as the table keeps the kernel's.
    pub message: String,
    /// Of rows whose messages the kernel's log holds: the first that ours does not.
    pub missed: Option<String>,
    /// The annotation has messages, and the kernel's log holds them.
    pub has_messages: bool,
}

impl Compared {
    pub fn relation(&self) -> Relation {
        let accepted_there = match self.row.verdict {
            Verdict::Accept => true,
            Verdict::Reject => false,
            Verdict::Elsewhere => {
                // Nothing to compare with, but nothing may panic either.
                return match &self.ours {
                    Ours::Trouble(Trouble::Panicked(_)) => Relation::Panic,
                    _ => Relation::NotCompared,
                };
            }
        };
        match &self.ours {
            Ours::NoObject => Relation::NotCompared,
            Ours::NotLoadable(_) => Relation::NotLoadable,
            Ours::Trouble(Trouble::Panicked(_)) => Relation::Panic,
            Ours::Trouble(Trouble::TooLate) => Relation::TooLate,
            Ours::Said(said) => match (said.accepted, accepted_there) {
                (true, false) => Relation::FalseAccept,
                (false, true) => Relation::FalseReject,
                _ => Relation::Same,
            },
        }
    }

    /// What we said, if the verifier came to an end.
    pub fn said(&self) -> Option<&Said> {
        match &self.ours {
            Ours::Said(said) => Some(said),
            _ => None,
        }
    }

    /// Our answer in a line.
    pub fn ours_in_words(&self) -> String {
        match &self.ours {
            Ours::Said(said) if said.accepted => "accept".into(),
            Ours::Said(said) => format!(
                "reject {} at {}: {}",
                said.errno,
                said.insn.map_or("-".into(), |at| at.to_string()),
                self.message
            ),
            Ours::NotLoadable(why) => format!("not loadable: {why}"),
            Ours::NoObject => "no object".into(),
            Ours::Trouble(Trouble::Panicked(words)) => format!("panic: {words}"),
            Ours::Trouble(Trouble::TooLate) => "no end in time".into(),
        }
    }
}

/// The last two lines that say something, as the tables keep them.
pub fn last_words(log: &str) -> String {
    // The recording loader kept four lines before the statistics.
    const KEPT: usize = 4;
    let end = ["verification time ", "\nprocessed "]
        .iter()
        .find_map(|stats| log.rfind(stats))
        .unwrap_or(log.len());
    let kept: Vec<&str> = log[..end].trim_end().lines().collect();
    let lines: Vec<&str> = kept[kept.len().saturating_sub(KEPT)..]
        .iter()
        .filter(|line| !is_noise(line))
        .map(|line| line.trim())
        .collect();
    let from = lines.len().saturating_sub(2);
    let mut words = lines[from..].join(" | ");
    if let Some((at, _)) = words.char_indices().nth(400) {
        words.truncate(at);
    }
    words
}

/// Lines that trace the walk: sources, instructions, states, statistics.
fn is_noise(line: &str) -> bool {
    let line = line.trim_start();
    const STARTS: &[&str] = &[
        ";",
        "func#",
        "Global function",
        "frame",
        "Validating ",
        "mark_precise",
        "Func#",
        "last_idx",
        "regs=",
        "parent ",
        "cur state",
        "old state",
        "propagating",
        "caller:",
        "callee:",
        "returning from",
        "to caller",
        "verification time",
        "stack depth",
        "processed ",
        "At least one",
        "FUNC",
        "live regs",
        "Live regs",
        "SCC ",
    ];
    let numbered = |line: &str, after: &str| {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
        rest.len() < line.len() && rest.starts_with(after)
    };
    let state = |line: &str| {
        line.strip_prefix('R')
            .is_some_and(|rest| numbered(rest, "=") || numbered(rest, "_w="))
    };
    line.trim().is_empty()
        || STARTS.iter().any(|start| {
            line.starts_with(start)
                && (*start != "frame" || line[5..].contains(':'))
                && (*start != "func#" || line.contains('@'))
        })
        || numbered(line, ": ")
        // Loop, instruction and live registers; and frames with what is live of their stack.
        || (numbered(line, " ")
            && numbered(line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start(), ": "))
        || line.strip_prefix('(').is_some_and(|rest| numbered(rest, ") "))
        || state(line)
        || (line.starts_with("arg#") && line.contains(" reference type"))
        || line
            .strip_prefix("from ")
            .is_some_and(|rest| numbered(rest, " to "))
        || line
            .strip_prefix("subprog ")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::last_words;

    #[test]
    fn what_traces_the_walk_is_no_message() {
        let log = "func#0 @0\n0: R1=ctx() R10=fp0\n0: (95) exit\nR0 !read_ok\nprocessed 1 insns\n";
        assert_eq!(last_words(log), "R0 !read_ok");
    }
}
