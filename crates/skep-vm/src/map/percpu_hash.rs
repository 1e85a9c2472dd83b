//! `percpu_hash`: a hash table of which each CPU has its own values; with eviction also `lru_percpu_hash`.
//!
//! Invariants: a program changes only its CPU's value; an element that a program creates is zero on the other CPUs;
//! values are changed in place, so an address once looked up shows later updates.

use super::hash::{check, entries, for_each, shape};
use super::kind::{Kind, require};
use super::region::round8;
use super::table::{EXIST, Place, Table};
use alloc::vec::Vec;
use core::ptr::NonNull;
use skep_spec::errno::Errno;
use skep_spec::map::MapDef;

/// A hash table with a value for each CPU.
pub(crate) struct PercpuHash {
    def: MapDef,
    cpus: u32,
    table: Table,
    evicts: bool,
}

impl PercpuHash {
    pub(crate) fn new(def: &MapDef, cpus: u32, seed: u64) -> Result<PercpuHash, Errno> {
        PercpuHash::with(def, cpus, false, seed)
    }

    pub(super) fn with(
        def: &MapDef,
        cpus: u32,
        evicts: bool,
        seed: u64,
    ) -> Result<PercpuHash, Errno> {
        check(def, evicts, true)?;
        Ok(PercpuHash {
            def: def.clone(),
            cpus,
            table: Table::new(shape(def, cpus, evicts, seed))?,
            evicts,
        })
    }

    fn stride(&self) -> usize {
        round8(self.def.value_size as usize)
    }

    fn append(&self, slot: u32, out: &mut Vec<u8>) {
        for cpu in 0..self.cpus {
            self.table.append_value(slot, cpu, out);
            out.resize(out.len().next_multiple_of(8), 0);
        }
    }
}

// SAFETY: every address lies in the table's elements, which are never freed or moved while it lives.
unsafe impl Kind for PercpuHash {
    fn def(&self) -> &MapDef {
        &self.def
    }

    fn lookup(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        let slot = self.table.find(key)?;
        if self.evicts {
            self.table.touch(slot);
        }
        (cpu < self.cpus).then(|| self.table.value(slot, cpu))
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, cpu: u32) -> Result<(), Errno> {
        require(flags <= EXIST && cpu < self.cpus)?;
        self.table.update(key, flags, true, |slot, place| {
            if place == Place::Fresh {
                for other in (0..self.cpus).filter(|&other| other != cpu) {
                    self.table.clear(slot, other);
                }
            }
            self.table.store(slot, cpu, value);
            Ok(())
        })
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.table.remove(key, |_| {})
    }

    fn lookup_percpu(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        self.lookup(key, cpu)
    }

    fn for_each(
        &self,
        cpu: u32,
        visit: &mut dyn FnMut(&[u8], NonNull<u8>) -> bool,
    ) -> Result<u64, Errno> {
        require(cpu < self.cpus)?;
        Ok(for_each(&self.table, cpu, visit))
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        self.table.value_at(addr)
    }

    fn user_value_size(&self) -> usize {
        self.stride() * self.cpus as usize
    }

    fn read_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        let read = |slot| self.append(slot, out);
        self.table.with_locked(key, read).ok_or(Errno::ENOENT)
    }

    fn write_user(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        require(flags <= EXIST)?;
        self.table.update(key, flags, true, |slot, _| {
            for (cpu, value) in (0..self.cpus).zip(value.chunks_exact(self.stride())) {
                self.table
                    .store(slot, cpu, &value[..self.def.value_size as usize]);
            }
            Ok(())
        })
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        self.table.next_key(key, out)
    }

    fn take_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        self.table.remove(key, |slot| self.append(slot, out))
    }

    fn entries(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Errno> {
        entries(&self.table, self.cpus, true, visit);
        Ok(())
    }
}
