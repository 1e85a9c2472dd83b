//! From the sections of an ELF file to an [`Object`].
//!
//! Invariants: each section is given one role by name and type, once; what has no role is kept as an
//! [`UnknownSection`] and reported; the order of programs, functions and maps is that of the file.

use std::collections::HashMap;
use std::sync::Arc;

use object::elf;
use skep_btf::{Btf, BtfExt, Kind, Ty, TypeId, ty::Linkage as BtfLinkage};
use skep_diag::{Diagnostic, Place};

use super::functions::{self, Functions};
use super::{File, Home, Numbers, btf_fix, data, legacy_maps, maps, relocate};
use crate::error::ObjError;
use crate::object::*;

/// Reads an ELF object.
pub(crate) fn read(bytes: &[u8], options: &ParseOptions) -> Result<Object, ObjError> {
    let file = File::parse(bytes)?;
    let mut reader = Reader {
        options,
        object: Object {
            name: options.name.clone(),
            endian: file.endian,
            ..Object::default()
        },
        places: Places::default(),
        functions: Functions::default(),
        extern_of_symbol: HashMap::new(),
        file: &file,
    };
    reader.btf()?;
    reader.functions = functions::cut(&file)?;
    reader.sections()?;
    reader.kconfig()?;
    reader.code_types()?;
    relocate::code(&mut reader)?;
    relocate::data(&mut reader)?;
    reader.object.functions = std::mem::take(&mut reader.functions.list);
    reader.programs();
    reader.struct_ops_sections();
    Ok(reader.object)
}

/// The `.BTF` section of an ELF file of any machine.
pub(crate) fn btf_section(bytes: &[u8]) -> Result<Option<Vec<u8>>, ObjError> {
    let other = |e: object::read::Error| ObjError::malformed("ELF header", 0, e.to_string());
    match File::parse(bytes) {
        Ok(file) => {
            let Some(section) = file
                .sections
                .iter()
                .position(|s| s.name == ".BTF" && !s.data.is_empty())
            else {
                return Ok(None);
            };
            let mut bytes = btf_fix::relocated(&file, section);
            btf_fix::complete_datasecs(&file, &mut bytes);
            Ok(Some(bytes))
        }
        // A kernel image or module: its types need nothing from its symbols.
        Err(ObjError::Unsupported { .. }) => {
            use object::{Object as _, ObjectSection as _};
            let file = object::File::parse(bytes).map_err(other)?;
            match file.section_by_name(".BTF") {
                Some(section) => Ok(Some(section.data().map_err(other)?.to_vec())),
                None => Ok(None),
            }
        }
        Err(error) => Err(error),
    }
}

/// Where maps are in the file.
#[derive(Default)]
pub(super) struct Places {
    /// Data sections: the whole section is the map's value.
    pub data: HashMap<usize, MapIdx>,
    /// Declared maps: section and offset to map, its size and the place of its `values`.
    pub declared: HashMap<usize, Vec<DeclaredAt>>,
    /// The arena that `.addr_space.1` fills, and `.struct_ops` variables by section.
    pub struct_ops: HashMap<usize, Vec<(u64, u64, MapIdx)>>,
}

#[derive(Clone, Copy)]
pub(super) struct DeclaredAt {
    pub offset: u64,
    pub size: u64,
    pub map: MapIdx,
    pub values_at: Option<u64>,
}

pub(super) struct Reader<'r, 'a> {
    pub options: &'r ParseOptions,
    pub object: Object,
    pub places: Places,
    pub functions: Functions,
    pub extern_of_symbol: HashMap<usize, ExternIdx>,
    pub file: &'r File<'a>,
}

impl Reader<'_, '_> {
    pub fn note(
        &mut self,
        id: &'static str,
        section: &str,
        offset: u64,
        headline: impl Into<String>,
    ) {
        let place = Place::Section {
            name: section.to_owned(),
            offset,
        };
        self.object
            .notes
            .0
            .push(Diagnostic::info(id, headline).at(place, ""));
    }

