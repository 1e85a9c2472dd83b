//! Which numbers fit into instructions: patterns of the logical ones, and the shortest way to make any other.
//!
//! Invariant: a [`Logical`] holds a value that the instruction expands to exactly; 0 and all ones have none.

use super::Width;

/// The `N:immr:imms` fields of a repeated, rotated run of ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Logical(u32);

impl Logical {
    /// The fields of a value, of which the low half counts for `W`.
    pub fn new(width: Width, value: u64) -> Option<Logical> {
        let value = match width {
            Width::X => value,
            Width::W => value & 0xffff_ffff | value << 32,
        };
        if value == 0 || value == u64::MAX {
            return None;
        }
        // The shortest period: halves that are equal are one.
        let mut size = 64;
        while size > 2 {
            let half = size / 2;
            let mask = (1 << half) - 1;
            if value & mask != value >> half & mask {
                break;
            }
            size = half;
        }
        let mask = u64::MAX >> (64 - size);
        let element = value & mask;
        // Turned so that the run of ones starts at bit 0, it is one less than a power of two. The run starts where a one
        // follows a zero; that bit is lowest in the element, or behind the ones that wrap around its end.
        let wrapped = element & 1 != 0 && element >> (size - 1) & 1 != 0;
        let start = if wrapped {
            size - (!element << (64 - size)).leading_zeros()
        } else {
            element.trailing_zeros()
        };
        let run = if start % size == 0 {
            element
        } else {
            (element >> start | element << (size - start)) & mask
        };
        if run & (run + 1) != 0 {
            return None;
        }
        let ones = run.trailing_ones();
        let rotate = (size - start % size) % size;
        // The size stands above the count in `imms`, as zeros below ones; N says 64.
        let imms = !(2 * size - 1) & 0x3f | (ones - 1);
        let n = u32::from(size == 64);
        Some(Logical(n << 12 | rotate << 6 | imms))
    }

    pub(super) fn field(self) -> u32 {
        self.0
    }
}

/// How a number gets into a register.
pub(super) enum Wide {
    /// In one word.
    Logical(Logical),
    /// 16 bits a word, starting from zeros or ones; a 32-bit width clears the upper half.
    Parts { width: Width, ones: bool },
}

/// The shortest way to make a number.
pub(super) fn wide(value: u64) -> Wide {
    let parts = |count: u32, skip: u64| {
        let used = (0..count).filter(|at| value >> (16 * at) & 0xffff != skip);
        (used.count() as u32).max(1)
    };
    let mut best = (
        parts(4, 0),
        Wide::Parts {
            width: Width::X,
            ones: false,
        },
    );
    let mut offer = |words, way| {
        if words < best.0 {
            best = (words, way);
        }
    };
    offer(
        parts(4, 0xffff),
        Wide::Parts {
            width: Width::X,
            ones: true,
        },
    );
    if value >> 32 == 0 {
        offer(
            parts(2, 0xffff),
            Wide::Parts {
                width: Width::W,
                ones: true,
            },
        );
    }
    if let Some(logical) = Logical::new(Width::X, value) {
        offer(1, Wide::Logical(logical));
    }
    best.1
}
