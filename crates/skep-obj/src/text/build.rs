//! From what an assembler's file says to an [`Object`].
//!
//! Invariants: names are resolved once, in one table a kind; positions in sections are given in the order of the file;
//! a `.raw ".BTF"` block replaces all types, and types are then named as its C printing names them.

use std::collections::HashMap;
use std::sync::Arc;

use skep_btf::build::{SecVarDef, TypeDef};
use skep_btf::core::CoreKind;
use skep_btf::ext::{CoreRelo, LineInfo};
use skep_btf::parse_c::{CTypes, Declared};
use skep_btf::ty::Linkage as BtfLinkage;
use skep_btf::{Btf, Builder, Kind, Ty, TypeId, format_c};
use skep_diag::{Diagnostic, Diagnostics, Span};
use skep_spec::asm::{self, Init, RefTarget, Shape};
use skep_spec::insn::Endian;
use skep_spec::map::{MapDef, MapType, flags};

use super::init::Fill;
use crate::elf;
use crate::object::*;

pub(super) fn object(
    file: &asm::File,
    options: &ParseOptions,
    diagnostics: &mut Diagnostics,
) -> Option<Object> {
    let raw = file.raw.iter().find(|r| r.name == ".BTF");
    let types = match raw {
        Some(raw) => match Btf::parse(raw.bytes.clone()) {
            Ok(btf) => Types::Given(Box::new(Given {
                names: names(&btf),
                btf: Arc::new(btf),
            })),
            Err(e) => {
                diagnostics.push(
                    Diagnostic::error("obj-bad-btf", e.to_string()).at(raw.span, "these types"),
                );
                return None;
            }
        },
        None => Types::Declared(Box::default()),
    };
    let mut build = Build {
        object: Object {
            name: options.name.clone(),
            endian: Endian::Little,
            ..Object::default()
        },
        types,
        diagnostics,
        maps: HashMap::new(),
        functions: HashMap::new(),
        externs: HashMap::new(),
        globals: HashMap::new(),
        values: Vec::new(),
        any_type: false,
    };
    build.file(file);
    build.finish()
}

/// Where the types come from.
enum Types {
    Declared(Box<CTypes>),
    Given(Box<Given>),
}

impl Types {
    fn builder(&mut self) -> Option<&mut Builder> {
        match self {
            Types::Declared(c) => Some(c.builder_mut()),
            Types::Given(_) => None,
        }
    }
}

struct Given {
    btf: Arc<Btf>,
    names: HashMap<String, TypeId>,
}

/// Every type of a BTF by its name in C; of several with one name, the first.
pub(super) fn names(btf: &Btf) -> HashMap<String, TypeId> {
    let mut out = HashMap::new();
    for id in std::iter::once(TypeId::VOID).chain(btf.ids()) {
        out.entry(format_c::type_name(btf, id)).or_insert(id);
    }
    out
}

/// The word for a type that no C name stands for.
pub(super) const BY_ID: &str = "btf_type_";

pub(super) struct Build<'a> {
    pub object: Object,
    types: Types,
    diagnostics: &'a mut Diagnostics,
    maps: HashMap<String, MapIdx>,
    functions: HashMap<String, FnIdx>,
    pub externs: HashMap<String, ExternIdx>,
    globals: HashMap<String, (MapIdx, u32)>,
    /// Values of variables: place, type, what it is to hold, where that is written.
    values: Vec<(MapIdx, u32, TypeId, Init, Span)>,
    /// A type was declared or used, so the object has BTF.
    any_type: bool,
}