    fn section_named(&self, name: &str) -> Option<usize> {
        self.file
            .sections
            .iter()
            .position(|s| s.name == name && !s.data.is_empty())
    }

    fn btf(&mut self) -> Result<(), ObjError> {
        if let Some(section) = self.section_named(".BTF") {
            let mut bytes = btf_fix::relocated(self.file, section);
            btf_fix::complete_datasecs(self.file, &mut bytes);
            let btf = Btf::parse(bytes).map_err(btf_error)?;
            self.object.btf = Some(Arc::new(btf));
        }
        Ok(())
    }

    fn sections(&mut self) -> Result<(), ObjError> {
        let file = self.file;
        for (index, section) in file.sections.iter().enumerate().skip(1) {
            let name = section.name.as_str();
            match section.kind {
                elf::SHT_NULL
                | elf::SHT_SYMTAB
                | elf::SHT_STRTAB
                | elf::SHT_REL
                | elf::SHT_RELA => continue,
                elf::SHT_SYMTAB_SHNDX | elf::SHT_GROUP => continue,
                _ => {}
            }
            let btf = self.object.btf.clone();
            let btf = btf.as_deref();
            if section.is_code() || name == ".BTF" || name == ".BTF.ext" {
            } else if name == "license" {
                self.object.license = Some(text(section.data));
            } else if name == "version" {
                let version = Numbers(file.endian).u32(section.data, 0);
                let version = version.filter(|_| section.data.len() == 4).ok_or_else(|| {
                    ObjError::malformed(
                        name,
                        0,
                        format!("{} bytes, wanted a 4-byte number", section.data.len()),
                    )
                })?;
                self.object.kern_version = Some(version);
            } else if name == maps::SECTION {
                for placed in maps::read(file, index, btf)? {
                    let map = self.push_map(placed.spec);
                    self.places
                        .declared
                        .entry(index)
                        .or_default()
                        .push(DeclaredAt {
                            offset: placed.offset,
                            size: placed.size,
                            map,
                            values_at: placed.values_at,
                        });
                }
            } else if legacy_maps::is_section(name) {
                if !self.options.legacy_maps {
                    return Err(ObjError::unsupported(
                        name,
                        0,
                        "map definitions of before BTF",
                        "read the object with legacy maps switched on, or define its maps in `.maps`",
                    ));
                }
                for placed in legacy_maps::read(file, index)? {
                    let map = self.push_map(placed.spec);
                    self.places
                        .declared
                        .entry(index)
                        .or_default()
                        .push(DeclaredAt {
                            offset: placed.offset,
                            size: 0,
                            map,
                            values_at: None,
                        });
                }
            } else if let Some(link) = struct_ops_link(name) {
                self.struct_ops_values(index, link)?;
            } else if let Some(kind) = data::kind_of(section) {
                if section.size == 0 {
                    continue;
                }
                let spec = data::map_of(section, kind, btf)?;
                let map = self.push_map(spec);
                self.places.data.insert(index, map);
            } else if is_bookkeeping(name) {
            } else {
                if section.kind == elf::SHT_NOBITS && section.size > data::VALUE_BYTES_MAX {
                    return Err(ObjError::unsupported(
                        name,
                        0,
                        format!("a section of {:#x} bytes", section.size),
                        "no map can hold it",
                    ));
                }
                self.object.unknown_sections.push(UnknownSection {
                    name: name.to_owned(),
                    section_type: section.kind,
                    section_flags: section.flags,
                    size: section.size,
                    data: section.data.to_vec(),
                });
                let headline =
                    format!("section `{name}` is not understood; it is kept and not used");
                self.note("obj-unknown-section", name, 0, headline);
            }
        }
        // The arena's declaration and its initial contents are one map.
        self.join_arena();
        Ok(())
    }

