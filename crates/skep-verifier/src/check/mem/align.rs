//! Alignment of accesses, where it matters: on the stack always, elsewhere when asked for.

use super::{Access, denied};
use crate::fault::Rule;
use crate::state::reg::{Kind, Reg};
use crate::state::tnum::Tnum;
use crate::verifier::Verifier;

/// Bytes that are assumed to lie before a packet's first header (`NET_IP_ALIGN`).
const IP_ALIGN: i32 = 2;

impl Verifier<'_> {
    /// Whether memory of that size that a call takes is aligned to its size.
    pub fn check_fixed_alignment(&self, reg: &Reg, size: u32) -> Rule {
        self.check_alignment(
            reg,
            0,
            &Access {
                strict_once: true,
                ..Access::read(size)
            },
        )
    }

    /// Whether an access at `off` from the register is aligned enough.
    pub(crate) fn check_alignment(&self, reg: &Reg, off: i32, access: &Access) -> Rule {
        let size = access.size;
        let strict = self.allow.strict_alignment || access.strict_once;
        if size <= 1 || !strict && reg.kind != Kind::Stack || reg.kind == Kind::Arena {
            return Ok(());
        }
        let packet = reg.is_packet();
        let fixed =
            i64::from(reg.off) + i64::from(off) + if packet { i64::from(IP_ALIGN) } else { 0 };
        if reg
            .num
            .bits
            .add(Tnum::constant(fixed as u64))
            .is_aligned(u64::from(size))
        {
            return Ok(());
        }
        let (bits, base) = (reg.num.bits, reg.off);
        Err(denied(
            "verifier-misaligned",
            if packet {
                format!("misaligned packet access off {IP_ALIGN}+{bits}+{base}+{off} size {size}")
            } else {
                let what = described(reg.kind);
                format!("misaligned {what}access off {bits}+{base}+{off} size {size}")
            },
        ))
    }
}

/// What messages about alignment call that memory.
const fn described(kind: Kind) -> &'static str {
    match kind {
        Kind::FlowKeys => "flow keys ",
        Kind::MapKey => "key ",
        Kind::MapValue => "value ",
        Kind::Ctx => "context ",
        Kind::Stack => "stack ",
        Kind::Socket => "sock ",
        Kind::SockCommon => "sock_common ",
        Kind::TcpSock => "tcp_sock ",
        Kind::XdpSock => "xdp_sock ",
        _ => "",
    }
}
