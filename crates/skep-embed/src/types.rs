//! A context's types as programs have them: BTF, which CO-RE relocates against, and a header for C.
//!
//! Invariants: both hold the fields that programs may touch and no others, at the places where Rust has them; a structure
//! is declared before it is used, and once.

use std::fmt::Write as _;

use skep_btf::build::{Builder, MemberDef, TypeDef};
use skep_btf::ty::Encoding;
use skep_btf::{Btf, BtfError, TypeId};
use skep_spec::context::ContextLayout;
use skep_vm::typed::{Structure, StructureField, Type};

/// A context and what programs see of it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub structure: &'static Structure,
    pub layout: &'static ContextLayout,
}

impl Seen {
    fn fields(self) -> impl Iterator<Item = &'static StructureField> {
        let named = move |field: &&StructureField| {
            let mut fields = self.layout.fields.iter();
            fields.any(|seen| seen.offset == field.offset)
        };
        self.structure.fields.iter().filter(named)
    }
}

/// The types as BTF.
pub fn btf(seen: Seen) -> Result<Btf, BtfError> {
    let mut types = Types {
        builder: Builder::new(),
        known: Vec::new(),
    };
    let fields: Vec<&StructureField> = seen.fields().collect();
    types.structure(seen.structure, &fields);
    types.builder.into_btf()
}

struct Types {
    builder: Builder,
    known: Vec<(&'static Structure, TypeId)>,
}

impl Types {
    fn structure(&mut self, structure: &'static Structure, fields: &[&StructureField]) -> TypeId {
        let mut members = Vec::new();
        for field in fields {
            let ty = match field.ty {
                Type::Bytes { .. } => {
                    let byte = self.number(1, false);
                    let pointer = self.builder.add_ptr(byte);
                    members.push(MemberDef::new(field.end, pointer, field.offset + 8));
                    pointer
                }
                ty => self.ty(ty),
            };
            members.push(MemberDef::new(field.name, ty, field.offset));
        }
        members.sort_by_key(|member| member.bit_offset);
        self.builder.add(TypeDef::Struct {
            name: structure.name.to_owned(),
            size: structure.size,
            members,
        })
    }

    fn number(&mut self, size: u32, signed: bool) -> TypeId {
        let encoding = if signed {
            Encoding::SIGNED
        } else {
            Encoding::UNSIGNED
        };
        self.builder
            .add_int(number_name(size, signed), size, encoding)
    }

    fn ty(&mut self, ty: &'static Type) -> TypeId {
        match *ty {
            Type::Number { size, signed } => self.number(size, signed),
            Type::Bool => self.builder.add_int("_Bool", 1, Encoding::BOOL),
            Type::Array { of, len } => {
                let elem = self.ty(of);
                let index = self.number(4, false);
                self.builder.add_array(elem, index, len)
            }
            Type::Structure(structure) => {
                let known = self.known.iter().find(|(known, _)| *known == structure);
                if let Some((_, id)) = known {
                    return *id;
                }
                let fields: Vec<&StructureField> = structure.fields.iter().collect();
                let id = self.structure(structure, &fields);
                self.known.push((structure, id));
                id
            }
            // Only as fields, where they are two.
            Type::Bytes { .. } => self.builder.add_ptr(TypeId(0)),
            Type::Address { of, .. } => {
                let of = self.ty(of);
                self.builder.add_ptr(of)
            }
        }
    }
}

const fn number_name(size: u32, signed: bool) -> &'static str {
    match (size, signed) {
        (1, false) => "unsigned char",
        (2, false) => "unsigned short",
        (4, false) => "unsigned int",
        (_, false) => "unsigned long long",
        (1, true) => "signed char",
        (2, true) => "short",
        (4, true) => "int",
        (_, true) => "long long",
    }
}

/// How C writes a type, before and after the name.
pub(crate) fn c_name(ty: &Type) -> (String, String) {
    match ty {
        Type::Number { size, signed } => {
            let sign = if *signed { 's' } else { 'u' };
            (format!("__{sign}{}", 8 * size), String::new())
        }
        Type::Bool => ("_Bool".to_owned(), String::new()),
        Type::Array { of, len } => {
            let (before, after) = c_name(of);
            (before, format!("[{len}]{after}"))
        }
        Type::Structure(structure) => (format!("struct {}", structure.name), String::new()),
        Type::Bytes { writable } => {
            let constant = if *writable { "" } else { "const " };
            (format!("{constant}__u8 *"), String::new())
        }
        Type::Address { of, writable, .. } => {
            let constant = if *writable { "" } else { "const " };
            match c_name(of) {
                (before, after) if after.is_empty() => {
                    (format!("{constant}{before} *"), String::new())
                }
                (before, after) => (format!("{constant}{before} (*"), format!("){after}")),
            }
        }
    }
}

/// What a plug-in in C includes: the context, and how to call `helpers`, each declared already.
pub(crate) fn header(seen: Seen, helpers: &[&str], structures: &[&'static Structure]) -> String {
    let mut text = String::from("#pragma once\n\n");
    for (size, bits) in [(1, 8), (2, 16), (4, 32), (8, 64)] {
        for (sign, signed) in [('u', false), ('s', true)] {
            let _ = writeln!(
                text,
                "typedef {} __{sign}{bits};",
                number_name(size, signed)
            );
        }
    }
    text.push_str("\n#define SEC(name) __attribute__((section(name), used))\n");
    let mut declared = Vec::new();
    for structure in structures {
        declare_used(&Type::Structure(structure), &mut declared, &mut text);
    }
    let fields: Vec<&StructureField> = seen.fields().collect();
    for field in &fields {
        declare_used(field.ty, &mut declared, &mut text);
    }
    declare(seen.structure, &fields, &mut text);
    for helper in helpers {
        let _ = write!(text, "\n{helper}");
    }
    text.push('\n');
    text
}

fn declare_used(ty: &Type, declared: &mut Vec<&'static Structure>, text: &mut String) {
    match *ty {
        Type::Array { of, .. } | Type::Address { of, .. } => declare_used(of, declared, text),
        Type::Structure(structure) if !declared.contains(&structure) => {
            declared.push(structure);
            for field in structure.fields {
                declare_used(field.ty, declared, text);
            }
            let fields: Vec<&StructureField> = structure.fields.iter().collect();
            declare(structure, &fields, text);
        }
        _ => {}
    }
}

fn declare(structure: &Structure, fields: &[&StructureField], text: &mut String) {
    let _ = write!(text, "\nstruct {} {{\n", structure.name);
    let mut end = 0;
    let mut gaps = 0;
    let mut gap = |from: u32, to: u32, text: &mut String| {
        if to > from {
            let _ = writeln!(text, "\t__u8 __hidden_{gaps}[{}];", to - from);
            gaps += 1;
        }
    };
    for field in fields {
        gap(end, field.offset, text);
        end = field.offset + field.ty.size();
        let (before, after) = c_name(field.ty);
        let space = if before.ends_with('*') { "" } else { " " };
        let _ = writeln!(text, "\t{before}{space}{}{after};", field.name);
        if let Type::Bytes { .. } = field.ty {
            let _ = writeln!(text, "\t{before}{space}{};", field.end);
        }
    }
    gap(end, structure.size, text);
    text.push_str("} __attribute__((preserve_access_index));\n");
}
