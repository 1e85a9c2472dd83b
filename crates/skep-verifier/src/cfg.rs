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
pub fn successors(insns: &[Insn], at: usize) -> impl Iterator<Item = usize> + use<> {
    let insn = insns[at];
    let next = at + insn.slots();
    let jump = insn
        .jump_offset()
        .and_then(|offset| usize::try_from((at as i32).wrapping_add(offset).wrapping_add(1)).ok());
    let falls = match insn.class() {
        class::JMP | class::JMP32 => !matches!(insn.op(), jmp::JA | jmp::EXIT),
        _ => true,
    };
    let end = insns.len();
    [falls.then_some(next), jump]
        .into_iter()
        .flatten()
        .filter(move |&slot| slot < end)
}

/// Whether some jump goes to itself or back, so that there may be a loop within a subprogram.
pub fn has_back_edge(insns: &[Insn]) -> bool {
    insns
        .iter()
        .any(|insn| insn.jump_offset().is_some_and(|offset| offset < 0))
}
