//! Writing BTF: [`Builder`] collects owned types and encodes them in either byte order.
//!
//! Invariants: an id handed out stays valid; equal strings are stored once; types refer to others by id only, so recursive
//! types are made by [`Builder::declare`] first and [`Builder::define`] later. Nothing is checked but what the encoding
//! cannot express; parse the result (as [`Builder::into_btf`] does) to have the references checked.

mod encode;

use std::collections::HashMap;
use std::sync::Arc;

use skep_spec::insn::Endian;

use self::encode::Encoder;
use crate::btf::Btf;
use crate::error::BtfError;
use crate::ty::{Encoding, Linkage, Ty, TypeId};

/// A type to be written: [`Ty`], owned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TypeDef {
    Int {
        name: String,
        size: u32,
        bits: u8,
        offset: u8,
        encoding: Encoding,
    },
    Ptr {
        target: TypeId,
    },
    Array {
        elem: TypeId,
        index: TypeId,
        len: u32,
    },
    Struct {
        name: String,
        size: u32,
        members: Vec<MemberDef>,
    },
    Union {
        name: String,
        size: u32,
        members: Vec<MemberDef>,
    },
    Enum {
        name: String,
        size: u32,
        signed: bool,
        values: Vec<ValueDef>,
    },
    Enum64 {
        name: String,
        size: u32,
        signed: bool,
        values: Vec<ValueDef>,
    },
    Fwd {
        name: String,
        union: bool,
    },
    Typedef {
        name: String,
        target: TypeId,
    },
    Volatile {
        target: TypeId,
    },
    Const {
        target: TypeId,
    },
    Restrict {
        target: TypeId,
    },
    Func {
        name: String,
        proto: TypeId,
        linkage: Linkage,
    },
    FuncProto {
        ret: TypeId,
        params: Vec<ParamDef>,
    },
    Var {
        name: String,
        target: TypeId,
        linkage: Linkage,
    },
    DataSec {
        name: String,
        size: u32,
        vars: Vec<SecVarDef>,
    },
    Float {
        name: String,
        size: u32,
    },
    DeclTag {
        value: String,
        target: TypeId,
        component: i32,
        attribute: bool,
    },
    TypeTag {
        value: String,
        target: TypeId,
        attribute: bool,
    },
}

/// A member to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemberDef {
    pub name: String,
    pub ty: TypeId,
    pub bit_offset: u32,
    pub bitfield_size: u8,
}

impl MemberDef {
    /// An ordinary member at a byte offset.
    pub fn new(name: &str, ty: TypeId, byte_offset: u32) -> MemberDef {
        MemberDef {
            name: name.into(),
            ty,
            bit_offset: byte_offset.saturating_mul(8),
            bitfield_size: 0,
        }
    }

    /// A bit-field.
    pub fn bits(name: &str, ty: TypeId, bit_offset: u32, bitfield_size: u8) -> MemberDef {
        MemberDef {
            name: name.into(),
            ty,
            bit_offset,
            bitfield_size,
        }
    }
}

/// An enumerator to be written; a negative value is sign-extended to 64 bits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ValueDef {
    pub name: String,
    pub value: u64,
}

/// A parameter to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ParamDef {
    pub name: String,
    pub ty: TypeId,
}

/// A section's variable to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SecVarDef {
    pub ty: TypeId,
    pub offset: u32,
    pub size: u32,
}

