//! The two answers: a proof with the facts that were found, or a rejection with its reasons.
//!
//! Invariant: only [`crate::verify`] makes a [`Verified`].

use crate::facts::{FunctionFacts, InsnFacts};
use crate::fault::Fault;

/// How much work it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instructions explored.
    pub insns_processed: u64,
    pub states_total: u64,
    pub states_peak: u64,
    pub states_per_insn_max: u64,
    /// Steps besides: states compared, instructions walked back over, and those that masks of live slots were carried over.
    pub side_steps: u64,
    pub nanoseconds: u64,
}

/// The proof that a program is safe under the profile that it was verified for, and what was found on the way.
#[derive(Debug)]
#[non_exhaustive]
pub struct Verified {
    pub stats: Stats,
    /// Per instruction slot.
    pub facts: Vec<InsnFacts>,
    /// The functions, in the order of their instructions.
    pub functions: Vec<FunctionFacts>,
    /// Bytes of the context that the program may touch, from its start: it must have as many.
    pub context_bytes: u32,
    pub log: String,
}

/// Which ways a conditional jump can go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// On to the next instruction.
    pub next: bool,
    /// To its target.
    pub target: bool,
}

/// Why not.
#[derive(Debug)]
pub struct Rejection {
    pub fault: Box<Fault>,
    pub stats: Stats,
    /// The whole log at the level asked for.
    pub log: String,
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.fault.lines.join("\n"))
    }
}

impl std::error::Error for Rejection {}
