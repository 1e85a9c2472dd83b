//! Stored states: what was seen at an instruction, and what mattered of it.
//!
//! Invariants: a stored state's registers never change; which of its numbers turned out to matter, and which of its
//! slots are still of interest, lie beside it in masks. `branches` counts the paths from it that are not walked to
//! their end; its parent has at least one for it.

use crate::state::State;
use crate::state::reg::Kind;

/// What is known about one frame of a stored state.
#[derive(Clone, Copy, Debug)]
pub struct FrameMarks {
    /// Registers whose exact number mattered.
    pub precise_regs: u16,
    /// Slots with a spilled number that mattered.
    pub precise_slots: u64,
    /// Slots that may still be read.
    pub alive_slots: u64,
}

impl FrameMarks {
    const FRESH: FrameMarks = FrameMarks {
        precise_regs: 0,
        precise_slots: 0,
        alive_slots: u64::MAX,
    };
}

/// Where a frame of a stored state holds numbers, for when the rest of it was given up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    pub regs: u16,
    /// Slots with a spilled number.
    pub slots: u64,
}

/// Where two states were found to differ last: tried first the next time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    pub frame: u8,
    /// 0 to 10 a register; from 16 a slot.
    pub place: u8,
    pub set: bool,
}

/// One stored state.
#[derive(Debug)]
pub struct Checkpoint {
    pub state: State,
    pub insn: usize,
    pub marks: Vec<FrameMarks>,
    /// By frame, if the state itself was given up.
    pub numbers: Vec<Numbers>,
    pub branches: u32,
    pub hits: u32,
    pub misses: u32,
    /// What is dead in it was found.
    pub cleaned: bool,
    /// No longer compared with; kept for walking back through it.
    pub evicted: bool,
    pub hint: Hint,
    /// The register that showed last that a path coming back here made progress.
    pub progress_in: u8,
}

impl Checkpoint {
    /// A copy of the current state at `insn`.
    pub fn new(state: &State, insn: usize) -> Checkpoint {
        Checkpoint {
            state: state.clone(),
            insn,
            marks: vec![FrameMarks::FRESH; state.frames.len()],
            numbers: Vec::new(),
            branches: 1,
            hits: 0,
            misses: 0,
            cleaned: false,
            evicted: false,
            hint: Hint::default(),
            progress_in: 0,
        }
    }

    /// Whether that register of a frame holds a number.
    pub fn is_number(&self, frame: usize, number: usize) -> bool {
        match self.numbers.get(frame) {
            Some(numbers) => numbers.regs >> number & 1 != 0,
            None => {
                let reg = self.state.frames.get(frame);
                let reg = reg.and_then(|frame| frame.regs.get(number));
                reg.is_some_and(|reg| reg.kind == Kind::Scalar)
            }
        }
    }

    /// Whether a number is spilled in that slot of a frame.
    pub fn is_spilled_number(&self, frame: usize, slot: usize) -> bool {
        match self.numbers.get(frame) {
            Some(numbers) => numbers.slots >> slot & 1 != 0,
            None => {
                let held = self.state.frames.get(frame);
                let held = held.and_then(|frame| frame.stack.get(slot));
                held.is_some_and(|slot| slot.is_scalar_spill())
            }
        }
    }

    /// Gives the memory of its registers back.
    pub fn forget(&mut self) {
        self.state.frames = Vec::new();
        self.marks = Vec::new();
        self.numbers = Vec::new();
    }
}

/// Whether both are in the same functions, called from the same places.
pub fn same_callsites(a: &State, b: &State) -> bool {
    a.frames.len() == b.frames.len()
        && a.frames
            .iter()
            .zip(&b.frames)
            .all(|(a, b)| a.callsite == b.callsite)
}
