//! The embedded engine's own BTF: "its kernel's types", which CO-RE programs are relocated against.
//!
//! Invariants: each structure is declared once, by `kernel_struct!`, which makes the Rust layout and the BTF from the same
//! lines, so the two cannot differ; a member exists only if the host really fills it (or it is the record's own byte), so
//! everything else is refused by name when a program is relocated.

use super::{kernel, kfuncs};
use skep_btf::build::{Builder, MemberDef, TypeDef};
use skep_btf::ty::Encoding;
use skep_btf::{Btf, BtfError, TypeId};
use std::collections::HashMap;
use std::marker::PhantomData;

/// A type of the modelled kernel.
pub(crate) trait Describe {
    fn describe(types: &mut Types) -> TypeId;
}

/// A kernel pointer, as programs see it: an address in the modelled memory, or 0.
#[repr(transparent)]
pub(crate) struct Ptr<T>(pub u64, PhantomData<fn() -> T>);

impl<T> Ptr<T> {
    pub const NULL: Ptr<T> = Ptr(0, PhantomData);

    pub fn to(address: u64) -> Ptr<T> {
        Ptr(address, PhantomData)
    }
}

impl<T> Clone for Ptr<T> {
    fn clone(&self) -> Ptr<T> {
        *self
    }
}

impl<T> Copy for Ptr<T> {}

/// C's `char`.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Char(pub u8);

/// C's `bool`.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bool(pub u8);

/// The types so far; each is written once.
pub(crate) struct Types {
    pub(super) builder: Builder,
    known: HashMap<String, TypeId>,
}

impl Types {
    /// The id under `key`, made by `make` at the first question. Recursive types find the id reserved for them.
    fn once(&mut self, key: String, make: impl FnOnce(&mut Types) -> TypeDef) -> TypeId {
        if let Some(&id) = self.known.get(&key) {
            return id;
        }
        let id = self.builder.declare();
        self.known.insert(key, id);
        let def = make(self);
        // The id is this builder's own, so it can always be defined.
        let _ = self.builder.define(id, def);
        id
    }

    fn int(&mut self, name: &str, size: u32, encoding: Encoding) -> TypeId {
        let bits = size as u8 * 8;
        self.once(name.into(), |_| TypeDef::Int {
            name: name.into(),
            size,
            bits,
            offset: 0,
            encoding,
        })
    }

    pub fn structure(
        &mut self,
        name: &str,
        size: usize,
        members: impl FnOnce(&mut Types) -> Vec<(&'static str, usize, TypeId)>,
    ) -> TypeId {
        self.once(format!("struct {name}"), |types| TypeDef::Struct {
            name: name.into(),
            size: size as u32,
            members: members(types)
                .into_iter()
                .map(|(name, at, ty)| MemberDef::new(name, ty, at as u32))
                .collect(),
        })
    }
}

macro_rules! describe_int {
    ($($ty:ty = $name:literal $encoding:ident;)*) => {$(
        impl Describe for $ty {
            fn describe(types: &mut Types) -> TypeId {
                types.int($name, size_of::<$ty>() as u32, Encoding::$encoding)
            }
        }
    )*};
}

describe_int! {
    u8 = "unsigned char" UNSIGNED;
    u16 = "short unsigned int" UNSIGNED;
    u32 = "unsigned int" UNSIGNED;
    i32 = "int" SIGNED;
    u64 = "long unsigned int" UNSIGNED;
    i64 = "long int" SIGNED;
    Char = "char" SIGNED;
    Bool = "_Bool" BOOL;
}

impl Describe for () {
    fn describe(_: &mut Types) -> TypeId {
        TypeId(0)
    }
}

impl<T: Describe> Describe for Ptr<T> {
    fn describe(types: &mut Types) -> TypeId {
        let target = T::describe(types);
        types.once(format!("{}*", target.0), |_| TypeDef::Ptr { target })
    }
}

impl<T: Describe, const N: usize> Describe for [T; N] {
    fn describe(types: &mut Types) -> TypeId {
        let (elem, index) = (T::describe(types), u32::describe(types));
        types.once(format!("{}[{N}]", elem.0), |_| TypeDef::Array {
            elem,
            index,
            len: N as u32,
        })
    }
}

/// Declares structures of the modelled kernel: `struct Name = "kernel_name" { member: Type, ... }`.
macro_rules! kernel_struct {
    ($($(#[$doc:meta])* struct $name:ident = $kernel:literal { $($member:ident $(as $kname:literal)? : $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub(crate) struct $name { $(pub $member: $ty,)* }

        impl $crate::process::types::Describe for $name {
            fn describe(types: &mut $crate::process::types::Types) -> skep_btf::TypeId {
                types.structure($kernel, size_of::<$name>(), |types| vec![$((
                    kernel_struct!(@name $member $($kname)?),
                    std::mem::offset_of!($name, $member),
                    <$ty as $crate::process::types::Describe>::describe(types),
                ),)*])
            }
        }
    )*};
    (@name $member:ident) => { stringify!($member) };
    (@name $member:ident $kname:literal) => { $kname };
}
pub(crate) use kernel_struct;

/// The engine's types: everything the process host models, and the existence checks that programs make of a kernel.
/// `helpers` are the names of the helpers the engine has, for `enum bpf_func_id`.
pub fn embedded_btf(helpers: &[(u32, &str)]) -> Result<Btf, BtfError> {
    let mut types = Types {
        builder: Builder::new(),
        known: HashMap::new(),
    };
    kernel::describe_all(&mut types);
    kfuncs::describe_all(&mut types);
    let mut builder = types.builder;
    builder.append(&crate::uapi::btf()?)?;
    // A ring buffer's own structure is opaque to programs; they ask only whether it exists.
    builder.add_struct("bpf_ringbuf", 0, Vec::new());
    if !helpers.is_empty() {
        let names: Vec<String> = helpers
            .iter()
            .map(|(_, name)| format!("BPF_FUNC_{name}"))
            .collect();
        let values: Vec<(&str, i64)> = names
            .iter()
            .zip(helpers)
            .map(|(name, &(id, _))| (name.as_str(), i64::from(id)))
            .collect();
        builder.add_enum("bpf_func_id", 4, &values);
    }
    // Each `int` once: CO-RE must find one answer.
    skep_btf::dedup::dedup(&builder.into_btf()?)?
        .builder
        .into_btf()
}

impl Types {
    /// `typedef RET (*btf_trace_NAME)(void *, ...)`, which tp_btf programs are checked against.
    pub fn trace_typedef(&mut self, name: &str, params: &[(&str, TypeId)]) {
        let data = Ptr::<()>::describe(self);
        let all: Vec<(&str, TypeId)> = [("__data", data)]
            .into_iter()
            .chain(params.iter().copied())
            .collect();
        let proto = self.builder.add_func_proto(TypeId(0), &all);
        let target = self.builder.add_ptr(proto);
        self.builder
            .add_typedef(&format!("btf_trace_{name}"), target);
    }
}

#[cfg(test)]
mod tests;
