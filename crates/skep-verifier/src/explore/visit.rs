//! At a place where paths meet: was this state seen before, is the program caught in a loop, is the state worth storing.
//!
//! Invariants: the heuristics are those of Linux 6.18, since they decide how many instructions are explored; a state
//! whose paths are not all walked prunes nothing, except where a loop comes back to it.

use super::checkpoint::{Checkpoint, FrameMarks, same_callsites};
use super::equal::{self, Exactness, Terms};
use super::history::{Deed, PackedLinks};
use super::liveness::Flow;
use super::precise::Leg;
use crate::cfg::Mark;
use crate::fault::{Fault, Rule};
use crate::state::frame::slot_index;
use crate::state::reg::{Detail, IterState, Kind};
use crate::verifier::Verifier;
use skep_spec::insn::jmp;
use skep_spec::profile::Feature;

/// More entries than that force a state to be stored.
const HISTORY_MAX: u32 = 40;
/// States per place for programs without privileges (`BPF_COMPLEXITY_LIMIT_STATES`).
const STATES_UNPRIVILEGED_MAX: u64 = 64;
const EINVAL: i32 = 22;

/// What a stored state says about the current one.
enum Found {
    /// It differs.
    Miss,
    /// It covers the current one; `in_loop` if its own paths are not all known.
    Hit { in_loop: bool },
}