    fn push_map(&mut self, spec: MapSpec) -> MapIdx {
        self.object.maps.push(spec);
        MapIdx(self.object.maps.len() - 1)
    }

    /// Moves the contents of `.addr_space.1` into the declared arena, if there is one.
    fn join_arena(&mut self) {
        let maps = &mut self.object.maps;
        let Some(globals) = maps.iter().position(|m| m.section == ".addr_space.1") else {
            return;
        };
        let declared = maps
            .iter()
            .position(|m| m.kind == MapKind::Arena && m.section != ".addr_space.1");
        let Some(declared) = declared else { return };
        maps[declared].initial = std::mem::take(&mut maps[globals].initial);
        maps[declared].value_type = maps[globals].value_type;
        maps.remove(globals);
        let fix = |map: &mut MapIdx| {
            *map = match map.0 {
                i if i == globals => MapIdx(declared - usize::from(declared > globals)),
                i if i > globals => MapIdx(i - 1),
                i => MapIdx(i),
            }
        };
        self.places.data.values_mut().for_each(fix);
        self.places
            .declared
            .values_mut()
            .flatten()
            .for_each(|d| fix(&mut d.map));
        self.places
            .struct_ops
            .values_mut()
            .flatten()
            .for_each(|(_, _, map)| fix(map));
        self.object
            .struct_ops
            .iter_mut()
            .for_each(|s| fix(&mut s.map));
    }

    fn struct_ops_values(&mut self, index: usize, link: bool) -> Result<(), ObjError> {
        let section = &self.file.sections[index];
        let name = section.name.as_str();
        if section.data.is_empty() {
            return Ok(());
        }
        let missing = || {
            ObjError::malformed(
                name,
                0,
                "struct_ops values without BTF types; compile with `clang -g`",
            )
        };
        let btf = self.object.btf.clone().ok_or_else(missing)?;
        let id = btf.find(Kind::DataSec, name).ok_or_else(missing)?;
        let Ok(Ty::DataSec { vars, .. }) = btf.ty(id) else {
            return Err(missing());
        };
        for var in vars.iter() {
            let offset = u64::from(var.offset);
            let Ok(Ty::Var {
                name: var_name,
                target,
                ..
            }) = btf.ty(var.ty)
            else {
                return Err(ObjError::malformed(
                    name,
                    offset,
                    "an entry of the section's types is not a variable",
                ));
            };
            let bytes = (var.offset as usize)
                .checked_add(var.size as usize)
                .and_then(|end| section.data.get(var.offset as usize..end))
                .ok_or_else(|| {
                    ObjError::malformed(
                        name,
                        offset,
                        format!("`{var_name}` reaches beyond the section"),
                    )
                })?;
            let Ok((type_id, Ty::Struct(_))) = btf.resolved(target) else {
                return Err(ObjError::malformed(
                    name,
                    offset,
                    format!("`{var_name}` is not a struct"),
                ));
            };
            let mut spec = data::empty(var_name, MapKind::StructOps, var.size);
            spec.def.map_type = skep_spec::map::MapType::StructOps;
            if link {
                spec.def.flags |= skep_spec::map::flags::LINK;
            }
            spec.section = name.to_owned();
            spec.value_type = Some(type_id);
            spec.initial = InitialContents::Bytes(bytes.to_vec());
            let map = self.push_map(spec);
            self.places.struct_ops.entry(index).or_default().push((
                offset,
                u64::from(var.size),
                map,
            ));
            self.object.struct_ops.push(StructOps {
                name: var_name.to_owned(),
                map,
                type_id,
                link,
                functions: Vec::new(),
            });
        }
        Ok(())
    }

