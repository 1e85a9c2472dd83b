//! How instructions were reached: the jumps and stack accesses of each path, for walking back along it.
//!
//! Invariants: entries are only added, each names the one before it on its path, so paths share what they have in
//! common and copying a state copies two numbers.

use crate::step::linked::{LINKED_MAX, Linked, Where};

/// No entry.
const NONE: u32 = u32::MAX;

/// The entries of one path since its last checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trail {
    last: u32,
    /// How many entries.
    pub len: u32,
}

impl Trail {
    /// No entries.
    pub const EMPTY: Trail = Trail { last: NONE, len: 0 };
}

/// What an instruction did that its text does not say; bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deed(pub u16);

impl Deed {
    pub const NONE: Deed = Deed(0);
    /// It read or wrote a stack slot: the frame in bits 0 to 2, the slot in bits 3 to 8.
    pub const STACK_ACCESS: Deed = Deed(1 << 9);
    /// It compared, and the first operand is a stack pointer.
    pub const DST_IS_STACK: Deed = Deed(1 << 10);
    /// It compared, and the second operand is a stack pointer.
    pub const SRC_IS_STACK: Deed = Deed(1 << 11);

    /// The access of that slot.
    pub fn stack_access(frame: u8, slot: usize) -> Deed {
        Deed(u16::from(frame & 7) | (slot as u16 & 63) << 3 | Deed::STACK_ACCESS.0)
    }

    /// Which slot was accessed: frame and number.
    pub fn slot(self) -> Option<(usize, usize)> {
        self.has(Deed::STACK_ACCESS)
            .then_some((usize::from(self.0 & 7), usize::from(self.0 >> 3 & 63)))
    }

    pub const fn has(self, other: Deed) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Linked registers and slots in 64 bits: ten for each, how many in the top four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackedLinks(u64);

impl PackedLinks {
    /// Packs them.
    pub fn of(linked: &Linked) -> PackedLinks {
        let mut bits = 0;
        let mut count = 0;
        for place in linked.iter().take(LINKED_MAX) {
            let one = u64::from(place.frame & 7)
                | u64::from(place.number & 63) << 3
                | u64::from(place.spilled) << 9;
            bits |= one << (10 * count);
            count += 1;
        }
        PackedLinks(bits | count << 60)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Where> {
        (0..self.0 >> 60).map(move |index| {
            let one = self.0 >> (10 * index);
            Where {
                frame: (one & 7) as u8,
                number: (one >> 3 & 63) as u8,
                spilled: one >> 9 & 1 != 0,
            }
        })
    }
}

/// One instruction that a path went through.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    insn: u32,
    /// -1 for none.
    previous_insn: i32,
    before: u32,
    pub deed: Deed,
    pub links: PackedLinks,
}

/// All entries of all paths.
#[derive(Debug, Default)]
pub struct History {
    entries: Vec<Entry>,
    /// The entry of the instruction that is being walked.
    current: Option<u32>,
}

impl History {
    /// A new instruction is walked.
    #[inline]
    pub fn start_insn(&mut self) {
        self.current = None;
    }

    /// Notes the current instruction on `trail`, or adds to its entry.
    pub fn note(
        &mut self,
        trail: &mut Trail,
        insn: usize,
        previous_insn: i32,
        deed: Deed,
        links: PackedLinks,
    ) {
        if let Some(current) = self.current {
            let entry = &mut self.entries[current as usize];
            entry.deed.0 |= deed.0;
            if !links.is_empty() {
                entry.links = links;
            }
            return;
        }
        let index = self.entries.len() as u32;
        self.entries.push(Entry {
            insn: insn as u32,
            previous_insn,
            before: trail.last,
            deed,
            links,
        });
        trail.last = index;
        trail.len += 1;
        self.current = Some(index);
    }

    /// The last entry of `trail`, if it is that instruction's.
    #[inline]
    pub fn entry(&self, trail: Trail, insn: usize) -> Option<&Entry> {
        if trail.len == 0 {
            return None;
        }
        self.entries
            .get(trail.last as usize)
            .filter(|entry| entry.insn as usize == insn)
    }

    /// The instruction before `insn`, whose entry of `trail` is `entry`, on a path that starts at `first` and whose rest is
    /// `trail`; `None` at its start.
    #[inline]
    pub fn step_back(
        trail: &mut Trail,
        first: usize,
        insn: usize,
        entry: Option<&Entry>,
    ) -> Option<i32> {
        if insn == first && (trail.len == 0 || trail.len == 1 && entry.is_some()) {
            return None;
        }
        match entry {
            Some(entry) => {
                *trail = Trail {
                    last: entry.before,
                    len: trail.len - 1,
                };
                Some(entry.previous_insn)
            }
            None => Some(insn as i32 - 1),
        }
    }
}
