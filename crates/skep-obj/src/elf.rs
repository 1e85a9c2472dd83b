//! ELF object files: the bytes as sections, symbols and relocations, and the reader and writer above them.
//!
//! Invariants: nothing is copied from the file but names; every section's bytes lie in the file; the ranges of sections
//! do not add up to more than the file, so no later stage can be made to copy more than was given.

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, Rel, Rela, SectionHeader, Sym};
use skep_spec::insn::Endian;

use crate::error::ObjError;

mod btf_fix;
mod data;
mod functions;
mod legacy_maps;
mod map_types;
mod maps;
mod read;
mod relocate;
mod write;

pub(crate) use data::{VALUE_BYTES_MAX, empty as data_map, has_global, kind_of_name as data_kind};
pub(crate) use legacy_maps::is_section as is_legacy_section;
pub(crate) use read::read;
pub(crate) use relocate::strip;
pub use write::write;

/// The types of an ELF file, completed with what its symbols know; `None` if it has none. Any machine's file will do.
pub fn btf_section(bytes: &[u8]) -> Result<Option<Vec<u8>>, ObjError> {
    read::btf_section(bytes)
}

/// Relocation types of the BPF ELF ABI (LLVM's `ELFRelocs/BPF.def`).
pub(crate) mod reloc {
    pub const NONE: u32 = 0;
    /// A `ld_imm64`.
    pub const R_64_64: u32 = 1;
    /// A 64-bit field of data.
    pub const R_ABS64: u32 = 2;
    /// A 32-bit field of data.
    pub const R_ABS32: u32 = 3;
    /// A 32-bit field that no dynamic linker touches (`.BTF`, `.BTF.ext`).
    pub const R_NODYLD32: u32 = 4;
    /// A `call`.
    pub const R_64_32: u32 = 10;

    pub fn name(kind: u32) -> &'static str {
        match kind {
            NONE => "R_BPF_NONE",
            R_64_64 => "R_BPF_64_64",
            R_ABS64 => "R_BPF_64_ABS64",
            R_ABS32 => "R_BPF_64_ABS32",
            R_NODYLD32 => "R_BPF_64_NODYLD32",
            R_64_32 => "R_BPF_64_32",
            _ => "unknown relocation type",
        }
    }
}

/// A section of the file.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    pub name: String,
    pub kind: u32,
    pub flags: u64,
    pub size: u64,
    /// Empty for sections without bytes in the file.
    pub data: &'a [u8],
    pub relocs: Vec<ElfReloc>,
}

impl Section<'_> {
    pub fn is_code(&self) -> bool {
        self.kind == elf::SHT_PROGBITS && self.flags & u64::from(elf::SHF_EXECINSTR) != 0
    }
}

/// A relocation of a section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ElfReloc {
    pub offset: u64,
    pub kind: u32,
    /// Index of the symbol.
    pub symbol: usize,
    /// Of `RELA` sections; 0 otherwise, since the field itself holds it.
    pub addend: i64,
}

/// Where a symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    Undefined,
    Section(usize),
    /// Absolute, common or otherwise outside sections.
    Elsewhere,
}

/// A symbol.
#[derive(Debug)]
pub(crate) struct Symbol {
    pub name: String,
    pub home: Home,
    pub value: u64,
    pub size: u64,
    pub kind: u8,
    pub bind: u8,
    pub visibility: u8,
}

impl Symbol {
    pub fn is_section(&self) -> bool {
        self.kind == elf::STT_SECTION
    }

    pub fn is_local(&self) -> bool {
        self.bind == elf::STB_LOCAL
    }

    pub fn is_weak(&self) -> bool {
        self.bind == elf::STB_WEAK
    }

    pub fn is_hidden(&self) -> bool {
        matches!(self.visibility, elf::STV_HIDDEN | elf::STV_INTERNAL)
    }
}

/// An ELF file taken apart.
#[derive(Debug)]
pub(crate) struct File<'a> {
    pub endian: Endian,
    /// By ELF section index; the first is the null section.
    pub sections: Vec<Section<'a>>,
    /// By ELF symbol index; the first is the null symbol.
    pub symbols: Vec<Symbol>,
}

const HEADER: &str = "ELF header";

