//! `array`: values by number, all there from the start, zero.
//!
//! Invariants: an element's address depends on nothing but its index; elements are never removed.

use super::kind::{ACCESS, Kind, array_update_flags, flags_fit, index_of, next_index, require};
use super::region::{Region, round8};
use alloc::vec::Vec;
use core::ptr::NonNull;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags};

/// An array of values.
pub(crate) struct Array {
    def: MapDef,
    stride: usize,
    values: Region,
}

/// Values one after the other: that of index `i` starts at `start + i * stride`, if `i` is less than `entries`. The compiler
/// to machine code asks.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flat {
    pub start: u64,
    pub stride: usize,
    pub entries: u32,
}

/// The checks on the definition of every kind that the kernel builds on its array.
pub(crate) fn check(def: &MapDef, extra: u32) -> Result<(), Errno> {
    require(def.max_entries != 0 && def.key_size == 4 && def.value_size != 0)?;
    flags_fit(def, flags::NUMA_NODE | ACCESS | extra)?;
    if def.value_size > i32::MAX as u32 {
        Err(Errno::E2BIG)
    } else {
        Ok(())
    }
}

impl Array {
    pub(crate) fn new(def: &MapDef) -> Result<Array, Errno> {
        check(def, flags::MMAPABLE | flags::INNER_MAP)?;
        let stride = round8(def.value_size as usize);
        Ok(Array {
            def: def.clone(),
            stride,
            values: Region::of(def.max_entries as usize, stride)?,
        })
    }

    /// Where the values lie.
    #[cfg(feature = "std")]
    pub(crate) fn flat(&self) -> Flat {
        Flat {
            start: self.values.start(),
            stride: self.stride,
            entries: self.def.max_entries,
        }
    }

    fn offset(&self, index: u32) -> Option<usize> {
        (index < self.def.max_entries).then(|| index as usize * self.stride)
    }
}

// SAFETY: every address lies in `values`, which neither moves nor shrinks while the map lives.
unsafe impl Kind for Array {
    fn def(&self) -> &MapDef {
        &self.def
    }

    #[inline]
    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        Some(
            self.values
                .at(self.offset(index_of(key))?, self.def.value_size as usize),
        )
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, _cpu: u32) -> Result<(), Errno> {
        let index = index_of(key);
        array_update_flags(index, self.def.max_entries, flags)?;
        self.values.store(index as usize * self.stride, value);
        Ok(())
    }

    fn delete(&self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn for_each(
        &self,
        _cpu: u32,
        visit: &mut dyn FnMut(&[u8], NonNull<u8>) -> bool,
    ) -> Result<u64, Errno> {
        for index in 0..self.def.max_entries {
            let value = self
                .values
                .at(index as usize * self.stride, self.def.value_size as usize);
            if !visit(&index.to_ne_bytes(), value) {
                return Ok(u64::from(index) + 1);
            }
        }
        Ok(u64::from(self.def.max_entries))
    }

    #[inline]
    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        let offset = self.values.offset_of(addr)?;
        let inside = offset % self.stride;
        (inside < self.def.value_size as usize).then(|| {
            let start = addr - inside as u64;
            (start, start + u64::from(self.def.value_size))
        })
    }

    fn direct_value(&self, offset: u32) -> Option<u64> {
        let fits = self.def.max_entries == 1 && offset < self.def.value_size;
        fits.then(|| self.values.start() + u64::from(offset))
    }

    fn read_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        let offset = self.offset(index_of(key)).ok_or(Errno::ENOENT)?;
        self.values
            .append_to(offset, self.def.value_size as usize, out);
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        next_index(key, self.def.max_entries, out)
    }
}
