//! `devmap_hash`: interfaces to redirect to, by any number.
//!
//! Invariants: those of [`super::devmap`].

use super::hash::entries;
use super::kind::{Kind, flags_fit, index_of, require};
use super::slots::{first_word, with_program};
use super::table::{EXIST, NOEXIST, Shape, Table};
use alloc::vec::Vec;
use core::ptr::NonNull;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags};

/// Interfaces by any number.
pub struct DevmapHash {
    def: MapDef,
    table: Table,
}

impl DevmapHash {
    pub(crate) fn new(def: &MapDef) -> Result<DevmapHash, Errno> {
        require(def.max_entries != 0 && def.key_size == 4 && matches!(def.value_size, 4 | 8))?;
        flags_fit(def, flags::NUMA_NODE | flags::RDONLY | flags::WRONLY)?;
        let shape = Shape {
            key_size: 4,
            value_size: def.value_size,
            copies: 1,
            max_entries: def.max_entries,
            evicts: false,
            seed: 0,
        };
        Ok(DevmapHash {
            def: def.clone(),
            table: Table::new(shape)?,
        })
    }

    /// The index of the interface under a number.
    pub fn ifindex(&self, index: u32) -> Option<u32> {
        let mut value = Vec::new();
        self.read_user(&index.to_ne_bytes(), &mut value).ok()?;
        Some(index_of(&value))
    }
}

// SAFETY: every address lies in the table's elements, which are never freed or moved while it lives.
unsafe impl Kind for DevmapHash {
    fn def(&self) -> &MapDef {
        &self.def
    }

    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        Some(self.table.value(self.table.find(key)?, 0))
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, _cpu: u32) -> Result<(), Errno> {
        require(flags <= EXIST && first_word(value) != 0)?;
        // As in the kernel, BPF_EXIST does not ask for an element to be there.
        self.table.update(key, flags & NOEXIST, false, |slot, _| {
            self.table.clear(slot, 0);
            self.table.store(slot, 0, &with_program(value));
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
