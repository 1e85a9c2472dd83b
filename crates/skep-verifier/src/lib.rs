//! The verifier: says whether a program is safe to run, by the rules of a chosen kernel, and explains why not.
//!
//! Invariants: nothing here asks a kernel or the machine; the same input gives the same verdict anywhere. Every
//! rejection carries the kernel's own wording.

#![forbid(unsafe_code)]

pub mod cfg;
pub mod check;
pub mod explain;
pub mod explore;
pub mod facts;
pub mod fault;
pub mod host;
pub mod input;
pub mod log;
pub mod platform;
pub mod prepare;
pub mod record;
pub mod recording;
pub mod state;
pub mod step;
pub mod structure;
pub mod verified;
pub mod verifier;

pub use fault::Fault;
pub use host::Host;
pub use input::Input;
pub use verified::{Rejection, Stats, Verified};

/// Whether the program is safe; the proof, or why not.
pub fn verify(input: &Input) -> Result<Verified, Box<Rejection>> {
    let started = std::time::Instant::now();
    let mut verifier = verifier::Verifier::new(input);
    let answer = verifier.run();
    verifier.stats.nanoseconds = started.elapsed().as_nanos() as u64;
    self::answer(verifier, answer)
}

/// What a finished walk says.
pub(crate) fn answer(
    mut verifier: verifier::Verifier<'_>,
    answer: fault::Rule,
) -> Result<Verified, Box<Rejection>> {
    let stats = verifier.stats;
    if let Err(fault) = &answer {
        for line in &fault.lines {
            verifier.log.last_line(format_args!("{line}"));
        }
    }
    log_work(&mut verifier);
    match answer {
        Ok(()) => Ok(Verified {
            stats,
            facts: verifier.insn_facts(),
            functions: verifier.function_facts(),
            context_bytes: verifier.context_bytes,
            log: verifier.log.into_text(),
        }),
        Err(fault) => Err(Box::new(Rejection {
            fault,
            stats,
            log: verifier.log.into_text(),
        })),
    }
}

/// How much work it was, as the kernel's log ends.
fn log_work(verifier: &mut verifier::Verifier<'_>) {
    let stats = verifier.stats;
    if verifier.log.stats() {
        let us = stats.nanoseconds / 1000;
        let depths: Vec<String> = verifier
            .subprogs
            .iter()
            .map(|subprog| subprog.stack_depth + verifier.loop_budget_bytes(subprog))
            .map(|bytes| bytes.to_string())
            .collect();
        verifier
            .log
            .last_line(format_args!("verification time {us} usec"));
        verifier
            .log
            .last_line(format_args!("stack depth {}", depths.join("+")));
    }
    verifier.log.last_line(format_args!(
        "processed {} insns (limit {}) max_states_per_insn {} total_states {} peak_states {} mark_read 0",
        stats.insns_processed,
        skep_spec::limits::MAX_INSNS,
        stats.states_per_insn_max,
        stats.states_total,
        stats.states_peak
    ));
}
