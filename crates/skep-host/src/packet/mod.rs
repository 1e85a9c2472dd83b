//! Packets as events: capture files in and out, contexts as the kernel builds them, named wires, replay.
//!
//! Invariants: nothing here reads or writes a network device; what a packet's fate was is always counted.

pub mod capture;
