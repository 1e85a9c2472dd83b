//! What BTF was asked before: the registers of kernel variables, and which fields of a structure keep its trust.
//!
//! Invariant: answers depend on the input alone, so they hold for the whole verification.

use std::cell::RefCell;
use std::collections::HashMap;

use skep_btf::{Btf, Kind as BtfKind, Ty, TypeId};

use crate::input::BtfIdx;
use crate::state::reg::Reg;

/// Answers by type.
#[derive(Debug, Default)]
pub struct Known {
    pub(crate) variables: RefCell<HashMap<(BtfIdx, u32), Reg>>,
    safe: RefCell<HashMap<(BtfIdx, u32), SafeFields>>,
}

/// The kernel's BTF lists, in types named like a structure with one of four suffixes, the fields that inherit its trust.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SafeFields {
    pub trusted: Option<TypeId>,
    pub trusted_or_null: Option<TypeId>,
    pub rcu: Option<TypeId>,
    pub rcu_or_null: Option<TypeId>,
}

impl Known {
    /// The lists of that structure.
    pub fn safe_fields(&self, types: &Btf, btf: BtfIdx, id: u32) -> SafeFields {
        *self.safe.borrow_mut().entry((btf, id)).or_insert_with(|| {
            let name = types.name(TypeId(id));
            let list = |suffix| types.find(BtfKind::Struct, &format!("{name}{suffix}"));
            SafeFields {
                trusted: list("__safe_trusted"),
                trusted_or_null: list("__safe_trusted_or_null"),
                rcu: list("__safe_rcu"),
                rcu_or_null: list("__safe_rcu_or_null"),
            }
        })
    }
}

/// Whether the list names that field, with a pointer to that type.
pub fn is_listed(types: &Btf, list: Option<TypeId>, field: &str, id: u32) -> bool {
    let Some(Ok(list)) = list.map(|list| types.composite(list)) else {
        return false;
    };
    list.members.iter().any(|member| {
        member.name == field
            && matches!(types.ty(member.ty), Ok(Ty::Ptr { target })
                if types.resolve(target) == Ok(TypeId(id)))
    })
}
