//! An [`Object`] as an ELF file that libbpf, bpftool and the LLVM tools read.
//!
//! Invariants: the same object gives the same bytes; reading the file again gives an equal object, as long as maps of one
//! section and functions of one section stand together in their lists; maps without BTF types get them, since `.maps`
//! cannot be read without.

use std::collections::HashMap;

use object::write::{Object as Elf, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind,
    SymbolFlags, SymbolKind, SymbolScope, elf,
};
use skep_btf::BtfExt;
use skep_btf::build::Strings;
use skep_btf::ext::{self, FuncInfo};
use skep_spec::insn::{self, Endian, pseudo};

use super::map_types::Types;
use super::{maps, reloc};
use crate::error::ObjError;
use crate::object::*;

const ALLOC: u64 = elf::SHF_ALLOC as u64;
const WRITE: u64 = elf::SHF_WRITE as u64;
const EXEC: u64 = elf::SHF_EXECINSTR as u64;

/// Writes an ELF object.
pub fn write(object: &Object) -> Result<Vec<u8>, ObjError> {
    let endian = match object.endian {
        Endian::Little => Endianness::Little,
        Endian::Big => Endianness::Big,
    };
    let types = Types::complete(object)?;
    let mut writer = Writer {
        object,
        elf: Elf::new(BinaryFormat::Elf, Architecture::Bpf, endian),
        sections: HashMap::new(),
        functions: Vec::new(),
        maps: Vec::new(),
        map_sections: Vec::new(),
        externs: Vec::new(),
        starts: Vec::new(),
        types,
    };
    writer.code();
    writer.maps()?;
    writer.externs();
    writer.relocate_code()?;
    writer.relocate_data()?;
    writer.rest()?;
    writer.btf()?;
    writer
        .elf
        .write()
        .map_err(|e| ObjError::malformed("ELF header", 0, e.to_string()))
}

struct Writer<'a> {
    object: &'a Object,
    elf: Elf<'a>,
    /// By name, and whether it is code.
    sections: HashMap<(String, bool), SectionId>,
    functions: Vec<SymbolId>,
    /// Symbols of declared maps.
    maps: Vec<Option<SymbolId>>,
    /// By map: its section and the offset of its definition or value there.
    map_sections: Vec<Option<(SectionId, u64)>>,
    externs: Vec<SymbolId>,
    /// By function: byte offset in its section.
    starts: Vec<u64>,
    types: Types,
}

