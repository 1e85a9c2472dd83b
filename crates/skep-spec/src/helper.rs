//! The functions that a program calls by number: signatures, licence, first release, allowed kinds of program.
//!
//! Invariants: numbers are consecutive from 1, so a helper's row is at its number minus one; unused arguments are
//! [`ArgKind::None`] and only at the end.

use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use crate::program::ProgramType;

mod place;
mod table;

pub use place::{Permission, Right, Site};

/// One helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Helper {
    /// The number that `call` names.
    pub id: u32,
    /// Its name, with `bpf_`.
    pub name: &'static str,
    /// The first release of Linux that has it.
    pub since: &'static str,
    /// [`Helper::GPL_ONLY`] and so on.
    pub flags: u8,
    /// What it takes in r1 to r5.
    pub args: [ArgType; 5],
    /// What it leaves in r0.
    pub ret: RetType,
    /// Which kinds of program may call it (at some place of attachment).
    pub programs: ProgramSet,
}

impl Helper {
    /// Only for programs with a licence compatible with the GPL.
    pub const GPL_ONLY: u8 = 1;
    /// May sleep: only in sleepable programs.
    pub const MIGHT_SLEEP: u8 = 2;
    /// Takes pointers into the packet where it takes memory.
    pub const PACKET_ACCESS: u8 = 4;
    /// May move the packet, so that pointers into it are void after the call.
    pub const MOVES_PACKET: u8 = 8;

    /// Whether the program's licence must be compatible with the GPL.
    pub const fn gpl_only(&self) -> bool {
        self.flags & Helper::GPL_ONLY != 0
    }

    /// Whether it may sleep.
    pub const fn might_sleep(&self) -> bool {
        self.flags & Helper::MIGHT_SLEEP != 0
    }

    /// Whether pointers into the packet are void after the call.
    pub const fn moves_packet(&self) -> bool {
        self.flags & Helper::MOVES_PACKET != 0
    }

    /// The arguments that it takes, without the unused ones.
    pub fn arguments(&self) -> &[ArgType] {
        let count = self
            .args
            .iter()
            .take_while(|arg| arg.kind != ArgKind::None)
            .count();
        &self.args[..count]
    }

    /// `bpf_map_lookup_elem(map, key) -> map value or null`.
    pub fn signature(&self) -> String {
        let args: Vec<String> = self.arguments().iter().map(ArgType::to_string).collect();
        format!("{}({}) -> {}", self.name, args.join(", "), self.ret)
    }
}

/// A set of kinds of program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProgramSet(pub u64);

impl ProgramSet {
    /// Those listed.
    pub const fn of(programs: &[ProgramType]) -> ProgramSet {
        let mut bits = 0;
        let mut at = 0;
        while at < programs.len() {
            bits |= 1 << programs[at].number();
            at += 1;
        }
        ProgramSet(bits)
    }

    /// All kinds.
    pub const fn all() -> ProgramSet {
        ProgramSet::of(ProgramType::ALL)
    }

    /// These without `program`.
    pub const fn without(self, program: ProgramType) -> ProgramSet {
        ProgramSet(self.0 & !(1 << program.number()))
    }

    /// The union.
    pub const fn and(self, other: ProgramSet) -> ProgramSet {
        ProgramSet(self.0 | other.0)
    }

    /// Whether `program` is one of these.
    pub const fn contains(self, program: ProgramType) -> bool {
        self.0 & (1 << program.number()) != 0
    }

    /// One after the other, by number.
    pub fn iter(self) -> impl Iterator<Item = ProgramType> {
        ProgramType::ALL
            .iter()
            .copied()
            .filter(move |&program| self.contains(program))
    }
}

/// What an argument must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArgType {
    /// Its kind.
    pub kind: ArgKind,
    /// [`ArgType::OR_NULL`] and so on.
    pub modifiers: u8,
    /// Bytes of the memory, for [`ArgKind::FixedMem`].
    pub size: u16,
    /// The kernel structure, or kind of dynptr, where it is a certain one; else empty.
    pub of: &'static str,
}

/// The kinds of argument (`enum bpf_arg_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgKind {
    /// Not used.
    None,
    /// Any initialised value.
    Anything,
    /// A number.
    Scalar,
    /// The program's context.
    Ctx,
    /// A map.
    Map,
    /// A key of the map.
    MapKey,
    /// A value of the map.
    MapValue,
    /// Memory whose size is the next argument.
    Mem,
    /// Memory of a fixed size.
    FixedMem,
    /// The size of the memory before it, not zero.
    Size,
    /// The size of the memory before it, which may be zero.
    SizeOrZero,
    /// The size of a record to reserve, a constant.
    AllocSize,
    /// A record of a ring buffer.
    Record,
    /// A string in a read-only map.
    ConstStr,
    /// A dynptr on the stack.
    Dynptr,
    /// A function of the program, to be called back.
    Func,
    /// A pointer into the stack.
    Stack,
    /// A spin lock within a map value.
    SpinLock,
    /// A timer within a map value.
    Timer,
    /// Where a map value keeps a kernel pointer.
    KptrSlot,
    /// A kernel object, typed by BTF.
    Btf,
    /// A socket as BTF type or as the verifier's own.
    BtfSock,
    /// A per-CPU kernel variable.
    PercpuBtf,
    /// A socket.
    Sock,
}

