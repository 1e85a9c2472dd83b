//! The kernel's numbers: sizes and counts that bound every program and map.
//!
//! Source: include/linux/filter.h, include/linux/bpf.h, include/linux/bpf_verifier.h and include/uapi/linux/bpf.h.

/// Bytes of stack over all frames of a program, and of each single frame.
pub const MAX_STACK: usize = 512;
/// Frames of bpf-to-bpf calls that may be active, the first program included.
pub const MAX_CALL_FRAMES: usize = 8;
/// Tail calls that one run may take.
pub const MAX_TAIL_CALLS: u32 = 33;
/// Registers: r0 to r10.
pub const MAX_REGS: usize = 11;
/// Instructions that the kernel's verifier walks at most, and that a privileged program may have.
pub const MAX_INSNS: usize = 1_000_000;
/// Instructions of a program of an unprivileged user.
pub const MAX_INSNS_UNPRIVILEGED: usize = 4096;
/// Subprograms of one program.
pub const MAX_SUBPROGS: usize = 256;
/// Maps that one program may refer to.
pub const MAX_USED_MAPS: usize = 64;
/// Arguments of a helper, of a kfunc and of a subprogram.
pub const MAX_ARGS: usize = 5;
/// Bytes of a program's or map's name, the terminating zero included (`BPF_OBJ_NAME_LEN`).
pub const NAME_LEN: usize = 16;
/// Iterations of bpf_loop and of a may_goto loop (`BPF_MAX_LOOPS`).
pub const MAX_LOOPS: u32 = 8 * 1024 * 1024;
/// Bytes of a task's name, the terminating zero included (`TASK_COMM_LEN`).
pub const TASK_COMM_LEN: usize = 16;
/// Bytes of all values of a per-CPU map's element on one CPU (`PCPU_MIN_UNIT_SIZE`).
pub const MAX_PERCPU_VALUE: usize = 32 * 1024;
/// Frames of a stack trace (`PERF_MAX_STACK_DEPTH`).
pub const MAX_STACK_DEPTH: usize = 127;
/// Bytes of a key of an LPM trie after the prefix length.
pub const LPM_DATA_SIZE_MAX: usize = 256;
/// Bytes before a frame that a program may grow into (`XDP_PACKET_HEADROOM`).
pub const XDP_PACKET_HEADROOM: usize = 256;
/// Bytes of the header of a ring buffer record (`BPF_RINGBUF_HDR_SZ`).
pub const RINGBUF_HEADER: usize = 8;
/// In a ring buffer record's length word: still being written (`BPF_RINGBUF_BUSY_BIT`).
pub const RINGBUF_BUSY: u32 = 1 << 31;
/// In a ring buffer record's length word: to be skipped (`BPF_RINGBUF_DISCARD_BIT`).
pub const RINGBUF_DISCARD: u32 = 1 << 30;
/// Arguments of bpf_trace_printk after the format.
pub const MAX_TRACE_PRINTK_ARGS: usize = 3;
/// Arguments of the formatting helpers that take an array (`MAX_BPRINTF_VARARGS`).
pub const MAX_BPRINTF_ARGS: usize = 12;
