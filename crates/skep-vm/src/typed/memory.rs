//! Memory beside the context that programs may reach through it: bytes by start and end, values by address.
//!
//! Invariants: each is made from a borrow that outlives it and is never changed, so its addresses are good for as long as
//! the context that holds it can be run with; what is handed out for reading is plain ([`super::Type::is_plain`]), what
//! is handed out for writing takes any bytes.

use core::marker::PhantomData;

use super::Typed;

/// Bytes that programs may read between two addresses, which they compare as a packet's `data` and `data_end`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Bytes<'a> {
    start: u64,
    end: u64,
    of: PhantomData<&'a [u8]>,
}

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Bytes<'a> {
        let start = bytes.as_ptr().expose_provenance() as u64;
        Bytes {
            start,
            end: start + bytes.len() as u64,
            of: PhantomData,
        }
    }
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    fn from(bytes: &'a [u8]) -> Bytes<'a> {
        Bytes::new(bytes)
    }
}

/// The same, of which programs may write every byte.
#[derive(Debug)]
#[repr(C)]
pub struct BytesMut<'a> {
    start: u64,
    end: u64,
    of: PhantomData<&'a mut [u8]>,
}

impl<'a> BytesMut<'a> {
    pub fn new(bytes: &'a mut [u8]) -> BytesMut<'a> {
        let start = bytes.as_mut_ptr().expose_provenance() as u64;
        BytesMut {
            start,
            end: start + bytes.len() as u64,
            of: PhantomData,
        }
    }
}

/// The address of a value that programs may read.
#[derive(Debug)]
#[repr(transparent)]
pub struct Ref<'a, T> {
    at: u64,
    of: PhantomData<&'a T>,
}

impl<'a, T: Typed> Ref<'a, T> {
    pub fn new(value: &'a T) -> Ref<'a, T> {
        const { assert!(T::TYPE.is_plain(), "a value with gaps or addresses in it") };
        let at: *const T = value;
        Ref {
            at: at.expose_provenance() as u64,
            of: PhantomData,
        }
    }
}

/// The address of a value that programs may read, or null.
#[derive(Debug)]
#[repr(transparent)]
pub struct RefOrNull<'a, T> {
    at: u64,
    of: PhantomData<&'a T>,
}

impl<'a, T: Typed> RefOrNull<'a, T> {
    pub fn new(value: Option<&'a T>) -> RefOrNull<'a, T> {
        RefOrNull {
            at: value.map_or(0, |value| Ref::new(value).at),
            of: PhantomData,
        }
    }
}

/// The address of a value that programs may read and write.
#[derive(Debug)]
#[repr(transparent)]
pub struct RefMut<'a, T> {
    at: u64,
    of: PhantomData<&'a mut T>,
}

impl<'a, T: Typed> RefMut<'a, T> {
    pub fn new(value: &'a mut T) -> RefMut<'a, T> {
        const {
            assert!(
                T::TYPE.is_plain() && T::TYPE.takes_any_bytes(),
                "a value with gaps, or not all of whose bytes are free"
            )
        };
        let at: *mut T = value;
        RefMut {
            at: at.expose_provenance() as u64,
            of: PhantomData,
        }
    }
}

/// The value that plain bytes hold, if they are as many as it has.
pub fn read_value<T: Typed>(bytes: &[u8]) -> Option<T> {
    const {
        assert!(
            T::TYPE.takes_any_bytes(),
            "not all bytes are a value of this type"
        )
    };
    if bytes.len() != size_of::<T>() {
        return None;
    }
    // SAFETY: any bytes are a value (`Typed` vouches for the description that was asserted), and there are as many.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// The bytes of a plain value.
pub fn value_bytes<T: Typed>(value: &T) -> &[u8] {
    const { assert!(T::TYPE.is_plain(), "a value with gaps or addresses in it") };
    let start: *const T = value;
    // SAFETY: all bytes of the value are initialised, since it is plain.
    unsafe { core::slice::from_raw_parts(start.cast::<u8>(), size_of::<T>()) }
}
