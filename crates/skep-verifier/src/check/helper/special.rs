//! Helpers with rules of their own, beyond the kinds of their arguments.
//!
//! Invariant: runs after all arguments were checked and before the result is made.

use skep_btf::Ty;
use skep_spec::helper::Helper;
use skep_spec::program::{AttachType, ProgramType};

use super::{format, id};
use crate::check::call::{EACCES, EINVAL};
use crate::check::call_meta::CallMeta;
use crate::fault::{Fault, Rule};
use crate::state::reg::{Detail, DynptrKind, Flags, Kind};
use crate::verifier::Verifier;

/// What a call does besides its result.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effects {
    pub changes_packet: bool,
    /// The result is this CPU's part of an object that the program allocated.
    pub percpu_alloc: bool,
}

#[cold]
fn refuse<T>(errno: i32, code: &'static str, line: &str) -> Rule<T> {
    Err(Fault::new(errno, code, line))
}

impl Verifier<'_> {
    /// The rules of that helper.
    pub(super) fn special(&mut self, helper: &Helper, meta: &mut CallMeta) -> Rule<Effects> {
        let mut effects = Effects::default();
        let map = meta.map.map(|(map, _)| map);
        match helper.id {
            id::TAIL_CALL => self.check_resource_leak(false, true, "tail_call")?,
            id::GET_LOCAL_STORAGE if !self.reg(2).is_zero() => {
                return refuse(
                    EINVAL,
                    "verifier-local-storage-flags",
                    "get_local_storage() doesn't support non-zero flags",
                );
            }
            id::FOR_EACH_MAP_ELEM => {
                let map = self.aux[self.insn_idx].map.flatten().or(map);
                if let Some(map) = map {
                    self.callback_map_elem(meta.subprog, map)?;
                }
            }
            id::TIMER_SET_CALLBACK => self.callback_timer(meta.subprog)?,
            id::FIND_VMA => self.callback_find_vma(meta.subprog)?,
            id::USER_RINGBUF_DRAIN => self.callback_user_ringbuf(meta.subprog)?,
            id::LOOP => {
                self.note_loop_inline(meta.subprog)?;
                self.mark_precise(1)?;
                let depth = self.frame().callback_depth;
                if u64::from(depth) < self.reg(1).num.umax {
                    self.callback_loop(meta.subprog)?;
                } else {
                    self.state.frame_mut().callback_depth = 0;
                    if self.log.level2() {
                        let frame = self.frame().number;
                        self.log.line(format_args!(
                            "frame{frame} bpf_loop iteration limit reached"
                        ));
                    }
                }
            }
            id::SNPRINTF => self.check_snprintf()?,
            id::DYNPTR_FROM_MEM => {
                let reg = self.reg(1);
                if reg.kind != Kind::MapValue || reg.flags != Flags::NONE {
                    let line = format!(
                        "Unsupported reg type {} for bpf_dynptr_from_mem data",
                        reg.type_name()
                    );
                    return refuse(EACCES, "verifier-dynptr-memory", &line);
                }
            }
            id::SET_RETVAL => {
                let place = &self.platform.place;
                if place.program == ProgramType::Lsm
                    && place.attach == Some(AttachType::LsmCgroup)
                    && self.attached_to_void()
                {
                    return refuse(
                        EINVAL,
                        "verifier-void-hook",
                        "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!",
                    );
                }
            }
            id::DYNPTR_DATA => {
                if let Some(dynptr) = self.dynptr_of(self.reg(1)) {
                    meta.dynptr_id = dynptr.id;
                    meta.ref_id = dynptr.ref_id;
                }
            }
            id::DYNPTR_WRITE => {
                let kind = self.dynptr_of(self.reg(1)).map(|dynptr| dynptr.kind);
                effects.changes_packet =
                    matches!(kind, Some(DynptrKind::Skb | DynptrKind::SkbMeta));
            }
            id::PER_CPU_PTR | id::THIS_CPU_PTR => {
                let reg = self.reg(1);
                if reg.flags.has(Flags::RCU) {
                    let is_struct = matches!(reg.detail, Detail::Btf { btf, id } if self
                        .input
                        .btf(btf)
                        .is_some_and(|types| matches!(types.ty(skep_btf::TypeId(id)), Ok(Ty::Struct(_)))));
                    if !is_struct {
                        return refuse(
                            super::super::call::EFAULT,
                            "verifier-percpu-type",
                            "Helper has invalid btf/btf_id in R1",
                        );
                    }
                    effects.percpu_alloc = true;
                }
            }
            _ => {}
        }
        Ok(effects)
    }

    /// `bpf_snprintf`: the format against the number of arguments.
    fn check_snprintf(&self) -> Rule {
        let bytes = self.reg(5).num.bits.value;
        if !bytes.is_multiple_of(8) {
            return refuse(EINVAL, "verifier-format", "");
        }
        let arguments = usize::try_from(bytes / 8).unwrap_or(usize::MAX);
        match self.const_str(3) {
            Some(text) if format::is_valid(text, arguments) => Ok(()),
            _ => refuse(EINVAL, "verifier-format", "Invalid format string"),
        }
    }
}
