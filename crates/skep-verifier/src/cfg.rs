//! The shape of a program: subprograms, control flow, loops, live registers.
