//! Bytes shown through their type: a tree of named values, printed like C initialisers or as JSON.
//!
//! Invariants: never fails: where the bytes end too early or the types are broken, the tree says so ([`Value::Missing`],
//! [`Value::Bytes`]); the tree has at most [`NODES_MAX`] nodes whatever the types claim. Numbers are in the byte order of the BTF.

use std::fmt::{self, Write as _};

use skep_spec::insn::Endian;

use crate::btf::{Btf, DEPTH_MAX};
use crate::kind::Kind;
use crate::ty::{Composite, Encoding, Enum, Member, Ty, TypeId};

/// The largest tree: more than any event or map value has, little enough to hold.
pub const NODES_MAX: usize = 1 << 18;

/// A decoded value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Members by name; those of anonymous structs and unions are lifted into it.
    Struct(Vec<(String, Value)>),
    Array(Vec<Value>),
    Int(i128),
    Uint(u128),
    Bool(bool),
    Float(f64),
    /// A `char` array, up to its first zero byte.
    Str(String),
    /// An enumerator's name, and its number.
    Enum(String, i128),
    Ptr(u64),
    /// Bytes that no type explains.
    Bytes(Vec<u8>),
    /// The bytes ended before this value.
    Missing,
}

/// Decodes the value of a type from its bytes, which may be too few or too many.
pub fn format(btf: &Btf, id: TypeId, bytes: &[u8]) -> Value {
    Decoder {
        btf,
        nodes: NODES_MAX,
    }
    .decode(id, bytes, 0)
}

struct Decoder<'a> {
    btf: &'a Btf,
    nodes: usize,
}

impl<'a> Decoder<'a> {
    fn decode(&mut self, id: TypeId, bytes: &[u8], depth: usize) -> Value {
        let address = self.is_address(id);
        let Some((id, ty)) = self
            .btf
            .resolved(id)
            .ok()
            .filter(|_| depth < DEPTH_MAX && self.nodes > 0)
        else {
            return Value::Bytes(bytes.to_vec());
        };
        self.nodes -= 1;
        match ty {
            Ty::Struct(composite) | Ty::Union(composite) => {
                let mut members = Vec::new();
                self.members(composite, bytes, &mut members, depth);
                Value::Struct(members)
            }
            Ty::Array { elem, len, .. } => self.array(elem, len, bytes, depth),
            Ty::Var { target, .. } => self.decode(target, bytes, depth + 1),
            Ty::DataSec { vars, .. } => {
                let mut values = Vec::new();
                for var in vars.iter() {
                    let bytes = part(bytes, var.offset, var.size);
                    values.push((
                        self.btf.name(var.ty).to_owned(),
                        self.decode(var.ty, bytes, depth + 1),
                    ));
                }
                Value::Struct(values)
            }
            _ => match self.btf.size_of(id) {
                Ok(size) if bytes.len() < size as usize => Value::Missing,
                Ok(size) => match number(&bytes[..size as usize], self.btf.endian()) {
                    Some(raw) if address => Value::Ptr(raw as u64),
                    Some(raw) => scalar(&ty, raw, size * 8),
                    None => Value::Bytes(bytes[..size as usize].to_vec()),
                },
                Err(_) => Value::Bytes(bytes.to_vec()),
            },
        }
    }

    /// Whether a number's type says that it is an address: `uintptr_t`, whatever it stands for.
    fn is_address(&self, mut id: TypeId) -> bool {
        for _ in 0..DEPTH_MAX {
            match self.btf.ty(id) {
                Ok(Ty::Typedef {
                    name: "uintptr_t", ..
                }) => return true,
                Ok(
                    Ty::Typedef { target, .. }
                    | Ty::Const { target, .. }
                    | Ty::Volatile { target, .. },
                ) => id = target,
                _ => return false,
            }
        }
        false
    }

