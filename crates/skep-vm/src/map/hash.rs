//! `hash`: keys of any bytes to values; with eviction also `lru_hash`.
//!
//! Invariants: lookups take no lock; an update puts a new element in the old one's place, so who holds the old
//! value's address goes on seeing the old value, as in the kernel.

use super::kind::{ACCESS, KMALLOC_MAX, Kind, flags_fit, require};
use super::table::{EXIST, Shape, Table};
use alloc::vec::Vec;
use core::ptr::NonNull;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags, update};

/// What the kernel's element takes beside key and value.
const ELEMENT_HEADER: u64 = 48;
/// More buckets than this do not fit its tables.
const ENTRIES_MAX: u32 = 1 << 31;

/// A hash table.
pub(crate) struct Hash {
    def: MapDef,
    table: Table,
    evicts: bool,
}

/// The checks on the definition of all four kinds of hash table.
pub(crate) fn check(def: &MapDef, evicts: bool, per_cpu: bool) -> Result<(), Errno> {
    flags_fit(
        def,
        flags::NO_PREALLOC | flags::NO_COMMON_LRU | flags::NUMA_NODE | flags::ZERO_SEED | ACCESS,
    )?;
    let own_lists = def.flags & flags::NO_COMMON_LRU != 0;
    require(evicts || !own_lists)?;
    if evicts && def.flags & flags::NO_PREALLOC != 0 {
        return Err(Errno::ENOTSUPP);
    }
    require(def.flags & flags::NUMA_NODE == 0 || !(per_cpu || own_lists))?;
    require(def.max_entries != 0 && def.key_size != 0 && def.value_size != 0)?;
    let element = u64::from(def.key_size) + u64::from(def.value_size);
    let value = u64::from(def.value_size).next_multiple_of(8);
    if element >= KMALLOC_MAX - ELEMENT_HEADER
        || (per_cpu && value > super::kind::PERCPU_VALUE_MAX)
        || def.max_entries > ENTRIES_MAX
    {
        return Err(Errno::E2BIG);
    }
    Ok(())
}

pub(crate) fn shape(def: &MapDef, copies: u32, evicts: bool, seed: u64) -> Shape {
    let seed = if def.flags & flags::ZERO_SEED != 0 {
        0
    } else {
        seed
    };
    Shape {
        key_size: def.key_size,
        value_size: def.value_size,
        copies,
        max_entries: def.max_entries,
        evicts,
        seed,
    }
}

impl Hash {
    pub(crate) fn new(def: &MapDef, seed: u64) -> Result<Hash, Errno> {
        Hash::with(def, false, seed)
    }

    pub(super) fn with(def: &MapDef, evicts: bool, seed: u64) -> Result<Hash, Errno> {
        check(def, evicts, false)?;
        Ok(Hash {
            def: def.clone(),
            table: Table::new(shape(def, 1, evicts, seed))?,
            evicts,
        })
    }
}

// SAFETY: every address lies in the table's elements, which are never freed or moved while it lives.
unsafe impl Kind for Hash {
    fn def(&self) -> &MapDef {
        &self.def
    }

    #[inline]
    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        let slot = self.table.find(key)?;
        if self.evicts {
            self.table.touch(slot);
        }
        Some(self.table.value(slot, 0))
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, _cpu: u32) -> Result<(), Errno> {
        let rule = flags & !update::LOCK;
        require(rule <= EXIST)?;
        self.table
            .update(key, rule, flags & update::LOCK != 0, |slot, _| {
                self.table.store(slot, 0, value);
                Ok(())
            })
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.table.remove(key, |_| {})
    }

    fn for_each(
        &self,
        _cpu: u32,
        visit: &mut dyn FnMut(&[u8], NonNull<u8>) -> bool,
    ) -> Result<u64, Errno> {
        Ok(for_each(&self.table, 0, visit))
    }

    #[inline]
    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        self.table.value_at(addr)
    }

    fn read_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        // Under the lock, so that the value is not that of a key that came after.
        let read = |slot| self.table.append_value(slot, 0, out);
        self.table.with_locked(key, read).ok_or(Errno::ENOENT)
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        self.table.next_key(key, out)
    }

    fn take_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        self.table
            .remove(key, |slot| self.table.append_value(slot, 0, out))
    }

    fn entries(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Errno> {
        entries(&self.table, 1, false, visit);
        Ok(())
    }
}

/// Visits each element as a program does. What is removed before its turn is passed over.
pub(crate) fn for_each(
    table: &Table,
    copy: u32,
    visit: &mut dyn FnMut(&[u8], NonNull<u8>) -> bool,
) -> u64 {
    let (mut slots, mut key, mut visited) = (Vec::new(), Vec::new(), 0);
    for bucket in 0..table.buckets() {
        table.bucket(bucket, &mut slots);
        for &slot in &slots {
            key.clear();
            table.append_key(slot, &mut key);
            if table.find(&key) != Some(slot) {
                continue;
            }
            visited += 1;
            if !visit(&key, table.value(slot, copy)) {
                return visited;
            }
        }
    }
    visited
}

/// Visits each element as a user does: with the values of all `copies`.
pub(crate) fn entries(
    table: &Table,
    copies: u32,
    per_cpu: bool,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) {
    let (mut slots, mut key, mut value) = (Vec::new(), Vec::new(), Vec::new());
    for bucket in 0..table.buckets() {
        table.bucket(bucket, &mut slots);
        for &slot in &slots {
            key.clear();
            table.append_key(slot, &mut key);
            value.clear();
            let there = table.with_locked(&key, |now| {
                for copy in 0..copies {
                    table.append_value(now, copy, &mut value);
                    if per_cpu {
                        value.resize(value.len().next_multiple_of(8), 0);
                    }
                }
            });
            if there.is_some() && !visit(&key, &value) {
                return;
            }
        }
    }
}
