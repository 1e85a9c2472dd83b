//! Structures that only an object's DWARF knows, as BTF: an event that a program builds on its stack is in no map and no
//! function's signature, so the compiler leaves it out of `.BTF`.
//!
//! Invariants: nothing is read unless it is asked for; malformed DWARF gives nothing, never a panic; pointers become
//! pointers to `void`, so that a type brings only what lies inside it; nesting is bounded.

use std::borrow::Cow;
use std::collections::HashMap;

use gimli::{
    AttributeValue, DebuggingInformationEntry, DwarfSections, EndianSlice, RunTimeEndian,
    UnitOffset,
};
use object::{Object as _, ObjectSection as _};
use skep_btf::build::{Builder, MemberDef, TypeDef, ValueDef};
use skep_btf::ty::Encoding;
use skep_btf::{Btf, TypeId};

/// Types nest no deeper than this.
const DEPTH_MAX: u32 = 32;

type Reader<'a> = EndianSlice<'a, RunTimeEndian>;
type Dwarf<'a> = gimli::Dwarf<Reader<'a>>;
type Unit<'a> = gimli::Unit<Reader<'a>>;
type Entry<'a> = DebuggingInformationEntry<Reader<'a>>;

/// The structures in the debug information of an ELF object for which `wanted(name, size)` holds.
pub fn structs(elf: &[u8], wanted: &dyn Fn(&str, u64) -> bool) -> Option<(Btf, Vec<TypeId>)> {
    let file = object::File::parse(elf).ok()?;
    let endian = if file.is_little_endian() {
        RunTimeEndian::Little
    } else {
        RunTimeEndian::Big
    };
    // BPF objects relocate with the addends in place and sections at 0, so the bytes are right as they are.
    let sections = DwarfSections::load(|id| {
        let section = file.section_by_name(id.name());
        Ok::<_, gimli::Error>(
            section
                .and_then(|s| s.uncompressed_data().ok())
                .unwrap_or(Cow::Borrowed(&[])),
        )
    })
    .ok()?;
    let dwarf = sections.borrow(|bytes| EndianSlice::new(bytes, endian));
    let mut builder = Builder::new();
    let mut found = Vec::new();
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        let Ok(unit) = dwarf.unit(header) else {
            continue;
        };
        let mut walk = Walk {
            dwarf: &dwarf,
            unit: &unit,
            builder: &mut builder,
            known: HashMap::new(),
        };
        walk.unit(wanted, &mut found);
    }
    if found.is_empty() {
        return None;
    }
    Some((builder.into_btf().ok()?, found))
}

struct Walk<'d, 'a> {
    dwarf: &'d Dwarf<'a>,
    unit: &'d Unit<'a>,
    builder: &'d mut Builder,
    known: HashMap<UnitOffset, TypeId>,
}

