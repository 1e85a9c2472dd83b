//! Memory accesses: which kind of pointer goes where.
//!
//! Invariant: an access that is let through lies, for every value that the state stands for, within memory that the
//! program may read or write so; a loaded register stands for every value that may lie there.

use skep_spec::insn::{Insn, class, mode};
use skep_spec::profile::Feature;

use crate::facts::Used;
use crate::fault::{Fault, Rule};
use crate::state::reg::{Flags, Kind, Reg};
use crate::state::scalar::Scalar;
use crate::step::Use;
use crate::verifier::Verifier;

pub mod align;
pub mod arguments;
pub mod atomic;
pub mod btf_ptr;
pub mod btf_walk;
pub mod ctx;
pub mod helper_mem;
pub mod known;
pub mod kptr;
pub mod legacy;
pub mod map_value;
pub mod packet;
pub mod plain;
pub mod socket;
pub mod stack;
pub mod stack_range;
pub mod struct_write;

#[cfg(test)]
mod tests;

pub(crate) const EACCES: i32 = 13;
pub(crate) const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;

/// A refusal with `EACCES`.
#[cold]
pub(crate) fn denied(code: &'static str, line: impl Into<String>) -> Box<Fault> {
    Fault::new(EACCES, code, line)
}

/// One access.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Bytes.
    pub size: u32,
    pub write: bool,
    /// The register that is loaded or stored; `None` for an immediate (a store of unknown or constant bytes).
    pub value: Option<u8>,
    pub sign_extend: bool,
    /// Alignment matters whatever the program's flags say (atomics).
    pub strict_once: bool,
}

impl Access {
    /// A load into nowhere.
    pub const fn read(size: u32) -> Access {
        Access {
            size,
            write: false,
            value: None,
            sign_extend: false,
            strict_once: false,
        }
    }

    /// A store of unknown bytes.
    pub const fn write(size: u32) -> Access {
        Access {
            write: true,
            ..Access::read(size)
        }
    }
}

