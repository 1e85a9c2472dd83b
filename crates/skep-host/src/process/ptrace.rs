//! The kernel's ptrace(2) and wait4(2), one function per request that the supervisor uses.
//!
//! Invariants: every request names a task this thread traces; failures are returned, never retried here. `ESRCH` means
//! that the task died under us (any other task may kill it at any time), which every caller must expect.

use super::arch::Registers;
use std::io;

/// A thread id in the supervisor's own pid namespace.
pub type Tid = i32;

pub const OPTION_EXITKILL: u64 = libc::PTRACE_O_EXITKILL as u64;
pub const OPTION_TRACESECCOMP: u64 = libc::PTRACE_O_TRACESECCOMP as u64;
pub const OPTION_TRACEEXIT: u64 = libc::PTRACE_O_TRACEEXIT as u64;
/// Follow forks, vforks, clones and execs; mark system call stops.
pub const OPTIONS_FOLLOW: u64 = (libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACESYSGOOD) as u64;

fn request(op: libc::c_uint, tid: Tid, addr: u64, data: u64) -> io::Result<()> {
    // SAFETY: only called with requests that take integers, or with `data` pointing to memory the caller owns for the
    // duration of the call.
    let r = unsafe {
        libc::ptrace(
            op as _,
            tid,
            addr as *mut libc::c_void,
            data as *mut libc::c_void,
        )
    };
    if r == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

pub fn seize(tid: Tid, options: u64) -> io::Result<()> {
    request(libc::PTRACE_SEIZE as _, tid, 0, options)
}

pub fn interrupt(tid: Tid) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT as _, tid, 0, 0)
}

pub fn listen(tid: Tid) -> io::Result<()> {
    request(libc::PTRACE_LISTEN as _, tid, 0, 0)
}

pub fn detach(tid: Tid, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_DETACH as _, tid, 0, signal as u64)
}

/// How far a task runs when it is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The next event, signal or call that the filter stops.
    Event,
    /// As `Event`, and the next start or end of a system call.
    Syscall,
}

pub fn resume(tid: Tid, until: Until, signal: i32) -> io::Result<()> {
    let op = match until {
        Until::Event => libc::PTRACE_CONT,
        Until::Syscall => libc::PTRACE_SYSCALL,
    };
    request(op as _, tid, 0, signal as u64)
}

pub fn event_message(tid: Tid) -> io::Result<u64> {
    let mut message: libc::c_ulong = 0;
    request(
        libc::PTRACE_GETEVENTMSG as _,
        tid,
        0,
        &raw mut message as u64,
    )?;
    Ok(message)
}

#[cfg(target_arch = "x86_64")]
pub fn registers(tid: Tid, out: &mut Registers) -> io::Result<()> {
    request(libc::PTRACE_GETREGS as _, tid, 0, &raw mut *out as u64)
}

#[cfg(target_arch = "x86_64")]
pub fn set_registers(tid: Tid, registers: &Registers) -> io::Result<()> {
    request(
        libc::PTRACE_SETREGS as _,
        tid,
        0,
        &raw const *registers as u64,
    )
}

/// What a returning call returns.
#[cfg(target_arch = "x86_64")]
pub fn result(tid: Tid) -> io::Result<i64> {
    let mut value: libc::c_ulong = 0;
    let at = std::mem::offset_of!(Registers, rax) as u64;
    // SAFETY: PTRACE_PEEKUSER of the raw system call stores one word to `data`, which is `value`.
    let r = unsafe {
        libc::syscall(
            libc::SYS_ptrace,
            libc::PTRACE_PEEKUSER as libc::c_ulong,
            tid as libc::c_long,
            at,
            &raw mut value,
        )
    };
    if r == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(value as i64)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn register_set(op: libc::c_uint, tid: Tid, registers: *const Registers) -> io::Result<()> {
    const NT_PRSTATUS: u64 = 1;
    let mut io = libc::iovec {
        iov_base: registers as *mut libc::c_void,
        iov_len: size_of::<Registers>(),
    };
    request(op, tid, NT_PRSTATUS, &raw mut io as u64)
}

#[cfg(not(target_arch = "x86_64"))]
pub fn registers(tid: Tid, out: &mut Registers) -> io::Result<()> {
    register_set(libc::PTRACE_GETREGSET as _, tid, &raw mut *out)
}

#[cfg(not(target_arch = "x86_64"))]
pub fn set_registers(tid: Tid, registers: &Registers) -> io::Result<()> {
    register_set(libc::PTRACE_SETREGSET as _, tid, &raw const *registers)
}

/// What a returning call returns.
#[cfg(not(target_arch = "x86_64"))]
pub fn result(tid: Tid) -> io::Result<i64> {
    let mut registers = super::arch::empty_registers();
    self::registers(tid, &mut registers)?;
    Ok(super::arch::result(&registers))
}

/// Which side of a system call a task stands at. `arch` is the audit architecture of the call, whatever mode the task is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Enter { nr: i64, args: [u64; 6], arch: u32 },
    Exit { ret: i64 },
    Other,
}

