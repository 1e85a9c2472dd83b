//! Static linking: several objects become one.
//!
//! Invariants: a global symbol has one definition (a global one beats weak ones, the first weak one beats later ones);
//! references move with what they refer to; data sections of one name become one, each part aligned to 8 bytes; the
//! result's types are deduplicated.

use std::collections::HashMap;
use std::sync::Arc;

use skep_btf::build::{SecVarDef, TypeDef};
use skep_btf::{Btf, Builder, Kind, Ty, TypeId, dedup, ty::Linkage as BtfLinkage};
use skep_spec::map::flags;

use crate::elf;
use crate::error::ObjError;
use crate::object::*;

/// Links objects in their order.
pub fn link_objects(objects: Vec<Object>) -> Result<Object, ObjError> {
    let mut objects = objects.into_iter();
    let Some(first) = objects.next() else {
        return Err(ObjError::link("", "no objects to link"));
    };
    let mut linker = Linker {
        out: Object {
            name: first.name.clone(),
            endian: first.endian,
            ..Object::default()
        },
        types: Builder::new(),
        sections: HashMap::new(),
        functions: HashMap::new(),
        maps: HashMap::new(),
        externs: HashMap::new(),
        globals: HashMap::new(),
        typed: false,
    };
    linker.types.set_endian(first.endian);
    for object in std::iter::once(first).chain(objects) {
        linker.add(object)?;
    }
    linker.finish()
}

/// Where a piece of an object goes.
struct Moved {
    types: HashMap<TypeId, TypeId>,
    maps: Vec<MapIdx>,
    /// Added to offsets in the value of each map.
    shifts: Vec<u32>,
    functions: Vec<FnIdx>,
    /// Functions that lost to another definition.
    lost: Vec<bool>,
    externs: Vec<ExternIdx>,
}

impl Moved {
    fn ty(&self, id: TypeId) -> TypeId {
        self.types.get(&id).copied().unwrap_or_default()
    }

    fn shift(&self, map: MapIdx) -> u32 {
        self.shifts.get(map.0).copied().unwrap_or(0)
    }

    fn target(&self, target: RelocTarget) -> RelocTarget {
        match target {
            RelocTarget::Map(m) => RelocTarget::Map(self.maps[m.0]),
            RelocTarget::MapValue { map, offset } => RelocTarget::MapValue {
                map: self.maps[map.0],
                offset: offset.saturating_add(self.shift(map)),
            },
            RelocTarget::Call(f) => RelocTarget::Call(self.functions[f.0]),
            RelocTarget::FuncAddr(f) => RelocTarget::FuncAddr(self.functions[f.0]),
            RelocTarget::Extern(e) => RelocTarget::Extern(self.externs[e.0]),
        }
    }

    fn data_target(&self, target: &DataTarget) -> DataTarget {
        match *target {
            DataTarget::Function(f) => DataTarget::Function(self.functions[f.0]),
            DataTarget::Map(m) => DataTarget::Map(self.maps[m.0]),
            DataTarget::MapValue { map, offset } => DataTarget::MapValue {
                map: self.maps[map.0],
                offset: offset.saturating_add(self.shift(map).into()),
            },
            DataTarget::Extern(e) => DataTarget::Extern(self.externs[e.0]),
            DataTarget::Code { function, at } => DataTarget::Code {
                function: self.functions[function.0],
                at,
            },
        }
    }
}

struct Linker {
    out: Object,
    types: Builder,
    /// Variables of the data sections, as they are collected.
    sections: HashMap<String, Vec<SecVarDef>>,
    functions: HashMap<String, FnIdx>,
    maps: HashMap<String, MapIdx>,
    externs: HashMap<String, ExternIdx>,
    /// Visible variables, by name.
    globals: HashMap<String, (MapIdx, u32)>,
    typed: bool,
}

impl Linker {
    fn add(&mut self, object: Object) -> Result<(), ObjError> {
        check(&object)?;
        if object.endian != self.out.endian {
            return Err(ObjError::link(
                &object.name,
                "its byte order is not that of the objects before it",
            ));
        }
        let agree = |what: &str, differ: bool| match differ {
            true => Err(ObjError::link(
                &object.name,
                format!("its {what} is not that of the objects before it"),
            )),
            false => Ok(()),
        };
        let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
        agree("license", differ(&self.out.license, &object.license))?;
        let versions = (self.out.kern_version, object.kern_version);
        agree(
            "kernel version",
            matches!(versions, (Some(a), Some(b)) if a != b),
        )?;
        self.out.license = self.out.license.take().or(object.license.clone());
        self.out.kern_version = self.out.kern_version.or(object.kern_version);

        let types = self.add_types(object.btf.as_deref())?;
        let mut moved = Moved {
            types,
            maps: Vec::new(),
            shifts: Vec::new(),
            functions: Vec::new(),
            lost: Vec::new(),
            externs: Vec::new(),
        };
        self.place_functions(&object, &mut moved)?;
        self.place_maps(&object, &mut moved)?;
        self.place_externs(&object, &mut moved)?;
        self.move_contents(object, &moved)
    }

