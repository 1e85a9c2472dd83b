//! Which kinds of register each kind of helper argument takes.
//!
//! Invariant: the lists stand in the order in which the kernel prints them.

use skep_spec::helper::{ArgKind, ArgType};

use crate::check::call::EACCES;
use crate::check::call_meta::CallMeta;
use crate::fault::{Fault, Rule};
use crate::input::BtfIdx;
use crate::state::name::type_name;
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::verifier::Verifier;

type Expected = &'static [(Kind, Flags)];

const NONE: Flags = Flags::NONE;
const MEMORY: Expected = &[
    (Kind::Stack, NONE),
    (Kind::Packet, NONE),
    (Kind::PacketMeta, NONE),
    (Kind::MapKey, NONE),
    (Kind::MapValue, NONE),
    (Kind::Mem, NONE),
    (Kind::Mem, Flags::RINGBUF),
    (Kind::Buf, NONE),
    (Kind::BtfId, Flags::TRUSTED),
];
const SCALAR: Expected = &[(Kind::Scalar, NONE)];
const MAP_PTR: Expected = &[(Kind::MapPtr, NONE)];
const CONTEXT: Expected = &[(Kind::Ctx, NONE)];
const SOCK: Expected = &[
    (Kind::SockCommon, NONE),
    (Kind::Socket, NONE),
    (Kind::TcpSock, NONE),
    (Kind::XdpSock, NONE),
];
const BTF_SOCK: Expected = &[
    (Kind::SockCommon, NONE),
    (Kind::Socket, NONE),
    (Kind::TcpSock, NONE),
    (Kind::XdpSock, NONE),
    (Kind::BtfId, NONE),
    (Kind::BtfId, Flags::TRUSTED),
];
const FULLSOCK: Expected = &[(Kind::Socket, NONE)];
const BTF: Expected = &[
    (Kind::BtfId, NONE),
    (Kind::BtfId, Flags::TRUSTED),
    (Kind::BtfId, Flags::RCU),
];
const LOCK: Expected = &[(Kind::MapValue, NONE), (Kind::BtfId, Flags::ALLOC)];
const RECORD: Expected = &[(Kind::Mem, Flags::RINGBUF)];
const PERCPU: Expected = &[
    (Kind::BtfId, Flags::PERCPU),
    (Kind::BtfId, Flags::PERCPU.with(Flags::RCU)),
    (Kind::BtfId, Flags::PERCPU.with(Flags::TRUSTED)),
];
const FUNC: Expected = &[(Kind::Func, NONE)];
const STACK: Expected = &[(Kind::Stack, NONE)];
const VALUE: Expected = &[(Kind::MapValue, NONE)];
const DYNPTR: Expected = &[(Kind::Stack, NONE), (Kind::ConstDynptr, NONE)];

/// A socket of any kind as BTF type: what the argument is matched against.
const SOCK_COMMON: &str = "sock_common";
/// In an argument's `of`: a whole socket, not its common part.
pub(super) const FULL_SOCKET: &str = "full_socket";

fn expected(arg: &ArgType) -> Expected {
    match arg.kind {
        ArgKind::None | ArgKind::Anything => &[],
        ArgKind::Scalar | ArgKind::Size | ArgKind::SizeOrZero | ArgKind::AllocSize => SCALAR,
        ArgKind::Ctx => CONTEXT,
        ArgKind::Map => MAP_PTR,
        ArgKind::MapKey | ArgKind::MapValue | ArgKind::Mem | ArgKind::FixedMem => MEMORY,
        ArgKind::Record => RECORD,
        ArgKind::ConstStr | ArgKind::Timer => VALUE,
        ArgKind::Dynptr => DYNPTR,
        ArgKind::Func => FUNC,
        ArgKind::Stack => STACK,
        ArgKind::SpinLock | ArgKind::KptrSlot => LOCK,
        ArgKind::Btf => BTF,
        ArgKind::BtfSock => BTF_SOCK,
        ArgKind::PercpuBtf => PERCPU,
        ArgKind::Sock if arg.of == FULL_SOCKET => FULLSOCK,
        ArgKind::Sock => SOCK,
    }
}

/// bpf_sk_release, which takes any socket by its common part.
const SK_RELEASE: u32 = 86;
const SPIN_LOCK: u32 = 93;
const SPIN_UNLOCK: u32 = 94;
pub(super) const KPTR_XCHG: u32 = 194;

