//! Lists and trees of allocated objects: which object goes where, who owns it, and which lock must be held.
//!
//! Invariant: after an object was added to a collection every register that held its reference is a non-owning one,
//! which ends with the lock; collections are only used under the lock in the same allocation.

use std::rc::Rc;

use skep_btf::TypeId;

use crate::fault::{Fault, Rule};
use crate::input::BtfIdx;
use crate::record::{FieldKind, Record, RecordField};
use crate::state::held::HeldKind;
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::verifier::Verifier;

#[cfg(test)]
mod tests;

const EINVAL: i32 = 22;

impl Reg {
    /// A pointer to an object that the program allocated (`PTR_TO_BTF_ID | MEM_ALLOC`, with whatever else).
    pub fn is_allocated_object(&self) -> bool {
        self.kind == Kind::BtfId && self.flags.has(Flags::ALLOC)
    }

    /// One whose owner is a collection.
    pub fn is_non_owning(&self) -> bool {
        self.is_allocated_object() && self.flags.has(Flags::NON_OWN_REF)
    }

    /// Exactly `PTR_TO_BTF_ID | MEM_ALLOC`.
    pub fn is_plain_allocated(&self) -> bool {
        self.kind == Kind::BtfId && self.flags == Flags::ALLOC
    }
}

impl Verifier<'_> {
    /// The special fields of what a register points to.
    pub fn reg_record(&self, reg: &Reg) -> Option<Rc<Record>> {
        match reg.detail {
            Detail::Map { map, .. } if reg.kind == Kind::MapValue => self.map_record(map),
            Detail::Btf { btf, id } if reg.is_allocated_object() => self.type_record(btf, id),
            _ => None,
        }
    }

    /// The offset of a pointer to a special field, which must be constant.
    fn constant_field_offset(&self, reg: &Reg, regno: u8, what: &str) -> Rule<u32> {
        let Some(variable) = reg.num.as_const() else {
            return Err(Fault::new(
                EINVAL,
                "verifier-graph-offset",
                format!(
                    "R{regno} doesn't have constant offset. {what} has to be at the constant offset"
                ),
            ));
        };
        Ok((i64::from(reg.off).wrapping_add(variable as i64)) as u32)
    }

    /// Checks the head of a list or the root of a tree: its place, and that its lock is held.
    pub(crate) fn check_graph_root(
        &mut self,
        reg: &Reg,
        regno: u8,
        kind: FieldKind,
    ) -> Rule<RecordField> {
        let what = kind.name();
        let off = self.constant_field_offset(reg, regno, what)?;
        let record = self.reg_record(reg);
        let field = record
            .as_ref()
            .and_then(|record| record.find(off, kind))
            .filter(|field| field.offset == off)
            .copied()
            .ok_or_else(|| not_found(what, off))?;
        let lock = record
            .as_ref()
            .and_then(|record| {
                record
                    .first(FieldKind::SpinLock)
                    .or_else(|| record.first(FieldKind::ResSpinLock))
            })
            .map_or(-22, |field| field.offset as i32);
        let must = format!("bpf_spin_lock at off={lock} must be held for {what}");
        if self.state.held.locks == 0 {
            return Err(Fault::new(EINVAL, "verifier-graph-lock", must));
        }
        let within = crate::check::lock::lock_memory(reg);
        let held = self.state.held.resources.iter().any(|held| {
            matches!(
                held.kind,
                HeldKind::Lock | HeldKind::ResLock | HeldKind::ResLockIrq
            ) && held.id == reg.id
                && held.lock_in == within
        });
        if !held {
            return Err(Fault::new(
                EINVAL,
                "verifier-graph-lock",
                "held lock and object are not in the same allocation",
            )
            .and(must));
        }
        Ok(field)
    }

    /// Checks the node that is added to or taken from a collection; the object's type.
    pub(crate) fn check_graph_node(
        &mut self,
        reg: &Reg,
        regno: u8,
        root: RecordField,
    ) -> Rule<(BtfIdx, u32)> {
        let kind = match root.kind {
            FieldKind::ListHead => FieldKind::ListNode,
            _ => FieldKind::RbNode,
        };
        let what = kind.name();
        let off = self.constant_field_offset(reg, regno, what)?;
        self.reg_record(reg)
            .and_then(|record| record.find(off, kind).copied())
            .filter(|field| field.offset == off)
            .ok_or_else(|| not_found(what, off))?;
        let Detail::Btf { btf, id } = reg.detail else {
            return Err(not_found(what, off));
        };
        let wanted = root.target.unwrap_or((BtfIdx::PROGRAM, 0));
        let name = |(btf, id): (BtfIdx, u32)| {
            self.input
                .btf(btf)
                .map_or("", |types| types.name(TypeId(id)))
        };
        if !self.struct_ids_match((btf, id), 0, wanted, true) {
            return Err(Fault::new(
                EINVAL,
                "verifier-graph-type",
                format!(
                    "operation on {} expects arg#1 {what} at offset={} in struct {}, but arg is at offset={off} in struct {}",
                    root.kind.name(),
                    root.node_offset,
                    name(wanted),
                    name((btf, id)),
                ),
            ));
        }
        if off != root.node_offset {
            return Err(Fault::new(
                EINVAL,
                "verifier-graph-node",
                format!(
                    "arg#1 offset={off}, but expected {what} at offset={} in struct {}",
                    root.node_offset,
                    name(wanted),
                ),
            ));
        }
        Ok((btf, id))
    }

    /// The register that points to a node of that collection.
    pub(crate) fn graph_node_reg(&self, root: RecordField) -> Reg {
        let (btf, id) = root.target.unwrap_or((BtfIdx::PROGRAM, 0));
        Reg {
            off: root.node_offset as i32,
            ..Reg::pointer(Kind::BtfId, Flags::ALLOC).to(Detail::Btf { btf, id })
        }
    }

    /// What flags a non-owning reference to an object of that type has.
    pub(crate) fn non_owning_flags(&self, reg: &Reg) -> Flags {
        let counted = self
            .reg_record(reg)
            .is_some_and(|record| record.has(FieldKind::Refcount));
        if counted {
            Flags::NON_OWN_REF.with(Flags::RCU)
        } else {
            Flags::NON_OWN_REF
        }
    }

    /// Turns every register that holds the reference into a non-owning one: the collection owns the object now.
    pub(crate) fn convert_to_non_owning(&mut self, ref_id: u32, example: &Reg) {
        let flags = self.non_owning_flags(example);
        self.state.for_each_reg(
            |reg| reg.ref_id == ref_id,
            |reg| {
                reg.ref_id = 0;
                reg.flags = reg.flags.with(flags);
            },
        );
    }
}

#[cold]
fn not_found(what: &str, off: u32) -> Box<Fault> {
    Fault::new(
        EINVAL,
        "verifier-graph-field",
        format!("{what} not found at offset={off}"),
    )
}