    /// Copies the types but for data sections, which are made anew at the end.
    fn add_types(&mut self, btf: Option<&Btf>) -> Result<HashMap<TypeId, TypeId>, ObjError> {
        let mut map = HashMap::from([(TypeId::VOID, TypeId::VOID)]);
        let Some(btf) = btf else { return Ok(map) };
        self.typed = true;
        let failed = |e: skep_btf::BtfError| ObjError::malformed(".BTF", 0, e.to_string());
        for id in btf.ids() {
            if btf.kind(id).map_err(failed)? != Kind::DataSec {
                map.insert(id, self.types.declare());
            }
        }
        for id in btf.ids() {
            let Some(&new) = map.get(&id) else { continue };
            if let Some(mut def) = TypeDef::of(&btf.ty(id).map_err(failed)?) {
                def.for_each_id(|id| *id = map.get(id).copied().unwrap_or_default());
                self.types.define(new, def).map_err(failed)?;
            }
        }
        Ok(map)
    }

    fn place_functions(&mut self, object: &Object, moved: &mut Moved) -> Result<(), ObjError> {
        for function in &object.functions {
            let known = self
                .functions
                .get(&function.name)
                .copied()
                .filter(|_| function.linkage != Linkage::Static);
            let (index, lost) = match known {
                None => {
                    let index = FnIdx(self.out.functions.len());
                    self.out.functions.push(Function::default());
                    if function.linkage != Linkage::Static {
                        self.functions.insert(function.name.clone(), index);
                    }
                    (index, false)
                }
                Some(index) => match (self.out.functions[index.0].linkage, function.linkage) {
                    (Linkage::Weak, Linkage::Global) => (index, false),
                    (_, Linkage::Weak) => (index, true),
                    _ => {
                        return Err(ObjError::link(
                            &function.name,
                            "two objects define this function; make one `__weak`",
                        ));
                    }
                },
            };
            if !lost {
                // The winner's linkage is known before the bodies move.
                self.out.functions[index.0].linkage = function.linkage;
                self.out.programs.retain(|p| p.function != index);
            }
            moved.functions.push(index);
            moved.lost.push(lost);
        }
        Ok(())
    }

    fn place_maps(&mut self, object: &Object, moved: &mut Moved) -> Result<(), ObjError> {
        for map in &object.maps {
            let data = map.kind.is_data() || matches!(map.kind, MapKind::JumpTable);
            let known = self.maps.get(&map.def.name).copied();
            let mut shift = 0;
            let index = match known {
                None => {
                    let index = MapIdx(self.out.maps.len());
                    self.maps.insert(map.def.name.clone(), index);
                    let mut spec = map.clone();
                    spec.data_relocs.clear();
                    if data {
                        spec.value_type = None;
                    }
                    self.out.maps.push(spec);
                    index
                }
                Some(index) if data => {
                    shift = self.append_data(index, map)?;
                    index
                }
                Some(index) => {
                    let old = &mut self.out.maps[index.0];
                    // Legacy definitions have no types to agree on: the one that is not weak counts.
                    let legacy = elf::is_legacy_section(&map.section);
                    if legacy && old.weak && !map.weak {
                        (old.def, old.legacy_extra) = (map.def.clone(), map.legacy_extra.clone());
                    }
                    let same =
                        old.def == map.def && old.pinning == map.pinning && old.kind == map.kind;
                    if !same && !legacy {
                        return Err(ObjError::link(
                            &map.def.name,
                            "two objects define this map differently",
                        ));
                    }
                    if !old.weak && !map.weak {
                        return Err(ObjError::link(
                            &map.def.name,
                            "two objects define this map; make one `__weak`",
                        ));
                    }
                    self.out.maps[index.0].weak &= map.weak;
                    index
                }
            };
            if known.is_none() {
                let spec = &mut self.out.maps[index.0];
                move_map_types(spec, moved);
            }
            moved.maps.push(index);
            moved.shifts.push(shift);
        }
        Ok(())
    }

