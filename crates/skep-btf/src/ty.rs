//! One type as it is read: [`Ty`] and the lists inside it, borrowed from the BTF bytes.
//!
//! Invariant: lists (members, enumerators, parameters, section variables) hold exactly the record's bytes, whose length
//! was checked when the BTF was parsed; items are decoded when they are asked for.

use std::fmt;

use crate::btf::Btf;
use crate::kind::Kind;

/// The number of a type within its BTF (and its base); 0 is `void`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

impl TypeId {
    /// `void`.
    pub const VOID: TypeId = TypeId(0);
}

impl fmt::Display for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}

/// How the bits of an integer are to be read; the bits are those of `btf.h` (`BTF_INT_SIGNED` and its like).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encoding {
    pub signed: bool,
    pub char: bool,
    pub bool: bool,
}

impl Encoding {
    /// A plain unsigned number.
    pub const UNSIGNED: Encoding = Encoding {
        signed: false,
        char: false,
        bool: false,
    };
    /// A signed number.
    pub const SIGNED: Encoding = Encoding {
        signed: true,
        char: false,
        bool: false,
    };
    /// A `_Bool`.
    pub const BOOL: Encoding = Encoding {
        signed: false,
        char: false,
        bool: true,
    };

    pub(crate) const fn from_bits(bits: u32) -> Encoding {
        Encoding {
            signed: bits & 1 != 0,
            char: bits & 2 != 0,
            bool: bits & 4 != 0,
        }
    }

    pub(crate) const fn bits(self) -> u32 {
        self.signed as u32 | (self.char as u32) << 1 | (self.bool as u32) << 2
    }
}

/// An integer: `size` bytes, of which `bits` bits from bit `offset` on are the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int<'a> {
    pub name: &'a str,
    pub size: u32,
    pub bits: u8,
    pub offset: u8,
    pub encoding: Encoding,
}

/// Who can see a function or variable (`BTF_FUNC_*`, `BTF_VAR_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Linkage {
    Static,
    #[default]
    Global,
    Extern,
    /// A number that `btf.h` does not define; kept so that reading and writing loses nothing.
    Other(u32),
}

impl Linkage {
    pub(crate) const fn from_number(number: u32) -> Linkage {
        match number {
            0 => Linkage::Static,
            1 => Linkage::Global,
            2 => Linkage::Extern,
            other => Linkage::Other(other),
        }
    }

    pub(crate) const fn number(self) -> u32 {
        match self {
            Linkage::Static => 0,
            Linkage::Global => 1,
            Linkage::Extern => 2,
            Linkage::Other(other) => other,
        }
    }
}

/// A type, decoded. Names are empty where the type has none.
#[derive(Clone, Copy, Debug)]
pub enum Ty<'a> {
    Void,
    Int(Int<'a>),
    Ptr {
        target: TypeId,
    },
    Array {
        elem: TypeId,
        index: TypeId,
        len: u32,
    },
    Struct(Composite<'a>),
    Union(Composite<'a>),
    Enum(Enum<'a>),
    Enum64(Enum<'a>),
    Fwd {
        name: &'a str,
        union: bool,
    },
    Typedef {
        name: &'a str,
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
        name: &'a str,
        proto: TypeId,
        linkage: Linkage,
    },
    FuncProto {
        ret: TypeId,
        params: Params<'a>,
    },
    Var {
        name: &'a str,
        target: TypeId,
        linkage: Linkage,
    },
    DataSec {
        name: &'a str,
        size: u32,
        vars: SecVars<'a>,
    },
    Float {
        name: &'a str,
        size: u32,
    },
    /// `component` is the member or parameter tagged, -1 for the whole.
    DeclTag {
        value: &'a str,
        target: TypeId,
        component: i32,
        attribute: bool,
    },
    /// `attribute` is set when the tag stands for a plain C attribute (`kind_flag`, Linux 6.15).
    TypeTag {
        value: &'a str,
        target: TypeId,
        attribute: bool,
    },
}

impl<'a> Ty<'a> {
    /// The type's kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Ty::Void => Kind::Void,
            Ty::Int(_) => Kind::Int,
            Ty::Ptr { .. } => Kind::Ptr,
            Ty::Array { .. } => Kind::Array,
            Ty::Struct(_) => Kind::Struct,
            Ty::Union(_) => Kind::Union,
            Ty::Enum(_) => Kind::Enum,
            Ty::Enum64(_) => Kind::Enum64,
            Ty::Fwd { .. } => Kind::Fwd,
            Ty::Typedef { .. } => Kind::Typedef,
            Ty::Volatile { .. } => Kind::Volatile,
            Ty::Const { .. } => Kind::Const,
            Ty::Restrict { .. } => Kind::Restrict,
            Ty::Func { .. } => Kind::Func,
            Ty::FuncProto { .. } => Kind::FuncProto,
            Ty::Var { .. } => Kind::Var,
            Ty::DataSec { .. } => Kind::DataSec,
            Ty::Float { .. } => Kind::Float,
            Ty::DeclTag { .. } => Kind::DeclTag,
            Ty::TypeTag { .. } => Kind::TypeTag,
        }
    }

    /// The struct or union, if it is one.
    pub const fn composite(&self) -> Option<Composite<'a>> {
        match self {
            Ty::Struct(composite) | Ty::Union(composite) => Some(*composite),
            _ => None,
        }
    }

    /// The enum of either width, if it is one.
    pub const fn enumeration(&self) -> Option<Enum<'a>> {
        match self {
            Ty::Enum(enumeration) | Ty::Enum64(enumeration) => Some(*enumeration),
            _ => None,
        }
    }

    /// What a modifier (typedef, const, volatile, restrict, type tag) stands for.
    pub const fn modified(&self) -> Option<TypeId> {
        match self {
            Ty::Typedef { target, .. }
            | Ty::Volatile { target }
            | Ty::Const { target }
            | Ty::Restrict { target }
            | Ty::TypeTag { target, .. } => Some(*target),
            _ => None,
        }
    }
}

