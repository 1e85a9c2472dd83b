//! The kinds of rejection that are told apart: stable id, title, and the rule that finds the cause.
//!
//! Invariants: an entry is found by the kernel's wording, so that a log of any kernel finds the same one as our own
//! verdict; the first entry that matches wins; every id has a page under docs/errors.

use crate::explain::{Case, Findings, rules};
use crate::fault::Fault;

/// One kind of rejection.
pub struct Entry {
    /// Names the page of the documentation.
    pub id: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// Parts of the kernel's message, in order; any of the alternatives.
    pub patterns: &'static [&'static [&'static str]],
    /// What stands at the refused instruction where the rule has nothing better.
    pub here: &'static str,
    /// What to do where the rule has nothing better.
    pub help: &'static str,
    pub rule: Option<fn(&Case<'_>) -> Findings>,
}

/// Whether `line` has the parts in that order.
fn has(line: &str, parts: &[&str]) -> bool {
    let mut rest = line;
    parts.iter().all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// The entry of a fault.
pub fn entry(fault: &Fault) -> &'static Entry {
    match fault.lines[..] {
        [] if fault.errno == 1 => &PERMISSION,
        _ => by_lines(&fault.lines),
    }
}

/// The entry of a kernel's last lines.
pub fn by_lines(lines: &[String]) -> &'static Entry {
    ALL.iter()
        .find(|entry| {
            entry
                .patterns
                .iter()
                .any(|parts| lines.iter().any(|line| has(line, parts)))
        })
        .unwrap_or(&OTHER)
}

/// What no entry matches.
pub static OTHER: Entry = Entry {
    id: "verifier-rejected",
    title: "the program is refused",
    patterns: &[],
    here: "refused here",
    help: "",
    rule: None,
};

/// The system call failed before the verifier was asked.
pub static PERMISSION: Entry = Entry {
    id: "verifier-permission",
    title: "the program may not be loaded by this user",
    patterns: &[],
    here: "",
    help: "load it with CAP_BPF, and CAP_PERFMON or CAP_NET_ADMIN as its type needs; else look at kernel.unprivileged_bpf_disabled, the lockdown mode, a seccomp filter of a container, and before Linux 5.11 RLIMIT_MEMLOCK",
    rule: Some(rules::attach::privilege),
};

/// Every entry, the more specific before the more general.
pub static ALL: &[Entry] = &[
    Entry {
        id: "verifier-null-pointer",
        title: "a pointer that may be NULL is used",
        patterns: &[
            &["invalid mem access '", "_or_null'"],
            &["pointer arithmetic on ", "_or_null prohibited"],
            &["Possibly NULL pointer passed"],
        ],
        here: "used here without a check",
        help: "compare the pointer with NULL right after the call that returns it, and use it only where it is not NULL",
        rule: Some(rules::null::rule),
    },
    Entry {
        id: "verifier-packet-bounds",
        title: "bytes of the packet are used that may not be there",
        patterns: &[&["invalid access to packet"]],
        here: "used here",
        help: "compare the pointer with `data_end` before the access",
        rule: Some(rules::packet::rule),
    },
    Entry {
        id: "verifier-stack-uninitialised",
        title: "bytes of the stack are read that were never written",
        patterns: &[
            &["invalid read from stack"],
            &["invalid indirect read from stack"],
            &["invalid variable-offset read from stack"],
            &["invalid variable-offset indirect"],
        ],
        here: "read here",
        help: "initialise the whole variable where it is declared",
        rule: Some(rules::stack::rule),
    },
    Entry {
        id: "verifier-stack-too-large",
        title: "more stack is used than there is",
        patterns: &[
            &["invalid write to stack"],
            &["combined stack size"],
            &["invalid stack off"],
            &["invalid variable-offset write to stack"],
        ],
        here: "",
        help: "the stack holds 512 bytes for all functions of a call chain: keep large objects in the value of a per-CPU array",
        rule: Some(rules::stack::too_large),
    },
    Entry {
        id: "verifier-call-depth",
        title: "functions call each other too deeply",
        patterns: &[
            &["call stack of ", "frames is too deep"],
            &["recursive call from"],
            &["tail_calls are not allowed when call stack"],
        ],
        here: "",
        help: "at most 8 functions may be active: make the recursion a loop",
        rule: Some(rules::frames::depth),
    },
    Entry {
        id: "verifier-negative-size",
        title: "a size or offset may be negative",
        patterns: &[&["min value is negative"], &["unbounded min value"]],
        here: "",
        help: "make it unsigned and bound it right before the use",
        rule: Some(rules::bounds::rule),
    },
    Entry {
        id: "verifier-unbounded",
        title: "a size or offset has no useful bound",
        patterns: &[
            &["unbounded memory access"],
            &["makes ", " pointer be out of bounds"],
            &["invalid zero-sized read"],
            &["pointer offset ", "is not allowed"],
        ],
        here: "",
        help: "bound it right before the use",
        rule: Some(rules::bounds::rule),
    },
    Entry {
        id: "verifier-out-of-bounds",
        title: "memory outside of what the pointer points to is used",
        patterns: &[
            &["value is outside of the allowed memory range"],
            &["invalid access to map value"],
            &["invalid access to memory"],
            &["invalid access to map key"],
        ],
        here: "",
        help: "stay within the object",
        rule: Some(rules::bounds::rule),
    },
    Entry {
        id: "verifier-core-poison",
        title: "a relocation found nothing in the kernel's types",
        patterns: &[&["unknown#195896080"], &["invalid CO-RE relocation"]],
        here: "",
        help: "guard the access with bpf_core_field_exists()",
        rule: Some(rules::call::poison),
    },
    Entry {
        id: "verifier-map-type",
        title: "the helper does not work on this kind of map",
        patterns: &[
            &["cannot pass map_type"],
            &["expected prog array map for tail call"],
        ],
        here: "",
        help: "use the map that the helper is for",
        rule: Some(rules::call::map_type),
    },
    Entry {
        id: "verifier-map-reference",
        title: "the program refers to a map that is not there",
        patterns: &[
            &["is not pointing to valid bpf_map"],
            &["unrecognized bpf_ld_imm64"],
        ],
        here: "",
        help: "load the object with a loader that creates its maps and relocates the references",
        rule: Some(rules::attach::map_reference),
    },
    Entry {
        id: "verifier-license",
        title: "the call is for GPL programs only",
        patterns: &[
            &["GPL-restricted function from non-GPL"],
            &["from non-GPL compatible program"],
        ],
        here: "",
        help: "declare a licence compatible with the GPL",
        rule: Some(rules::call::license),
    },
    Entry {
        id: "verifier-sleepable",
        title: "the call may sleep, the program may not",
        patterns: &[
            &["in non-sleepable prog"],
            &["is sleepable within"],
            &["sleepable helper"],
            &["must be sleepable"],
            &["might sleep"],
            &["may sleep"],
        ],
        here: "",
        help: "load the program as a sleepable one, or leave the region first",
        rule: Some(rules::call::sleepable),
    },
    Entry {
        id: "verifier-helper",
        title: "the helper cannot be called here",
        patterns: &[
            &["program of this type cannot use helper"],
            &["unknown func"],
            &["invalid func"],
            &["helper call is not allowed in probe"],
        ],
        here: "",
        help: "use a hook that offers the helper",
        rule: Some(rules::call::helper),
    },
    Entry {
        id: "verifier-packet-load",
        title: "the classic packet loads are not for this program",
        patterns: &[&["BPF_LD_[ABS|IND]"], &["BPF_LD_ABS"]],
        here: "",
        help: "only socket filters and tc programs have them: compare with `data_end` and read from the packet's pointer, or use bpf_skb_load_bytes()",
        rule: Some(rules::attach::packet_load),
    },
    Entry {
        id: "verifier-kfunc",
        title: "the kernel function cannot be called here",
        patterns: &[
            &["calling kernel function"],
            &["kernel function ", "is not allowed"],
            &["kernel btf_id"],
        ],
        here: "",
        help: "use a program type for which the function is registered",
        rule: Some(rules::attach::kfunc),
    },
    Entry {
        id: "verifier-global-function",
        title: "a global function gets something else than its types say",
        patterns: &[
            &["Caller passes invalid args into func"],
            &["is global and assumed valid"],
        ],
        here: "",
        help: "global functions are verified alone, by their types: check for NULL within, or declare the function static",
        rule: Some(rules::attach::global_argument),
    },
    Entry {
        id: "verifier-argument",
        title: "an argument of the wrong kind",
        patterns: &[
            &["type=", " expected="],
            &["must be a known constant"],
            &["is not a known constant"],
            &["expected pointer to stack"],
        ],
        here: "",
        help: "pass what the function takes",
        rule: Some(rules::call::argument),
    },
    Entry {
        id: "verifier-trust",
        title: "a pointer that the verifier does not trust",
        patterns: &[
            &["must be referenced or trusted"],
            &["must be a rcu pointer"],
            &["must be referenced"],
            &["is not trusted"],
            &["pointer type ", "must point to"],
        ],
        here: "passed here",
        help: "acquire a reference, or stay within bpf_rcu_read_lock(), and check for NULL",
        rule: Some(rules::trust::rule),
    },
    Entry {
        id: "verifier-context-modified",
        title: "the context is accessed through a pointer that was moved",
        patterns: &[
            &["dereference of modified ctx ptr"],
            &["variable ctx access"],
        ],
        here: "",
        help: "read context fields from the context itself",
        rule: Some(rules::context::moved),
    },
    Entry {
        id: "verifier-context-access",
        title: "a field of the context that may not be accessed so",
        patterns: &[&["invalid bpf_context access"], &["is not a struct"]],
        here: "",
        help: "use a field that this hook has",
        rule: Some(rules::context::field),
    },
    Entry {
        id: "verifier-uninitialised-register",
        title: "a register without a value is used",
        patterns: &[&["!read_ok"]],
        here: "read here",
        help: "give the variable a value on every path that leads here",
        rule: Some(rules::uninitialised::rule),
    },
    Entry {
        id: "verifier-reference-leak",
        title: "a reference is not given back",
        patterns: &[&["reference leak"], &["Unreleased reference"]],
        here: "",
        help: "release it on every path",
        rule: Some(rules::reference::rule),
    },
    Entry {
        id: "verifier-lock",
        title: "a lock or region is still held, or not the one that is meant",
        patterns: &[
            &["while holding a lock"],
            &["bpf_spin_unlock of different lock"],
            &["-ed region is missing"],
            &["region is missing unlock"],
            &["is missing bpf_"],
            &["lock-ed region"],
            &["bpf_spin_lock-ed"],
        ],
        here: "",
        help: "shorten the section, and leave it on every path",
        rule: Some(rules::region::lock),
    },
    Entry {
        id: "verifier-return-value",
        title: "a result that this hook does not understand",
        patterns: &[
            &["At program exit the register R0"],
            &["At callback return the register R0"],
            &["At async callback the register R0"],
            &["At subprogram exit the register R0"],
        ],
        here: "",
        help: "return what the hook expects",
        rule: Some(rules::result::rule),
    },
    Entry {
        id: "verifier-pointer-arithmetic",
        title: "arithmetic that pointers do not take",
        patterns: &[
            &["pointer arithmetic"],
            &["prohibited for !root"],
            &["pointer += pointer prohibited"],
            &["pointer -= pointer prohibited"],
            &["bitwise operator ", "on pointer"],
            &["tried to subtract pointer"],
            &["partial copy of pointer"],
            &["sign-extension part of pointer"],
        ],
        here: "",
        help: "compute with numbers, in 64 bits",
        rule: Some(rules::arithmetic::rule),
    },
    Entry {
        id: "verifier-scalar-pointer",
        title: "a number is used as an address",
        patterns: &[
            &["invalid mem access 'scalar'"],
            &["invalid mem access 'inv'"],
        ],
        here: "",
        help: "read memory through a helper or through typed pointers",
        rule: Some(rules::scalar::rule),
    },
    Entry {
        id: "verifier-type-bounds",
        title: "a field outside of the type is accessed",
        patterns: &[
            &["access beyond struct"],
            &["access beyond the end of member"],
            &["cannot access ptr member"],
        ],
        here: "",
        help: "read the field with BPF_CORE_READ, so that its place fits the running kernel",
        rule: Some(rules::trust::bounds),
    },
    Entry {
        id: "verifier-pointer-kind",
        title: "a pointer that cannot be used so",
        patterns: &[&["invalid mem access '"]],
        here: "",
        help: "this kind of pointer can only be passed on to helpers",
        rule: None,
    },
    Entry {
        id: "verifier-misaligned",
        title: "an access that is not aligned to its size",
        patterns: &[&["misaligned "]],
        here: "",
        help: "read the bytes one by one, or declare the structure packed so that the compiler does",
        rule: Some(rules::misaligned::rule),
    },
    Entry {
        id: "verifier-loop",
        title: "a loop that never ends, as far as can be seen",
        patterns: &[
            &["infinite loop detected"],
            &["back-edge from insn"],
            &["loop detected"],
        ],
        here: "",
        help: "bound the loop",
        rule: Some(rules::looping::rule),
    },
    Entry {
        id: "verifier-too-complex",
        title: "the program takes too long to walk",
        patterns: &[
            &["BPF program is too large"],
            &["jumps is too complex"],
            &["too complex"],
        ],
        here: "",
        help: "fewer branches within loops; bpf_loop() and global functions are walked once",
        rule: Some(rules::looping::rule),
    },
    Entry {
        id: "verifier-attach-target",
        title: "the program cannot be attached there",
        patterns: &[
            &["is not modifiable"],
            &["is not sleepable"],
            &["attach_btf_id"],
            &["doesn't have ", " argument"],
            &["is not supported to attach"],
        ],
        here: "",
        help: "attach to a function that allows this kind of program",
        rule: Some(rules::attach::target),
    },
    Entry {
        id: "verifier-unreachable",
        title: "code that nothing reaches",
        patterns: &[&["unreachable insn"]],
        here: "",
        help: "leave it out",
        rule: Some(rules::structure::unreachable),
    },
    Entry {
        id: "verifier-program-end",
        title: "the program runs off its end",
        patterns: &[&["last insn is not an exit or jmp"]],
        here: "",
        help: "end with a return",
        rule: Some(rules::structure::end),
    },
    Entry {
        id: "verifier-jump",
        title: "a jump to a place outside of the function",
        patterns: &[&["jump out of range"], &["jump into the middle of ldimm64"]],
        here: "",
        help: "jump within the function",
        rule: Some(rules::structure::jump),
    },
    Entry {
        id: "verifier-division",
        title: "a division by the constant zero",
        patterns: &[&["div by zero"]],
        here: "",
        help: "divide by something else",
        rule: Some(rules::structure::division),
    },
    Entry {
        id: "verifier-read-only",
        title: "a write to what may only be read",
        patterns: &[
            &["write into map forbidden"],
            &["cannot write into"],
            &["only read is supported"],
        ],
        here: "",
        help: "write to a map that programs may write",
        rule: Some(rules::call::read_only),
    },
    Entry {
        id: "verifier-dynptr",
        title: "a dynptr is used in the wrong state",
        patterns: &[&["dynptr"], &["arg ", "is an unacquired reference"]],
        here: "",
        help: "initialise it before, use it until it is submitted or discarded, and do that once",
        rule: Some(rules::dynptr::rule),
    },
    Entry {
        id: "verifier-iterator",
        title: "an iterator is used in the wrong state",
        patterns: &[
            &["expected an initialized iter"],
            &["expected uninitialized iter"],
        ],
        here: "",
        help: "new, next until NULL, destroy: in this order, on every path",
        rule: Some(rules::dynptr::iterator),
    },
    Entry {
        id: "verifier-pointer-leak",
        title: "an address would become visible",
        patterns: &[&["leaks addr"], &["leak pointer"]],
        here: "",
        help: "programs of unprivileged users may not store or return addresses: CAP_PERFMON allows it",
        rule: Some(rules::attach::privilege),
    },
    Entry {
        id: "verifier-pointer-comparison",
        title: "pointers are compared that may not be",
        patterns: &[&["pointer comparison prohibited"]],
        here: "",
        help: "programs of unprivileged users may not compare pointers: CAP_PERFMON allows it",
        rule: Some(rules::attach::privilege),
    },
    Entry {
        id: "verifier-patch-range",
        title: "the program is too long to be rewritten",
        patterns: &[&["cannot be patched due to 16-bit range"]],
        here: "",
        help: "split it, or compile with -mcpu=v4",
        rule: None,
    },
];