impl TypeDef {
    /// An owned copy of a type that was read; `None` for `void`.
    pub fn of(ty: &Ty<'_>) -> Option<TypeDef> {
        let values = |values: &crate::ty::Values<'_>| {
            values
                .iter()
                .map(|value| ValueDef {
                    name: value.name.into(),
                    value: value.value,
                })
                .collect()
        };
        let members = |members: &crate::ty::Members<'_>| {
            let own = |member: crate::ty::Member<'_>| MemberDef {
                name: member.name.into(),
                ty: member.ty,
                bit_offset: member.bit_offset,
                bitfield_size: member.bitfield_size,
            };
            members.iter().map(own).collect()
        };
        Some(match *ty {
            Ty::Void => return None,
            Ty::Int(int) => TypeDef::Int {
                name: int.name.into(),
                size: int.size,
                bits: int.bits,
                offset: int.offset,
                encoding: int.encoding,
            },
            Ty::Ptr { target } => TypeDef::Ptr { target },
            Ty::Array { elem, index, len } => TypeDef::Array { elem, index, len },
            Ty::Struct(c) => TypeDef::Struct {
                name: c.name.into(),
                size: c.size,
                members: members(&c.members),
            },
            Ty::Union(c) => TypeDef::Union {
                name: c.name.into(),
                size: c.size,
                members: members(&c.members),
            },
            Ty::Enum(e) => TypeDef::Enum {
                name: e.name.into(),
                size: e.size,
                signed: e.signed,
                values: values(&e.values),
            },
            Ty::Enum64(e) => TypeDef::Enum64 {
                name: e.name.into(),
                size: e.size,
                signed: e.signed,
                values: values(&e.values),
            },
            Ty::Fwd { name, union } => TypeDef::Fwd {
                name: name.into(),
                union,
            },
            Ty::Typedef { name, target } => TypeDef::Typedef {
                name: name.into(),
                target,
            },
            Ty::Volatile { target } => TypeDef::Volatile { target },
            Ty::Const { target } => TypeDef::Const { target },
            Ty::Restrict { target } => TypeDef::Restrict { target },
            Ty::Func {
                name,
                proto,
                linkage,
            } => TypeDef::Func {
                name: name.into(),
                proto,
                linkage,
            },
            Ty::FuncProto { ret, params } => TypeDef::FuncProto {
                ret,
                params: params
                    .iter()
                    .map(|param| ParamDef {
                        name: param.name.into(),
                        ty: param.ty,
                    })
                    .collect(),
            },
            Ty::Var {
                name,
                target,
                linkage,
            } => TypeDef::Var {
                name: name.into(),
                target,
                linkage,
            },
            Ty::DataSec { name, size, vars } => TypeDef::DataSec {
                name: name.into(),
                size,
                vars: vars
                    .iter()
                    .map(|var| SecVarDef {
                        ty: var.ty,
                        offset: var.offset,
                        size: var.size,
                    })
                    .collect(),
            },
            Ty::Float { name, size } => TypeDef::Float {
                name: name.into(),
                size,
            },
            Ty::DeclTag {
                value,
                target,
                component,
                attribute,
            } => TypeDef::DeclTag {
                value: value.into(),
                target,
                component,
                attribute,
            },
            Ty::TypeTag {
                value,
                target,
                attribute,
            } => TypeDef::TypeTag {
                value: value.into(),
                target,
                attribute,
            },
        })
    }

    /// Calls `change` on every type id that the type refers to.
    pub fn for_each_id(&mut self, mut change: impl FnMut(&mut TypeId)) {
        match self {
            TypeDef::Int { .. }
            | TypeDef::Enum { .. }
            | TypeDef::Enum64 { .. }
            | TypeDef::Fwd { .. }
            | TypeDef::Float { .. } => {}
            TypeDef::Ptr { target }
            | TypeDef::Typedef { target, .. }
            | TypeDef::Volatile { target }
            | TypeDef::Const { target }
            | TypeDef::Restrict { target }
            | TypeDef::Var { target, .. }
            | TypeDef::DeclTag { target, .. }
            | TypeDef::TypeTag { target, .. } => change(target),
            TypeDef::Func { proto, .. } => change(proto),
            TypeDef::Array { elem, index, .. } => {
                change(elem);
                change(index);
            }
            TypeDef::Struct { members, .. } | TypeDef::Union { members, .. } => {
                members.iter_mut().for_each(|member| change(&mut member.ty));
            }
            TypeDef::FuncProto { ret, params } => {
                change(ret);
                params.iter_mut().for_each(|param| change(&mut param.ty));
            }
            TypeDef::DataSec { vars, .. } => vars.iter_mut().for_each(|var| change(&mut var.ty)),
        }
    }
}

