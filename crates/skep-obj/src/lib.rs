//! Object: programs, maps, symbols; ELF and text in and out; linking.
//!
//! Invariants: an [`Object`] is inert data (the same bytes give the same value on every machine); nothing
//! here makes a system call, prints, or panics on any input; errors name the section and the offset.

pub mod dwarf;
pub mod elf;
pub mod error;
pub mod globals;
pub mod link;
pub mod merge;
pub mod object;
mod renumber;
pub mod text;

pub use error::ObjError;
pub use merge::link_objects;
pub use object::*;
