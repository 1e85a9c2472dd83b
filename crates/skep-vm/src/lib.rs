//! Runs a program: interpreter, maps, helpers.
