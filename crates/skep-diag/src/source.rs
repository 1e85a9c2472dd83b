//! Source texts and places in them.
//!
//! Invariants: a [`SourceId`] is an index into one [`Sources`]; line starts are sorted and begin with 0; every
//! lookup clamps to the text, so a span that is out of range or inside a character never panics.

/// Names one text in a [`Sources`].
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct SourceId(pub u32);

/// A range of bytes in one source, end exclusive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Span {
    /// The text it points into.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes `start..end` of `source`.
    pub const fn new(source: SourceId, start: u32, end: u32) -> Span {
        Span { source, start, end }
    }

    /// The smallest span that covers both; `other` is ignored if it lies in another source.
    pub fn to(self, other: Span) -> Span {
        if self.source != other.source {
            return self;
        }
        Span {
            source: self.source,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// A line and a column, both counted from 1; the column counts characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// One text with its name and line map.
#[derive(Clone, Debug)]
pub struct Source {
    /// What to print before the line number: a path, `<stdin>`, a program's name.
    pub name: String,
    /// The text itself.
    pub text: String,
    line_starts: Vec<u32>,
}

impl Source {
    fn new(name: String, text: String) -> Source {
        let mut line_starts = vec![0];
        line_starts.extend(
            text.bytes()
                .enumerate()
                .filter(|&(_, b)| b == b'\n')
                .map(|(at, _)| at as u32 + 1),
        );
        Source {
            name,
            text,
            line_starts,
        }
    }

    /// The line (from 1) that holds the byte `offset`.
    pub fn line_of(&self, offset: u32) -> u32 {
        self.line_starts.partition_point(|&start| start <= offset) as u32
    }

    /// Line and column of the byte `offset`.
    pub fn position(&self, offset: u32) -> Position {
        let line = self.line_of(offset);
        let start = self.line_starts[line as usize - 1] as usize;
        let end = self.floor(offset as usize);
        let column = self
            .text
            .get(start..end)
            .map_or(0, |before| before.chars().count());
        Position {
            line,
            column: column as u32 + 1,
        }
    }

    /// The text of `line` (from 1) without its line end; empty if there is no such line.
    pub fn line(&self, line: u32) -> &str {
        let Some(index) = (line as usize).checked_sub(1) else {
            return "";
        };
        let Some(&start) = self.line_starts.get(index) else {
            return "";
        };
        let end = self
            .line_starts
            .get(index + 1)
            .map_or(self.text.len(), |&next| next as usize - 1);
        self.text
            .get(start as usize..end)
            .unwrap_or("")
            .trim_end_matches('\r')
    }

    /// How many lines the text has (an empty text has one).
    pub fn lines(&self) -> u32 {
        self.line_starts.len() as u32
    }

    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// All texts that diagnostics may point into.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    all: Vec<Source>,
}

impl Sources {
    /// An empty set.
    pub fn new() -> Sources {
        Sources::default()
    }

    /// Keeps `text` under `name` and says how to refer to it.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        let id = SourceId(self.all.len() as u32);
        self.all.push(Source::new(name.into(), text.into()));
        id
    }

    /// The source named by `id`, if it is one of these.
    pub fn source(&self, id: SourceId) -> Option<&Source> {
        self.all.get(id.0 as usize)
    }

    /// Where `span` starts: the source's name, line and column.
    pub fn locate(&self, span: Span) -> Option<(&str, Position)> {
        let source = self.source(span.source)?;
        Some((&source.name, source.position(span.start)))
    }
}

#[cfg(test)]
mod tests;