    fn members(
        &mut self,
        composite: Composite<'a>,
        bytes: &[u8],
        out: &mut Vec<(String, Value)>,
        depth: usize,
    ) {
        for member in composite.members.iter() {
            if self.nodes == 0 || depth >= DEPTH_MAX {
                return;
            }
            let inner = self
                .btf
                .resolved(member.ty)
                .ok()
                .and_then(|(_, ty)| ty.composite());
            match (inner, member.byte_offset()) {
                (Some(inner), Some(offset)) if member.name.is_empty() => {
                    self.nodes -= 1;
                    self.members(inner, part(bytes, offset, inner.size), out, depth + 1);
                }
                (_, Some(offset)) if member.bitfield_size == 0 => {
                    // A flexible array takes all that is left.
                    let flexible = matches!(
                        self.btf.resolved(member.ty),
                        Ok((_, Ty::Array { len: 0, .. }))
                    );
                    let size = if flexible {
                        u32::MAX
                    } else {
                        self.btf.size_of(member.ty).unwrap_or(0)
                    };
                    let value = self.decode(member.ty, part(bytes, offset, size), depth + 1);
                    out.push((member.name.to_owned(), value));
                }
                _ => {
                    self.nodes -= 1;
                    out.push((member.name.to_owned(), self.bits(member, bytes)));
                }
            }
        }
    }

    fn bits(&self, member: Member<'_>, bytes: &[u8]) -> Value {
        let Ok((id, ty)) = self.btf.resolved(member.ty) else {
            return Value::Missing;
        };
        let width = match member.bitfield_size {
            0 => self.btf.size_of(id).unwrap_or(0).saturating_mul(8).min(128),
            width => u32::from(width.min(128)),
        };
        let first = (member.bit_offset / 8) as usize;
        let skip = member.bit_offset % 8;
        let len = (skip + width).div_ceil(8) as usize;
        let Some(bytes) = bytes
            .get(first..first + len)
            .filter(|bytes| bytes.len() <= 16)
        else {
            return Value::Missing;
        };
        let raw = number(bytes, self.btf.endian()).unwrap_or(0);
        let raw = match self.btf.endian() {
            Endian::Little => raw >> skip,
            Endian::Big => raw >> (len as u32 * 8 - skip - width),
        };
        scalar(
            &ty,
            if width == 128 {
                raw
            } else {
                raw & ((1 << width) - 1)
            },
            width,
        )
    }

    fn array(&mut self, elem: TypeId, len: u32, bytes: &[u8], depth: usize) -> Value {
        if let Ok((_, Ty::Int(int))) = self.btf.resolved(elem)
            && int.size == 1
            && (int.encoding.char || int.name == "char")
        {
            let text = if len == 0 { bytes } else { part(bytes, 0, len) };
            let end = text
                .iter()
                .position(|&byte| byte == 0)
                .unwrap_or(text.len());
            return Value::Str(String::from_utf8_lossy(&text[..end]).into_owned());
        }
        let size = self.btf.size_of(elem).unwrap_or(0);
        let count = match (size, len) {
            (0, _) => 0,
            (size, 0) => bytes.len() / size as usize,
            (size, len) => (len as usize).min(bytes.len().div_ceil(size as usize)),
        };
        let mut values = Vec::new();
        for index in 0..count {
            if self.nodes == 0 {
                break;
            }
            values.push(self.decode(
                elem,
                part(bytes, (index * size as usize) as u32, size),
                depth + 1,
            ));
        }
        Value::Array(values)
    }
}

/// As much as there is of `len` bytes from `offset` on.
fn part(bytes: &[u8], offset: u32, len: u32) -> &[u8] {
    let from = (offset as usize).min(bytes.len());
    let to = from.saturating_add(len as usize).min(bytes.len());
    &bytes[from..to]
}

fn number(bytes: &[u8], endian: Endian) -> Option<u128> {
    if bytes.len() > 16 {
        return None;
    }
    let add = |number: u128, &byte: &u8| number << 8 | u128::from(byte);
    Some(match endian {
        Endian::Little => bytes.iter().rev().fold(0, add),
        Endian::Big => bytes.iter().fold(0, add),
    })
}

fn signed(raw: u128, bits: u32) -> i128 {
    match bits {
        0 => 0,
        1..=127 => (raw << (128 - bits)) as i128 >> (128 - bits),
        _ => raw as i128,
    }
}

fn scalar(ty: &Ty<'_>, raw: u128, bits: u32) -> Value {
    match ty {
        Ty::Int(int) => match int.encoding {
            Encoding { bool: true, .. } => Value::Bool(raw != 0),
            Encoding { signed: true, .. } => Value::Int(signed(raw, bits)),
            _ => Value::Uint(raw),
        },
        Ty::Enum(enumeration) | Ty::Enum64(enumeration) => enumerator(enumeration, raw, bits),
        Ty::Ptr { .. } => Value::Ptr(raw as u64),
        Ty::Float { size: 4, .. } => Value::Float(f32::from_bits(raw as u32).into()),
        Ty::Float { size: 8, .. } => Value::Float(f64::from_bits(raw as u64)),
        _ => Value::Uint(raw),
    }
}

