//! Where members lie: the layout that BTF records, with its holes, and the one that C would give.
//!
//! Invariants: rows are in the order of the declaration and every bit of a struct is in a field, a hole or both ends of a
//! union; [`Placer`] follows the x86-64, arm64 and BPF ABIs, which agree (bit-fields from the least significant bit).

#[cfg(test)]
mod tests;

use std::fmt;

use crate::btf::{Btf, DEPTH_MAX};
use crate::error::BtfError;
use crate::format_c;
use crate::kind::Kind;
use crate::ty::TypeId;

/// More members than any struct of a kernel, anonymous ones included.
const ROWS_MAX: usize = 1 << 17;

/// A member or a hole of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The member's name, empty for a hole or an anonymous struct or union.
    pub name: String,
    /// The member's type; `None` for a hole.
    pub ty: Option<TypeId>,
    /// From the start of the outermost struct.
    pub bit_offset: u32,
    pub bits: u32,
    /// Whether it is a bit-field.
    pub bitfield: bool,
    /// How many anonymous structs and unions it lies in.
    pub depth: usize,
}

/// The layout of a struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// As C names it: `struct task_struct`.
    pub name: String,
    pub size: u32,
    pub rows: Vec<Row>,
    /// The C declaration of each row, for printing.
    declarations: Vec<String>,
}

/// The layout of the struct or union that `id` stands for.
pub fn of(btf: &Btf, id: TypeId) -> Result<Layout, BtfError> {
    let composite = btf.composite(id)?;
    let mut layout = Layout {
        name: format_c::type_name(btf, id),
        size: composite.size,
        rows: Vec::new(),
        declarations: Vec::new(),
    };
    layout.walk(btf, btf.resolve(id)?, 0, 0)?;
    Ok(layout)
}

impl Layout {
    fn push(&mut self, row: Row, declaration: String, id: TypeId) -> Result<(), BtfError> {
        if self.rows.len() >= ROWS_MAX {
            return Err(BtfError::TooLarge { id });
        }
        self.rows.push(row);
        self.declarations.push(declaration);
        Ok(())
    }

    fn hole(&mut self, from: u64, to: u64, depth: usize, id: TypeId) -> Result<(), BtfError> {
        if to <= from {
            return Ok(());
        }
        let too_large = |_| BtfError::TooLarge { id };
        let bit_offset = u32::try_from(from).map_err(too_large)?;
        let bits = u32::try_from(to - from).map_err(too_large)?;
        self.push(
            Row {
                name: String::new(),
                ty: None,
                bit_offset,
                bits,
                bitfield: false,
                depth,
            },
            String::new(),
            id,
        )
    }

    fn walk(&mut self, btf: &Btf, id: TypeId, base: u64, depth: usize) -> Result<(), BtfError> {
        if depth > DEPTH_MAX {
            return Err(BtfError::TooDeep { id });
        }
        let composite = btf.composite(id)?;
        let is_struct = btf.kind(id)? == Kind::Struct;
        let mut end = base;
        for member in composite.members.iter() {
            let at = base + u64::from(member.bit_offset);
            let bits = match member.bitfield_size {
                0 => btf
                    .size_of(member.ty)?
                    .checked_mul(8)
                    .ok_or(BtfError::TooLarge { id: member.ty })?,
                bits => u32::from(bits),
            };
            if is_struct {
                self.hole(end, at, depth, id)?;
            }
            end = end.max(at + u64::from(bits));
            let bit_offset = u32::try_from(at).map_err(|_| BtfError::TooLarge { id })?;
            let inner = btf.resolve(member.ty)?;
            let nested = member.name.is_empty() && btf.kind(inner)?.is_composite();
            let declaration = match nested {
                true => format_c::type_name(btf, member.ty),
                false => {
                    let name = if member.name.is_empty() {
                        "(anonymous)"
                    } else {
                        member.name
                    };
                    format!("{name}: {}", format_c::type_name(btf, member.ty))
                }
            };
            let bitfield = member.bitfield_size != 0;
            let row = Row {
                name: member.name.into(),
                ty: Some(member.ty),
                bit_offset,
                bits,
                bitfield,
                depth,
            };
            self.push(row, declaration, id)?;
            if nested {
                self.walk(btf, inner, at, depth + 1)?;
            }
        }
        if is_struct {
            self.hole(end, base + u64::from(composite.size) * 8, depth, id)?;
        }
        Ok(())
    }

    /// The holes.
    pub fn holes(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.ty.is_none())
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} bytes", self.name, self.size)?;
        for (row, declaration) in self.rows.iter().zip(&self.declarations) {
            let offset = match row.bit_offset % 8 {
                0 if !row.bitfield => format!("{}", row.bit_offset / 8),
                bit => format!("{}:{bit}", row.bit_offset / 8),
            };
            let size = match row.bits % 8 {
                0 if !row.bitfield => format!("{}", row.bits / 8),
                _ => format!("{} bits", row.bits),
            };
            let what = if row.ty.is_none() {
                "(hole)"
            } else {
                declaration
            };
            writeln!(
                f,
                "{offset:>8} {size:>8}  {:width$}{what}",
                "",
                width = row.depth * 2
            )?;
        }
        Ok(())
    }
}

/// Lays out members as a C compiler does, one after the other.
#[derive(Clone, Debug)]
pub struct Placer {
    union: bool,
    packed: bool,
    end: u64,
    most: u64,
    align: u32,
}

impl Placer {
    /// For a struct or union, packed or not.
    pub fn new(union: bool, packed: bool) -> Placer {
        Placer {
            union,
            packed,
            end: 0,
            most: 0,
            align: 1,
        }
    }

    /// The bit offset of the next member, of this size and alignment in bytes; `None` if it does not fit 32 bits.
    pub fn field(&mut self, size: u32, align: u32) -> Option<u32> {
        let align = if self.packed { 1 } else { align.max(1) };
        self.align = self.align.max(align);
        let at = self.end.next_multiple_of(u64::from(align) * 8);
        self.take(at, u64::from(size) * 8)
    }

    /// The bit offset of the next bit-field, of a type of this size; width 0 ends the unit that is being filled.
    pub fn bitfield(&mut self, size: u32, width: u32) -> Option<u32> {
        let unit = u64::from(size.max(1)) * 8;
        if !self.packed && width > 0 {
            self.align = self.align.max(size);
        }
        let crosses = self.end % unit + u64::from(width) > unit && !self.packed;
        let at = if crosses || width == 0 {
            self.end.next_multiple_of(unit)
        } else {
            self.end
        };
        self.take(at, width.into())
    }

    fn take(&mut self, at: u64, bits: u64) -> Option<u32> {
        let at = if self.union { 0 } else { at };
        self.most = self.most.max(at + bits);
        if !self.union {
            self.end = at + bits;
        }
        u32::try_from(self.most).ok()?;
        u32::try_from(at).ok()
    }

    /// The size and alignment of the whole, in bytes.
    pub fn finish(&self) -> (u32, u32) {
        let bytes = self.most.div_ceil(8).next_multiple_of(self.align.into());
        (bytes as u32, self.align)
    }
}