/// Collects types and writes them as BTF.
#[derive(Clone, Debug)]
pub struct Builder {
    base: Option<Arc<Btf>>,
    endian: Endian,
    /// `None` while only declared.
    types: Vec<Option<TypeDef>>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            base: None,
            endian: Endian::NATIVE,
            types: Vec::new(),
        }
    }
}

impl Builder {
    /// A builder without types, writing in the machine's byte order.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// A builder of split BTF: its types may refer to those of `base`, and its ids follow them.
    pub fn with_base(base: Arc<Btf>) -> Builder {
        Builder {
            endian: base.endian(),
            base: Some(base),
            types: Vec::new(),
        }
    }

    /// A builder that starts with the own types of `btf`, all with their ids, its byte order and its base.
    pub fn from_btf(btf: &Btf) -> Result<Builder, BtfError> {
        let types = btf
            .own_ids()
            .map(|id| Ok(TypeDef::of(&btf.ty(id)?)))
            .collect::<Result<_, BtfError>>()?;
        Ok(Builder {
            base: btf.base().cloned(),
            endian: btf.endian(),
            types,
        })
    }

    /// Sets the byte order to write.
    pub fn set_endian(&mut self, endian: Endian) -> &mut Builder {
        self.endian = endian;
        self
    }

    /// The id that the next type added gets.
    pub fn next_id(&self) -> TypeId {
        TypeId(self.first_id() + self.types.len() as u32)
    }

    fn first_id(&self) -> u32 {
        self.base.as_ref().map_or(1, |base| base.len())
    }

    /// A type of this builder, not of its base, that was defined.
    pub fn def(&self, id: TypeId) -> Option<&TypeDef> {
        self.types
            .get(id.0.checked_sub(self.first_id())? as usize)?
            .as_ref()
    }

    /// All types added so far with their ids.
    pub fn defs(&self) -> impl Iterator<Item = (TypeId, &TypeDef)> {
        let first = self.first_id();
        self.types
            .iter()
            .enumerate()
            .filter_map(move |(at, def)| Some((TypeId(first + at as u32), def.as_ref()?)))
    }

    /// Adds a type.
    pub fn add(&mut self, def: TypeDef) -> TypeId {
        let id = self.next_id();
        self.types.push(Some(def));
        id
    }

    /// Reserves an id for a type that is defined later.
    pub fn declare(&mut self) -> TypeId {
        let id = self.next_id();
        self.types.push(None);
        id
    }

    /// Defines a declared type, or replaces one; an id that is not this builder's is an error.
    pub fn define(&mut self, id: TypeId, def: TypeDef) -> Result<(), BtfError> {
        let len = self.next_id().0;
        let at = id.0.checked_sub(self.first_id());
        let place = at.and_then(|at| self.types.get_mut(at as usize));
        *place.ok_or(BtfError::NoSuchType { id, len })? = Some(def);
        Ok(())
    }

    /// Adds copies of all types of `btf` (its base's included, unless the base is this builder's too); the result maps its
    /// ids to the copies' ids.
    pub fn append(&mut self, btf: &Btf) -> Result<Vec<TypeId>, BtfError> {
        let shared = match (&self.base, btf.base()) {
            (Some(mine), Some(theirs)) if Arc::ptr_eq(mine, theirs) => mine.len(),
            _ => 1,
        };
        let next = self.next_id().0;
        let map = |id: TypeId| {
            if id.0 < shared {
                id
            } else {
                TypeId(id.0 - shared + next)
            }
        };
        for id in (shared..btf.len()).map(TypeId) {
            let mut def = TypeDef::of(&btf.ty(id)?);
            if let Some(def) = &mut def {
                def.for_each_id(|id| *id = map(*id));
            }
            self.types.push(def);
        }
        Ok((0..btf.len()).map(|id| map(TypeId(id))).collect())
    }

    /// Adds an integer that fills its bytes.
    pub fn add_int(&mut self, name: &str, size: u32, encoding: Encoding) -> TypeId {
        self.add(TypeDef::Int {
            name: name.into(),
            size,
            bits: (size * 8).min(255) as u8,
            offset: 0,
            encoding,
        })
    }

    /// Adds a pointer.
    pub fn add_ptr(&mut self, target: TypeId) -> TypeId {
        self.add(TypeDef::Ptr { target })
    }

