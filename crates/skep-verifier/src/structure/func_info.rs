//! Function records of a program's types against its subprograms.
//!
//! Invariant: what passes has one record for each subprogram, in order.

use super::{EINVAL, Subprograms};
use crate::fault::{Fault, Rule};

fn refuse<T>(at: usize, line: impl Into<String>) -> Rule<T> {
    Err(Fault::new(EINVAL, "verifier-bad-func-info", line).at(at))
}

/// A subprogram without a record has an unknown result, so it may not return on its own account in the middle.
pub fn check_without(subprograms: &Subprograms) -> Rule {
    for sub in subprograms.all().iter().skip(1) {
        let what = match (sub.has_ld_abs, sub.has_tail_call) {
            (true, _) => "LD_ABS",
            (_, true) => "tail_call",
            _ => continue,
        };
        return refuse(
            sub.start,
            format!("{what} is not allowed in subprogs without BTF"),
        );
    }
    Ok(())
}

/// The records against the subprograms: `starts` are their instruction offsets; `returns_scalar` says of each whether
/// it returns a number (an integer of any kind, not nothing).
pub fn check(
    subprograms: &Subprograms,
    starts: &[u32],
    mut returns_scalar: impl FnMut(usize) -> bool,
) -> Rule {
    if starts.is_empty() {
        return check_without(subprograms);
    }
    let mut previous = 0;
    for (index, &start) in starts.iter().enumerate() {
        if index == 0 && start != 0 {
            let line = format!("nonzero insn_off {start} for the first func info record");
            return refuse(0, line);
        }
        if index > 0 && start <= previous {
            let line = format!(
                "same or smaller insn offset ({start}) than previous func info record ({previous})"
            );
            return refuse(start as usize, line);
        }
        previous = start;
    }
    if starts.len() != subprograms.count() {
        let line = "number of funcs in func_info doesn't match number of subprogs";
        return refuse(0, line);
    }
    for (index, (&start, sub)) in starts.iter().zip(subprograms.all()).enumerate() {
        if start as usize != sub.start {
            return refuse(
                sub.start,
                "func_info BTF section doesn't match subprog layout in BPF program",
            );
        }
        let what = match (sub.has_ld_abs, sub.has_tail_call) {
            (true, _) => "LD_ABS",
            (_, true) => "tail_call",
            _ => continue,
        };
        if index > 0 && !returns_scalar(index) {
            return refuse(
                sub.start,
                format!("{what} is only allowed in functions that return 'int'."),
            );
        }
    }
    Ok(())
}
