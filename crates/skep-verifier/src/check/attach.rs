//! What a program is attached to, as far as its type tells: the prototype of the function, hook or member.
//!
//! Invariant: answers come from the input's types only; a target that is not described answers as if it had none.

use std::sync::Arc;

use skep_btf::ty::Params;
use skep_btf::{Btf, Kind as BtfKind, Ty, TypeId};

use skep_spec::program::ProgramType;

use crate::input::{AttachTarget, BtfIdx};
use crate::platform::ExitRange;
use crate::verifier::Verifier;

/// A function prototype in one of the input's BTFs.
#[derive(Clone, Copy, Debug)]
pub struct Prototype<'i> {
    pub index: BtfIdx,
    pub btf: &'i Arc<Btf>,
    pub name: &'i str,
    pub ret: TypeId,
    pub params: Params<'i>,
    /// How many of the first parameters the program does not see (a raw tracepoint's data).
    pub skipped: usize,
}

impl<'i> Verifier<'i> {
    /// The prototype of what the program is attached to.
    pub fn attach_prototype(&self) -> Option<Prototype<'i>> {
        match self.input.target.as_ref()? {
            AttachTarget::Btf { btf: index, id } => {
                let btf = self.input.btf(*index)?;
                let name = btf.name(*id);
                match btf.ty(*id).ok()? {
                    Ty::Func { proto, .. } => prototype(*index, btf, name, proto, 0),
                    Ty::Typedef { target, .. } => {
                        let Ty::Ptr { target } = btf.ty(target).ok()? else {
                            return None;
                        };
                        prototype(*index, btf, name, target, 1)
                    }
                    _ => None,
                }
            }
            AttachTarget::StructOps { id, member } => {
                let index = BtfIdx::KERNEL;
                let btf = self.input.btf(index)?;
                let members = btf.ty(*id).ok()?.composite()?.members;
                let member = members.get(*member as usize)?;
                let (_, Ty::Ptr { target }) = btf.resolved(member.ty).ok()? else {
                    return None;
                };
                let (proto, _) = btf.resolved(target).ok()?;
                prototype(index, btf, member.name, proto, 0)
            }
            AttachTarget::Program(target) => {
                let btf = &target.btf;
                match btf.ty(target.function).ok()? {
                    Ty::Func { name, proto, .. } => prototype(BtfIdx::PROGRAM, btf, name, proto, 0),
                    _ => None,
                }
            }
        }
    }

    /// Whether the function that the program stands for returns nothing.
    pub(in crate::check) fn attached_to_void(&self) -> bool {
        self.attach_prototype()
            .is_some_and(|proto| proto.ret == TypeId::VOID)
    }

    /// The struct that the function which the program stands for returns a pointer to.
    pub(in crate::check) fn attached_result_struct(&self) -> Option<(BtfIdx, u32)> {
        let proto = self.attach_prototype()?;
        let (_, Ty::Ptr { target }) = proto.btf.resolved(proto.ret).ok()? else {
            return None;
        };
        let (id, _) = proto.btf.resolved(target).ok()?;
        Some((proto.index, id.0))
    }

    /// What an LSM program may return: what its hook may; hooks without a result are not asked.
    pub(in crate::check) fn lsm_result_range(&self) -> ExitRange {
        let Some(name) = self.attach_prototype().map(|proto| proto.name) else {
            return ExitRange::Ignored;
        };
        let hook = name.strip_prefix("bpf_lsm_").unwrap_or(name);
        match skep_spec::lsm::return_range(hook, self.platform.profile.version) {
            Some((min, max)) => ExitRange::Within(min, max),
            None => ExitRange::Ignored,
        }
    }

    /// The names that the kernel gives to the parameters of a struct_ops member, with what they say of the arguments
    /// (`task__nullable`, `task__ref`): those of the function `STRUCT__MEMBER` that stands in for it.
    pub fn struct_ops_stub(&self) -> Option<Params<'i>> {
        let AttachTarget::StructOps { id, member } = self.input.target.as_ref()? else {
            return None;
        };
        let btf = self.input.btf(BtfIdx::KERNEL)?;
        let ops = btf.ty(*id).ok()?.composite()?;
        let member = ops.members.get(*member as usize)?;
        let stub = btf.find(BtfKind::Func, &format!("{}__{}", ops.name, member.name))?;
        let Ty::Func { proto, .. } = btf.ty(stub).ok()? else {
            return None;
        };
        match btf.ty(proto).ok()? {
            Ty::FuncProto { params, .. } => Some(params),
            _ => None,
        }
    }

    /// Takes the references that a struct_ops program is handed in its context; see `ctx_refs`.
    pub(in crate::check) fn acquire_context_references(&mut self) {
        self.ctx_refs.clear();
        if self.input.program_type != ProgramType::StructOps {
            return;
        }
        let Some(params) = self.struct_ops_stub() else {
            return;
        };
        for (at, param) in params.iter().enumerate() {
            if param.name.ends_with("__ref") {
                let id = self.acquire_reference(0);
                self.ctx_refs.resize(at + 1, 0);
                self.ctx_refs[at] = id;
            }
        }
    }

    /// A struct of the kernel by name.
    pub fn kernel_struct(&self, name: &str) -> Option<(BtfIdx, TypeId)> {
        let id = self
            .input
            .btf(BtfIdx::KERNEL)?
            .find(BtfKind::Struct, name)?;
        Some((BtfIdx::KERNEL, id))
    }
}

fn prototype<'i>(
    index: BtfIdx,
    btf: &'i Arc<Btf>,
    name: &'i str,
    id: TypeId,
    skipped: usize,
) -> Option<Prototype<'i>> {
    match btf.ty(id).ok()? {
        Ty::FuncProto { ret, params } => Some(Prototype {
            index,
            btf,
            name,
            ret,
            params,
            skipped,
        }),
        _ => None,
    }
}
