//! BTF types: read, write, dedup, lay out, print as C, relocate (CO-RE).
//!
//! A [`Btf`] is checked once, when it is parsed: every type record lies inside the type section, every type id and name
//! offset it mentions exists. After that, reading types does not fail for well-known ids; what may still be wrong in hostile
//! input (reference cycles, sizes that overflow) is bounded and reported where it is met.

pub mod btf;
pub mod build;
pub mod core;
pub mod dedup;
pub mod error;
pub mod ext;
pub mod format_c;
pub mod kind;
pub mod layout;
pub mod parse_c;
pub mod split;
pub mod ty;
pub mod value;

pub use btf::Btf;
pub use build::Builder;
pub use error::BtfError;
pub use ext::BtfExt;
pub use kind::Kind;
pub use ty::{Ty, TypeId};
