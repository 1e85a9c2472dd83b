//! One JSON object a line, in a fixed order of keys.

use alloc::string::String;
use core::fmt::Write;

use crate::{Diagnostic, Diagnostics, Label, Place, Sources};

/// One JSON object for each diagnostic, one a line.
pub fn json(diagnostics: &Diagnostics, sources: &Sources) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        object(&mut out, diagnostic, sources);
        out.push('\n');
    }
    out
}

fn object(out: &mut String, diagnostic: &Diagnostic, sources: &Sources) {
    let _ = write!(out, "{{\"id\":");
    string(out, diagnostic.id);
    let _ = write!(
        out,
        ",\"severity\":\"{}\",\"headline\":",
        diagnostic.severity
    );
    string(out, &diagnostic.headline);
    out.push_str(",\"labels\":[");
    for (index, label) in diagnostic.labels.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        self::label(out, label, sources);
    }
    out.push_str("],\"notes\":[");
    for (index, note) in diagnostic.notes.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(out, note);
    }
    out.push_str("],\"help\":");
    match &diagnostic.help {
        Some(help) => string(out, help),
        None => out.push_str("null"),
    }
    out.push('}');
}

fn label(out: &mut String, label: &Label, sources: &Sources) {
    out.push('{');
    match &label.place {
        Place::Span(span) => {
            if let Some((name, position)) = sources.locate(*span) {
                out.push_str("\"file\":");
                string(out, name);
                let _ = write!(
                    out,
                    ",\"line\":{},\"column\":{},",
                    position.line, position.column
                );
            }
            let _ = write!(out, "\"start\":{},\"end\":{}", span.start, span.end);
        }
        Place::Insn { program, insn } => {
            out.push_str("\"program\":");
            string(out, program);
            let _ = write!(out, ",\"insn\":{insn}");
        }
        Place::Section { name, offset } => {
            out.push_str("\"section\":");
            string(out, name);
            let _ = write!(out, ",\"offset\":{offset}");
        }
        Place::File { name, offset } => {
            out.push_str("\"file\":");
            string(out, name);
            if let Some(offset) = offset {
                let _ = write!(out, ",\"offset\":{offset}");
            }
        }
    }
    let _ = write!(out, ",\"primary\":{},\"text\":", label.primary);
    string(out, &label.text);
    out.push('}');
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
