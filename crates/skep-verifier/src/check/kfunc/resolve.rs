//! What a kfunc is: its prototype by BTF, read once, with what names and suffixes of its parameters mean.
//!
//! Invariant: nothing here depends on a state; a program's kfuncs are resolved before its first instruction is walked.

use std::collections::HashMap;
use std::rc::Rc;

use skep_btf::{Btf, Ty, TypeId};
use skep_spec::insn::Insn;
use skep_spec::program::ProgramType;

use crate::check::iter::{IterType, IterUse};
use crate::check::kfunc::facts;
use crate::check::kfunc::types::{is_context, is_scalar, is_scalar_struct, kind_word};
use crate::fault::{Fault, Rule};
use crate::input::BtfIdx;
use crate::verifier::Verifier;

const EINVAL: i32 = 22;
const E2BIG: i32 = 7;
/// Kfuncs that one program may call.
const KFUNCS_MAX: usize = 256;

macro_rules! special {
    ($($variant:ident = $($name:literal)|+;)*) => {
        /// The kernel's own functions that rules know by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Special {
            None,
            $($variant,)*
        }

        impl Special {
            fn by_name(name: &str) -> Special {
                match name {
                    $($($name)|+ => Special::$variant,)*
                    _ => Special::None,
                }
            }
        }
    };
}

special! {
    ObjNew = "bpf_obj_new_impl" | "bpf_obj_new";
    ObjDrop = "bpf_obj_drop_impl" | "bpf_obj_drop";
    RefcountAcquire = "bpf_refcount_acquire_impl" | "bpf_refcount_acquire";
    PercpuObjNew = "bpf_percpu_obj_new_impl" | "bpf_percpu_obj_new";
    PercpuObjDrop = "bpf_percpu_obj_drop_impl" | "bpf_percpu_obj_drop";
    ListPushFront = "bpf_list_push_front_impl" | "bpf_list_push_front";
    ListPushBack = "bpf_list_push_back_impl" | "bpf_list_push_back";
    ListPopFront = "bpf_list_pop_front";
    ListPopBack = "bpf_list_pop_back";
    ListFront = "bpf_list_front";
    ListBack = "bpf_list_back";
    RbtreeAdd = "bpf_rbtree_add_impl" | "bpf_rbtree_add";
    RbtreeRemove = "bpf_rbtree_remove";
    RbtreeFirst = "bpf_rbtree_first";
    RbtreeRoot = "bpf_rbtree_root";
    RbtreeLeft = "bpf_rbtree_left";
    RbtreeRight = "bpf_rbtree_right";
    CastToKernCtx = "bpf_cast_to_kern_ctx";
    RdonlyCast = "bpf_rdonly_cast";
    RcuReadLock = "bpf_rcu_read_lock";
    RcuReadUnlock = "bpf_rcu_read_unlock";
    PreemptDisable = "bpf_preempt_disable";
    PreemptEnable = "bpf_preempt_enable";
    IrqSave = "bpf_local_irq_save";
    IrqRestore = "bpf_local_irq_restore";
    ResSpinLock = "bpf_res_spin_lock";
    ResSpinUnlock = "bpf_res_spin_unlock";
    ResSpinLockIrqsave = "bpf_res_spin_lock_irqsave";
    ResSpinUnlockIrqrestore = "bpf_res_spin_unlock_irqrestore";
    DynptrFromSkb = "bpf_dynptr_from_skb";
    DynptrFromXdp = "bpf_dynptr_from_xdp";
    DynptrFromSkbMeta = "bpf_dynptr_from_skb_meta";
    DynptrFromFile = "bpf_dynptr_from_file";
    DynptrFileDiscard = "bpf_dynptr_file_discard";
    DynptrSlice = "bpf_dynptr_slice";
    DynptrSliceRdwr = "bpf_dynptr_slice_rdwr";
    DynptrClone = "bpf_dynptr_clone";
    XdpPullData = "bpf_xdp_pull_data";
    Throw = "bpf_throw";
    WqSetCallback = "bpf_wq_set_callback_impl" | "bpf_wq_set_callback";
    TaskWorkAdd = "bpf_task_work_schedule_signal" | "bpf_task_work_schedule_signal_impl"
        | "bpf_task_work_schedule_resume" | "bpf_task_work_schedule_resume_impl";
    IterCssTaskNew = "bpf_iter_css_task_new";
    IterNumNew = "bpf_iter_num_new";
    IterNumNext = "bpf_iter_num_next";
    IterNumDestroy = "bpf_iter_num_destroy";
    SessionCookie = "bpf_session_cookie";
    GetKmemCache = "bpf_get_kmem_cache";
    ArenaAllocPages = "bpf_arena_alloc_pages";
    ArenaFreePages = "bpf_arena_free_pages";
    ArenaReservePages = "bpf_arena_reserve_pages";
    StreamVprintk = "bpf_stream_vprintk" | "bpf_stream_vprintk_impl";
    Trap = "__bpf_trap";
}

