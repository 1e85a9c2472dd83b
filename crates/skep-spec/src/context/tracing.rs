//! Contexts of programs on the kernel's and a process's own events: registers, records, arguments. All are plain bytes.

use super::{Access, ContextKind, ContextLayout, Field, FieldValue};

const X86_64: [Field; 21] = [
    Field::scalar("r15", 0, 8),
    Field::scalar("r14", 8, 8),
    Field::scalar("r13", 16, 8),
    Field::scalar("r12", 24, 8),
    Field::scalar("bp", 32, 8),
    Field::scalar("bx", 40, 8),
    Field::scalar("r11", 48, 8),
    Field::scalar("r10", 56, 8),
    Field::scalar("r9", 64, 8),
    Field::scalar("r8", 72, 8),
    Field::scalar("ax", 80, 8),
    Field::scalar("cx", 88, 8),
    Field::scalar("dx", 96, 8),
    Field::scalar("si", 104, 8),
    Field::scalar("di", 112, 8),
    Field::scalar("orig_ax", 120, 8),
    Field::scalar("ip", 128, 8),
    Field::scalar("cs", 136, 8),
    Field::scalar("flags", 144, 8),
    Field::scalar("sp", 152, 8),
    Field::scalar("ss", 160, 8),
];

/// `struct pt_regs` of x86-64.
pub static PT_REGS_X86_64: ContextLayout = ContextLayout {
    name: "pt_regs",
    size: 168,
    fields: &X86_64,
    kind: ContextKind::Flat,
};

const ARM64: [Field; 34] = [
    Field::scalar("regs[0]", 0, 8),
    Field::scalar("regs[1]", 8, 8),
    Field::scalar("regs[2]", 16, 8),
    Field::scalar("regs[3]", 24, 8),
    Field::scalar("regs[4]", 32, 8),
    Field::scalar("regs[5]", 40, 8),
    Field::scalar("regs[6]", 48, 8),
    Field::scalar("regs[7]", 56, 8),
    Field::scalar("regs[8]", 64, 8),
    Field::scalar("regs[9]", 72, 8),
    Field::scalar("regs[10]", 80, 8),
    Field::scalar("regs[11]", 88, 8),
    Field::scalar("regs[12]", 96, 8),
    Field::scalar("regs[13]", 104, 8),
    Field::scalar("regs[14]", 112, 8),
    Field::scalar("regs[15]", 120, 8),
    Field::scalar("regs[16]", 128, 8),
    Field::scalar("regs[17]", 136, 8),
    Field::scalar("regs[18]", 144, 8),
    Field::scalar("regs[19]", 152, 8),
    Field::scalar("regs[20]", 160, 8),
    Field::scalar("regs[21]", 168, 8),
    Field::scalar("regs[22]", 176, 8),
    Field::scalar("regs[23]", 184, 8),
    Field::scalar("regs[24]", 192, 8),
    Field::scalar("regs[25]", 200, 8),
    Field::scalar("regs[26]", 208, 8),
    Field::scalar("regs[27]", 216, 8),
    Field::scalar("regs[28]", 224, 8),
    Field::scalar("regs[29]", 232, 8),
    Field::scalar("regs[30]", 240, 8),
    Field::scalar("sp", 248, 8),
    Field::scalar("pc", 256, 8),
    Field::scalar("pstate", 264, 8),
];

/// `struct user_pt_regs` of arm64.
pub static PT_REGS_ARM64: ContextLayout = ContextLayout {
    name: "user_pt_regs",
    size: 272,
    fields: &ARM64,
    kind: ContextKind::Flat,
};

/// The registers of the machine that this was compiled for (those of x86-64 where BPF has no layout of its own).
pub fn pt_regs() -> &'static ContextLayout {
    if cfg!(target_arch = "aarch64") {
        &PT_REGS_ARM64
    } else {
        &PT_REGS_X86_64
    }
}

