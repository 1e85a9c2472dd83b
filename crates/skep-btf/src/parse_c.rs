//! A small C reader: declarations of types, as in `struct event { u32 pid; char comm[16]; };`, become BTF.
//!
//! It knows structs, unions, enums, typedefs, bit-fields, pointers, arrays, function pointers and prototypes, `packed`, and the
//! kernel's names of integers (`u32`, `__s64`, ...). It has no preprocessor and no expressions beyond integers.
//!
//! Invariants: a name means one type; equal pointers, arrays and qualifiers are made once; nesting is bounded.

mod declare;
#[cfg(test)]
mod tests;
mod token;

use std::collections::HashMap;

use skep_spec::Malformed;

use crate::build::{Builder, TypeDef};
use crate::ty::{Encoding, TypeId};

/// What a declaration introduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declared {
    /// A struct, union or enum; the name is empty for an anonymous one.
    Tag {
        name: String,
        id: TypeId,
    },
    Typedef {
        name: String,
        id: TypeId,
    },
    Variable {
        name: String,
        ty: TypeId,
    },
    Function {
        name: String,
        proto: TypeId,
    },
}

/// Reads declarations into a [`Builder`], remembering the names of one text for the next.
#[derive(Debug, Default)]
pub struct CTypes {
    builder: Builder,
    tags: HashMap<String, TypeId>,
    /// Declared, but without members so far.
    incomplete: HashMap<TypeId, bool>,
    typedefs: HashMap<String, TypeId>,
    ints: HashMap<&'static str, TypeId>,
    derived: HashMap<TypeDef, TypeId>,
    aligns: HashMap<TypeId, u32>,
    enumerators: HashMap<String, i64>,
}

impl CTypes {
    /// A reader that knows the built-in types only.
    pub fn new() -> CTypes {
        CTypes::default()
    }

    /// Reads declarations, each ending with `;`.
    pub fn declare(&mut self, text: &str) -> Result<Vec<Declared>, Malformed> {
        declare::declarations(self, text)
    }

    /// Reads a type as in a cast: `struct event *`, `u64[4]`.
    pub fn type_id(&mut self, text: &str) -> Result<TypeId, Malformed> {
        declare::type_name(self, text)
    }

    /// The types so far, to which others can be added.
    pub fn builder_mut(&mut self) -> &mut Builder {
        &mut self.builder
    }

    /// The types; a struct that was named but never defined is a forward declaration.
    pub fn into_builder(self) -> Builder {
        let mut builder = self.builder;
        let tags: HashMap<TypeId, &String> = self.tags.iter().map(|(key, &id)| (id, key)).collect();
        for (id, union) in self.incomplete {
            let key = tags.get(&id).map_or("", |key| key.as_str());
            let name = key.split_once(' ').map_or("", |(_, name)| name);
            // The id is the builder's own, so this cannot fail.
            let _ = builder.define(
                id,
                TypeDef::Fwd {
                    name: name.into(),
                    union,
                },
            );
        }
        builder
    }

    fn derive(&mut self, def: TypeDef) -> TypeId {
        if let Some(&id) = self.derived.get(&def) {
            return id;
        }
        let id = self.builder.add(def.clone());
        self.derived.insert(def, id);
        id
    }

    fn int(&mut self, name: &'static str, size: u32, encoding: Encoding) -> TypeId {
        if let Some(&id) = self.ints.get(name) {
            return id;
        }
        let id = self.builder.add_int(name, size, encoding);
        self.ints.insert(name, id);
        id
    }

    /// The size and alignment of a type; `None` if it has none, or none yet.
    pub fn shape(&self, id: TypeId) -> Option<(u32, u32)> {
        let mut at = id;
        let mut count = 1_u32;
        for _ in 0..crate::btf::DEPTH_MAX {
            let (size, align) = match self.builder.def(at)? {
                TypeDef::Int { size, .. } => (*size, *size),
                TypeDef::Float { size, .. } => (*size, (*size).min(16)),
                TypeDef::Ptr { .. } => (8, 8),
                TypeDef::Enum { size, .. } | TypeDef::Enum64 { size, .. } => (*size, *size),
                TypeDef::Struct { size, .. } | TypeDef::Union { size, .. } => {
                    (*size, *self.aligns.get(&at)?)
                }
                TypeDef::Array { elem, len, .. } => {
                    count = count.checked_mul(*len)?;
                    at = *elem;
                    continue;
                }
                TypeDef::Typedef { target, .. }
                | TypeDef::Volatile { target }
                | TypeDef::Const { target }
                | TypeDef::Restrict { target }
                | TypeDef::TypeTag { target, .. } => {
                    at = *target;
                    continue;
                }
                _ => return None,
            };
            return Some((size.checked_mul(count)?, align));
        }
        None
    }
}