/// The start of the kernel's `struct ptrace_syscall_info`, up to the arguments.
#[repr(C)]
#[derive(Default)]
struct SyscallInfo {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction_pointer: u64,
    stack_pointer: u64,
    /// Enter and seccomp: the number and six arguments. Exit: the result.
    words: [u64; 7],
    tail: u64,
}

pub fn syscall_side(tid: Tid) -> io::Result<Side> {
    let mut info = SyscallInfo::default();
    request(
        libc::PTRACE_GET_SYSCALL_INFO as _,
        tid,
        size_of::<SyscallInfo>() as u64,
        &raw mut info as u64,
    )?;
    let w = info.words;
    Ok(match info.op {
        libc::PTRACE_SYSCALL_INFO_ENTRY | libc::PTRACE_SYSCALL_INFO_SECCOMP => Side::Enter {
            nr: w[0] as i32 as i64,
            args: [w[1], w[2], w[3], w[4], w[5], w[6]],
            arch: info.arch,
        },
        libc::PTRACE_SYSCALL_INFO_EXIT => Side::Exit { ret: w[0] as i64 },
        _ => Side::Other,
    })
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Code(i32),
    Signal(i32),
}

impl Ending {
    /// As a shell tells it: the code, or 128 and the signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Ending::Code(code) => code,
            Ending::Signal(signal) => 128 + signal,
        }
    }

    /// As `task_struct.exit_code` holds it.
    pub fn wait_status(self) -> i32 {
        match self {
            Ending::Code(code) => (code & 0xff) << 8,
            Ending::Signal(signal) => signal & 0x7f,
        }
    }
}

/// What wait4 told of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Ended(Ending),
    /// About to start a call that the filter stops.
    Seccomp,
    /// At either side of a call, after [`Until::Syscall`].
    Syscall,
    /// Made another task: fork, vfork or clone.
    NewTask,
    Exec,
    /// At the start of its end.
    Exiting,
    /// First stop of a followed task, answer to [`interrupt`], or the end of a group stop.
    Stopped,
    /// Stopped by a stopping signal, with its whole group.
    GroupStop,
    /// About to receive a signal.
    Signal(i32),
}

fn change(status: i32) -> Change {
    if libc::WIFEXITED(status) {
        return Change::Ended(Ending::Code(libc::WEXITSTATUS(status)));
    }
    if libc::WIFSIGNALED(status) {
        return Change::Ended(Ending::Signal(libc::WTERMSIG(status)));
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        libc::PTRACE_EVENT_SECCOMP => Change::Seccomp,
        libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
            Change::NewTask
        }
        libc::PTRACE_EVENT_EXEC => Change::Exec,
        libc::PTRACE_EVENT_EXIT => Change::Exiting,
        libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => Change::Stopped,
        libc::PTRACE_EVENT_STOP => Change::GroupStop,
        _ if signal == libc::SIGTRAP | 0x80 => Change::Syscall,
        _ => Change::Signal(signal),
    }
}

/// Waits for any child or tracee of this thread. `None`: there is none, or (with `poll`) none has changed.
/// `Interrupted` when a signal handler ran.
pub fn wait_any(poll: bool) -> io::Result<Option<(Tid, Change)>> {
    wait(-1, poll)
}

/// Waits for one of them.
pub fn wait(tid: Tid, poll: bool) -> io::Result<Option<(Tid, Change)>> {
    let mut status = 0;
    // __WNOTHREAD: what other threads of this process started is theirs to wait for.
    let flags = libc::__WALL | libc::__WNOTHREAD | if poll { libc::WNOHANG } else { 0 };
    // SAFETY: `status` outlives the call; no usage structure is passed.
    let got = unsafe { libc::wait4(tid, &mut status, flags, std::ptr::null_mut()) };
    match got {
        0 => Ok(None),
        -1 => {
            let e = io::Error::last_os_error();
            if e.raw_os_error() == Some(libc::ECHILD) {
                Ok(None)
            } else {
                Err(e)
            }
        }
        tid => Ok(Some((tid, change(status)))),
    }
}

/// The calling thread: the tracer that /proc names.
pub fn own_tid() -> Tid {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::gettid() }
}

/// Whether `tid` is a thread of process `tgid`.
pub fn is_thread_of(tid: Tid, tgid: Tid) -> bool {
    signal_thread(tgid, tid, 0).is_ok()
}

pub fn signal_thread(tgid: Tid, tid: Tid, signal: i32) -> io::Result<()> {
    // SAFETY: integers only.
    let r = unsafe { libc::syscall(libc::SYS_tgkill, tgid, tid, signal) };
    if r == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

pub fn signal_process(pid: Tid, signal: i32) -> io::Result<()> {
    // SAFETY: integers only.
    let r = unsafe { libc::kill(pid, signal) };
    if r == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
