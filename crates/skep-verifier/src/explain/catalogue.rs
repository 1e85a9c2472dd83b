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
    /// Why the kernel refuses that, and since when.
    pub why: &'static str,
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
    why: "The kernel's message is none of those that this catalogue knows; its own words are all there is.",
    patterns: &[],
    here: "refused here",
    help: "",
    rule: None,
};

/// The system call failed before the verifier was asked.
pub static PERMISSION: Entry = Entry {
    id: "verifier-permission",
    title: "the program may not be loaded by this user",
    why: "bpf(2) asks for privileges before it looks at the program, so there is no log. Socket filters and cgroup_skb programs may be loaded by everyone where kernel.unprivileged_bpf_disabled is 0; tracing needs CAP_PERFMON too, networking CAP_NET_ADMIN. CAP_BPF came with Linux 5.8: before, CAP_SYS_ADMIN is asked for.",
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
        why: "Lookups, reservations and acquisitions may fail and then return NULL. The pointer becomes usable only on a path on which it, or a copy that the verifier knows to be the same, was compared with NULL.",
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
        why: "A packet has any length. The verifier counts as many bytes as a comparison of that very pointer with `data_end` has proved, and forgets them when a helper may have moved or changed the packet.",
        patterns: &[&["invalid access to packet"]],
        here: "used here",
        help: "compare the pointer with `data_end` before the access",
        rule: Some(rules::packet::rule),
    },
    Entry {
        id: "verifier-stack-uninitialised",
        title: "bytes of the stack are read that were never written",
        why: "Stack that the program has not written holds what other code left there. Helpers that copy it to user space would leak it; so each byte that is handed out must have been written, padding included. Since Linux 6.3 (and late releases of 6.1) privileged programs may read such bytes; programs of unprivileged users never.",
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
        why: "A program has 512 bytes of stack for all its active functions together, each rounded up to 16 bytes (32 where the program is interpreted). Large structures on the stack, and sums over a chain of calls, exceed it.",
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
        why: "At most 8 functions may be active at once, and a function cannot know how often it would call itself. A tail call keeps its caller's frame; to bound the sum, callers of such a function may use 256 bytes at most.",
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
        why: "A number that may be negative would, as an offset, reach before the object, and as a size count as a huge one. It stems from a signed variable, a sign extension, or a comparison that the compiler made on another register.",
        patterns: &[&["min value is negative"], &["unbounded min value"]],
        here: "",
        help: "make it unsigned and bound it right before the use",
        rule: Some(rules::bounds::rule),
    },
    Entry {
        id: "verifier-unbounded",
        title: "a size or offset has no useful bound",
        why: "Nothing limits the number on this path: it was never compared, or the bound was lost as the value passed through memory, a call, or a 32-bit copy.",
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
        why: "The largest, or smallest, value that the offset may have on this path lies outside of the object.",
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
        why: "The loader adapts accesses to the running kernel's types (CO-RE). Where the kernel lacks the field, type or enumerator, it replaces the instruction by a call of a helper that never exists; that is refused only if the program can get there.",
        patterns: &[&["unknown#195896080"], &["invalid CO-RE relocation"]],
        here: "",
        help: "guard the access with bpf_core_field_exists()",
        rule: Some(rules::call::poison),
    },
    Entry {
        id: "verifier-map-type",
        title: "the helper does not work on this kind of map",
        why: "Each helper works on certain kinds of maps.",
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
        why: "An object names its maps symbolically; a loader creates them and puts their descriptors into the code. Code that was loaded without that, or whose map symbol the compiler folded away, holds a number that means nothing.",
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
        why: "Some helpers and kernel functions are exported to GPL compatible programs only. The licence is what the object's `license` section says; without one it is not compatible.",
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
        why: "Most hooks run where the kernel must not sleep. Some (`fentry.s`, `lsm.s`, `uprobe.s`, `iter.s`, syscall programs) may, but not within an RCU section, with preemption disabled, or with a lock held. Sleepable programs came with Linux 5.10, `bpf_rcu_read_lock` with 6.2.",
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
        why: "A helper exists from one release on, and for some kinds of programs only; some depend on the kernel's configuration, others on the very function that the program attaches to.",
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
        why: "The loads inherited from classic BPF need a packet behind the context, as socket filters and tc programs have it.",
        patterns: &[&["BPF_LD_[ABS|IND]"], &["BPF_LD_ABS"]],
        here: "",
        help: "only socket filters and tc programs have them: compare with `data_end` and read from the packet's pointer, or use bpf_skb_load_bytes()",
        rule: Some(rules::attach::packet_load),
    },
    Entry {
        id: "verifier-kfunc",
        title: "the kernel function cannot be called here",
        why: "Kernel functions are registered for certain kinds of programs. They are no stable interface: another release, configuration or an unloaded module may lack them. Calls of them came with Linux 5.13.",
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
        why: "A global function is verified once, by the types of its parameters alone; each caller must then pass what these types say. Functions that are `static` are verified at each call with what is really passed. Global functions came with Linux 5.6.",
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
        why: "Each parameter of a helper takes certain kinds of values: memory that holds a key, a map, the context.",
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
        why: "A pointer that was read from another object says nothing of that object's lifetime. Functions take pointers that the hook guarantees (trusted), that a reference holds, or, where they say so, that an RCU section protects. Outside of RCU sections sleepable programs have only untrusted ones.",
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
        why: "Accesses of a context are rewritten by their constant offset. After arithmetic on the pointer the offset is no longer that of the instruction.",
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
        why: "Each kind of program sees other fields of its context, some only to be read, each in its own width; argument lists of traced functions end where the function's do.",
        patterns: &[&["invalid bpf_context access"], &["is not a struct"]],
        here: "",
        help: "use a field that this hook has",
        rule: Some(rules::context::field),
    },
    Entry {
        id: "verifier-uninitialised-register",
        title: "a register without a value is used",
        why: "A register has a value only if every path to here gave it one. Calls take r1 to r5 away; a function without a `return` on some path leaves r0 unset; compilers turn undefined behaviour into nothing at all.",
        patterns: &[&["!read_ok"]],
        here: "read here",
        help: "give the variable a value on every path that leads here",
        rule: Some(rules::uninitialised::rule),
    },
    Entry {
        id: "verifier-reference-leak",
        title: "a reference is not given back",
        why: "What was acquired (a socket, a record of a ring buffer, a task, an iterator) must be given back on every path, or the kernel would keep it for ever. Forgotten are mostly error paths.",
        patterns: &[&["reference leak"], &["Unreleased reference"]],
        here: "",
        help: "release it on every path",
        rule: Some(rules::reference::rule),
    },
    Entry {
        id: "verifier-lock",
        title: "a lock or region is still held, or not the one that is meant",
        why: "While a lock is held the program must get on: no helpers but a few, no second lock, no return. The unlock must be of the same object through the same lookup. `bpf_spin_lock` came with Linux 5.1.",
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
        why: "The result is an answer to the hook: a verdict, an error code or 0. Other values would be misread.",
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
        why: "The verifier follows a pointer through additions and subtractions of 64-bit numbers only. Anything else would make an address of which nothing is known. For unprivileged users it also asks for offsets that speculation cannot abuse.",
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
        why: "The value is a plain number to the verifier: a member of a traced record, an address that went through a map or a u64, or a pointer that was computed in 32 bits.",
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
        why: "Typed pointers are followed by the kernel's own types: an access must lie within the type, and hit members as they are.",
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
        why: "Some pointers mark a place or name an object without giving access: the end of a packet, a map, an untyped result.",
        patterns: &[&["invalid mem access '"]],
        here: "",
        help: "this kind of pointer can only be passed on to helpers",
        rule: None,
    },
    Entry {
        id: "verifier-misaligned",
        title: "an access that is not aligned to its size",
        why: "Packets are aligned so that the IP header is, hence other fields lie at odd addresses. The check is made on machines without unaligned access and where BPF_F_STRICT_ALIGNMENT asks for it.",
        patterns: &[&["misaligned "]],
        here: "",
        help: "read the bytes one by one, or declare the structure packed so that the compiler does",
        rule: Some(rules::misaligned::rule),
    },
    Entry {
        id: "verifier-loop",
        title: "a loop that never ends, as far as can be seen",
        why: "A loop is walked round by round. If a round ends in the same state as the one before, or the bound is not visible, it would never end. Loops came with Linux 5.3; unprivileged users may have none.",
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
        why: "The verifier walks at most a million instructions over all paths, and puts at most 8192 branches aside. Each branch in a loop multiplies the paths, where the states that meet differ in something that still matters.",
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
        why: "Results can be replaced only at functions marked for it, programs that sleep attach only to functions that may, and some functions take no programs at all.",
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
        why: "Dead code is refused as it stands in the object; what a constant makes dead is taken out silently. Compilers leave it after calls that never return.",
        patterns: &[&["unreachable insn"]],
        here: "",
        help: "leave it out",
        rule: Some(rules::structure::unreachable),
    },
    Entry {
        id: "verifier-program-end",
        title: "the program runs off its end",
        why: "Control would run past the last instruction.",
        patterns: &[&["last insn is not an exit or jmp"]],
        here: "",
        help: "end with a return",
        rule: Some(rules::structure::end),
    },
    Entry {
        id: "verifier-jump",
        title: "a jump to a place outside of the function",
        why: "A jump must lead to an instruction of its own function.",
        patterns: &[&["jump out of range"], &["jump into the middle of ldimm64"]],
        here: "",
        help: "jump within the function",
        rule: Some(rules::structure::jump),
    },
    Entry {
        id: "verifier-division",
        title: "a division by the constant zero",
        why: "A divisor that is the constant 0 is surely a mistake. Division by a variable that happens to be 0 is defined: it gives 0, the remainder the dividend.",
        patterns: &[&["div by zero"]],
        here: "",
        help: "divide by something else",
        rule: Some(rules::structure::division),
    },
    Entry {
        id: "verifier-read-only",
        title: "a write to what may only be read",
        why: "Constants, maps with BPF_F_RDONLY_PROG and objects of the kernel that are handed out to be read cannot be written.",
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
        why: "A dynptr is a description of memory that only helpers write. It must be initialised before it is used, is void once it was submitted or discarded, and its bytes on the stack belong to it meanwhile. Dynptrs came with Linux 5.19.",
        patterns: &[&["dynptr"], &["arg ", "is an unacquired reference"]],
        here: "",
        help: "initialise it before, use it until it is submitted or discarded, and do that once",
        rule: Some(rules::dynptr::rule),
    },
    Entry {
        id: "verifier-iterator",
        title: "an iterator is used in the wrong state",
        why: "An iterator's life is new, next until NULL, destroy. Iterators as loops came with Linux 6.4.",
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
        why: "Addresses of the kernel are secrets to unprivileged users: programs of theirs may not return or store them.",
        patterns: &[&["leaks addr"], &["leak pointer"]],
        here: "",
        help: "programs of unprivileged users may not store or return addresses: CAP_PERFMON allows it",
        rule: Some(rules::attach::privilege),
    },
    Entry {
        id: "verifier-pointer-comparison",
        title: "pointers are compared that may not be",
        why: "The outcome of a comparison says something of the addresses. Unprivileged users may only compare with NULL and with a packet's end.",
        patterns: &[&["pointer comparison prohibited"]],
        here: "",
        help: "programs of unprivileged users may not compare pointers: CAP_PERFMON allows it",
        rule: Some(rules::attach::privilege),
    },
    Entry {
        id: "verifier-patch-range",
        title: "the program is too long to be rewritten",
        why: "After the verdict the kernel rewrites the program, and what it inserts moves jump targets further away. A jump holds 16 bits. Jumps of 32 bits (`-mcpu=v4`) came with Linux 6.6.",
        patterns: &[&["cannot be patched due to 16-bit range"]],
        here: "",
        help: "split it, or compile with -mcpu=v4",
        rule: None,
    },
];
