//! Finds the special fields of a type: through nested structs and arrays, by the names and tags of their types.
//!
//! Invariant: hostile types cost bounded time: nesting, repetition and the number of fields have limits.

use skep_btf::{Btf, Kind, Ty, TypeId};

use super::{FieldKind, FieldKinds, Record, RecordField};
use crate::input::{BtfIdx, Input};

/// Fields that one type may have (`BTF_FIELDS_MAX`).
const FIELDS_MAX: usize = 11;
/// Structs within structs (`MAX_RESOLVE_DEPTH`).
const DEPTH_MAX: u32 = 32;

/// The special fields among `wanted` of the type; `None` if there are none, or if the kernel refuses the type.
pub fn record(input: &Input, btf: &Btf, id: TypeId, wanted: FieldKinds) -> Option<Record> {
    let mut finder = Finder {
        input,
        btf,
        wanted,
        fields: Vec::new(),
        members_left: 1 << 16,
    };
    finder.outermost(id).ok()?;
    let Finder { mut fields, .. } = finder;
    fields.sort_by_key(|field| field.offset);
    let mut kinds = FieldKinds::NONE;
    for (at, field) in fields.iter().enumerate() {
        if is_unique(field.kind) && kinds.has(field.kind) {
            return None;
        }
        if at > 0 && fields[at - 1].offset + fields[at - 1].size > field.offset {
            return None;
        }
        kinds = kinds.with(field.kind);
    }
    let both_locks = kinds.has(FieldKind::SpinLock) && kinds.has(FieldKind::ResSpinLock);
    let locked = kinds.has(FieldKind::SpinLock) || kinds.has(FieldKind::ResSpinLock);
    let graph = kinds.has(FieldKind::ListHead) || kinds.has(FieldKind::RbRoot);
    let shared = kinds.has(FieldKind::ListNode)
        && kinds.has(FieldKind::RbNode)
        && !kinds.has(FieldKind::Refcount);
    if fields.is_empty() || both_locks || graph && !locked || shared {
        return None;
    }
    Some(Record { fields, kinds })
}

/// Whether a type has at most one of it.
const fn is_unique(kind: FieldKind) -> bool {
    matches!(
        kind,
        FieldKind::SpinLock
            | FieldKind::ResSpinLock
            | FieldKind::Timer
            | FieldKind::Workqueue
            | FieldKind::TaskWork
            | FieldKind::Refcount
    )
}

/// The kernel would refuse the type.
struct Refused;

type Found<T = ()> = Result<T, Refused>;

struct Finder<'a> {
    input: &'a Input,
    btf: &'a Btf,
    wanted: FieldKinds,
    fields: Vec<RecordField>,
    members_left: u32,
}

