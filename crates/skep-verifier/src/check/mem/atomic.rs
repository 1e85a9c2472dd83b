//! Atomic instructions: read-modify-write, compare and exchange, ordered loads and stores.

use skep_spec::insn::{Insn, size};

use super::{Access, EINVAL, denied};
use crate::facts::Used;
use crate::fault::{Fault, Rule};
use crate::state::reg::{Kind, Reg};
use crate::step::Use;
use crate::verifier::Verifier;

/// The operations, as the immediate names them.
mod op {
    pub const FETCH: i32 = 0x01;
    pub const ADD: i32 = 0x00;
    pub const OR: i32 = 0x40;
    pub const AND: i32 = 0x50;
    pub const XOR: i32 = 0xa0;
    pub const XCHG: i32 = 0xe1;
    pub const CMPXCHG: i32 = 0xf1;
    pub const LOAD_ACQ: i32 = 0x100;
    pub const STORE_REL: i32 = 0x110;
}

impl Verifier<'_> {
    /// Atomic read-modify-write, `load_acquire`, `store_release`.
    pub fn check_atomic(&mut self, insn: Insn) -> Rule {
        match insn.imm {
            op::LOAD_ACQ => {
                self.check_reg_arg(insn.src, Use::Read)?;
                let pointer = *self.reg(insn.src);
                self.load_through(insn, true)?;
                check_atomic_pointer(&pointer, insn.src, "loads from")
            }
            op::STORE_REL => {
                self.check_reg_arg(insn.src, Use::Read)?;
                self.check_reg_arg(insn.dst, Use::Read)?;
                let pointer = *self.reg(insn.dst);
                self.store_through(insn, true)?;
                check_atomic_pointer(&pointer, insn.dst, "stores into")
            }
            op::XCHG | op::CMPXCHG => self.check_atomic_rmw(insn),
            imm if matches!(imm & !op::FETCH, op::ADD | op::OR | op::AND | op::XOR) => {
                self.check_atomic_rmw(insn)
            }
            imm => Err(Fault::new(
                EINVAL,
                "verifier-atomic-opcode",
                format!("BPF_ATOMIC uses invalid atomic opcode {imm:02x}"),
            )),
        }
    }

    fn check_atomic_rmw(&mut self, insn: Insn) -> Rule {
        if !matches!(insn.size(), size::W | size::DW) {
            return Err(Fault::new(
                EINVAL,
                "verifier-atomic-size",
                "invalid atomic operand size",
            ));
        }
        self.check_reg_arg(insn.src, Use::Read)?;
        self.check_reg_arg(insn.dst, Use::Read)?;
        let leak = |number: u8| {
            denied(
                "verifier-pointer-leak",
                format!("R{number} leaks addr into mem"),
            )
        };
        if insn.imm == op::CMPXCHG {
            self.check_reg_arg(0, Use::Read)?;
            if self.is_pointer_value(0) {
                return Err(leak(0));
            }
        }
        if self.is_pointer_value(insn.src) {
            return Err(leak(insn.src));
        }
        check_atomic_pointer(self.reg(insn.dst), insn.dst, "stores into")?;
        let fetched = match insn.imm {
            op::CMPXCHG => Some(0),
            imm if imm & op::FETCH != 0 => Some(insn.src),
            _ => None,
        };
        if let Some(number) = fetched {
            // If this was the pointer too, it is lost before the access.
            self.check_reg_arg(number, Use::Write)?;
        }
        let off = i32::from(insn.off);
        let access = Access {
            strict_once: true,
            ..Access::read(insn.width() as u32)
        };
        // First without a register to load: that keeps a pointer in memory from being read as a number.
        self.check_mem_access(insn.dst, off, access)?;
        let used = Used::new(self.reg(insn.dst), insn.off);
        if fetched.is_some() {
            self.check_mem_access(
                insn.dst,
                off,
                Access {
                    value: fetched,
                    ..access
                },
            )?;
        }
        if used.kind == Kind::Arena {
            self.note_pointer(&used, false)?;
        } else {
            self.note_way(&used);
        }
        let write = Access {
            write: true,
            ..access
        };
        self.check_mem_access(insn.dst, off, write)
    }
}

/// Contexts, packets, flow keys and sockets are not for atomics.
fn check_atomic_pointer(reg: &Reg, number: u8, how: &str) -> Rule {
    match reg.kind {
        Kind::Ctx
        | Kind::Packet
        | Kind::PacketMeta
        | Kind::FlowKeys
        | Kind::Socket
        | Kind::SockCommon
        | Kind::TcpSock
        | Kind::XdpSock => Err(denied(
            "verifier-atomic-pointer",
            format!(
                "BPF_ATOMIC {how} R{number} {} is not allowed",
                reg.type_name()
            ),
        )),
        _ => Ok(()),
    }
}
