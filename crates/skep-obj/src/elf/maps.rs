//! `.maps`: map definitions as BTF types.
//!
//! Invariants: each variable of the `.maps` data section gives one map, in the section's order; every attribute is
//! either understood or refused by name, never dropped.

use skep_btf::{Btf, Kind, Ty, TypeId};
use skep_spec::map::{MapDef, MapType, flags};

use super::{File, Home};
use crate::error::ObjError;
use crate::object::{MapKind, MapSpec, Pinning};

pub(super) const SECTION: &str = ".maps";

/// A map of the `.maps` section, and where it lies there.
pub(super) struct Placed {
    pub spec: MapSpec,
    pub offset: u64,
    pub size: u64,
    /// Byte offset of the `values` array in the variable: where initial elements are.
    pub values_at: Option<u64>,
}

struct Parsed {
    spec: MapSpec,
    values_at: Option<u64>,
}

pub(super) fn read(
    file: &File<'_>,
    section: usize,
    btf: Option<&Btf>,
) -> Result<Vec<Placed>, ObjError> {
    let data = file.sections[section].data;
    if data.is_empty() {
        return Ok(Vec::new());
    }
    let missing = || {
        ObjError::malformed(
            SECTION,
            0,
            "map definitions without BTF types; compile with `clang -g`",
        )
    };
    let btf = btf.ok_or_else(missing)?;
    let id = btf.find(Kind::DataSec, SECTION).ok_or_else(missing)?;
    let Ok(Ty::DataSec { vars, .. }) = btf.ty(id) else {
        return Err(missing());
    };
    if let Some(at) = data.iter().position(|&b| b != 0) {
        let relocated = file.sections[section]
            .relocs
            .iter()
            .any(|r| (r.offset..r.offset.saturating_add(8)).contains(&(at as u64)));
        if !relocated {
            return Err(ObjError::unsupported(
                SECTION,
                at as u64,
                "a map definition with an initialised field",
                "only `values` can be initialised, with addresses of maps or programs",
            ));
        }
    }
    let mut out = Vec::new();
    for var in vars.iter() {
        let offset = u64::from(var.offset);
        let bad = |why: String| ObjError::malformed(SECTION, offset, why);
        let Ok(Ty::Var { name, target, .. }) = btf.ty(var.ty) else {
            return Err(bad("an entry of the .maps types is not a variable".into()));
        };
        if offset + u64::from(var.size) > data.len() as u64 {
            return Err(bad(format!("map `{name}` reaches beyond the section")));
        }
        let Parsed {
            mut spec,
            values_at,
        } = definition(btf, name, target, offset, false)?;
        spec.weak = file.symbols.iter().any(|s| {
            s.home == Home::Section(section) && s.value == offset && s.name == name && s.is_weak()
        });
        out.push(Placed {
            spec,
            offset,
            size: u64::from(var.size),
            values_at,
        });
    }
    Ok(out)
}

