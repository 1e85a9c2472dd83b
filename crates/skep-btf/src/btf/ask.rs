//! Questions that follow references between types: what a typedef stands for, sizes, alignments, members by name.
//!
//! Invariant: every walk is bounded, by [`DEPTH_MAX`] links or levels and by a budget of steps where it can branch.

use std::collections::HashMap;

use super::Btf;
use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::{Composite, Member, Ty, TypeId};

/// No compiler writes chains of modifiers or nested anonymous members deeper than this (the kernel's limit is 32).
pub const DEPTH_MAX: usize = 64;

/// A member found by name, with its place counted from the outermost struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundMember<'a> {
    pub member: Member<'a>,
    /// From the start of the struct that was asked, anonymous structs between included.
    pub bit_offset: u32,
}

impl Btf {
    /// What a type stands for: typedefs, `const`, `volatile`, `restrict` and type tags stripped.
    pub fn resolve(&self, id: TypeId) -> Result<TypeId, BtfError> {
        let mut at = id;
        for _ in 0..DEPTH_MAX {
            match self.ty(at)?.modified() {
                Some(target) => at = target,
                None => return Ok(at),
            }
        }
        Err(BtfError::TooDeep { id })
    }

    /// The type that `id` stands for, decoded: see [`Btf::resolve`].
    pub fn resolved(&self, id: TypeId) -> Result<(TypeId, Ty<'_>), BtfError> {
        let mut at = id;
        for _ in 0..DEPTH_MAX {
            let ty = self.ty(at)?;
            match ty.modified() {
                Some(target) => at = target,
                None => return Ok((at, ty)),
            }
        }
        Err(BtfError::TooDeep { id })
    }

    /// What a type is qualified from: `const`, `volatile`, `restrict` and type tags stripped, typedefs kept.
    pub fn unqualified(&self, id: TypeId) -> Result<TypeId, BtfError> {
        let mut at = id;
        for _ in 0..DEPTH_MAX {
            match self.ty(at)? {
                Ty::Typedef { .. } => return Ok(at),
                ty => match ty.modified() {
                    Some(target) => at = target,
                    None => return Ok(at),
                },
            }
        }
        Err(BtfError::TooDeep { id })
    }

    /// How many bytes a pointer has: the size of `long`, 8 if the BTF has no `long`.
    pub fn pointer_size(&self) -> u32 {
        if let Some(base) = &self.base {
            return base.pointer_size();
        }
        *self.pointer_size.get_or_init(|| {
            let longs = ["long", "long int", "unsigned long", "long unsigned int"];
            let long = self.own_ids().find_map(|id| match self.kind(id) {
                Ok(Kind::Int) => match self.ty(id) {
                    Ok(Ty::Int(int)) if longs.contains(&int.name) => Some(int.size),
                    _ => None,
                },
                _ => None,
            });
            long.filter(|&size| size == 4).unwrap_or(8)
        })
    }

    /// The size of a type in bytes.
    pub fn size_of(&self, id: TypeId) -> Result<u32, BtfError> {
        let mut count = 1_u64;
        let mut at = id;
        for _ in 0..DEPTH_MAX {
            let ty = self.ty(at)?;
            let size = match ty {
                Ty::Int(int) => int.size,
                Ty::Ptr { .. } => self.pointer_size(),
                Ty::Struct(composite) | Ty::Union(composite) => composite.size,
                Ty::Enum(enumeration) | Ty::Enum64(enumeration) => enumeration.size,
                Ty::DataSec { size, .. } | Ty::Float { size, .. } => size,
                Ty::Array { elem, len, .. } => {
                    count = count.saturating_mul(u64::from(len));
                    at = elem;
                    continue;
                }
                Ty::Var { target, .. } => {
                    at = target;
                    continue;
                }
                Ty::Void
                | Ty::Fwd { .. }
                | Ty::Func { .. }
                | Ty::FuncProto { .. }
                | Ty::DeclTag { .. } => {
                    return Err(BtfError::NoSize {
                        id,
                        kind: ty.kind(),
                    });
                }
                Ty::Typedef { target, .. }
                | Ty::Volatile { target }
                | Ty::Const { target }
                | Ty::Restrict { target }
                | Ty::TypeTag { target, .. } => {
                    at = target;
                    continue;
                }
            };
            return u32::try_from(count.saturating_mul(u64::from(size)))
                .map_err(|_| BtfError::TooLarge { id });
        }
        Err(BtfError::TooDeep { id })
    }

