//! Function and line records of a program's types against its subprograms.
//!
//! Invariant: what passes has one function record for each subprogram, in order, and a line record at its start; or no
//! records of that kind.

use skep_spec::insn::Insn;

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

/// The records among themselves, before subprograms are looked for: their instruction offsets start at 0 and rise.
pub fn check_order(starts: &[u32]) -> Rule {
    for (index, &start) in starts.iter().enumerate() {
        if index == 0 {
            if start != 0 {
                let line = format!("nonzero insn_off {start} for the first func info record");
                return refuse(0, line);
            }
        } else if let previous = starts[index - 1]
            && start <= previous
        {
            let line = format!(
                "same or smaller insn offset ({start}) than previous func info record ({previous})"
            );
            return refuse(start as usize, line);
        }
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
    if starts.len() != subprograms.count() {
        let line = "number of funcs in func_info doesn't match number of subprogs";
        return refuse(0, line);
    }
    for (index, (&start, sub)) in starts.iter().zip(subprograms.all()).enumerate() {
        if start as usize != sub.start {
            let line = "func_info BTF section doesn't match subprog layout in BPF program";
            return refuse(sub.start, line);
        }
        let what = match (sub.has_ld_abs, sub.has_tail_call) {
            (true, _) => "LD_ABS",
            (_, true) => "tail_call",
            _ => continue,
        };
        if index > 0 && !returns_scalar(index) {
            let line = format!("{what} is only allowed in functions that return 'int'.");
            return refuse(sub.start, line);
        }
    }
    Ok(())
}

/// The line records, by their instruction offsets, against instructions and subprograms: each subprogram starts with
/// one.
pub fn check_lines(insns: &[Insn], subprograms: &Subprograms, lines: &[u32]) -> Rule {
    let subs = subprograms.all();
    let mut matched = 0;
    let mut previous = 0;
    for (index, &line) in lines.iter().enumerate() {
        let Some(insn) = insns
            .get(line as usize)
            .filter(|_| index == 0 || line > previous)
        else {
            let len = insns.len();
            return refuse(
                line as usize,
                format!(
                    "Invalid line_info[{index}].insn_off:{line} (prev_offset:{previous} prog->len:{len})"
                ),
            );
        };
        if insn.code == 0 {
            let text = format!("Invalid insn code at line_info[{index}].insn_off");
            return refuse(line as usize, text);
        }
        if let Some(sub) = subs.get(matched) {
            if sub.start == line as usize {
                matched += 1;
            } else if sub.start < line as usize {
                let text = format!("missing bpf_line_info for func#{matched}");
                return refuse(sub.start, text);
            }
        }
        previous = line;
    }
    if !lines.is_empty() && matched != subs.len() {
        let missing = subs.len() - matched;
        let text =
            format!("missing bpf_line_info for {missing} funcs starting from func#{matched}");
        return refuse(subs[matched].start, text);
    }
    Ok(())
}
