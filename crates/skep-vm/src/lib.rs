//! Runs a program: interpreter, maps, helpers.

pub mod packet;
