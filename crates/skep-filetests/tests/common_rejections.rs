//! The forty rejections that people meet most: each has a fixture whose cause is asserted and whose suggested edit is
//! applied, and then verifies.

use std::path::Path;

use skep_filetests::verify::{self, Case};

/// Where the cause of a rejection lies.
#[derive(Clone, Copy, PartialEq)]
enum Cause {
    /// At earlier instructions: the fixture names one.
    Earlier,
    /// At the refused instruction itself, or in how the program is loaded.
    Here,
}

use Cause::{Earlier, Here};

/// Rank, a part of the kernel's message, fixture, where the cause lies.
const ROWS: &[(u8, &str, &str, Cause)] = &[
    (
        1,
        "invalid mem access 'map_value_or_null'",
        "null_lookup",
        Earlier,
    ),
    (2, "invalid mem access 'scalar'", "scalar_pointer", Earlier),
    (2, "invalid mem access 'scalar'", "scalar_32_bit", Earlier),
    (3, "invalid access to packet", "packet_unchecked", Earlier),
    (
        3,
        "R2 offset is outside of the packet",
        "packet_too_short",
        Earlier,
    ),
    (4, "BPF program is too large", "too_many_rounds", Earlier),
    (5, "read from stack", "stack_padding", Earlier),
    (6, "min value is negative", "negative_size", Earlier),
    (7, "unbounded memory access", "unbounded_index", Earlier),
    (
        8,
        "max value is outside of the allowed memory range",
        "index_too_large",
        Earlier,
    ),
    (8, "invalid access to map value", "value_too_small", Here),
    (
        9,
        "program of this type cannot use helper",
        "helper_of_another_hook",
        Here,
    ),
    (9, "unknown#181", "helper_too_new", Here),
    (10, "invalid func unknown#195896080", "core_missing", Here),
    (
        11,
        "combined stack size of 2 calls is",
        "stack_of_two",
        Earlier,
    ),
    (
        11,
        "invalid write to stack R10 off=-520",
        "stack_too_large",
        Here,
    ),
    (
        12,
        "type=scalar expected=fp",
        "argument_value_for_address",
        Earlier,
    ),
    (
        13,
        "invalid bpf_context access off=0 size=8",
        "context_width",
        Here,
    ),
    (13, "doesn't have 2-th argument", "context_beyond", Here),
    (
        14,
        "dereference of modified ctx ptr",
        "context_moved",
        Earlier,
    ),
    (15, "infinite loop detected", "endless", Earlier),
    (15, "back-edge from insn 2 to 1", "loop_unprivileged", Here),
    (16, "unbounded min value", "map_value_math", Earlier),
    (17, "R0 !read_ok", "no_result", Earlier),
    (17, "R1 !read_ok", "clobbered", Earlier),
    (18, "reference leak", "reference_kept", Earlier),
    (19, "cannot call GPL-restricted function", "not_gpl", Here),
    (
        20,
        "32-bit pointer arithmetic prohibited",
        "narrow_pointer",
        Here,
    ),
    (21, "should have been in [0, 1]", "return_range", Earlier),
    (22, "misaligned packet access", "misaligned_packet", Here),
    (23, "", "permission", Here),
    (
        24,
        "Caller passes invalid args into func#1",
        "global_argument",
        Earlier,
    ),
    (
        24,
        "invalid mem access 'mem_or_null'",
        "global_null",
        Earlier,
    ),
    (25, "cannot pass map_type 2 into func", "wrong_map", Here),
    (
        26,
        "invalid read from stack R10 off=-8 size=8",
        "stack_unwritten",
        Earlier,
    ),
    (
        27,
        "fd 0 is not pointing to valid bpf_map",
        "map_descriptor",
        Here,
    ),
    (27, "type=scalar expected=map_ptr", "not_a_map", Here),
    (
        28,
        "access beyond struct task_struct",
        "type_bounds",
        Earlier,
    ),
    (28, "cannot access ptr member", "map_inside", Earlier),
    (29, "is not modifiable", "not_modifiable", Here),
    (29, "is not sleepable", "not_sleepable_target", Here),
    (
        29,
        "helper call is not allowed in probe",
        "not_in_this_probe",
        Here,
    ),
    (30, "frames is too deep", "calls_too_deep", Earlier),
    (30, "frames is too deep", "recursion", Earlier),
    (
        30,
        "tail_calls are not allowed",
        "tail_call_deep_stack",
        Earlier,
    ),
    (31, "unreachable insn 2", "unreachable", Here),
    (31, "last insn is not an exit or jmp", "off_the_end", Here),
    (31, "jump out of range from insn 1 to 9", "jump_out", Here),
    (
        32,
        "function calls are not allowed while holding a lock",
        "call_under_lock",
        Earlier,
    ),
    (
        32,
        "bpf_spin_unlock of different lock",
        "other_lock",
        Earlier,
    ),
    (32, "bpf_spin_lock-ed region", "lock_kept", Earlier),
    (33, "must be a rcu pointer", "trust_outside_rcu", Earlier),
    (
        33,
        "must be referenced or trusted",
        "trust_argument",
        Earlier,
    ),
    (
        33,
        "Possibly NULL pointer passed to trusted arg0",
        "kfunc_null",
        Earlier,
    ),
    (
        34,
        "might sleep in a non-sleepable prog",
        "sleeping_helper",
        Here,
    ),
    (34, "in rcu_read_lock region", "sleep_in_rcu", Earlier),
    (
        35,
        "calling kernel function bpf_put_file is not allowed",
        "kfunc_elsewhere",
        Here,
    ),
    (36, "write into map forbidden", "write_constant", Earlier),
    (
        36,
        "write into map forbidden",
        "write_read_only_map",
        Earlier,
    ),
    (38, "is an unacquired reference", "dynptr_twice", Earlier),
    (
        38,
        "cannot overwrite referenced dynptr",
        "dynptr_overwritten",
        Earlier,
    ),
    (
        38,
        "Expected an initialized dynptr",
        "dynptr_uninitialised",
        Here,
    ),
    (
        39,
        "expected prog array map for tail call",
        "tail_call_no_programs",
        Here,
    ),
    (40, "div by zero", "divides_by_zero", Here),
    (40, "leaks addr as return value", "pointer_leak", Earlier),
    (
        40,
        "pointer comparison prohibited",
        "pointer_comparison",
        Earlier,
    ),
];

