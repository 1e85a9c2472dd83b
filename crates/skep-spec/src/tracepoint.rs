//! Tracepoints whose records the engines make: which bytes lie where, and system calls by name and number.
//!
//! Source: the `format` files of Linux 6.12 (x86-64 and arm64 agree). A record begins with 8 bytes that programs may
//! not read; `__syscall_nr` is an `int` in the format file and is kept here as 8 bytes, sign-extended, because the
//! kernel pads it and programs read it as a `long`.

use alloc::borrow::Cow;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

mod syscalls;

/// The bytes of one tracepoint's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `syscalls`, `sched`.
    pub category: &'static str,
    /// `sys_enter_openat`.
    pub name: String,
    /// Bytes of its fixed part; a record with a dynamic field goes on behind them.
    pub size: u32,
    /// Its fields after the common ones, by offset.
    pub fields: Vec<RecordField>,
}

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordField {
    /// Its name in the format file.
    pub name: Cow<'static, str>,
    /// Byte offset.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// What it holds.
    pub kind: FieldKind,
}

/// What a record's field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A signed number.
    Signed,
    /// An unsigned number or an address.
    Unsigned,
    /// Characters up to a zero.
    Chars,
    /// Where the characters are: offset in the record in the low 16 bits, length in the high 16 (`__data_loc`).
    Located,
}

impl Record {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&RecordField> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// Offset of the first field after those common to all records.
pub const FIRST_FIELD: u32 = 8;
/// Offset of the system call's number in the records of `syscalls` and `raw_syscalls`.
pub const SYSCALL_NUMBER: u32 = 8;
/// Offset of the first argument in `sys_enter` records, and of the result in `sys_exit` records.
pub const SYSCALL_ARGS: u32 = 16;

/// The record of a tracepoint: `record("sched", "sched_process_exit")`. `None` if it is not known.
pub fn record(category: &str, name: &str) -> Option<Record> {
    use FieldKind::{Chars, Located, Signed, Unsigned};
    let (category, size, fields): (_, _, &[(&'static str, u32, u32, FieldKind)]) =
        match (category, name) {
            ("syscalls", _) => return syscall_record(name),
            ("raw_syscalls", "sys_enter") => (
                "raw_syscalls",
                64,
                &[("id", 8, 8, Signed), ("args", 16, 48, Unsigned)],
            ),
            ("raw_syscalls", "sys_exit") => (
                "raw_syscalls",
                24,
                &[("id", 8, 8, Signed), ("ret", 16, 8, Signed)],
            ),
            ("sched", "sched_process_fork") => (
                "sched",
                48,
                &[
                    ("parent_comm", 8, 16, Chars),
                    ("parent_pid", 24, 4, Signed),
                    ("child_comm", 28, 16, Chars),
                    ("child_pid", 44, 4, Signed),
                ],
            ),
            ("sched", "sched_process_exec") => (
                "sched",
                20,
                &[
                    ("filename", 8, 4, Located),
                    ("pid", 12, 4, Signed),
                    ("old_pid", 16, 4, Signed),
                ],
            ),
            ("sched", "sched_process_exit") => (
                "sched",
                32,
                &[
                    ("comm", 8, 16, Chars),
                    ("pid", 24, 4, Signed),
                    ("prio", 28, 4, Signed),
                ],
            ),
            _ => return None,
        };
    let fields = fields
        .iter()
        .map(|&(name, offset, size, kind)| RecordField {
            name: Cow::Borrowed(name),
            offset,
            size,
            kind,
        })
        .collect();
    Some(Record {
        category,
        name: name.to_owned(),
        size,
        fields,
    })
}

fn syscall_record(name: &str) -> Option<Record> {
    let number = RecordField {
        name: Cow::Borrowed("__syscall_nr"),
        offset: SYSCALL_NUMBER,
        size: 8,
        kind: FieldKind::Signed,
    };
    let mut fields = vec![number];
    match syscall_event(name)? {
        (SyscallEvent::Enter, syscall) => {
            for (index, &arg) in syscall.args?.iter().enumerate() {
                fields.push(RecordField {
                    name: Cow::Borrowed(arg),
                    offset: SYSCALL_ARGS + 8 * index as u32,
                    size: 8,
                    kind: FieldKind::Unsigned,
                });
            }
        }
        (SyscallEvent::Exit, _) => fields.push(RecordField {
            name: Cow::Borrowed("ret"),
            offset: SYSCALL_ARGS,
            size: 8,
            kind: FieldKind::Signed,
        }),
    }
    let size = fields
        .last()
        .map_or(SYSCALL_ARGS, |field| field.offset + field.size);
    Some(Record {
        category: "syscalls",
        name: name.to_owned(),
        size,
        fields,
    })
}

/// One system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syscall {
    /// Its name: `newfstatat`, `umount2`.
    pub name: &'static str,
    /// Its name in tracepoints (`sys_enter_` and this): `umount` for `umount2`, `newfstat` for `fstat`.
    pub event: &'static str,
    /// Its number on x86-64.
    pub x86_64: Option<u16>,
    /// Its number on arm64.
    pub arm64: Option<u16>,
    /// The names of its arguments; `None` for one that the kernel does not implement.
    pub args: Option<&'static [&'static str]>,
}

/// A machine, as far as system calls go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86-64, 64-bit calls.
    X86_64,
    /// arm64, 64-bit calls.
    Arm64,
}

impl Machine {
    /// The machine that this was compiled for; `None` where no table exists.
    pub const NATIVE: Option<Machine> = if cfg!(target_arch = "x86_64") {
        Some(Machine::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Machine::Arm64)
    } else {
        None
    };
}

impl Syscall {
    /// Its number on that machine.
    pub fn number(&self, machine: Machine) -> Option<u16> {
        match machine {
            Machine::X86_64 => self.x86_64,
            Machine::Arm64 => self.arm64,
        }
    }
}

/// Which side of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyscallEvent {
    /// `sys_enter_*`
    Enter,
    /// `sys_exit_*`
    Exit,
}

/// Every system call, by name.
pub fn syscalls() -> &'static [Syscall] {
    syscalls::SYSCALLS
}

/// The system call of that name.
pub fn syscall_by_name(name: &str) -> Option<&'static Syscall> {
    let table = syscalls::SYSCALLS;
    table
        .binary_search_by_key(&name, |syscall| syscall.name)
        .ok()
        .map(|at| &table[at])
}

/// The system call of that number.
pub fn syscall_by_number(machine: Machine, number: u64) -> Option<&'static Syscall> {
    let number = u16::try_from(number).ok()?;
    syscalls::SYSCALLS
        .iter()
        .find(|syscall| syscall.number(machine) == Some(number))
}

/// What `sys_enter_openat` means: the side, and the system call.
pub fn syscall_event(name: &str) -> Option<(SyscallEvent, &'static Syscall)> {
    let (event, name) = match name.strip_prefix("sys_enter_") {
        Some(name) => (SyscallEvent::Enter, name),
        None => (SyscallEvent::Exit, name.strip_prefix("sys_exit_")?),
    };
    // Of several with one event name (an old and a new number), the first by name.
    let syscall = syscalls::SYSCALLS
        .iter()
        .find(|syscall| syscall.event == name && syscall.args.is_some())?;
    Some((event, syscall))
}

#[cfg(test)]
mod tests;
