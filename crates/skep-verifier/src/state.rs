//! What is known about registers, stack and held resources at one point of a program.

pub mod scalar;
pub mod tnum;