impl Verifier<'_> {
    /// Whether a stored state covers the current one; if not, may store it.
    pub(super) fn is_visited(&mut self) -> Rule<bool> {
        let at = self.insn_idx;
        let marks = self.shape.cfg.marks(at);
        let checkpoint_here = marks.has(Mark::CHECKPOINT);
        let must_store =
            self.allow.test_state_freq || checkpoint_here || self.state.trail.len > HISTORY_MAX;
        let since = (
            self.explore.jumps - self.explore.stored_at.0,
            self.stats.insns_processed - self.explore.stored_at.1,
        );
        let mut store = must_store || since.0 >= 2 && since.1 >= 8;

        let bucket = self.explore.bucket_of(&self.state, at);
        let mut list = std::mem::take(&mut self.explore.stored[bucket]);
        if !list.is_empty() {
            self.clean(&list);
        }
        let terms = match list.is_empty() {
            true => Terms::default(),
            false => self.terms(Exactness::NotExact),
        };
        let mut count = 0;
        let mut hit = None;
        let mut position = list.len();
        let mut failed = None;
        while position > 0 {
            position -= 1;
            let index = list[position];
            count += 1;
            if self.explore.checkpoints[index as usize].insn != at {
                continue;
            }
            let waiting = self.explore.checkpoints[index as usize].branches > 0;
            let found = match self.compare(index, waiting, marks, terms) {
                Ok(found) => found,
                Err(fault) => {
                    failed = Some(fault);
                    break;
                }
            };
            if let Found::Hit { in_loop } = found {
                hit = Some((index, in_loop));
                break;
            }
            if waiting && !must_store && since.0 < 20 && since.1 < 100 {
                // Iterations of a loop rarely prune each other.
                store = false;
            }
            let checkpoint = &mut self.explore.checkpoints[index as usize];
            if store {
                checkpoint.misses += 1;
            }
            let patience = if checkpoint_here && waiting { 64 } else { 3 };
            if checkpoint.misses > checkpoint.hits * patience + patience {
                checkpoint.evicted = true;
                list.remove(position);
                self.explore.compared -= 1;
                self.explore.retained += 1;
                self.give_back(index);
            }
        }
        self.explore.stored[bucket] = list;
        self.stats.side_steps += count;
        if let Some(fault) = failed {
            return Err(fault);
        }
        if let Some((index, in_loop)) = hit {
            self.arrive(index, in_loop)?;
            return Ok(true);
        }
        self.stats.states_per_insn_max = self.stats.states_per_insn_max.max(count);
        if !self.allow.bpf && count > STATES_UNPRIVILEGED_MAX {
            return Ok(false);
        }
        if store {
            self.store(bucket);
        }
        Ok(false)
    }

    /// The path ends at a state that was seen: what mattered there matters here.
    fn arrive(&mut self, index: u32, in_loop: bool) -> Rule {
        self.explore.checkpoints[index as usize].hits += 1;
        let at = self.insn_idx;
        if self.shape.cfg.marks(at).has(Mark::JUMP) {
            let previous = super::previous(self.prev_insn_idx);
            self.explore.history.note(
                &mut self.state.trail,
                at,
                previous,
                Deed::NONE,
                PackedLinks::default(),
            );
        }
        self.propagate_precision(index, Leg::of(&self.state, at))?;
        if in_loop {
            self.add_back_edge(index);
        }
        Ok(())
    }

    fn compare(&mut self, index: u32, waiting: bool, marks: Mark, terms: Terms) -> Rule<Found> {
        if waiting {
            return self.compare_waiting(index, marks, terms);
        }
        let in_loop = self.is_incomplete(index);
        let exactness = if in_loop {
            Exactness::RangeWithin
        } else {
            Exactness::NotExact
        };
        Ok(if self.is_covered(index, Terms { exactness, ..terms }) {
            Found::Hit { in_loop }
        } else {
            Found::Miss
        })
    }

    /// The stored state's own paths are not all walked: the current path came from it or will meet it.
    fn compare_waiting(&mut self, index: u32, marks: Mark, terms: Terms) -> Rule<Found> {
        let at = self.insn_idx;
        let within = Terms {
            exactness: Exactness::RangeWithin,
            ..terms
        };
        let checkpoint = &self.explore.checkpoints[index as usize];
        let (old, new) = (checkpoint.state.frame(), self.state.frame());
        if old.in_async_callback && old.async_entries != new.async_entries {
            return Ok(Found::Miss);
        }
        let is_iterator_next = marks.has(Mark::CHECKPOINT)
            && !marks.has(Mark::CALLS_CALLBACK)
            && self.insns[at].is_call();
        if is_iterator_next {
            let converged = self.is_covered(index, within) && self.iterator_is_active();
            return Ok(hit_in_loop(converged));
        }
        let is_may_goto = self.insns[at].op() == jmp::JCOND && marks.has(Mark::CHECKPOINT);
        let may_goto_depth = checkpoint.state.may_goto_depth;
        if is_may_goto
            && may_goto_depth != self.state.may_goto_depth
            && self.is_covered(index, within)
        {
            return Ok(hit_in_loop(true));
        }
        if marks.has(Mark::CALLS_CALLBACK) {
            let converged = self.is_covered(index, within);
            return Ok(hit_in_loop(converged));
        }
        let exact = Terms {
            exactness: match self.platform.profile.has(Feature::ExactLoops) {
                true => Exactness::Exact,
                false => Exactness::NotExact,
            },
            ..terms
        };
        let checkpoint = &mut self.explore.checkpoints[index as usize];
        let differed = checkpoint.progress_in;
        if let Err(register) = equal::may_loop(&checkpoint.state, &self.state, differed) {
            checkpoint.progress_in = register;
            return Ok(Found::Miss);
        }
        if checkpoint.state.may_goto_depth == self.state.may_goto_depth
            && checkpoint.state.callback_unroll_depth == self.state.callback_unroll_depth
            && !equal::iterator_depths_differ(&checkpoint.state, &self.state)
            && self.is_covered(index, exact)
        {
            return Err(self.infinite_loop(index));
        }
        Ok(Found::Miss)
    }

    #[cold]
    fn infinite_loop(&mut self, index: u32) -> Box<Fault> {
        let at = self.insn_idx;
        self.log_source(at);
        let fault = Fault::new(
            EINVAL,
            "verifier-infinite-loop",
            format!("infinite loop detected at insn {at}"),
        );
        let last = self.state.frames.len() - 1;
        let current = self.state_text(&self.state, last, None);
        let old = self.stored_text(index, last);
        fault
            .and(format!("cur state:{current}"))
            .and(format!("old state:{old}"))
    }

    /// The iterator that r1 points to has more to give.
    fn iterator_is_active(&self) -> bool {
        let reg = self.reg(1);
        if reg.kind != Kind::Stack {
            return false;
        }
        let off = i64::from(reg.off) + reg.num.bits.value as i64;
        let Ok(off) = i32::try_from(off) else {
            return false;
        };
        if off >= 0 {
            return false;
        }
        self.state
            .frames
            .get(usize::from(reg.frame))
            .and_then(|frame| frame.stack.get(slot_index(off)))
            .is_some_and(|slot| {
                matches!(
                    slot.reg.detail,
                    Detail::Iter {
                        state: IterState::Active,
                        ..
                    }
                )
            })
    }

    fn is_covered(&mut self, index: u32, terms: Terms) -> bool {
        let next = self.next_free_id();
        let explore = &mut self.explore;
        let checkpoint = &mut explore.checkpoints[index as usize];
        match equal::covers(checkpoint, &self.state, terms, &mut explore.ids, next) {
            Ok(()) => {
                if terms.uninit_stack {
                    equal::unwritten_where_read(checkpoint, &self.state, &mut self.subprogs);
                }
                true
            }
            Err(hint) => {
                if hint.set && terms.exactness == Exactness::NotExact {
                    checkpoint.hint = hint;
                }
                false
            }
        }
    }

    /// Keeps the current state.
    fn store(&mut self, bucket: usize) {
        let at = self.insn_idx;
        let index = self.explore.checkpoints.len() as u32;
        self.explore
            .checkpoints
            .push(Checkpoint::new(&self.state, at));
        self.explore.stored[bucket].push(index);
        self.explore.weigh_stored();
        self.explore.compared += 1;
        self.stats.states_total += 1;
        self.stats.states_peak = self.stats.states_peak.max(self.explore.kept());
        self.explore.stored_at = (self.explore.jumps, self.stats.insns_processed);
        self.enter_loop(index);
        self.state.parent = Some(index);
        self.state.first_insn = at;
        self.state.dfs_depth += 1;
        self.state.trail = super::history::Trail::EMPTY;
    }

    /// Finds what is dead in stored states all whose paths are known.
    fn clean(&mut self, list: &[u32]) {
        let at = self.insn_idx;
        for &index in list {
            let checkpoint = &self.explore.checkpoints[index as usize];
            if checkpoint.branches > 0
                || checkpoint.cleaned
                || checkpoint.insn != at
                || !same_callsites(&checkpoint.state, &self.state)
                || self.is_incomplete(index)
            {
                continue;
            }
            let frames = self.state.frames.len();
            let mut alive = [0_u64; 8];
            for (frame, alive) in alive.iter_mut().enumerate().take(frames) {
                *alive = self.alive_slots(index, frame);
            }
            let checkpoint = &mut self.explore.checkpoints[index as usize];
            checkpoint.cleaned = true;
            for (marks, alive) in checkpoint.marks.iter_mut().zip(alive) {
                *marks = FrameMarks {
                    alive_slots: alive,
                    ..*marks
                };
            }
        }
    }

    fn alive_slots(&mut self, index: u32, frame: usize) -> u64 {
        let shape = Flow {
            insns: self.insns,
            subprogs: &self.subprogs,
            postorder: &self.explore.postorder,
            cfg: &self.shape.cfg,
        };
        let checkpoint = &self.explore.checkpoints[index as usize];
        let live = &mut self.explore.live_stack;
        live.alive(&checkpoint.state, checkpoint.insn, frame, shape)
    }
}

fn hit_in_loop(hit: bool) -> Found {
    if hit {
        Found::Hit { in_loop: true }
    } else {
        Found::Miss
    }
}