/// A tracepoint's record: its first 8 bytes are hidden, the rest is described by the tracepoint (see `tracepoint`).
pub static TRACEPOINT: ContextLayout = ContextLayout {
    name: "tracepoint record",
    size: 8192,
    fields: &[
        Field {
            read: Access::Denied,
            ..Field::scalar("common fields", 0, 8)
        },
        Field::scalar("record", 8, 8184),
    ],
    kind: ContextKind::Flat,
};

const PERF_X86_64: [Field; 23] = [
    Field::whole("r15", 0, 8),
    Field::whole("r14", 8, 8),
    Field::whole("r13", 16, 8),
    Field::whole("r12", 24, 8),
    Field::whole("bp", 32, 8),
    Field::whole("bx", 40, 8),
    Field::whole("r11", 48, 8),
    Field::whole("r10", 56, 8),
    Field::whole("r9", 64, 8),
    Field::whole("r8", 72, 8),
    Field::whole("ax", 80, 8),
    Field::whole("cx", 88, 8),
    Field::whole("dx", 96, 8),
    Field::whole("si", 104, 8),
    Field::whole("di", 112, 8),
    Field::whole("orig_ax", 120, 8),
    Field::whole("ip", 128, 8),
    Field::whole("cs", 136, 8),
    Field::whole("flags", 144, 8),
    Field::whole("sp", 152, 8),
    Field::whole("ss", 160, 8),
    Field::scalar("sample_period", 168, 8),
    Field::scalar("addr", 176, 8),
];

/// `struct bpf_perf_event_data` of x86-64.
pub static PERF_EVENT: ContextLayout = ContextLayout {
    name: "bpf_perf_event_data",
    size: 184,
    fields: &PERF_X86_64,
    kind: ContextKind::Flat,
};

const ARGS: [Field; 12] = [
    Field::scalar("args[0]", 0, 8),
    Field::scalar("args[1]", 8, 8),
    Field::scalar("args[2]", 16, 8),
    Field::scalar("args[3]", 24, 8),
    Field::scalar("args[4]", 32, 8),
    Field::scalar("args[5]", 40, 8),
    Field::scalar("args[6]", 48, 8),
    Field::scalar("args[7]", 56, 8),
    Field::scalar("args[8]", 64, 8),
    Field::scalar("args[9]", 72, 8),
    Field::scalar("args[10]", 80, 8),
    Field::scalar("args[11]", 88, 8),
];

/// `struct bpf_raw_tracepoint_args`: the arguments of the tracepoint, as many as it has.
pub static RAW_TRACEPOINT: ContextLayout = ContextLayout {
    name: "bpf_raw_tracepoint_args",
    size: 96,
    fields: &ARGS,
    kind: ContextKind::Flat,
};

/// The arguments of a kernel function or hook, as many as it has; after them an fexit's return value.
pub static ARGUMENTS: ContextLayout = ContextLayout {
    name: "arguments",
    size: 96,
    fields: &ARGS,
    kind: ContextKind::Flat,
};

/// `struct bpf_nf_ctx`.
pub static NETFILTER: ContextLayout = ContextLayout {
    name: "bpf_nf_ctx",
    size: 16,
    fields: &[
        Field::pointer("state", 0, 8, FieldValue::Pointer("nf_hook_state")),
        Field::pointer("skb", 8, 8, FieldValue::Pointer("sk_buff")),
    ],
    kind: ContextKind::Flat,
};

/// One sample of an infrared receiver.
pub static LIRC: ContextLayout = ContextLayout {
    name: "lirc_sample",
    size: 4,
    fields: &[Field::whole("sample", 0, 4)],
    kind: ContextKind::Flat,
};

/// What the caller of the program passes: bytes that the program may read and write.
pub static SYSCALL: ContextLayout = ContextLayout {
    name: "syscall arguments",
    size: 65535,
    fields: &[Field {
        write: Access::Narrow,
        ..Field::scalar("arguments", 0, 65535)
    }],
    kind: ContextKind::Flat,
};
