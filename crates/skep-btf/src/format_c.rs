//! Types as C: names, single definitions, and a whole header in an order that compiles.
//!
//! Invariants: every struct printed has, compiled, the size and offsets that the BTF says (padding is written out, packing is
//! an attribute); a type is defined before it is used by value and declared before it is pointed to; two types of one name get
//! different names (`name___2`). Output and recursion are bounded, so hostile types end in an error.

mod header;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Write as _;

pub use header::dump;

use crate::btf::Btf;
use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::{Composite, Enum, Member, Ty, TypeId};

/// Deeper than C sources nest types or pointers.
const DEPTH_MAX: usize = 48;
/// More than any header has: a kernel's is 3 MB.
const OUTPUT_MAX: usize = 64 << 20;

/// The definition of one type: the struct with its members, the typedef, the function's prototype.
pub fn declare(btf: &Btf, id: TypeId) -> Result<String, BtfError> {
    let mut printer = Printer::new(btf);
    let text = match btf.ty(id)? {
        Ty::Struct(_) | Ty::Union(_) | Ty::Enum(_) | Ty::Enum64(_) => printer.body(id, 0, 0)?,
        Ty::Typedef { name, target } => format!(
            "typedef {}",
            printer.declaration(target, &identifier(name), 0, 0)?
        ),
        Ty::Fwd { .. } => printer.declaration(id, "", 0, 0)?,
        Ty::Func { name, proto, .. } => printer.declaration(proto, &identifier(name), 0, 0)?,
        Ty::Var { name, target, .. } => printer.declaration(target, &identifier(name), 0, 0)?,
        Ty::DataSec { vars, .. } => {
            let mut lines = Vec::new();
            for var in vars.iter() {
                lines.push(match btf.ty(var.ty)? {
                    Ty::Var { name, target, .. } => {
                        printer.declaration(target, &identifier(name), 0, 0)?
                    }
                    Ty::Func { name, proto, .. } => {
                        printer.declaration(proto, &identifier(name), 0, 0)?
                    }
                    _ => printer.declaration(var.ty, "", 0, 0)?,
                });
            }
            lines.join(";\n")
        }
        _ => printer.declaration(id, "", 0, 0)?,
    };
    Ok(text + ";")
}

/// The type as C writes it in a cast: `struct task_struct *`, `char[16]`. A broken type is `?`.
pub fn type_name(btf: &Btf, id: TypeId) -> String {
    Printer {
        bodies: false,
        ..Printer::new(btf)
    }
    .declaration(id, "", 0, 0)
    .unwrap_or_else(|_| "?".into())
}

/// A declaration of `name` with this type: `char comm[16]`. Anonymous structs are written out.
pub fn declaration(btf: &Btf, id: TypeId, name: &str) -> Result<String, BtfError> {
    Printer::new(btf).declaration(id, name, 0, 0)
}

