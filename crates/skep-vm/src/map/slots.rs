//! Numbered slots that hold a small value or nothing: what the arrays of redirect targets have in common.
//!
//! Invariants: a slot's address is fixed; an empty slot has no value for anybody.

use super::kind::{index_of, next_index, require};
use super::region::{Region, round8};
use super::table::EXIST;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use skep_spec::errno::Errno;
use skep_spec::map::MapDef;

/// The slots of one map.
pub(super) struct Slots {
    pub(super) def: MapDef,
    stride: usize,
    values: Region,
    taken: Region,
}

impl Slots {
    /// Slots for a definition with 4-byte keys and a value of one of `sizes`.
    pub(super) fn new(def: &MapDef, allowed: u32, sizes: &[u32]) -> Result<Slots, Errno> {
        require(def.max_entries != 0 && def.key_size == 4 && sizes.contains(&def.value_size))?;
        super::kind::flags_fit(def, allowed)?;
        let stride = round8(def.value_size as usize);
        let count = def.max_entries as usize;
        Ok(Slots {
            def: def.clone(),
            stride,
            values: Region::of(count, stride)?,
            taken: Region::of(count, 1)?,
        })
    }

    pub(super) fn is_taken(&self, index: u32) -> bool {
        index < self.def.max_entries && self.taken.byte(index as usize).load(Ordering::Acquire) != 0
    }

    pub(super) fn lookup(&self, key: &[u8]) -> Option<NonNull<u8>> {
        let index = index_of(key);
        self.is_taken(index).then(|| {
            self.values
                .at(index as usize * self.stride, self.def.value_size as usize)
        })
    }

    /// The first four bytes of a slot's value.
    pub(super) fn word(&self, index: u32) -> Option<u32> {
        self.is_taken(index).then(|| {
            self.values
                .word32(index as usize * self.stride)
                .load(Ordering::Acquire)
        })
    }

    /// The index, if an update with `flags` may go on: `EINVAL` for unknown flags, `E2BIG` beyond the last slot.
    pub(super) fn index_for_update(&self, key: &[u8], flags: u64) -> Result<u32, Errno> {
        require(flags <= EXIST)?;
        let index = index_of(key);
        if index >= self.def.max_entries {
            Err(Errno::E2BIG)
        } else {
            Ok(index)
        }
    }

    pub(super) fn store(&self, index: u32, value: &[u8]) {
        self.values.store(index as usize * self.stride, value);
        self.taken.byte(index as usize).store(1, Ordering::Release);
    }

    /// Empties a slot; `false` if it was empty.
    pub(super) fn clear(&self, index: u32) -> bool {
        self.taken.byte(index as usize).swap(0, Ordering::AcqRel) != 0
    }

    pub(super) fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        let inside = self.values.offset_of(addr)? % self.stride;
        (inside < self.def.value_size as usize).then(|| {
            let start = addr - inside as u64;
            (start, start + u64::from(self.def.value_size))
        })
    }

    pub(super) fn append(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        let index = index_of(key);
        if !self.is_taken(index) {
            return Err(Errno::ENOENT);
        }
        self.values.append_to(
            index as usize * self.stride,
            self.def.value_size as usize,
            out,
        );
        Ok(())
    }

    pub(super) fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        next_index(key, self.def.max_entries, out)
    }
}

/// The first word of a value.
pub(super) fn first_word(value: &[u8]) -> u32 {
    value
        .first_chunk()
        .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// The second word of a value: a program's descriptor, 0 if the value has none.
pub(super) fn second_word(value: &[u8]) -> i32 {
    value
        .get(4..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |bytes| i32::from_ne_bytes(*bytes))
}

/// A value of a devmap or cpumap as it is kept: no program is 0, whatever negative number said so.
pub(super) fn with_program(value: &[u8]) -> Vec<u8> {
    let program = second_word(value).max(0);
    [&value[..4], &program.to_ne_bytes()].concat()[..value.len()].to_vec()
}