    /// Adds an array; `index` is an integer type that counts its elements.
    pub fn add_array(&mut self, elem: TypeId, index: TypeId, len: u32) -> TypeId {
        self.add(TypeDef::Array { elem, index, len })
    }

    /// Adds a struct.
    pub fn add_struct(
        &mut self,
        name: &str,
        size: u32,
        members: impl Into<Vec<MemberDef>>,
    ) -> TypeId {
        self.add(TypeDef::Struct {
            name: name.into(),
            size,
            members: members.into(),
        })
    }

    /// Adds a union.
    pub fn add_union(
        &mut self,
        name: &str,
        size: u32,
        members: impl Into<Vec<MemberDef>>,
    ) -> TypeId {
        self.add(TypeDef::Union {
            name: name.into(),
            size,
            members: members.into(),
        })
    }

    /// Adds an enum of 32-bit values, which is signed if a value is negative.
    pub fn add_enum(&mut self, name: &str, size: u32, values: &[(&str, i64)]) -> TypeId {
        let signed = values.iter().any(|&(_, value)| value < 0);
        self.add(TypeDef::Enum {
            name: name.into(),
            size,
            signed,
            values: value_defs(values),
        })
    }

    /// Adds an enum of 64-bit values, which is signed if a value is negative.
    pub fn add_enum64(&mut self, name: &str, size: u32, values: &[(&str, i64)]) -> TypeId {
        let signed = values.iter().any(|&(_, value)| value < 0);
        self.add(TypeDef::Enum64 {
            name: name.into(),
            size,
            signed,
            values: value_defs(values),
        })
    }

    /// Adds a forward declaration.
    pub fn add_fwd(&mut self, name: &str, union: bool) -> TypeId {
        self.add(TypeDef::Fwd {
            name: name.into(),
            union,
        })
    }

    /// Adds a typedef.
    pub fn add_typedef(&mut self, name: &str, target: TypeId) -> TypeId {
        self.add(TypeDef::Typedef {
            name: name.into(),
            target,
        })
    }

    /// Adds `const`.
    pub fn add_const(&mut self, target: TypeId) -> TypeId {
        self.add(TypeDef::Const { target })
    }

    /// Adds `volatile`.
    pub fn add_volatile(&mut self, target: TypeId) -> TypeId {
        self.add(TypeDef::Volatile { target })
    }

    /// Adds `restrict`.
    pub fn add_restrict(&mut self, target: TypeId) -> TypeId {
        self.add(TypeDef::Restrict { target })
    }

    /// Adds a function prototype.
    pub fn add_func_proto(&mut self, ret: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let params = params
            .iter()
            .map(|&(name, ty)| ParamDef {
                name: name.into(),
                ty,
            })
            .collect();
        self.add(TypeDef::FuncProto { ret, params })
    }

    /// Adds a function.
    pub fn add_func(&mut self, name: &str, proto: TypeId, linkage: Linkage) -> TypeId {
        self.add(TypeDef::Func {
            name: name.into(),
            proto,
            linkage,
        })
    }

    /// Adds a global variable.
    pub fn add_var(&mut self, name: &str, target: TypeId, linkage: Linkage) -> TypeId {
        self.add(TypeDef::Var {
            name: name.into(),
            target,
            linkage,
        })
    }

    /// Adds a data section.
    pub fn add_datasec(
        &mut self,
        name: &str,
        size: u32,
        vars: impl Into<Vec<SecVarDef>>,
    ) -> TypeId {
        self.add(TypeDef::DataSec {
            name: name.into(),
            size,
            vars: vars.into(),
        })
    }

    /// Adds a floating point number.
    pub fn add_float(&mut self, name: &str, size: u32) -> TypeId {
        self.add(TypeDef::Float {
            name: name.into(),
            size,
        })
    }

    /// Adds a declaration tag on a whole type (`component` -1) or one of its members or parameters.
    pub fn add_decl_tag(&mut self, value: &str, target: TypeId, component: i32) -> TypeId {
        self.add(TypeDef::DeclTag {
            value: value.into(),
            target,
            component,
            attribute: false,
        })
    }

