//! The two answers: a proof with the facts that were found, or a rejection with its reasons.
//!
//! Invariant: only [`crate::verify`] makes a [`Verified`].

use crate::fault::Fault;
use crate::input::MapId;

/// How much work it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instructions explored.
    pub insns_processed: u64,
    pub states_total: u64,
    pub states_peak: u64,
    pub states_per_insn_max: u64,
    pub nanoseconds: u64,
}

/// The proof that a program is safe under the profile that it was verified for, and what was found on the way.
#[derive(Debug)]
#[non_exhaustive]
pub struct Verified {
    pub stats: Stats,
    /// Per instruction slot.
    pub facts: Vec<InsnFacts>,
    /// Stack bytes of each subprogram.
    pub stack_depths: Vec<u32>,
    pub log: String,
}

/// What holds each time an instruction runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InsnFacts {
    /// Some path reaches it.
    pub reached: bool,
    /// Of a conditional jump: which ways it can go.
    pub ways: Ways,
    /// Of a helper call: the one map that it is always made with.
    pub map: Option<MapId>,
    /// Of a load: the address may be bad, and the load must give 0 then.
    pub probe: bool,
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
