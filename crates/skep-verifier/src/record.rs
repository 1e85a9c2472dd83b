//! The special fields of map values and of local types: locks, timers, kernel pointers, list heads and their like.
//!
//! Invariants: fields are sorted by offset and do not overlap; a [`Record`] has at least one field. What a type may not
//! have (two locks, a list without a lock) has no record at all: the kernel refuses such a map or BTF before any program.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use skep_btf::TypeId;

use crate::input::{BtfIdx, Input, MapId};
use crate::verifier::Verifier;

mod parse;
#[cfg(test)]
mod tests;

pub use parse::kernel_type;

/// What a special field is (`enum btf_field_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldKind {
    SpinLock,
    ResSpinLock,
    Timer,
    Workqueue,
    TaskWork,
    Refcount,
    ListHead,
    ListNode,
    RbRoot,
    RbNode,
    /// `__kptr_untrusted`
    KptrUnref,
    /// `__kptr`
    KptrRef,
    /// `__percpu_kptr`
    KptrPercpu,
    /// `__uptr`
    Uptr,
}

/// A set of field kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldKinds(u32);

impl FieldKinds {
    /// None.
    pub const NONE: FieldKinds = FieldKinds(0);
    /// Those that the value of a map may have.
    pub const OF_MAP_VALUES: FieldKinds = FieldKinds::of(&[
        FieldKind::SpinLock,
        FieldKind::ResSpinLock,
        FieldKind::Timer,
        FieldKind::Workqueue,
        FieldKind::TaskWork,
        FieldKind::Refcount,
        FieldKind::ListHead,
        FieldKind::RbRoot,
        FieldKind::KptrUnref,
        FieldKind::KptrRef,
        FieldKind::KptrPercpu,
        FieldKind::Uptr,
    ]);
    /// Those that an allocated object of a local type may have.
    pub const OF_LOCAL_TYPES: FieldKinds = FieldKinds::of(&[
        FieldKind::SpinLock,
        FieldKind::ResSpinLock,
        FieldKind::Refcount,
        FieldKind::ListHead,
        FieldKind::ListNode,
        FieldKind::RbRoot,
        FieldKind::RbNode,
        FieldKind::KptrUnref,
        FieldKind::KptrRef,
        FieldKind::KptrPercpu,
    ]);

    /// These.
    pub const fn of(kinds: &[FieldKind]) -> FieldKinds {
        let mut bits = 0;
        let mut at = 0;
        while at < kinds.len() {
            bits |= 1 << kinds[at] as u32;
            at += 1;
        }
        FieldKinds(bits)
    }

    /// Whether it is one of them.
    pub const fn has(self, kind: FieldKind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, kind: FieldKind) -> FieldKinds {
        FieldKinds(self.0 | 1 << kind as u32)
    }
}

impl FieldKind {
    /// How the kernel's messages call it (`btf_field_type_name`).
    pub const fn name(self) -> &'static str {
        match self {
            FieldKind::SpinLock => "bpf_spin_lock",
            FieldKind::ResSpinLock => "bpf_res_spin_lock",
            FieldKind::Timer => "bpf_timer",
            FieldKind::Workqueue => "bpf_wq",
            FieldKind::TaskWork => "bpf_task_work",
            FieldKind::Refcount => "bpf_refcount",
            FieldKind::ListHead => "bpf_list_head",
            FieldKind::ListNode => "bpf_list_node",
            FieldKind::RbRoot => "bpf_rb_root",
            FieldKind::RbNode => "bpf_rb_node",
            FieldKind::KptrUnref | FieldKind::KptrRef => "kptr",
            FieldKind::KptrPercpu => "percpu_kptr",
            FieldKind::Uptr => "uptr",
        }
    }

    /// Bytes that it takes.
    pub const fn size(self) -> u32 {
        match self {
            FieldKind::SpinLock | FieldKind::ResSpinLock | FieldKind::Refcount => 4,
            FieldKind::Timer | FieldKind::Workqueue | FieldKind::ListHead | FieldKind::RbRoot => 16,
            FieldKind::ListNode => 24,
            FieldKind::RbNode => 32,
            _ => 8,
        }
    }

    /// Where it must be a multiple of.
    pub const fn align(self) -> u32 {
        match self {
            FieldKind::SpinLock | FieldKind::ResSpinLock | FieldKind::Refcount => 4,
            _ => 8,
        }
    }

    /// Whether it is a pointer that programs load and exchange.
    pub const fn is_kptr(self) -> bool {
        matches!(
            self,
            FieldKind::KptrUnref | FieldKind::KptrRef | FieldKind::KptrPercpu
        )
    }

    /// Whether it is the head of a list or the root of a tree.
    pub const fn is_graph_root(self) -> bool {
        matches!(self, FieldKind::ListHead | FieldKind::RbRoot)
    }

    /// Whether it is the node of a list or of a tree.
    pub const fn is_graph_node(self) -> bool {
        matches!(self, FieldKind::ListNode | FieldKind::RbNode)
    }
}

