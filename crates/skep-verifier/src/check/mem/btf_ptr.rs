//! Pointers to the kernel's structures and to allocated local objects: what a field holds, and how far the pointer that
//! is loaded from it may be trusted.

use skep_btf::TypeId;

use super::btf_walk::{self, Found};
use super::known::is_listed;
use super::{Access, EINVAL, denied};
use crate::fault::{Fault, Rule};
use crate::input::BtfIdx;
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::verifier::Verifier;

const EPERM: i32 = 1;
/// Structs that start where another one starts.
const MATCH_DEPTH_MAX: u32 = 64;

/// Flags that make a pointer trusted.
pub(crate) const TRUSTED: Flags = Flags(Flags::ALLOC.0 | Flags::TRUSTED.0 | Flags::NON_OWN_REF.0);

/// What a load through a typed pointer gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded<'a> {
    Scalar,
    /// A pointer to a struct or union of the same BTF, from the member of that name.
    Pointer {
        id: u32,
        flags: Flags,
        field: &'a str,
    },
    /// A pointer to something else: memory that may be probed.
    Memory,
}

impl<'i> Verifier<'i> {
    /// A type's name.
    pub fn type_word(&self, btf: BtfIdx, id: u32) -> &'i str {
        self.input
            .btf(btf)
            .map_or("", |types| types.name(TypeId(id)))
    }

    /// What lies at the offset of a type; of an allocated object, that no special field is touched.
    pub(crate) fn walk_type(
        &self,
        reg: &Reg,
        btf: BtfIdx,
        id: u32,
        off: u32,
        size: u32,
    ) -> Rule<Loaded<'i>> {
        let allocated = reg.kind == Kind::BtfId && reg.flags.has(Flags::ALLOC);
        if allocated && let Some(record) = self.type_record(btf, id) {
            let end = u64::from(off) + u64::from(size);
            for field in &record.fields {
                if u64::from(off) < u64::from(field.offset + field.size)
                    && u64::from(field.offset) < end
                {
                    return Err(denied(
                        "verifier-special-field",
                        format!("direct access to {} is disallowed", field.kind.name()),
                    ));
                }
            }
        }
        let Some(types) = self.input.btf(btf) else {
            return Err(Fault::new(
                EINVAL,
                "verifier-not-a-struct",
                "Type '' is not a struct",
            ));
        };
        let (mut id, mut off) = (TypeId(id), off);
        let mut flags = Flags::NONE;
        for _ in 0..MATCH_DEPTH_MAX {
            match btf_walk::step(types, id, off, size, &mut flags)? {
                Found::Scalar => return Ok(Loaded::Scalar),
                // What a local type points to was put there by the program.
                Found::Pointer { .. } if allocated => return Ok(Loaded::Scalar),
                Found::Pointer { id, flags, field } => {
                    return Ok(Loaded::Pointer { id, flags, field });
                }
                Found::OtherPointer => return Ok(Loaded::Memory),
                Found::Struct { id: inner } => (id, off) = (TypeId(inner), 0),
            }
        }
        Ok(Loaded::Scalar)
    }

    /// `PTR_TO_BTF_ID`
    pub(super) fn access_btf(&mut self, regno: u8, reg: &Reg, off: i32, access: &Access) -> Rule {
        let Detail::Btf { btf, id } = reg.detail else {
            return Err(super::invalid_mem_access(regno, reg));
        };
        let name = self.type_word(btf, id);
        if !self.allow.ptr_leaks {
            return Err(Fault::new(
                EPERM,
                "verifier-kernel-types-privileged",
                format!("'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN"),
            ));
        }
        if btf != BtfIdx::PROGRAM && !self.platform.place.gpl {
            return Err(Fault::new(
                EINVAL,
                "verifier-gpl-only",
                format!("Cannot access kernel 'struct {name}' from non-GPL compatible program"),
            ));
        }
        let refuse = |line: String| Err(denied("verifier-typed-pointer", line));
        if off < 0 {
            return refuse(format!(
                "R{regno} is ptr_{name} invalid negative access: off={off}"
            ));
        }
        if reg.num.as_const() != Some(0) {
            return refuse(format!(
                "R{regno} is ptr_{name} invalid variable offset: off={off}, var_off={}",
                reg.num.bits
            ));
        }
        if reg.flags.has(Flags::USER) {
            return refuse(format!(
                "R{regno} is ptr_{name} access user memory: off={off}"
            ));
        }
        if reg.flags.has(Flags::PERCPU) {
            return refuse(format!(
                "R{regno} is ptr_{name} access percpu memory: off={off}"
            ));
        }
        let allocated = reg.flags.has(Flags::ALLOC);
        if access.write {
            if !allocated && let Some(writable) = self.struct_write(name, off as u32, access.size) {
                return writable;
            }
            if !allocated || reg.flags.has(Flags::UNTRUSTED) {
                return Err(denied(
                    "verifier-read-only-memory",
                    "only read is supported",
                ));
            }
        }
        let found = self.walk_type(reg, btf, id, off as u32, access.size)?;
        let flags = self.walked_flags(reg, btf, id, &found);
        self.load_btf(access, btf, &found, flags);
        Ok(())
    }

    /// How far a pointer loaded through `reg` is to be trusted.
    fn walked_flags(&self, reg: &Reg, btf: BtfIdx, from: u32, found: &Loaded<'_>) -> Flags {
        let &Loaded::Pointer { id, flags, field } = found else {
            return Flags::NONE;
        };
        let plain = flags.without(TRUSTED).without(Flags::RCU);
        if reg.flags.has(Flags::UNTRUSTED) {
            return Flags::UNTRUSTED;
        }
        if !self.is_trusted(reg) && !reg.flags.has(Flags::RCU) {
            return plain;
        }
        let Some(types) = self.input.btf(btf) else {
            return Flags::UNTRUSTED;
        };
        let safe = self.known.safe_fields(types, btf, from);
        let listed = |list| is_listed(types, list, field, id);
        if listed(safe.trusted) {
            flags.with(Flags::TRUSTED)
        } else if listed(safe.trusted_or_null) {
            flags.with(Flags::TRUSTED).with(Flags::MAYBE_NULL)
        } else if self.in_rcu_section() && !reg.maybe_null() {
            if listed(safe.rcu) {
                flags.with(Flags::RCU)
            } else if flags.has(Flags::RCU) || listed(safe.rcu_or_null) {
                flags.with(Flags::RCU).with(Flags::MAYBE_NULL)
            } else if flags.any(Flags::PERCPU.with(Flags::USER)) {
                flags
            } else {
                plain
            }
        } else {
            Flags::UNTRUSTED
        }
    }

    /// Whether a pointer may be followed and passed on without doubt.
    pub(crate) fn is_trusted(&self, reg: &Reg) -> bool {
        if reg.ref_id != 0 {
            return true;
        }
        let clean = reg.flags.without(TRUSTED) == Flags::NONE;
        clean
            && (matches!(reg.kind, Kind::Socket | Kind::SockCommon | Kind::TcpSock)
                || reg.flags.any(TRUSTED))
    }

    /// Puts what was found into the loaded register.
    pub(super) fn load_btf(
        &mut self,
        access: &Access,
        btf: BtfIdx,
        found: &Loaded<'_>,
        flags: Flags,
    ) {
        let reg = match *found {
            Loaded::Scalar => Reg::UNKNOWN,
            Loaded::Memory => {
                Reg::pointer(Kind::Mem, Flags::RDONLY.with(Flags::UNTRUSTED)).to(Detail::Mem {
                    size: 0,
                    dynptr_id: 0,
                })
            }
            Loaded::Pointer { id, .. } => {
                let mut reg = Reg::pointer(Kind::BtfId, flags).to(Detail::Btf { btf, id });
                if flags.has(Flags::MAYBE_NULL) && access.value.is_some() {
                    reg.id = self.new_id();
                }
                reg
            }
        };
        self.loaded(access, reg);
    }
}
