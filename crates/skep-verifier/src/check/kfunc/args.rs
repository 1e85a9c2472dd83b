//! The arguments of a kfunc call, checked against its prototype.
//!
//! Invariant: what a check learns for the result is in [`Meta`]; the state only changes where an argument is made or
//! ended by the call (dynptrs, iterators, interrupt flags, locks).

use crate::check::dynptr::{Dynptr, DynptrArg};
use crate::check::iter::{IterPlace, IterUse};
use crate::check::kfunc::resolve::{BufSize, Kfunc, Param, Pointer, Shape, SizeAfter, Special};
use crate::check::kfunc::types::is_projection;
use crate::fault::{Fault, Rule};
use crate::input::{BtfIdx, MapId};
use crate::record::{FieldKind, RecordField};
use crate::state::name::type_name;
use crate::state::reg::{Detail, DynptrKind, Flags, Kind, Reg};
use crate::verifier::Verifier;

use skep_btf::TypeId;
use skep_spec::program::{AttachType, ProgramType};

const EINVAL: i32 = 22;
const EACCES: i32 = 13;
/// Arguments that a call can have.
const ARGS_MAX: usize = 5;

/// What the arguments of one kfunc call turned out to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meta {
    /// The reference of an argument; 0: none.
    pub ref_id: u32,
    /// The register that the call releases; 0: none.
    pub release_regno: u8,
    /// Bytes of memory that the result points to.
    pub r0_size: u64,
    pub r0_rdonly: bool,
    /// The one constant argument.
    pub constant: Option<u64>,
    /// The callback.
    pub subprog: u32,
    /// The counted object is owned by the program.
    pub owning_ref: bool,
    /// The type of an object argument.
    pub object: Option<(BtfIdx, u32)>,
    /// The collection.
    pub root: Option<RecordField>,
    /// The initialised dynptr.
    pub dynptr: Option<Dynptr>,
    /// The iterator, unless it is made.
    pub iter: Option<IterPlace>,
    /// The map, and which inner map of an outer one.
    pub map: Option<(MapId, u32)>,
}

/// A refusal with `EINVAL`.
#[cold]
fn refused(line: impl Into<String>) -> Box<Fault> {
    Fault::new(EINVAL, "verifier-kfunc-argument", line)
}

/// Flags that a trusted pointer may have.
const TRUSTED_ANY: Flags = Flags(Flags::ALLOC.0 | Flags::TRUSTED.0 | Flags::NON_OWN_REF.0);

/// The kernel's structure for kinds of pointer that stand for one.
pub(crate) fn kind_struct(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Socket => "sock",
        Kind::SockCommon => "sock_common",
        Kind::TcpSock => "tcp_sock",
        Kind::MapPtr => "bpf_map",
        _ => return None,
    })
}

impl Reg {
    /// Whether it has flags that make it anything but plainly valid.
    fn has_unsafe_flags(&self) -> bool {
        self.flags.without(TRUSTED_ANY) != Flags::NONE
    }

    /// Whether the object that it points to is certainly there, and stays.
    pub fn is_trusted(&self) -> bool {
        if self.ref_id != 0 {
            return true;
        }
        if kind_struct(self.kind).is_some() && !self.has_unsafe_flags() {
            return true;
        }
        self.flags.any(TRUSTED_ANY) && !self.has_unsafe_flags()
    }
}

impl<'i> Verifier<'i> {
    /// Checks all arguments.
    pub(crate) fn check_kfunc_args(&mut self, kfunc: &Kfunc<'i>) -> Rule<Meta> {
        let mut meta = Meta::default();
        let count = kfunc.params.len();
        if count > ARGS_MAX {
            return Err(refused(format!(
                "Function {} has {count} > {ARGS_MAX} args",
                kfunc.name
            )));
        }
        let mut at = 0;
        while at < count {
            let regno = at as u8 + 1;
            match &kfunc.params[at] {
                Param::Ignored | Param::Program => {}
                Param::Scalar { constant, buf_size } => {
                    self.check_kfunc_scalar(&mut meta, regno, *constant, *buf_size)?;
                }
                Param::Unrecognised(kind) => {
                    return Err(refused(format!("Unrecognized arg#{at} type {kind}")));
                }
                Param::Pointer(pointer) => {
                    if self.check_kfunc_pointer(kfunc, &mut meta, at, pointer)? {
                        at += 1;
                    }
                }
            }
            at += 1;
        }
        if kfunc.flags.release && meta.release_regno == 0 {
            return Err(refused(format!(
                "release kernel function {} expects refcounted PTR_TO_BTF_ID",
                kfunc.name
            )));
        }
        Ok(meta)
    }

