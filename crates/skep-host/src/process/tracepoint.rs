//! From an event to what a program receives: the bytes of a tracepoint's record, or the arguments of a raw tracepoint.
//!
//! Invariants: records are those of Linux 6.12 (its `format` files): eight common bytes, then the fields; `sched_process_exit`
//! has `group_dead` of later kernels behind them, where 6.12 has nothing. The common bytes hold the thread id and zeros:
//! event ids are a kernel's own and programs cannot read them there either.

use super::arch::Abi;
use super::env::Tracee;
use super::event::{CallSet, Event, Interest};
use super::kernel::{RawExec, RawExit, RawFork, RawSysEnter, RawSysExit, SyscallExit, TraceEntry};
use super::types::{Bool, Char};
use std::mem::offset_of;

/// A place where programs can be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// `syscalls:sys_enter_*`: one native call.
    Enter(u32),
    /// `syscalls:sys_exit_*`.
    Exit(u32),
    /// `raw_syscalls:sys_enter` and the raw tracepoint `sys_enter`: every call of every ABI.
    EnterAny,
    /// `raw_syscalls:sys_exit` and `sys_exit`.
    ExitAny,
    /// `sched:sched_process_fork`.
    Fork,
    /// `sched:sched_process_exec`.
    Exec,
    /// `sched:sched_process_exit`.
    TaskExit,
}

impl Hook {
    /// The hook of a tracepoint; `number` knows the calls' numbers by their names. `None`: not modelled.
    pub fn of_tracepoint(
        category: &str,
        name: &str,
        number: impl Fn(&str) -> Option<u32>,
    ) -> Option<Hook> {
        match category {
            "syscalls" => {
                let (call, exit) = match name.strip_prefix("sys_enter_") {
                    Some(call) => (call, false),
                    None => (name.strip_prefix("sys_exit_")?, true),
                };
                let number = number(call).filter(|&nr| nr < CallSet::LIMIT)?;
                Some(if exit {
                    Hook::Exit(number)
                } else {
                    Hook::Enter(number)
                })
            }
            "raw_syscalls" if name == "sys_enter" || name == "sys_exit" => Hook::of_raw(name),
            "sched" if name.starts_with("sched_") => Hook::of_raw(name),
            _ => None,
        }
    }

    /// The hook of a raw tracepoint (raw_tp, tp_btf).
    pub fn of_raw(name: &str) -> Option<Hook> {
        Some(match name {
            "sys_enter" => Hook::EnterAny,
            "sys_exit" => Hook::ExitAny,
            "sched_process_fork" => Hook::Fork,
            "sched_process_exec" => Hook::Exec,
            "sched_process_exit" => Hook::TaskExit,
            _ => return None,
        })
    }

    /// What the supervisor has to report for this hook.
    pub fn interest(self) -> Interest {
        let mut interest = Interest::default();
        match self {
            Hook::Enter(nr) => _ = interest.enter.insert(nr),
            Hook::Exit(nr) => _ = interest.exit.insert(nr),
            Hook::EnterAny => interest.enter = CallSet::all(),
            Hook::ExitAny => interest.exit = CallSet::all(),
            Hook::Fork => interest.fork = true,
            Hook::Exec => interest.exec = true,
            Hook::TaskExit => interest.task_exit = true,
        }
        interest
    }

    /// Bytes that a record of this hook has at least.
    pub fn record_bytes(self) -> usize {
        match self {
            Hook::Enter(_) | Hook::EnterAny => size_of::<RawSysEnter>(),
            Hook::Exit(_) | Hook::ExitAny => size_of::<RawSysExit>(),
            Hook::Fork => size_of::<RawFork>(),
            Hook::Exec => (offset_of!(RawExec, __data) + 1).next_multiple_of(8),
            Hook::TaskExit => size_of::<RawExit>(),
        }
    }

    /// How many arguments the raw tracepoint has.
    pub fn argument_count(self) -> usize {
        match self {
            Hook::Exec => 3,
            _ => 2,
        }
    }

