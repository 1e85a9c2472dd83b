//! Global variables of an object: where they are, what they hold, and new values for them.
//!
//! Invariants: a value is written only if it has exactly the variable's size; text becomes bytes by the variable's BTF
//! type alone, and what does not fit the type is refused, never cut off.

use skep_btf::{Btf, Ty, TypeId};
use skep_spec::insn::Endian;

use crate::error::ObjError;
use crate::object::{InitialContents, MapIdx, Object};

/// A global variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalRef {
    pub name: String,
    /// The data section's map.
    pub map: MapIdx,
    /// Byte offset in the map's one value.
    pub offset: u32,
    /// In bytes.
    pub size: u32,
    /// The variable's type (not the `VAR` itself).
    pub ty: TypeId,
}

impl Object {
    /// Every variable of the data sections that BTF describes, in file order.
    pub fn globals(&self) -> Vec<GlobalRef> {
        let Some(btf) = &self.btf else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for (index, map) in self.maps.iter().enumerate() {
            let Some(Ok(Ty::DataSec { vars, .. })) = map.value_type.map(|id| btf.ty(id)) else {
                continue;
            };
            for var in vars.iter() {
                let Ok(Ty::Var { name, target, .. }) = btf.ty(var.ty) else {
                    continue;
                };
                // Extern arrays and zero-sized tails have no size of their own.
                let size = if var.size == 0 {
                    btf.size_of(target).unwrap_or(0)
                } else {
                    var.size
                };
                out.push(GlobalRef {
                    name: name.to_owned(),
                    map: MapIdx(index),
                    offset: var.offset,
                    size,
                    ty: target,
                });
            }
        }
        out
    }

    /// Finds a global variable by name.
    pub fn global(&self, name: &str) -> Result<GlobalRef, ObjError> {
        let mut found = self.globals();
        found.retain(|g| g.name == name);
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => {
                let help = if self.btf.is_none() {
                    "the object has no BTF types: compile with `clang -g`".to_owned()
                } else {
                    let names: Vec<String> = self.globals().into_iter().map(|g| g.name).collect();
                    if names.is_empty() {
                        "the object has no globals".into()
                    } else {
                        format!("it has {}", names.join(", "))
                    }
                };
                Err(ObjError::NotFound {
                    what: "global variable",
                    name: name.to_owned(),
                    help,
                })
            }
            n => Err(ObjError::Value {
                name: name.to_owned(),
                why: format!("{n} variables have this name"),
            }),
        }
    }

    /// The bytes that a variable starts with.
    pub fn global_bytes(&self, global: &GlobalRef) -> Option<Vec<u8>> {
        let range = range_of(global)?;
        match &self.maps.get(global.map.0)?.initial {
            InitialContents::Bytes(bytes) => bytes.get(range).map(<[u8]>::to_vec),
            InitialContents::None => Some(vec![0; range.len()]),
            InitialContents::Slots(_) => None,
        }
    }

    /// Sets what a variable starts with.
    pub fn set_global(&mut self, name: &str, value: &[u8]) -> Result<(), ObjError> {
        let global = self.global(name)?;
        let wrong = |why: String| ObjError::Value {
            name: name.to_owned(),
            why,
        };
        if value.len() != global.size as usize {
            return Err(wrong(format!(
                "{} bytes given, the variable has {}",
                value.len(),
                global.size
            )));
        }
        let map = &mut self.maps[global.map.0];
        if let InitialContents::None = map.initial {
            map.initial = InitialContents::Bytes(vec![0; map.def.value_size as usize]);
        }
        let place = match (&mut map.initial, range_of(&global)) {
            (InitialContents::Bytes(bytes), Some(range)) => bytes.get_mut(range),
            _ => None,
        };
        place
            .ok_or_else(|| wrong("it does not lie in its section".into()))?
            .copy_from_slice(value);
        Ok(())
    }

    /// Sets what a variable starts with, from text as C writes an initialiser (`100`, `-1`, `true`, `AF_INET`, `"eth0"`,
    /// `{1, .port = 80}`).
    pub fn set_global_text(&mut self, name: &str, text: &str) -> Result<(), ObjError> {
        let global = self.global(name)?;
        let wrong = |why: String| ObjError::Value {
            name: name.to_owned(),
            why,
        };
        let btf = self
            .btf
            .clone()
            .ok_or_else(|| wrong("the object has no BTF types".into()))?;
        let bytes = bytes_from_text(&btf, global.ty, text, self.endian).map_err(wrong)?;
        self.set_global(name, &bytes)
    }
}

