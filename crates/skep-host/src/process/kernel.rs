//! The kernel structures that are modelled: the task and what hangs on it, the records of tracepoints.
//!
//! Invariants: names are those of Linux 6.12, offsets are our own (programs are relocated to them); `parent` is what
//! `real_parent` is, as for a task that nobody traces; every structure is plain integers, so any bytes are a valid value.

use super::arch;
use super::types::{Bool, Char, Describe, Ptr, Types, kernel_struct};
use skep_btf::TypeId;

kernel_struct! {
    struct KUid = "kuid_t" { val: u32, }
    struct KGid = "kgid_t" { val: u32, }
    struct Atomic = "atomic_t" { counter: i32, }

    struct Task = "task_struct" {
        flags: u32,
        exit_code: i32,
        prio: i32,
        pid: i32,
        tgid: i32,
        real_parent: Ptr<Task>,
        parent: Ptr<Task>,
        group_leader: Ptr<Task>,
        thread_pid: Ptr<Pid>,
        start_time: u64,
        start_boottime: u64,
        mm: Ptr<Mm>,
        real_cred: Ptr<Cred>,
        cred: Ptr<Cred>,
        comm: [Char; 16],
        fs: Ptr<Fs>,
        nsproxy: Ptr<Nsproxy>,
        signal: Ptr<Signal>,
    }
    struct Signal = "signal_struct" {
        live: Atomic,
        nr_threads: i32,
    }
    struct Upid = "upid" { nr: i32, }
    struct Pid = "pid" {
        level: u32,
        numbers: [Upid; 8],
    }
    struct Cred = "cred" {
        uid: KUid,
        gid: KGid,
        suid: KUid,
        sgid: KGid,
        euid: KUid,
        egid: KGid,
        fsuid: KUid,
        fsgid: KGid,
    }
    struct NsCommon = "ns_common" { inum: u32, }
    struct MntNs = "mnt_namespace" { ns: NsCommon, }
    struct PidNs = "pid_namespace" { ns: NsCommon, level: u32, }
    struct NetNs = "net" { ns: NsCommon, }
    struct IpcNs = "ipc_namespace" { ns: NsCommon, }
    struct CgroupNs = "cgroup_namespace" { ns: NsCommon, }
    struct UtsNs = "uts_namespace" { ns: NsCommon, }
    struct Nsproxy = "nsproxy" {
        uts_ns: Ptr<UtsNs>,
        ipc_ns: Ptr<IpcNs>,
        mnt_ns: Ptr<MntNs>,
        pid_ns_for_children: Ptr<PidNs>,
        net_ns: Ptr<NetNs>,
        cgroup_ns: Ptr<CgroupNs>,
    }
    struct Mm = "mm_struct" {
        start_code: u64,
        end_code: u64,
        start_data: u64,
        end_data: u64,
        start_brk: u64,
        start_stack: u64,
        arg_start: u64,
        arg_end: u64,
        env_start: u64,
        env_end: u64,
        exe_file: Ptr<File>,
    }
    struct Qstr = "qstr" { len: u32, name: Ptr<u8>, }
    struct Inode = "inode" { i_mode: u16, i_uid: KUid, i_gid: KGid, i_ino: u64, i_size: i64, }
    struct Dentry = "dentry" {
        d_parent: Ptr<Dentry>,
        d_name: Qstr,
    }
    struct VfsMount = "vfsmount" { mnt_root: Ptr<Dentry>, }
    struct Mount = "mount" {
        mnt_parent: Ptr<Mount>,
        mnt_mountpoint: Ptr<Dentry>,
        mnt: VfsMount,
        mnt_id: i32,
    }
    struct Path = "path" { mnt: Ptr<VfsMount>, dentry: Ptr<Dentry>, }
    struct File = "file" { f_inode: Ptr<Inode>, f_path: Path, }
    struct Fs = "fs_struct" { root: Path, pwd: Path, }
    struct Binprm = "linux_binprm" { filename: Ptr<Char>, }

    struct TraceEntry = "trace_entry" {
        type_ as "type": u16,
        flags: u8,
        preempt_count: u8,
        pid: i32,
    }
    struct RawSysEnter = "trace_event_raw_sys_enter" { ent: TraceEntry, id: i64, args: [u64; 6], __data: [Char; 0], }
    struct RawSysExit = "trace_event_raw_sys_exit" { ent: TraceEntry, id: i64, ret: i64, __data: [Char; 0], }
    struct SyscallEnter = "syscall_trace_enter" { ent: TraceEntry, nr: i32, args: [u64; 0], }
    struct SyscallExit = "syscall_trace_exit" { ent: TraceEntry, nr: i32, ret: i64, }
    struct RawFork = "trace_event_raw_sched_process_fork" {
        ent: TraceEntry,
        parent_comm: [Char; 16],
        parent_pid: i32,
        child_comm: [Char; 16],
        child_pid: i32,
        __data: [Char; 0],
    }
    struct RawExec = "trace_event_raw_sched_process_exec" {
        ent: TraceEntry,
        __data_loc_filename: u32,
        pid: i32,
        old_pid: i32,
        __data: [Char; 0],
    }
    struct RawTemplate = "trace_event_raw_sched_process_template" {
        ent: TraceEntry,
        comm: [Char; 16],
        pid: i32,
        prio: i32,
        __data: [Char; 0],
    }
    struct RawExit = "trace_event_raw_sched_process_exit" {
        ent: TraceEntry,
        comm: [Char; 16],
        pid: i32,
        prio: i32,
        group_dead: Bool,
        __data: [Char; 0],
    }
    struct RawArgs = "bpf_raw_tracepoint_args" { args: [u64; 0], }

    // What system calls take by address: in the task's own memory, in the layout of the uapi headers.
    struct OpenHow = "open_how" { flags: u64, mode: u64, resolve: u64, }
    struct Timespec = "__kernel_timespec" { tv_sec: i64, tv_nsec: i64, }
    struct Iovec = "iovec" { iov_base: Ptr<()>, iov_len: u64, }
}

