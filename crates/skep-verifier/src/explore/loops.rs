//! Loops: where a state of the same loop was seen before, what may be widened for it to end, and what is still unknown
//! while a loop's end was not reached.
//!
//! Invariant: a state that a loop led back to is only trusted as far as its numbers all lie within, until every path
//! out of the loop was walked.

use std::collections::BTreeMap;

use super::checkpoint::same_callsites;
use super::equal::IdMap;
use super::liveness::frame_insn;
use super::precise::Leg;
use crate::fault::{Fault, Rule};
use crate::state::State;
use crate::state::reg::{Kind, Reg};
use crate::step::Next;
use crate::verifier::Verifier;
use skep_spec::insn::{Insn, class, jmp};

const EINVAL: i32 = 22;

const FRAMES: usize = 8;
/// Rounds of carrying back what matters around a loop, before everything does (`MAX_BACKEDGE_ITERS`).
const ROUNDS_MAX: u32 = 64;

/// A loop in a function, with the calls that lead there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoopKey {
    sites: [u32; FRAMES],
    number: u32,
}

impl std::fmt::Display for LoopKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(")?;
        for site in self.sites.iter().take_while(|&&site| site != 0) {
            write!(f, "{},", site - 1)?;
        }
        write!(f, "{})", self.number)
    }
}

/// A loop that is being walked.
#[derive(Debug, Default)]
pub struct Visit {
    /// The first state in it.
    pub entry: Option<u32>,
    /// Paths that came back to a state of the loop: that state, and the path.
    pub back_edges: Vec<(u32, Leg)>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Visits {
    by_key: BTreeMap<LoopKey, Visit>,
    /// Paths back, in all.
    pub back_edges: usize,
}

impl Verifier<'_> {
    /// The loop that the state at `insn` is in: that of the outermost frame that is in one.
    fn loop_key(&self, state: &State, insn: usize) -> Option<LoopKey> {
        if self.shape.loops.count() == 0 {
            return None;
        }
        let mut key = LoopKey {
            sites: [0; FRAMES],
            number: 0,
        };
        for frame in 0..state.frames.len() {
            let at = frame_insn(state, insn, frame);
            key.number = self.shape.loops.of(at);
            if key.number != 0 {
                return Some(key);
            }
            *key.sites.get_mut(frame)? = at as u32 + 1;
        }
        None
    }

    /// Whether paths led back into the loop of that stored state whose rest is not known yet.
    pub(super) fn is_incomplete(&self, index: u32) -> bool {
        if self.explore.visits.back_edges == 0 {
            return false;
        }
        let checkpoint = &self.explore.checkpoints[index as usize];
        self.loop_key(&checkpoint.state, checkpoint.insn)
            .and_then(|key| self.explore.visits.by_key.get(&key))
            .is_some_and(|visit| !visit.back_edges.is_empty())
    }

    /// A state was stored: it may be the first of its loop.
    pub(super) fn enter_loop(&mut self, index: u32) {
        let checkpoint = &self.explore.checkpoints[index as usize];
        if let Some(key) = self.loop_key(&checkpoint.state, checkpoint.insn) {
            let visit = self.explore.visits.by_key.entry(key).or_default();
            if visit.entry.is_none() {
                visit.entry = Some(index);
                if self.log.level2() {
                    self.log.line(format_args!("SCC enter {key}"));
                }
            }
        }
    }

    /// All paths from a stored state were walked: if it was the first of its loop, the loop is done.
    pub(super) fn leave_loop(&mut self, index: u32) -> Rule {
        let checkpoint = &self.explore.checkpoints[index as usize];
        let Some(key) = self.loop_key(&checkpoint.state, checkpoint.insn) else {
            return Ok(());
        };
        let Some(visit) = self.explore.visits.by_key.get_mut(&key) else {
            return Ok(());
        };
        if visit.entry != Some(index) {
            return Ok(());
        }
        visit.entry = None;
        if self.log.level2() {
            self.log.line(format_args!("SCC exit {key}"));
        }
        let back_edges = visit.back_edges.clone();
        // While it is carried around, the loop still counts as unfinished.
        let mut rounds = 0;
        loop {
            rounds += 1;
            if rounds > ROUNDS_MAX {
                for (_, leg) in &back_edges {
                    self.mark_all_precise(leg);
                }
                break;
            }
            let mut changed = false;
            for &(equal, leg) in &back_edges {
                changed |= self.propagate_precision(equal, leg)?;
            }
            if !changed {
                break;
            }
        }
        self.explore.visits.back_edges -= back_edges.len();
        if let Some(visit) = self.explore.visits.by_key.get_mut(&key) {
            visit.back_edges.clear();
        }
        Ok(())
    }

