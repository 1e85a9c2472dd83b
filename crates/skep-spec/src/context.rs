//! What a program's first argument points to: fields, widths, and who may read or write them.
//!
//! Sources: the structures of include/uapi/linux/bpf.h (Linux 7.2). Who may access what, in which width and place of
//! attachment, and what a load gives: observed on Linux 6.18.44, by loading one program for every kind of program,
//! place, offset, width and direction; what older kernels do not have yet is in `context::since`.
//!
//! Invariants. Fields are sorted by offset; those of a converted context do not overlap (of a union's members one is
//! kept). A *converted* context is a row of native 8-byte slots, slot `i` holding field `i` as a little-endian
//! number; [`ContextLayout::resolve`] is the only place that knows how an access of the uapi structure becomes an
//! access of slots, for the interpreter and for every compiler.

use crate::program::{AttachType, ProgramType};

pub mod cgroup;
pub mod skb;
pub mod socket;
pub mod tracing;
pub mod xdp;

/// A context structure as one kind of program sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct ContextLayout {
    /// The C structure: `xdp_md`.
    pub name: &'static str,
    /// Its bytes; for a flat context without a fixed size, the most that it may have.
    pub size: u32,
    /// Its fields, by offset; bytes without fixed fields are one field.
    pub fields: &'static [Field],
    /// How it lies in memory.
    pub kind: ContextKind,
}

/// How a context lies in the engine's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextKind {
    /// Accesses are converted: field `i` lives in native slot `i`.
    Converted,
    /// Plain bytes at the offsets that the program uses.
    Flat,
}

/// One member; each element of an array is a member of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// `mark`, `cb[0]`.
    pub name: &'static str,
    /// Byte offset in the structure.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// What the value is.
    pub value: FieldValue,
    /// How it may be read.
    pub read: Access,
    /// How it may be written.
    pub write: Access,
    /// The widest access that may start at the field: its size, or more where the kernel lets one access take
    /// the field and what follows it.
    pub reach: u32,
}

/// Which accesses a field allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// None.
    Denied,
    /// Of the whole field.
    Whole,
    /// Of the whole field or an aligned part of it.
    Narrow,
    /// Of the whole field or its first bytes, a power of two of them.
    Leading,
    /// Of the whole field or an aligned part of it of at least two bytes.
    Halves,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// A number.
    Scalar,
    /// The first byte of the packet.
    PacketStart,
    /// One past the last byte of the packet.
    PacketEnd,
    /// The first byte of the metadata before the packet.
    PacketMeta,
    /// The address of a structure of that name, or null.
    Pointer(&'static str),
    /// The address of plain memory.
    Memory {
        /// Bytes.
        size: u32,
        /// Whether programs may write it.
        writable: bool,
        /// Whether it may be null.
        or_null: bool,
    },
}

/// What an access of the uapi structure is in native memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// `width` bytes at this byte offset (of the slots, or of the flat bytes).
    Part(u32),
    /// The whole 64 bits of this slot, whatever the width.
    Slot(usize),
    /// Eight bytes: the low 32 bits of this slot, then the low 32 bits of the next.
    Pair(usize),
}

/// Why an access is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not lie within the structure.
    Outside,
    /// Its offset is not a multiple of its width.
    Misaligned,
    /// There is no field there, or it crosses the field's end.
    NoField,
    /// The field may not be read by this kind of program.
    NotReadable(&'static str),
    /// The field may not be written by this kind of program.
    NotWritable(&'static str),
    /// The field may not be accessed in this width.
    Width(&'static str),
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Refusal::Outside => f.write_str("outside of the context"),
            Refusal::Misaligned => f.write_str("not aligned to its width"),
            Refusal::NoField => f.write_str("no field of the context lies there"),
            Refusal::NotReadable(name) => write!(f, "field `{name}` is not readable here"),
            Refusal::NotWritable(name) => write!(f, "field `{name}` is not writable here"),
            Refusal::Width(name) => write!(f, "field `{name}` is not accessible in this width"),
        }
    }
}

impl ContextLayout {
    /// The field of that name and its slot.
    pub fn field(&self, name: &str) -> Option<(usize, &'static Field)> {
        self.fields
            .iter()
            .enumerate()
            .find(|(_, field)| field.name == name)
    }

    /// The field that holds the byte `offset`, and its slot.
    pub fn field_at(&self, offset: u32) -> Option<(usize, &'static Field)> {
        self.fields
            .iter()
            .enumerate()
            .find(|(_, field)| offset >= field.offset && offset - field.offset < field.size)
    }

    /// Bytes of native memory that the context takes.
    pub fn native_size(&self) -> usize {
        match self.kind {
            ContextKind::Converted => 8 * self.fields.len(),
            ContextKind::Flat => self.size as usize,
        }
    }