/// One special field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordField {
    pub kind: FieldKind,
    pub offset: u32,
    pub size: u32,
    /// What a kptr or uptr points to; for a list head or tree root the type of its elements.
    pub target: Option<(BtfIdx, u32)>,
    /// For a list head or tree root: where the node lies in its elements.
    pub node_offset: u32,
}

/// The special fields of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub fields: Vec<RecordField>,
    pub kinds: FieldKinds,
}

impl Record {
    /// The field of that kind (any kptr counts as any other) which holds the byte `offset`.
    pub fn find(&self, offset: u32, kind: FieldKind) -> Option<&RecordField> {
        self.field_at(offset)
            .filter(|field| field.kind == kind || field.kind.is_kptr() && kind.is_kptr())
    }

    /// The field which holds the byte `offset`.
    pub fn field_at(&self, offset: u32) -> Option<&RecordField> {
        let after = self.fields.partition_point(|field| field.offset <= offset);
        self.fields[..after]
            .last()
            .filter(|field| offset - field.offset < field.size)
    }

    /// The first field of that kind.
    pub fn first(&self, kind: FieldKind) -> Option<&RecordField> {
        if self.kinds.has(kind) {
            self.fields.iter().find(|field| field.kind == kind)
        } else {
            None
        }
    }

    /// Whether it has a field of that kind.
    pub fn has(&self, kind: FieldKind) -> bool {
        self.kinds.has(kind)
    }

    /// Whether an object with these fields has a collection's node in it.
    pub fn has_graph_node(&self) -> bool {
        self.has(FieldKind::ListNode) || self.has(FieldKind::RbNode)
    }

    /// Whether it has a bpf_spin_lock or a bpf_res_spin_lock.
    pub fn has_lock(&self) -> bool {
        self.has(FieldKind::SpinLock) || self.has(FieldKind::ResSpinLock)
    }
}

/// A type's record, or that it has none.
type Known = Option<Rc<Record>>;

/// The records that were asked for so far.
#[derive(Debug, Default)]
pub struct Records {
    maps: Vec<OnceCell<Known>>,
    types: RefCell<HashMap<(BtfIdx, u32), Known>>,
}

impl Records {
    /// For that input; nothing parsed yet.
    pub fn new(input: &Input) -> Records {
        Records {
            maps: input.maps.iter().map(|_| OnceCell::new()).collect(),
            types: RefCell::default(),
        }
    }
}

impl Verifier<'_> {
    /// The special fields of a map's values.
    pub fn map_record(&self, map: MapId) -> Option<Rc<Record>> {
        self.map_record_ref(map).cloned()
    }

    /// The special fields of a map's values, borrowed.
    pub fn map_record_ref(&self, map: MapId) -> Option<&Rc<Record>> {
        self.records
            .maps
            .get(map.0 as usize)?
            .get_or_init(|| {
                let info = self.map(map);
                let btf = self.input.program_btf.as_deref()?;
                parse::record(self.input, btf, info.value_type?, FieldKinds::OF_MAP_VALUES)
                    .map(Rc::new)
            })
            .as_ref()
    }

    /// The special fields of a local type.
    pub fn type_record(&self, btf: BtfIdx, id: u32) -> Option<Rc<Record>> {
        if btf != BtfIdx::PROGRAM {
            return None;
        }
        if let Some(known) = self.records.types.borrow().get(&(btf, id)) {
            return known.clone();
        }
        let types = self.input.btf(btf)?;
        let record =
            parse::record(self.input, types, TypeId(id), FieldKinds::OF_LOCAL_TYPES).map(Rc::new);
        self.records
            .types
            .borrow_mut()
            .insert((btf, id), record.clone());
        record
    }
}