impl<'a> Finder<'a> {
    fn outermost(&mut self, id: TypeId) -> Found {
        let (id, ty) = self.btf.resolved(id).map_err(|_| Refused)?;
        match ty {
            Ty::Struct(_) => self.within(id, 0, 0),
            Ty::DataSec { vars, .. } => {
                for var in vars.iter() {
                    let Ok(Ty::Var { target, .. }) = self.btf.ty(var.ty) else {
                        continue;
                    };
                    self.member(target, (var.ty, -1), var.offset, Some(var.size), 0)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The members of the struct `id`, which lies at `base`.
    fn within(&mut self, id: TypeId, base: u32, depth: u32) -> Found {
        if depth >= DEPTH_MAX {
            return Err(Refused);
        }
        let Ok(Ty::Struct(composite)) = self.btf.ty(id) else {
            return Ok(());
        };
        for (index, member) in composite.members.iter().enumerate() {
            self.members_left = self.members_left.checked_sub(1).ok_or(Refused)?;
            let Some(offset) = member.byte_offset() else {
                continue;
            };
            let offset = base.checked_add(offset).ok_or(Refused)?;
            self.member(member.ty, (id, index as i32), offset, None, depth)?;
        }
        Ok(())
    }

    /// A member or variable of type `ty` at `offset`; `tagged` is where its declaration tags are.
    fn member(
        &mut self,
        ty: TypeId,
        tagged: (TypeId, i32),
        offset: u32,
        var_size: Option<u32>,
        depth: u32,
    ) -> Found {
        let btf = self.btf;
        let (mut id, mut ty) = btf.resolved(ty).map_err(|_| Refused)?;
        let mut count = 1_u32;
        let mut levels = 0;
        while let Ty::Array { elem, len, .. } = ty {
            count = count.saturating_mul(len);
            levels += 1;
            if levels > DEPTH_MAX {
                return Err(Refused);
            }
            (id, ty) = btf.resolved(elem).map_err(|_| Refused)?;
        }
        if count == 0 {
            return Ok(());
        }
        let first = self.fields.len();
        let size = match ty {
            Ty::Struct(composite) => match kind_by_name(composite.name) {
                Some(kind) if self.wanted.has(kind) => {
                    if composite.size != kind.size() {
                        return Ok(());
                    }
                    if let Some(var_size) = var_size
                        && u64::from(var_size) != u64::from(composite.size) * u64::from(count)
                    {
                        return Ok(());
                    }
                    if !offset.is_multiple_of(kind.align()) {
                        return Err(Refused);
                    }
                    let (target, node_offset) = if kind.is_graph_root() {
                        match self.contained(tagged, kind)? {
                            Some((target, node)) => (Some((BtfIdx::PROGRAM, target)), node),
                            None => return Ok(()),
                        }
                    } else {
                        (None, 0)
                    };
                    self.add(kind, offset, target, node_offset)?;
                    composite.size
                }
                Some(_) => return Ok(()),
                None => {
                    self.within(id, offset, depth + 1)?;
                    composite.size
                }
            },
            Ty::Ptr { target } => {
                let Some((kind, target)) = self.kptr(target)? else {
                    return Ok(());
                };
                if !self.wanted.has(kind) {
                    return Ok(());
                }
                if !offset.is_multiple_of(8) {
                    return Err(Refused);
                }
                self.add(kind, offset, Some(target), 0)?;
                8
            }
            _ => return Ok(()),
        };
        self.repeat(first, count, size)
    }

    fn add(
        &mut self,
        kind: FieldKind,
        offset: u32,
        target: Option<(BtfIdx, u32)>,
        node_offset: u32,
    ) -> Found {
        // Whoever adds a field's size to its offset must not overflow.
        if self.fields.len() >= FIELDS_MAX || offset.checked_add(kind.size()).is_none() {
            return Err(Refused);
        }
        self.fields.push(RecordField {
            kind,
            offset,
            size: kind.size(),
            target,
            node_offset,
        });
        Ok(())
    }

    /// The fields from `first` on are those of an array's first element: adds the other elements'.
    fn repeat(&mut self, first: usize, count: u32, size: u32) -> Found {
        let fields = self.fields.len() - first;
        if count <= 1 || fields == 0 {
            return Ok(());
        }
        if self.fields[first..]
            .iter()
            .any(|field| is_unique(field.kind) || field.kind.is_graph_node())
        {
            return Err(Refused);
        }
        for element in 1..count {
            for at in first..first + fields {
                let field = self.fields[at];
                let offset = u64::from(field.offset) + u64::from(element) * u64::from(size);
                let offset = u32::try_from(offset).map_err(|_| Refused)?;
                self.add(field.kind, offset, field.target, field.node_offset)?;
            }
        }
        Ok(())
    }

    /// What a pointer to `target` is, by its type tag.
    fn kptr(&self, target: TypeId) -> Found<Option<(FieldKind, (BtfIdx, u32))>> {
        let Ok(Ty::TypeTag {
            value,
            target,
            attribute: false,
        }) = self.btf.ty(target)
        else {
            return Ok(None);
        };
        if matches!(
            self.btf.ty(target),
            Ok(Ty::TypeTag {
                attribute: false,
                ..
            })
        ) {
            return Err(Refused);
        }
        let kind = match value {
            "kptr_untrusted" => FieldKind::KptrUnref,
            "kptr" => FieldKind::KptrRef,
            "percpu_kptr" => FieldKind::KptrPercpu,
            "uptr" => FieldKind::Uptr,
            _ => return Err(Refused),
        };
        if !self.wanted.has(kind) {
            return Ok(None);
        }
        let (id, ty) = self.btf.resolved(target).map_err(|_| Refused)?;
        let word = match ty {
            Ty::Struct(_) => Kind::Struct,
            Ty::Union(_) => Kind::Union,
            Ty::Fwd { union: false, .. } if kind != FieldKind::Uptr => Kind::Fwd,
            _ => return Err(Refused),
        };
        if kind == FieldKind::Uptr {
            return Ok(Some((kind, (BtfIdx::PROGRAM, id.0))));
        }
        let name = self.btf.name(id);
        let target = kernel_type(self.input, word, name).unwrap_or((BtfIdx::PROGRAM, id.0));
        Ok(Some((kind, target)))
    }

    /// The element type and the node's offset that the `contains:` tag of a list head or tree root names.
    fn contained(&self, tagged: (TypeId, i32), kind: FieldKind) -> Found<Option<(u32, u32)>> {
        let mut tag = None;
        for id in self.btf.tags(tagged.0) {
            if let Ok(Ty::DeclTag {
                value, component, ..
            }) = self.btf.ty(id)
                && component == tagged.1
                && let Some(value) = value.strip_prefix("contains:")
                && tag.replace(value).is_some()
            {
                return Err(Refused);
            }
        }
        let Some(tag) = tag else {
            return Ok(None);
        };
        let (element, node) = tag.split_once(':').ok_or(Refused)?;
        if node.is_empty() {
            return Err(Refused);
        }
        let element = self.btf.find(Kind::Struct, element).ok_or(Refused)?;
        let composite = self.btf.composite(element).map_err(|_| Refused)?;
        let node_type = if kind == FieldKind::ListHead {
            "bpf_list_node"
        } else {
            "bpf_rb_node"
        };
        let member = composite
            .members
            .iter()
            .find(|member| member.name == node)
            .ok_or(Refused)?;
        if !matches!(self.btf.ty(member.ty), Ok(Ty::Struct(_)))
            || self.btf.name(member.ty) != node_type
        {
            return Err(Refused);
        }
        let offset = member.byte_offset().ok_or(Refused)?;
        if !offset.is_multiple_of(8) {
            return Err(Refused);
        }
        Ok(Some((element.0, offset)))
    }
}

/// The special field that a struct of that name is.
fn kind_by_name(name: &str) -> Option<FieldKind> {
    Some(match name {
        "bpf_spin_lock" => FieldKind::SpinLock,
        "bpf_res_spin_lock" => FieldKind::ResSpinLock,
        "bpf_timer" => FieldKind::Timer,
        "bpf_wq" => FieldKind::Workqueue,
        "bpf_task_work" => FieldKind::TaskWork,
        "bpf_refcount" => FieldKind::Refcount,
        "bpf_list_head" => FieldKind::ListHead,
        "bpf_list_node" => FieldKind::ListNode,
        "bpf_rb_root" => FieldKind::RbRoot,
        "bpf_rb_node" => FieldKind::RbNode,
        _ => return None,
    })
}

/// The kernel's (or a module's) type of that kind and name.
pub fn kernel_type(input: &Input, kind: Kind, name: &str) -> Option<(BtfIdx, u32)> {
    if name.is_empty() {
        return None;
    }
    for (index, btf) in input.btfs.iter().enumerate() {
        let found = if index == 0 {
            btf.find(kind, name)
        } else {
            btf.own_named(name)
                .into_iter()
                .find(|&id| btf.kind(id) == Ok(kind))
        };
        if let Some(id) = found {
            return Some((BtfIdx(index as u16), id.0));
        }
    }
    None
}
