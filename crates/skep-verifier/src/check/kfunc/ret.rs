//! What a kfunc leaves in r0.

use skep_btf::{Ty, TypeId};

use crate::check::kfunc::args::Meta;
use crate::check::kfunc::resolve::{Kfunc, Ret, Special};
use crate::check::kfunc::types::{context_types, is_scalar_struct};
use crate::fault::{Fault, Rule};
use crate::input::BtfIdx;
use crate::state::reg::{Detail, DynptrKind, Flags, Kind, Reg};
use crate::state::scalar::Scalar;
use crate::verifier::Verifier;

const EINVAL: i32 = 22;
/// The largest object that is allocated for each CPU.
const PERCPU_OBJECT_MAX: u32 = 512;

#[cold]
fn refused(line: impl Into<String>) -> Box<Fault> {
    Fault::new(EINVAL, "verifier-kfunc-result", line)
}

impl<'i> Verifier<'i> {
    /// Puts the result of the call in r0.
    pub(crate) fn set_kfunc_result(&mut self, kfunc: &Kfunc<'i>, meta: &Meta) -> Rule {
        let is_struct = matches!(
            kfunc.ret,
            Ret::Pointer {
                is_struct: true,
                ..
            }
        );
        if kfunc.flags.acquire
            && !is_struct
            && !matches!(
                kfunc.special,
                Special::ObjNew | Special::PercpuObjNew | Special::RefcountAcquire
            )
        {
            return Err(refused(
                "acquire kernel function does not return PTR_TO_BTF_ID",
            ));
        }
        match kfunc.ret {
            Ret::Scalar { size } => {
                let result = if kfunc.special.is_res_lock() {
                    Reg::constant(0)
                } else if size < 8 {
                    Reg::scalar(Scalar::UNKNOWN)
                } else {
                    Reg::UNKNOWN
                };
                self.set_reg(0, result);
            }
            Ret::Pointer { .. } => self.set_kfunc_pointer(kfunc, meta)?,
            Ret::Void | Ret::Other => {}
        }
        Ok(())
    }

    fn set_kfunc_pointer(&mut self, kfunc: &Kfunc<'i>, meta: &Meta) -> Rule {
        let Ret::Pointer {
            target,
            name,
            kind,
            is_struct,
            is_void,
            size,
        } = kfunc.ret
        else {
            return Ok(());
        };
        let mut result = match self.special_result(kfunc, meta)? {
            Some(result) => result,
            None if is_void => Reg::UNKNOWN,
            None if is_struct => {
                let flags = if kfunc.is(Special::GetKmemCache) {
                    Flags::UNTRUSTED
                } else if let Some(place) = meta.iter.filter(|_| kfunc.is_iter_next()) {
                    if self.iter_flags(place).has(Flags::RCU) {
                        Flags::RCU
                    } else {
                        Flags::TRUSTED
                    }
                } else if kfunc.flags.rcu_protected {
                    Flags::RCU
                } else {
                    Flags::NONE
                };
                Reg::pointer(Kind::BtfId, flags).to(Detail::Btf {
                    btf: kfunc.btf,
                    id: target,
                })
            }
            None => {
                let (bytes, rdonly) = match (meta.r0_size, size) {
                    (0, Some(size)) => (u64::from(size), true),
                    (bytes, _) => (bytes, meta.r0_rdonly),
                };
                if bytes == 0 {
                    return Err(refused(format!(
                        "kernel function {} returns pointer type {kind} {name} is not supported",
                        kfunc.name
                    )));
                }
                let mut flags = Flags::NONE;
                if rdonly {
                    flags = flags.with(Flags::RDONLY);
                }
                if kfunc.flags.rcu_protected {
                    flags = flags.with(Flags::RCU);
                }
                Reg {
                    ref_id: meta.ref_id,
                    ..Reg::pointer(Kind::Mem, flags).to(Detail::Mem {
                        size: bytes as u32,
                        dynptr_id: 0,
                    })
                }
            }
        };
        let ret_null =
            kfunc.flags.ret_null && !(kfunc.is(Special::RefcountAcquire) && meta.owning_ref);
        if ret_null {
            result.flags = result.flags.with(Flags::MAYBE_NULL);
            result.id = self.new_id();
        }
        if kfunc.flags.acquire {
            let id = self.acquire_reference(self.insn_idx);
            if ret_null {
                result.id = id;
            }
            result.ref_id = id;
        } else if matches!(name, "bpf_rb_node" | "bpf_list_node") && result.is_allocated_object() {
            result.flags = result.flags.with(self.non_owning_flags(&result));
        }
        if result.id == 0
            && self
                .reg_record(&result)
                .is_some_and(|record| record.has_lock())
        {
            result.id = self.new_id();
        }
        self.set_reg(0, result);
        Ok(())
    }