    /// Turns an access of `width` bytes at `offset` into native memory, or says why the kernel refuses it.
    pub fn resolve(&self, offset: i64, width: u32, write: bool) -> Result<Resolved, Refusal> {
        if offset < 0
            || !matches!(width, 1 | 2 | 4 | 8)
            || offset + i64::from(width) > i64::from(self.size)
        {
            return Err(Refusal::Outside);
        }
        let offset = offset as u32;
        if !offset.is_multiple_of(width) {
            return Err(Refusal::Misaligned);
        }
        if self.fields.is_empty() {
            return if write {
                Err(Refusal::NotWritable(self.name))
            } else {
                Ok(Resolved::Part(offset))
            };
        }
        let mut refusal = Refusal::NoField;
        for (slot, field) in self.fields.iter().enumerate() {
            if offset < field.offset || offset - field.offset >= field.size {
                continue;
            }
            // Members of a union share an offset; the access may be good for a later one.
            match field.allows(offset, width, write) {
                Ok(()) => return Ok(self.place(slot, field, offset, width)),
                Err(why) => refusal = why,
            }
        }
        Err(refusal)
    }

    fn place(&self, slot: usize, field: &Field, offset: u32, width: u32) -> Resolved {
        if self.kind == ContextKind::Flat {
            return Resolved::Part(offset);
        }
        if field.value != FieldValue::Scalar {
            return Resolved::Slot(slot);
        }
        if field.size == 4 && width == 8 {
            return Resolved::Pair(slot);
        }
        Resolved::Part(8 * slot as u32 + (offset - field.offset))
    }
}

impl Field {
    /// A number that may be read in whole or in aligned parts, and not written.
    pub const fn scalar(name: &'static str, offset: u32, size: u32) -> Field {
        Field {
            name,
            offset,
            size,
            value: FieldValue::Scalar,
            read: Access::Narrow,
            write: Access::Denied,
            reach: size,
        }
    }

    /// A number that may only be read as a whole, and not written.
    pub const fn whole(name: &'static str, offset: u32, size: u32) -> Field {
        Field {
            read: Access::Whole,
            ..Field::scalar(name, offset, size)
        }
    }

    /// An address, read as a whole.
    pub const fn pointer(name: &'static str, offset: u32, size: u32, value: FieldValue) -> Field {
        Field {
            value,
            ..Field::whole(name, offset, size)
        }
    }

    const fn leading(self) -> Field {
        Field {
            read: Access::Leading,
            ..self
        }
    }

    const fn reaching(self, reach: u32) -> Field {
        Field { reach, ..self }
    }

    const fn writable(self) -> Field {
        Field {
            write: Access::Whole,
            ..self
        }
    }

    fn allows(&self, offset: u32, width: u32, write: bool) -> Result<(), Refusal> {
        let access = if write { self.write } else { self.read };
        if access == Access::Denied {
            return Err(if write {
                Refusal::NotWritable(self.name)
            } else {
                Refusal::NotReadable(self.name)
            });
        }
        let inside = offset - self.offset;
        let fits = match access {
            _ if inside == 0 && (width == self.size || width == self.reach) => true,
            Access::Narrow => inside + width <= self.size,
            Access::Leading => inside == 0 && width <= self.size,
            Access::Halves => width >= 2 && inside + width <= self.size,
            _ => false,
        };
        if fits {
            Ok(())
        } else {
            Err(Refusal::Width(self.name))
        }
    }
}

/// Whether `name` is `pattern`, or an element of the array `pattern`.
const fn named(name: &str, pattern: &str) -> bool {
    let (name, pattern) = (name.as_bytes(), pattern.as_bytes());
    if name.len() < pattern.len() {
        return false;
    }
    let mut at = 0;
    while at < pattern.len() {
        if name[at] != pattern[at] {
            return false;
        }
        at += 1;
    }
    name.len() == pattern.len() || name[pattern.len()] == b'['
}

const fn among(name: &str, patterns: &[&str]) -> bool {
    let mut at = 0;
    while at < patterns.len() {
        if named(name, patterns[at]) {
            return true;
        }
        at += 1;
    }
    false
}

/// The same fields with some hidden and only those named writable (in whole; narrowly where `narrow_write` names them).
const fn variant<const N: usize>(
    base: [Field; N],
    hidden: &[&str],
    written: &[&str],
    narrow_write: &[&str],
) -> [Field; N] {
    let mut fields = base;
    let mut at = 0;
    while at < N {
        let name = fields[at].name;
        if among(name, hidden) {
            fields[at].read = Access::Denied;
        }
        fields[at].write = if among(name, narrow_write) {
            Access::Narrow
        } else if among(name, written) {
            Access::Whole
        } else {
            Access::Denied
        };
        at += 1;
    }
    fields
}

