//! Where the subprograms of a program start, and that no jump or fall-through leaves one.
//!
//! Invariants: starts are strictly increasing and the first is 0; the subprograms tile the program; every call and
//! every function address goes to the start of one.

use skep_spec::insn::{Insn, class, jmp, mode};
use skep_spec::limits::MAX_SUBPROGS;

use super::{E2BIG, EINVAL};
use crate::fault::{Fault, Rule};

const EPERM: i32 = 1;
/// bpf_tail_call.
const TAIL_CALL: i32 = 12;

/// gotol
const LONG_JUMP: u8 = class::JMP32 | jmp::JA;

/// One function of a program: the main one, or one that is called or whose address is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subprogram {
    /// Its first slot.
    pub start: usize,
    /// The slot after its last.
    pub end: usize,
    /// Whether it holds a tail call.
    pub has_tail_call: bool,
    /// Whether it holds a legacy packet load.
    pub has_ld_abs: bool,
    /// Whether it is the program's exception callback.
    pub is_exception_callback: bool,
}

/// The subprograms of a program, by start. The first is the main program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subprograms(Vec<Subprogram>);

impl Subprograms {
    /// Finds them by the calls and function addresses in the program. `kfunc` is asked about each call of a kernel
    /// function, in the order of the program; `exception_callback` is where the program's types say it starts.
    pub fn find(
        insns: &[Insn],
        privileged: bool,
        exception_callback: Option<usize>,
        mut kfunc: impl FnMut(usize, Insn) -> Rule,
    ) -> Rule<Subprograms> {
        // Sorted.
        let mut starts = vec![0usize];
        let mut add = |at: usize, to: Option<usize>| -> Rule {
            let Some(to) = to.filter(|&to| to < insns.len()) else {
                return Err(Fault::new(
                    EINVAL,
                    "verifier-bad-call-target",
                    "call to invalid destination",
                )
                .at(at));
            };
            if let Err(place) = starts.binary_search(&to) {
                if starts.len() >= MAX_SUBPROGS {
                    let line = "too many subprograms";
                    return Err(Fault::new(E2BIG, "verifier-too-many-subprograms", line).at(at));
                }
                starts.insert(place, to);
            }
            Ok(())
        };
        for (at, &insn) in insns.iter().enumerate() {
            let local = insn.is_local_call() || takes_function_address(insn);
            if !local && !insn.is_kfunc_call() {
                continue;
            }
            if !privileged {
                let line = "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN";
                return Err(Fault::new(EPERM, "verifier-calls-need-privilege", line).at(at));
            }
            if local {
                add(at, call_target(at, insn))?;
            } else {
                kfunc(at, insn).map_err(|fault| fault.at(at))?;
            }
        }
        if let Some(start) = exception_callback {
            add(start, Some(start))?;
        }
        let ends = starts.iter().skip(1).copied().chain([insns.len()]);
        Ok(Subprograms(
            starts
                .iter()
                .zip(ends)
                .map(|(&start, end)| Subprogram {
                    start,
                    end,
                    has_tail_call: insns[start..end]
                        .iter()
                        .any(|insn| insn.is_helper_call() && insn.imm == TAIL_CALL),
                    has_ld_abs: insns[start..end].iter().any(|insn| {
                        insn.class() == class::LD && matches!(insn.mode(), mode::ABS | mode::IND)
                    }),
                    is_exception_callback: exception_callback == Some(start),
                })
                .collect(),
        ))
    }

    /// Each jump stays within its subprogram, and each subprogram ends in an exit or an unconditional jump.
    pub fn check_jumps(&self, insns: &[Insn]) -> Rule {
        for sub in &self.0 {
            for (at, &insn) in insns.iter().enumerate().take(sub.end).skip(sub.start) {
                // Codes are not checked yet: a gotol with a register form is no gotol.
                let offset = insn.jump_offset().map(|offset| match insn.code {
                    LONG_JUMP => offset,
                    _ => i32::from(insn.off),
                });
                if let Some(offset) = offset {
                    // The kernel counts in 32 bits, and prints what came out.
                    let to = (at as i32).wrapping_add(offset).wrapping_add(1);
                    let inside =
                        usize::try_from(to).is_ok_and(|to| sub.start <= to && to < sub.end);
                    if !inside {
                        let line = format!("jump out of range from insn {at} to {to}");
                        return Err(Fault::new(EINVAL, "verifier-jump-out-of-range", line).at(at));
                    }
                }
            }
            let last = insns[sub.end - 1];
            let leaves =
                last.is_exit() || last.code == class::JMP | jmp::JA || last.code == LONG_JUMP;
            if !leaves {
                let line = "last insn is not an exit or jmp";
                return Err(Fault::new(EINVAL, "verifier-falls-through", line).at(sub.end - 1));
            }
        }
        Ok(())
    }

    /// All of them, by start.
    pub fn all(&self) -> &[Subprogram] {
        &self.0
    }

    /// How many, the main program included: at least 1.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The number of the one that a slot lies in.
    pub fn containing(&self, slot: usize) -> usize {
        self.0
            .partition_point(|sub| sub.start <= slot)
            .saturating_sub(1)
    }

    /// The number of the one that starts at a slot.
    pub fn starting_at(&self, slot: usize) -> Option<usize> {
        self.0.binary_search_by_key(&slot, |sub| sub.start).ok()
    }

    /// The number of the one that a call or a function address at a slot names.
    pub fn callee(&self, slot: usize, insn: Insn) -> Option<usize> {
        self.starting_at(call_target(slot, insn)?)
    }

    /// The number of the exception callback.
    pub fn exception_callback(&self) -> Option<usize> {
        self.0.iter().position(|sub| sub.is_exception_callback)
    }
}

/// Whether it is the first slot of a wide load that takes a subprogram's address.
pub const fn takes_function_address(insn: Insn) -> bool {
    insn.is_ld_imm64() && insn.src == skep_spec::insn::pseudo::FUNC
}

/// The slot that a local call or a function address names; `None` if it lies before the program.
pub fn call_target(at: usize, insn: Insn) -> Option<usize> {
    let to = (at as i32).wrapping_add(insn.imm).wrapping_add(1);
    usize::try_from(to).ok()
}
