//! The only crate that calls bpf(2): maps, programs, test runs.