/// What kernels say after the verdict, of a program that they rewrite: only a log shows it, and there is nothing to verify.
const AFTER_THE_VERDICT: u8 = 37;

#[test]
fn each_has_a_fixture_with_its_cause_and_an_edit_that_verifies() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filetests/verify");
    let mut missing = Vec::new();
    for &(rank, message, file, cause) in ROWS {
        let path = folder.join(format!("{file}.s"));
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        // The text tests hold each case to what it says; here only that it says enough.
        let found = verify::lines(&text)
            .filter_map(|(_, line)| Case::parse(line).ok())
            .any(|case| {
                let says = |prefix: &str, part: &str| {
                    case.verdict
                        .iter()
                        .any(|item| item.starts_with(prefix) && item.contains(part))
                };
                says("refused=", message)
                    && says("id=", "verifier-")
                    && says("edit=", "verifies")
                    && (cause == Here || says("because=", ""))
            });
        if !found {
            missing.push(format!("{rank}: {file}.s does not show `{message}`"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn no_rank_is_left_out() {
    for rank in 1..=40 {
        let known = rank == AFTER_THE_VERDICT || ROWS.iter().any(|row| row.0 == rank);
        assert!(known, "no fixture for rank {rank}");
    }
}

#[test]
fn what_is_said_after_the_verdict_is_explained_from_the_log() {
    use skep::verifier::explain::{from_log, log};
    let text =
        "insn 6910 cannot be patched due to 16-bit range\nprocessed 40012 insns (limit 1000000)\n";
    let logs = log::parse(text);
    let explanation = from_log::explain(&logs[0], "log", text);
    assert_eq!(explanation.diagnostic.id, "verifier-patch-range");
    let help = explanation.diagnostic.help.unwrap_or_default();
    assert!(help.contains("-mcpu=v4"), "{help}");
}
