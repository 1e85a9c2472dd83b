//! `xskmap`, `sockmap`, `sockhash` and `reuseport_sockarray`: sockets by key, as numbers that the host gives meaning.
//!
//! Invariants: a value is a non-negative number that stands for a socket; programs see that there is one, not where.

use super::hash::entries;
use super::kind::{Kind, flags_fit, index_of, require};
use super::slots::{Slots, first_word};
use super::table::{EXIST, NOEXIST, Table};
use alloc::vec::Vec;
use core::ptr::NonNull;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, MapType, flags};

/// Bytes of key of a `sockhash` at most: those of a BPF stack.
const KEY_MAX: u32 = 512;

/// Sockets by number.
pub struct SocketArray {
    slots: Slots,
}

impl SocketArray {
    pub(crate) fn new(def: &MapDef) -> Result<SocketArray, Errno> {
        let allowed = flags::NUMA_NODE | flags::RDONLY | flags::WRONLY;
        let sizes: &[u32] = if def.map_type == MapType::Xskmap {
            &[4]
        } else {
            &[4, 8]
        };
        Ok(SocketArray {
            slots: Slots::new(def, allowed, sizes)?,
        })
    }

    /// The number that stands for the socket in a slot.
    pub fn socket(&self, index: u32) -> Option<u32> {
        self.slots.word(index)
    }
}

// SAFETY: every address lies in the slots' region, which neither moves nor shrinks.
unsafe impl Kind for SocketArray {
    fn def(&self) -> &MapDef {
        &self.slots.def
    }

    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        self.slots.lookup(key)
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, _cpu: u32) -> Result<(), Errno> {
        let index = self.slots.index_for_update(key, flags)?;
        if first_word(value) > i32::MAX as u32 {
            return Err(Errno::EBADF);
        }
        match (self.slots.is_taken(index), flags) {
            (true, NOEXIST) => Err(Errno::EEXIST),
            (false, EXIST) => Err(Errno::ENOENT),
            _ => {
                self.slots.store(index, value);
                Ok(())
            }
        }
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        require(index_of(key) < self.slots.def.max_entries)?;
        let was_taken = self.slots.clear(index_of(key));
        // An xskmap does not mind; the others say EINVAL for an empty slot.
        require(was_taken || self.slots.def.map_type == MapType::Xskmap)
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        self.slots.value_at(addr)
    }

    fn program_writable(&self) -> bool {
        false
    }

    fn read_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        self.slots.append(key, out)
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        self.slots.next_key(key, out)
    }
}

/// Sockets by keys of any bytes.
pub struct SocketHash {
    def: MapDef,
    table: Table,
}

impl SocketHash {
    pub(crate) fn new(def: &MapDef, seed: u64) -> Result<SocketHash, Errno> {
        require(def.max_entries != 0 && def.key_size != 0 && matches!(def.value_size, 4 | 8))?;
        flags_fit(def, flags::NUMA_NODE | flags::RDONLY | flags::WRONLY)?;
        if def.key_size > KEY_MAX {
            return Err(Errno::E2BIG);
        }
        Ok(SocketHash {
            def: def.clone(),
            table: Table::new(super::hash::shape(def, 1, false, seed))?,
        })
    }

    /// The number that stands for the socket under a key.
    pub fn socket(&self, key: &[u8]) -> Option<u32> {
        let mut value = Vec::new();
        self.read_user(key, &mut value).ok()?;
        Some(first_word(&value))
    }
}

// SAFETY: every address lies in the table's elements, which are never freed or moved while it lives.
unsafe impl Kind for SocketHash {
    fn def(&self) -> &MapDef {
        &self.def
    }

    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        Some(self.table.value(self.table.find(key)?, 0))
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, _cpu: u32) -> Result<(), Errno> {
        require(flags <= EXIST)?;
        if first_word(value) > i32::MAX as u32 {
            return Err(Errno::EBADF);
        }
        self.table.update(key, flags, false, |slot, _| {
            self.table.store(slot, 0, value);
            Ok(())
        })
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.table.remove(key, |_| {})
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        self.table.value_at(addr)
    }

    fn program_writable(&self) -> bool {
        false
    }

    fn read_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        let slot = self.table.find(key).ok_or(Errno::ENOENT)?;
        self.table.append_value(slot, 0, out);
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        self.table.next_key(key, out)
    }

    fn entries(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Errno> {
        entries(&self.table, 1, false, visit);
        Ok(())
    }
}