    /// The `.kconfig` map and the externs of BTF: configuration values, kernel symbols, kfuncs.
    fn kconfig(&mut self) -> Result<(), ObjError> {
        let Some(btf) = self.object.btf.clone() else {
            return Ok(());
        };
        let mut by_name: HashMap<&str, (ExternKind, TypeId)> = HashMap::new();
        if let Some(id) = btf.find(Kind::DataSec, ".kconfig")
            && let Ok(Ty::DataSec { size, vars, .. }) = btf.ty(id)
        {
            if u64::from(size) > data::VALUE_BYTES_MAX {
                return Err(ObjError::malformed(
                    ".kconfig",
                    0,
                    format!("configuration values of {size:#x} bytes"),
                ));
            }
            let mut spec = data::empty(".kconfig", MapKind::Kconfig, size);
            spec.value_type = Some(id);
            let map = self.push_map(spec);
            for var in vars.iter() {
                let kind = ExternKind::Kconfig {
                    map,
                    offset: var.offset,
                    size: var.size,
                };
                by_name.insert(btf.name(var.ty), (kind, var.ty));
            }
        }
        if let Some(id) = btf.find(Kind::DataSec, ".ksyms")
            && let Ok(Ty::DataSec { vars, .. }) = btf.ty(id)
        {
            for var in vars.iter() {
                let kind = match btf.ty(var.ty) {
                    Ok(Ty::Func { .. }) => ExternKind::Kfunc,
                    Ok(Ty::Var { target, .. })
                        if matches!(btf.resolved(target), Ok((_, Ty::Void))) =>
                    {
                        ExternKind::KsymUntyped
                    }
                    Ok(Ty::Var { .. }) => ExternKind::KsymTyped,
                    _ => continue,
                };
                by_name.insert(btf.name(var.ty), (kind, var.ty));
            }
        }
        let file = self.file;
        let undefined = |s: &&super::Symbol| s.home == Home::Undefined && !s.name.is_empty();
        let wanted: HashMap<&str, ()> = file
            .symbols
            .iter()
            .filter(undefined)
            .map(|s| (s.name.as_str(), ()))
            .collect();
        for id in btf.ids() {
            let (name, kind) = match btf.ty(id) {
                Ok(Ty::Func {
                    name,
                    linkage: BtfLinkage::Extern,
                    ..
                }) => (name, ExternKind::Function),
                Ok(Ty::Var {
                    name,
                    linkage: BtfLinkage::Extern,
                    ..
                }) => (name, ExternKind::Variable),
                _ => continue,
            };
            if wanted.contains_key(name) {
                by_name.entry(name).or_insert((kind, id));
            }
        }
        for (index, symbol) in file.symbols.iter().enumerate() {
            if let Some(&(kind, id)) = by_name.get(symbol.name.as_str())
                && undefined(&symbol)
            {
                self.add_extern(index, kind, Some(id));
            }
        }
        Ok(())
    }

    /// The extern of an undefined symbol, made if it is new.
    pub fn add_extern(
        &mut self,
        symbol: usize,
        kind: ExternKind,
        btf_type: Option<TypeId>,
    ) -> ExternIdx {
        let Reader {
            extern_of_symbol,
            object,
            file,
            ..
        } = self;
        *extern_of_symbol.entry(symbol).or_insert_with(|| {
            let symbol = &file.symbols[symbol];
            object.externs.push(Extern {
                name: symbol.name.clone(),
                kind,
                weak: symbol.is_weak(),
                btf_type,
            });
            ExternIdx(object.externs.len() - 1)
        })
    }

