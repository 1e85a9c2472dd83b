//! The kinds of BTF type, numbered as in the kernel's `include/uapi/linux/btf.h`.
//!
//! Invariant: the discriminants are the on-disk numbers; [`Kind::from_number`] accepts exactly those listed.

use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $word:literal;)*) => {
        /// What a type record describes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $name = $number,)* }

        impl Kind {
            /// Every kind, by number.
            pub const ALL: &'static [Kind] = &[$(Kind::$name),*];

            /// The kind with this on-disk number.
            pub const fn from_number(number: u32) -> Option<Kind> {
                match number { $($number => Some(Kind::$name),)* _ => None }
            }

            /// The kind's name as `bpftool btf dump` prints it.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$name => $word,)* }
            }
        }
    };
}

kinds! {
    /// `void`, type id 0; never on disk.
    Void = 0, "VOID";
    /// An integer, `char` or `_Bool`.
    Int = 1, "INT";
    /// A pointer.
    Ptr = 2, "PTR";
    /// An array.
    Array = 3, "ARRAY";
    /// A struct.
    Struct = 4, "STRUCT";
    /// A union.
    Union = 5, "UNION";
    /// An enum whose values fit 32 bits.
    Enum = 6, "ENUM";
    /// A forward declaration of a struct or union.
    Fwd = 7, "FWD";
    /// A typedef.
    Typedef = 8, "TYPEDEF";
    /// `volatile`.
    Volatile = 9, "VOLATILE";
    /// `const`.
    Const = 10, "CONST";
    /// `restrict`.
    Restrict = 11, "RESTRICT";
    /// A function: its name and prototype.
    Func = 12, "FUNC";
    /// A function's prototype.
    FuncProto = 13, "FUNC_PROTO";
    /// A global variable.
    Var = 14, "VAR";
    /// An ELF data section: variables with offsets.
    DataSec = 15, "DATASEC";
    /// A floating point number.
    Float = 16, "FLOAT";
    /// `__attribute__((btf_decl_tag(...)))`.
    DeclTag = 17, "DECL_TAG";
    /// `__attribute__((btf_type_tag(...)))`.
    TypeTag = 18, "TYPE_TAG";
    /// An enum with 64-bit values.
    Enum64 = 19, "ENUM64";
}

impl Kind {
    /// Whether the kind only qualifies or renames another type (typedef, const, volatile, restrict, type tag).
    pub const fn is_modifier(self) -> bool {
        matches!(
            self,
            Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag
        )
    }

    /// Whether the kind is a struct or a union.
    pub const fn is_composite(self) -> bool {
        matches!(self, Kind::Struct | Kind::Union)
    }

    /// Whether the kind is an enum of either width.
    pub const fn is_enum(self) -> bool {
        matches!(self, Kind::Enum | Kind::Enum64)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
