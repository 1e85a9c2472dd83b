//! Names of compiled functions for profilers: the lines of `/tmp/perf-PID.map`, which perf reads.
//!
//! Invariant: nothing is written unless the caller asks; an address range is named only while its code lives.

use std::io::Write;

use crate::program::Program;

/// The lines for a program's code: start and size in hex, and a name. None if it is not compiled.
pub fn lines(program: &Program) -> Option<String> {
    let listing = program.listing()?;
    let mut text = String::new();
    let mut functions = program.functions.iter().enumerate().peekable();
    while let Some((index, function)) = functions.next() {
        let place = |pc: usize| listing.starts.get(pc).copied().unwrap_or(listing.end);
        let start = place(function.start);
        let end = functions
            .peek()
            .map_or(listing.end, |(_, next)| place(next.start));
        let name = program.name();
        text += &format!(
            "{:x} {:x} bpf_prog_{name}_{index}\n",
            listing.address + start as usize,
            end.saturating_sub(start)
        );
    }
    let shared = listing.bytes.len() - listing.end as usize;
    text += &format!(
        "{:x} {shared:x} bpf_prog_{}_shared\n",
        listing.address + listing.end as usize,
        program.name()
    );
    Some(text)
}

/// Appends a program's lines to this process's map for perf.
pub fn append_to_map(program: &Program) -> std::io::Result<()> {
    let Some(lines) = lines(program) else {
        return Ok(());
    };
    let path = format!("/tmp/perf-{}.map", std::process::id());
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    file.write_all(lines.as_bytes())
}
