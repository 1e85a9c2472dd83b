//! `task_storage`, `cgrp_storage`, `sk_storage`, `inode_storage`: a value for each kernel object that a program gave one.
//!
//! Invariants: the owner is a number (a task's pid, a cgroup's id, or the object's address); a value is zero or
//! the program's initial value when it is made, and stays until it is deleted, as the engine does not see objects end.

use super::hash::entries;
use super::kind::{Kind, require};
use super::table::{EXIST, NOEXIST, Shape, Table};
use alloc::vec::Vec;
use core::ptr::NonNull;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags};

/// How many owners there may be: these maps have no `max_entries`.
const OWNERS_MAX: u32 = 1 << 16;
const VALUE_MAX: u32 = 65_536 - 256;

/// Values by owner.
pub struct Storage {
    def: MapDef,
    table: Table,
}

impl Storage {
    pub(crate) fn new(def: &MapDef) -> Result<Storage, Errno> {
        require(
            def.flags & !(flags::NO_PREALLOC | flags::CLONE) == 0
                && def.flags & flags::NO_PREALLOC != 0,
        )?;
        require(def.max_entries == 0 && def.key_size == 4 && def.value_size != 0)?;
        if def.value_size > VALUE_MAX {
            return Err(Errno::E2BIG);
        }
        let shape = Shape {
            key_size: 8,
            value_size: def.value_size,
            copies: 1,
            max_entries: OWNERS_MAX,
            evicts: false,
            seed: 0,
        };
        Ok(Storage {
            def: def.clone(),
            table: Table::new(shape)?,
        })
    }

    /// The owner's value; with `create`, a new one with these bytes if there is none.
    pub fn value_of(&self, owner: u64, create: Option<&[u8]>) -> Option<NonNull<u8>> {
        let key = owner.to_ne_bytes();
        if let (None, Some(initial)) = (self.table.find(&key), create) {
            // Somebody else may have been first, which is as good.
            let _ = self.store(owner, initial, NOEXIST);
        }
        Some(self.table.value(self.table.find(&key)?, 0))
    }

    /// Removes the owner's value.
    pub fn remove(&self, owner: u64) -> Result<(), Errno> {
        self.table.remove(&owner.to_ne_bytes(), |_| {})
    }

    fn store(&self, owner: u64, value: &[u8], flags: u64) -> Result<(), Errno> {
        self.table
            .update(&owner.to_ne_bytes(), flags, false, |slot, _| {
                self.table.clear(slot, 0);
                self.table.store(slot, 0, value);
                Ok(())
            })
    }
}

/// The owner that a user's key names.
fn owner(key: &[u8]) -> u64 {
    u64::from(super::kind::index_of(key))
}

// SAFETY: every address lies in the table's elements, which are never freed or moved while it lives.
unsafe impl Kind for Storage {
    fn def(&self) -> &MapDef {
        &self.def
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, _cpu: u32) -> Result<(), Errno> {
        require(flags <= EXIST)?;
        self.store(owner(key), value, flags)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.remove(owner(key))
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        self.table.value_at(addr)
    }

    fn read_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        let slot = self
            .table
            .find(&owner(key).to_ne_bytes())
            .ok_or(Errno::ENOENT)?;
        self.table.append_value(slot, 0, out);
        Ok(())
    }

    fn next_key(&self, _key: Option<&[u8]>, _out: &mut Vec<u8>) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// Keys are owners, 8 bytes long.
    fn entries(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Errno> {
        entries(&self.table, 1, false, visit);
        Ok(())
    }
}
