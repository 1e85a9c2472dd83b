//! Where the embedded engine gets events: packets, supervised processes.

pub mod packet;
pub mod process;
mod uapi;
