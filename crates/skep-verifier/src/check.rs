//! What an instruction requires of the state: memory, contexts, helpers, kfuncs, references, locks, results.

pub mod attach;
pub mod attach_target;
pub mod call;
pub mod call_meta;
pub mod dynptr;
pub mod exception;
pub mod graph;
pub mod helper;
pub mod iter;
pub mod kfunc;
pub mod kptr;
pub mod lock;
pub mod map_program;
pub mod mem;
pub mod refs;
pub mod region;
pub mod result;
pub mod variable;