impl Special {
    /// Adds to a list or tree.
    pub(crate) const fn adds_to_graph(self) -> bool {
        matches!(
            self,
            Special::ListPushFront | Special::ListPushBack | Special::RbtreeAdd
        )
    }

    /// Uses a list.
    pub(crate) const fn is_list(self) -> bool {
        matches!(
            self,
            Special::ListPushFront
                | Special::ListPushBack
                | Special::ListPopFront
                | Special::ListPopBack
                | Special::ListFront
                | Special::ListBack
        )
    }

    /// Uses a tree.
    pub(crate) const fn is_rbtree(self) -> bool {
        matches!(
            self,
            Special::RbtreeAdd
                | Special::RbtreeRemove
                | Special::RbtreeFirst
                | Special::RbtreeRoot
                | Special::RbtreeLeft
                | Special::RbtreeRight
        )
    }

    /// Takes or gives back a `bpf_res_spin_lock`.
    pub(crate) const fn is_res_lock(self) -> bool {
        matches!(
            self,
            Special::ResSpinLock
                | Special::ResSpinUnlock
                | Special::ResSpinLockIrqsave
                | Special::ResSpinUnlockIrqrestore
        )
    }

    /// May be called while a spin lock is held.
    pub(crate) const fn is_allowed_under_lock(self) -> bool {
        self.is_list()
            || self.is_rbtree()
            || self.is_res_lock()
            || matches!(
                self,
                Special::IterNumNew
                    | Special::IterNumNext
                    | Special::IterNumDestroy
                    | Special::RefcountAcquire
                    | Special::ArenaAllocPages
                    | Special::ArenaFreePages
                    | Special::ArenaReservePages
                    | Special::StreamVprintk
            )
    }
}

/// What the kernel declares about a kfunc (`KF_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KfuncFlags {
    pub acquire: bool,
    pub release: bool,
    pub ret_null: bool,
    pub trusted_args: bool,
    pub sleepable: bool,
    pub destructive: bool,
    pub rcu: bool,
    pub rcu_protected: bool,
    pub iter: Option<IterUse>,
}

/// What a scalar parameter means for the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BufSize {
    Rdonly,
    Rdwr,
}

/// What kind of pointer a parameter is, by its type and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Ctx,
    AllocatedObject,
    RefcountedKptr,
    Dynptr,
    Iter,
    ListHead,
    ListNode,
    RbRoot,
    RbNode,
    ConstStr,
    Map,
    Workqueue,
    TaskWork,
    IrqFlag,
    ResSpinLock,
    /// Whatever the register turns out to be.
    Other,
}

/// Whether the next parameter is this one's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SizeAfter {
    No,
    Size,
    ConstSize,
}

/// A pointer parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pointer<'i> {
    pub nullable: bool,
    pub uninit: bool,
    pub optional: bool,
    pub shape: Shape,
    /// What it points to, modifiers stripped.
    pub target: u32,
    pub target_name: &'i str,
    pub target_kind: &'static str,
    /// Or a union.
    pub is_struct: bool,
    pub is_void: bool,
    pub is_callback: bool,
    /// A number, or a structure of numbers.
    pub is_plain: bool,
    /// Bytes of what it points to.
    pub size: Option<u32>,
    pub size_after: SizeAfter,
    /// For an iterator.
    pub iter: Option<IterType<'i>>,
}

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Param<'i> {
    Ignored,
    /// The program's own `bpf_prog_aux`, which the kernel fills in.
    Program,
    Scalar {
        constant: bool,
        buf_size: Option<BufSize>,
    },
    Unrecognised(&'static str),
    Pointer(Pointer<'i>),
}

/// What comes back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ret<'i> {
    Void,
    Scalar {
        size: u32,
    },
    Pointer {
        target: u32,
        name: &'i str,
        kind: &'static str,
        is_struct: bool,
        is_void: bool,
        size: Option<u32>,
    },
    Other,
}

/// One kfunc.
#[derive(Debug)]
pub(crate) struct Kfunc<'i> {
    pub name: &'i str,
    pub btf: BtfIdx,
    pub id: u32,
    pub special: Special,
    pub flags: KfuncFlags,
    pub params: Vec<Param<'i>>,
    pub ret: Ret<'i>,
    pub allowed: bool,
}

impl Kfunc<'_> {
    /// Whether it is that one of the kernel's own.
    pub(crate) fn is(&self, special: Special) -> bool {
        self.special == special
    }
}