    /// The current path came back to that stored state of a loop that is not done.
    pub(super) fn add_back_edge(&mut self, equal: u32) {
        let leg = Leg::of(&self.state, self.insn_idx);
        let checkpoint = &self.explore.checkpoints[equal as usize];
        if let Some(key) = self.loop_key(&checkpoint.state, checkpoint.insn) {
            let visit = self.explore.visits.by_key.entry(key).or_default();
            visit.back_edges.push((equal, leg));
            if self.log.level2() {
                self.log.line(format_args!("SCC backedge {key}"));
            }
            self.explore.visits.back_edges += 1;
            self.stats.states_peak = self.stats.states_peak.max(self.explore.kept());
        }
    }

    /// may_goto: leaves the loop at some iteration, at the latest when its budget is spent.
    pub fn check_may_goto(&mut self, insn: Insn, target: usize, fall: usize) -> Rule<Next> {
        if insn.code != class::JMP | jmp::JCOND || insn.src != 0 || insn.dst != 0 || insn.imm != 0 {
            return Err(Fault::new(
                EINVAL,
                "verifier-may-goto",
                format!("invalid may_goto imm {}", insn.imm),
            ));
        }
        let at = self.insn_idx;
        let previous = self.previous_entry(at);
        self.push_branch(fall, at, false)?.may_goto_depth += 1;
        if let Some(previous) = previous {
            self.widen_pushed(previous);
        }
        Ok(Next::Insn(target))
    }

    /// A `bpf_loop` with no flags and always the same callback is inlined: then its flags matter.
    pub fn note_loop_inline(&mut self, callback: u32) -> Rule {
        let at = self.insn_idx;
        let fits = match self.aux[at].loop_inline {
            Some((false, _)) => return Ok(()),
            Some((true, known)) => Some(known),
            None => None,
        };
        let no_flags = self.reg(4).is_zero();
        if no_flags {
            self.mark_precise(4)?;
        }
        let same = fits.is_none_or(|known| known == callback);
        self.aux[at].loop_inline = Some((no_flags && same, callback));
        Ok(())
    }

    /// Widens the branch that was put aside last.
    pub fn widen_pushed(&mut self, previous: u32) {
        if let Some(mut branch) = self.explore.pending.pop() {
            self.widen(previous, &mut branch.state);
            self.explore.pending.push(branch);
        }
    }

    /// The state of the previous iteration at `insn`: the last stored before the one that the current path comes from.
    pub fn previous_entry(&self, insn: usize) -> Option<u32> {
        self.previous_entry_from(self.state.parent?, insn)
    }

    /// The same for a callback that returns to its call, whose own state is not stored yet.
    pub fn previous_entry_of_return(&self, insn: usize) -> Option<u32> {
        self.find_entry(&self.state, insn)
    }

    fn previous_entry_from(&self, current: u32, insn: usize) -> Option<u32> {
        self.find_entry(&self.explore.checkpoints[current as usize].state, insn)
    }

    fn find_entry(&self, current: &State, insn: usize) -> Option<u32> {
        let bucket = self.explore.bucket_of(current, insn);
        self.explore.stored[bucket]
            .iter()
            .rev()
            .copied()
            .find(|&index| {
                let checkpoint = &self.explore.checkpoints[index as usize];
                checkpoint.insn == insn
                    && checkpoint.branches > 0
                    && checkpoint.state.dfs_depth < current.dfs_depth
                    && same_callsites(&checkpoint.state, current)
            })
    }

    /// In `state`, forgets the numbers that did not matter so far and differ from the previous iteration's: so that the
    /// loop's states become equal some time.
    pub fn widen(&mut self, previous: u32, state: &mut State) {
        let mut ids = std::mem::take(&mut self.explore.ids);
        ids.reset(self.next_free_id());
        let checkpoint = &self.explore.checkpoints[previous as usize];
        for index in (0..checkpoint.state.frames.len().min(state.frames.len())).rev() {
            let old = &checkpoint.state.frames[index];
            let marks = &checkpoint.marks[index];
            for number in 0..11 {
                let precise = marks.precise_regs >> number & 1 != 0;
                let reg = &state.frames[index].regs[number];
                if is_widened(&old.regs[number], reg, precise, &mut ids) {
                    state.frame_at_mut(index).regs[number] = Reg::UNKNOWN;
                }
            }
            for slot in 0..old.stack.len().min(state.frames[index].stack.len()) {
                let (a, b) = (&old.stack[slot], &state.frames[index].stack[slot]);
                let precise = marks.precise_slots >> slot & 1 != 0;
                if a.is_spill() && b.is_spill() && is_widened(&a.reg, &b.reg, precise, &mut ids) {
                    state.frame_at_mut(index).stack_mut(0)[slot].reg = Reg::UNKNOWN;
                }
            }
        }
        self.explore.ids = ids;
    }
}

fn is_widened(old: &Reg, current: &Reg, precise: bool, ids: &mut IdMap) -> bool {
    old.kind == Kind::Scalar
        && current.kind == Kind::Scalar
        && !precise
        && !old.precise
        && !current.precise
        && !(super::equal::same_value(old, current)
            && old.num == current.num
            && ids.check(old.id, current.id)
            && ids.check(old.ref_id, current.ref_id))
}