impl Writer<'_> {
    /// The section of that name that code or declarations share, made if it is new.
    fn section(&mut self, name: &str, kind: SectionKind, flags: u64) -> SectionId {
        let key = (name.to_owned(), kind == SectionKind::Text);
        if let Some(&id) = self.sections.get(&key) {
            return id;
        }
        let id = self.own_section(name, kind, flags);
        self.sections.insert(key, id);
        id
    }

    /// A section for one thing alone, whatever others are called.
    fn own_section(&mut self, name: &str, kind: SectionKind, flags: u64) -> SectionId {
        let id = self
            .elf
            .add_section(Vec::new(), name.as_bytes().to_vec(), kind);
        self.elf.section_mut(id).flags = SectionFlags::Elf { sh_flags: flags };
        id
    }

    /// The code section of a function.
    fn code_section(&self, function: &Function) -> Option<SectionId> {
        self.sections
            .get(&(function.section.clone(), true))
            .copied()
    }

    fn symbol(
        &mut self,
        name: &str,
        place: (SectionId, u64, u64),
        kind: SymbolKind,
        linkage: Linkage,
    ) -> SymbolId {
        self.elf.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: place.1,
            size: place.2,
            kind,
            scope: if linkage == Linkage::Static {
                SymbolScope::Compilation
            } else {
                SymbolScope::Dynamic
            },
            weak: linkage == Linkage::Weak,
            section: SymbolSection::Section(place.0),
            flags: SymbolFlags::None,
        })
    }

    fn code(&mut self) {
        for function in &self.object.functions {
            let section = self.section(&function.section, SectionKind::Text, ALLOC | EXEC);
            let mut insns = function.insns.clone();
            for reloc in &function.relocs {
                // As compilers leave it to the relocation: plain wide loads, calls to -1.
                if let Some(insn) = insns.get_mut(reloc.at) {
                    if insn.is_ld_imm64() {
                        insn.src = 0;
                        insn.imm = 0;
                    } else {
                        insn.src = pseudo::CALL;
                        insn.imm = -1;
                    }
                }
            }
            let bytes = insn::encode_all(&insns, self.object.endian);
            let start = self.elf.append_section_data(section, &bytes, 8);
            self.starts.push(start);
            let place = (section, start, bytes.len() as u64);
            let symbol = self.symbol(&function.name, place, SymbolKind::Text, function.linkage);
            self.functions.push(symbol);
        }
    }

    fn maps(&mut self) -> Result<(), ObjError> {
        for (index, map) in self.object.maps.iter().enumerate() {
            let bytes = match &map.initial {
                InitialContents::Bytes(bytes) => bytes.as_slice(),
                _ => &[],
            };
            let linkage = if map.weak {
                Linkage::Weak
            } else {
                Linkage::Global
            };
            let (symbol, place) = match map.kind {
                MapKind::Kconfig => (None, None),
                MapKind::Rodata | MapKind::Data | MapKind::Bss | MapKind::JumpTable => {
                    let (kind, flags) = match map.kind {
                        MapKind::Rodata if bytes.is_empty() => {
                            (SectionKind::UninitializedData, ALLOC)
                        }
                        MapKind::Rodata | MapKind::JumpTable => (SectionKind::ReadOnlyData, ALLOC),
                        MapKind::Bss if bytes.is_empty() => {
                            (SectionKind::UninitializedData, ALLOC | WRITE)
                        }
                        _ => (SectionKind::Data, ALLOC | WRITE),
                    };
                    let id = self.own_section(&map.section, kind, flags);
                    if kind == SectionKind::UninitializedData {
                        self.elf
                            .append_section_bss(id, u64::from(map.def.value_size), 8);
                    } else {
                        let mut bytes = bytes.to_vec();
                        if map.kind != MapKind::JumpTable {
                            bytes.resize(map.def.value_size as usize, 0);
                        }
                        self.elf.append_section_data(id, &bytes, 8);
                    }
                    (None, Some((id, 0)))
                }
                MapKind::Ordinary if super::legacy_maps::is_section(&map.section) => {
                    let id = self.section(&map.section, SectionKind::Data, ALLOC | WRITE);
                    let def = &map.def;
                    let mut bytes = Vec::new();
                    for word in [
                        def.map_type.number(),
                        def.key_size,
                        def.value_size,
                        def.max_entries,
                        def.flags,
                    ] {
                        bytes.extend(match self.object.endian {
                            Endian::Little => word.to_le_bytes(),
                            Endian::Big => word.to_be_bytes(),
                        });
                    }
                    bytes.extend(&map.legacy_extra);
                    let at = self.elf.append_section_data(id, &bytes, 4);
                    let place = (id, at, bytes.len() as u64);
                    let symbol = self.symbol(&def.name, place, SymbolKind::Data, linkage);
                    (Some(symbol), Some((id, at)))
                }
                MapKind::Arena if map.section == ".addr_space.1" => {
                    (None, Some((self.arena(bytes), 0)))
                }
                MapKind::Ordinary | MapKind::Arena => {
                    let id = self.section(maps::SECTION, SectionKind::Data, ALLOC | WRITE);
                    let (offset, size) = self.types.maps.get(&index).copied().unwrap_or_default();
                    self.zero_to(id, offset + size);
                    let symbol =
                        self.symbol(&map.def.name, (id, offset, size), SymbolKind::Data, linkage);
                    if !bytes.is_empty() {
                        self.arena(bytes);
                    }
                    (Some(symbol), Some((id, offset)))
                }
                MapKind::StructOps => {
                    let id = self.section(&map.section, SectionKind::Data, ALLOC | WRITE);
                    let offset = self.types.struct_ops.get(&index).copied().ok_or_else(|| {
                        ObjError::link(
                            &map.def.name,
                            "a struct_ops value needs a variable in the BTF types",
                        )
                    })?;
                    self.zero_to(id, offset + bytes.len() as u64);
                    let data = self.elf.section_mut(id).data_mut();
                    data[offset as usize..][..bytes.len()].copy_from_slice(bytes);
                    let place = (id, offset, bytes.len() as u64);
                    let symbol = self.symbol(&map.def.name, place, SymbolKind::Data, linkage);
                    (Some(symbol), Some((id, offset)))
                }
            };
            self.maps.push(symbol);
            self.map_sections.push(place);
        }
        for global in self.object.globals() {
            let (Some(Some((id, 0))), Some(map)) = (
                self.map_sections.get(global.map.0),
                self.object.maps.get(global.map.0),
            ) else {
                continue;
            };
            if !map.kind.is_data() {
                continue;
            }
            let linkage = if self.types.global_is_static(self.object, map, &global) {
                Linkage::Static
            } else {
                Linkage::Global
            };
            let place = (*id, u64::from(global.offset), u64::from(global.size));
            self.symbol(&global.name, place, SymbolKind::Data, linkage);
        }
        Ok(())
    }

    fn arena(&mut self, bytes: &[u8]) -> SectionId {
        let id = self.section(".addr_space.1", SectionKind::Data, ALLOC | WRITE);
        self.elf.append_section_data(id, bytes, 8);
        id
    }

    fn zero_to(&mut self, id: SectionId, end: u64) {
        let len = self.elf.section(id).data().len() as u64;
        if len < end {
            self.elf.append_section_data(
                id,
                &vec![0; (end - len) as usize],
                if len == 0 { 8 } else { 1 },
            );
        }
    }

    fn externs(&mut self) {
        for wanted in &self.object.externs {
            let symbol = self.elf.add_symbol(Symbol {
                name: wanted.name.as_bytes().to_vec(),
                value: 0,
                size: 0,
                kind: SymbolKind::Unknown,
                scope: SymbolScope::Unknown,
                weak: wanted.weak,
                section: SymbolSection::Undefined,
                flags: SymbolFlags::None,
            });
            self.externs.push(symbol);
        }
    }

    fn relocation(
        &mut self,
        section: SectionId,
        offset: u64,
        symbol: SymbolId,
        kind: u32,
    ) -> Result<(), ObjError> {
        let flags = RelocationFlags::Elf { r_type: kind };
        self.elf
            .add_relocation(
                section,
                Relocation {
                    offset,
                    symbol,
                    addend: 0,
                    flags,
                },
            )
            .map_err(|e| ObjError::malformed("relocations", offset, e.to_string()))
    }

    fn relocate_code(&mut self) -> Result<(), ObjError> {
        for (index, function) in self.object.functions.iter().enumerate() {
            let Some(section) = self.code_section(function) else {
                continue;
            };
            for r in &function.relocs {
                let broken = || {
                    ObjError::link(
                        &function.name,
                        format!("reference at instruction {} is broken", r.at),
                    )
                };
                let at = self.starts[index] + r.at as u64 * 8;
                let wide = function.insns.get(r.at).ok_or_else(broken)?.is_ld_imm64();
                let mut addend = 0;
                let symbol = match r.target {
                    RelocTarget::Call(f) | RelocTarget::FuncAddr(f) => {
                        self.functions.get(f.0).copied()
                    }
                    RelocTarget::Map(m) => self.maps.get(m.0).copied().flatten(),
                    RelocTarget::MapValue { map, offset } => {
                        addend = offset;
                        let arena = self
                            .object
                            .maps
                            .get(map.0)
                            .is_some_and(|m| m.kind == MapKind::Arena);
                        let section = if arena {
                            self.sections
                                .get(&(".addr_space.1".to_owned(), false))
                                .copied()
                        } else {
                            self.map_sections
                                .get(map.0)
                                .copied()
                                .flatten()
                                .map(|(id, _)| id)
                        };
                        section.map(|id| self.elf.section_symbol(id))
                    }
                    RelocTarget::Extern(e) => self.externs.get(e.0).copied(),
                };
                let symbol = symbol.ok_or_else(broken)?;
                if addend != 0 {
                    let bytes = match self.object.endian {
                        Endian::Little => addend.to_le_bytes(),
                        Endian::Big => addend.to_be_bytes(),
                    };
                    let data = self.elf.section_mut(section).data_mut();
                    data[at as usize + 4..][..4].copy_from_slice(&bytes);
                }
                self.relocation(
                    section,
                    at,
                    symbol,
                    if wide { reloc::R_64_64 } else { reloc::R_64_32 },
                )?;
            }
        }
        Ok(())
    }

    fn relocate_data(&mut self) -> Result<(), ObjError> {
        for (index, map) in self.object.maps.iter().enumerate() {
            let Some((section, start)) = self.map_sections[index] else {
                continue;
            };
            if let InitialContents::Slots(slots) = &map.initial {
                let values_at = self.types.values_at.get(&index).copied().unwrap_or(0);
                for (slot, target) in slots {
                    let symbol = match target {
                        SlotTarget::Map(m) => self.maps.get(m.0).copied().flatten(),
                        SlotTarget::Program(f) => self.functions.get(f.0).copied(),
                    };
                    let symbol = symbol.ok_or_else(|| {
                        ObjError::link(&map.def.name, format!("element {slot} is broken"))
                    })?;
                    self.relocation(
                        section,
                        start + values_at + u64::from(*slot) * 8,
                        symbol,
                        reloc::R_ABS64,
                    )?;
                }
            }
            for r in &map.data_relocs {
                let (symbol, addend) = match &r.target {
                    DataTarget::Function(f) => (self.functions.get(f.0).copied(), None),
                    DataTarget::Map(m) => (self.maps.get(m.0).copied().flatten(), None),
                    DataTarget::Extern(e) => (self.externs.get(e.0).copied(), None),
                    DataTarget::MapValue { map, offset } => {
                        let place = self.map_sections.get(map.0).copied().flatten();
                        (
                            place.map(|(id, _)| self.elf.section_symbol(id)),
                            Some(*offset),
                        )
                    }
                    DataTarget::Code { function, at } => {
                        let start = self.starts.get(function.0).copied().unwrap_or(0);
                        let section = self
                            .object
                            .functions
                            .get(function.0)
                            .and_then(|f| self.code_section(f));
                        (
                            section.map(|id| self.elf.section_symbol(id)),
                            Some(start + *at as u64 * 8),
                        )
                    }
                };
                let broken = || {
                    ObjError::link(
                        &map.def.name,
                        format!("pointer at offset {:#x} is broken", r.offset),
                    )
                };
                let symbol = symbol.ok_or_else(broken)?;
                let bytes = match self.object.endian {
                    Endian::Little => addend.unwrap_or(0).to_le_bytes(),
                    Endian::Big => addend.unwrap_or(0).to_be_bytes(),
                };
                let data = self.elf.section_mut(section).data_mut();
                let at = usize::try_from(start + r.offset).map_err(|_| broken())?;
                data.get_mut(at..)
                    .and_then(|d| d.first_chunk_mut::<8>())
                    .ok_or_else(broken)?
                    .copy_from_slice(&bytes);
                self.relocation(section, start + r.offset, symbol, reloc::R_ABS64)?;
            }
        }
        for ops in &self.object.struct_ops {
            let Some(Some((section, start))) = self.map_sections.get(ops.map.0).copied() else {
                continue;
            };
            for (offset, function) in &ops.functions {
                let symbol = self.functions.get(function.0).copied();
                let symbol = symbol
                    .ok_or_else(|| ObjError::link(&ops.name, "a function pointer is broken"))?;
                self.relocation(section, start + u64::from(*offset), symbol, reloc::R_ABS64)?;
            }
        }
        Ok(())
    }

    /// License, version and what was not understood.
    fn rest(&mut self) -> Result<(), ObjError> {
        if let Some(license) = &self.object.license {
            let id = self.section("license", SectionKind::Data, ALLOC | WRITE);
            let text = [license.as_bytes(), b"\0"].concat();
            self.elf.append_section_data(id, &text, 1);
        }
        if let Some(version) = self.object.kern_version {
            let id = self.section("version", SectionKind::Data, ALLOC | WRITE);
            let bytes = match self.object.endian {
                Endian::Little => version.to_le_bytes(),
                Endian::Big => version.to_be_bytes(),
            };
            self.elf.append_section_data(id, &bytes, 4);
        }
        for unknown in &self.object.unknown_sections {
            let kind = match unknown.section_type {
                elf::SHT_NOBITS => SectionKind::UninitializedData,
                other => SectionKind::Elf(other),
            };
            let id = self.own_section(&unknown.name, kind, unknown.section_flags);
            if unknown.section_type == elf::SHT_NOBITS {
                self.elf.append_section_bss(id, unknown.size, 1);
            } else {
                self.elf.append_section_data(id, &unknown.data, 1);
            }
        }
        Ok(())
    }

    fn btf(&mut self) -> Result<(), ObjError> {
        let Some(builder) = &self.types.builder else {
            return Ok(());
        };
        let failed = |e: skep_btf::BtfError| ObjError::malformed(".BTF", 0, e.to_string());
        let mut ext = BtfExt::default();
        for (index, function) in self.object.functions.iter().enumerate() {
            let start = self.starts[index] as u32;
            let place = |at: u32| start.saturating_add(at.saturating_mul(8));
            if let Some(type_id) = function.btf_type {
                let info = FuncInfo {
                    insn_off: start,
                    type_id,
                };
                section_of(&mut ext.func_infos, &function.section).push(info);
            }
            section_of(&mut ext.line_infos, &function.section).extend(
                function.lines.iter().cloned().map(|mut line| {
                    line.insn_off = place(line.insn_off);
                    line
                }),
            );
            section_of(&mut ext.core_relos, &function.section).extend(
                function.core.iter().cloned().map(|mut relo| {
                    relo.insn_off = place(relo.insn_off);
                    relo
                }),
            );
        }
        let mut strings = Strings::new(None);
        let ext_bytes = ext
            .write(&mut strings, self.object.endian)
            .map_err(failed)?;
        let btf_bytes = builder.finish_with(&mut strings).map_err(failed)?;
        let id = self.section(".BTF", SectionKind::Other, 0);
        self.elf.append_section_data(id, &btf_bytes, 4);
        let any = |lists: [bool; 3]| lists.contains(&true);
        if any([
            ext.func_infos.iter().any(|s| !s.records.is_empty()),
            ext.line_infos.iter().any(|s| !s.records.is_empty()),
            ext.core_relos.iter().any(|s| !s.records.is_empty()),
        ]) {
            let id = self.section(".BTF.ext", SectionKind::Other, 0);
            self.elf.append_section_data(id, &ext_bytes, 4);
        }
        Ok(())
    }
}

fn section_of<'v, T>(sections: &'v mut Vec<ext::Section<T>>, name: &str) -> &'v mut Vec<T> {
    let at = sections
        .iter()
        .position(|s| s.name == name)
        .unwrap_or_else(|| {
            sections.push(ext::Section {
                name: name.to_owned(),
                records: Vec::new(),
            });
            sections.len() - 1
        });
    &mut sections[at].records
}