/// The kfuncs of one program.
#[derive(Debug, Default)]
pub(crate) struct Kfuncs<'i> {
    known: HashMap<(i16, i32), Rc<Kfunc<'i>>>,
}

impl<'i> Kfuncs<'i> {
    /// The one that the instruction calls.
    pub(crate) fn of(&self, insn: Insn) -> Option<&Rc<Kfunc<'i>>> {
        self.known.get(&(insn.off, insn.imm))
    }
}

impl<'i> Verifier<'i> {
    /// Resolves the kfunc that an instruction calls, and refuses a call that names none.
    pub(crate) fn resolve_call(&mut self, insn: Insn) -> Rule {
        // A weak function that the kernel does not have: refused only if it is still there at the end.
        if insn.imm != 0 {
            self.kfunc_of(insn)?;
        }
        Ok(())
    }

    /// The kfunc that the instruction calls.
    pub(crate) fn kfunc_of(&mut self, insn: Insn) -> Rule<Rc<Kfunc<'i>>> {
        if let Some(known) = self.kfuncs.of(insn) {
            return Ok(Rc::clone(known));
        }
        let kfunc = Rc::new(self.resolve_kfunc(insn)?);
        if self.kfuncs.known.len() >= KFUNCS_MAX {
            return Err(Fault::new(
                E2BIG,
                "verifier-kfunc-count",
                "too many different kernel function calls",
            ));
        }
        self.kfuncs
            .known
            .insert((insn.off, insn.imm), Rc::clone(&kfunc));
        Ok(kfunc)
    }

    fn resolve_kfunc(&self, insn: Insn) -> Rule<Kfunc<'i>> {
        let refused = |errno, line: String| Err(Fault::new(errno, "verifier-kfunc", line));
        let input = self.input;
        let kernel = input.btf(BtfIdx::KERNEL);
        if kernel.is_none() {
            return refused(
                524,
                "calling kernel function is not supported without CONFIG_DEBUG_INFO_BTF".into(),
            );
        }
        if !self.platform.place.gpl {
            return refused(
                EINVAL,
                "cannot call kernel function from non-GPL compatible program".into(),
            );
        }
        let Ok(index) = u16::try_from(insn.off) else {
            return refused(
                EINVAL,
                "negative offset disallowed for kernel module function call".into(),
            );
        };
        let index = BtfIdx(index);
        let Some(btf) = input.btfs.get(usize::from(index.0)) else {
            return refused(EINVAL, "failed to find BTF for kernel function".into());
        };
        let id = insn.imm as u32;
        let Ok(Ty::Func { name, proto, .. }) = btf.ty(TypeId(id)) else {
            return refused(EINVAL, format!("kernel btf_id {id} is not a function"));
        };
        let Ok(Ty::FuncProto { ret, params }) = btf.ty(proto) else {
            return refused(
                EINVAL,
                format!("kernel function btf_id {id} does not have a valid func_proto"),
            );
        };
        if name.starts_with("bpf_xdp_metadata_rx_")
            && input.flags & skep_spec::program::flags::XDP_DEV_BOUND_ONLY == 0
        {
            return refused(
                EINVAL,
                "metadata kfuncs require device-bound program".into(),
            );
        }
        let special = if index == BtfIdx::KERNEL {
            Special::by_name(name)
        } else {
            Special::None
        };
        let (flags, allowed) = facts::of(name, &self.platform);
        let program = self.program_kind();
        let described = (0..params.len())
            .map(|at| {
                let reader = Reader {
                    btf,
                    index,
                    program,
                    special,
                    flags,
                };
                let after = params.get(at + 1).map(|param| (param.name, param.ty));
                params.get(at).map_or(Param::Ignored, |param| {
                    reader.param(at, param.name, param.ty, after)
                })
            })
            .collect();
        Ok(Kfunc {
            name,
            btf: index,
            id,
            special,
            flags,
            params: described,
            ret: result(btf, ret),
            allowed,
        })
    }
}

fn result<'i>(btf: &'i Btf, id: TypeId) -> Ret<'i> {
    let Ok((id, ty)) = btf.resolved(id) else {
        return Ret::Other;
    };
    match ty {
        Ty::Void => Ret::Void,
        Ty::Ptr { target } => {
            let target = btf.resolve(target).unwrap_or(TypeId::VOID);
            Ret::Pointer {
                target: target.0,
                name: btf.name(target),
                kind: kind_word(btf, target),
                is_struct: matches!(btf.ty(target), Ok(Ty::Struct(_))),
                is_void: target == TypeId::VOID,
                size: btf.size_of(target).ok(),
            }
        }
        _ if is_scalar(btf, id) => Ret::Scalar {
            size: btf.size_of(id).unwrap_or(8),
        },
        _ => Ret::Other,
    }
}

