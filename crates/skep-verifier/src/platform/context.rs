//! What an access of the context gives: a number, a packet pointer, a socket, or nothing but a refusal.

use skep_spec::context::{self, FieldValue};
use skep_spec::profile::Profile;
use skep_spec::program::{AttachType, ProgramType as P};

use super::Place;
use crate::host::Host;

/// What a load from the context leaves in the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtxValue {
    /// A number of the loaded width.
    Scalar,
    /// The start of the packet.
    Packet,
    /// The end of the packet.
    PacketEnd,
    /// The start of the metadata before the packet.
    PacketMeta,
    /// `PTR_TO_SOCKET`
    Socket {
        /// Whether it may be null.
        or_null: bool,
    },
    /// `PTR_TO_SOCK_COMMON`
    SockCommon {
        /// Whether it may be null.
        or_null: bool,
    },
    /// `PTR_TO_FLOW_KEYS`
    FlowKeys,
    /// `PTR_TO_TP_BUFFER`: the record of a writable tracepoint.
    TpBuffer,
    /// A trusted pointer to a structure of the kernel's BTF.
    Btf {
        /// The structure.
        of: &'static str,
        /// Whether it may be null.
        or_null: bool,
    },
    /// Plain memory.
    Memory {
        /// Bytes.
        size: u32,
        /// Whether it may be written.
        writable: bool,
        /// Whether it may be null.
        or_null: bool,
    },
}

/// The same as [`ctx_access`] for the context of a host.
pub fn host_ctx_access(host: &Host, off: i64, size: u32, write: bool) -> Option<CtxValue> {
    host.context.resolve(off, size, write).ok()?;
    let (_, field) = host.context.field_at(u32::try_from(off).ok()?)?;
    value_of(field.value)
}

/// What a field gives that means the same to every kind of program; nothing for the others.
const fn value_of(value: FieldValue) -> Option<CtxValue> {
    Some(match value {
        FieldValue::Scalar => CtxValue::Scalar,
        FieldValue::PacketStart => CtxValue::Packet,
        FieldValue::PacketEnd => CtxValue::PacketEnd,
        FieldValue::PacketMeta => CtxValue::PacketMeta,
        FieldValue::Memory {
            size,
            writable,
            or_null,
        } => CtxValue::Memory {
            size,
            writable,
            or_null,
        },
        FieldValue::Pointer(_) => return None,
    })
}

/// What a load of `size` bytes at `off` gives, or that a store there is allowed; `None` where the kernel says
/// `invalid bpf_context access`. Contexts whose fields are the arguments of a function are not answered here: their
/// types come from BTF.
pub fn ctx_access(
    profile: &Profile,
    place: &Place<'_>,
    off: i64,
    size: u32,
    write: bool,
) -> Option<CtxValue> {
    let layout = context::for_program(place.program, place.attach);
    match place.program {
        // Plain bytes at any alignment, since 7.0.
        P::Syscall if profile.at_least(7, 0) => {
            let inside = off >= 0 && off.saturating_add(i64::from(size)) <= i64::from(layout.size);
            return inside.then_some(CtxValue::Scalar);
        }
        // Registers may be changed since 7.0, but not by sessions; 6.18.15 allowed it too, 6.18.44 no more.
        P::Kprobe
            if write
                && (profile.at_least(7, 0) || profile.up_to_patch(6, 18, 15))
                && place.attach != Some(AttachType::TraceKprobeSession) =>
        {
            return layout
                .resolve(off, size, false)
                .ok()
                .map(|_| CtxValue::Scalar);
        }
        // Packet bytes and the time stamp of cgroups' programs are for loaders with CAP_BPF.
        P::CgroupSkb
            if !(place.caps.bpf || place.caps.sys_admin)
                && (matches!(off, 76..84) || write && matches!(off, 152..160)) =>
        {
            return None;
        }
        _ if !since(place.program, off)
            .is_none_or(|(major, minor)| profile.at_least(major, minor)) =>
        {
            return None;
        }
        _ => {}
    }
    layout.resolve(off, size, write).ok()?;
    if place.program == P::RawTracepointWritable && off == 0 {
        return (size == 8).then_some(CtxValue::TpBuffer);
    }
    let (_, field) = layout.field_at(u32::try_from(off).ok()?)?;
    Some(match field.value {
        FieldValue::Pointer("bpf_flow_keys") => CtxValue::FlowKeys,
        FieldValue::Pointer("bpf_sock") if field.name == "migrating_sk" => {
            CtxValue::SockCommon { or_null: true }
        }
        FieldValue::Pointer("bpf_sock") => socket(place.program),
        FieldValue::Pointer(of) => CtxValue::Btf { of, or_null: false },
        value => return value_of(value),
    })
}

/// The release from which on a field can be read, where it is newer than the oldest profile. Source: observed on
/// Linux 5.10.262 and 6.1.192, which refuse them; the release is that of the change in mainline.
const fn since(program: P, off: i64) -> Option<(u16, u16)> {
    match (program, off) {
        // skb_hwtstamp
        (P::SockOps, 216..224) => Some((6, 2)),
        // hwtstamp
        (P::SchedCls | P::SchedAct | P::CgroupSkb, 184..192) => Some((5, 16)),
        // ingress_ifindex
        (P::SkLookup, 64..68) => Some((5, 17)),
        // sk, migrating_sk
        (P::SkReuseport, 40..56) => Some((5, 14)),
        _ => None,
    }
}

/// Which socket the `sk` field of that kind of program is.
const fn socket(program: P) -> CtxValue {
    match program {
        P::SkMsg | P::CgroupSockAddr | P::CgroupSockopt | P::SkReuseport => {
            CtxValue::Socket { or_null: false }
        }
        P::SockOps | P::SkLookup => CtxValue::Socket { or_null: true },
        _ => CtxValue::SockCommon { or_null: true },
    }
}
