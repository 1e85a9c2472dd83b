//! The walk over all paths: which instruction next, which branches wait, when a state was seen before.
//!
//! Invariant: every path ends at an exit, at a state that an explored one covers, or in a fault.

use crate::fault::{Fault, Rule};
use crate::state::State;
use crate::state::slot::SlotByte;
use crate::verifier::Verifier;
use skep_spec::insn::Insn;

pub mod checkpoint;
pub mod equal;
pub mod history;
pub mod liveness;
pub mod loops;
pub mod memory;
pub mod precise;
pub mod speculate;
pub mod visit;
pub mod walk;

use checkpoint::Checkpoint;
use equal::IdMap;
use history::{Deed, History, PackedLinks};
use liveness::LiveStack;
use loops::Visits;

/// A branch that waits to be walked.
#[derive(Debug)]
pub struct Branch {
    pub state: State,
    pub insn_idx: usize,
    pub prev_insn_idx: Option<usize>,
    /// Bytes that it does not share with the branch before it.
    pub bytes: u64,
    /// Bytes of log when it was put aside.
    pub log_len: usize,
    /// The trail's node then.
    pub trail: u32,
}

/// What the walk keeps.
#[derive(Debug, Default)]
pub struct Explorer {
    pub pending: Vec<Branch>,
    /// Numbers of unprivileged programs may not be taken for each other: masking depends on them.
    pub strict_numbers: bool,
    /// The subprogram at which this walk started.
    pub root_subprog: u32,
    history: History,
    checkpoints: Vec<Checkpoint>,
    /// Stored states by place, the newest last.
    stored: Vec<Vec<u32>>,
    visits: Visits,
    live_stack: LiveStack,
    /// Of the log's updates of what is alive; empty without them.
    postorder: Vec<usize>,
    ids: IdMap,
    jumps: u64,
    /// `jumps` and instructions when a state was stored last.
    stored_at: (u64, u64),
    /// Stored states that are compared with, and those that are only walked back through.
    compared: u64,
    retained: u64,
    memory: memory::Memory,
}

/// Branches that may wait (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
const PENDING_MAX: usize = 8192;
const EFAULT: i32 = 14;

impl Explorer {
    /// Where states at `insn` are stored.
    fn bucket_of(&self, state: &State, insn: usize) -> usize {
        let site = state.frame().callsite.map_or(u32::MAX, |site| site as u32);
        (insn as u32 ^ site) as usize % self.stored.len().max(1)
    }

    /// How many states are kept in all, and paths back into loops.
    fn kept(&self) -> u64 {
        self.compared + self.retained + self.visits.back_edges as u64
    }

    /// Forgets the states of an earlier walk.
    pub(crate) fn clear(&mut self, insns: &[Insn], level2: bool) {
        // Only the log follows that order.
        if level2 && self.postorder.is_empty() {
            self.postorder = crate::cfg::live::postorder(insns);
        }
        let insns = insns.len();
        self.pending.clear();
        self.history = History::default();
        self.checkpoints.clear();
        self.stored.clear();
        self.stored.resize_with(insns.max(1), Vec::new);
        self.visits = Visits::default();
        self.compared = 0;
        self.retained = 0;
        self.memory = memory::Memory::default();
    }
}

