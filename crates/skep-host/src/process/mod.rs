//! A supervised process tree: starts a command or attaches to a process, follows it, and tells what it does.
//!
//! Invariants: no privilege is needed for one's own children; a system call that nobody asked for runs at full speed
//! (launched trees: a seccomp filter lets it pass); what is told is what happened, in order for each task.

mod arch;
mod env;
mod error;
mod event;
mod kernel;
mod kfuncs;
mod launch;
mod memory;
mod notes;
mod procfs;
mod ptrace;
mod seccomp;
mod supervisor;
mod task;
mod tracepoint;
mod types;
mod wake;

pub use arch::Abi;
pub use env::{Print, Tracee, cpus};
pub use error::ProcessError;
pub use event::{CallSet, Event, Interest};
pub use launch::Launch;
pub use ptrace::{Ending, Tid};
pub use supervisor::{Sink, Supervisor};
pub use tracepoint::{Hook, raw_arguments, record};
pub use types::embedded_btf;
pub use wake::Stop;

/// How many events there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub enters: u64,
    pub exits: u64,
    pub forks: u64,
    pub execs: u64,
    pub task_exits: u64,
    /// Events that could not be told because the task was killed in between.
    pub lost: u64,
    /// Calls of another ABI (32-bit, x32).
    pub foreign: u64,
    /// Tasks that ended.
    pub ended: u64,
    /// The most tasks there were at once.
    pub tasks_at_once: u64,
}

/// How it ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of the command, or of the process attached to; `None` if it still runs.
    pub status: Option<Ending>,
    /// It was stopped by request.
    pub stopped: bool,
    pub counts: Counts,
    /// What could not be shown, or had to be changed: one sentence each.
    pub notes: Vec<String>,
}