impl Verifier<'_> {
    /// Checks the access of `*(regno + off)`, and for a load sets the loaded register.
    pub fn check_mem_access(&mut self, regno: u8, off: i32, access: Access) -> Rule {
        let reg = *self.reg(regno);
        self.check_alignment(&reg, off, &access)?;
        // Both are small: the register's offset is below 2^29 wherever arithmetic was checked.
        let at = off.wrapping_add(reg.off);
        match reg.kind {
            Kind::MapValue if !reg.maybe_null() => {
                self.access_map_value(regno, &reg, at, &access)?
            }
            Kind::Stack => self.access_stack(regno, &reg, at, &access)?,
            Kind::Ctx => self.access_ctx(regno, &reg, at, &access)?,
            Kind::Packet | Kind::PacketMeta | Kind::PacketEnd if !reg.maybe_null() => {
                self.access_packet(regno, &reg, at, &access)?;
            }
            Kind::BtfId if !reg.maybe_null() => self.access_btf(regno, &reg, at, &access)?,
            Kind::Mem => self.access_mem(regno, &reg, at, &access)?,
            Kind::MapKey if !reg.maybe_null() => self.access_map_key(regno, &reg, at, &access)?,
            Kind::FlowKeys => self.access_flow_keys(regno, at, &access)?,
            Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::XdpSock
                if !reg.maybe_null() =>
            {
                self.access_socket(regno, &reg, at, &access)?;
            }
            Kind::TpBuffer => self.access_tp_buffer(regno, &reg, at, &access)?,
            Kind::Buf if !reg.maybe_null() => self.access_buf(regno, &reg, at, &access)?,
            Kind::MapPtr => self.access_map_ptr(regno, &reg, at, &access)?,
            Kind::Arena => self.loaded(&access, Reg::UNKNOWN),
            _ => return Err(invalid_mem_access(regno, &reg)),
        }
        if let (false, Some(value)) = (access.write, access.value)
            && access.size < 8
        {
            let reg = self.reg_mut(value);
            if reg.kind == Kind::Scalar {
                reg.num = if access.sign_extend {
                    // A number whose sign is extended into it no longer equals those that it was linked to.
                    if reg.num.umax >= 1 << (8 * access.size - 1) {
                        reg.id = 0;
                        reg.off = 0;
                    }
                    reg.num.sext(access.size as u8)
                } else {
                    reg.num.truncate(access.size as u8)
                };
            }
        }
        Ok(())
    }

    /// For a load into a register: that is what was loaded.
    pub(crate) fn loaded(&mut self, access: &Access, reg: Reg) {
        if let (false, Some(value)) = (access.write, access.value) {
            self.set_reg(value, reg);
        }
    }

    /// Pointers may not be stored where the loader could read them.
    pub(crate) fn check_leak(&self, access: &Access, to: &str) -> Rule {
        match access.value {
            Some(value) if access.write && self.is_pointer_value(value) => Err(denied(
                "verifier-pointer-leak",
                format!("R{value} leaks addr into {to}"),
            )),
            _ => Ok(()),
        }
    }

    /// `ldx`, `ldsx`.
    pub fn step_load(&mut self, insn: Insn) -> Rule {
        self.load_through(insn, false)
    }

    /// A load; an atomic one asks for alignment, and for the same kind of pointer whichever path led here.
    pub(crate) fn load_through(&mut self, insn: Insn, atomic: bool) -> Rule {
        self.check_reg_arg(insn.src, Use::Read)?;
        self.check_reg_arg(insn.dst, Use::WriteNoMark)?;
        let used = Used::new(self.reg(insn.src), insn.off);
        self.check_mem_access(
            insn.src,
            i32::from(insn.off),
            Access {
                size: insn.width() as u32,
                write: false,
                value: Some(insn.dst),
                sign_extend: !atomic && insn.code & mode::MASK == mode::MEMSX,
                strict_once: atomic,
            },
        )?;
        self.note_pointer(&used, !atomic)?;
        self.check_invariants(insn.dst, if atomic { "atomic_load" } else { "ldx" })
    }

    /// After all paths: sign-extending loads from arenas were not built at first.
    pub fn check_arena_loads(&self) -> Rule {
        if self.platform.profile.has(Feature::ArenaSignExtension) {
            return Ok(());
        }
        let extends = |insn: &Insn| insn.class() == class::LDX && insn.mode() == mode::MEMSX;
        let from_arena = |at: &usize| matches!(self.aux[*at].pointer, Some((Kind::Arena, _)));
        let loads = self.insns.iter().enumerate();
        match loads
            .filter(|(_, insn)| extends(insn))
            .map(|(at, _)| at)
            .find(from_arena)
        {
            Some(at) => Err(Fault::new(
                EOPNOTSUPP,
                "verifier-arena-sign-extension",
                "sign extending loads from arena are not supported yet",
            )
            .at(at)),
            None => Ok(()),
        }
    }

    /// `stx`.
    pub fn step_store(&mut self, insn: Insn) -> Rule {
        self.store_through(insn, false)
    }

    pub(crate) fn store_through(&mut self, insn: Insn, atomic: bool) -> Rule {
        self.check_reg_arg(insn.src, Use::Read)?;
        self.check_reg_arg(insn.dst, Use::Read)?;
        let used = Used::new(self.reg(insn.dst), insn.off);
        self.check_mem_access(
            insn.dst,
            i32::from(insn.off),
            Access {
                size: insn.width() as u32,
                write: true,
                value: Some(insn.src),
                sign_extend: false,
                strict_once: atomic,
            },
        )?;
        self.note_pointer(&used, false)
    }

    /// `st`.
    pub fn step_store_imm(&mut self, insn: Insn) -> Rule {
        self.check_reg_arg(insn.dst, Use::Read)?;
        let used = Used::new(self.reg(insn.dst), insn.off);
        self.check_mem_access(
            insn.dst,
            i32::from(insn.off),
            Access::write(insn.width() as u32),
        )?;
        self.note_pointer(&used, false)
    }

    /// One instruction is rewritten for one kind of pointer: all paths must bring that kind. Where `mix` says so, trusted
    /// and untrusted pointers may meet; the load is then probed.
    pub(crate) fn note_pointer(&mut self, used: &Used, mix: bool) -> Rule {
        self.note_way(used);
        let aux = &mut self.aux[self.insn_idx];
        let now = (used.kind, used.flags);
        if is_probed(now) {
            aux.probe = true;
        }
        let Some(before) = aux.pointer else {
            aux.pointer = Some(now);
            return Ok(());
        };
        if before == now || is_interchangeable(before) && is_interchangeable(now) {
            return Ok(());
        }
        let typed = |(kind, _): (Kind, Flags)| matches!(kind, Kind::Mem | Kind::BtfId);
        if mix && typed(before) && typed(now) {
            let plain = before.0 == Kind::Mem || now.0 == Kind::Mem;
            aux.pointer = Some(if plain {
                (Kind::Mem, Flags::RDONLY.with(Flags::UNTRUSTED))
            } else {
                (Kind::BtfId, Flags::UNTRUSTED)
            });
            aux.probe = true;
            return Ok(());
        }
        Err(Fault::new(
            EINVAL,
            "verifier-different-pointers",
            "same insn cannot be used with different pointers",
        ))
    }

    /// Whether the current instruction is a store of an immediate (and not an atomic).
    pub(crate) fn stored_imm(&self) -> Option<i32> {
        use skep_spec::insn::class;
        let insn = self.insns.get(self.insn_idx)?;
        (insn.code & class::MASK == class::ST && insn.code & mode::MASK == mode::MEM)
            .then_some(insn.imm)
    }
}

/// Whether an access through it is the same whatever other kind of that sort comes along.
fn is_interchangeable((kind, flags): (Kind, Flags)) -> bool {
    match kind {
        Kind::Ctx
        | Kind::Socket
        | Kind::SockCommon
        | Kind::TcpSock
        | Kind::XdpSock
        | Kind::BtfId
        | Kind::Arena => false,
        Kind::Mem => !flags.has(Flags::RDONLY.with(Flags::UNTRUSTED)),
        _ => true,
    }
}

/// Whether the address may be bad, so that loads through it must be guarded.
fn is_probed((kind, flags): (Kind, Flags)) -> bool {
    match kind {
        Kind::BtfId => {
            !flags.any(Flags::TRUSTED.with(Flags::RCU).with(Flags::NON_OWN_REF))
                && (flags.has(Flags::UNTRUSTED) || !flags.has(Flags::ALLOC))
        }
        Kind::Mem => flags.has(Flags::RDONLY.with(Flags::UNTRUSTED)),
        _ => false,
    }
}

/// The register cannot be followed at all.
#[cold]
pub(crate) fn invalid_mem_access(regno: u8, reg: &Reg) -> Box<Fault> {
    denied(
        "verifier-invalid-mem-access",
        format!("R{regno} invalid mem access '{}'", reg.type_name()),
    )
}

/// The register may not be written through.
#[cold]
pub(crate) fn cannot_write(regno: u8, reg: &Reg) -> Box<Fault> {
    denied(
        "verifier-read-only-memory",
        format!("R{regno} cannot write into {}", reg.type_name()),
    )
}

/// The number 0 as a register that was loaded.
pub(crate) fn zero() -> Reg {
    Reg::scalar(Scalar::constant(0))
}