impl<'a> File<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<File<'a>, ObjError> {
        match bytes.get(4) {
            Some(&elf::ELFCLASS64) => {}
            Some(&elf::ELFCLASS32) => {
                return Err(ObjError::unsupported(
                    HEADER,
                    4,
                    "a 32-bit ELF file",
                    "BPF objects are 64-bit: compile with `clang -target bpf`",
                ));
            }
            _ => {
                return Err(ObjError::malformed(
                    HEADER,
                    4,
                    "neither a 32-bit nor a 64-bit ELF file",
                ));
            }
        }
        let at = |offset: u64, why: object::read::Error| {
            ObjError::malformed(HEADER, offset, why.to_string())
        };
        let header = elf::FileHeader64::<Endianness>::parse(bytes).map_err(|e| at(0, e))?;
        let e = header.endian().map_err(|e| at(5, e))?;
        let machine = header.e_machine(e);
        // Clang before 3.9 wrote EM_NONE.
        if machine != elf::EM_BPF && machine != elf::EM_NONE {
            return Err(ObjError::unsupported(
                HEADER,
                18,
                format!("machine {machine} is not BPF (247)"),
                "compile with `clang -target bpf`",
            ));
        }
        let kind = header.e_type(e);
        if kind != elf::ET_REL {
            return Err(ObjError::unsupported(
                HEADER,
                16,
                format!("file type {kind} is not a relocatable object (1)"),
                "compile with `clang -c`",
            ));
        }
        let table = header.sections(e, bytes).map_err(|e| at(0x28, e))?;
        let mut sections: Vec<Section<'a>> = Vec::with_capacity(table.len());
        let mut total = 0u64;
        for (index, section) in table.enumerate() {
            let name = if index.0 == 0 {
                String::new()
            } else {
                let name = table.section_name(e, section).map_err(|err| {
                    ObjError::malformed(
                        "section headers",
                        index.0 as u64,
                        format!("name of section {}: {err}", index.0),
                    )
                })?;
                String::from_utf8_lossy(name).into_owned()
            };
            let data = section.data(e, bytes).map_err(|_| {
                let (offset, size) = (section.sh_offset(e), section.sh_size(e));
                let len = bytes.len();
                ObjError::malformed(
                    &name,
                    offset,
                    format!("{size:#x} bytes at file offset {offset:#x} do not lie in the file of {len:#x} bytes"),
                )
            })?;
            total = total.saturating_add(data.len() as u64);
            if total > bytes.len() as u64 {
                return Err(ObjError::malformed(
                    &name,
                    section.sh_offset(e),
                    "sections overlap in the file",
                ));
            }
            sections.push(Section {
                name,
                kind: section.sh_type(e),
                flags: section.sh_flags(e),
                size: section.sh_size(e),
                data,
                relocs: Vec::new(),
            });
        }
        let symtab = table
            .symbols(e, bytes, elf::SHT_SYMTAB)
            .map_err(|err| ObjError::malformed(".symtab", 0, err.to_string()))?;
        let mut symbols = Vec::with_capacity(symtab.len());
        for (index, symbol) in symtab.enumerate() {
            let name = symtab.symbol_name(e, symbol).map_err(|err| {
                ObjError::malformed(
                    ".symtab",
                    index.0 as u64 * 24,
                    format!("name of symbol {}: {err}", index.0),
                )
            })?;
            let home = match symbol.st_shndx(e) {
                elf::SHN_UNDEF => Home::Undefined,
                elf::SHN_XINDEX => match symtab.shndx(e, index) {
                    Some(section) if (section as usize) < sections.len() => {
                        Home::Section(section as usize)
                    }
                    _ => Home::Elsewhere,
                },
                reserved if reserved >= elf::SHN_LORESERVE => Home::Elsewhere,
                section if usize::from(section) < sections.len() => {
                    Home::Section(usize::from(section))
                }
                section => {
                    return Err(ObjError::malformed(
                        ".symtab",
                        index.0 as u64 * 24 + 6,
                        format!(
                            "symbol {} is in section {section}, the last one is {}",
                            index.0,
                            sections.len() - 1
                        ),
                    ));
                }
            };
            let mut name = String::from_utf8_lossy(name).into_owned();
            if symbol.st_type() == elf::STT_SECTION
                && name.is_empty()
                && let Home::Section(section) = home
            {
                name.clone_from(&sections[section].name);
            }
            symbols.push(Symbol {
                name,
                home,
                value: symbol.st_value(e),
                size: symbol.st_size(e),
                kind: symbol.st_type(),
                bind: symbol.st_bind(),
                visibility: symbol.st_visibility(),
            });
        }
        for (index, section) in table.enumerate() {
            let name = sections[index.0].name.clone();
            let bad = |err: object::read::Error| ObjError::malformed(&name, 0, err.to_string());
            let target = section.sh_info(e) as usize;
            let mut relocs = Vec::new();
            if let Some((rels, _)) = section.rel(e, bytes).map_err(bad)? {
                relocs.extend(rels.iter().map(|rel| ElfReloc {
                    offset: rel.r_offset(e),
                    kind: rel.r_type(e),
                    symbol: rel.r_sym(e) as usize,
                    addend: 0,
                }));
            } else if let Some((relas, _)) = section.rela(e, bytes).map_err(bad)? {
                relocs.extend(relas.iter().map(|rel| ElfReloc {
                    offset: rel.r_offset(e),
                    kind: rel.r_type(e, false),
                    symbol: rel.r_sym(e, false) as usize,
                    addend: rel.r_addend(e),
                }));
            } else {
                continue;
            }
            let Some(section) = sections.get_mut(target) else {
                return Err(ObjError::malformed(
                    &name,
                    0,
                    format!("relocates section {target}, which is not there"),
                ));
            };
            for (at, reloc) in relocs.iter().enumerate() {
                if reloc.symbol >= symbols.len() {
                    return Err(ObjError::malformed(
                        &name,
                        at as u64 * 16,
                        format!(
                            "refers to symbol {}, there are {}",
                            reloc.symbol,
                            symbols.len()
                        ),
                    ));
                }
            }
            section.relocs.extend(relocs);
        }
        let endian = match e {
            Endianness::Little => Endian::Little,
            Endianness::Big => Endian::Big,
        };
        Ok(File {
            endian,
            sections,
            symbols,
        })
    }
}

/// Numbers of the file's byte order.
#[derive(Clone, Copy)]
pub(crate) struct Numbers(pub Endian);

impl Numbers {
    pub fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let chunk = *bytes.get(at..)?.first_chunk::<4>()?;
        Some(match self.0 {
            Endian::Little => u32::from_le_bytes(chunk),
            Endian::Big => u32::from_be_bytes(chunk),
        })
    }

    pub fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let chunk = *bytes.get(at..)?.first_chunk::<8>()?;
        Some(match self.0 {
            Endian::Little => u64::from_le_bytes(chunk),
            Endian::Big => u64::from_be_bytes(chunk),
        })
    }

    pub fn put_u32(self, bytes: &mut [u8], at: usize, value: u32) -> Option<()> {
        let chunk = bytes.get_mut(at..)?.first_chunk_mut::<4>()?;
        *chunk = match self.0 {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        };
        Some(())
    }
}