fn enumerator(enumeration: &Enum<'_>, raw: u128, bits: u32) -> Value {
    let number = if enumeration.signed {
        signed(raw, bits)
    } else {
        raw as i128
    };
    let named = enumeration.values.iter().find(|value| {
        number
            == if enumeration.signed {
                i128::from(value.value as i64)
            } else {
                i128::from(value.value)
            }
    });
    match named {
        Some(value) => Value::Enum(value.name.to_owned(), number),
        None => Value::Int(number),
    }
}

impl Value {
    /// The member of a struct with this name.
    pub fn member(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Struct(members) => members
                .iter()
                .find(|(found, _)| found == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The value as a number, if it is one.
    pub fn as_int(&self) -> Option<i128> {
        match self {
            Value::Int(number) | Value::Enum(_, number) => Some(*number),
            Value::Uint(number) => i128::try_from(*number).ok(),
            Value::Bool(value) => Some(i128::from(*value)),
            Value::Ptr(address) => Some(i128::from(*address)),
            _ => None,
        }
    }

    /// The value as JSON: enumerators by name, pointers and unexplained bytes as hexadecimal strings, what is missing as null.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = match self {
            Value::Struct(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    json_string(out, name);
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
                Ok(())
            }
            Value::Array(values) => {
                out.push('[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    value.write_json(out);
                }
                out.push(']');
                Ok(())
            }
            Value::Int(number) => write!(out, "{number}"),
            Value::Uint(number) => write!(out, "{number}"),
            Value::Bool(value) => write!(out, "{value}"),
            Value::Float(value) if value.is_finite() => write!(out, "{value:?}"),
            Value::Float(_) | Value::Missing => write!(out, "null"),
            Value::Str(text) => {
                json_string(out, text);
                Ok(())
            }
            Value::Enum(name, _) => {
                json_string(out, name);
                Ok(())
            }
            Value::Ptr(address) => write!(out, "\"{address:#x}\""),
            Value::Bytes(_) => write!(out, "\"{self}\""),
        };
    }
}

fn json_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        let _ = match character {
            '"' => write!(out, "\\\""),
            '\\' => write!(out, "\\\\"),
            '\n' => write!(out, "\\n"),
            '\t' => write!(out, "\\t"),
            '\r' => write!(out, "\\r"),
            other if other < ' ' => write!(out, "\\u{:04x}", other as u32),
            other => write!(out, "{other}"),
        };
    }
    out.push('"');
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Struct(members) if members.is_empty() => f.write_str("{}"),
            Value::Struct(members) => {
                for (index, (name, value)) in members.iter().enumerate() {
                    f.write_str(if index == 0 { "{ " } else { ", " })?;
                    write!(f, ".{name} = {value}")?;
                }
                f.write_str(" }")
            }
            Value::Array(values) if values.is_empty() => f.write_str("{}"),
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    f.write_str(if index == 0 { "{ " } else { ", " })?;
                    value.fmt(f)?;
                }
                f.write_str(" }")
            }
            Value::Int(number) => number.fmt(f),
            Value::Uint(number) => number.fmt(f),
            Value::Bool(value) => value.fmt(f),
            Value::Float(value) => write!(f, "{value:?}"),
            Value::Str(text) => {
                f.write_str("\"")?;
                for character in text.chars() {
                    match character {
                        '\'' => f.write_str("'")?,
                        other => write!(f, "{}", other.escape_debug())?,
                    }
                }
                f.write_str("\"")
            }
            Value::Enum(name, _) => f.write_str(name),
            Value::Ptr(address) => write!(f, "{address:#x}"),
            Value::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Value::Missing => f.write_str("?"),
        }
    }
}

/// Whether values of a type are shown as text (a `char` array).
pub fn is_text(btf: &Btf, id: TypeId) -> bool {
    match btf.resolved(id) {
        Ok((_, Ty::Array { elem, .. })) => match btf.resolved(elem) {
            Ok((_, Ty::Int(int))) => int.size == 1 && (int.encoding.char || int.name == "char"),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a type is a struct or union, whose values have named members.
pub fn has_members(btf: &Btf, id: TypeId) -> bool {
    btf.resolve(id)
        .and_then(|id| btf.kind(id))
        .is_ok_and(Kind::is_composite)
}

#[cfg(test)]
mod tests;
