//! One register, or one spilled register: its kind, flags, offset, number part and identities.
//!
//! Invariants: a scalar has offset 0 unless it is linked by an added constant (`id` with [`LINKED_ADD`]); for a pointer
//! `num` is its variable part, known to be 0 where there is none.

use super::scalar::Scalar;
use crate::input::{BtfIdx, MapId};

/// What a register holds (`enum bpf_reg_type`, the base kinds).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    NotInit,
    Scalar,
    Ctx,
    /// `CONST_PTR_TO_MAP`
    MapPtr,
    MapValue,
    MapKey,
    /// `PTR_TO_STACK`: "fp"
    Stack,
    PacketMeta,
    Packet,
    PacketEnd,
    FlowKeys,
    Socket,
    SockCommon,
    TcpSock,
    TpBuffer,
    XdpSock,
    /// `PTR_TO_BTF_ID`
    BtfId,
    Mem,
    Arena,
    Buf,
    Func,
    /// `CONST_PTR_TO_DYNPTR`
    ConstDynptr,
}

/// The kernel's type flags (`enum bpf_type_flag`), a set of bits; own numbering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u32);

impl Flags {
    pub const NONE: Flags = Flags(0);
    pub const MAYBE_NULL: Flags = Flags(1 << 0);
    pub const RDONLY: Flags = Flags(1 << 1);
    pub const RINGBUF: Flags = Flags(1 << 2);
    pub const USER: Flags = Flags(1 << 3);
    pub const PERCPU: Flags = Flags(1 << 4);
    pub const UNTRUSTED: Flags = Flags(1 << 5);
    pub const ALLOC: Flags = Flags(1 << 6);
    pub const TRUSTED: Flags = Flags(1 << 7);
    pub const RCU: Flags = Flags(1 << 8);
    pub const NON_OWN_REF: Flags = Flags(1 << 9);
    /// Memory of a dynptr of that kind (of [`Kind::Mem`] that `bpf_dynptr_slice` gave); never printed.
    pub const DYNPTR_LOCAL: Flags = Flags(1 << 10);
    pub const DYNPTR_RINGBUF: Flags = Flags(1 << 11);
    pub const DYNPTR_SKB: Flags = Flags(1 << 12);
    pub const DYNPTR_XDP: Flags = Flags(1 << 13);
    pub const DYNPTR_SKB_META: Flags = Flags(1 << 14);
    pub const DYNPTR_FILE: Flags = Flags(1 << 15);
    /// Any of those that are void once the packet changes.
    pub const DYNPTR_PACKET: Flags =
        Flags(Self::DYNPTR_SKB.0 | Self::DYNPTR_XDP.0 | Self::DYNPTR_SKB_META.0);
    /// Any `DYNPTR_*`.
    pub const DYNPTR_ANY: Flags = Flags(
        Self::DYNPTR_PACKET.0 | Self::DYNPTR_LOCAL.0 | Self::DYNPTR_RINGBUF.0 | Self::DYNPTR_FILE.0,
    );

    /// Whether all of `other` are set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is set.
    pub const fn any(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// These and `other`.
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// These but `other`.
    #[must_use]
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

/// Which dynptr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DynptrKind {
    Invalid,
    Local,
    Ringbuf,
    Skb,
    Xdp,
    SkbMeta,
    File,
}

/// Where an iterator is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IterState {
    Active,
    Drained,
}

/// What a pointer points to, further than its kind says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    None,
    /// Map pointers, values and keys; `uid` tells inner maps of one outer map apart.
    Map {
        map: MapId,
        uid: u32,
    },
    /// Bytes of plain memory; `dynptr_id`: the dynptr that they are a slice of, 0 for none.
    Mem {
        size: u32,
        dynptr_id: u32,
    },
    /// A type of one of the input's BTFs.
    Btf {
        btf: BtfIdx,
        id: u32,
    },
    /// Packet pointers: bytes known to be there; [`AT_PKT_END`], [`BEYOND_PKT_END`].
    Range(i32),
    /// A dynptr's stack slot (`first`: the lower one's upper neighbour as the kernel counts) or a constant dynptr.
    Dynptr {
        kind: DynptrKind,
        first: bool,
    },
    /// An open-coded iterator on the stack.
    Iter {
        btf: BtfIdx,
        id: u32,
        state: IterState,
        depth: u32,
    },
    /// A saved interrupt flag; `lock` for the one of a `res_spin_lock`.
    Irq {
        lock: bool,
    },
    /// A function of the program.
    Func {
        subprog: u32,
    },
}

