//! `percpu_array`: an array of which each CPU has its own values.
//!
//! Invariants: a program sees the values of the CPU it runs on; the user sees those of all CPUs, in order.

use super::array;
use super::kind::{Kind, PERCPU_VALUE_MAX, array_update_flags, index_of, next_index, require};
use super::region::{Region, round8};
use super::table::EXIST;
use alloc::vec::Vec;
use core::ptr::NonNull;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags};

/// An array with a value for each CPU.
pub(crate) struct PercpuArray {
    def: MapDef,
    cpus: u32,
    stride: usize,
    /// All CPUs' values of an element beside each other.
    values: Region,
}

impl PercpuArray {
    pub(crate) fn new(def: &MapDef, cpus: u32) -> Result<PercpuArray, Errno> {
        array::check(def, 0)?;
        require(def.flags & flags::NUMA_NODE == 0)?;
        let stride = round8(def.value_size as usize);
        if stride as u64 > PERCPU_VALUE_MAX {
            return Err(Errno::E2BIG);
        }
        let values = Region::of(def.max_entries as usize, stride * cpus as usize)?;
        Ok(PercpuArray {
            def: def.clone(),
            cpus,
            stride,
            values,
        })
    }

    fn offset(&self, index: u32, cpu: u32) -> Option<usize> {
        let inside = index < self.def.max_entries && cpu < self.cpus;
        inside.then(|| (index as usize * self.cpus as usize + cpu as usize) * self.stride)
    }

    fn store(&self, index: u32, cpu: u32, value: &[u8]) {
        if let Some(offset) = self.offset(index, cpu) {
            self.values
                .store(offset, &value[..self.def.value_size as usize]);
        }
    }
}

// SAFETY: every address lies in `values`, which neither moves nor shrinks while the map lives.
unsafe impl Kind for PercpuArray {
    fn def(&self) -> &MapDef {
        &self.def
    }

    fn lookup(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        Some(self.values.at(
            self.offset(index_of(key), cpu)?,
            self.def.value_size as usize,
        ))
    }

    fn update(&self, key: &[u8], value: &[u8], flags: u64, cpu: u32) -> Result<(), Errno> {
        require(flags <= EXIST)?;
        let index = index_of(key);
        array_update_flags(index, self.def.max_entries, flags)?;
        self.store(index, cpu, value);
        Ok(())
    }

    fn delete(&self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn lookup_percpu(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        self.lookup(key, cpu)
    }

    fn for_each(
        &self,
        cpu: u32,
        visit: &mut dyn FnMut(&[u8], NonNull<u8>) -> bool,
    ) -> Result<u64, Errno> {
        for index in 0..self.def.max_entries {
            let offset = self.offset(index, cpu).ok_or(Errno::EINVAL)?;
            let value = self.values.at(offset, self.def.value_size as usize);
            if !visit(&index.to_ne_bytes(), value) {
                return Ok(u64::from(index) + 1);
            }
        }
        Ok(u64::from(self.def.max_entries))
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        let inside = self.values.offset_of(addr)? % self.stride;
        (inside < self.def.value_size as usize).then(|| {
            let start = addr - inside as u64;
            (start, start + u64::from(self.def.value_size))
        })
    }

    /// As the kernel: of the one element, the value of the CPU that the program runs on. There is one address in
    /// the instruction, so only the first CPU's can be given.
    fn direct_value(&self, offset: u32) -> Option<u64> {
        let fits = self.def.max_entries == 1 && offset < self.def.value_size && self.cpus == 1;
        fits.then(|| self.values.start() + u64::from(offset))
    }

    fn user_value_size(&self) -> usize {
        self.stride * self.cpus as usize
    }

    fn read_user(&self, key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        let index = index_of(key);
        for cpu in 0..self.cpus {
            let offset = self.offset(index, cpu).ok_or(Errno::ENOENT)?;
            self.values.append_to(offset, self.stride, out);
        }
        Ok(())
    }

    fn write_user(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        require(flags <= EXIST)?;
        let index = index_of(key);
        array_update_flags(index, self.def.max_entries, flags)?;
        for (cpu, value) in (0..self.cpus).zip(value.chunks_exact(self.stride)) {
            self.store(index, cpu, value);
        }
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        next_index(key, self.def.max_entries, out)
    }
}
