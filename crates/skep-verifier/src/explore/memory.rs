//! How many bytes the stored states take, and what is given up when they are too many.
//!
//! Invariants: a stored state that was given up is compared with no longer, so less is pruned and never more; what walks
//! back need of it (which places hold numbers, from where functions were called) is kept. No program of reasonable size
//! comes near the bound, so that it changes no verdict that a kernel gives.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Explorer;
use super::checkpoint::{Checkpoint, Numbers};
use crate::state::State;
use crate::state::frame::Frame;
use crate::state::reg::{Kind, Reg};
use crate::state::slot::Slot;

/// Bytes of frames and stacks that stored states may take.
pub const STORED_BYTES_MAX: u64 = 128 << 20;
/// The same for branches that wait.
pub const PENDING_BYTES_MAX: u64 = 256 << 20;

const FRAME_BYTES: u64 = size_of::<Frame>() as u64 + 16;

fn stack_bytes(frame: &Frame) -> u64 {
    (frame.stack.capacity() * size_of::<Slot>()) as u64 + 40
}

/// The bytes of `state` that it does not share with `other`.
pub fn own_bytes(state: &State, other: Option<&State>) -> u64 {
    let frames = state.frames.iter().enumerate();
    let own = frames.map(
        |(index, frame)| match other.and_then(|other| other.frames.get(index)) {
            Some(other) if Rc::ptr_eq(frame, other) => 0,
            Some(other) if Rc::ptr_eq(&frame.stack, &other.stack) => FRAME_BYTES,
            _ => FRAME_BYTES + stack_bytes(frame),
        },
    );
    own.sum()
}

/// What is counted.
#[derive(Debug, Default)]
pub struct Memory {
    /// Bytes of stored states, at least; what was freed meanwhile is only seen when they are counted anew.
    stored: u64,
    /// Counted anew when `stored` gets there.
    recount_at: u64,
    /// Stored states before that one were given up or freed.
    given_up: usize,
    /// Frames without registers and stack, by what tells them apart.
    husks: BTreeMap<(Option<usize>, u32, u8), Rc<Frame>>,
    /// Bytes of branches that wait.
    pub pending: u64,
}

impl Explorer {
    /// A state was stored last. Gives up old ones if they take too much.
    pub(super) fn weigh_stored(&mut self) {
        let Some(last) = self.checkpoints.last() else {
            return;
        };
        let parent = last
            .state
            .parent
            .map(|parent| &self.checkpoints[parent as usize].state);
        self.memory.stored += own_bytes(&last.state, parent);
        if self.memory.stored > self.memory.recount_at.max(STORED_BYTES_MAX) {
            self.relieve();
        }
    }

    /// The bytes of all stored states, each frame and stack once.
    fn stored_bytes(&self) -> u64 {
        let frames = self.checkpoints.iter().flat_map(|one| &one.state.frames);
        let mut parts: Vec<(usize, u64)> = frames
            .flat_map(|frame| {
                let stack = Rc::as_ptr(&frame.stack) as usize;
                [
                    (Rc::as_ptr(frame) as usize, FRAME_BYTES),
                    (stack, stack_bytes(frame)),
                ]
            })
            .collect();
        parts.sort_unstable();
        parts.dedup();
        parts.iter().map(|part| part.1).sum()
    }

    /// Counts anew, and gives up the oldest states until half of what may be is left.
    #[cold]
    fn relieve(&mut self) {
        let mut bytes = self.stored_bytes();
        if bytes > STORED_BYTES_MAX / 4 * 3 {
            let end = self.checkpoints.len().saturating_sub(1);
            while bytes > STORED_BYTES_MAX / 2 && self.memory.given_up < end {
                let checkpoint = &mut self.checkpoints[self.memory.given_up];
                self.memory.given_up += 1;
                if checkpoint.state.frames.is_empty() {
                    continue;
                }
                if !checkpoint.evicted {
                    checkpoint.evicted = true;
                    self.compared -= 1;
                    self.retained += 1;
                }
                bytes = bytes.saturating_sub(hollow_out(checkpoint, &mut self.memory.husks));
            }
            let checkpoints = &self.checkpoints;
            for list in &mut self.stored {
                list.retain(|&index| !checkpoints[index as usize].evicted);
            }
        }
        self.memory.stored = bytes;
        self.memory.recount_at = bytes + STORED_BYTES_MAX / 4;
    }
}

/// Leaves of a stored state only what walking back through it needs. Says how many bytes that frees.
fn hollow_out(
    checkpoint: &mut Checkpoint,
    husks: &mut BTreeMap<(Option<usize>, u32, u8), Rc<Frame>>,
) -> u64 {
    let mut freed = 0;
    checkpoint.numbers = checkpoint
        .state
        .frames
        .iter()
        .map(|frame| Numbers::of(frame))
        .collect();
    for frame in &mut checkpoint.state.frames {
        let key = (frame.callsite, frame.subprog, frame.number);
        let husk = husks.entry(key).or_insert_with(|| {
            Rc::new(Frame {
                regs: [Reg::NOT_INIT; 11],
                stack: Rc::default(),
                ..Frame::clone(frame)
            })
        });
        if Rc::strong_count(frame) == 1 {
            freed += FRAME_BYTES;
            if Rc::strong_count(&frame.stack) == 1 {
                freed += stack_bytes(frame);
            }
        }
        *frame = husk.clone();
    }
    freed
}

impl Numbers {
    /// Where a frame holds numbers.
    fn of(frame: &Frame) -> Numbers {
        let mut numbers = Numbers::default();
        for (index, reg) in frame.regs.iter().enumerate() {
            numbers.regs |= u16::from(reg.kind == Kind::Scalar) << index;
        }
        for (index, slot) in frame.stack.iter().enumerate() {
            numbers.slots |= u64::from(slot.is_scalar_spill()) << (index & 63);
        }
        numbers
    }
}
