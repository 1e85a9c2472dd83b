//! What a Rust type is to a program: numbers, arrays, structures and addresses, as C and BTF have them.
//!
//! Invariant: a description is that of the type it stands for, in size, alignment and meaning of every byte.

use super::memory::{Bytes, BytesMut, Ref, RefMut, RefOrNull};

/// A type as programs know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Number {
        size: u32,
        signed: bool,
    },
    Bool,
    Array {
        of: &'static Type,
        len: u32,
    },
    Structure(&'static Structure),
    /// Start and end of bytes.
    Bytes {
        writable: bool,
    },
    /// The address of something.
    Address {
        of: &'static Type,
        writable: bool,
        or_null: bool,
    },
}

/// A structure as programs know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structure {
    pub name: &'static str,
    pub size: u32,
    pub fields: &'static [StructureField],
}

/// One of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StructureField {
    pub name: &'static str,
    /// For [`Type::Bytes`]: what its second half is called.
    pub end: &'static str,
    pub offset: u32,
    pub ty: &'static Type,
}

impl Type {
    /// Bytes of a value.
    pub const fn size(&self) -> u32 {
        match self {
            Type::Number { size, .. } => *size,
            Type::Bool => 1,
            Type::Array { of, len } => of.size() * *len,
            Type::Structure(structure) => structure.size,
            Type::Bytes { .. } => 16,
            Type::Address { .. } => 8,
        }
    }

    /// Whether all bytes of a value are initialised, and none is part of an address.
    pub const fn is_plain(&self) -> bool {
        match self {
            Type::Number { .. } | Type::Bool => true,
            Type::Array { of, .. } => of.is_plain(),
            Type::Structure(structure) => structure.is_plain(),
            Type::Bytes { .. } | Type::Address { .. } => false,
        }
    }

    /// Whether any bytes are a value.
    pub const fn takes_any_bytes(&self) -> bool {
        match self {
            Type::Number { .. } => true,
            Type::Bool | Type::Bytes { .. } | Type::Address { .. } => false,
            Type::Array { of, .. } => of.takes_any_bytes(),
            Type::Structure(structure) => {
                let mut at = 0;
                while at < structure.fields.len() {
                    if !structure.fields[at].ty.takes_any_bytes() {
                        return false;
                    }
                    at += 1;
                }
                true
            }
        }
    }
}

impl Structure {
    /// Whether its bytes are [`BytesMut`], which programs may write.
    pub fn data_writable(&self) -> bool {
        let mut fields = self.fields.iter();
        fields.any(|field| matches!(field.ty, Type::Bytes { writable: true }))
    }

    /// Whether it is plain in all fields and has no gaps.
    pub const fn is_plain(&self) -> bool {
        let mut at = 0;
        let mut end = 0;
        while at < self.fields.len() {
            let field = &self.fields[at];
            if field.offset != end || !field.ty.is_plain() {
                return false;
            }
            end += field.ty.size();
            at += 1;
        }
        end == self.size
    }
}

/// A type that programs know. `#[derive(Typed)]` implements it for structures.
///
/// # Safety
///
/// [`Typed::TYPE`] must describe the type: its size, and what each of its bytes may be.
pub unsafe trait Typed {
    /// The description.
    const TYPE: Type;
}

macro_rules! numbers {
    ($($number:ty, $signed:literal;)*) => {
        $(
            // SAFETY: a number of that size, any bytes of which are one.
            unsafe impl Typed for $number {
                const TYPE: Type = Type::Number {
                    size: size_of::<$number>() as u32,
                    signed: $signed,
                };
            }
        )*
    };
}

numbers! {
    u8, false;
    u16, false;
    u32, false;
    u64, false;
    i8, true;
    i16, true;
    i32, true;
    i64, true;
}

// SAFETY: one byte, which is 0 or 1.
unsafe impl Typed for bool {
    const TYPE: Type = Type::Bool;
}

// SAFETY: elements without gaps.
unsafe impl<T: Typed, const N: usize> Typed for [T; N] {
    const TYPE: Type = Type::Array {
        of: &T::TYPE,
        len: N as u32,
    };
}

// SAFETY: two addresses of eight bytes.
unsafe impl Typed for Bytes<'_> {
    const TYPE: Type = Type::Bytes { writable: false };
}

// SAFETY: two addresses of eight bytes.
unsafe impl Typed for BytesMut<'_> {
    const TYPE: Type = Type::Bytes { writable: true };
}

// SAFETY: one address of eight bytes, never null.
unsafe impl<T: Typed> Typed for Ref<'_, T> {
    const TYPE: Type = Type::Address {
        of: &T::TYPE,
        writable: false,
        or_null: false,
    };
}

// SAFETY: one address of eight bytes, never null.
unsafe impl<T: Typed> Typed for RefMut<'_, T> {
    const TYPE: Type = Type::Address {
        of: &T::TYPE,
        writable: true,
        or_null: false,
    };
}

// SAFETY: one address of eight bytes, perhaps null.
unsafe impl<T: Typed> Typed for RefOrNull<'_, T> {
    const TYPE: Type = Type::Address {
        of: &T::TYPE,
        writable: false,
        or_null: true,
    };
}