    /// Adds a type tag.
    pub fn add_type_tag(&mut self, value: &str, target: TypeId) -> TypeId {
        self.add(TypeDef::TypeTag {
            value: value.into(),
            target,
            attribute: false,
        })
    }

    /// Encodes the types as the contents of a `.BTF` section.
    pub fn finish(&self) -> Result<Vec<u8>, BtfError> {
        self.finish_with(&mut Strings::new(self.base.as_deref()))
    }

    /// As [`Builder::finish`], with a string table that others (`.BTF.ext`) have put their strings into as well.
    pub fn finish_with(&self, strings: &mut Strings) -> Result<Vec<u8>, BtfError> {
        let mut out = Encoder {
            bytes: Vec::new(),
            endian: self.endian,
        };
        for (at, def) in self.types.iter().enumerate() {
            let Some(def) = def else {
                let id = self.first_id() as usize + at;
                return Err(BtfError::unwritable(format!(
                    "type {id} was declared but never defined"
                )));
            };
            out.def(def, strings)?;
        }
        let types = out.bytes;
        let mut out = Encoder {
            bytes: Vec::with_capacity(24 + types.len() + strings.text.len()),
            endian: self.endian,
        };
        let magic = match self.endian {
            Endian::Little => 0xeb9f_u16.to_le_bytes(),
            Endian::Big => 0xeb9f_u16.to_be_bytes(),
        };
        out.bytes.extend([magic[0], magic[1], 1, 0]);
        let len = |bytes: &[u8], what: &str| {
            u32::try_from(bytes.len())
                .map_err(|_| BtfError::unwritable(format!("the {what} do not fit 4 GiB")))
        };
        let (types_len, strings_len) = (len(&types, "types")?, len(&strings.text, "strings")?);
        for word in [24, 0, types_len, types_len, strings_len] {
            out.word(word);
        }
        out.bytes.extend(types);
        out.bytes.extend(&strings.text);
        Ok(out.bytes)
    }

    /// Encodes the types and reads them back, which checks their references.
    pub fn into_btf(self) -> Result<Btf, BtfError> {
        let bytes = self.finish()?;
        match self.base {
            Some(base) => Btf::parse_split(base, bytes),
            None => Btf::parse(bytes),
        }
    }
}

fn value_defs(values: &[(&str, i64)]) -> Vec<ValueDef> {
    values
        .iter()
        .map(|&(name, value)| ValueDef {
            name: name.into(),
            value: value as u64,
        })
        .collect()
}

/// A string section being written: equal strings are stored once, those of a base are reused.
#[derive(Clone, Debug)]
pub struct Strings {
    text: Vec<u8>,
    start: u32,
    offsets: HashMap<String, u32>,
}

impl Strings {
    /// An empty table, or one that continues the strings of a base.
    pub fn new(base: Option<&Btf>) -> Strings {
        match base {
            None => Strings {
                text: vec![0],
                start: 0,
                offsets: HashMap::new(),
            },
            Some(base) => {
                let mut offsets = HashMap::new();
                base.each_string(|offset, text| {
                    offsets.entry(text.to_owned()).or_insert(offset);
                });
                Strings {
                    text: Vec::new(),
                    start: base.strings_end(),
                    offsets,
                }
            }
        }
    }

    /// The offset of a string, added if it is new.
    pub fn add(&mut self, text: &str) -> Result<u32, BtfError> {
        if text.is_empty() {
            return Ok(0);
        }
        if let Some(&offset) = self.offsets.get(text) {
            return Ok(offset);
        }
        if text.as_bytes().contains(&0) {
            return Err(BtfError::unwritable(format!(
                "the name {text:?} contains a zero byte"
            )));
        }
        let end = u64::from(self.start) + self.text.len() as u64 + text.len() as u64 + 1;
        if end > u64::from(u32::MAX) {
            return Err(BtfError::unwritable("the strings do not fit 4 GiB"));
        }
        let offset = self.start + self.text.len() as u32;
        self.text.extend(text.as_bytes());
        self.text.push(0);
        self.offsets.insert(text.to_owned(), offset);
        Ok(offset)
    }
}