/// The pointer equals the packet's end.
pub const AT_PKT_END: i32 = -1;
/// The pointer lies beyond the packet's end.
pub const BEYOND_PKT_END: i32 = -2;
/// In a scalar's `id`: the register is another one plus `off`, in 64 bits (the low bits of `id` name the other).
pub const LINKED_ADD: u32 = 1 << 31;

/// One register.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reg {
    /// The number, or the variable part of the pointer.
    pub num: Scalar,
    pub kind: Kind,
    pub flags: Flags,
    /// The fixed part of a pointer's offset; the constant of a linked scalar.
    pub off: i32,
    /// Equal values share it: nullable pointers, packet pointers with a variable part, linked scalars, dynptrs; 0: none.
    pub id: u32,
    /// The acquired reference that this register holds or derives from; 0: none.
    pub ref_id: u32,
    /// For [`Kind::Stack`]: whose stack.
    pub frame: u8,
    /// The exact value matters to what followed (for scalars).
    pub precise: bool,
    pub detail: Detail,
}

impl Reg {
    /// Nothing known, not readable.
    pub const NOT_INIT: Reg = Reg {
        num: Scalar::UNKNOWN,
        kind: Kind::NotInit,
        flags: Flags::NONE,
        off: 0,
        id: 0,
        ref_id: 0,
        frame: 0,
        precise: false,
        detail: Detail::None,
    };

    /// Any number.
    pub const UNKNOWN: Reg = Reg {
        kind: Kind::Scalar,
        ..Reg::NOT_INIT
    };

    /// That number.
    pub fn constant(value: u64) -> Reg {
        Reg::scalar(Scalar::constant(value))
    }

    /// A number.
    pub fn scalar(num: Scalar) -> Reg {
        Reg {
            num,
            ..Reg::UNKNOWN
        }
    }

    /// A pointer with offset 0 and no further detail.
    pub fn pointer(kind: Kind, flags: Flags) -> Reg {
        Reg {
            num: Scalar::constant(0),
            kind,
            flags,
            ..Reg::NOT_INIT
        }
    }

    /// That pointer with this detail.
    #[must_use]
    pub fn to(self, detail: Detail) -> Reg {
        Reg { detail, ..self }
    }

    /// A pointer into the stack of frame `frame`, `off` bytes from its top.
    pub fn stack(frame: u8, off: i32) -> Reg {
        Reg {
            off,
            frame,
            ..Reg::pointer(Kind::Stack, Flags::NONE)
        }
    }

    pub fn is_scalar(&self) -> bool {
        self.kind == Kind::Scalar
    }

    /// Anything but a number or nothing.
    pub fn is_pointer(&self) -> bool {
        !matches!(self.kind, Kind::Scalar | Kind::NotInit)
    }

    pub fn maybe_null(&self) -> bool {
        self.flags.has(Flags::MAYBE_NULL)
    }

    /// The number, where it is a known one.
    pub fn as_const(&self) -> Option<u64> {
        if self.is_scalar() {
            self.num.as_const()
        } else {
            None
        }
    }

    /// Whether the value is a scalar known to be zero.
    pub fn is_zero(&self) -> bool {
        self.as_const() == Some(0)
    }

    /// The map of a map pointer, value or key.
    pub fn map(&self) -> Option<MapId> {
        match self.detail {
            Detail::Map { map, .. } => Some(map),
            _ => None,
        }
    }

    /// `PTR_TO_PACKET` or `PTR_TO_PACKET_META`.
    pub fn is_packet(&self) -> bool {
        matches!(self.kind, Kind::Packet | Kind::PacketMeta)
    }

    /// Any of the three packet kinds.
    pub fn is_packet_any(&self) -> bool {
        self.is_packet() || self.kind == Kind::PacketEnd
    }

    /// The proven range of a packet pointer.
    pub fn range(&self) -> i32 {
        match self.detail {
            Detail::Range(range) => range,
            _ => 0,
        }
    }
}
