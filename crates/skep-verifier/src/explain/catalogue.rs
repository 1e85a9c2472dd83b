//! The kinds of rejection that are told apart: stable id, title, and the rule that finds the cause.
//!
//! Invariants: an entry is found by the kernel's wording, so that a log of any kernel finds the same one as our own
//! verdict; the first entry that matches wins; every id has a page under docs/errors.

use crate::explain::{Case, Findings, rules};
use crate::fault::Fault;

/// One kind of rejection.
pub struct Entry {
    /// Names the page of the documentation.
    pub id: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// Parts of the kernel's message, in order; any of the alternatives.
    pub patterns: &'static [&'static [&'static str]],
    /// What stands at the refused instruction where the rule has nothing better.
    pub here: &'static str,
    /// What to do where the rule has nothing better.
    pub help: &'static str,
    pub rule: Option<fn(&Case<'_>) -> Findings>,
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

/// The entry of a fault.
pub fn entry(fault: &Fault) -> &'static Entry {
    by_lines(&fault.lines)
}

/// The entry of a kernel's last lines.
pub fn by_lines(lines: &[String]) -> &'static Entry {
    ALL.iter()
        .find(|entry| {
            entry
                .patterns
                .iter()
                .any(|parts| lines.iter().any(|line| has(line, parts)))
        })
        .unwrap_or(&OTHER)
}

/// What no entry matches.
pub static OTHER: Entry = Entry {
    id: "verifier-rejected",
    title: "the program is refused",
    patterns: &[],
    here: "refused here",
    help: "",
    rule: None,
};

/// Every entry, the more specific before the more general.
pub static ALL: &[Entry] = &[
    Entry {
        id: "verifier-null-pointer",
        title: "a pointer that may be NULL is used",
        patterns: &[
            &["invalid mem access '", "_or_null'"],
            &["pointer arithmetic on ", "_or_null prohibited"],
        ],
        here: "used here without a check",
        help: "compare the pointer with NULL right after the call that returns it, and use it only where it is not NULL",
        rule: Some(rules::null::rule),
    },
    Entry {
        id: "verifier-packet-bounds",
        title: "bytes of the packet are used that may not be there",
        patterns: &[&["invalid access to packet"]],
        here: "used here",
        help: "",
        rule: Some(rules::packet::rule),
    },
    Entry {
        id: "verifier-negative-size",
        title: "a size or offset may be negative",
        patterns: &[&["min value is negative"]],
        here: "",
        help: "",
        rule: Some(rules::bounds::rule),
    },
    Entry {
        id: "verifier-unbounded",
        title: "a size or offset has no upper bound",
        patterns: &[
            &["unbounded memory access"],
            &["unbounded min value"],
            &["makes ", " pointer be out of bounds"],
        ],
        here: "",
        help: "",
        rule: Some(rules::bounds::rule),
    },
    Entry {
        id: "verifier-out-of-bounds",
        title: "memory outside of what the pointer points to is used",
        patterns: &[
            &["value is outside of the allowed memory range"],
            &["invalid access to map value"],
            &["invalid access to memory"],
        ],
        here: "",
        help: "",
        rule: Some(rules::bounds::rule),
    },
    Entry {
        id: "verifier-uninitialised-register",
        title: "a register without a value is used",
        patterns: &[&["!read_ok"]],
        here: "read here",
        help: "give the variable a value on every path that leads here",
        rule: Some(rules::uninitialised::rule),
    },
];
