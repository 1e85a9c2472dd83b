//! What a helper leaves in r0.
//!
//! Invariant: r1 to r5 are void already; a result that may be null has an id of its own.

use skep_btf::{Ty, TypeId};
use skep_spec::helper::{Helper, RetKind};
use skep_spec::map::MapType;

use super::id;
use crate::check::call::EINVAL;
use crate::check::call_meta::CallMeta;
use crate::fault::{Fault, Rule};
use crate::input::BtfIdx;
use crate::record::FieldKind;
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::state::scalar::Scalar;
use crate::verifier::Verifier;

const MAX_ERRNO: i64 = 4095;

#[cold]
fn misconfigured() -> Box<Fault> {
    Fault::new(
        EINVAL,
        "verifier-no-map",
        "kernel subsystem misconfigured verifier",
    )
}

impl Verifier<'_> {
    /// The embedded engine runs what is proven without looking: the template of a map of maps need not be as long as the
    /// maps that are put there. (Kernels go by the template.)
    fn may_have_fewer_entries(&self, map: crate::input::MapId) -> bool {
        self.platform.profile.only.is_some()
            && self.input.maps.iter().any(|outer| outer.inner == Some(map))
    }

    /// Puts the result into r0.
    pub(super) fn set_result(
        &mut self,
        helper: &Helper,
        meta: &mut CallMeta,
        percpu_alloc: bool,
    ) -> Rule {
        let map = meta.map.map(|(map, _)| map);
        let mut flags = if helper.ret.nullable {
            Flags::MAYBE_NULL
        } else {
            Flags::NONE
        };
        let mut reg = match helper.ret.kind {
            RetKind::Integer => Reg::scalar(self.integer_result(helper, meta)),
            RetKind::Void => Reg::NOT_INIT,
            RetKind::MapValue => {
                let Some((map, uid)) = meta.map else {
                    return Err(misconfigured());
                };
                let info = self.map(map);
                if helper.id == id::MAP_LOOKUP_ELEM
                    && matches!(info.map_type, MapType::Array | MapType::PercpuArray)
                    && meta
                        .const_map_key
                        .is_some_and(|key| key < u64::from(info.max_entries))
                    && !self.may_have_fewer_entries(map)
                {
                    flags = flags.without(Flags::MAYBE_NULL);
                }
                let mut reg = Reg::pointer(Kind::MapValue, flags).to(Detail::Map { map, uid });
                if !flags.has(Flags::MAYBE_NULL)
                    && self.map_record_ref(map).is_some_and(|record| {
                        record.has(FieldKind::SpinLock) || record.has(FieldKind::ResSpinLock)
                    })
                {
                    reg.id = self.new_id();
                }
                reg
            }
            RetKind::Socket => Reg::pointer(Kind::Socket, flags),
            RetKind::SockCommon => Reg::pointer(Kind::SockCommon, flags),
            RetKind::TcpSock => Reg::pointer(Kind::TcpSock, flags),
            RetKind::Record | RetKind::DynptrMem => {
                let ring = if helper.ret.kind == RetKind::Record {
                    Flags::RINGBUF
                } else {
                    Flags::NONE
                };
                Reg::pointer(Kind::Mem, flags.with(ring)).to(Detail::Mem {
                    size: meta.mem_size,
                    dynptr_id: meta.dynptr_id,
                })
            }
            RetKind::Percpu => self.percpu_result(meta, flags, percpu_alloc)?,
            RetKind::Btf => self.object_result(helper, meta, flags)?,
        };
        if reg.maybe_null() {
            reg.id = self.new_id();
        }
        if is_cast(helper.id) || helper.id == id::DYNPTR_DATA {
            reg.ref_id = meta.ref_id;
        } else if self.is_acquiring(helper, map) {
            let at = self.insn_idx;
            reg.id = self.acquire_reference(at);
            reg.ref_id = reg.id;
        }
        self.set_reg(0, reg);
        Ok(())
    }

    /// The bounds of a number that a helper returns.
    fn integer_result(&self, helper: &Helper, meta: &CallMeta) -> Scalar {
        match helper.id {
            id::GET_STACK
            | id::GET_TASK_STACK
            | id::PROBE_READ_STR
            | id::PROBE_READ_KERNEL_STR
            | id::PROBE_READ_USER_STR => {
                let mut num = Scalar::UNKNOWN;
                num.smin = -MAX_ERRNO;
                num.smax = meta.msize_max as i64;
                num.s32_min = -MAX_ERRNO as i32;
                num.s32_max = meta.msize_max as i32;
                num.sync();
                num
            }
            id::GET_SMP_PROCESSOR_ID if self.platform.profile.at_least(6, 4) => {
                Scalar::unsigned_range(0, u64::from(self.input.cpus.max(1)) - 1)
            }
            _ => Scalar::UNKNOWN,
        }
    }

    /// A per-CPU variable's place on one CPU: a kernel object, or plain memory.
    fn percpu_result(&self, meta: &CallMeta, flags: Flags, percpu_alloc: bool) -> Rule<Reg> {
        let Some((btf, id)) = meta.ret_btf else {
            return Err(misconfigured());
        };
        let types = self.input.btf(btf);
        let resolved = types.and_then(|types| types.resolved(TypeId(id)).ok());
        if let Some((_, Ty::Struct(_))) = resolved {
            let flags = if percpu_alloc {
                flags.with(Flags::ALLOC).with(Flags::RCU)
            } else {
                flags
            };
            return Ok(Reg::pointer(Kind::BtfId, flags).to(Detail::Btf { btf, id }));
        }
        let size = match (types, resolved) {
            (Some(types), Some((id, _))) => types.size_of(id).ok(),
            _ => None,
        };
        let Some(size) = size else {
            return Err(Fault::new(
                EINVAL,
                "verifier-percpu-type",
                format!(
                    "unable to resolve the size of type '{}': -22",
                    self.btf_type_name(btf, id)
                ),
            ));
        };
        let flags = flags.with(Flags::RDONLY);
        Ok(Reg::pointer(Kind::Mem, flags).to(Detail::Mem { size, dynptr_id: 0 }))
    }

    /// A kernel object.
    fn object_result(&self, helper: &Helper, meta: &CallMeta, flags: Flags) -> Rule<Reg> {
        if helper.id == id::KPTR_XCHG
            && let Some(field) = &meta.kptr_field
        {
            return Ok(self.exchanged_kptr(field));
        }
        let Some((btf, id)) = self.kernel_struct(helper.ret.of) else {
            return Err(Fault::new(
                EINVAL,
                "verifier-result-type",
                format!(
                    "invalid return type {} of func {}#{}",
                    9, helper.name, helper.id
                ),
            ));
        };
        let flags = match helper.name {
            "bpf_get_current_task_btf" | "bpf_task_pt_regs" => flags.with(Flags::TRUSTED),
            _ => flags,
        };
        debug_assert!(btf == BtfIdx::KERNEL);
        Ok(Reg::pointer(Kind::BtfId, flags).to(Detail::Btf { btf, id: id.0 }))
    }
}

/// Whether the result is the same object as the argument, as another type.
fn is_cast(helper: u32) -> bool {
    matches!(
        helper,
        id::SK_FULLSOCK | id::TCP_SOCK | id::SKC_TO_TCP6_SOCK
            ..=id::SKC_TO_UDP6_SOCK | id::SKC_TO_MPTCP_SOCK
    )
}
