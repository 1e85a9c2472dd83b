//! How messages and states name what a register holds: `map_value_or_null`, `trusted_ptr_`, `fp`.
//!
//! Invariant: the words and their order are the kernel's.

use std::fmt;

use super::reg::{Flags, Kind, Reg};

#[cfg(test)]
mod tests;

/// The name of a kind of pointer with its flags; prints without allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeName {
    kind: Kind,
    flags: Flags,
}

/// What messages call that type: `rdonly_mem_or_null`. For [`Kind::BtfId`] a type's name may follow.
pub const fn type_name(kind: Kind, flags: Flags) -> TypeName {
    TypeName { kind, flags }
}

impl Reg {
    /// What messages call the register's type.
    pub const fn type_name(&self) -> TypeName {
        type_name(self.kind, self.flags)
    }
}

/// What comes before, in this order.
const PREFIXES: [(Flags, &str); 7] = [
    (Flags::RDONLY, "rdonly_"),
    (Flags::RINGBUF, "ringbuf_"),
    (Flags::USER, "user_"),
    (Flags::PERCPU, "percpu_"),
    (Flags::RCU, "rcu_"),
    (Flags::UNTRUSTED, "untrusted_"),
    (Flags::TRUSTED, "trusted_"),
];

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (flag, prefix) in PREFIXES {
            if self.flags.has(flag) {
                f.write_str(prefix)?;
            }
        }
        f.write_str(self.kind.word())?;
        if self.flags.has(Flags::MAYBE_NULL) {
            f.write_str(if self.kind == Kind::BtfId {
                "or_null_"
            } else {
                "_or_null"
            })?;
        }
        Ok(())
    }
}

impl Kind {
    /// The kernel's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::NotInit => "?",
            Kind::Scalar => "scalar",
            Kind::Ctx => "ctx",
            Kind::MapPtr => "map_ptr",
            Kind::MapValue => "map_value",
            Kind::MapKey => "map_key",
            Kind::Stack => "fp",
            Kind::PacketMeta => "pkt_meta",
            Kind::Packet => "pkt",
            Kind::PacketEnd => "pkt_end",
            Kind::FlowKeys => "flow_keys",
            Kind::Socket => "sock",
            Kind::SockCommon => "sock_common",
            Kind::TcpSock => "tcp_sock",
            Kind::TpBuffer => "tp_buffer",
            Kind::XdpSock => "xdp_sock",
            Kind::BtfId => "ptr_",
            Kind::Mem => "mem",
            Kind::Arena => "arena",
            Kind::Buf => "buf",
            Kind::Func => "func",
            Kind::ConstDynptr => "dynptr_ptr",
        }
    }
}
