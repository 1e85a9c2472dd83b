//! Diagnostics as text: `full` for people, `short` (one line each) for editors, `json` for programs.
//!
//! Invariants: the same input gives the same text; every rendering ends with a newline unless it is empty; a span
//! that does not fit its source is shown by its numbers, never a panic.

use alloc::format;
use alloc::string::String;

mod full;
mod json;
mod short;

#[cfg(test)]
mod tests;

use crate::{Place, Sources};

pub use full::full;
pub use json::json;
pub use short::short;

/// `file:line:column`, `insn 3 of watch`, `.text+0x10`.
fn place(place: &Place, sources: &Sources) -> String {
    match place {
        Place::Span(span) => match sources.locate(*span) {
            Some((name, position)) => format!("{name}:{}:{}", position.line, position.column),
            None => format!("<source {}>:+{}", span.source.0, span.start),
        },
        Place::Insn { program, insn } => format!("insn {insn} of {program}"),
        Place::Section { name, offset } => format!("{name}+{offset:#x}"),
        Place::File {
            name,
            offset: Some(offset),
        } => format!("{name}+{offset:#x}"),
        Place::File { name, offset: None } => name.clone(),
    }
}