    pub fn matches(self, event: &Event<'_>) -> bool {
        match (self, event) {
            (
                Hook::Enter(want),
                &Event::SysEnter {
                    nr,
                    abi: Abi::Native,
                    ..
                },
            ) => nr == i64::from(want),
            (
                Hook::Exit(want),
                &Event::SysExit {
                    nr,
                    abi: Abi::Native,
                    ..
                },
            ) => nr == i64::from(want),
            (Hook::EnterAny, Event::SysEnter { .. })
            | (Hook::ExitAny, Event::SysExit { .. })
            | (Hook::Fork, Event::Fork { .. })
            | (Hook::Exec, Event::Exec { .. })
            | (Hook::TaskExit, Event::Exit { .. }) => true,
            _ => false,
        }
    }
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Writes the event's record into `out`, replacing what it holds. For `Hook::Enter` and `Hook::Exit` it is that of
/// `syscalls:*` (an int number), else that of the category's class (a long one).
pub fn record(hook: Hook, event: &Event<'_>, at: &Tracee<'_>, out: &mut Vec<u8>) {
    let pid = at.tid().to_ne_bytes();
    out.clear();
    let mut size = |bytes: usize| {
        out.resize(bytes, 0);
        put(out, offset_of!(TraceEntry, pid), &pid);
    };
    match *event {
        Event::SysEnter { nr, args, .. } => {
            // The number's upper half is padding in the record of one call, and zero for both.
            const { assert!(offset_of!(RawSysEnter, id) == 8 && offset_of!(RawSysEnter, args) == 16) };
            size(size_of::<RawSysEnter>());
            put_number(hook, nr, out);
            for (i, arg) in args.iter().enumerate() {
                put(
                    out,
                    offset_of!(RawSysEnter, args) + i * 8,
                    &arg.to_ne_bytes(),
                );
            }
        }
        Event::SysExit { nr, ret, .. } => {
            const { assert!(offset_of!(RawSysExit, ret) == offset_of!(SyscallExit, ret)) };
            size(size_of::<RawSysExit>());
            put_number(hook, nr, out);
            put(out, offset_of!(RawSysExit, ret), &ret.to_ne_bytes());
        }
        Event::Fork { child_tid, .. } => {
            size(size_of::<RawFork>());
            put(out, offset_of!(RawFork, parent_comm), &at.comm());
            put(out, offset_of!(RawFork, parent_pid), &pid);
            put(out, offset_of!(RawFork, child_comm), &at.comm_of(child_tid));
            put(
                out,
                offset_of!(RawFork, child_pid),
                &child_tid.to_ne_bytes(),
            );
        }
        Event::Exec { filename, old_tid } => {
            let fixed = offset_of!(RawExec, __data);
            // The record's size is a multiple of eight, as perf's buffers want it.
            size((fixed + filename.len() + 1).next_multiple_of(8));
            // A string's place: its offset below, its length (with the NUL) above.
            let place = fixed as u32 | (filename.len() as u32 + 1) << 16;
            put(
                out,
                offset_of!(RawExec, __data_loc_filename),
                &place.to_ne_bytes(),
            );
            put(out, offset_of!(RawExec, pid), &pid);
            put(out, offset_of!(RawExec, old_pid), &old_tid.to_ne_bytes());
            put(out, fixed, filename);
        }
        Event::Exit { group_dead, .. } => {
            size(size_of::<RawExit>());
            put(out, offset_of!(RawExit, comm), &at.comm());
            put(out, offset_of!(RawExit, pid), &pid);
            put(out, offset_of!(RawExit, prio), &at.priority().to_ne_bytes());
            put(
                out,
                offset_of!(RawExit, group_dead),
                &[u8::from(group_dead)],
            );
        }
    }
}

fn put_number(hook: Hook, nr: i64, out: &mut [u8]) {
    let at = offset_of!(RawSysEnter, id);
    if matches!(hook, Hook::Enter(_) | Hook::Exit(_)) {
        put(out, at, &(nr as i32).to_ne_bytes());
    } else {
        put(out, at, &nr.to_ne_bytes());
    }
}

/// The arguments of a raw tracepoint, and how many there are.
pub fn raw_arguments(event: &Event<'_>, at: &Tracee<'_>) -> ([u64; 6], usize) {
    let mut args = [0; 6];
    let given: &[u64] = match *event {
        Event::SysEnter { nr, .. } => &[at.registers_address(), nr as u64],
        Event::SysExit { ret, .. } => &[at.registers_address(), ret as u64],
        Event::Fork { child_tid, .. } => &[
            at.task_address(),
            at.task_address_of(child_tid).unwrap_or(0),
        ],
        Event::Exec { old_tid, .. } => &[at.task_address(), old_tid as u64, at.binprm_address()],
        Event::Exit { group_dead, .. } => &[at.task_address(), u64::from(group_dead)],
    };
    args[..given.len()].copy_from_slice(given);
    (args, given.len())
}

// The names in records are bytes here and `char` there.
const _: () = assert!(size_of::<Char>() == 1 && size_of::<Bool>() == 1);
