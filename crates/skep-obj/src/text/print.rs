//! An [`Object`] as an assembler's file.
//!
//! Invariants: the text assembles to an equal object, maps before data sections and configuration last; what text cannot
//! say (struct_ops values, pointers in data, poisoned instructions, big-endian code) is refused by name, not dropped.

use std::collections::HashMap;

use skep_btf::{Btf, TypeId, format_c};
use skep_diag::Span;
use skep_spec::asm::{self, RefTarget, Shape, Slot, Spanned};
use skep_spec::insn::Endian;

use super::build::{BY_ID, names};
use crate::error::ObjError;
use crate::object::*;

/// The object as text.
pub fn print(object: &Object) -> Result<String, ObjError> {
    Ok(asm::print(&file(object)?))
}

fn refuse(what: impl Into<String>) -> ObjError {
    ObjError::unsupported("text", 0, what, "write the object as ELF instead")
}

fn file(object: &Object) -> Result<asm::File, ObjError> {
    if object.endian == Endian::Big {
        return Err(refuse("a big-endian object as text"));
    }
    if let Some(ops) = object.struct_ops.first() {
        return Err(refuse(format!(
            "the struct_ops value `{}` as text",
            ops.name
        )));
    }
    let words = Words {
        object,
        names: object.btf.as_deref().map(names).unwrap_or_default(),
    };
    let mut out = asm::File {
        license: object.license.as_ref().map(|l| spanned(l.clone())),
        kernel_version: object.kern_version.map(spanned),
        ..asm::File::default()
    };
    for map in &object.maps {
        if !map.data_relocs.is_empty() || map.kind == MapKind::JumpTable {
            return Err(refuse(format!("pointers in `{}` as text", map.def.name)));
        }
        match (map.kind, &map.initial) {
            (MapKind::Kconfig, _) => {}
            (MapKind::Rodata | MapKind::Data | MapKind::Bss, initial) => {
                let bytes = match initial {
                    InitialContents::Bytes(bytes) => bytes.clone(),
                    _ if map.def.value_size > 1 << 20 => {
                        return Err(refuse(format!(
                            "the {} zeroes of `{}` as text",
                            map.def.value_size, map.def.name
                        )));
                    }
                    _ => vec![0; map.def.value_size as usize],
                };
                raw(&mut out, &map.section, bytes);
            }
            (MapKind::Arena, InitialContents::Bytes(_)) => {
                return Err(refuse("an arena's initial contents as text"));
            }
            _ => out.maps.push(words.map(map)?),
        }
    }
    for wanted in &object.externs {
        let kind = match wanted.kind {
            ExternKind::Kconfig { .. } => asm::ExternKind::Kconfig,
            ExternKind::KsymTyped | ExternKind::KsymUntyped | ExternKind::Variable => {
                asm::ExternKind::Ksym
            }
            ExternKind::Kfunc | ExternKind::Function => asm::ExternKind::Kfunc,
        };
        out.externs.push(asm::Extern {
            name: wanted.name.clone(),
            span: Span::default(),
            kind,
            weak: wanted.weak,
            declaration: words.declaration(wanted, kind),
        });
    }
    for function in &object.functions {
        out.functions.push(words.function(function)?);
    }
    for unknown in &object.unknown_sections {
        raw(&mut out, &unknown.name, unknown.data.clone());
    }
    if let Some(btf) = &object.btf {
        raw(&mut out, ".BTF", btf.raw().to_vec());
    }
    Ok(out)
}

fn raw(out: &mut asm::File, name: &str, bytes: Vec<u8>) {
    out.raw.push(asm::RawSection {
        name: name.to_owned(),
        span: Span::default(),
        bytes,
    });
}

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned {
        value,
        span: Span::default(),
    }
}

struct Words<'a> {
    object: &'a Object,
    names: HashMap<String, TypeId>,
}