/// Reads parameters.
struct Reader<'i> {
    btf: &'i Btf,
    index: BtfIdx,
    program: ProgramType,
    special: Special,
    flags: KfuncFlags,
}

impl<'i> Reader<'i> {
    fn param(
        &self,
        at: usize,
        name: &'i str,
        ty: TypeId,
        after: Option<(&'i str, TypeId)>,
    ) -> Param<'i> {
        let btf = self.btf;
        if has_suffix(name, "__ign") {
            return Param::Ignored;
        }
        if has_suffix(name, "__prog") {
            return Param::Program;
        }
        let Ok((id, resolved)) = btf.resolved(ty) else {
            return Param::Unrecognised("UNKNOWN");
        };
        if is_scalar(btf, id) {
            return Param::Scalar {
                constant: has_suffix(name, "__k"),
                buf_size: match name {
                    "rdonly_buf_size" => Some(BufSize::Rdonly),
                    "rdwr_buf_size" => Some(BufSize::Rdwr),
                    _ => None,
                },
            };
        }
        let Ty::Ptr { target: pointee } = resolved else {
            return Param::Unrecognised(kind_word(btf, id));
        };
        let target = btf.resolve(pointee).unwrap_or(TypeId::VOID);
        let target_name = btf.name(target);
        let is_struct = matches!(btf.ty(target), Ok(Ty::Struct(_)));
        let size_after = match after {
            Some((after, ty)) if btf.resolve(ty).is_ok_and(|id| is_scalar(btf, id)) => {
                if has_suffix(after, "__szk") {
                    SizeAfter::ConstSize
                } else if has_suffix(after, "__sz") {
                    SizeAfter::Size
                } else {
                    SizeAfter::No
                }
            }
            _ => SizeAfter::No,
        };
        let is_iter = match self.flags.iter {
            Some(IterUse::New | IterUse::Next | IterUse::Destroy) => at == 0,
            _ => has_suffix(name, "__iter"),
        };
        let shape = if matches!(
            self.special,
            Special::CastToKernCtx | Special::SessionCookie
        ) || is_context(btf, pointee, self.program)
        {
            Shape::Ctx
        } else if has_suffix(name, "__alloc") {
            Shape::AllocatedObject
        } else if has_suffix(name, "__refcounted_kptr") {
            Shape::RefcountedKptr
        } else if is_struct && matches!(target_name, "bpf_dynptr_kern" | "bpf_dynptr") {
            Shape::Dynptr
        } else if is_iter {
            Shape::Iter
        } else if is_struct && target_name == "bpf_list_head" {
            Shape::ListHead
        } else if is_struct && target_name == "bpf_list_node" {
            Shape::ListNode
        } else if is_struct && target_name == "bpf_rb_root" {
            Shape::RbRoot
        } else if is_struct && target_name == "bpf_rb_node" {
            Shape::RbNode
        } else if has_suffix(name, "__str") {
            Shape::ConstStr
        } else if has_suffix(name, "__map") {
            Shape::Map
        } else if is_struct && target_name == "bpf_wq" {
            Shape::Workqueue
        } else if is_struct && target_name == "bpf_task_work" {
            Shape::TaskWork
        } else if has_suffix(name, "__irq_flag") {
            Shape::IrqFlag
        } else if is_struct && target_name == "bpf_res_spin_lock" {
            Shape::ResSpinLock
        } else {
            Shape::Other
        };
        Param::Pointer(Pointer {
            nullable: has_suffix(name, "__nullable"),
            uninit: has_suffix(name, "__uninit"),
            optional: has_suffix(name, "__opt"),
            shape,
            target: target.0,
            target_name,
            target_kind: kind_word(btf, target),
            is_struct: btf.kind(target).is_ok_and(|kind| kind.is_composite()),
            is_void: target == TypeId::VOID,
            is_callback: matches!(btf.ty(target), Ok(Ty::FuncProto { .. })),
            is_plain: is_scalar(btf, target) || is_scalar_struct(btf, target),
            size: btf.size_of(target).ok(),
            size_after,
            iter: if is_iter { self.iter(target) } else { None },
        })
    }

    fn iter(&self, id: TypeId) -> Option<IterType<'i>> {
        let Ok(Ty::Struct(composite)) = self.btf.ty(id) else {
            return None;
        };
        let name = composite.name.strip_prefix("bpf_iter_")?;
        if composite.size == 0 || !composite.size.is_multiple_of(8) {
            return None;
        }
        Some(IterType {
            btf: self.index,
            id: id.0,
            slots: composite.size as usize / 8,
            name,
        })
    }
}

/// Whether something stands before the suffix of a parameter's name.
fn has_suffix(name: &str, suffix: &str) -> bool {
    name.len() > suffix.len() && name.ends_with(suffix)
}