fn range_of(global: &GlobalRef) -> Option<std::ops::Range<usize>> {
    let start = global.offset as usize;
    Some(start..start.checked_add(global.size as usize)?)
}

/// The largest value that text can describe.
const TEXT_BYTES_MAX: u32 = 16 << 20;
const DEPTH_MAX: u32 = 32;

/// The bytes of a value of type `ty` that `text` describes as a C initialiser does.
pub fn bytes_from_text(
    btf: &Btf,
    ty: TypeId,
    text: &str,
    endian: Endian,
) -> Result<Vec<u8>, String> {
    let size = btf.size_of(ty).map_err(|e| e.to_string())?;
    if size > TEXT_BYTES_MAX {
        return Err(format!(
            "a value of {size} bytes is too large to be given as text"
        ));
    }
    let mut bytes = vec![0; size as usize];
    let mut reader = Reader {
        btf,
        endian,
        rest: text.trim(),
    };
    // A word for a char array needs no quotes.
    if !text.trim_start().starts_with(['"', '{'])
        && let Some(len) = char_array(btf, ty)
    {
        string_into(&mut bytes, text.as_bytes(), len)?;
        return Ok(bytes);
    }
    reader.value(ty, &mut bytes, 0)?;
    if !reader.rest.is_empty() {
        return Err(format!("`{}` is left over", reader.rest));
    }
    Ok(bytes)
}

fn char_array(btf: &Btf, ty: TypeId) -> Option<u32> {
    let Ok((_, Ty::Array { elem, len, .. })) = btf.resolved(ty) else {
        return None;
    };
    match btf.resolved(elem) {
        Ok((_, Ty::Int(int))) if int.size == 1 && !int.encoding.bool => Some(len),
        _ => None,
    }
}

fn string_into(bytes: &mut [u8], text: &[u8], len: u32) -> Result<(), String> {
    let place = bytes
        .get_mut(..text.len())
        .filter(|_| text.len() <= len as usize);
    place
        .ok_or_else(|| format!("a string of {} bytes in an array of {len}", text.len()))?
        .copy_from_slice(text);
    Ok(())
}

