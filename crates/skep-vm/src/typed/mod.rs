//! Contexts that are Rust structures: programs read and write their fields in place.
//!
//! Invariants: a [`Context`]'s layout is the structure's own, so that an access which the layout allows touches bytes of
//! the field it names and nothing else; a field that programs may write takes any bytes; addresses in a context lead to
//! memory that stays as it is while the context is borrowed, and programs cannot change them.

use core::marker::PhantomData;

pub use skep_spec::context::{ContextKind, ContextLayout, Field};

mod describe;
mod layout;
mod memory;

pub use describe::{Structure, StructureField, Type, Typed};
pub use layout::{Member, check, count, fields};
pub use memory::{Bytes, BytesMut, Ref, RefMut, RefOrNull, read_value, value_bytes};

/// A structure that programs may be given as their context. `#[derive(Context)]` implements it.
///
/// # Safety
///
/// [`Context::layout`] must be flat, of the structure's size, and have for each of its fields: the offset and size of a
/// member whose bytes are all initialised; write access only where any bytes are a value of the member; and an address
/// only where the member is one of [`Bytes`], [`BytesMut`], [`Ref`], [`RefMut`] and [`RefOrNull`], with its bounds.
pub unsafe trait Context {
    /// The same structure with `'static` lifetimes: what all of its borrowed forms have in common.
    type Family: 'static;

    /// Offsets, and what programs may do with them. Always the same reference.
    fn layout() -> &'static ContextLayout;

    /// The structure as C and BTF have it, of whose fields the layout is made.
    fn structure() -> &'static Structure;
}

/// A borrowed context of some type.
pub struct TypedContext<'a> {
    pub(crate) layout: &'static ContextLayout,
    pub(crate) structure: &'static Structure,
    pub(crate) start: u64,
    of: PhantomData<&'a mut ()>,
}

impl<'a> TypedContext<'a> {
    /// Programs may access the structure as its layout says, until the borrow ends.
    #[inline(always)]
    pub fn new<T: Context>(context: &'a mut T) -> TypedContext<'a> {
        let start: *mut T = context;
        TypedContext {
            layout: T::layout(),
            structure: T::structure(),
            start: start.expose_provenance() as u64,
            of: PhantomData,
        }
    }
}