    fn check_kfunc_scalar(
        &mut self,
        meta: &mut Meta,
        regno: u8,
        constant: bool,
        buf_size: Option<BufSize>,
    ) -> Rule {
        let reg = self.reg(regno);
        if !reg.is_scalar() {
            return Err(refused(format!("R{regno} is not a scalar")));
        }
        let known = reg.as_const();
        if constant {
            let Some(value) = known else {
                return Err(refused(format!("R{regno} must be a known constant")));
            };
            self.mark_precise(regno)?;
            meta.constant = Some(value);
        } else if let Some(size) = buf_size {
            if meta.r0_size != 0 {
                return Err(refused(
                    "2 or more rdonly/rdwr_buf_size parameters for kfunc",
                ));
            }
            let Some(value) = known else {
                return Err(refused(format!("R{regno} is not a const")));
            };
            meta.r0_rdonly = size == BufSize::Rdonly;
            meta.r0_size = value;
            self.mark_precise(regno)?;
        }
        Ok(())
    }

    /// Whether the program is of a kind that may iterate over the tasks of a cgroup's subsystem.
    fn may_iterate_css_tasks(&self) -> bool {
        match self.program_kind() {
            ProgramType::Lsm => true,
            ProgramType::Tracing if self.input.attach_type == Some(AttachType::TraceIter) => true,
            _ => self.in_sleepable(),
        }
    }

    /// Checks a pointer argument; whether the argument after it is its size, and so done too.
    fn check_kfunc_pointer(
        &mut self,
        kfunc: &Kfunc<'i>,
        meta: &mut Meta,
        at: usize,
        pointer: &Pointer<'i>,
    ) -> Rule<bool> {
        let regno = at as u8 + 1;
        let reg = *self.reg(regno);
        let flags = kfunc.flags;
        if (flags.trusted_args || flags.rcu)
            && (reg.is_zero() || reg.maybe_null())
            && !pointer.nullable
        {
            return Err(Fault::new(
                EACCES,
                "verifier-kfunc-null",
                format!("Possibly NULL pointer passed to trusted arg{at}"),
            ));
        }
        if reg.ref_id != 0 {
            meta.ref_id = reg.ref_id;
            if flags.release {
                meta.release_regno = regno;
            }
        }
        let sized =
            pointer.size_after != SizeAfter::No && regno < 5 && self.reg(regno + 1).is_scalar();
        if pointer.shape != Shape::Ctx && pointer.nullable && reg.is_zero() && !sized {
            return Ok(false);
        }
        let wanted = match pointer.shape {
            Shape::Other => self.shape_by_register(kfunc, at, pointer, &reg, sized)?,
            Shape::Map => {
                self.check_kfunc_map(meta, regno, &reg)?;
                Wanted::Struct
            }
            shape => Wanted::Shape(shape),
        };
        if matches!(
            wanted,
            Wanted::Struct | Wanted::Shape(Shape::AllocatedObject)
        ) && (flags.trusted_args || flags.rcu)
            && !reg.is_trusted()
        {
            if !flags.rcu {
                return Err(refused(format!("R{regno} must be referenced or trusted")));
            }
            if !reg.flags.has(Flags::RCU) {
                return Err(refused(format!("R{regno} must be a rcu pointer")));
            }
        }
        self.check_kfunc_arg_offset(&reg, regno, flags.release && reg.ref_id != 0)?;
        match wanted {
            Wanted::Struct => {
                self.check_kfunc_struct(kfunc, at, pointer, &reg)?;
            }
            Wanted::Callback => {
                let Detail::Func { subprog } = reg.detail else {
                    return Err(refused(format!("arg{at} expected pointer to func")));
                };
                meta.subprog = subprog;
            }
            Wanted::Mem => {
                let Some(size) = pointer.size else {
                    return Err(refused(format!(
                        "arg#{at} reference type('{} {}') size cannot be determined: -22",
                        pointer.target_kind, pointer.target_name
                    )));
                };
                self.check_mem_reg(regno, size)?;
            }
            Wanted::MemSize => {
                if !(reg.is_zero() && pointer.optional) {
                    self.check_kfunc_mem_size_reg(regno, regno + 1)
                        .map_err(|fault| {
                            fault.and(format!(
                                "arg#{at} arg#{} memory, len pair leads to invalid memory access",
                                at + 1
                            ))
                        })?;
                }
                if pointer.size_after == SizeAfter::ConstSize {
                    let Some(value) = self.reg(regno + 1).as_const() else {
                        return Err(refused(format!("R{} must be a known constant", regno + 1)));
                    };
                    meta.constant = Some(value);
                }
                return Ok(true);
            }
            Wanted::Shape(shape) => {
                self.check_kfunc_shape(kfunc, meta, at, pointer, &reg, shape)?;
            }
        }
        Ok(false)
    }

