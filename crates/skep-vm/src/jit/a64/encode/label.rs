//! Labels and the branches to them, at any distance.
//!
//! Conditional branches reach 1 MiB, bit tests 32 KiB. A branch back whose label is out of reach is made of its inverse
//! and a plain branch. A branch forward is short at first; if its label is still missing when its reach is about to end,
//! an *island* is laid between two instructions: a plain branch (128 MiB) to the label, to which the short one is led.
//!
//! Invariants: callers ask [`Asm::island`] at least once every [`MARGIN`] bytes of code, where falling through is all that
//! the code around relies on; [`Asm::finish`] answers nothing rather than a branch that does not reach.

use crate::jit::pass::Label;

use super::{Asm, Cond, Reg, Width, rd};

/// Where labels not yet bound are.
const NOWHERE: u32 = u32::MAX;
/// Bytes of code that may come between two looks for islands.
pub(crate) const MARGIN: u32 = 4 << 10;

/// Which bits of a branch hold its distance, in words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    /// `b`, `bl`.
    Imm26,
    /// `b.cond`, `cbz`, `adr`.
    Imm19,
    /// `tbz`.
    Imm14,
}

impl Field {
    fn bits(self) -> u32 {
        match self {
            Field::Imm26 => 26,
            Field::Imm19 => 19,
            Field::Imm14 => 14,
        }
    }

    /// The distance in its place, if it fits.
    fn place(self, words: i64) -> Option<u32> {
        let bits = self.bits();
        let reach = 1i64 << (bits - 1);
        if !(-reach..reach).contains(&words) {
            return None;
        }
        let value = words as u32 & ((1 << bits) - 1);
        Some(if self == Field::Imm26 {
            value
        } else {
            value << 5
        })
    }

    /// At which byte of code a branch made at word `at` asks for an island: so far before its reach ends that the next
    /// look, and the branches that are led first, still leave it in reach.
    fn due(self, at: u32) -> u32 {
        let reach = 4 << (self.bits() - 1);
        let margin = if self == Field::Imm14 { 2 } else { 8 } * MARGIN;
        (4 * at).saturating_add(reach - margin)
    }
}

/// A branch whose label was not bound when it was made.
#[derive(Clone, Copy)]
struct Open {
    /// Index of its word.
    at: u32,
    label: Label,
}

/// Branches of one reach, in the order in which they stand.
#[derive(Default)]
struct Shorts {
    open: Vec<Open>,
    /// Those before are settled.
    done: usize,
}

/// All labels of a piece of code, and the branches that wait for them.
pub(super) struct Labels {
    places: Vec<u32>,
    long: Vec<Open>,
    conditional: Shorts,
    tests: Shorts,
    /// Bytes of code at which an island may be due.
    due: u32,
}

impl Default for Labels {
    fn default() -> Labels {
        Labels {
            places: Vec::new(),
            long: Vec::new(),
            conditional: Shorts::default(),
            tests: Shorts::default(),
            due: u32::MAX,
        }
    }
}

impl Labels {
    /// With so many labels from the start.
    pub fn new(count: usize) -> Labels {
        Labels {
            places: vec![NOWHERE; count],
            ..Labels::default()
        }
    }
}

impl Asm {
    pub fn label(&mut self) -> Label {
        self.labels.places.push(NOWHERE);
        Label(self.labels.places.len() as u32 - 1)
    }

    /// The label is here.
    pub fn bind(&mut self, label: Label) {
        let here = self.words.len() as u32;
        if let Some(place) = self.labels.places.get_mut(label.0 as usize) {
            *place = here;
        }
    }

    /// Where a label is, in bytes from the start.
    pub fn place(&self, label: Label) -> Option<usize> {
        let place = self.labels.places.get(label.0 as usize).copied();
        place
            .filter(|place| *place != NOWHERE)
            .map(|place| 4 * place as usize)
    }

    /// The distance in words to a label that is bound.
    fn back(&self, label: Label) -> Option<i64> {
        let place = self.place(label)? as i64 / 4;
        Some(place - self.words.len() as i64)
    }

    pub fn b(&mut self, label: Label) {
        self.long(0x1400_0000, label);
    }

    pub fn bl(&mut self, label: Label) {
        self.long(0x9400_0000, label);
    }

    fn long(&mut self, word: u32, label: Label) {
        if let Some(field) = self.back(label).and_then(|words| Field::Imm26.place(words)) {
            self.emit(word | field);
        } else {
            let at = self.words.len() as u32;
            self.labels.long.push(Open { at, label });
            self.emit(word);
        }
    }

