//! The source lines that the program's BTF knows, as texts that diagnostics can point into.
//!
//! Invariant: line `n` of the text made for a file is line `n` of that file where the BTF has it, else empty;
//! files beyond [`LINES_MAX`] have no text, their places are instructions.

use std::collections::BTreeMap;

use skep_diag::{Place, SourceId, Sources, Span};
use skep_spec::disasm::{self, Style};

use crate::explain::calls;
use crate::input::{Input, SourceLine};

/// The lines of a program, by file.
pub struct Lines<'i> {
    input: &'i Input,
    pub sources: Sources,
    files: BTreeMap<&'i str, (SourceId, Vec<u32>)>,
}

/// Lines of a file, and of all files together, that are kept at most; hostile line numbers end here.
const LINE_MAX: u32 = 1 << 20;
const LINES_MAX: u32 = 1 << 21;

impl<'i> Lines<'i> {
    /// All lines that the input has.
    pub fn of(input: &'i Input) -> Lines<'i> {
        let mut texts: BTreeMap<&str, BTreeMap<u32, &str>> = BTreeMap::new();
        for line in &input.lines {
            if line.line > 0 && line.line < LINE_MAX && !line.text.is_empty() {
                texts
                    .entry(&line.file)
                    .or_default()
                    .insert(line.line, &line.text);
            }
        }
        let mut sources = Sources::new();
        let mut files = BTreeMap::new();
        let mut total = 0;
        for (file, lines) in texts {
            total += lines.keys().next_back().copied().unwrap_or(0);
            if total > LINES_MAX {
                break;
            }
            let mut text = String::new();
            let mut starts = Vec::new();
            let last = lines.keys().next_back().copied().unwrap_or(0);
            for number in 1..=last {
                starts.push(text.len() as u32);
                if let Some(line) = lines.get(&number) {
                    text.push_str(&line.replace(['\n', '\r'], " "));
                }
                text.push('\n');
            }
            let id = sources.add(file, text);
            files.insert(file, (id, starts));
        }
        Lines {
            input,
            sources,
            files,
        }
    }

    /// The line that the instruction comes from.
    pub fn line(&self, insn: usize) -> Option<&'i SourceLine> {
        let after = self.input.lines.partition_point(|line| line.insn <= insn);
        self.input.lines.get(after.checked_sub(1)?)
    }

    /// The instruction as a place: its source line if there is one, else the instruction itself.
    pub fn place(&self, insn: usize) -> Place {
        if let Some(line) = self.line(insn)
            && let Some((id, starts)) = self.files.get(&*line.file)
            && let Some(&start) = starts.get((line.line as usize).wrapping_sub(1))
        {
            let indent = (line.text.len() - line.text.trim_start().len()) as u32;
            let column = if line.column > 1 && line.column as usize <= line.text.len() {
                line.column - 1
            } else {
                indent
            };
            let column = column.max(indent.min(line.text.len() as u32));
            return Place::Span(Span {
                source: *id,
                start: start + column,
                end: start + line.text.trim_end().len() as u32,
            });
        }
        Place::Insn {
            program: self.input.name.clone(),
            insn,
        }
    }

    /// The line's text, or the instruction's.
    pub fn text(&self, insn: usize) -> String {
        match self.line(insn) {
            Some(line) if !line.text.is_empty() => line.text.trim().to_string(),
            _ => self.insn_text(insn),
        }
    }

    /// The instruction in the kernel's form; calls of its functions by name.
    pub fn insn_text(&self, insn: usize) -> String {
        let kfunc = self
            .input
            .insns
            .get(insn)
            .filter(|call| call.is_kfunc_call());
        if let Some(name) = kfunc.and_then(|_| calls::name(self.input, insn)) {
            return format!("call {name}");
        }
        let next = self.input.insns.get(insn + 1).copied();
        self.input
            .insns
            .get(insn)
            .map_or_else(String::new, |first| {
                disasm::insn(first, next.as_ref(), Style::Asm)
            })
    }
}