impl Verifier<'_> {
    /// Puts a copy of the current state aside, to be walked from `insn_idx` later; the caller may change it.
    pub fn push_branch(
        &mut self,
        insn_idx: usize,
        prev_insn_idx: usize,
        speculative: bool,
    ) -> Rule<&mut State> {
        self.check_pending()?;
        let mut state = self.state.clone();
        state.speculative |= speculative;
        if let Some(parent) = state.parent {
            self.explore.checkpoints[parent as usize].branches += 1;
        }
        let before = self.explore.pending.last().map(|branch| &branch.state);
        let bytes = memory::own_bytes(&state, before);
        self.explore.memory.pending += bytes;
        self.explore.pending.push(Branch {
            bytes,
            state,
            insn_idx,
            prev_insn_idx: Some(prev_insn_idx),
            log_len: self.log.len(),
            trail: self.trail.as_ref().map_or(0, |trail| trail.last),
        });
        let last = self.explore.pending.len() - 1;
        Ok(&mut self.explore.pending[last].state)
    }

    /// Whether one more branch may wait.
    fn check_pending(&self) -> Rule {
        let waiting = self.explore.pending.len();
        if waiting < PENDING_MAX && self.explore.memory.pending < memory::PENDING_BYTES_MAX {
            return Ok(());
        }
        Err(Fault::new(
            EFAULT,
            "verifier-too-many-branches",
            format!("The sequence of {} jumps is too complex.", waiting + 1),
        ))
    }

    /// Puts a path aside that has nothing to do with the current one.
    pub fn push_fresh(&mut self, state: State, insn_idx: usize, prev_insn_idx: usize) -> Rule {
        self.check_pending()?;
        let before = self.explore.pending.last().map(|branch| &branch.state);
        let bytes = memory::own_bytes(&state, before);
        self.explore.memory.pending += bytes;
        self.explore.pending.push(Branch {
            bytes,
            state,
            insn_idx,
            prev_insn_idx: Some(prev_insn_idx),
            log_len: self.log.len(),
            trail: self.trail.as_ref().map_or(0, |trail| trail.last),
        });
        Ok(())
    }

    fn note(&mut self, deed: Deed, links: PackedLinks) {
        let previous = previous(self.prev_insn_idx);
        self.explore
            .history
            .note(&mut self.state.trail, self.insn_idx, previous, deed, links);
    }

    /// Notes for later walks back that this instruction read or wrote stack slot `slot` of frame `frame`.
    pub fn note_stack_access(&mut self, frame: u8, slot: usize) {
        self.note(Deed::stack_access(frame, slot), PackedLinks::default());
    }

    /// Notes for later walks back that this jump compares stack pointers.
    pub fn note_jump_stack(&mut self, dst: bool, src: bool) {
        if dst | src {
            let mut deed = Deed::NONE;
            if dst {
                deed.0 |= Deed::DST_IS_STACK.0;
            }
            if src {
                deed.0 |= Deed::SRC_IS_STACK.0;
            }
            self.note(deed, PackedLinks::default());
        }
    }

    /// Notes for later walks back that this jump teaches something about these registers too.
    pub fn note_linked(&mut self, linked: &crate::step::linked::Linked) {
        self.note(Deed::NONE, PackedLinks::of(linked));
    }

    /// Notes that the slots in `mask` of frame `frame`'s stack are read here.
    pub fn stack_read(&mut self, frame: u8, mask: u64) {
        let at = self.insn_idx;
        if self.log.wanted() {
            self.log_objects_read(frame, mask);
        }
        self.with_live_stack(|live, state, shape, _| {
            live.read(state, usize::from(frame), at, mask, shape);
        });
    }

    /// The log shows objects on the stack that an instruction uses.
    #[cold]
    fn log_objects_read(&mut self, frame: u8, mask: u64) {
        let Some(stack) = self.state.frames.get(usize::from(frame)) else {
            return;
        };
        for (slot, held) in stack.stack.iter().enumerate() {
            let is_object = matches!(
                held.bytes[7],
                SlotByte::Dynptr | SlotByte::Iter | SlotByte::Irq
            );
            if mask >> slot & 1 != 0 && is_object {
                self.log.scratch_slot(slot);
            }
        }
    }

    /// Notes that the slots in `mask` of frame `frame`'s stack are overwritten here whatever the path.
    pub fn stack_written(&mut self, frame: u8, mask: u64) {
        self.explore.live_stack.write(usize::from(frame), mask);
    }

    /// The registers that may be read after frame `frame` of `state`, whose active function is at `insn`.
    fn live_before(&self, state: &State, insn: usize, frame: usize) -> u16 {
        self.shape
            .live
            .before(liveness::frame_insn(state, insn, frame))
    }
}

/// As the history writes it: -1 for none.
fn previous(insn: Option<usize>) -> i32 {
    insn.map_or(-1, |insn| insn as i32)
}

#[cfg(test)]
mod tests;