impl ArgType {
    /// Zero is allowed in place of a pointer.
    pub const OR_NULL: u8 = 1;
    /// The memory need not be initialised: the helper fills it.
    pub const UNINIT: u8 = 2;
    /// The helper writes to the memory.
    pub const WRITTEN: u8 = 4;
    /// The helper only reads the memory.
    pub const READ_ONLY: u8 = 8;
    /// The object is given back: it may not be used after the call.
    pub const RELEASED: u8 = 16;
    /// The memory is aligned to its size.
    pub const ALIGNED: u8 = 32;

    const fn plain(kind: ArgKind) -> ArgType {
        ArgType {
            kind,
            modifiers: 0,
            size: 0,
            of: "",
        }
    }

    const fn with(self, modifier: u8) -> ArgType {
        ArgType {
            modifiers: self.modifiers | modifier,
            ..self
        }
    }

    const fn or_null(self) -> ArgType {
        self.with(ArgType::OR_NULL)
    }

    const fn uninit(self) -> ArgType {
        self.with(ArgType::UNINIT)
    }

    const fn written(self) -> ArgType {
        self.with(ArgType::WRITTEN)
    }

    const fn read_only(self) -> ArgType {
        self.with(ArgType::READ_ONLY)
    }

    const fn released(self) -> ArgType {
        self.with(ArgType::RELEASED)
    }

    const fn aligned(self) -> ArgType {
        self.with(ArgType::ALIGNED)
    }

    const fn bytes(self, size: u16) -> ArgType {
        ArgType { size, ..self }
    }

    const fn of(self, of: &'static str) -> ArgType {
        ArgType { of, ..self }
    }

    /// Whether `modifier` is set.
    pub const fn is(&self, modifier: u8) -> bool {
        self.modifiers & modifier != 0
    }
}

impl fmt::Display for ArgType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.kind {
            ArgKind::None => "nothing",
            ArgKind::Anything => "any",
            ArgKind::Scalar => "number",
            ArgKind::Ctx => "ctx",
            ArgKind::Map => "map",
            ArgKind::MapKey => "key",
            ArgKind::MapValue => "value",
            ArgKind::Mem | ArgKind::FixedMem if self.is(ArgType::UNINIT) => "out memory",
            ArgKind::Mem | ArgKind::FixedMem => "memory",
            ArgKind::Size => "size",
            ArgKind::SizeOrZero => "size or 0",
            ArgKind::AllocSize => "constant size",
            ArgKind::Record => "record",
            ArgKind::ConstStr => "constant string",
            ArgKind::Dynptr => "dynptr",
            ArgKind::Func => "function",
            ArgKind::Stack => "stack",
            ArgKind::SpinLock => "spin lock",
            ArgKind::Timer => "timer",
            ArgKind::KptrSlot => "kptr slot",
            ArgKind::Btf => "struct",
            ArgKind::BtfSock | ArgKind::Sock => "sock",
            ArgKind::PercpuBtf => "per-CPU variable",
        };
        f.write_str(word)?;
        if !self.of.is_empty() {
            write!(f, " {}", self.of)?;
        }
        if self.size != 0 {
            write!(f, " of {} bytes", self.size)?;
        }
        if self.is(ArgType::OR_NULL) {
            f.write_str(" or null")?;
        }
        Ok(())
    }
}

/// What a helper leaves in r0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetType {
    /// Its kind.
    pub kind: RetKind,
    /// Whether it may be null instead.
    pub nullable: bool,
    /// The kernel structure, where it is a certain one; else empty.
    pub of: &'static str,
}

/// The kinds of result (`enum bpf_return_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetKind {
    /// A number; an error is negative.
    Integer,
    /// Nothing.
    Void,
    /// A value of the map.
    MapValue,
    /// A record of the ring buffer.
    Record,
    /// Memory of a dynptr, as many bytes as were asked for.
    DynptrMem,
    /// A socket.
    Socket,
    /// A TCP socket.
    TcpSock,
    /// The common part of a socket.
    SockCommon,
    /// A kernel object, typed by BTF.
    Btf,
    /// A per-CPU variable: memory or a kernel object.
    Percpu,
}

impl RetType {
    const fn plain(kind: RetKind) -> RetType {
        RetType {
            kind,
            nullable: false,
            of: "",
        }
    }