/// `pt_regs`: the start of the machine's [`arch::Registers`].
pub(crate) struct PtRegs;

impl Describe for PtRegs {
    fn describe(types: &mut Types) -> TypeId {
        types.structure("pt_regs", arch::PT_REGS_SIZE, pt_regs_members)
    }
}

#[cfg(target_arch = "x86_64")]
fn pt_regs_members(types: &mut Types) -> Vec<(&'static str, usize, TypeId)> {
    let word = u64::describe(types);
    let names = [
        "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si",
        "di", "orig_ax", "ip", "cs", "flags", "sp", "ss",
    ];
    names
        .into_iter()
        .enumerate()
        .map(|(i, name)| (name, i * 8, word))
        .collect()
}

#[cfg(target_arch = "aarch64")]
fn pt_regs_members(types: &mut Types) -> Vec<(&'static str, usize, TypeId)> {
    let word = u64::describe(types);
    let regs = <[u64; 31]>::describe(types);
    vec![
        ("regs", 0, regs),
        ("sp", 248, word),
        ("pc", 256, word),
        ("pstate", 264, word),
    ]
}

pub(crate) fn describe_all(types: &mut Types) {
    Task::describe(types);
    Mount::describe(types);
    File::describe(types);
    RawSysEnter::describe(types);
    RawSysExit::describe(types);
    SyscallEnter::describe(types);
    SyscallExit::describe(types);
    RawFork::describe(types);
    RawExec::describe(types);
    RawTemplate::describe(types);
    RawExit::describe(types);
    RawArgs::describe(types);
    OpenHow::describe(types);
    Timespec::describe(types);
    Iovec::describe(types);
    let (regs, task, binprm) = (
        Ptr::<PtRegs>::describe(types),
        Ptr::<Task>::describe(types),
        Ptr::<Binprm>::describe(types),
    );
    let (long, int, yes) = (
        i64::describe(types),
        i32::describe(types),
        Bool::describe(types),
    );
    types.trace_typedef("sys_enter", &[("regs", regs), ("id", long)]);
    types.trace_typedef("sys_exit", &[("regs", regs), ("ret", long)]);
    types.trace_typedef("sched_process_fork", &[("parent", task), ("child", task)]);
    types.trace_typedef(
        "sched_process_exec",
        &[("p", task), ("old_pid", int), ("bprm", binprm)],
    );
    types.trace_typedef("sched_process_exit", &[("p", task), ("group_dead", yes)]);
}
