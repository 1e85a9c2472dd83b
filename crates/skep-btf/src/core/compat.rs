//! When a local and a target type count as the same: three answers of rising strictness, for fields, types and `type_matches`.
//!
//! Invariant: every walk is bounded by depth and by a budget of comparisons, so that hostile types end in an error.

use crate::btf::{Btf, essential_name};
use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::{Composite, Enum, Ty, TypeId};

/// libbpf gives up at this nesting as well.
const DEPTH_MAX: usize = 32;
const STEPS_MAX: u32 = 1 << 20;

/// Whether two types count as the same although they stand in different BTFs, as for `bpf_core_type_exists()`: what a
/// kernel function must have in common with its declaration.
pub fn compatible(
    local: &Btf,
    local_id: TypeId,
    target: &Btf,
    target_id: TypeId,
) -> Result<bool, BtfError> {
    Compare::new(local, target).types(local_id, target_id, 0)
}

/// A comparison under way, with what is left of its budget.
pub(super) struct Compare<'a> {
    local: &'a Btf,
    target: &'a Btf,
    steps: u32,
}

/// Whether a type of one kind may stand for one of the other: the two widths of enum do for each other.
pub(super) fn kinds_compatible(local: Kind, target: Kind) -> bool {
    local == target || local.is_enum() && target.is_enum()
}

