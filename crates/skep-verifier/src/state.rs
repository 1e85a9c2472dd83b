//! What is known about registers, stack and held resources at one point of a program.
//!
//! Invariant: cloning is cheap (frames and stacks are shared until written); `frames` is never empty, its last one is
//! the active function.

use std::rc::Rc;

pub mod frame;
pub mod held;
pub mod name;
pub mod print;
pub mod reg;
pub mod scalar;
pub mod slot;
pub mod tnum;

use crate::explore::history::Trail;
use frame::Frame;
use held::Held;

/// The state before one instruction on one path.
#[derive(Clone, Debug)]
pub struct State {
    pub frames: Vec<Rc<Frame>>,
    pub held: Rc<Held>,
    /// Only reached by mis-speculation (unprivileged programs).
    pub speculative: bool,
    pub in_sleepable: bool,
    /// The stored state that this path comes from (an index of the explorer's checkpoints).
    pub parent: Option<u32>,
    /// The instruction of that one, and the one walked before the current (-1 for none).
    pub first_insn: usize,
    pub last_insn: i32,
    /// What was noted of the path since that one.
    pub trail: Trail,
    /// How many stored states the path went through.
    pub dfs_depth: u32,
    pub callback_unroll_depth: u32,
    pub may_goto_depth: u32,
}

impl State {
    /// The state at the start of subprogram `subprog`.
    pub fn new(subprog: u32) -> State {
        State {
            frames: vec![Rc::new(Frame::new(0, subprog, None))],
            ..State::hollow()
        }
    }

    /// A place holder without frames, for while a state is lent.
    pub(crate) fn hollow() -> State {
        State {
            frames: Vec::new(),
            held: Rc::new(Held::default()),
            speculative: false,
            in_sleepable: false,
            parent: None,
            first_insn: 0,
            last_insn: -1,
            trail: Trail::EMPTY,
            dfs_depth: 0,
            callback_unroll_depth: 0,
            may_goto_depth: 0,
        }
    }

    /// The active function.
    pub fn frame(&self) -> &Frame {
        &self.frames[self.frames.len() - 1]
    }

    /// The active function, for writing.
    pub fn frame_mut(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1;
        Rc::make_mut(&mut self.frames[last])
    }

    /// Frame `number`, for writing.
    pub fn frame_at_mut(&mut self, number: usize) -> &mut Frame {
        Rc::make_mut(&mut self.frames[number])
    }

    /// What is held, for writing.
    pub fn held_mut(&mut self) -> &mut Held {
        Rc::make_mut(&mut self.held)
    }

    /// Runs over every register of every frame, spilled ones included, for writing. `what` says whether it changed
    /// anything worth copying for: it is asked first on a shared reference.
    pub fn for_each_reg(
        &mut self,
        mut wanted: impl FnMut(&reg::Reg) -> bool,
        mut change: impl FnMut(&mut reg::Reg),
    ) {
        for frame in &mut self.frames {
            if frame.regs.iter().any(&mut wanted) {
                for reg in &mut Rc::make_mut(frame).regs {
                    if wanted(reg) {
                        change(reg);
                    }
                }
            }
            if frame
                .stack
                .iter()
                .any(|slot| slot.is_spill() && wanted(&slot.reg))
            {
                for slot in Rc::make_mut(&mut Rc::make_mut(frame).stack) {
                    if slot.is_spill() && wanted(&slot.reg) {
                        change(&mut slot.reg);
                    }
                }
            }
        }
    }
}
