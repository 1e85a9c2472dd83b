//! Split BTF with a distilled base: a module carries, in `.BTF.base`, the outlines of the kernel types that it uses, so that it
//! fits kernels whose ids differ from those it was built with.
//!
//! Invariants: an outline is matched by name, kind and size, and must have exactly one match; the result refers to the real
//! base only.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::btf::Btf;
use crate::build::{Builder, TypeDef};
use crate::error::BtfError;
use crate::format_c;
use crate::ty::{Ty, TypeId};

/// Puts split BTF, which was written against the distilled base in `distilled`, on top of a real base.
pub fn rebase(
    base: &Arc<Btf>,
    distilled: Btf,
    split: impl AsRef<[u8]> + Send + Sync + 'static,
) -> Result<Btf, BtfError> {
    let distilled = Arc::new(distilled);
    let mut map = vec![TypeId::VOID];
    for id in distilled.ids() {
        map.push(find(base, &distilled, id)?);
    }
    let split = Btf::parse_split(distilled.clone(), split)?;
    let first = distilled.len();
    let mut builder = Builder::with_base(base.clone());
    builder.set_endian(split.endian());
    for id in split.own_ids() {
        if let Some(mut def) = TypeDef::of(&split.ty(id)?) {
            def.for_each_id(|id| {
                *id = match map.get(id.0 as usize) {
                    Some(&found) => found,
                    None => TypeId(id.0 - first + base.len()),
                };
            });
            builder.add(def);
        }
    }
    builder.into_btf()
}

/// The type of the base that an outline stands for.
fn find(base: &Btf, distilled: &Btf, id: TypeId) -> Result<TypeId, BtfError> {
    let outline = distilled.ty(id)?;
    let fits = |found: &TypeId| match (&outline, base.ty(*found)) {
        (Ty::Int(a), Ok(Ty::Int(b))) => {
            a.size == b.size && a.bits == b.bits && a.encoding == b.encoding
        }
        (Ty::Float { size: a, .. }, Ok(Ty::Float { size: b, .. })) => *a == b,
        (Ty::Struct(a), Ok(Ty::Struct(b))) | (Ty::Union(a), Ok(Ty::Union(b))) => a.size == b.size,
        (Ty::Fwd { union, .. }, Ok(Ty::Fwd { union: other, .. })) => *union == other,
        (Ty::Fwd { union, .. }, Ok(Ty::Struct(_))) => !union,
        (Ty::Fwd { union, .. }, Ok(Ty::Union(_))) => *union,
        (Ty::Enum(a) | Ty::Enum64(a), Ok(Ty::Enum(b) | Ty::Enum64(b))) => a.size == b.size,
        _ => false,
    };
    let mut found: Vec<TypeId> = base
        .find_all(distilled.name(id))
        .into_iter()
        .filter(fits)
        .collect();
    if let Ty::Fwd { .. } = outline {
        // A definition is a better match than another declaration.
        found.sort_by_key(|&id| matches!(base.ty(id), Ok(Ty::Fwd { .. })));
        found.truncate(1);
    }
    let why = match found[..] {
        [found] => return Ok(found),
        [] => "the base has no such type",
        _ => "the base has several such types",
    };
    let name = format_c::type_name(distilled, id);
    let size = distilled
        .size_of(id)
        .map_or_else(|_| String::new(), |size| format!(" of {size} bytes"));
    Err(BtfError::malformed(
        ".BTF.base",
        0,
        format!("type {}, {name}{size}: {why}", id.0),
    ))
}
