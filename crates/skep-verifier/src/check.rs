//! What an instruction requires of the state: memory, contexts, helpers, kfuncs, references, locks, results.

pub mod call;
pub mod call_meta;
pub mod kfunc;
pub mod mem;
pub mod refs;
pub mod result;
pub mod variable;
