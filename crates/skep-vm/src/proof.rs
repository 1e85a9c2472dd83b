//! What a verifier found of a program: the facts that let it run without checks.
//!
//! Invariants: the default of every fact says nothing, so that leaving one out costs speed and never safety; facts are
//! plain data, and it is [`crate::Program::proven`] whose caller vouches for them.

/// The facts of a program.
use alloc::vec::Vec;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// One per instruction slot; of missing ones nothing is known but that they may be reached.
    pub insns: Vec<InsnProof>,
    /// What is known of the frames of functions, by the slot that they start at. Of others, nothing.
    pub frames: Vec<FrameProof>,
    /// Bytes of the context that calls may rely on, beyond what direct accesses do.
    pub context_bytes: u64,
}

/// What holds each time an instruction runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InsnProof {
    /// Some path comes here.
    pub reached: bool,
    /// Of a conditional jump: it can go on to the next instruction.
    pub next: bool,
    /// Of a conditional jump: it can go to its target.
    pub target: bool,
    /// Of a load, store or atomic operation.
    pub access: Access,
    /// Of a helper call: the one map it is made with, as an index into the image's maps.
    pub map: Option<u32>,
    /// Of an operation that extends 32 bits with zeros (a 32-bit move, the second shift of `<<= 32; >>= 32`): the upper
    /// bits of its source are zero already.
    pub upper_zero: bool,
    /// Of a division or remainder by a register: the divisor is not 0.
    pub divisor_not_zero: bool,
}

/// What the address of an access is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Nothing is known: it is checked as it runs.
    #[default]
    Checked,
    /// Memory of the run or of the host as it is, all bytes of which may be accessed so: frames, values, packets, records.
    Direct,
    /// The context at this offset, as the program sees it.
    Context { offset: u32 },
    /// A pointer of the kernel's structures, which may be bad: what cannot be read is 0.
    Probe,
}

/// What is known of a function's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameProof {
    /// Slot of the function's first instruction.
    pub start: usize,
    /// Bytes that the function, and whoever it gives addresses to, touch below its frame pointer.
    pub bytes: u32,
    /// Some path may read bytes that were not written before; the frame must start zeroed.
    pub reads_unwritten: bool,
}

impl Default for InsnProof {
    fn default() -> InsnProof {
        InsnProof {
            reached: true,
            next: true,
            target: true,
            access: Access::Checked,
            map: None,
            upper_zero: false,
            divisor_not_zero: false,
        }
    }
}

impl Proof {
    /// The facts of a slot.
    pub fn of(&self, pc: usize) -> InsnProof {
        self.insns.get(pc).copied().unwrap_or_default()
    }
}