impl Build<'_> {
    pub fn error(&mut self, id: &'static str, span: Span, headline: impl Into<String>, help: &str) {
        self.diagnostics
            .push(Diagnostic::error(id, headline).at(span, "").help(help));
    }

    fn type_id(&mut self, text: &str, span: Span) -> TypeId {
        self.any_type = true;
        let found = match &mut self.types {
            Types::Declared(c) => c.type_id(text).map_err(|e| e.why.into_owned()),
            Types::Given(given) => {
                let by_id = text
                    .strip_prefix(BY_ID)
                    .and_then(|n| n.parse().ok())
                    .filter(|&n| n < given.btf.len());
                let found = by_id.map(TypeId).or_else(|| given.names.get(text).copied());
                found.ok_or_else(|| "the `.BTF` block has no such type".to_owned())
            }
        };
        match found {
            Ok(id) => id,
            Err(why) => {
                self.error(
                    "obj-bad-type",
                    span,
                    format!("type `{text}`: {why}"),
                    "declare it in C before it is used",
                );
                TypeId::VOID
            }
        }
    }

    /// Size and alignment of a type.
    pub fn shape(&mut self, id: TypeId, span: Span) -> (u32, u32) {
        let shape = match &self.types {
            Types::Declared(c) => c.shape(id),
            Types::Given(given) => given.btf.size_of(id).ok().zip(given.btf.align_of(id).ok()),
        };
        shape.unwrap_or_else(|| {
            self.error(
                "obj-bad-type",
                span,
                "this type has no size",
                "declare its members",
            );
            (0, 1)
        })
    }

    /// The variable or function that a C declaration declares.
    pub fn declared(&mut self, text: &str, span: Span) -> Option<Declared> {
        self.any_type = true;
        let result = match &mut self.types {
            Types::Declared(c) => c
                .declare(&format!("{text};"))
                .map_err(|e| e.why.into_owned()),
            Types::Given(_) => Err("types come from the `.BTF` block".to_owned()),
        };
        match result {
            Ok(declared) => declared.into_iter().next_back(),
            Err(why) => {
                self.error(
                    "obj-bad-declaration",
                    span,
                    format!("`{text}`: {why}"),
                    "write a C declaration, such as `u64 count`",
                );
                None
            }
        }
    }

    pub fn builder(&mut self) -> Option<&mut Builder> {
        self.types.builder()
    }

    pub fn given(&self) -> Option<Arc<Btf>> {
        match &self.types {
            Types::Given(given) => Some(Arc::clone(&given.btf)),
            Types::Declared(_) => None,
        }
    }

    fn file(&mut self, file: &asm::File) {
        self.object.license = file.license.as_ref().map(|l| l.value.clone());
        self.object.kern_version = file.kernel_version.as_ref().map(|v| v.value);
        for declaration in &file.types {
            let result = match &mut self.types {
                Types::Declared(c) => c
                    .declare(&declaration.value)
                    .map(drop)
                    .map_err(|e| (e.offset, e.why.into_owned())),
                Types::Given(_) => Err((0, "types come from the `.BTF` block".to_owned())),
            };
            self.any_type = true;
            if let Err((offset, why)) = result {
                let start = declaration
                    .span
                    .start
                    .saturating_add(offset as u32)
                    .min(declaration.span.end);
                let span = Span::new(declaration.span.source, start, declaration.span.end);
                self.error(
                    "obj-bad-declaration",
                    span,
                    why,
                    "write plain C declarations",
                );
            }
        }
        for map in &file.maps {
            let spec = self.map(map, &map.name);
            self.maps
                .insert(map.name.clone(), MapIdx(self.object.maps.len()));
            self.object.maps.push(spec);
        }
        for (index, function) in file.functions.iter().enumerate() {
            self.functions.insert(function.name.clone(), FnIdx(index));
        }
        self.data(file);
        self.externs(file);
        for function in &file.functions {
            self.function(function);
        }
        self.complete_prototypes();
        for (index, map) in file.maps.iter().enumerate() {
            self.slots(index, map);
        }
        self.raw_unknown(file);
    }

    fn map(&mut self, map: &asm::Map, name: &str) -> MapSpec {
        let side = |this: &mut Self, shape: &Shape| match shape {
            Shape::None => (None, 0),
            Shape::Size(size) => (None, *size),
            Shape::Type(text) => {
                let id = this.type_id(text, map.span);
                (Some(id), this.shape(id, map.span).0)
            }
        };
        let (key_type, key_size) = side(self, &map.key);
        let (value_type, value_size) = side(self, &map.value);
        let slots = map.inner.is_some() || !map.slots.is_empty() || map.map_type.is_map_of_maps();
        let value_size = if slots && value_size == 0 {
            4
        } else {
            value_size
        };
        let mut def = MapDef::new(name, map.map_type, key_size, value_size, map.max_entries);
        def.flags = map.flags
            | if map.numa_node.is_some() {
                flags::NUMA_NODE
            } else {
                0
            };
        def.map_extra = map.map_extra;
        def.numa_node = map.numa_node;
        let inner = map
            .inner
            .as_ref()
            .map(|inner| Box::new(self.map(inner, &format!("{name}.inner"))));
        MapSpec {
            def,
            section: ".maps".to_owned(),
            key_type,
            value_type,
            pinning: if map.pin_by_name {
                Pinning::ByName
            } else {
                Pinning::None
            },
            inner,
            initial: InitialContents::None,
            frozen: false,
            kind: if map.map_type == MapType::Arena {
                MapKind::Arena
            } else {
                MapKind::Ordinary
            },
            data_relocs: Vec::new(),
            weak: false,
            legacy_extra: Vec::new(),
        }
    }

    fn slots(&mut self, index: usize, map: &asm::Map) {
        let mut slots = Vec::new();
        for slot in &map.slots {
            let target = if map.map_type == MapType::ProgArray {
                self.functions
                    .get(&slot.target)
                    .map(|&f| SlotTarget::Program(f))
            } else if map.map_type.is_map_of_maps() {
                self.maps.get(&slot.target).map(|&m| SlotTarget::Map(m))
            } else {
                None
            };
            match target {
                Some(target) => slots.push((slot.index, target)),
                None => {
                    let headline = format!(
                        "`{}` cannot be in a map of type {}",
                        slot.target, map.map_type
                    );
                    self.error(
                        "obj-bad-element",
                        slot.span,
                        headline,
                        "name a function of the file for a prog_array, a map for a map of maps",
                    );
                }
            }
        }
        if !slots.is_empty() {
            self.object.maps[index].initial = InitialContents::Slots(slots);
        }
    }

    /// The data section's map, made if it is new.
    fn data_map(&mut self, section: &str, span: Span) -> Option<MapIdx> {
        if let Some(&map) = self.maps.get(section) {
            return Some(map);
        }
        let Some(kind) = elf::data_kind(section) else {
            let headline = format!("`{section}` is no data section");
            self.error(
                "obj-bad-section",
                span,
                headline,
                "data goes to .rodata, .data or .bss, or to these with more after a dot",
            );
            return None;
        };
        let index = MapIdx(self.object.maps.len());
        self.object.maps.push(elf::data_map(section, kind, 0));
        self.maps.insert(section.to_owned(), index);
        Some(index)
    }

    fn data(&mut self, file: &asm::File) {
        for raw in file
            .raw
            .iter()
            .filter(|r| elf::data_kind(&r.name).is_some())
        {
            let Some(map) = self.data_map(&raw.name, raw.span) else {
                continue;
            };
            let datasec = self
                .given()
                .and_then(|btf| btf.find(Kind::DataSec, &raw.name));
            let spec = &mut self.object.maps[map.0];
            spec.def.value_size = raw.bytes.len() as u32;
            spec.value_type = datasec;
            // A `.bss` block holds only its size, as zeroes.
            if spec.kind != MapKind::Bss || raw.bytes.iter().any(|&b| b != 0) {
                spec.initial = InitialContents::Bytes(raw.bytes.clone());
            }
        }
        let mut sections: Vec<(MapIdx, Vec<SecVarDef>, bool)> = Vec::new();
        for global in &file.globals {
            let Some(Declared::Variable { name, ty }) =
                self.declared(&global.declaration, global.span)
            else {
                continue;
            };
            let (size, align) = self.shape(ty, global.span);
            let Some(map) = self.data_map(&global.section, global.span) else {
                continue;
            };
            let spec = &mut self.object.maps[map.0];
            let offset = spec.def.value_size.checked_next_multiple_of(align.max(1));
            let end = offset
                .and_then(|o| o.checked_add(size))
                .filter(|&end| u64::from(end) <= elf::VALUE_BYTES_MAX);
            let (Some(offset), Some(end)) = (offset, end) else {
                self.error(
                    "obj-bad-section",
                    global.span,
                    "the section grows too large",
                    "make the variable smaller",
                );
                continue;
            };
            spec.def.value_size = end;
            let linkage = if global.is_static {
                BtfLinkage::Static
            } else {
                BtfLinkage::Global
            };
            let Some(builder) = self.builder() else {
                continue;
            };
            let var = builder.add(TypeDef::Var {
                name: name.clone(),
                target: ty,
                linkage,
            });
            let at = sections
                .iter()
                .position(|(m, ..)| *m == map)
                .unwrap_or_else(|| {
                    sections.push((map, Vec::new(), false));
                    sections.len() - 1
                });
            sections[at].1.push(SecVarDef {
                ty: var,
                offset,
                size,
            });
            sections[at].2 |= !global.is_static;
            self.globals.insert(name, (map, offset));
            if let Some(value) = &global.value {
                self.values
                    .push((map, offset, ty, value.clone(), global.span));
            }
        }
        for (map, vars, visible) in sections {
            let size = self.object.maps[map.0].def.value_size;
            let name = self.object.maps[map.0].section.clone();
            let datasec = self
                .builder()
                .map(|b| b.add(TypeDef::DataSec { name, size, vars }));
            let spec = &mut self.object.maps[map.0];
            spec.value_type = datasec;
            if visible {
                spec.def.flags |= flags::MMAPABLE;
            }
            if spec.kind != MapKind::Bss {
                spec.initial = InitialContents::Bytes(vec![0; size as usize]);
            }
        }
        // Data whose types are given: user space may map it if a variable is visible.
        if let Some(btf) = self.given() {
            for spec in &mut self.object.maps {
                let visible = spec.value_type.is_some_and(|id| elf::has_global(&btf, id));
                if spec.kind.is_data() && visible {
                    spec.def.flags |= flags::MMAPABLE;
                }
            }
        }
    }

    fn function(&mut self, function: &asm::Function) {
        let btf_type = match (&function.prototype, self.given()) {
            (_, Some(btf)) => btf.find(Kind::Func, &function.name),
            (Some(prototype), None) => match self.declared(prototype, function.span) {
                Some(Declared::Function { name, proto }) => {
                    let linkage = if function.linkage == asm::Linkage::Static {
                        BtfLinkage::Static
                    } else {
                        BtfLinkage::Global
                    };
                    self.builder().map(|b| {
                        b.add(TypeDef::Func {
                            name,
                            proto,
                            linkage,
                        })
                    })
                }
                _ => None,
            },
            (None, None) => None,
        };
        let mut out = Function {
            name: function.name.clone(),
            section: function.section.clone(),
            linkage: match function.linkage {
                asm::Linkage::Global => Linkage::Global,
                asm::Linkage::Static => Linkage::Static,
                asm::Linkage::Weak => Linkage::Weak,
            },
            insns: function.insns.clone(),
            btf_type,
            ..Function::default()
        };
        for one in &function.refs {
            match self.target(&one.target) {
                Some(target) => {
                    elf::strip(&mut out.insns, one.at, target, &self.object.externs);
                    out.relocs.push(Reloc { at: one.at, target });
                }
                None => {
                    let (what, name) = target_words(&one.target);
                    self.error(
                        "obj-unknown-name",
                        one.span,
                        format!("there is no {what} `{name}`"),
                        "declare it in this file",
                    );
                }
            }
        }
        out.relocs.sort_by_key(|r| r.at);
        for note in &function.core {
            let type_id = self.type_id(&note.type_name, note.span);
            let Some(kind) = CoreKind::from_number(note.kind) else {
                continue;
            };
            out.core.push(CoreRelo {
                insn_off: note.at as u32,
                type_id,
                access: note.access.clone(),
                kind,
            });
        }
        for line in &function.lines {
            self.any_type = true;
            out.lines.push(LineInfo {
                insn_off: line.at as u32,
                file: line.file.as_str().into(),
                line_text: line.text.as_str().into(),
                line: line.line,
                col: line.column,
            });
        }
        self.object.functions.push(out);
    }

    /// Gives functions without a prototype one, if others have theirs: loaders want types of all functions or of none.
    fn complete_prototypes(&mut self) {
        if self.object.functions.iter().all(|f| f.btf_type.is_none()) {
            return;
        }
        let Some(builder) = self.types.builder() else {
            return;
        };
        let mut proto = None;
        for function in self
            .object
            .functions
            .iter_mut()
            .filter(|f| f.btf_type.is_none())
        {
            let proto = *proto.get_or_insert_with(|| {
                let int = builder.add_int("int", 4, skep_btf::ty::Encoding::SIGNED);
                builder.add(TypeDef::FuncProto {
                    ret: int,
                    params: Vec::new(),
                })
            });
            // Static for a verifier, which then checks calls with what they pass.
            let linkage = if function.section == ".text" {
                BtfLinkage::Static
            } else {
                BtfLinkage::Global
            };
            let name = function.name.clone();
            function.btf_type = Some(builder.add(TypeDef::Func {
                name,
                proto,
                linkage,
            }));
        }
    }

    fn target(&self, target: &RefTarget) -> Option<RelocTarget> {
        let map = |name: &str| self.maps.get(name).copied();
        let function = |name: &str| self.functions.get(name).copied();
        Some(match target {
            RefTarget::Map(name) => RelocTarget::Map(map(name)?),
            RefTarget::MapValue { map: name, offset } => RelocTarget::MapValue {
                map: map(name)?,
                offset: *offset,
            },
            RefTarget::Global { name, offset } => {
                let (map, at) = self.global(name)?;
                RelocTarget::MapValue {
                    map,
                    offset: at.checked_add(*offset)?,
                }
            }
            RefTarget::Extern(name) | RefTarget::Kfunc(name) => {
                RelocTarget::Extern(*self.externs.get(name)?)
            }
            RefTarget::FuncAddr(name) => RelocTarget::FuncAddr(function(name)?),
            RefTarget::Call(name) => match function(name) {
                Some(function) => RelocTarget::Call(function),
                None => RelocTarget::Extern(*self.externs.get(name)?),
            },
        })
    }

    fn global(&self, name: &str) -> Option<(MapIdx, u32)> {
        if let Some(&place) = self.globals.get(name) {
            return Some(place);
        }
        // With given types, variables are those of its data sections.
        let btf = self.given()?;
        self.object
            .maps
            .iter()
            .enumerate()
            .find_map(|(index, map)| {
                let Ok(Ty::DataSec { vars, .. }) = btf.ty(map.value_type?) else {
                    return None;
                };
                let var = vars.iter().find(|v| btf.name(v.ty) == name)?;
                Some((MapIdx(index), var.offset))
            })
    }

    fn raw_unknown(&mut self, file: &asm::File) {
        for raw in &file.raw {
            if raw.name == ".BTF" || elf::data_kind(&raw.name).is_some() {
                continue;
            }
            self.object.unknown_sections.push(UnknownSection {
                name: raw.name.clone(),
                section_type: object::elf::SHT_PROGBITS,
                section_flags: 0,
                size: raw.bytes.len() as u64,
                data: raw.bytes.clone(),
            });
        }
    }

    fn finish(mut self) -> Option<Object> {
        self.object.find_programs();
        let btf = match self.types {
            Types::Given(given) => Some(given.btf),
            Types::Declared(c) if self.any_type => match c.into_builder().into_btf() {
                Ok(btf) => Some(Arc::new(btf)),
                Err(e) => {
                    self.diagnostics
                        .push(Diagnostic::error("obj-bad-btf", e.to_string()));
                    return None;
                }
            },
            Types::Declared(_) => None,
        };
        if let Some(btf) = &btf {
            for (map, offset, ty, init, span) in std::mem::take(&mut self.values) {
                let mut relocs = Vec::new();
                let size = btf.size_of(ty).unwrap_or(0) as usize;
                let spec = &mut self.object.maps[map.0];
                if spec.initial == InitialContents::None {
                    spec.initial = InitialContents::Bytes(vec![0; spec.def.value_size as usize]);
                }
                let InitialContents::Bytes(bytes) = &mut spec.initial else {
                    continue;
                };
                let Some(place) = bytes
                    .get_mut(offset as usize..)
                    .and_then(|b| b.get_mut(..size))
                else {
                    continue;
                };
                let mut fill = Fill {
                    btf,
                    endian: self.object.endian,
                    relocs: &mut relocs,
                };
                if let Err(why) = fill.init(ty, &init, place, u64::from(offset), 0) {
                    self.diagnostics.push(
                        Diagnostic::error("obj-bad-value", why)
                            .at(span, "")
                            .help("give a value that fits the type"),
                    );
                }
                for (offset, name) in relocs {
                    let target = self.functions.get(&name).map(|&f| DataTarget::Function(f));
                    let target = target.or_else(|| {
                        self.globals
                            .get(&name)
                            .map(|&(map, at)| DataTarget::MapValue {
                                map,
                                offset: at.into(),
                            })
                    });
                    let target =
                        target.or_else(|| self.maps.get(&name).map(|&m| DataTarget::Map(m)));
                    match target {
                        Some(target) => self.object.maps[map.0]
                            .data_relocs
                            .push(DataReloc { offset, target }),
                        None => self.diagnostics.push(
                            Diagnostic::error("obj-unknown-name", format!("there is no `{name}`"))
                                .at(span, "")
                                .help("declare it in this file"),
                        ),
                    }
                }
            }
        }
        self.object.btf = btf;
        crate::renumber::by_section(&mut self.object);
        Some(self.object)
    }
}

fn target_words(target: &RefTarget) -> (&'static str, &str) {
    match target {
        RefTarget::Map(name) | RefTarget::MapValue { map: name, .. } => ("map", name),
        RefTarget::Global { name, .. } => ("global variable", name),
        RefTarget::Extern(name) => ("extern", name),
        RefTarget::Kfunc(name) => ("kfunc extern", name),
        RefTarget::FuncAddr(name) | RefTarget::Call(name) => ("function", name),
    }
}
