//! `devmap`: interfaces to redirect to, by number.
//!
//! Invariants: a value is the interface's index, and a program for it or none, as a number that the host gives
//! meaning; programs may read but not write.

use super::kind::{Kind, index_of, require};
use super::slots::{Slots, first_word, second_word, with_program};
use super::table::NOEXIST;
use alloc::vec::Vec;
use core::ptr::NonNull;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags};

/// Interfaces by number.
pub struct Devmap {
    slots: Slots,
}

impl Devmap {
    pub(crate) fn new(def: &MapDef) -> Result<Devmap, Errno> {
        let allowed = flags::NUMA_NODE | flags::RDONLY | flags::WRONLY;
        Ok(Devmap {
            slots: Slots::new(def, allowed, &[4, 8])?,
        })
    }

    /// The index of the interface in a slot.
    pub fn ifindex(&self, index: u32) -> Option<u32> {
        self.slots.word(index)
    }
}

// SAFETY: every address lies in the slots' region, which neither moves nor shrinks.
unsafe impl Kind for Devmap {
    fn def(&self) -> &MapDef {
        &self.slots.def
    }

    fn lookup(&self, key: &[u8], _cpu: u32) -> Option<NonNull<u8>> {
        self.slots.lookup(key)
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, _cpu: u32) -> Result<(), Errno> {
        let index = self.slots.index_for_update(key, flags)?;
        if flags == NOEXIST {
            return Err(Errno::EEXIST);
        }
        if first_word(value) == 0 {
            require(second_word(value) <= 0)?;
            self.slots.clear(index);
            return Ok(());
        }
        self.slots.store(index, &with_program(value));
        Ok(())
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        require(index_of(key) < self.slots.def.max_entries)?;
        self.slots.clear(index_of(key));
        Ok(())
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