    /// What a parameter without a certain shape is, by the register that is given.
    fn shape_by_register(
        &self,
        kfunc: &Kfunc<'i>,
        at: usize,
        pointer: &Pointer<'i>,
        reg: &Reg,
        sized: bool,
    ) -> Rule<Wanted> {
        if reg.kind == Kind::BtfId || kind_struct(reg.kind).is_some() {
            if !pointer.is_struct {
                return Err(refused(format!(
                    "kernel function {} args#{at} pointer type {} {} is not supported",
                    kfunc.name, pointer.target_kind, pointer.target_name
                )));
            }
            return Ok(Wanted::Struct);
        }
        if pointer.is_callback {
            return Ok(Wanted::Callback);
        }
        if !(pointer.is_plain || sized && pointer.is_void) {
            return Err(refused(format!(
                "arg#{at} pointer type {} {} must point to {}scalar, or struct with scalar",
                pointer.target_kind,
                pointer.target_name,
                if sized { "void, " } else { "" }
            )));
        }
        Ok(if sized { Wanted::MemSize } else { Wanted::Mem })
    }

    fn check_kfunc_map(&self, meta: &mut Meta, regno: u8, reg: &Reg) -> Rule {
        let (map, uid) = match reg.detail {
            Detail::Map { map, uid } => (map, uid),
            // Pointers to a `struct bpf_map` are looked at by type.
            Detail::Btf { .. } => return Ok(()),
            _ => return Err(refused(format!("pointer in R{regno} isn't map pointer"))),
        };
        if let Some((other, other_uid)) = meta.map {
            let record = self.map_record(map);
            let has = |kind| record.as_ref().is_some_and(|record| record.has(kind));
            if (other, other_uid) != (map, uid)
                && (has(FieldKind::Workqueue) || has(FieldKind::TaskWork))
            {
                return Err(refused(if has(FieldKind::TaskWork) {
                    format!(
                        "bpf_task_work pointer in R2 map_uid={other_uid} doesn't match map pointer in R3 map_uid={uid}"
                    )
                } else {
                    format!(
                        "workqueue pointer in R1 map_uid={other_uid} doesn't match map pointer in R2 map_uid={uid}"
                    )
                }));
            }
        }
        meta.map = Some((map, uid));
        Ok(())
    }

    /// Which offsets a pointer may have where it is passed.
    fn check_kfunc_arg_offset(&self, reg: &Reg, regno: u8, released: bool) -> Rule {
        if released {
            if reg.off != 0 {
                return Err(refused(format!(
                    "R{regno} must have zero offset when passed to release func or trusted arg to kfunc"
                )));
            }
            return self.check_ptr_off_reg(reg, regno, false);
        }
        match reg.kind {
            Kind::Stack
            | Kind::Packet
            | Kind::PacketMeta
            | Kind::MapKey
            | Kind::MapValue
            | Kind::Arena
            | Kind::Scalar
            | Kind::NotInit => Ok(()),
            Kind::Mem if reg.flags.without(Flags::RDONLY.with(Flags::RINGBUF)) == Flags::NONE => {
                Ok(())
            }
            Kind::Buf if reg.flags.without(Flags::RDONLY) == Flags::NONE => Ok(()),
            Kind::BtfId
                if reg.flags.without(
                    Flags::ALLOC
                        .with(Flags::TRUSTED)
                        .with(Flags::RCU)
                        .with(Flags::NON_OWN_REF),
                ) == Flags::NONE =>
            {
                self.check_ptr_off_reg(reg, regno, true)
            }
            _ => self.check_ptr_off_reg(reg, regno, false),
        }
    }