macro_rules! list {
    ($(#[$doc:meta])* $list:ident<$lt:lifetime>, $item:ty, $words:literal, $decode:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $list<$lt> {
            pub(crate) btf: &$lt Btf,
            pub(crate) at: u32,
            pub(crate) len: u32,
            pub(crate) flag: bool,
        }

        impl<$lt> $list<$lt> {
            /// How many there are.
            pub const fn len(&self) -> usize {
                self.len as usize
            }

            /// Whether there are none.
            pub const fn is_empty(&self) -> bool {
                self.len == 0
            }

            /// The item at `index`.
            pub fn get(&self, index: usize) -> Option<$item> {
                if index >= self.len as usize {
                    return None;
                }
                let at = self.at as usize + index * ($words * 4);
                let decode: fn(&$lt Btf, usize, bool) -> $item = $decode;
                Some(decode(self.btf, at, self.flag))
            }

            /// All items, in order.
            pub fn iter(&self) -> impl ExactSizeIterator<Item = $item> + DoubleEndedIterator + use<$lt> {
                let list = *self;
                let decode: fn(&$lt Btf, usize, bool) -> $item = $decode;
                (0..self.len as usize).map(move |index| decode(list.btf, list.at as usize + index * ($words * 4), list.flag))
            }
        }

        impl fmt::Debug for $list<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_list().entries(self.iter()).finish()
            }
        }
    };
}

/// A struct or union.
#[derive(Clone, Copy, Debug)]
pub struct Composite<'a> {
    pub name: &'a str,
    pub size: u32,
    pub members: Members<'a>,
}

/// A member of a struct or union. An anonymous member has an empty name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    pub name: &'a str,
    pub ty: TypeId,
    /// From the start of the struct or union; for a bit-field, where its bits start (as `btf.h` counts them).
    pub bit_offset: u32,
    /// Width in bits of a bit-field, 0 for an ordinary member.
    pub bitfield_size: u8,
}

impl Member<'_> {
    /// The member's byte offset, if it starts at a byte.
    pub const fn byte_offset(&self) -> Option<u32> {
        if self.bit_offset.is_multiple_of(8) {
            Some(self.bit_offset / 8)
        } else {
            None
        }
    }
}

list!(
    /// The members of a struct or union.
    Members<'a>, Member<'a>, 3, |btf, at, flag| {
        let offset = btf.word(at + 8);
        Member {
            name: btf.text(btf.word(at)),
            ty: TypeId(btf.word(at + 4)),
            bit_offset: if flag { offset & 0x00ff_ffff } else { offset },
            bitfield_size: if flag { (offset >> 24) as u8 } else { 0 },
        }
    }
);

/// An enum of either width.
#[derive(Clone, Copy, Debug)]
pub struct Enum<'a> {
    pub name: &'a str,
    pub size: u32,
    pub signed: bool,
    pub values: Values<'a>,
}

/// An enumerator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnumValue<'a> {
    pub name: &'a str,
    /// The value; sign-extended to 64 bits if the enum is signed, so `as i64` gives the number then.
    pub value: u64,
}

/// The enumerators of an enum.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    pub(crate) btf: &'a Btf,
    pub(crate) at: u32,
    pub(crate) len: u32,
    pub(crate) signed: bool,
    pub(crate) wide: bool,
}

impl<'a> Values<'a> {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The enumerator at `index`.
    pub fn get(&self, index: usize) -> Option<EnumValue<'a>> {
        if index >= self.len as usize {
            return None;
        }
        let at = self.at as usize + index * if self.wide { 12 } else { 8 };
        let low = self.btf.word(at + 4);
        let value = if self.wide {
            u64::from(low) | u64::from(self.btf.word(at + 8)) << 32
        } else if self.signed {
            i64::from(low as i32) as u64
        } else {
            u64::from(low)
        };
        Some(EnumValue {
            name: self.btf.text(self.btf.word(at)),
            value,
        })
    }

    /// All enumerators, in order.
    pub fn iter(&self) -> impl Iterator<Item = EnumValue<'a>> + use<'a> {
        let list = *self;
        (0..self.len as usize).map_while(move |index| list.get(index))
    }
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A parameter of a function. The last one has an empty name and type `void` if the function is variadic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    pub name: &'a str,
    pub ty: TypeId,
}

list!(
    /// The parameters of a function prototype.
    Params<'a>, Param<'a>, 2, |btf, at, _| Param { name: btf.text(btf.word(at)), ty: TypeId(btf.word(at + 4)) }
);

/// A variable's place in its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecVar {
    /// The `VAR` (or, for extern functions, the `FUNC`).
    pub ty: TypeId,
    pub offset: u32,
    pub size: u32,
}

list!(
    /// The variables of an ELF data section.
    SecVars<'a>, SecVar, 3, |btf, at, _| SecVar {
        ty: TypeId(btf.word(at)),
        offset: btf.word(at + 4),
        size: btf.word(at + 8),
    }
);
