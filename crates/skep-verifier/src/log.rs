//! The log, in the kernel's form: what bpf(2) would have written at that level.
//!
//! Invariants: nothing is formatted when the level does not ask for it; the text is bounded, its oldest part goes first.

use std::fmt;

/// The log of one verification.
#[derive(Debug, Default)]
pub struct Log {
    level: u32,
    text: String,
    /// Bytes that were dropped from the front.
    pub dropped: usize,
}

const BYTES_MAX: usize = 64 << 20;

impl Log {
    /// A log of that level (bits 1, 2 and 4, as bpf(2) takes them).
    pub fn new(level: u32) -> Log {
        Log {
            level,
            ..Log::default()
        }
    }

    /// Whether anything but the last fault is wanted.
    pub fn wanted(&self) -> bool {
        self.level & 3 != 0
    }

    /// Whether each instruction and state is wanted.
    pub fn level2(&self) -> bool {
        self.level & 2 != 0
    }

    /// Whether statistics are wanted.
    pub fn stats(&self) -> bool {
        self.level & 4 != 0
    }

    /// A line, if any lines are wanted.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        if self.wanted() {
            self.push(line);
            self.text.push('\n');
        }
    }

    /// Text without a line feed, if any is wanted.
    pub fn push(&mut self, text: fmt::Arguments<'_>) {
        use fmt::Write as _;
        if self.wanted() {
            let _ = self.text.write_fmt(text);
            if self.text.len() > BYTES_MAX {
                let mut cut = self.text.len() - BYTES_MAX / 2;
                while !self.text.is_char_boundary(cut) {
                    cut += 1;
                }
                self.dropped += cut;
                self.text.drain(..cut);
            }
        }
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Forgets what was said after `len` bytes (a path that was accepted, at level 1).
    pub fn truncate(&mut self, len: usize) {
        self.text.truncate(len);
    }

    /// What was said.
    pub fn into_text(self) -> String {
        self.text
    }

    /// What was said.
    pub fn text(&self) -> &str {
        &self.text
    }
}