    /// Appends a data section to the one of its name; gives where it starts.
    fn append_data(&mut self, index: MapIdx, map: &MapSpec) -> Result<u32, ObjError> {
        let old = &mut self.out.maps[index.0];
        if map.kind == MapKind::JumpTable {
            return Err(ObjError::link(
                &map.def.name,
                "jump tables of several objects cannot be joined",
            ));
        }
        let start = old.def.value_size.checked_next_multiple_of(8);
        let end = start
            .and_then(|s| s.checked_add(map.def.value_size))
            .filter(|&e| u64::from(e) <= elf::VALUE_BYTES_MAX);
        let (Some(start), Some(end)) = (start, end) else {
            return Err(ObjError::link(&map.def.name, "the section grows too large"));
        };
        if old.initial != InitialContents::None || map.initial != InitialContents::None {
            let bytes = |map: &MapSpec| match &map.initial {
                InitialContents::Bytes(bytes) => bytes.clone(),
                _ => Vec::new(),
            };
            let mut joined = bytes(old);
            joined.resize(start as usize, 0);
            joined.extend(bytes(map));
            joined.resize(end as usize, 0);
            old.initial = InitialContents::Bytes(joined);
        }
        old.def.value_size = end;
        old.def.flags |= map.def.flags & flags::MMAPABLE;
        Ok(start)
    }

    fn place_externs(&mut self, object: &Object, moved: &mut Moved) -> Result<(), ObjError> {
        for wanted in &object.externs {
            let mut new = wanted.clone();
            new.btf_type = wanted.btf_type.map(|id| moved.ty(id));
            if let ExternKind::Kconfig { map, offset, size } = wanted.kind {
                new.kind = ExternKind::Kconfig {
                    map: moved.maps[map.0],
                    offset: offset + moved.shift(map),
                    size,
                };
            }
            let index = match self.externs.get(&wanted.name).copied() {
                None => {
                    let index = ExternIdx(self.out.externs.len());
                    self.externs.insert(wanted.name.clone(), index);
                    self.out.externs.push(new);
                    index
                }
                Some(index) => {
                    let old = &mut self.out.externs[index.0];
                    let same = match (old.kind, new.kind) {
                        (
                            ExternKind::Kconfig { size: a, .. },
                            ExternKind::Kconfig { size: b, .. },
                        ) => a == b,
                        (a, b) => a == b,
                    };
                    if !same {
                        return Err(ObjError::link(
                            &wanted.name,
                            "two objects declare this extern differently",
                        ));
                    }
                    old.weak &= wanted.weak;
                    index
                }
            };
            moved.externs.push(index);
        }
        Ok(())
    }

    fn move_contents(&mut self, object: Object, moved: &Moved) -> Result<(), ObjError> {
        if let Some(btf) = &object.btf {
            self.move_variables(&object, btf, moved)?;
        }
        for (old, mut function) in object.functions.into_iter().enumerate() {
            if moved.lost[old] {
                continue;
            }
            function.btf_type = function.btf_type.map(|id| moved.ty(id));
            function
                .core
                .iter_mut()
                .for_each(|r| r.type_id = moved.ty(r.type_id));
            function
                .relocs
                .iter_mut()
                .for_each(|r| r.target = moved.target(r.target));
            self.out.functions[moved.functions[old].0] = function;
        }
        for mut program in object.programs {
            if !moved.lost[program.function.0] {
                program.function = moved.functions[program.function.0];
                self.out.programs.push(program);
            }
        }
        for (old, map) in object.maps.iter().enumerate() {
            let spec = &mut self.out.maps[moved.maps[old].0];
            if let InitialContents::Slots(slots) = &map.initial {
                let slot = |target: &SlotTarget| match *target {
                    SlotTarget::Map(m) => SlotTarget::Map(moved.maps[m.0]),
                    SlotTarget::Program(f) => SlotTarget::Program(moved.functions[f.0]),
                };
                spec.initial = InitialContents::Slots(
                    slots
                        .iter()
                        .map(|(at, target)| (*at, slot(target)))
                        .collect(),
                );
            }
            let shift = u64::from(moved.shifts[old]);
            spec.data_relocs
                .extend(map.data_relocs.iter().map(|r| DataReloc {
                    offset: r.offset + shift,
                    target: moved.data_target(&r.target),
                }));
        }
        for mut ops in object.struct_ops {
            ops.map = moved.maps[ops.map.0];
            ops.type_id = moved.ty(ops.type_id);
            ops.functions
                .iter_mut()
                .for_each(|(_, f)| *f = moved.functions[f.0]);
            self.out.struct_ops.push(ops);
        }
        self.out.unknown_sections.extend(object.unknown_sections);
        self.out.notes.0.extend(object.notes.0);
        Ok(())
    }

