//! The shape of a program: which slots are reached, where states are worth keeping, loops, live registers, stack depth.
//!
//! Invariants: linear in the number of slots, except live registers and loops, which are nearly so; no recursion; the
//! marks are those of Linux 6.18, since they decide how many instructions its walk explores.

use skep_spec::insn::{Insn, class, jmp};

pub mod fastcall;
pub mod live;
pub mod scc;
pub mod stack;
pub mod walk;

#[cfg(test)]
mod tests;

pub use walk::{BackEdges, CallEffects, Cfg, Mark, Summary};

/// The slots that may run after an instruction within its subprogram: the next one first, then a jump's target. Calls
/// come back. Slots outside of the program are left out.
#[inline]
pub fn successors(insns: &[Insn], at: usize) -> Successors {
    let insn = insns[at];
    let end = insns.len();
    let mut found = Successors {
        to: [0; 2],
        next: 0,
        end: 0,
    };
    let is_jump = matches!(insn.class(), class::JMP | class::JMP32);
    if !is_jump || !matches!(insn.op(), jmp::JA | jmp::EXIT) {
        found.add(at + insn.slots(), end);
    }
    if is_jump
        && let Some(offset) = insn.jump_offset()
        && let Ok(target) = usize::try_from((at as i32).wrapping_add(offset).wrapping_add(1))
    {
        found.add(target, end);
    }
    found
}

/// At most two slots.
#[derive(Clone, Copy, Debug)]
pub struct Successors {
    to: [usize; 2],
    next: u8,
    end: u8,
}

impl Successors {
    #[inline]
    fn add(&mut self, slot: usize, end: usize) {
        if slot < end {
            self.to[usize::from(self.end & 1)] = slot;
            self.end += 1;
        }
    }

    /// Number `index` of them.
    #[inline]
    pub fn at(&self, index: u8) -> Option<usize> {
        (index < self.end).then(|| self.to[usize::from(index & 1)])
    }
}

impl Iterator for Successors {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let slot = self.at(self.next)?;
        self.next += 1;
        Some(slot)
    }
}

/// Whether some jump goes to itself or back, so that there may be a loop within a subprogram.
pub fn has_back_edge(insns: &[Insn]) -> bool {
    insns
        .iter()
        .any(|insn| insn.jump_offset().is_some_and(|offset| offset < 0))
}