    /// One or two words.
    pub fn b_if(&mut self, cond: Cond, label: Label) {
        let word = |cond: Cond| 0x5400_0000 | cond as u32;
        self.short(word(cond), word(cond.inverted()), Field::Imm19, label);
    }

    /// If the register is 0. One or two words.
    pub fn cbz(&mut self, width: Width, t: Reg, label: Label) {
        let word = 0x3400_0000 | width.sf() | rd(t);
        self.short(word, word ^ 1 << 24, Field::Imm19, label);
    }

    /// If the register is not 0. One or two words.
    pub fn cbnz(&mut self, width: Width, t: Reg, label: Label) {
        let word = 0x3500_0000 | width.sf() | rd(t);
        self.short(word, word ^ 1 << 24, Field::Imm19, label);
    }

    /// If the bit is 0. One or two words.
    pub fn tbz(&mut self, t: Reg, bit: u32, label: Label) {
        let word = 0x3600_0000 | (bit >> 5 & 1) << 31 | (bit & 31) << 19 | rd(t);
        self.short(word, word ^ 1 << 24, Field::Imm14, label);
    }

    /// If the bit is 1. One or two words.
    pub fn tbnz(&mut self, t: Reg, bit: u32, label: Label) {
        let word = 0x3700_0000 | (bit >> 5 & 1) << 31 | (bit & 31) << 19 | rd(t);
        self.short(word, word ^ 1 << 24, Field::Imm14, label);
    }

    fn short(&mut self, word: u32, inverse: u32, field: Field, label: Label) {
        if let Some(words) = self.back(label) {
            if let Some(placed) = field.place(words) {
                self.emit(word | placed);
            } else {
                // Over the branch that follows.
                self.emit(inverse | 2 << 5);
                self.b(label);
            }
            return;
        }
        let at = self.words.len() as u32;
        let shorts = match field {
            Field::Imm14 => &mut self.labels.tests,
            _ => &mut self.labels.conditional,
        };
        shorts.open.push(Open { at, label });
        self.labels.due = self.labels.due.min(field.due(at));
        self.emit(word);
    }

    /// Lays an island if branches need one here.
    pub fn island(&mut self) {
        if self.len() as u32 >= self.labels.due {
            self.lay_island();
        }
    }

    #[cold]
    fn lay_island(&mut self) {
        let here = self.len() as u32;
        let mut due = u32::MAX;
        let mut led = Vec::new();
        let Labels {
            places,
            conditional,
            tests,
            ..
        } = &mut self.labels;
        for (shorts, field) in [(tests, Field::Imm14), (conditional, Field::Imm19)] {
            while let Some(open) = shorts.open.get(shorts.done) {
                let settled = match places.get(open.label.0 as usize).copied() {
                    Some(place) if place != NOWHERE => {
                        settle(&mut self.words, *open, place, field).is_some()
                    }
                    _ => false,
                };
                if !settled {
                    let at = field.due(open.at);
                    if at > here + MARGIN {
                        due = due.min(at);
                        break;
                    }
                    led.push((*open, field));
                }
                shorts.done += 1;
            }
        }
        self.labels.due = due;
        if led.is_empty() {
            return;
        }
        let over = self.label();
        self.b(over);
        for (open, field) in led {
            let here = self.words.len() as u32;
            // The margins are there so that this fits; were it not so, `finish` finds a branch that leads nowhere.
            if settle(&mut self.words, open, here, field).is_none() {
                self.labels.long.push(Open {
                    at: open.at,
                    label: Label(NOWHERE),
                });
            }
            self.b(open.label);
        }
        self.bind(over);
    }

    /// The code with all branches settled; nothing if a label was never bound or is out of reach.
    pub fn finish(mut self) -> Option<Vec<u32>> {
        let labels = std::mem::take(&mut self.labels);
        let conditional = &labels.conditional.open[labels.conditional.done..];
        let tests = &labels.tests.open[labels.tests.done..];
        let all = [
            (labels.long.as_slice(), Field::Imm26),
            (conditional, Field::Imm19),
            (tests, Field::Imm14),
        ];
        for (opens, field) in all {
            for open in opens {
                let place = labels.places.get(open.label.0 as usize).copied();
                let place = place.filter(|place| *place != NOWHERE)?;
                settle(&mut self.words, *open, place, field)?;
            }
        }
        Some(self.words)
    }
}

/// Leads a branch to a place, if it reaches so far.
fn settle(words: &mut [u32], open: Open, place: u32, field: Field) -> Option<()> {
    let placed = field.place(i64::from(place) - i64::from(open.at))?;
    *words.get_mut(open.at as usize)? |= placed;
    Some(())
}