    /// Collects the variables of each data section, at their new places.
    fn move_variables(
        &mut self,
        object: &Object,
        btf: &Btf,
        moved: &Moved,
    ) -> Result<(), ObjError> {
        for id in btf.ids() {
            let Ok(Ty::DataSec { name, vars, .. }) = btf.ty(id) else {
                continue;
            };
            let map = object
                .maps
                .iter()
                .position(|m| m.kind.is_data() && m.def.name == name);
            let list = self.sections.entry(name.to_owned()).or_default();
            for var in vars.iter() {
                let shift = map.map_or(0, |m| moved.shifts[m]);
                let (ty, offset) = (moved.ty(var.ty), var.offset.saturating_add(shift));
                // One variable a map and an extern, however many objects declare it.
                let once = map.is_none() || name == ".kconfig";
                if once
                    && list
                        .iter()
                        .any(|v| names_equal(&self.types, v.ty, btf.name(var.ty)))
                {
                    continue;
                }
                list.push(SecVarDef {
                    ty,
                    offset,
                    size: var.size,
                });
                if let (
                    Some(map),
                    Ok(Ty::Var {
                        name,
                        linkage: BtfLinkage::Global,
                        ..
                    }),
                ) = (map, btf.ty(var.ty))
                {
                    let place = (moved.maps[map], offset);
                    if self.globals.insert(name.to_owned(), place).is_some() {
                        return Err(ObjError::link(name, "two objects define this variable"));
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Object, ObjError> {
        let failed = |e: skep_btf::BtfError| ObjError::malformed(".BTF", 0, e.to_string());
        self.resolve_externs();
        crate::renumber::by_section(&mut self.out);
        if self.typed {
            let mut sections: Vec<_> = std::mem::take(&mut self.sections).into_iter().collect();
            sections.sort_by(|a, b| a.0.cmp(&b.0));
            for (name, mut vars) in sections {
                let data = self
                    .out
                    .maps
                    .iter_mut()
                    .find(|m| m.kind.is_data() && m.def.name == name);
                let mut size = data.as_ref().map_or(0, |m| m.def.value_size);
                if data.is_none() {
                    // Definitions stand one after the other.
                    for var in &mut vars {
                        var.offset = size.checked_next_multiple_of(8).unwrap_or(size);
                        size = var.offset.saturating_add(var.size);
                    }
                }
                let id = self.types.add(TypeDef::DataSec { name, size, vars });
                if let Some(map) = data {
                    map.value_type = Some(id);
                }
            }
            let btf = self.types.into_btf().map_err(failed)?;
            let mut deduped = dedup::dedup(&btf).map_err(failed)?;
            deduped.builder.set_endian(self.out.endian);
            let map = |id: TypeId| deduped.map.get(id.0 as usize).copied().unwrap_or_default();
            for spec in &mut self.out.maps {
                remap(spec, &map);
            }
            for function in &mut self.out.functions {
                function.btf_type = function.btf_type.map(map);
                function
                    .core
                    .iter_mut()
                    .for_each(|r| r.type_id = map(r.type_id));
            }
            self.out
                .externs
                .iter_mut()
                .for_each(|e| e.btf_type = e.btf_type.map(map));
            self.out
                .struct_ops
                .iter_mut()
                .for_each(|s| s.type_id = map(s.type_id));
            self.out.btf = Some(Arc::new(deduped.builder.into_btf().map_err(failed)?));
        }
        Ok(self.out)
    }

    /// Externs that one of the objects defines become references to the definition.
    fn resolve_externs(&mut self) {
        let found: Vec<Option<RelocTarget>> = self
            .out
            .externs
            .iter()
            .map(|e| match e.kind {
                ExternKind::Function => self.functions.get(&e.name).map(|&f| RelocTarget::Call(f)),
                ExternKind::Variable => {
                    let map = self
                        .maps
                        .get(&e.name)
                        .filter(|m| !self.out.maps[m.0].kind.is_data());
                    let global = self.globals.get(&e.name);
                    let global = global.map(|&(map, offset)| RelocTarget::MapValue { map, offset });
                    global
                        .or_else(|| map.map(|&m| RelocTarget::Map(m)))
                        .or_else(|| {
                            self.functions
                                .get(&e.name)
                                .map(|&f| RelocTarget::FuncAddr(f))
                        })
                }
                _ => None,
            })
            .collect();
        let mut kept = Vec::new();
        let mut new_index = Vec::new();
        for (index, one) in std::mem::take(&mut self.out.externs)
            .into_iter()
            .enumerate()
        {
            new_index.push(ExternIdx(kept.len()));
            if found[index].is_none() {
                kept.push(one);
            }
        }
        self.out.externs = kept;
        for function in &mut self.out.functions {
            for reloc in &mut function.relocs {
                let RelocTarget::Extern(e) = reloc.target else {
                    continue;
                };
                reloc.target = match (found[e.0], function.insns.get(reloc.at)) {
                    (Some(RelocTarget::Call(f)), Some(insn)) if !insn.is_call() => {
                        RelocTarget::FuncAddr(f)
                    }
                    (Some(target), _) => target,
                    (None, _) => RelocTarget::Extern(new_index[e.0]),
                };
                elf::strip(
                    &mut function.insns,
                    reloc.at,
                    reloc.target,
                    &self.out.externs,
                );
            }
        }
        for reloc in self.out.maps.iter_mut().flat_map(|m| &mut m.data_relocs) {
            let DataTarget::Extern(e) = reloc.target else {
                continue;
            };
            reloc.target = match found[e.0] {
                Some(RelocTarget::Call(f) | RelocTarget::FuncAddr(f)) => DataTarget::Function(f),
                Some(RelocTarget::Map(m)) => DataTarget::Map(m),
                Some(RelocTarget::MapValue { map, offset }) => DataTarget::MapValue {
                    map,
                    offset: offset.into(),
                },
                _ => DataTarget::Extern(new_index[e.0]),
            };
        }
    }
}

fn names_equal(types: &Builder, id: TypeId, name: &str) -> bool {
    matches!(types.def(id), Some(TypeDef::Var { name: n, .. } | TypeDef::Func { name: n, .. }) if n == name)
}

fn move_map_types(spec: &mut MapSpec, moved: &Moved) {
    remap(spec, &|id| moved.ty(id));
}

fn remap(spec: &mut MapSpec, map: &dyn Fn(TypeId) -> TypeId) {
    spec.key_type = spec.key_type.map(map);
    spec.value_type = spec.value_type.map(map);
    if let Some(inner) = &mut spec.inner {
        remap(inner, map);
    }
}

/// All indices are in range: objects can be edited between reading and linking.
fn check(object: &Object) -> Result<(), ObjError> {
    let (maps, functions, externs) = (
        object.maps.len(),
        object.functions.len(),
        object.externs.len(),
    );
    let target = |t: &RelocTarget| match *t {
        RelocTarget::Map(m) | RelocTarget::MapValue { map: m, .. } => m.0 < maps,
        RelocTarget::Call(f) | RelocTarget::FuncAddr(f) => f.0 < functions,
        RelocTarget::Extern(e) => e.0 < externs,
    };
    let data = |t: &DataTarget| match *t {
        DataTarget::Map(m) | DataTarget::MapValue { map: m, .. } => m.0 < maps,
        DataTarget::Function(f) | DataTarget::Code { function: f, .. } => f.0 < functions,
        DataTarget::Extern(e) => e.0 < externs,
    };
    let slots = |m: &MapSpec| match &m.initial {
        InitialContents::Slots(slots) => slots.iter().all(|(_, t)| match *t {
            SlotTarget::Map(m) => m.0 < maps,
            SlotTarget::Program(f) => f.0 < functions,
        }),
        _ => true,
    };
    let sound = object
        .functions
        .iter()
        .flat_map(|f| &f.relocs)
        .all(|r| target(&r.target))
        && object
            .maps
            .iter()
            .all(|m| slots(m) && m.data_relocs.iter().all(|r| data(&r.target)))
        && object.programs.iter().all(|p| p.function.0 < functions)
        && object
            .externs
            .iter()
            .all(|e| !matches!(e.kind, ExternKind::Kconfig { map, .. } if map.0 >= maps))
        && object
            .struct_ops
            .iter()
            .all(|s| s.map.0 < maps && s.functions.iter().all(|(_, f)| f.0 < functions));
    if sound {
        Ok(())
    } else {
        Err(ObjError::link(
            &object.name,
            "the object refers to what it does not hold",
        ))
    }
}
