//! Instruction after instruction, path after path, in the kernel's order: the current path to its end, then the branch
//! that was put aside last.
//!
//! Invariant: each turn counts as one instruction, also that of a path that ends at a state seen before.

use skep_spec::insn::{class, jmp};
use skep_spec::profile::Feature;

use super::equal::Exactness;
use super::history::{Deed, PackedLinks};
use super::liveness::{Flow, LiveStack};
use super::previous;
use crate::cfg::Mark;
use crate::explain::trail::Trail;
use crate::fault::{Fault, Rule};
use crate::log::Log;
use crate::state::State;
use crate::step::Next;
use crate::verifier::Verifier;

/// Instructions explored at most (`BPF_COMPLEXITY_LIMIT_INSNS`).
const PROCESSED_MAX: u64 = 1_000_000;
const EPERM: i32 = 1;
const E2BIG: i32 = 7;
const EACCES: i32 = 13;
const EFAULT: i32 = 14;
const EINVAL: i32 = 22;

impl Verifier<'_> {
    /// Walks the current state and all that waits.
    pub fn walk(&mut self) -> Rule {
        self.explore.clear(self.insns, self.log.level2());
        self.explore.root_subprog = self.state.frame().subprog;
        self.prev_insn_idx = None;
        if self.trail.is_some() {
            self.trail = Some(Trail::new(self.state.clone()));
        }
        self.log.start_walk();
        self.explore.live_stack.forget_chain();
        loop {
            if self.turn()? {
                continue;
            }
            self.end_path()?;
            let Some(branch) = self.explore.pending.pop() else {
                break;
            };
            self.explore.memory.pending -= branch.bytes;
            self.state = branch.state;
            self.insn_idx = branch.insn_idx;
            self.prev_insn_idx = branch.prev_insn_idx;
            if let Some(trail) = &mut self.trail {
                trail.last = branch.trail;
            }
            if !self.log.level2() {
                self.log.truncate(branch.log_len);
            }
            self.log.print_state = true;
        }
        if !self.log.level2() {
            self.log.truncate(0);
        }
        Ok(())
    }

    /// One instruction. Says whether the path goes on.
    fn turn(&mut self) -> Rule<bool> {
        self.explore.history.start_insn();
        let at = self.insn_idx;
        let Some(&insn) = self.insns.get(at) else {
            return Err(Fault::new(
                EFAULT,
                "verifier-bad-jump",
                format!("invalid insn idx {at} insn_cnt {}", self.insns.len()),
            ));
        };
        self.stats.insns_processed += 1;
        if self.stats.insns_processed > PROCESSED_MAX {
            return Err(Fault::new(
                E2BIG,
                "verifier-too-complex",
                format!(
                    "BPF program is too large. Processed {} insn",
                    self.stats.insns_processed
                ),
            )
            .at(at));
        }
        self.state.last_insn = previous(self.prev_insn_idx);
        let marks = self.shape.cfg.marks(at);
        if marks.has(Mark::PRUNE) && self.is_visited().map_err(|fault| fault.at(at))? {
            if self.log.wanted() {
                self.log_safe();
            }
            return Ok(false);
        }
        if marks.has(Mark::JUMP) {
            let previous = previous(self.prev_insn_idx);
            self.explore.history.note(
                &mut self.state.trail,
                at,
                previous,
                Deed::NONE,
                PackedLinks::default(),
            );
        }
        if self.log.wanted() {
            self.log_turn();
        }
        if let Some(trail) = &mut self.trail {
            trail.step(at);
        }
        if let Some(recording) = &mut self.recording
            && !self.state.speculative
        {
            recording.add(at, &self.state);
        }
        self.aux[at].seen |= !self.state.speculative;
        if self.state.speculative && self.aux[at].nospec {
            return Ok(false);
        }
        let touches_stack = match insn.class() {
            class::LDX | class::ST | class::STX => true,
            class::JMP => insn.is_call(),
            _ => false,
        };
        if touches_stack {
            self.with_live_stack(|live, state, shape, _| live.start(state, at, shape));
        }
        let frames = self.state.frames.len();
        if frames > 1 && insn.is_exit() {
            self.update_live_stack();
        }
        if matches!(insn.class(), class::JMP | class::JMP32) {
            self.explore.jumps += 1;
        }
        let waiting = self.explore.pending.len();
        let next = match self.step() {
            Ok(next) => next,
            Err(fault)
                if self.state.speculative
                    && self.platform.profile.has(Feature::SpeculationBarriers)
                    && matches!(fault.errno, EPERM | EACCES | EINVAL) =>
            {
                // Only mis-speculation comes here: stop that instead.
                if self.log.level2() {
                    for line in &fault.lines {
                        self.log.line(format_args!("{line}"));
                    }
                }
                self.explore.live_stack.finish();
                self.aux[at].nospec = true;
                self.aux[at].alu_state = 0;
                return Ok(false);
            }
            Err(fault) => return Err(fault.at(at)),
        };
        let is_conditional = matches!(insn.class(), class::JMP | class::JMP32)
            && !matches!(insn.op(), jmp::JA | jmp::CALL | jmp::EXIT);
        if is_conditional {
            if self.log.wanted() && insn.op() != jmp::JCOND {
                self.log_scratched();
            }
            let both = self.explore.pending.len() > waiting;
            let ways = &mut self.aux[at].ways;
            ways.next |= both || next == Next::Insn(at + 1);
            ways.target |= both || next != Next::Insn(at + 1);
        }
        let now = self.state.frames.len();
        if now == frames {
            if touches_stack {
                self.explore.live_stack.finish();
            }
        } else {
            self.explore.live_stack.forget_chain();
            if now > frames {
                self.log.scratch_all();
            } else if insn.is_exit() {
                self.log.print_state = true;
            }
        }
        if insn.is_call() {
            self.log.scratch_caller_saved();
            if marks.has(Mark::CALLS_CALLBACK) && self.explore.pending.len() > waiting {
                self.log.scratch_all();
            }
        }
        match next {
            Next::Insn(next) => {
                self.prev_insn_idx = Some(at);
                self.insn_idx = next;
                let stops = self.state.speculative
                    && self.aux[at].nospec_result
                    && self.platform.profile.has(Feature::SpeculationBarriers);
                Ok(!stops)
            }
            Next::PathEnds => Ok(false),
        }
    }

    /// The current path is walked.
    fn end_path(&mut self) -> Rule {
        self.log.scratch_all();
        self.count_branch_done(self.state.parent)?;
        self.update_live_stack();
        self.stats.side_steps += std::mem::take(&mut self.explore.live_stack.carried);
        Ok(())
    }

    /// One path less from that stored state, and, if it was its last, from the one before.
    fn count_branch_done(&mut self, mut state: Option<u32>) -> Rule {
        while let Some(index) = state {
            let checkpoint = &mut self.explore.checkpoints[index as usize];
            checkpoint.branches -= 1;
            if checkpoint.branches > 0 {
                break;
            }
            state = checkpoint.state.parent;
            self.leave_loop(index)?;
            self.give_back(index);
        }
        Ok(())
    }

    /// Frees the memory of a stored state that nothing needs any more.
    pub(super) fn give_back(&mut self, index: u32) {
        let checkpoint = &self.explore.checkpoints[index as usize];
        if checkpoint.evicted && checkpoint.branches == 0 && !self.is_incomplete(index) {
            self.explore.checkpoints[index as usize].forget();
            self.explore.retained -= 1;
        }
    }

    /// Brings what is alive on the stack up to date, before a function is left.
    pub fn update_live_stack(&mut self) {
        self.with_live_stack(|live, state, shape, log| live.update(state, shape, log));
    }

    /// Lends the recorded stack accesses together with what they need to know.
    pub(super) fn with_live_stack<R>(
        &mut self,
        run: impl FnOnce(&mut LiveStack, &State, Flow<'_>, &mut Log) -> R,
    ) -> R {
        let shape = Flow {
            insns: self.insns,
            subprogs: &self.subprogs,
            postorder: &self.explore.postorder,
            cfg: &self.shape.cfg,
        };
        let live = &mut self.explore.live_stack;
        run(live, &self.state, shape, &mut self.log)
    }

    #[cold]
    fn log_safe(&mut self) {
        let at = self.insn_idx;
        if self.log.print_state {
            let from = previous(self.prev_insn_idx);
            let how = speculation(&self.state);
            self.log
                .line(format_args!("\nfrom {from} to {at}{how}: safe"));
        } else {
            self.log.line(format_args!("{at}: safe"));
        }
    }

    /// The state and the instruction.
    #[cold]
    fn log_turn(&mut self) {
        let at = self.insn_idx;
        if self.log.level2() && self.log.print_state {
            let from = previous(self.prev_insn_idx);
            let how = speculation(&self.state);
            self.log.push(format_args!("\nfrom {from} to {at}{how}:"));
            let text = self.state_text(&self.state, self.state.frames.len() - 1, None);
            self.log.line(format_args!("{text}"));
            self.log.print_state = false;
        }
        if self.log.is_scratched() {
            self.log_scratched();
        }
        self.log_source(at);
        match self.texts.get(at) {
            Some(text) => self.log.insn(at, text),
            None => self.log.insn(at, &self.insn_text(at)),
        }
    }

    /// What the last instruction changed, behind it where there is nothing in between.
    pub(super) fn log_scratched(&mut self) {
        let shown = self.log.take_scratched();
        let text = self.state_text(&self.state, self.state.frames.len() - 1, Some(shown));
        self.log.changes(self.insn_idx, &text);
    }

    /// What comparing states depends on.
    pub(super) fn terms(&self, exactness: Exactness) -> super::equal::Terms {
        let mut live = [0; 8];
        let frames = self.state.frames.len();
        for (frame, live) in live.iter_mut().enumerate().take(frames) {
            *live = self.live_before(&self.state, self.insn_idx, frame);
        }
        super::equal::Terms {
            exactness,
            uninit_stack: self.allow.uninit_stack,
            // What was recorded must hold for every path, also for those that end at a stored state.
            always_precise: !self.allow.bpf || self.recording.is_some(),
            strict_numbers: self.explore.strict_numbers,
            live,
        }
    }
}

/// How the log marks a path that only mis-speculation takes.
pub fn speculation(state: &State) -> &'static str {
    if state.speculative {
        " (speculative execution)"
    } else {
        ""
    }
}