impl<'a> Compare<'a> {
    pub(super) fn new(local: &'a Btf, target: &'a Btf) -> Compare<'a> {
        Compare {
            local,
            target,
            steps: 0,
        }
    }

    fn step(&mut self, local: TypeId, depth: usize) -> Result<(), BtfError> {
        self.steps += 1;
        if depth > DEPTH_MAX || self.steps > STEPS_MAX {
            Err(BtfError::TooDeep { id: local })
        } else {
            Ok(())
        }
    }

    fn pair(&self, local: TypeId, target: TypeId) -> Result<(Ty<'a>, Ty<'a>), BtfError> {
        Ok((
            self.local.resolved(local)?.1,
            self.target.resolved(target)?.1,
        ))
    }

    /// Whether a field of type `target` can be accessed by code that was compiled for type `local`.
    pub(super) fn fields(
        &mut self,
        mut local: TypeId,
        mut target: TypeId,
    ) -> Result<bool, BtfError> {
        for depth in 0.. {
            self.step(local, depth)?;
            let (l, t) = self.pair(local, target)?;
            if l.kind().is_composite() && t.kind().is_composite() {
                return Ok(true);
            }
            if !kinds_compatible(l.kind(), t.kind()) {
                return Ok(false);
            }
            return Ok(match (l, t) {
                (Ty::Ptr { .. }, _) | (Ty::Float { .. }, _) => true,
                (Ty::Fwd { name: local, .. }, Ty::Fwd { name: target, .. }) => {
                    names_allow(local, target)
                }
                (Ty::Int(local), Ty::Int(target)) => local.offset == 0 && target.offset == 0,
                (Ty::Array { elem: from, .. }, Ty::Array { elem: to, .. }) => {
                    (local, target) = (from, to);
                    continue;
                }
                _ => match (l.enumeration(), t.enumeration()) {
                    (Some(local), Some(target)) => names_allow(local.name, target.name),
                    _ => false,
                },
            });
        }
        Ok(false)
    }

    /// Whether two types of the same name are compatible, as for `bpf_core_type_exists()`.
    pub(super) fn types(
        &mut self,
        local: TypeId,
        target: TypeId,
        depth: usize,
    ) -> Result<bool, BtfError> {
        self.step(local, depth)?;
        let (l, t) = self.pair(local, target)?;
        if !kinds_compatible(l.kind(), t.kind()) {
            return Ok(false);
        }
        Ok(match (l, t) {
            (
                Ty::Void
                | Ty::Struct(_)
                | Ty::Union(_)
                | Ty::Enum(_)
                | Ty::Enum64(_)
                | Ty::Fwd { .. },
                _,
            ) => true,
            (Ty::Int(local), Ty::Int(target)) => local.offset == 0 && target.offset == 0,
            (Ty::Ptr { target: from }, Ty::Ptr { target: to }) => {
                self.types(from, to, depth + 1)?
            }
            (Ty::Array { elem: from, .. }, Ty::Array { elem: to, .. }) => {
                self.types(from, to, depth + 1)?
            }
            (
                Ty::FuncProto {
                    ret: from,
                    params: a,
                },
                Ty::FuncProto { ret: to, params: b },
            ) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(b.iter()) {
                    if !self.types(a.ty, b.ty, depth + 1)? {
                        return Ok(false);
                    }
                }
                self.types(from, to, depth + 1)?
            }
            _ => false,
        })
    }

    /// Whether the target type has all that the local one has, as for `bpf_core_type_matches()`.
    pub(super) fn matches(
        &mut self,
        local: TypeId,
        target: TypeId,
        behind_ptr: bool,
        depth: usize,
    ) -> Result<bool, BtfError> {
        self.step(local, depth)?;
        let (local_id, target_id) = (self.local.resolve(local)?, self.target.resolve(target)?);
        let (l, t) = (self.local.ty(local_id)?, self.target.ty(target_id)?);
        if !names_equal(self.local.name(local_id), self.target.name(target_id)) {
            return Ok(false);
        }
        let composite = |ty: &Ty<'a>, union: bool| match ty {
            Ty::Struct(_) => !union,
            Ty::Union(_) => union,
            _ => false,
        };
        Ok(match (l, t) {
            (Ty::Void, Ty::Void) => true,
            (Ty::Fwd { union, .. }, Ty::Fwd { union: other, .. }) => union == other,
            (Ty::Fwd { union, .. }, t) => behind_ptr && composite(&t, union),
            (l, Ty::Fwd { union, .. }) => behind_ptr && composite(&l, union),
            (Ty::Enum(a) | Ty::Enum64(a), Ty::Enum(b) | Ty::Enum64(b)) => {
                enums_match(self, local, &a, &b)?
            }
            (Ty::Struct(a), Ty::Struct(b)) | (Ty::Union(a), Ty::Union(b)) => {
                behind_ptr || self.composites_match(&a, &b, local, depth)?
            }
            (Ty::Int(a), Ty::Int(b)) => a.size == b.size && a.encoding.signed == b.encoding.signed,
            (Ty::Ptr { target: from }, Ty::Ptr { target: to }) => {
                self.matches(from, to, true, depth + 1)?
            }
            (
                Ty::Array {
                    elem: from, len, ..
                },
                Ty::Array {
                    elem: to,
                    len: other,
                    ..
                },
            ) => len == other && self.matches(from, to, behind_ptr, depth + 1)?,
            (
                Ty::FuncProto {
                    ret: from,
                    params: a,
                },
                Ty::FuncProto { ret: to, params: b },
            ) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(b.iter()) {
                    if !self.matches(a.ty, b.ty, behind_ptr, depth + 1)? {
                        return Ok(false);
                    }
                }
                self.matches(from, to, behind_ptr, depth + 1)?
            }
            _ => false,
        })
    }

    fn composites_match(
        &mut self,
        local: &Composite<'a>,
        target: &Composite<'a>,
        id: TypeId,
        depth: usize,
    ) -> Result<bool, BtfError> {
        if local.members.len() > target.members.len() {
            return Ok(false);
        }
        for wanted in local.members.iter() {
            let mut found = false;
            for member in target.members.iter() {
                self.step(id, depth)?;
                if names_equal(wanted.name, member.name)
                    && self.matches(wanted.ty, member.ty, false, depth + 1)?
                {
                    found = true;
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn enums_match(
    compare: &mut Compare<'_>,
    id: TypeId,
    local: &Enum<'_>,
    target: &Enum<'_>,
) -> Result<bool, BtfError> {
    if local.size != target.size || local.values.len() > target.values.len() {
        return Ok(false);
    }
    for wanted in local.values.iter() {
        let mut found = false;
        for value in target.values.iter() {
            compare.step(id, 0)?;
            if names_equal(wanted.name, value.name) {
                found = true;
                break;
            }
        }
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether names are the same but for flavours.
pub(super) fn names_equal(local: &str, target: &str) -> bool {
    essential_name(local) == essential_name(target)
}

/// For the types of fields, where an anonymous type goes with any.
fn names_allow(local: &str, target: &str) -> bool {
    local.is_empty() || target.is_empty() || names_equal(local, target)
}