/// A name that C accepts; names from other languages have characters that it does not.
fn identifier(name: &str) -> String {
    let fits =
        |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '$';
    let mut out: String = name
        .chars()
        .map(|character| if fits(character) { character } else { '_' })
        .collect();
    if out.starts_with(|character: char| character.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

/// Prints types; the header gives some of them other names than they have.
struct Printer<'a> {
    btf: &'a Btf,
    names: HashMap<TypeId, String>,
    enumerators: HashMap<String, u32>,
    /// Whether anonymous structs are written out, or just said to be there.
    bodies: bool,
    /// Whether enumerators that were printed before are given other names.
    unique_enumerators: bool,
    written: usize,
    aligns: HashMap<TypeId, u32>,
}

impl<'a> Printer<'a> {
    fn new(btf: &'a Btf) -> Printer<'a> {
        Printer {
            btf,
            names: HashMap::new(),
            enumerators: HashMap::new(),
            bodies: true,
            unique_enumerators: false,
            written: 0,
            aligns: HashMap::new(),
        }
    }

    fn name(&self, id: TypeId) -> String {
        self.names
            .get(&id)
            .cloned()
            .unwrap_or_else(|| identifier(self.btf.name(id)))
    }

    fn spend(&mut self, id: TypeId, bytes: usize, depth: usize) -> Result<(), BtfError> {
        self.written += bytes;
        if depth > DEPTH_MAX || self.written > OUTPUT_MAX {
            Err(BtfError::TooDeep { id })
        } else {
            Ok(())
        }
    }

    /// Declares `inner` (a name, with what has been put around it so far) to be of a type.
    fn declaration(
        &mut self,
        id: TypeId,
        inner: &str,
        indent: usize,
        depth: usize,
    ) -> Result<String, BtfError> {
        let mut id = id;
        let mut inner = inner.to_owned();
        let mut qualifiers = String::new();
        // Whether `inner` starts with a `*` that an array or function behind it would take for its own.
        let mut pointer = false;
        for links in 0.. {
            self.spend(id, inner.len(), depth + links)?;
            let ty = self.btf.ty(id)?;
            let wrapped = |inner: &str| {
                if pointer {
                    format!("({inner})")
                } else {
                    inner.to_owned()
                }
            };
            match ty {
                Ty::Const { target } => {
                    qualify(&mut qualifiers, "const ");
                    id = target;
                }
                Ty::Volatile { target } => {
                    qualify(&mut qualifiers, "volatile ");
                    id = target;
                }
                Ty::Restrict { target } => {
                    qualify(&mut qualifiers, "restrict ");
                    id = target;
                }
                Ty::TypeTag {
                    value,
                    target,
                    attribute,
                } => {
                    if attribute {
                        let _ = write!(qualifiers, "__attribute__(({value})) ");
                    } else {
                        let _ = write!(
                            qualifiers,
                            "__attribute__((btf_type_tag(\"{}\"))) ",
                            value.escape_debug()
                        );
                    }
                    id = target;
                }
                Ty::Ptr { target } => {
                    let space = if qualifiers.is_empty() || inner.is_empty() {
                        ""
                    } else {
                        " "
                    };
                    inner = format!(
                        "*{}{space}{inner}",
                        if qualifiers.is_empty() { "" } else { " " }.to_owned()
                            + qualifiers.trim_end()
                    );
                    qualifiers.clear();
                    pointer = true;
                    id = target;
                }
                Ty::Array { elem, len, .. } => {
                    inner = format!("{}[{len}]", wrapped(&inner));
                    pointer = false;
                    id = elem;
                }
                Ty::FuncProto { ret, params } => {
                    let mut list = Vec::new();
                    for (index, param) in params.iter().enumerate() {
                        if param.ty == TypeId::VOID && index + 1 == params.len() {
                            list.push("...".to_owned());
                        } else {
                            list.push(self.declaration(
                                param.ty,
                                &identifier(param.name),
                                indent,
                                depth + links + 1,
                            )?);
                        }
                    }
                    let list = if list.is_empty() {
                        "void".into()
                    } else {
                        list.join(", ")
                    };
                    inner = format!("{}({list})", wrapped(&inner));
                    // What a function returns is never qualified in a way that matters.
                    qualifiers.clear();
                    pointer = false;
                    id = ret;
                }
                _ => {
                    let base = match ty {
                        Ty::Void => "void".to_owned(),
                        Ty::Struct(_) | Ty::Union(_) | Ty::Enum(_) | Ty::Enum64(_) => {
                            let (word, name) = (tag_word(&ty), self.name(id));
                            match (name.is_empty(), self.bodies) {
                                (false, _) => format!("{word} {name}"),
                                (true, true) => self.body(id, indent, depth + links + 1)?,
                                (true, false) => format!("{word} {{...}}"),
                            }
                        }
                        Ty::Fwd { .. } => format!("{} {}", tag_word(&ty), self.name(id)),
                        Ty::Int(int) => int_name(int.name),
                        Ty::Float { name, .. } => int_name(name),
                        Ty::Typedef { .. } => self.name(id),
                        _ => {
                            return Err(BtfError::WrongKind {
                                id,
                                found: ty.kind(),
                                wanted: "a type of C",
                            });
                        }
                    };
                    let space = if inner.is_empty() || inner.starts_with('[') {
                        ""
                    } else {
                        " "
                    };
                    return Ok(format!("{qualifiers}{base}{space}{inner}"));
                }
            }
        }
        Err(BtfError::TooDeep { id })
    }

    /// A struct, union or enum with all that is in it.
    fn body(&mut self, id: TypeId, indent: usize, depth: usize) -> Result<String, BtfError> {
        self.spend(id, 8, depth)?;
        let ty = self.btf.ty(id)?;
        let word = tag_word(&ty);
        let name = match self.name(id) {
            name if name.is_empty() => name,
            name => name + " ",
        };
        match ty {
            Ty::Struct(composite) | Ty::Union(composite) => {
                let mut out = format!("{word} {name}{{\n");
                let packed = self.members(id, composite, ty.kind(), &mut out, indent, depth)?;
                if out.ends_with("{\n") {
                    out.pop();
                } else {
                    out.push_str(&"\t".repeat(indent));
                }
                out.push('}');
                if packed {
                    out.push_str(" __attribute__((packed))");
                }
                Ok(out)
            }
            Ty::Enum(enumeration) | Ty::Enum64(enumeration) => {
                let wide = ty.kind() == Kind::Enum64;
                self.enumeration(
                    id,
                    enumeration,
                    wide,
                    format!("{word} {name}"),
                    indent,
                    depth,
                )
            }
            _ => Err(BtfError::WrongKind {
                id,
                found: ty.kind(),
                wanted: "a struct, union or enum",
            }),
        }
    }

    fn enumeration(
        &mut self,
        id: TypeId,
        enumeration: Enum<'a>,
        wide: bool,
        head: String,
        indent: usize,
        depth: usize,
    ) -> Result<String, BtfError> {
        let mut out = head;
        if enumeration.values.is_empty() {
            // C has no forward declaration of enums; compilers take this for one.
            out.truncate(out.trim_end().len());
            return Ok(out);
        }
        out.push_str("{\n");
        for value in enumeration.values.iter() {
            let mut name = identifier(value.name);
            if self.unique_enumerators {
                let count = self.enumerators.entry(name.clone()).or_default();
                *count += 1;
                if *count > 1 {
                    let _ = write!(name, "___{count}");
                }
            }
            self.spend(id, name.len() + 8, depth)?;
            let number = match (enumeration.signed, wide) {
                (true, false) => format!("{}", value.value as i64),
                (false, false) => format!("{}", value.value),
                (true, true) => format!("{}LL", value.value as i64),
                (false, true) => format!("{}ULL", value.value),
            };
            let _ = writeln!(out, "{}{name} = {number},", "\t".repeat(indent + 1));
        }
        let _ = write!(out, "{}}}", "\t".repeat(indent));
        out.push_str(match (enumeration.size, wide) {
            (1, _) => " __attribute__((mode(byte)))",
            (2, _) => " __attribute__((mode(HI)))",
            (8, false) => " __attribute__((mode(word)))",
            _ => "",
        });
        Ok(out)
    }

    fn align(&mut self, id: TypeId) -> u32 {
        if let Some(&align) = self.aligns.get(&id) {
            return align;
        }
        let align = self.btf.align_of(id).unwrap_or(1);
        self.aligns.insert(id, align);
        align
    }

    /// Writes the members with the padding that puts them where they belong; whether the struct must be packed for that.
    fn members(
        &mut self,
        id: TypeId,
        composite: Composite<'a>,
        kind: Kind,
        out: &mut String,
        indent: usize,
        depth: usize,
    ) -> Result<bool, BtfError> {
        let mut most = 1;
        let mut packed = false;
        for member in composite.members.iter() {
            let align = self.align(member.ty);
            most = most.max(align);
            packed |= member.bitfield_size == 0
                && !member.bit_offset.is_multiple_of(align.saturating_mul(8));
        }
        packed |= !composite.size.is_multiple_of(most);
        let align = if packed { 1 } else { most };
        let tabs = "\t".repeat(indent + 1);
        let mut end = 0_u64;
        for member in composite.members.iter() {
            let at = u64::from(member.bit_offset);
            if kind == Kind::Struct {
                if self.natural(&member, end, packed) != at {
                    self.pad(out, &tabs, end, at, align);
                }
                end = at.max(end).max(at.saturating_add(self.bits(&member)));
            }
            let mut text =
                self.declaration(member.ty, &identifier(member.name), indent + 1, depth + 1)?;
            if member.bitfield_size != 0 {
                let _ = write!(text, ": {}", member.bitfield_size);
            }
            self.spend(id, text.len(), depth)?;
            let _ = writeln!(out, "{tabs}{text};");
        }
        let size = u64::from(composite.size) * 8;
        if kind == Kind::Struct && end.next_multiple_of(u64::from(align) * 8) < size {
            self.pad(out, &tabs, end, size, align);
        } else if kind == Kind::Union && composite.members.is_empty() && size > 0 {
            self.pad(out, &tabs, 0, size, 1);
        }
        Ok(packed)
    }

    fn bits(&self, member: &Member<'_>) -> u64 {
        match member.bitfield_size {
            0 => u64::from(self.btf.size_of(member.ty).unwrap_or(0)) * 8,
            bits => u64::from(bits),
        }
    }

    /// Where a compiler puts a member that follows one which ends at bit `end`.
    fn natural(&mut self, member: &Member<'_>, end: u64, packed: bool) -> u64 {
        if member.bitfield_size == 0 {
            let align = if packed { 1 } else { self.align(member.ty) };
            return end.next_multiple_of(u64::from(align) * 8);
        }
        let unit = u64::from(self.btf.size_of(member.ty).unwrap_or(1).max(1)) * 8;
        let crosses = end % unit + u64::from(member.bitfield_size) > unit;
        if crosses && !packed {
            end.next_multiple_of(unit)
        } else {
            end
        }
    }

    /// Fills from bit `from` to bit `to` with members that have no name, aligned no more than the struct is.
    fn pad(&self, out: &mut String, tabs: &str, from: u64, to: u64, align: u32) {
        let mut at = from;
        while at < to {
            if at.is_multiple_of(8) && to - at > 64 * 16 {
                let bytes = (to - at) / 8;
                let _ = writeln!(out, "{tabs}unsigned char __pad_{}[{bytes}];", at / 8);
                at += bytes * 8;
                continue;
            }
            let left = to - at;
            let units = [("long", 64), ("int", 32), ("short", 16), ("char", 8)];
            let fits = |&&(_, unit): &&(&str, u64)| unit <= u64::from(align) * 8;
            let (word, unit) = *units.iter().find(fits).unwrap_or(&("char", 8));
            let bits = (unit - at % unit).min(left);
            let _ = writeln!(out, "{tabs}{word}: {bits};");
            at += bits;
        }
    }
}

/// Adds a qualifier that is not there yet: of an array of constants, both the array and the elements can be `const`.
fn qualify(qualifiers: &mut String, word: &str) {
    if !qualifiers.contains(word) {
        qualifiers.insert_str(0, word);
    }
}

fn tag_word(ty: &Ty<'_>) -> &'static str {
    match ty {
        Ty::Union(_) | Ty::Fwd { union: true, .. } => "union",
        Ty::Enum(_) | Ty::Enum64(_) => "enum",
        _ => "struct",
    }
}

/// Names of integers have spaces (`unsigned int`), and some are not C's.
fn int_name(name: &str) -> String {
    match name {
        "" => "int".into(),
        "ssizetype" => "long".into(),
        "sizetype" => "unsigned long".into(),
        _ => name
            .split(' ')
            .map(identifier)
            .collect::<Vec<_>>()
            .join(" "),
    }
}
