//! For people: headline, the lines of source with their labels beneath, notes, help.
//!
//! Labels of one source are shown in the order of their lines, faults underlined with `^`, history with `-`.

use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::{Diagnostic, Diagnostics, Label, Place, Source, SourceId, Sources, Span};

/// Every diagnostic with its lines of source, separated by empty lines.
pub fn full(diagnostics: &Diagnostics, sources: &Sources) -> String {
    let mut out = String::new();
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        one(&mut out, diagnostic, sources);
    }
    out
}

fn one(out: &mut String, diagnostic: &Diagnostic, sources: &Sources) {
    let _ = writeln!(out, "{diagnostic}");
    let width = gutter(diagnostic, sources);
    let mut shown: Vec<SourceId> = Vec::new();
    // The fault's own source first, then the others in the order they are named.
    let order = diagnostic
        .labels
        .iter()
        .filter(|l| l.primary)
        .chain(diagnostic.labels.iter().filter(|l| !l.primary));
    for label in order {
        match &label.place {
            Place::Span(span) => match sources.source(span.source) {
                Some(_) if shown.contains(&span.source) => {}
                Some(source) => {
                    shown.push(span.source);
                    let _ = writeln!(
                        out,
                        "{:width$}--> {}",
                        "",
                        super::place(&label.place, sources)
                    );
                    excerpt(out, diagnostic, span.source, source, width);
                }
                None => elsewhere(out, label, sources, width),
            },
            _ => elsewhere(out, label, sources, width),
        }
    }
    for note in &diagnostic.notes {
        trailer(out, "note", note, width);
    }
    if let Some(help) = &diagnostic.help {
        trailer(out, "help", help, width);
    }
}

fn elsewhere(out: &mut String, label: &Label, sources: &Sources, width: usize) {
    let _ = write!(
        out,
        "{:width$}--> {}",
        "",
        super::place(&label.place, sources)
    );
    if !label.text.is_empty() {
        let _ = write!(out, ": {}", label.text);
    }
    out.push('\n');
}

fn excerpt(out: &mut String, diagnostic: &Diagnostic, id: SourceId, source: &Source, width: usize) {
    let mut labels: Vec<(Span, &Label)> = diagnostic
        .labels
        .iter()
        .filter_map(|label| match label.place {
            Place::Span(span) if span.source == id => Some((span, label)),
            _ => None,
        })
        .collect();
    labels.sort_by_key(|(span, _)| (span.start, span.end));
    let _ = writeln!(out, "{:width$} |", "");
    let mut last = 0;
    for (span, label) in labels {
        let start = source.position(span.start);
        if start.line != last {
            if last != 0 && start.line > last + 1 {
                let _ = writeln!(out, "{:width$} ...", "");
            }
            let _ = writeln!(
                out,
                "{:>width$} | {}",
                start.line,
                expand(source.line(start.line))
            );
            last = start.line;
        }
        let end = source.position(span.end.max(span.start));
        let line = source.line(start.line);
        let from = columns(line, start.column as usize - 1);
        let to = if end.line == start.line {
            columns(line, end.column as usize - 1)
        } else {
            columns(line, usize::MAX)
        };
        let mark = if label.primary { '^' } else { '-' };
        let marks: String = core::iter::repeat_n(mark, to.saturating_sub(from).max(1)).collect();
        let _ = writeln!(out, "{:width$} | {:from$}{marks} {}", "", "", label.text);
        while out.ends_with(" \n") {
            out.truncate(out.len() - 2);
            out.push('\n');
        }
    }
}

fn trailer(out: &mut String, kind: &str, text: &str, width: usize) {
    let mut lines = text.lines();
    let _ = writeln!(
        out,
        "{:width$} = {kind}: {}",
        "",
        lines.next().unwrap_or("")
    );
    let indent = width + kind.len() + 5;
    for line in lines {
        let _ = writeln!(out, "{:indent$}{line}", "");
    }
}

/// Tabs become four blanks, so that marks stand under what they mark.
fn expand(line: &str) -> String {
    line.replace('\t', "    ")
}

/// How many columns the first `chars` characters of `line` take.
fn columns(line: &str, chars: usize) -> usize {
    line.chars()
        .take(chars)
        .map(|c| if c == '\t' { 4 } else { 1 })
        .sum()
}

fn gutter(diagnostic: &Diagnostic, sources: &Sources) -> usize {
    diagnostic
        .labels
        .iter()
        .filter_map(|label| match label.place {
            Place::Span(span) => sources
                .locate(span)
                .map(|(_, position)| position.line.to_string().len()),
            _ => None,
        })
        .max()
        .unwrap_or(1)
}
