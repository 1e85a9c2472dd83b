//! `cpumap`: CPUs to redirect to.
//!
//! Invariants: a value is the length of the CPU's queue, and a program for it or none, as a number that the host
//! gives meaning.

use super::kind::{Kind, index_of, require};
use super::slots::{Slots, first_word, with_program};
use super::table::NOEXIST;
use alloc::vec::Vec;
use core::ptr::NonNull;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags};

/// The longest queue.
const QUEUE_MAX: u32 = 16384;
/// `NR_CPUS` of the distributions' kernels.
const CPUS_MAX: u32 = 8192;

/// CPUs by number.
pub struct Cpumap {
    slots: Slots,
    cpus: u32,
}

impl Cpumap {
    pub(crate) fn new(def: &MapDef, cpus: u32) -> Result<Cpumap, Errno> {
        let slots = Slots::new(def, flags::NUMA_NODE, &[4, 8])?;
        if def.max_entries > CPUS_MAX {
            Err(Errno::E2BIG)
        } else {
            Ok(Cpumap { slots, cpus })
        }
    }

    /// The length of a CPU's queue, if packets may be redirected to it.
    pub fn queue(&self, cpu: u32) -> Option<u32> {
        self.slots.word(cpu)
    }
}

// SAFETY: every address lies in the slots' region, which neither moves nor shrinks.
unsafe impl Kind for Cpumap {
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
        if first_word(value) > QUEUE_MAX {
            return Err(Errno::EOVERFLOW);
        }
        if index >= self.cpus {
            return Err(Errno::ENODEV);
        }
        if first_word(value) == 0 {
            self.slots.clear(index);
        } else {
            self.slots.store(index, &with_program(value));
        }
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