/// The context of a kind of program, as it is seen at that place of attachment.
pub fn for_program(program: ProgramType, attach: Option<AttachType>) -> &'static ContextLayout {
    match program {
        ProgramType::Xdp if attach == Some(AttachType::XdpDevmap) => &xdp::DEVMAP,
        ProgramType::Xdp => &xdp::XDP,
        ProgramType::SocketFilter => &skb::SOCKET_FILTER,
        ProgramType::SchedCls | ProgramType::SchedAct => &skb::TC,
        ProgramType::CgroupSkb => &skb::CGROUP,
        ProgramType::LwtIn
        | ProgramType::LwtOut
        | ProgramType::LwtXmit
        | ProgramType::LwtSeg6local => &skb::LWT,
        ProgramType::SkSkb => &skb::SK_SKB,
        ProgramType::FlowDissector => &skb::FLOW_DISSECTOR,
        ProgramType::SkMsg => &socket::SK_MSG,
        ProgramType::SockOps => &socket::SOCK_OPS,
        ProgramType::SkReuseport => &socket::SK_REUSEPORT,
        ProgramType::SkLookup => &socket::SK_LOOKUP,
        ProgramType::CgroupSock => cgroup::sock(attach),
        ProgramType::CgroupSockAddr => cgroup::sock_addr(attach),
        ProgramType::CgroupSockopt => cgroup::sockopt(attach),
        ProgramType::CgroupSysctl => &cgroup::SYSCTL,
        ProgramType::CgroupDevice => &cgroup::DEVICE,
        ProgramType::Kprobe => tracing::pt_regs(),
        ProgramType::Tracepoint => &tracing::TRACEPOINT,
        ProgramType::PerfEvent => &tracing::PERF_EVENT,
        ProgramType::RawTracepoint | ProgramType::RawTracepointWritable => &tracing::RAW_TRACEPOINT,
        ProgramType::Tracing | ProgramType::Lsm | ProgramType::StructOps | ProgramType::Ext => {
            &tracing::ARGUMENTS
        }
        ProgramType::Netfilter => &tracing::NETFILTER,
        ProgramType::LircMode2 => &tracing::LIRC,
        ProgramType::Syscall => &tracing::SYSCALL,
    }
}

/// Every layout with the kinds of program that see it so, for reference pages and tests.
pub const ALL: &[(&str, &ContextLayout)] = &[
    ("xdp", &xdp::XDP),
    ("xdp/devmap", &xdp::DEVMAP),
    ("socket_filter", &skb::SOCKET_FILTER),
    ("sched_cls, sched_act", &skb::TC),
    ("cgroup_skb", &skb::CGROUP),
    ("lwt_*", &skb::LWT),
    ("sk_skb", &skb::SK_SKB),
    ("flow_dissector", &skb::FLOW_DISSECTOR),
    ("sk_msg", &socket::SK_MSG),
    ("sock_ops", &socket::SOCK_OPS),
    ("sk_reuseport", &socket::SK_REUSEPORT),
    ("sk_lookup", &socket::SK_LOOKUP),
    ("cgroup_sock (create, release)", &cgroup::SOCK_CREATE),
    ("cgroup_sock (post_bind4)", &cgroup::SOCK_POST_BIND4),
    ("cgroup_sock (post_bind6)", &cgroup::SOCK_POST_BIND6),
    ("cgroup_sock_addr (IPv4)", &cgroup::ADDR4),
    ("cgroup_sock_addr (IPv4 sendmsg)", &cgroup::ADDR4_SENDMSG),
    ("cgroup_sock_addr (IPv6)", &cgroup::ADDR6),
    ("cgroup_sock_addr (IPv6 sendmsg)", &cgroup::ADDR6_SENDMSG),
    ("cgroup_sock_addr (unix)", &cgroup::ADDR_UNIX),
    ("cgroup_sockopt (getsockopt)", &cgroup::GETSOCKOPT),
    ("cgroup_sockopt (setsockopt)", &cgroup::SETSOCKOPT),
    ("cgroup_sysctl", &cgroup::SYSCTL),
    ("cgroup_device", &cgroup::DEVICE),
    ("kprobe (x86-64)", &tracing::PT_REGS_X86_64),
    ("kprobe (arm64)", &tracing::PT_REGS_ARM64),
    ("tracepoint", &tracing::TRACEPOINT),
    ("perf_event", &tracing::PERF_EVENT),
    (
        "raw_tracepoint, raw_tracepoint_writable",
        &tracing::RAW_TRACEPOINT,
    ),
    ("tracing, lsm, struct_ops, ext", &tracing::ARGUMENTS),
    ("netfilter", &tracing::NETFILTER),
    ("lirc_mode2", &tracing::LIRC),
    ("syscall", &tracing::SYSCALL),
];

#[cfg(test)]
mod tests;
