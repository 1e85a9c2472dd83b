//! The walk over all paths: which instruction next, which branches wait, when a state was seen before.
//!
//! Invariant: every path ends at an exit, at a state that an explored one covers, or in a fault.

use crate::fault::{Fault, Rule};
use crate::state::State;
use crate::step::Next;
use crate::verifier::Verifier;

/// A branch that waits to be walked.
#[derive(Debug)]
pub struct Branch {
    pub state: State,
    pub insn_idx: usize,
    pub prev_insn_idx: Option<usize>,
    /// Bytes of log when it was put aside.
    pub log_len: usize,
}

/// What the walk keeps.
#[derive(Debug, Default)]
pub struct Explorer {
    pub pending: Vec<Branch>,
}

/// Branches that may wait (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
const PENDING_MAX: usize = 8192;
/// Instructions explored at most (`BPF_COMPLEXITY_LIMIT_INSNS`).
const PROCESSED_MAX: u64 = 1_000_000;
const E2BIG: i32 = 7;
const EFAULT: i32 = 14;

impl Verifier<'_> {
    /// Walks the current state and all that waits.
    pub fn walk(&mut self) -> Rule {
        loop {
            self.stats.insns_processed += 1;
            if self.stats.insns_processed > PROCESSED_MAX {
                return Err(Fault::new(
                    E2BIG,
                    "verifier-too-complex",
                    format!(
                        "BPF program is too large. Processed {} insn",
                        self.stats.insns_processed
                    ),
                ));
            }
            let at = self.insn_idx;
            self.aux[at].seen = true;
            match self.step().map_err(|fault| fault.at(at))? {
                Next::Insn(next) => {
                    self.prev_insn_idx = Some(at);
                    self.insn_idx = next;
                }
                Next::PathEnds => {
                    let Some(branch) = self.explore.pending.pop() else {
                        return Ok(());
                    };
                    self.state = branch.state;
                    self.insn_idx = branch.insn_idx;
                    self.prev_insn_idx = branch.prev_insn_idx;
                }
            }
        }
    }

    /// Puts a copy of the current state aside, to be walked from `insn_idx` later; the caller may change it.
    pub fn push_branch(
        &mut self,
        insn_idx: usize,
        prev_insn_idx: usize,
        speculative: bool,
    ) -> Rule<&mut State> {
        if self.explore.pending.len() >= PENDING_MAX {
            return Err(Fault::new(
                EFAULT,
                "verifier-too-many-branches",
                format!("The sequence of {} jumps is too complex.", PENDING_MAX + 1),
            ));
        }
        let mut state = self.state.clone();
        state.speculative |= speculative;
        self.explore.pending.push(Branch {
            state,
            insn_idx,
            prev_insn_idx: Some(prev_insn_idx),
            log_len: self.log.len(),
        });
        let last = self.explore.pending.len() - 1;
        Ok(&mut self.explore.pending[last].state)
    }

    /// Notes that the exact value of register `number` of the active frame matters, here and where it came from.
    pub fn mark_precise(&mut self, _number: u8) -> Rule {
        Ok(())
    }

    /// Notes for later walks back that this instruction read or wrote stack slot `slot` of frame `frame`.
    pub fn note_stack_access(&mut self, _frame: u8, _slot: usize) {}

    /// Notes that the slots in `mask` of frame `frame`'s stack are read here.
    pub fn stack_read(&mut self, _frame: u8, _mask: u64) {}

    /// Notes that the slots in `mask` of frame `frame`'s stack are overwritten here whatever the path.
    pub fn stack_written(&mut self, _frame: u8, _mask: u64) {}
}
