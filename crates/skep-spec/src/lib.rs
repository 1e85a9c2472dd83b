//! What BPF is, as tables: opcodes, assembler, disassembler, kinds of program, map, helper and context.
//!
//! Everything here is data or a pure function of its arguments; nothing does I/O. Where a table comes from is said
//! on top of its file.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod asm;
pub mod context;
pub mod disasm;
pub mod errno;
pub mod helper;
pub mod hook;
pub mod insn;
pub mod kfunc;
pub mod limits;
pub mod lsm;
pub mod malformed;
pub mod map;
pub mod opcode;
pub mod profile;
pub mod program;
pub mod reference;
pub mod section;
pub mod tracepoint;

pub use insn::{Endian, Insn};
pub use malformed::Malformed;