/// The definition in a struct type.
fn definition(btf: &Btf, name: &str, ty: TypeId, at: u64, inner: bool) -> Result<Parsed, ObjError> {
    let bad = |why: String| ObjError::malformed(SECTION, at, format!("map `{name}`: {why}"));
    let Ok((_, Ty::Struct(composite))) = btf.resolved(ty) else {
        return Err(bad("its type is not a struct".into()));
    };
    let mut number = None;
    let (mut key_size, mut value_size) = (None, None);
    let mut spec = MapSpec {
        def: MapDef::new(name, MapType::Array, 0, 0, 0),
        section: SECTION.to_owned(),
        key_type: None,
        value_type: None,
        pinning: Pinning::None,
        inner: None,
        initial: Default::default(),
        frozen: false,
        kind: MapKind::Ordinary,
        data_relocs: Vec::new(),
        weak: false,
        legacy_extra: Vec::new(),
    };
    let mut values_at = None;
    for member in composite.members.iter() {
        let field = member.name;
        let uint = || {
            uint(btf, member.ty).ok_or_else(|| {
                bad(format!(
                    "attribute `{field}` is not a number as `__uint` writes it"
                ))
            })
        };
        let uint32 = || {
            uint().and_then(|v| {
                u32::try_from(v)
                    .map_err(|_| bad(format!("attribute `{field}` does not fit 32 bits")))
            })
        };
        let sized = |known: &mut Option<u32>, size: u32| {
            if known.is_some_and(|known| known != size) {
                return Err(bad(format!(
                    "`{field}` gives {size} bytes, but {} were given before",
                    known.unwrap_or(0)
                )));
            }
            *known = Some(size);
            Ok(())
        };
        match field {
            "type" => number = Some(uint32()?),
            "max_entries" => spec.def.max_entries = uint32()?,
            "map_flags" => spec.def.flags = uint32()?,
            "map_extra" => spec.def.map_extra = uint()?,
            "numa_node" => spec.def.numa_node = Some(uint32()?),
            "key_size" => sized(&mut key_size, uint32()?)?,
            "value_size" => sized(&mut value_size, uint32()?)?,
            "key" | "value" => {
                let Ok((_, Ty::Ptr { target })) = btf.resolved(member.ty) else {
                    return Err(bad(format!(
                        "`{field}` is not a pointer to a type as `__type` writes it"
                    )));
                };
                let size = btf
                    .size_of(target)
                    .map_err(|e| bad(format!("size of `{field}`: {e}")))?;
                if field == "key" {
                    spec.key_type = Some(target);
                    sized(&mut key_size, size)?;
                } else {
                    spec.value_type = Some(target);
                    sized(&mut value_size, size)?;
                }
            }
            "values" => {
                if inner {
                    return Err(bad(
                        "an inner map has `values` of its own; maps nest only once".into(),
                    ));
                }
                let template = pointed_to_by_values(btf, member.ty).ok_or_else(|| {
                    bad("`values` is not an array of pointers as `__array` writes it".into())
                })?;
                values_at = Some(u64::from(member.bit_offset / 8));
                match btf.resolved(template) {
                    Ok((_, Ty::Struct(_))) => {
                        let name = format!("{name}.inner");
                        let parsed = definition(btf, &name, template, at, true)?;
                        spec.inner = Some(Box::new(parsed.spec));
                    }
                    Ok((_, Ty::FuncProto { .. })) => {}
                    _ => return Err(bad("`values` holds neither maps nor functions".into())),
                }
                sized(&mut value_size, 4)?;
            }
            "pinning" => {
                if inner {
                    return Err(bad("an inner map cannot be pinned".into()));
                }
                spec.pinning = match uint32()? {
                    0 => Pinning::None,
                    1 => Pinning::ByName,
                    other => Pinning::Other(other),
                };
            }
            "" => return Err(bad("an unnamed attribute".into())),
            other => {
                return Err(ObjError::unsupported(
                    SECTION,
                    at,
                    format!("map `{name}` has an attribute `{other}`"),
                    "known are type, key, value, key_size, value_size, max_entries, map_flags, map_extra, numa_node, pinning, values",
                ));
            }
        }
    }
    let number = number.ok_or_else(|| bad("attribute `type` is missing".into()))?;
    spec.def.map_type = MapType::by_number(number).ok_or_else(|| {
        ObjError::unsupported(
            SECTION,
            at,
            format!("map `{name}` is of type {number}"),
            "this kind of map is not known",
        )
    })?;
    spec.def.key_size = key_size.unwrap_or(0);
    spec.def.value_size = value_size.unwrap_or(0);
    if spec.def.map_type == MapType::Arena {
        spec.kind = MapKind::Arena;
    }
    if spec.def.numa_node.is_some() {
        spec.def.flags |= flags::NUMA_NODE;
    }
    Ok(Parsed { spec, values_at })
}

/// The number in a type as `__uint` (`int (*x)[N]`) and `__ulong` (an enum of one value) write it.
fn uint(btf: &Btf, ty: TypeId) -> Option<u64> {
    match btf.resolved(ty).ok()?.1 {
        Ty::Ptr { target } => match btf.resolved(target).ok()?.1 {
            Ty::Array { len, .. } => Some(u64::from(len)),
            _ => None,
        },
        Ty::Enum(e) | Ty::Enum64(e) => e.values.get(0).map(|v| v.value),
        _ => None,
    }
}

fn pointed_to_by_values(btf: &Btf, ty: TypeId) -> Option<TypeId> {
    let Ty::Array { elem, .. } = btf.resolved(ty).ok()?.1 else {
        return None;
    };
    let Ty::Ptr { target } = btf.resolved(elem).ok()?.1 else {
        return None;
    };
    Some(target)
}

/// Whether a variable's type defines just this map.
pub(super) fn describes(btf: &Btf, var: TypeId, map: &MapSpec) -> bool {
    let Ok(Ty::Var { name, target, .. }) = btf.ty(var) else {
        return false;
    };
    let Ok(Parsed { spec, .. }) = definition(btf, name, target, 0, false) else {
        return false;
    };
    let arena = map.kind == MapKind::Arena;
    spec.def == map.def
        && spec.key_type == map.key_type
        && (arena || spec.value_type == map.value_type)
        && spec.pinning == map.pinning
        && spec.inner == map.inner
}

/// Where `values` is in a map's variable.
pub(super) fn values_at(btf: &Btf, var: TypeId) -> Option<u64> {
    let Ok(Ty::Var { name, target, .. }) = btf.ty(var) else {
        return None;
    };
    definition(btf, name, target, 0, false).ok()?.values_at
}