struct Reader<'a> {
    btf: &'a Btf,
    endian: Endian,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn eat(&mut self, token: char) -> bool {
        let found = self.rest.strip_prefix(token);
        if let Some(rest) = found {
            self.rest = rest.trim_start();
        }
        found.is_some()
    }

    /// The text up to the next separator.
    fn word(&mut self) -> &'a str {
        let end = self
            .rest
            .find(|c: char| matches!(c, ',' | '}' | '{' | '=') || c.is_whitespace())
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        word
    }

    fn value(&mut self, ty: TypeId, out: &mut [u8], depth: u32) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err("the type is nested too deeply".into());
        }
        let (id, resolved) = self.btf.resolved(ty).map_err(|e| e.to_string())?;
        match resolved {
            Ty::Int(int) => {
                let number = self.number(None)?;
                put(
                    out,
                    number,
                    int.encoding.signed,
                    int.encoding.bool,
                    self.endian,
                )
            }
            Ty::Enum(e) | Ty::Enum64(e) => {
                let number = self.number(Some(e.values))?;
                put(out, number, e.signed, false, self.endian)
            }
            Ty::Ptr { .. } => {
                let number = self.number(None)?;
                put(out, number, false, false, self.endian)
            }
            Ty::Array { elem, len, .. } => {
                if self.rest.starts_with('"') {
                    let text = self.string()?;
                    let len = char_array(self.btf, id)
                        .ok_or("a string for an array that is not of characters")?;
                    return string_into(out, &text, len);
                }
                let size = self.btf.size_of(elem).map_err(|e| e.to_string())? as usize;
                if !self.eat('{') {
                    return Err("an array is written `{first, second, ...}`".into());
                }
                let mut index = 0usize;
                while !self.eat('}') {
                    let place = index
                        .checked_mul(size)
                        .and_then(|at| out.get_mut(at..at.checked_add(size)?));
                    let place = place.filter(|_| index < len as usize);
                    let place =
                        place.ok_or_else(|| format!("more than the array's {len} elements"))?;
                    self.value(elem, place, depth + 1)?;
                    index += 1;
                    self.separator()?;
                }
                Ok(())
            }
            Ty::Struct(composite) | Ty::Union(composite) => {
                if !self.eat('{') {
                    return Err(format!(
                        "a {} is written `{{.member = value, ...}}`",
                        if matches!(resolved, Ty::Struct(_)) {
                            "struct"
                        } else {
                            "union"
                        }
                    ));
                }
                let mut next = 0;
                while !self.eat('}') {
                    if self.eat('.') {
                        let name = self.word();
                        let at = composite.members.iter().position(|m| m.name == name);
                        next = at.ok_or_else(|| format!("no member `{name}`"))?;
                        if !self.eat('=') {
                            return Err(format!("`=` is missing after `.{name}`"));
                        }
                    }
                    let member = composite
                        .members
                        .get(next)
                        .ok_or("more values than members")?;
                    if member.bitfield_size != 0 {
                        return Err(format!(
                            "member `{}` is a bit-field, which cannot be given as text",
                            member.name
                        ));
                    }
                    let size = self.btf.size_of(member.ty).map_err(|e| e.to_string())? as usize;
                    let at = (member.bit_offset / 8) as usize;
                    let place = at.checked_add(size).and_then(|end| out.get_mut(at..end));
                    let place = place.ok_or_else(|| {
                        format!("member `{}` does not lie in its struct", member.name)
                    })?;
                    self.value(member.ty, place, depth + 1)?;
                    next += 1;
                    self.separator()?;
                }
                Ok(())
            }
            other => Err(format!("a {} cannot be given as text", other.kind())),
        }
    }

    fn separator(&mut self) -> Result<(), String> {
        if self.eat(',') || self.rest.starts_with('}') {
            Ok(())
        } else {
            Err("`,` or `}` is missing".into())
        }
    }

    fn string(&mut self) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let mut chars = self.rest[1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = self.rest[1 + at + 1..].trim_start();
                    return Ok(out);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => out.push(b'\n'),
                    Some((_, 't')) => out.push(b'\t'),
                    Some((_, '0')) => out.push(0),
                    Some((_, c @ ('\\' | '"'))) => out.push(c as u8),
                    _ => {
                        return Err(
                            "an unknown escape in a string; known are \\n \\t \\0 \\\\ \\\"".into(),
                        );
                    }
                },
                c => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        Err("the string has no end".into())
    }

    fn number(&mut self, names: Option<skep_btf::ty::Values<'_>>) -> Result<i128, String> {
        let rest = self.rest;
        if let Some(quoted) = rest.strip_prefix('\'') {
            let mut chars = quoted.chars();
            if let (Some(c), Some('\'')) = (chars.next(), chars.next())
                && c.is_ascii()
            {
                self.rest = chars.as_str().trim_start();
                return Ok(c as i128);
            }
            return Err("a character is written 'c'".into());
        }
        let word = self.word();
        let (negative, digits) = match word.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, word),
        };
        let parsed = if let Some(hex) = digits
            .strip_prefix("0x")
            .or_else(|| digits.strip_prefix("0X"))
        {
            u64::from_str_radix(hex, 16).ok()
        } else if let Some(binary) = digits.strip_prefix("0b") {
            u64::from_str_radix(binary, 2).ok()
        } else {
            digits.parse().ok()
        };
        match (parsed, word) {
            (Some(number), _) => Ok(if negative {
                -i128::from(number)
            } else {
                i128::from(number)
            }),
            (None, "true") => Ok(1),
            (None, "false" | "NULL") => Ok(0),
            (None, word) => {
                let known = names.and_then(|names| names.iter().find(|v| v.name == word));
                known
                    .map(|v| i128::from(v.value as i64))
                    .ok_or_else(|| match names {
                        Some(names) => {
                            let some: Vec<&str> = names.iter().take(8).map(|v| v.name).collect();
                            format!(
                                "`{word}` is neither a number nor one of {}",
                                some.join(", ")
                            )
                        }
                        None => format!("`{word}` is not a number"),
                    })
            }
        }
    }
}

/// Writes a number that must fit.
pub(crate) fn put(
    out: &mut [u8],
    number: i128,
    signed: bool,
    bool: bool,
    endian: Endian,
) -> Result<(), String> {
    if out.is_empty() {
        return Err("a number of no bytes".into());
    }
    let bits = (out.len() * 8).min(120) as u32;
    let (low, high) = match (bool, signed) {
        (true, _) => (0, 1),
        (_, true) => (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1),
        (_, false) => (0, (1i128 << bits) - 1),
    };
    if number < low || number > high {
        return Err(format!("{number} is out of range, {low} to {high}"));
    }
    let bytes = number.to_le_bytes();
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = bytes
            .get(at)
            .copied()
            .unwrap_or(if number < 0 { 0xff } else { 0 });
    }
    if endian == Endian::Big {
        out.reverse();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