    const fn or_null(self) -> RetType {
        RetType {
            nullable: true,
            ..self
        }
    }

    const fn of(self, of: &'static str) -> RetType {
        RetType { of, ..self }
    }
}

impl fmt::Display for RetType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            RetKind::Integer => "number",
            RetKind::Void => "nothing",
            RetKind::MapValue => "value",
            RetKind::Record => "record",
            RetKind::DynptrMem => "memory",
            RetKind::Socket => "socket",
            RetKind::TcpSock => "tcp socket",
            RetKind::SockCommon => "sock",
            RetKind::Btf => "struct",
            RetKind::Percpu => "per-CPU variable",
        })?;
        if !self.of.is_empty() {
            write!(f, " {}", self.of)?;
        }
        if self.nullable {
            f.write_str(" or null")?;
        }
        Ok(())
    }
}

/// The words that the table's rows are written in.
mod args {
    use super::{ArgKind, ArgType, RetKind, RetType};

    pub(super) const NONE: ArgType = ArgType::plain(ArgKind::None);
    pub(super) const ANYTHING: ArgType = ArgType::plain(ArgKind::Anything);
    pub(super) const SCALAR: ArgType = ArgType::plain(ArgKind::Scalar);
    pub(super) const CTX: ArgType = ArgType::plain(ArgKind::Ctx);
    pub(super) const MAP: ArgType = ArgType::plain(ArgKind::Map);
    pub(super) const KEY: ArgType = ArgType::plain(ArgKind::MapKey);
    pub(super) const VALUE: ArgType = ArgType::plain(ArgKind::MapValue);
    pub(super) const MEM: ArgType = ArgType::plain(ArgKind::Mem);
    pub(super) const FIXED: ArgType = ArgType::plain(ArgKind::FixedMem);
    pub(super) const SIZE: ArgType = ArgType::plain(ArgKind::Size);
    pub(super) const SIZE_OR_ZERO: ArgType = ArgType::plain(ArgKind::SizeOrZero);
    pub(super) const ALLOC_SIZE: ArgType = ArgType::plain(ArgKind::AllocSize);
    pub(super) const RECORD: ArgType = ArgType::plain(ArgKind::Record);
    pub(super) const CONST_STR: ArgType = ArgType::plain(ArgKind::ConstStr);
    pub(super) const DYNPTR: ArgType = ArgType::plain(ArgKind::Dynptr);
    pub(super) const FUNC: ArgType = ArgType::plain(ArgKind::Func);
    pub(super) const STACK: ArgType = ArgType::plain(ArgKind::Stack);
    pub(super) const SPIN_LOCK: ArgType = ArgType::plain(ArgKind::SpinLock);
    pub(super) const TIMER: ArgType = ArgType::plain(ArgKind::Timer);
    pub(super) const KPTR_SLOT: ArgType = ArgType::plain(ArgKind::KptrSlot);
    pub(super) const BTF: ArgType = ArgType::plain(ArgKind::Btf);
    pub(super) const BTF_SOCK: ArgType = ArgType::plain(ArgKind::BtfSock);
    pub(super) const PERCPU_BTF: ArgType = ArgType::plain(ArgKind::PercpuBtf);
    pub(super) const SOCK: ArgType = ArgType::plain(ArgKind::Sock);

    pub(super) const INTEGER: RetType = RetType::plain(RetKind::Integer);
    pub(super) const VOID: RetType = RetType::plain(RetKind::Void);
    pub(super) const PTR_VALUE: RetType = RetType::plain(RetKind::MapValue);
    pub(super) const PTR_RECORD: RetType = RetType::plain(RetKind::Record);
    pub(super) const PTR_DYNPTR: RetType = RetType::plain(RetKind::DynptrMem);
    pub(super) const PTR_SOCKET: RetType = RetType::plain(RetKind::Socket);
    pub(super) const PTR_TCP_SOCK: RetType = RetType::plain(RetKind::TcpSock);
    pub(super) const PTR_SOCK_COMMON: RetType = RetType::plain(RetKind::SockCommon);
    pub(super) const PTR_BTF: RetType = RetType::plain(RetKind::Btf);
    pub(super) const PTR_PERCPU: RetType = RetType::plain(RetKind::Percpu);
}

/// Every helper, by number from 1.
pub fn all() -> &'static [Helper] {
    table::HELPERS
}

/// The helper of that number.
pub fn by_id(id: u32) -> Option<&'static Helper> {
    table::HELPERS.get((id as usize).checked_sub(1)?)
}

/// The helper of that name, with or without `bpf_`.
pub fn by_name(name: &str) -> Option<&'static Helper> {
    let bare = name.strip_prefix("bpf_").unwrap_or(name);
    table::HELPERS
        .iter()
        .find(|helper| helper.name.strip_prefix("bpf_") == Some(bare))
}

#[cfg(test)]
mod tests;
