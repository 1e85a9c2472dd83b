//! The types that a written object needs: its own, and a definition in BTF for each map of `.maps`.
//!
//! Invariants: a definition that says what the map says is left as it is; otherwise a new one, of the form that the
//! `__uint` and `__type` macros give, takes its place; definitions stand one after the other, aligned to 8 bytes.

use std::collections::HashMap;

use skep_btf::build::{MemberDef, SecVarDef, TypeDef};
use skep_btf::ty::{Encoding, Linkage as BtfLinkage};
use skep_btf::{Btf, Builder, Kind, Ty, TypeId};

use super::maps;
use crate::error::ObjError;
use crate::object::*;

/// The object's types with those that its maps need, and where the variables of `.maps` lie.
pub(super) struct Types {
    pub builder: Option<Builder>,
    /// By map: offset and size in `.maps`.
    pub maps: HashMap<usize, (u64, u64)>,
    /// By map: offset of `values` in the variable.
    pub values_at: HashMap<usize, u64>,
    /// By map: offset in its struct_ops section.
    pub struct_ops: HashMap<usize, u64>,
}

impl Types {
    pub fn complete(object: &Object) -> Result<Types, ObjError> {
        let failed = |e: skep_btf::BtfError| ObjError::malformed(".BTF", 0, e.to_string());
        let mut types = Types {
            builder: None,
            maps: HashMap::new(),
            values_at: HashMap::new(),
            struct_ops: HashMap::new(),
        };
        let btf = object.btf.as_deref();
        let mut builder = match btf {
            Some(btf) => Builder::from_btf(btf).map_err(failed)?,
            None => Builder::new(),
        };
        builder.set_endian(object.endian);
        let known = btf.and_then(|btf| btf.find(Kind::DataSec, maps::SECTION));
        let mut vars: Vec<SecVarDef> = Vec::new();
        if let (Some(id), Some(btf)) = (known, btf)
            && let Ok(Ty::DataSec { vars: old, .. }) = btf.ty(id)
        {
            vars.extend(old.iter().map(|v| SecVarDef {
                ty: v.ty,
                offset: v.offset,
                size: v.size,
            }));
        }
        let mut made = MapTypes {
            builder: &mut builder,
            int: None,
        };
        let mut changed = false;
        for (index, map) in object.maps.iter().enumerate() {
            if map.kind == MapKind::StructOps {
                if let Some(offset) = btf.and_then(|btf| variable(btf, &map.section, &map.def.name))
                {
                    types.struct_ops.insert(index, u64::from(offset));
                }
                continue;
            }
            let declared = matches!(map.kind, MapKind::Ordinary | MapKind::Arena)
                && map.section == maps::SECTION;
            if !declared {
                continue;
            }
            let old = vars
                .iter()
                .position(|v| btf.is_some_and(|btf| btf.name(v.ty) == map.def.name));
            let same =
                old.is_some_and(|at| btf.is_some_and(|btf| maps::describes(btf, vars[at].ty, map)));
            let slots = match &map.initial {
                InitialContents::Slots(slots) => {
                    slots.iter().map(|(slot, _)| slot + 1).max().unwrap_or(0)
                }
                _ => 0,
            };
            if !same {
                changed = true;
                let (ty, size) = made.definition(map);
                let values_at = u64::from(size);
                let size = slots.checked_mul(8).and_then(|n| n.checked_add(size));
                let size = size.ok_or_else(|| {
                    ObjError::link(&map.def.name, "it has too many initial elements")
                })?;
                let var = TypeDef::Var {
                    name: map.def.name.clone(),
                    target: ty,
                    linkage: BtfLinkage::Global,
                };
                let ty = made.builder.add(var);
                types.values_at.insert(index, values_at);
                match old {
                    Some(at) => {
                        vars[at] = SecVarDef {
                            ty,
                            offset: 0,
                            size,
                        }
                    }
                    None => vars.push(SecVarDef {
                        ty,
                        offset: 0,
                        size,
                    }),
                }
            } else if let (Some(at), Some(btf)) = (old, btf)
                && let Some(values_at) = maps::values_at(btf, vars[at].ty)
            {
                types.values_at.insert(index, values_at);
            }
            let at = if same {
                old
            } else {
                old.or(Some(vars.len() - 1))
            };
            if let Some(at) = at {
                types.maps.insert(index, (at as u64, 0));
            }
        }
        let mut end = 0u32;
        if changed {
            let size: u64 = vars.iter().map(|v| u64::from(v.size) + 8).sum();
            if size > super::data::VALUE_BYTES_MAX {
                return Err(ObjError::link(
                    maps::SECTION,
                    format!("map definitions of {size:#x} bytes"),
                ));
            }
            for var in &mut vars {
                var.offset = end.checked_next_multiple_of(8).unwrap_or(u32::MAX);
                end = var.offset.saturating_add(var.size);
            }
        }
        for place in types.maps.values_mut() {
            let var = &vars[place.0 as usize];
            *place = (u64::from(var.offset), u64::from(var.size));
        }
        if changed {
            let datasec = TypeDef::DataSec {
                name: maps::SECTION.to_owned(),
                size: end,
                vars,
            };
            match known {
                Some(id) => builder.define(id, datasec).map_err(failed)?,
                None => {
                    builder.add(datasec);
                }
            }
        }
        if btf.is_some() || changed {
            types.builder = Some(builder);
        }
        Ok(types)
    }