impl Verifier<'_> {
    /// Whether the register is of a kind that the argument takes; for kernel objects also of its type. `wanted` is that
    /// type where the argument does not name it.
    pub fn check_reg_type(
        &self,
        regno: u8,
        arg: &ArgType,
        wanted: Option<(BtfIdx, u32)>,
        meta: &CallMeta,
    ) -> Rule {
        let reg = self.reg(regno);
        let func_id = meta.func_id();
        let expected = expected(arg);
        let mut flags = reg.flags;
        if arg.is(ArgType::READ_ONLY) {
            flags = flags.without(Flags::RDONLY);
        }
        if arg.is(ArgType::OR_NULL) {
            flags = flags.without(Flags::MAYBE_NULL);
        }
        if matches!(arg.kind, ArgKind::Mem | ArgKind::FixedMem) {
            flags = flags.without(Flags::DYNPTR_ANY);
        }
        if func_id == KPTR_XCHG && regno == 2 && reg.is_allocated_object() {
            flags = flags.without(Flags::ALLOC.with(Flags::PERCPU));
        }
        if !expected.contains(&(reg.kind, flags)) {
            return Err(unexpected(regno, reg, expected));
        }
        if reg.kind != Kind::BtfId {
            return Ok(());
        }
        if matches!(
            arg.kind,
            ArgKind::MapKey | ArgKind::MapValue | ArgKind::Mem | ArgKind::FixedMem
        ) {
            if arg.is(ArgType::READ_ONLY) {
                return Ok(());
            }
            return Err(Fault::new(
                EACCES,
                "verifier-helper-writes",
                format!(
                    "{}() may write into memory pointed by R{regno} type={}",
                    meta.func_name(),
                    reg.type_name()
                ),
            ));
        }
        if reg.flags.has(Flags::PERCPU) && !reg.flags.has(Flags::ALLOC) {
            return Ok(());
        }
        if reg.flags.has(Flags::ALLOC) {
            if func_id == KPTR_XCHG && regno == 2 {
                return self.check_exchanged(reg, regno, meta);
            }
            if !matches!(func_id, SPIN_LOCK | SPIN_UNLOCK | KPTR_XCHG) {
                return Err(unexpected(regno, reg, expected));
            }
            return Ok(());
        }
        self.check_object_type(regno, reg, arg, wanted, meta)
    }

    /// The type of a kernel object against that of the argument.
    fn check_object_type(
        &self,
        regno: u8,
        reg: &Reg,
        arg: &ArgType,
        wanted: Option<(BtfIdx, u32)>,
        meta: &CallMeta,
    ) -> Rule {
        let released = arg.is(ArgType::RELEASED);
        if reg.maybe_null() && (!arg.is(ArgType::OR_NULL) || released) {
            return Err(Fault::new(
                EACCES,
                "verifier-possibly-null-argument",
                format!("Possibly NULL pointer passed to helper arg{regno}"),
            ));
        }
        if meta.func_id() == KPTR_XCHG {
            return self.check_exchanged(reg, regno, meta);
        }
        let name = match arg.kind {
            ArgKind::BtfSock => SOCK_COMMON,
            _ => arg.of,
        };
        let wanted = wanted.or_else(|| self.kernel_struct(name).map(|(btf, id)| (btf, id.0)));
        let Detail::Btf { btf, id } = reg.detail else {
            return Err(unexpected(regno, reg, BTF));
        };
        let strict = released && meta.func_id() != SK_RELEASE;
        if let Some(wanted) = wanted
            && self.struct_ids_match((btf, id), reg.off as u32, wanted, strict)
        {
            return Ok(());
        }
        let expected = wanted.map_or(name, |(btf, id)| self.btf_type_name(btf, id));
        Err(Fault::new(
            EACCES,
            "verifier-object-type",
            format!(
                "R{regno} is of type {} but {expected} is expected",
                self.btf_type_name(btf, id)
            ),
        ))
    }

    /// The new pointer of a `bpf_kptr_xchg` against the slot.
    fn check_exchanged(&self, reg: &Reg, regno: u8, meta: &CallMeta) -> Rule {
        match &meta.kptr_field {
            Some(field) => self.check_kptr_match(field, reg, regno),
            None => Ok(()),
        }
    }
}

#[cold]
fn unexpected(regno: u8, reg: &Reg, expected: Expected) -> Box<Fault> {
    use std::fmt::Write as _;
    let mut line = format!("R{regno} type={} expected=", reg.type_name());
    for (at, &(kind, flags)) in expected.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let _ = write!(line, "{comma}{}", type_name(kind, flags));
    }
    Fault::new(EACCES, "verifier-argument-kind", line)
}