impl Words<'_> {
    /// A type's name in C if it stands for just this type, its number otherwise.
    fn type_name(&self, btf: &Btf, id: TypeId) -> String {
        let name = format_c::type_name(btf, id);
        if self.names.get(&name) == Some(&id) && !name.contains(['\n', '{', '?']) {
            name
        } else {
            format!("{BY_ID}{}", id.0)
        }
    }

    fn shape(&self, ty: Option<TypeId>, size: u32) -> Shape {
        match (&self.object.btf, ty) {
            (Some(btf), Some(id)) => Shape::Type(self.type_name(btf, id)),
            _ if size == 0 => Shape::None,
            _ => Shape::Size(size),
        }
    }

    fn map(&self, map: &MapSpec) -> Result<asm::Map, ObjError> {
        let def = &map.def;
        let mut slots = Vec::new();
        if let InitialContents::Slots(elements) = &map.initial {
            for (index, target) in elements {
                let target = match target {
                    SlotTarget::Map(m) => self.object.maps.get(m.0).map(|m| m.def.name.clone()),
                    SlotTarget::Program(f) => {
                        self.object.functions.get(f.0).map(|f| f.name.clone())
                    }
                };
                let target = target.ok_or_else(|| {
                    ObjError::link(&def.name, format!("element {index} is broken"))
                })?;
                slots.push(Slot {
                    index: *index,
                    target,
                    span: Span::default(),
                });
            }
        }
        Ok(asm::Map {
            name: def.name.clone(),
            span: Span::default(),
            map_type: def.map_type,
            key: self.shape(map.key_type, def.key_size),
            value: self.shape(
                map.value_type.filter(|_| map.kind == MapKind::Ordinary),
                def.value_size,
            ),
            max_entries: def.max_entries,
            flags: def.flags,
            map_extra: def.map_extra,
            numa_node: def.numa_node,
            pin_by_name: match map.pinning {
                Pinning::None => false,
                Pinning::ByName => true,
                Pinning::Other(other) => {
                    return Err(refuse(format!(
                        "pinning {other} of map `{}` as text",
                        def.name
                    )));
                }
            },
            inner: match &map.inner {
                Some(inner) => Some(Box::new(asm::Map {
                    name: String::new(),
                    ..self.map(inner)?
                })),
                None => None,
            },
            slots,
        })
    }

    fn declaration(&self, wanted: &Extern, kind: asm::ExternKind) -> String {
        // Types are those of the `.BTF` block; the words are for people.
        let words = match (&self.object.btf, wanted.btf_type) {
            (Some(btf), Some(id)) => match btf.ty(id) {
                Ok(skep_btf::Ty::Var { target, .. }) => {
                    format_c::declaration(btf, target, &wanted.name).ok()
                }
                Ok(skep_btf::Ty::Func { proto, .. }) => {
                    format_c::declaration(btf, proto, &wanted.name).ok()
                }
                _ => None,
            },
            _ => None,
        };
        words
            .filter(|w| !w.contains(['\n', '{']))
            .unwrap_or_else(|| match kind {
                asm::ExternKind::Kfunc => format!("void {}(void)", wanted.name),
                _ => format!("int {}", wanted.name),
            })
    }

    fn function(&self, function: &Function) -> Result<asm::Function, ObjError> {
        if let Some(poison) = function.poisons.first() {
            return Err(refuse(format!(
                "the instruction {} of `{}` that CO-RE poisoned as text",
                poison.at, function.name
            )));
        }
        let broken = |at: usize| {
            ObjError::link(
                &function.name,
                format!("reference at instruction {at} is broken"),
            )
        };
        let mut refs = Vec::new();
        for r in &function.relocs {
            let map = |m: MapIdx| {
                self.object
                    .maps
                    .get(m.0)
                    .map(|m| m.def.name.clone())
                    .ok_or_else(|| broken(r.at))
            };
            let name = |f: FnIdx| {
                self.object
                    .functions
                    .get(f.0)
                    .map(|f| f.name.clone())
                    .ok_or_else(|| broken(r.at))
            };
            let target = match r.target {
                RelocTarget::Map(m) => RefTarget::Map(map(m)?),
                RelocTarget::MapValue { map: m, offset } => RefTarget::MapValue {
                    map: map(m)?,
                    offset,
                },
                RelocTarget::Call(f) => RefTarget::Call(name(f)?),
                RelocTarget::FuncAddr(f) => RefTarget::FuncAddr(name(f)?),
                RelocTarget::Extern(e) => {
                    let wanted = self.object.externs.get(e.0).ok_or_else(|| broken(r.at))?;
                    let call = function.insns.get(r.at).is_some_and(|i| i.is_call());
                    if call {
                        RefTarget::Kfunc(wanted.name.clone())
                    } else {
                        RefTarget::Extern(wanted.name.clone())
                    }
                }
            };
            refs.push(asm::Ref {
                at: r.at,
                target,
                span: Span::default(),
            });
        }
        let mut core = Vec::new();
        for relo in &function.core {
            let btf = self
                .object
                .btf
                .as_ref()
                .ok_or_else(|| broken(relo.insn_off as usize))?;
            core.push(asm::CoreNote {
                at: relo.insn_off as usize,
                kind: relo.kind as u32,
                type_name: self.type_name(btf, relo.type_id),
                access: relo.access.clone(),
                span: Span::default(),
            });
        }
        let lines = function.lines.iter().map(|line| asm::LineNote {
            at: line.insn_off as usize,
            file: line.file.to_string(),
            line: line.line,
            column: line.col,
            text: line.line_text.to_string(),
        });
        Ok(asm::Function {
            name: function.name.clone(),
            span: Span::default(),
            section: function.section.clone(),
            linkage: match function.linkage {
                Linkage::Global => asm::Linkage::Global,
                Linkage::Static => asm::Linkage::Static,
                Linkage::Weak => asm::Linkage::Weak,
            },
            prototype: None,
            insns: function.insns.clone(),
            spans: vec![Span::default(); function.insns.len()],
            refs,
            core,
            lines: lines.collect(),
            labels: labels(function),
        })
    }
}

/// A label for each target of a jump.
fn labels(function: &Function) -> Vec<asm::Label> {
    let mut targets: Vec<usize> = function
        .insns
        .iter()
        .enumerate()
        .filter_map(|(at, insn)| Some(at as i64 + 1 + i64::from(insn.jump_offset()?)))
        .filter_map(|to| usize::try_from(to).ok())
        .filter(|&to| to <= function.insns.len())
        .collect();
    targets.sort_unstable();
    targets.dedup();
    // Never between the slots of a wide load.
    targets.retain(|&to| {
        to == 0
            || !function.insns[to - 1].is_ld_imm64()
            || function.insns.get(to).is_none_or(|i| i.code != 0)
    });
    targets
        .iter()
        .map(|&at| asm::Label {
            at,
            name: format!("L{at}"),
        })
        .collect()
}