    pub fn global_is_static(
        &self,
        object: &Object,
        map: &MapSpec,
        global: &crate::globals::GlobalRef,
    ) -> bool {
        let (Some(btf), Some(section)) = (&object.btf, map.value_type) else {
            return false;
        };
        let Ok(Ty::DataSec { vars, .. }) = btf.ty(section) else {
            return false;
        };
        vars.iter().any(|v| {
            v.offset == global.offset
                && matches!(btf.ty(v.ty), Ok(Ty::Var { name, linkage: BtfLinkage::Static, .. }) if name == global.name)
        })
    }
}

/// The offset of a variable in a data section.
fn variable(btf: &Btf, section: &str, name: &str) -> Option<u32> {
    let Ok(Ty::DataSec { vars, .. }) = btf.ty(btf.find(Kind::DataSec, section)?) else {
        return None;
    };
    vars.iter()
        .find(|v| btf.name(v.ty) == name)
        .map(|v| v.offset)
}

/// Makes the struct types that define maps.
struct MapTypes<'b> {
    builder: &'b mut Builder,
    int: Option<TypeId>,
}

impl MapTypes<'_> {
    fn int(&mut self) -> TypeId {
        let builder = &mut *self.builder;
        *self
            .int
            .get_or_insert_with(|| builder.add_int("int", 4, Encoding::SIGNED))
    }

    /// A struct as the `__uint` and `__type` macros write it, and its size.
    fn definition(&mut self, map: &MapSpec) -> (TypeId, u32) {
        let int = self.int();
        let mut members = Vec::new();
        let mut end = 0u32;
        let def = &map.def;
        let mut push = |name: &str, ty: TypeId| {
            members.push(MemberDef::new(name, ty, end));
            end += 8;
        };
        let mut uint = |builder: &mut Builder, name: &str, value: u32| {
            let array = builder.add_array(int, int, value);
            push(name, builder.add_ptr(array));
        };
        uint(self.builder, "type", def.map_type.number());
        if def.max_entries != 0 {
            uint(self.builder, "max_entries", def.max_entries);
        }
        let flags = def.flags
            & !if def.numa_node.is_some() {
                skep_spec::map::flags::NUMA_NODE
            } else {
                0
            };
        if flags != 0 {
            uint(self.builder, "map_flags", flags);
        }
        if let Some(node) = def.numa_node {
            uint(self.builder, "numa_node", node);
        }
        match map.pinning {
            Pinning::None => {}
            Pinning::ByName => uint(self.builder, "pinning", 1),
            Pinning::Other(other) => uint(self.builder, "pinning", other),
        }
        match map.key_type {
            Some(key) => push("key", self.builder.add_ptr(key)),
            None if def.key_size != 0 => {
                let array = self.builder.add_array(int, int, def.key_size);
                push("key_size", self.builder.add_ptr(array));
            }
            None => {}
        }
        let values = map.inner.is_some() || matches!(map.initial, InitialContents::Slots(_));
        match map.value_type.filter(|_| map.kind == MapKind::Ordinary) {
            Some(value) => push("value", self.builder.add_ptr(value)),
            None if def.value_size != 0 && !values => {
                let array = self.builder.add_array(int, int, def.value_size);
                push("value_size", self.builder.add_ptr(array));
            }
            None => {}
        }
        if def.map_extra != 0 {
            let value = def.map_extra;
            let ty = self.builder.add(TypeDef::Enum64 {
                name: String::new(),
                size: 8,
                signed: false,
                values: vec![skep_btf::build::ValueDef {
                    name: format!("__map_extra_{}", def.name),
                    value,
                }],
            });
            push("map_extra", ty);
        }
        if values {
            let elem = match &map.inner {
                Some(inner) => self.definition(inner).0,
                None => self.builder.add(TypeDef::FuncProto {
                    ret: TypeId::VOID,
                    params: Vec::new(),
                }),
            };
            let ptr = self.builder.add_ptr(elem);
            let array = self.builder.add_array(ptr, int, 0);
            members.push(MemberDef::new("values", array, end));
        }
        (self.builder.add_struct("", end, members), end)
    }
}