impl<'a> Walk<'_, 'a> {
    fn unit(&mut self, wanted: &dyn Fn(&str, u64) -> bool, found: &mut Vec<TypeId>) {
        let mut entries = self.unit.entries();
        while let Ok(Some(entry)) = entries.next_dfs() {
            if entry.tag() != gimli::DW_TAG_structure_type {
                continue;
            }
            let (name, size) = (self.name(entry), number(entry, gimli::DW_AT_byte_size));
            let Some(size) = size else { continue };
            if !name.is_empty() && wanted(&name, size) {
                found.extend(self.type_at(entry.offset(), 0));
            }
        }
    }

    fn name(&self, entry: &Entry<'a>) -> String {
        let value = entry.attr_value(gimli::DW_AT_name);
        let text = value.and_then(|value| self.dwarf.attr_string(self.unit, value).ok());
        text.map_or_else(String::new, |text| text.to_string_lossy().into_owned())
    }

    fn target(&mut self, entry: &Entry<'a>, depth: u32) -> Option<TypeId> {
        match entry.attr_value(gimli::DW_AT_type) {
            Some(AttributeValue::UnitRef(offset)) => self.type_at(offset, depth + 1),
            _ => Some(TypeId::VOID),
        }
    }

    fn type_at(&mut self, offset: UnitOffset, depth: u32) -> Option<TypeId> {
        if let Some(known) = self.known.get(&offset) {
            return Some(*known);
        }
        if depth > DEPTH_MAX {
            return None;
        }
        let entry = self.unit.entry(offset).ok()?;
        let id = self.translate(&entry, depth)?;
        self.known.insert(offset, id);
        Some(id)
    }

    fn translate(&mut self, entry: &Entry<'a>, depth: u32) -> Option<TypeId> {
        let name = self.name(entry);
        let size = number(entry, gimli::DW_AT_byte_size).and_then(|size| u32::try_from(size).ok());
        let def = match entry.tag() {
            gimli::DW_TAG_base_type => return Some(self.base(entry, &name, size?)),
            gimli::DW_TAG_pointer_type => TypeDef::Ptr {
                target: TypeId::VOID,
            },
            gimli::DW_TAG_typedef => {
                let target = self.target(entry, depth)?;
                return Some(self.builder.add_typedef(&name, target));
            }
            gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
            | gimli::DW_TAG_atomic_type => return self.target(entry, depth),
            gimli::DW_TAG_array_type => return self.array(entry, depth),
            gimli::DW_TAG_enumeration_type => self.enumeration(entry, name, size?)?,
            gimli::DW_TAG_structure_type => TypeDef::Struct {
                name,
                size: size?,
                members: self.members(entry, depth)?,
            },
            gimli::DW_TAG_union_type => TypeDef::Union {
                name,
                size: size?,
                members: self.members(entry, depth)?,
            },
            _ => return None,
        };
        Some(self.builder.add(def))
    }

    fn base(&mut self, entry: &Entry<'a>, name: &str, size: u32) -> TypeId {
        let encoding = match entry.attr_value(gimli::DW_AT_encoding) {
            Some(AttributeValue::Encoding(encoding)) => encoding,
            _ => gimli::DW_ATE_unsigned,
        };
        match encoding {
            gimli::DW_ATE_float => self.builder.add_float(name, size),
            gimli::DW_ATE_boolean => self.builder.add_int(name, size, Encoding::BOOL),
            gimli::DW_ATE_signed | gimli::DW_ATE_signed_char => {
                self.builder.add_int(name, size, Encoding::SIGNED)
            }
            _ => self.builder.add_int(name, size, Encoding::UNSIGNED),
        }
    }

    fn array(&mut self, entry: &Entry<'a>, depth: u32) -> Option<TypeId> {
        let mut elem = self.target(entry, depth)?;
        let index = self
            .builder
            .add_int("__ARRAY_SIZE_TYPE__", 4, Encoding::UNSIGNED);
        let mut lengths = Vec::new();
        for child in self.children(entry) {
            if child.tag() == gimli::DW_TAG_subrange_type {
                let count = number(&child, gimli::DW_AT_count).or_else(|| {
                    number(&child, gimli::DW_AT_upper_bound).map(|last| last.saturating_add(1))
                });
                lengths.push(u32::try_from(count.unwrap_or(0)).ok()?);
            }
        }
        for len in lengths.into_iter().rev() {
            elem = self.builder.add_array(elem, index, len);
        }
        Some(elem)
    }

    fn enumeration(&mut self, entry: &Entry<'a>, name: String, size: u32) -> Option<TypeDef> {
        let mut values = Vec::new();
        let mut signed = false;
        for child in self.children(entry) {
            if child.tag() == gimli::DW_TAG_enumerator {
                let value = child.attr_value(gimli::DW_AT_const_value)?;
                let value = match value {
                    AttributeValue::Sdata(value) => {
                        signed |= value < 0;
                        value as u64
                    }
                    other => other.udata_value()?,
                };
                values.push(ValueDef {
                    name: self.name(&child),
                    value,
                });
            }
        }
        Some(match size {
            8 => TypeDef::Enum64 {
                name,
                size,
                signed,
                values,
            },
            _ => TypeDef::Enum {
                name,
                size,
                signed,
                values,
            },
        })
    }

    fn members(&mut self, entry: &Entry<'a>, depth: u32) -> Option<Vec<MemberDef>> {
        let mut members = Vec::new();
        for child in self.children(entry) {
            if child.tag() != gimli::DW_TAG_member {
                continue;
            }
            let ty = self.target(&child, depth)?;
            let bytes = number(&child, gimli::DW_AT_data_member_location).unwrap_or(0);
            let bit_offset = match number(&child, gimli::DW_AT_data_bit_offset) {
                Some(bits) => u32::try_from(bits).ok()?,
                None => u32::try_from(bytes).ok()?.checked_mul(8)?,
            };
            let bitfield_size = number(&child, gimli::DW_AT_bit_size)
                .and_then(|bits| u8::try_from(bits).ok())
                .unwrap_or(0);
            members.push(MemberDef {
                name: self.name(&child),
                ty,
                bit_offset,
                bitfield_size,
            });
        }
        Some(members)
    }

    fn children(&self, entry: &Entry<'a>) -> Vec<Entry<'a>> {
        let mut children = Vec::new();
        let Ok(mut tree) = self.unit.entries_tree(Some(entry.offset())) else {
            return children;
        };
        let Ok(root) = tree.root() else {
            return children;
        };
        let mut nodes = root.children();
        while let Ok(Some(node)) = nodes.next() {
            children.push(node.entry().clone());
        }
        children
    }
}

fn number(entry: &Entry<'_>, attribute: gimli::DwAt) -> Option<u64> {
    entry.attr_value(attribute)?.udata_value()
}

#[cfg(test)]
mod tests;