    /// The results that only certain functions have.
    fn special_result(&mut self, kfunc: &Kfunc<'i>, meta: &Meta) -> Rule<Option<Reg>> {
        Ok(Some(match kfunc.special {
            Special::ObjNew | Special::PercpuObjNew => self.new_object(kfunc, meta)?,
            Special::RefcountAcquire => {
                let (btf, id) = meta.object.unwrap_or((BtfIdx::PROGRAM, 0));
                Reg::pointer(Kind::BtfId, Flags::ALLOC).to(Detail::Btf { btf, id })
            }
            special if (special.is_list() || special.is_rbtree()) && meta.root.is_some() => {
                let Some(root) = meta.root else {
                    return Ok(None);
                };
                self.graph_node_reg(root)
            }
            Special::CastToKernCtx => {
                let id = self.kernel_context_type().ok_or_else(|| {
                    refused(format!(
                        "{} is not supported for this kind of program",
                        kfunc.name
                    ))
                })?;
                Reg::pointer(Kind::BtfId, Flags::TRUSTED).to(Detail::Btf { btf: kfunc.btf, id })
            }
            Special::RdonlyCast => self.rdonly_cast(kfunc, meta)?,
            Special::DynptrSlice | Special::DynptrSliceRdwr => {
                let dynptr = meta.dynptr;
                let of = dynptr.map_or(DynptrKind::Invalid, |dynptr| dynptr.kind);
                let mut flags = of.flag();
                if kfunc.is(Special::DynptrSlice) {
                    flags = flags.with(Flags::RDONLY);
                } else if !self.may_access_packet(true) {
                    return Err(refused("the prog does not allow writes to packet data"));
                }
                Reg::pointer(Kind::Mem, flags).to(Detail::Mem {
                    size: meta.constant.unwrap_or(0) as u32,
                    dynptr_id: dynptr.map_or(0, |dynptr| dynptr.id),
                })
            }
            _ => return Ok(None),
        }))
    }

    /// The type of the kernel's own context.
    fn kernel_context_type(&self) -> Option<u32> {
        let (_, kernel) = context_types(self.program_kind())?;
        let btf = self.input.btf(BtfIdx::KERNEL)?;
        Some(btf.find(skep_btf::Kind::Struct, kernel)?.0)
    }

    fn new_object(&self, kfunc: &Kfunc<'i>, meta: &Meta) -> Rule<Reg> {
        let percpu = kfunc.is(Special::PercpuObjNew);
        let Ok(id) = u32::try_from(meta.constant.unwrap_or(0)) else {
            return Err(refused(
                "local type ID argument must be in range [0, U32_MAX]",
            ));
        };
        let Some(btf) = self.input.btf(BtfIdx::PROGRAM) else {
            return Err(refused("bpf_obj_new/bpf_percpu_obj_new requires prog BTF"));
        };
        let Ok(Ty::Struct(composite)) = btf.ty(TypeId(id)) else {
            return Err(refused(
                "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct",
            ));
        };
        let mut flags = Flags::ALLOC;
        if percpu {
            if composite.size > PERCPU_OBJECT_MAX {
                return Err(refused(format!(
                    "bpf_percpu_obj_new type size ({}) is greater than {PERCPU_OBJECT_MAX}",
                    composite.size
                )));
            }
            if !is_scalar_struct(btf, TypeId(id)) {
                return Err(refused(
                    "bpf_percpu_obj_new type ID argument must be of a struct of scalars",
                ));
            }
            if self.type_record(BtfIdx::PROGRAM, id).is_some() {
                return Err(refused(
                    "bpf_percpu_obj_new type ID argument must not contain special fields",
                ));
            }
            flags = flags.with(Flags::PERCPU);
        }
        Ok(Reg::pointer(Kind::BtfId, flags).to(Detail::Btf {
            btf: BtfIdx::PROGRAM,
            id,
        }))
    }

    fn rdonly_cast(&self, kfunc: &Kfunc<'i>, meta: &Meta) -> Rule<Reg> {
        let wanted = meta.constant.unwrap_or(0);
        let found = self
            .input
            .btf(kfunc.btf)
            .zip(u32::try_from(wanted).ok())
            .and_then(|(btf, id)| Some((id, btf.ty(TypeId(id)).ok()?)));
        match found {
            None => Err(refused(format!(
                "Unknown type ID {} passed to kfunc bpf_rdonly_cast",
                wanted as i64
            ))),
            Some((id, Ty::Struct(_) | Ty::Union(_))) => {
                Ok(Reg::pointer(Kind::BtfId, Flags::UNTRUSTED)
                    .to(Detail::Btf { btf: kfunc.btf, id }))
            }
            Some((_, Ty::Void)) => {
                Ok(
                    Reg::pointer(Kind::Mem, Flags::RDONLY.with(Flags::UNTRUSTED)).to(Detail::Mem {
                        size: 0,
                        dynptr_id: 0,
                    }),
                )
            }
            Some(_) => Err(refused(
                "kfunc bpf_rdonly_cast type ID argument must be of a struct or void",
            )),
        }
    }
}
