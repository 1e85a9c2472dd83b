//! The arguments of a helper, from r1 to r5: each register against what the helper takes there.
//!
//! Invariant: what an argument teaches about later ones (the map, the size, the reference) is in the [`CallMeta`].

use skep_spec::helper::{ArgKind, ArgType};
use skep_spec::map::MapType;

use super::variant;
use crate::check::call::{EACCES, EFAULT, EINVAL};
use crate::check::call_meta::CallMeta;
use crate::check::dynptr::DynptrArg;
use crate::check::lock::LockDeed;
use crate::fault::{Fault, Rule};
use crate::record::FieldKind;
use crate::state::held::HeldKind;
use crate::state::reg::{Detail, DynptrKind, Flags, Kind, Reg};
use crate::state::slot::SlotByte;
use crate::step::Use;
use crate::verifier::Verifier;

const MAP_PEEK_ELEM: u32 = 89;
const SPIN_LOCK: u32 = 93;

#[cold]
fn refuse<T>(errno: i32, code: &'static str, line: impl Into<String>) -> Rule<T> {
    Err(Fault::new(errno, code, line))
}

impl Verifier<'_> {
    /// The argument in r`at + 1`.
    pub(super) fn check_func_arg(&mut self, at: usize, meta: &mut CallMeta) -> Rule {
        let Some(helper) = meta.helper else {
            return Ok(());
        };
        let mut arg = variant::argument(helper, at, &self.platform.place);
        let regno = at as u8 + 1;
        if arg.kind == ArgKind::None {
            return Ok(());
        }
        self.check_reg_arg(regno, Use::Read)?;
        if arg.kind == ArgKind::Anything {
            if self.is_pointer_value(regno) {
                return refuse(
                    EACCES,
                    "verifier-address-leak",
                    format!("R{regno} leaks addr into helper function"),
                );
            }
            return Ok(());
        }
        let reg = *self.reg(regno);
        if reg.is_packet() && !(self.may_access_packet(false) && self.packet_argument(meta)) {
            return refuse(
                EACCES,
                "verifier-helper-packet",
                "helper access to the packet is not allowed",
            );
        }
        if arg.kind == ArgKind::MapValue {
            self.resolve_map_value(&mut arg, meta)?;
        }
        let null = reg.is_zero() && arg.is(ArgType::OR_NULL);
        let context_bytes = reg.kind == Kind::Ctx
            && self.platform.host.is_some()
            && matches!(arg.kind, ArgKind::Mem | ArgKind::FixedMem);
        if !null && !context_bytes {
            self.check_reg_type(regno, &arg, None, meta)?;
            self.check_func_arg_reg_off(&reg, regno, Some(&arg))?;
        }
        if arg.is(ArgType::RELEASED) {
            self.note_released(&reg, regno, &arg, meta)?;
        }
        if reg.ref_id != 0 && arg.kind != ArgKind::KptrSlot {
            if meta.ref_id != 0 {
                return refuse(
                    EACCES,
                    "verifier-two-references",
                    format!(
                        "more than one arg with ref_obj_id R{regno} {} {}",
                        reg.ref_id, meta.ref_id
                    ),
                );
            }
            meta.ref_id = reg.ref_id;
        }
        self.check_arg_value(regno, at, &reg, &arg, meta)
    }

    /// Whether the call takes packets where it takes memory; for kinds of program whose packets are always taken, yes.
    fn packet_argument(&self, meta: &CallMeta) -> bool {
        self.platform.place.program == skep_spec::program::ProgramType::CgroupSockopt
            || meta.pkt_access
    }

    /// Values of some kinds of map are something else than memory.
    fn resolve_map_value(&self, arg: &mut ArgType, meta: &CallMeta) -> Rule {
        let Some((map, _)) = meta.map else {
            return refuse(
                EACCES,
                "verifier-no-map",
                "invalid map_ptr to access map->type",
            );
        };
        match self.map(map).map_type {
            MapType::Sockmap | MapType::Sockhash => {
                if arg.modifiers != 0 {
                    return refuse(
                        EINVAL,
                        "verifier-sockmap-argument",
                        "invalid arg_type for sockmap/sockhash",
                    );
                }
                arg.kind = ArgKind::BtfSock;
            }
            MapType::BloomFilter if meta.func_id() == MAP_PEEK_ELEM => arg.modifiers = 0,
            _ => {}
        }
        Ok(())
    }

    /// The register is given up by the call.
    fn note_released(&self, reg: &Reg, regno: u8, arg: &ArgType, meta: &mut CallMeta) -> Rule {
        if arg.kind == ArgKind::Dynptr {
            self.dynptr_reference(regno)?;
        } else if reg.ref_id == 0 && !reg.is_zero() {
            return refuse(
                EINVAL,
                "verifier-release-unreferenced",
                format!("R{regno} must be referenced when passed to release function"),
            );
        }
        meta.release_regno = regno;
        Ok(())
    }

    /// The register's kind is right: its value, and what it teaches.
    fn check_arg_value(
        &mut self,
        regno: u8,
        at: usize,
        reg: &Reg,
        arg: &ArgType,
        meta: &mut CallMeta,
    ) -> Rule {
        let writes = arg.is(ArgType::WRITTEN);
        match arg.kind {
            ArgKind::Map => self.note_map(reg, meta),
            ArgKind::MapKey => self.check_map_key(regno, reg, meta),
            ArgKind::MapValue => {
                if reg.is_zero() && arg.is(ArgType::OR_NULL) {
                    return Ok(());
                }
                let Some((map, _)) = meta.map else {
                    return refuse(
                        EACCES,
                        "verifier-no-map",
                        "invalid map_ptr to access map->value",
                    );
                };
                meta.raw_mode = arg.is(ArgType::UNINIT);
                let size = self.map(map).value_size;
                self.check_helper_mem_access(regno, size, writes, false, Some(meta))
            }
            ArgKind::PercpuBtf => match reg.detail {
                Detail::Btf { btf, id } if id != 0 => {
                    meta.ret_btf = Some((btf, id));
                    Ok(())
                }
                _ => refuse(
                    EACCES,
                    "verifier-percpu-type",
                    format!("Helper has invalid btf_id in R{regno}"),
                ),
            },
            ArgKind::SpinLock => {
                if self.in_rbtree_callback() {
                    return refuse(
                        EACCES,
                        "verifier-lock-in-callback",
                        "can't spin_{lock,unlock} in rbtree cb",
                    );
                }
                let deed = if meta.func_id() == SPIN_LOCK {
                    LockDeed::Lock
                } else {
                    LockDeed::Unlock
                };
                self.process_spin_lock(regno, deed, HeldKind::Lock)
            }
            ArgKind::Timer => self.process_timer(regno, meta),
            ArgKind::Func => {
                if let Detail::Func { subprog } = reg.detail {
                    meta.subprog = subprog;
                }
                Ok(())
            }
            ArgKind::Mem => {
                meta.raw_mode = arg.is(ArgType::UNINIT);
                Ok(())
            }
            ArgKind::FixedMem => {
                meta.raw_mode = arg.is(ArgType::UNINIT);
                let size = u32::from(arg.size);
                self.check_helper_mem_access(regno, size, writes, false, Some(meta))?;
                if arg.is(ArgType::ALIGNED) {
                    self.check_fixed_alignment(reg, size)?;
                }
                Ok(())
            }
            ArgKind::Size | ArgKind::SizeOrZero => {
                let memory = meta
                    .helper
                    .filter(|_| at > 0)
                    .map(|helper| variant::argument(helper, at - 1, &self.platform.place));
                let writes = memory.is_some_and(|memory| memory.is(ArgType::WRITTEN));
                let zero_allowed = arg.kind == ArgKind::SizeOrZero;
                self.check_mem_size_reg(regno, writes, zero_allowed, meta)
            }
            ArgKind::AllocSize => {
                let Some(size) = reg.num.as_const() else {
                    return refuse(
                        EACCES,
                        "verifier-size-not-constant",
                        format!("R{regno} is not a known constant'"),
                    );
                };
                meta.mem_size = size as u32;
                self.mark_precise(regno)
            }
            ArgKind::Dynptr => self.process_dynptr_argument(regno, arg),
            ArgKind::ConstStr => self.check_const_str(regno, reg),
            ArgKind::KptrSlot => {
                meta.kptr_field = Some(self.process_kptr_slot(regno)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A dynptr argument.
    pub(in crate::check) fn process_dynptr_argument(&mut self, regno: u8, arg: &ArgType) -> Rule {
        let kind = match (arg.of, arg.is(ArgType::UNINIT)) {
            ("ringbuf", _) => Some(DynptrKind::Ringbuf),
            (_, true) => Some(DynptrKind::Local),
            _ => None,
        };
        self.process_dynptr_arg(
            regno,
            DynptrArg {
                uninit: arg.is(ArgType::UNINIT),
                rdonly: arg.is(ArgType::READ_ONLY),
                kind,
                clone_ref: 0,
            },
        )
    }

    fn note_map(&self, reg: &Reg, meta: &mut CallMeta) -> Rule {
        let Detail::Map { map, uid } = reg.detail else {
            return Ok(());
        };
        if let Some((of_timer, timer_uid)) = meta.map
            && (of_timer, timer_uid) != (map, uid)
        {
            return refuse(
                EINVAL,
                "verifier-timer-map",
                format!(
                    "timer pointer in R1 map_uid={timer_uid} doesn't match map pointer in R2 map_uid={uid}"
                ),
            );
        }
        meta.map = Some((map, uid));
        Ok(())
    }

    fn check_map_key(&mut self, regno: u8, reg: &Reg, meta: &mut CallMeta) -> Rule {
        let Some((map, _)) = meta.map else {
            return refuse(
                EACCES,
                "verifier-no-map",
                "invalid map_ptr to access map->key",
            );
        };
        let info = self.map(map);
        self.check_helper_mem_access(regno, info.key_size, false, false, None)?;
        if matches!(info.map_type, MapType::Array | MapType::PercpuArray)
            && self.platform.profile.at_least(6, 14)
        {
            meta.const_map_key = self.constant_key(reg, info.key_size as usize)?;
        }
        Ok(())
    }

    /// The key, where it lies on the stack as a known number.
    fn constant_key(&mut self, reg: &Reg, size: usize) -> Rule<Option<u64>> {
        let (true, Kind::Stack, Some(variable)) = (self.allow.bpf, reg.kind, reg.num.as_const())
        else {
            return Ok(None);
        };
        let off = i64::from(reg.off).wrapping_add(variable as i64);
        let Some(place) = usize::try_from(-off - 1).ok().filter(|_| off < 0) else {
            return Ok(None);
        };
        let (slot, byte) = (place / 8, place % 8);
        let Some(found) = self
            .state
            .frames
            .get(usize::from(reg.frame))
            .and_then(|frame| frame.stack.get(slot))
        else {
            return Ok(None);
        };
        let run = |sort: SlotByte| {
            found.bytes[..=byte]
                .iter()
                .rev()
                .take_while(|&&is| is == sort)
                .count()
        };
        if run(SlotByte::Zero) >= size {
            return Ok(Some(0));
        }
        if !found.is_scalar_spill() || run(SlotByte::Spill) != size {
            return Ok(None);
        }
        let Some(key) = found.reg.num.as_const() else {
            return Ok(None);
        };
        self.mark_stack_precise(usize::from(reg.frame), slot)?;
        Ok(Some(key))
    }

    /// Whether a map's values have types, without which nothing special lies in them.
    pub fn map_has_types(&self, map: crate::input::MapId) -> bool {
        self.map(map).value_type.is_some() && self.input.program_btf.is_some()
    }

    /// A pointer to a special field of a map's value ("doesn't point to 'struct %s'").
    pub fn check_map_field_pointer(&self, regno: u8, kind: FieldKind) -> Rule {
        let code = "verifier-map-field";
        let reg = self.reg(regno);
        let name = kind.name();
        let Some(map) = reg.map() else {
            return refuse(EFAULT, code, format!("R{regno} is not in a map"));
        };
        let Some(variable) = reg.num.as_const() else {
            return refuse(
                EINVAL,
                code,
                format!(
                    "R{regno} doesn't have constant offset. {name} has to be at the constant offset"
                ),
            );
        };
        let map_name = &self.map(map).name;
        if !self.map_has_types(map) {
            return refuse(
                EINVAL,
                code,
                format!("map '{map_name}' has to have BTF in order to use {name}"),
            );
        }
        let record = self.map_record(map);
        let Some(field) = record.as_ref().and_then(|record| record.first(kind)) else {
            return refuse(
                EINVAL,
                code,
                format!("map '{map_name}' has no valid {name}"),
            );
        };
        let at = (variable as i64).wrapping_add(i64::from(reg.off));
        if at != i64::from(field.offset) {
            return refuse(
                EINVAL,
                code,
                format!(
                    "off {at} doesn't point to 'struct {name}' that is at {}",
                    field.offset
                ),
            );
        }
        Ok(())
    }

    fn process_timer(&mut self, regno: u8, meta: &mut CallMeta) -> Rule {
        self.check_map_field_pointer(regno, FieldKind::Timer)?;
        if let Detail::Map { map, uid } = self.reg(regno).detail {
            meta.map = Some((map, uid));
        }
        Ok(())
    }

    /// A string in a read-only map, with its zero.
    pub fn check_const_str(&mut self, regno: u8, reg: &Reg) -> Rule {
        let code = "verifier-constant-string";
        let Some(map) = reg.map().filter(|_| reg.kind == Kind::MapValue) else {
            return refuse(EINVAL, code, "");
        };
        let info = self.map(map);
        let Some(bytes) = &info.frozen else {
            return refuse(
                EACCES,
                code,
                format!("R{regno} does not point to a readonly map'"),
            );
        };
        let Some(variable) = reg.num.as_const() else {
            return refuse(EACCES, code, format!("R{regno} is not a constant address'"));
        };
        let rest = i64::from(info.value_size) - i64::from(reg.off);
        self.check_map_access(
            regno,
            reg.off,
            u32::try_from(rest).unwrap_or(0),
            false,
            true,
        )?;
        let at = i64::from(reg.off).wrapping_add(variable as i64);
        let text = usize::try_from(at).ok().and_then(|at| bytes.get(at..));
        match text {
            Some(text) if text.contains(&0) => Ok(()),
            Some(_) => refuse(EINVAL, code, "string is not zero-terminated"),
            None => refuse(EINVAL, code, "direct value access on string failed"),
        }
    }

    /// The same for a register by number.
    pub fn check_const_string(&mut self, regno: u8) -> Rule {
        let reg = *self.reg(regno);
        self.check_const_str(regno, &reg)
    }

    /// The constant string that a register points to, without its zero.
    pub(super) fn const_str(&self, regno: u8) -> Option<&[u8]> {
        let reg = self.reg(regno);
        let bytes = self.map(reg.map()?).frozen.as_deref()?;
        let at = i64::from(reg.off).wrapping_add(reg.num.as_const()? as i64);
        let text = bytes.get(usize::try_from(at).ok()?..)?;
        text.iter()
            .position(|&byte| byte == 0)
            .map(|end| &text[..end])
    }

    /// Which offsets a pointer may have that is handed to a helper, kernel function or global function.
    pub fn check_func_arg_reg_off(&self, reg: &Reg, regno: u8, arg: Option<&ArgType>) -> Rule {
        if arg.is_some_and(|arg| arg.is(ArgType::RELEASED)) {
            if reg.kind == Kind::Stack && arg.is_some_and(|arg| arg.kind == ArgKind::Dynptr) {
                return Ok(());
            }
            if reg.off != 0 {
                return refuse(
                    EINVAL,
                    "verifier-release-offset",
                    format!(
                        "R{regno} must have zero offset when passed to release func or trusted arg to kfunc"
                    ),
                );
            }
            return self.check_ptr_off_reg(reg, regno, false);
        }
        let flags = reg.flags.without(Flags::DYNPTR_ANY);
        let free = match reg.kind {
            Kind::Stack
            | Kind::Packet
            | Kind::PacketMeta
            | Kind::MapKey
            | Kind::MapValue
            | Kind::Arena
            | Kind::Scalar => flags == Flags::NONE,
            Kind::Mem => flags == Flags::NONE || flags == Flags::RDONLY || flags == Flags::RINGBUF,
            Kind::Buf => flags == Flags::NONE || flags == Flags::RDONLY,
            _ => false,
        };
        if free {
            return Ok(());
        }
        let fixed = reg.kind == Kind::BtfId
            && [
                Flags::NONE,
                Flags::ALLOC,
                Flags::TRUSTED,
                Flags::RCU,
                Flags::ALLOC.with(Flags::NON_OWN_REF),
                Flags::ALLOC.with(Flags::NON_OWN_REF).with(Flags::RCU),
            ]
            .contains(&flags);
        self.check_ptr_off_reg(reg, regno, fixed)
    }
}
