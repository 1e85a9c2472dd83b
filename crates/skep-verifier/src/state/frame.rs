//! One active function: its registers and its stack.
//!
//! Invariant: `stack[s]` is the slot at bytes `-8*(s+1) .. -8*s` from the frame's top; its length is what the function
//! has touched so far, never more than 64 slots.

use std::rc::Rc;

use super::reg::Reg;
use super::slot::Slot;

/// Why a callback's frame was entered, and what its return value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallbackReturn {
    pub min: i32,
    pub max: i32,
}

/// One active function.
#[derive(Clone, Debug)]
pub struct Frame {
    pub regs: [Reg; 11],
    pub stack: Rc<Vec<Slot>>,
    /// The call instruction that entered it; `None` for the outermost.
    pub callsite: Option<usize>,
    /// 0 for the outermost.
    pub number: u8,
    pub subprog: u32,
    /// Entered as a synchronous callback of a helper or kfunc.
    pub in_callback: bool,
    /// Entered as an asynchronous callback (timer, workqueue).
    pub in_async_callback: bool,
    pub in_exception_callback: bool,
    pub callback_return: CallbackReturn,
    /// How often the callback was entered from the same call.
    pub callback_depth: u32,
    /// How many asynchronous callbacks in a row set up the next, up to this one.
    pub async_entries: u32,
}

impl Frame {
    /// A frame with nothing in it but its own frame pointer.
    pub fn new(number: u8, subprog: u32, callsite: Option<usize>) -> Frame {
        let mut regs = [Reg::NOT_INIT; 11];
        regs[10] = Reg::stack(number, 0);
        Frame {
            regs,
            stack: Rc::new(Vec::new()),
            callsite,
            number,
            subprog,
            in_callback: false,
            in_async_callback: false,
            in_exception_callback: false,
            callback_return: CallbackReturn { min: 0, max: 0 },
            callback_depth: 0,
            async_entries: 0,
        }
    }

    /// The stack for writing, at least `slots` long.
    pub fn stack_mut(&mut self, slots: usize) -> &mut Vec<Slot> {
        let stack = Rc::make_mut(&mut self.stack);
        if stack.len() < slots {
            stack.resize(slots, Slot::EMPTY);
        }
        stack
    }

    /// The slot that holds the byte at `off` (negative) from the top; empty where untouched.
    pub fn slot(&self, off: i32) -> Slot {
        self.stack
            .get(slot_index(off))
            .copied()
            .unwrap_or(Slot::EMPTY)
    }
}

/// The index of the slot that holds the byte at `off` (negative) from the frame's top.
pub fn slot_index(off: i32) -> usize {
    ((-off - 1) / 8) as usize
}