    fn check_kfunc_struct(
        &self,
        kfunc: &Kfunc<'i>,
        at: usize,
        pointer: &Pointer<'i>,
        reg: &Reg,
    ) -> Rule {
        let stands_for = kind_struct(reg.kind);
        if (reg.kind != Kind::BtfId || reg.has_unsafe_flags() && !reg.flags.has(Flags::RCU))
            && stands_for.is_none()
        {
            let expected = type_name(reg.kind, Flags(reg.flags.0 & TRUSTED_ANY.0));
            return Err(refused(format!(
                "arg#{at} is {} expected {expected} or socket",
                reg.type_name()
            )));
        }
        let kernel = |name| {
            self.input
                .btf(BtfIdx::KERNEL)
                .and_then(|btf| Some((BtfIdx::KERNEL, btf.find(skep_btf::Kind::Struct, name)?.0)))
        };
        let have = match (reg.detail, stands_for) {
            (Detail::Btf { btf, id }, None) => (btf, id),
            (_, Some(name)) => kernel(name).unwrap_or((BtfIdx::KERNEL, 0)),
            _ => (BtfIdx::KERNEL, 0),
        };
        // A `__map` parameter is declared as `void *`.
        let (want, want_name, want_kind) = if pointer.shape == Shape::Map {
            (
                kernel("bpf_map").unwrap_or((BtfIdx::KERNEL, 0)),
                "bpf_map",
                "STRUCT",
            )
        } else {
            (
                (kfunc.btf, pointer.target),
                pointer.target_name,
                pointer.target_kind,
            )
        };
        let resolved = self
            .input
            .btf(have.0)
            .and_then(|types| types.resolve(TypeId(have.1)).ok())
            .map_or(have, |id| (have.0, id.0));
        let have_name = self.btf_type_name(resolved.0, resolved.1);
        let strict =
            kfunc.flags.release && reg.ref_id != 0 || is_no_cast_alias(have_name, want_name);
        let off = if reg.kind == Kind::BtfId { reg.off } else { 0 };
        if self.struct_ids_match(resolved, off as u32, want, strict)
            || is_projection(want_name, have_name)
        {
            return Ok(());
        }
        let have_kind = self.input.btf(resolved.0).map_or("UNKNOWN", |types| {
            crate::check::kfunc::types::kind_word(types, TypeId(resolved.1))
        });
        Err(refused(format!(
            "kernel function {} args#{at} expected pointer to {want_kind} {want_name} but R{} has a pointer to {have_kind} {have_name}",
            kfunc.name,
            at + 1,
        )))
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each kind of argument")]
    fn check_kfunc_shape(
        &mut self,
        kfunc: &Kfunc<'i>,
        meta: &mut Meta,
        at: usize,
        pointer: &Pointer<'i>,
        reg: &Reg,
        shape: Shape,
    ) -> Rule {
        let regno = at as u8 + 1;
        let allocated_root = |what: &str| {
            if !(reg.kind == Kind::MapValue && reg.flags == Flags::NONE || reg.is_plain_allocated())
            {
                return Err(refused(format!("arg#{at} expected pointer to {what}")));
            }
            if reg.is_plain_allocated() && reg.ref_id == 0 {
                return Err(refused("allocated object must be referenced"));
            }
            Ok(())
        };
        let owned_node = || {
            if !reg.is_plain_allocated() {
                return Err(refused(format!(
                    "arg#{at} expected pointer to allocated object"
                )));
            }
            if reg.ref_id == 0 {
                return Err(refused("allocated object must be referenced"));
            }
            Ok(())
        };
        match shape {
            Shape::Ctx => {
                if reg.kind != Kind::Ctx || reg.maybe_null() {
                    return Err(refused(format!(
                        "arg#{at} expected pointer to ctx, but got {}",
                        reg.type_name()
                    )));
                }
            }
            Shape::AllocatedObject => {
                let percpu = Flags::ALLOC.with(Flags::PERCPU);
                if reg.is_plain_allocated() {
                    if !kfunc.is(Special::ObjDrop) {
                        return Err(refused(format!(
                            "arg#{at} expected for bpf_obj_drop_impl()"
                        )));
                    }
                } else if reg.kind == Kind::BtfId && reg.flags == percpu {
                    if !kfunc.is(Special::PercpuObjDrop) {
                        return Err(refused(format!(
                            "arg#{at} expected for bpf_percpu_obj_drop_impl()"
                        )));
                    }
                } else {
                    return Err(refused(format!(
                        "arg#{at} expected pointer to allocated object"
                    )));
                }
                if reg.ref_id == 0 {
                    return Err(refused("allocated object must be referenced"));
                }
                meta.object = object(reg);
            }
            Shape::Dynptr => self.check_kfunc_dynptr(kfunc, meta, regno, pointer, reg)?,
            Shape::Iter => {
                if kfunc.is(Special::IterCssTaskNew) && !self.may_iterate_css_tasks() {
                    return Err(refused(
                        "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs",
                    ));
                }
                let what = kfunc.flags.iter.unwrap_or(IterUse::Other);
                if let Some((place, ref_id)) = self.process_iter_arg(
                    regno,
                    pointer.iter,
                    what,
                    kfunc.flags.rcu_protected,
                    kfunc.name,
                )? {
                    meta.iter = Some(place);
                    meta.ref_id = ref_id;
                }
            }
            Shape::ListHead => {
                allocated_root("map value or allocated object")?;
                meta.root = Some(self.check_graph_root(reg, regno, FieldKind::ListHead)?);
            }
            Shape::RbRoot => {
                allocated_root("map value or allocated object")?;
                meta.root = Some(self.check_graph_root(reg, regno, FieldKind::RbRoot)?);
            }
            Shape::ListNode => {
                owned_node()?;
                if let Some(root) = meta.root {
                    meta.object = Some(self.check_graph_node(reg, regno, root)?);
                }
            }
            Shape::RbNode => {
                if kfunc.is(Special::RbtreeAdd) {
                    owned_node()?;
                } else {
                    if !reg.is_non_owning() && reg.ref_id == 0 {
                        return Err(refused(format!(
                            "{} can only take non-owning or refcounted bpf_rb_node pointer",
                            kfunc.name
                        )));
                    }
                    if self.in_rbtree_callback() {
                        return Err(refused(format!("{} not allowed in rbtree cb", kfunc.name)));
                    }
                }
                if let Some(root) = meta.root {
                    meta.object = Some(self.check_graph_node(reg, regno, root)?);
                }
            }
            Shape::RefcountedKptr => {
                if !reg.is_allocated_object() {
                    return Err(refused(format!(
                        "arg#{at} is neither owning or non-owning ref"
                    )));
                }
                meta.owning_ref = !reg.is_non_owning();
                let counted = self
                    .reg_record(reg)
                    .is_some_and(|record| record.has(FieldKind::Refcount));
                if !counted {
                    return Err(refused(format!(
                        "arg#{at} doesn't point to a type with bpf_refcount field"
                    )));
                }
                meta.object = object(reg);
            }
            Shape::ConstStr => {
                if reg.kind != Kind::MapValue || reg.maybe_null() {
                    return Err(refused(format!("arg#{at} doesn't point to a const string")));
                }
                self.check_const_string(regno)?;
            }
            Shape::Workqueue | Shape::TaskWork => {
                if reg.kind != Kind::MapValue || reg.maybe_null() {
                    return Err(refused(format!("arg#{at} doesn't point to a map value")));
                }
                let kind = if shape == Shape::Workqueue {
                    FieldKind::Workqueue
                } else {
                    FieldKind::TaskWork
                };
                meta.map = Some(self.check_async_field(reg, regno, kind)?);
            }
            Shape::IrqFlag => {
                if reg.kind != Kind::Stack {
                    return Err(refused(format!(
                        "arg#{at} doesn't point to an irq flag on stack"
                    )));
                }
                let save = matches!(
                    kfunc.special,
                    Special::IrqSave | Special::ResSpinLockIrqsave
                );
                self.process_irq_flag(regno, save, kfunc.special.is_res_lock())?;
            }
            Shape::ResSpinLock => {
                if !(reg.kind == Kind::MapValue && reg.flags == Flags::NONE
                    || reg.is_plain_allocated())
                {
                    return Err(refused(format!(
                        "arg#{at} doesn't point to map value or allocated object"
                    )));
                }
                let lock = matches!(
                    kfunc.special,
                    Special::ResSpinLock | Special::ResSpinLockIrqsave
                );
                let irq = matches!(
                    kfunc.special,
                    Special::ResSpinLockIrqsave | Special::ResSpinUnlockIrqrestore
                );
                self.process_res_spin_lock(regno, lock, irq)?;
            }
            Shape::Map | Shape::Other => {}
        }
        Ok(())
    }

    fn check_kfunc_dynptr(
        &mut self,
        kfunc: &Kfunc<'i>,
        meta: &mut Meta,
        regno: u8,
        pointer: &Pointer<'i>,
        reg: &Reg,
    ) -> Rule {
        let mut arg = DynptrArg {
            uninit: pointer.uninit,
            rdonly: reg.kind == Kind::ConstDynptr,
            ..DynptrArg::INITIALIZED
        };
        match kfunc.special {
            Special::DynptrFromSkb => arg.kind = Some(DynptrKind::Skb),
            Special::DynptrFromXdp => arg.kind = Some(DynptrKind::Xdp),
            Special::DynptrFromSkbMeta => arg.kind = Some(DynptrKind::SkbMeta),
            Special::DynptrFromFile => arg.kind = Some(DynptrKind::File),
            Special::DynptrFileDiscard => arg.kind = Some(DynptrKind::File),
            Special::DynptrClone if pointer.uninit => {
                if let Some(parent) = meta.dynptr {
                    arg.kind = Some(parent.kind);
                    arg.clone_ref = parent.ref_id;
                }
            }
            _ => {}
        }
        self.process_dynptr_arg(regno, arg)?;
        if !arg.uninit {
            meta.dynptr = self.dynptr_of(reg);
        }
        Ok(())
    }

    /// A workqueue or task work in a map value: its map.
    fn check_async_field(&self, reg: &Reg, regno: u8, kind: FieldKind) -> Rule<(MapId, u32)> {
        let name = kind.name().strip_prefix("bpf_").unwrap_or(kind.name());
        let what = kind.name();
        let Detail::Map { map, uid } = reg.detail else {
            return Err(refused(format!("R{regno} doesn't point to a map value")));
        };
        let Some(variable) = reg.num.as_const() else {
            return Err(refused(format!(
                "R{regno} doesn't have constant offset. {what} has to be at the constant offset"
            )));
        };
        let info = self.map(map);
        if info.value_type.is_none() || self.input.program_btf.is_none() {
            return Err(refused(format!(
                "map '{}' has to have BTF in order to use {what}",
                info.name
            )));
        }
        let record = self.map_record(map);
        let Some(field) = record.as_ref().and_then(|record| record.first(kind)) else {
            return Err(refused(format!("map '{}' has no valid {what}", info.name)));
        };
        let off = i64::from(reg.off).wrapping_add(variable as i64);
        if off != i64::from(field.offset) {
            return Err(refused(format!(
                "off {off} doesn't point to 'struct {what}' that is at {}",
                field.offset
            )));
        }
        let _ = name;
        Ok((map, uid))
    }
}

/// What an argument has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Shape(Shape),
    Struct,
    Callback,
    Mem,
    MemSize,
}

fn object(reg: &Reg) -> Option<(BtfIdx, u32)> {
    match reg.detail {
        Detail::Btf { btf, id } => Some((btf, id)),
        _ => None,
    }
}

/// Whether one name is the other with `___init`: such a type may not stand for the other.
fn is_no_cast_alias(one: &str, other: &str) -> bool {
    let (long, short) = if one.len() > other.len() {
        (one, other)
    } else {
        (other, one)
    };
    long.strip_suffix("___init") == Some(short)
}
