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
    /// The state is due before the next instruction.
    pub print_state: bool,
    /// What changed since it was printed last.
    scratched: Shown,
    /// Where the last instruction ends, and how long it was.
    last_insn: (usize, usize),
    /// The source line printed last.
    last_line: Option<usize>,
}

/// Registers and stack slots of the active frame, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    pub regs: u16,
    pub slots: u64,
}

/// The column of what an instruction changed is a multiple of 8, from 40 on.
const COLUMN_STEP: usize = 8;
const COLUMN_MIN: usize = 40;

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

    /// A line that every level shows: why the program is refused, what the work was, which types arguments have.
    pub fn last_line(&mut self, line: fmt::Arguments<'_>) {
        use fmt::Write as _;
        if self.level != 0 {
            let _ = self.text.write_fmt(line);
            self.text.push('\n');
        }
    }

    /// Text without a line feed, if any is wanted.
    pub fn push(&mut self, text: fmt::Arguments<'_>) {
        use fmt::Write as _;
        if self.wanted() {
            let _ = self.text.write_fmt(text);
            self.bound();
        }
    }

    /// The oldest part goes where there is too much.
    fn bound(&mut self) {
        if self.text.len() > BYTES_MAX {
            let mut cut = self.text.len() - BYTES_MAX / 2;
            while !self.text.is_char_boundary(cut) {
                cut += 1;
            }
            self.dropped += cut;
            self.text.drain(..cut);
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

    /// A walk from some function's start.
    pub fn start_walk(&mut self) {
        self.print_state = false;
        self.last_line = None;
        self.scratch_all();
    }

    /// That register was read or written.
    #[inline]
    pub fn scratch_reg(&mut self, number: u8) {
        self.scratched.regs |= 1 << (number & 15);
    }

    /// A call overwrites r0 to r5.
    #[inline]
    pub fn scratch_caller_saved(&mut self) {
        self.scratched.regs |= 0x3f;
    }

    /// That stack slot of the active frame was written.
    #[inline]
    pub fn scratch_slot(&mut self, slot: usize) {
        self.scratched.slots |= 1 << (slot & 63);
    }

    /// Everything may have changed.
    pub fn scratch_all(&mut self) {
        self.scratched = Shown {
            regs: u16::MAX,
            slots: u64::MAX,
        };
    }

    /// Whether anything changed.
    pub fn is_scratched(&self) -> bool {
        self.scratched != Shown::default()
    }

    /// What changed; from here on nothing.
    pub fn take_scratched(&mut self) -> Shown {
        std::mem::take(&mut self.scratched)
    }

    /// An instruction.
    pub fn insn(&mut self, at: usize, text: &str) {
        use fmt::Write as _;
        let start = self.end();
        if self.wanted() {
            let _ = write!(self.text, "{at}: ");
            self.text.push_str(text);
            self.bound();
            self.text.push('\n');
        }
        self.last_insn = (self.end(), self.end() - start);
    }

    /// What it changed: at its right if nothing was said since.
    pub fn changes(&mut self, next: usize, text: &str) {
        let (end, length) = self.last_insn;
        if end != 0 && end == self.end() && self.text.ends_with('\n') {
            self.text.pop();
            let column = (length + COLUMN_STEP / 2).max(COLUMN_MIN);
            let width = column.next_multiple_of(COLUMN_STEP) - length - 1;
            if self.wanted() {
                self.text.extend(std::iter::repeat_n(' ', width));
                self.text.push(';');
                self.text.push_str(text);
                self.bound();
                self.text.push('\n');
            }
        } else {
            self.line(format_args!("{next}:{text}"));
        }
    }

    /// Remembers that source line; says which was printed before.
    pub fn source_line(&mut self, line: usize) -> Option<usize> {
        self.last_line.replace(line)
    }

    fn end(&self) -> usize {
        self.dropped + self.text.len()
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