    /// The alignment that C gives a type, in bytes; a struct whose members do not sit where C would put them is packed: 1.
    pub fn align_of(&self, id: TypeId) -> Result<u32, BtfError> {
        self.align_within(id, &mut HashMap::new(), 0)
    }

    fn align_within(
        &self,
        id: TypeId,
        known: &mut HashMap<TypeId, u32>,
        depth: usize,
    ) -> Result<u32, BtfError> {
        if depth > DEPTH_MAX {
            return Err(BtfError::TooDeep { id });
        }
        if let Some(&align) = known.get(&id) {
            return Ok(align);
        }
        let ty = self.ty(id)?;
        let align = match ty {
            Ty::Int(int) => int.size.min(self.pointer_size()).max(1),
            Ty::Enum(enumeration) | Ty::Enum64(enumeration) => {
                enumeration.size.min(self.pointer_size()).max(1)
            }
            Ty::Float { size, .. } => {
                let size = size.clamp(1, self.pointer_size());
                if size.is_power_of_two() {
                    size
                } else {
                    size.next_power_of_two() / 2
                }
            }
            Ty::Ptr { .. } => self.pointer_size(),
            Ty::Array { elem, .. } => self.align_within(elem, known, depth + 1)?,
            Ty::Var { target, .. } => self.align_within(target, known, depth + 1)?,
            Ty::Struct(composite) | Ty::Union(composite) => {
                let mut most = 1;
                for member in composite.members.iter() {
                    let align = self.align_within(member.ty, known, depth + 1)?;
                    if member.bitfield_size == 0 && !member.bit_offset.is_multiple_of(8 * align) {
                        most = 1;
                        break;
                    }
                    most = most.max(align);
                }
                if composite.size.is_multiple_of(most) {
                    most
                } else {
                    1
                }
            }
            _ => match ty.modified() {
                Some(target) => self.align_within(target, known, depth + 1)?,
                None => {
                    return Err(BtfError::NoSize {
                        id,
                        kind: ty.kind(),
                    });
                }
            },
        };
        known.insert(id, align);
        Ok(align)
    }

    /// The struct or union that `id` stands for.
    pub fn composite(&self, id: TypeId) -> Result<Composite<'_>, BtfError> {
        let (id, ty) = self.resolved(id)?;
        ty.composite().ok_or(BtfError::WrongKind {
            id,
            found: ty.kind(),
            wanted: "a struct or union",
        })
    }

    /// The member of a struct or union with this name; members of anonymous structs and unions in it count as its own.
    pub fn member(&self, id: TypeId, name: &str) -> Result<Option<FoundMember<'_>>, BtfError> {
        let mut budget = 1 << 16;
        self.member_within(id, name, 0, &mut budget, 0)
    }

    fn member_within(
        &self,
        id: TypeId,
        name: &str,
        from: u32,
        budget: &mut u32,
        depth: usize,
    ) -> Result<Option<FoundMember<'_>>, BtfError> {
        if depth > DEPTH_MAX {
            return Err(BtfError::TooDeep { id });
        }
        let composite = self.composite(id)?;
        for member in composite.members.iter() {
            *budget = budget.checked_sub(1).ok_or(BtfError::TooDeep { id })?;
            let bit_offset = from
                .checked_add(member.bit_offset)
                .ok_or(BtfError::TooLarge { id })?;
            if member.name == name && !name.is_empty() {
                return Ok(Some(FoundMember { member, bit_offset }));
            }
            if member.name.is_empty()
                && self.kind(self.resolve(member.ty)?)?.is_composite()
                && let Some(found) =
                    self.member_within(member.ty, name, bit_offset, budget, depth + 1)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