    /// Gives each function its lines, CO-RE relocations and type.
    fn code_types(&mut self) -> Result<(), ObjError> {
        let (Some(section), Some(btf)) = (self.section_named(".BTF.ext"), self.object.btf.clone())
        else {
            return Ok(());
        };
        let bytes = btf_fix::relocated(self.file, section);
        let ext = BtfExt::parse(&btf, &bytes).map_err(btf_error)?;
        let by_name: HashMap<&str, usize> = self
            .file
            .sections
            .iter()
            .enumerate()
            .filter(|(_, s)| s.is_code())
            .map(|(index, s)| (s.name.as_str(), index))
            .collect();
        let functions = &mut self.functions;
        let place = |functions: &Functions, name: &str, insn_off: u32| {
            by_name
                .get(name)
                .and_then(|&section| functions.holding(section, insn_off as usize / 8))
        };
        let mut stray = 0usize;
        for section in ext.func_infos {
            for info in section.records {
                match place(functions, &section.name, info.insn_off) {
                    Some((function, 0)) => functions.list[function.0].btf_type = Some(info.type_id),
                    _ => stray += 1,
                }
            }
        }
        for section in ext.line_infos {
            for mut line in section.records {
                match place(functions, &section.name, line.insn_off) {
                    Some((function, at)) => {
                        line.insn_off = at as u32;
                        functions.list[function.0].lines.push(line);
                    }
                    None => stray += 1,
                }
            }
        }
        for section in ext.core_relos {
            for mut relo in section.records {
                let offset = u64::from(relo.insn_off);
                let bad = || {
                    ObjError::malformed(
                        &section.name,
                        offset,
                        "a CO-RE relocation for no instruction",
                    )
                };
                if !relo.insn_off.is_multiple_of(8) {
                    return Err(bad());
                }
                let (function, at) =
                    place(functions, &section.name, relo.insn_off).ok_or_else(bad)?;
                relo.insn_off = at as u32;
                functions.list[function.0].core.push(relo);
            }
        }
        for function in &mut functions.list {
            function.lines.sort_by_key(|l| l.insn_off);
            function.core.sort_by_key(|r| r.insn_off);
        }
        if stray != 0 {
            self.note(
                "obj-stray-line-info",
                ".BTF.ext",
                0,
                format!("{stray} records are for no function; not used"),
            );
        }
        Ok(())
    }

    /// Makes programs of the functions that can be entry points, and notes those of unknown type.
    fn programs(&mut self) {
        self.object.find_programs();
        let unknown: Vec<(String, String)> = self
            .object
            .programs
            .iter()
            .filter(|p| p.program_type.is_none())
            .map(|p| (p.name.clone(), p.section.clone()))
            .collect();
        for (name, section) in unknown {
            let headline = format!("section name `{section}` says no type of program for `{name}`");
            self.note("obj-unknown-program-type", &section, 0, headline);
        }
    }

    fn struct_ops_sections(&mut self) {
        // A member's program is attached through the struct that points to it.
        let Some(btf) = self.object.btf.clone() else {
            return;
        };
        for ops in &self.object.struct_ops {
            let Ok(Ty::Struct(composite)) = btf.ty(ops.type_id) else {
                continue;
            };
            for (offset, function) in &ops.functions {
                let member = composite
                    .members
                    .iter()
                    .find(|m| m.byte_offset() == Some(*offset));
                let Some(member) = member else { continue };
                for program in self
                    .object
                    .programs
                    .iter_mut()
                    .filter(|p| p.function == *function)
                {
                    program.attach_to = Some(format!("{}:{}", composite.name, member.name));
                }
            }
        }
    }
}

fn btf_error(error: skep_btf::BtfError) -> ObjError {
    match error {
        skep_btf::BtfError::Malformed(m) => ObjError::malformed(m.what, m.offset as u64, m.why),
        other => ObjError::malformed(".BTF", 0, other.to_string()),
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Whether a section holds struct_ops values, and if so whether they are attached through links.
fn struct_ops_link(name: &str) -> Option<bool> {
    match name.strip_prefix('?').unwrap_or(name) {
        ".struct_ops" => Some(false),
        ".struct_ops.link" => Some(true),
        _ => None,
    }
}

/// Sections of compilers and debuggers that say nothing about programs.
fn is_bookkeeping(name: &str) -> bool {
    const EXACT: [&str; 7] = [
        ".eh_frame",
        ".llvm_addrsig",
        ".comment",
        ".note.GNU-stack",
        ".text",
        ".strtab",
        ".llvm.call-graph-profile",
    ];
    name.starts_with(".debug_") || EXACT.contains(&name)
}
