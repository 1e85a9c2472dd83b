//! `perf_event_array`: a bounded buffer of records for each CPU.
//!
//! Invariants: a record that finds no room is counted, never dropped in silence; a reader takes a buffer's whole
//! content at once, so that writers wait for no reader's work.

use super::bell::Bell;
use super::kind::{Kind, index_of, next_index, no_descriptor, require};
use super::prog_array::check_descriptors;
use crate::sync::{Mutex, MutexGuard};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags};

/// The part of a helper's flags that names the index.
pub const INDEX_MASK: u64 = 0xffff_ffff;
/// `BPF_F_CURRENT_CPU`.
pub const CURRENT_CPU: u64 = 0xffff_ffff;
/// The longest record: perf's headers count in 16 bits.
const RECORD_MAX: usize = u16::MAX as usize - 24;

#[derive(Default)]
struct Buffer {
    open: AtomicBool,
    bytes_max: AtomicUsize,
    /// Length and data of each record.
    records: Mutex<Vec<u8>>,
    lost: AtomicU64,
}

/// Per-CPU event buffers.
pub struct PerfEventArray {
    def: MapDef,
    buffers: Box<[Buffer]>,
    bell: Bell,
    has_records: AtomicBool,
}

fn lock(records: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    records
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl PerfEventArray {
    /// With a buffer for each CPU that has an index; `bytes_max` 0 leaves all of them closed.
    pub(crate) fn new(def: &MapDef, cpus: u32, bytes_max: usize) -> Result<PerfEventArray, Errno> {
        check_descriptors(def, flags::PRESERVE_ELEMS)?;
        let array = PerfEventArray {
            def: def.clone(),
            buffers: (0..cpus.min(def.max_entries))
                .map(|_| Buffer::default())
                .collect(),
            bell: Bell::default(),
            has_records: AtomicBool::new(false),
        };
        if bytes_max != 0 {
            array.open_all(bytes_max);
        }
        Ok(array)
    }

    /// Opens the buffer of one CPU, for at most `bytes_max` bytes. `E2BIG` if there is no such index.
    pub fn open(&self, cpu: u32, bytes_max: usize) -> Result<(), Errno> {
        let buffer = self.buffers.get(cpu as usize).ok_or(Errno::E2BIG)?;
        buffer.bytes_max.store(bytes_max, Ordering::Relaxed);
        buffer.open.store(true, Ordering::Release);
        Ok(())
    }

    /// Opens the buffers of all CPUs.
    pub fn open_all(&self, bytes_max: usize) {
        for cpu in 0..self.buffers.len() {
            // Every index below the length exists.
            let _ = self.open(cpu as u32, bytes_max);
        }
    }

    /// Closes the buffer of one CPU; what is in it stays to be read.
    pub fn close(&self, cpu: u32) -> Result<(), Errno> {
        let buffer = self.buffers.get(cpu as usize).ok_or(Errno::ENOENT)?;
        if buffer.open.swap(false, Ordering::AcqRel) {
            Ok(())
        } else {
            Err(Errno::ENOENT)
        }
    }

    /// What a read of the counter that `flags` name is told before the event is asked: `EINVAL` for unknown flags,
    /// `E2BIG` beyond the last entry, `ENOENT` for an empty one, `EINVAL` for another CPU's.
    pub fn check_index(&self, flags: u64, cpu: u32) -> Result<(), Errno> {
        if flags & !INDEX_MASK != 0 {
            return Err(Errno::EINVAL);
        }
        let index = match flags {
            CURRENT_CPU => u64::from(cpu),
            index => index,
        };
        if index >= u64::from(self.def.max_entries) {
            return Err(Errno::E2BIG);
        }
        let buffer = self.buffers.get(index as usize);
        if !buffer.is_some_and(|buffer| buffer.open.load(Ordering::Acquire)) {
            return Err(Errno::ENOENT);
        }
        require(index == u64::from(cpu))
    }

    /// `bpf_perf_event_output` of the concatenated `parts` from a program on `cpu`, without the checks of the flags
    /// above the index.
    pub fn output(&self, flags: u64, cpu: u32, parts: &[&[u8]]) -> Result<(), Errno> {
        let index = match flags & INDEX_MASK {
            CURRENT_CPU => u64::from(cpu),
            index => index,
        };
        if index >= u64::from(self.def.max_entries) {
            return Err(Errno::E2BIG);
        }
        let buffer = self
            .buffers
            .get(index as usize)
            .filter(|buffer| buffer.open.load(Ordering::Acquire));
        let buffer = buffer.ok_or(Errno::ENOENT)?;
        if index != u64::from(cpu) {
            return Err(Errno::EOPNOTSUPP);
        }
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len > RECORD_MAX {
            return Err(Errno::E2BIG);
        }
        let mut records = lock(&buffer.records);
        if records.len() + 4 + len > buffer.bytes_max.load(Ordering::Relaxed) {
            buffer.lost.fetch_add(1, Ordering::Relaxed);
            return Err(Errno::ENOSPC);
        }
        records.extend_from_slice(&(len as u32).to_ne_bytes());
        for part in parts {
            records.extend_from_slice(part);
        }
        drop(records);
        self.has_records.store(true, Ordering::SeqCst);
        self.bell.ring();
        Ok(())
    }

    /// Shows each record with its CPU to `visit` until it answers `false`; answers how many. Records are in order
    /// within a CPU.
    pub fn drain(&self, mut visit: impl FnMut(u32, &[u8]) -> bool) -> usize {
        self.has_records.store(false, Ordering::SeqCst);
        let mut shown = 0;
        for (cpu, buffer) in self.buffers.iter().enumerate() {
            let taken = core::mem::take(&mut *lock(&buffer.records));
            let mut rest = taken.as_slice();
            while let Some((len, after)) = rest.split_first_chunk::<4>() {
                let Some((record, after)) =
                    after.split_at_checked(u32::from_ne_bytes(*len) as usize)
                else {
                    break;
                };
                rest = after;
                shown += 1;
                if !visit(cpu as u32, record) {
                    self.put_back(buffer, rest);
                    return shown;
                }
            }
            self.recycle(buffer, taken);
        }
        shown
    }

    /// Puts records that were taken but not shown before those that came since.
    fn put_back(&self, buffer: &Buffer, rest: &[u8]) {
        let mut records = lock(&buffer.records);
        records.splice(0..0, rest.iter().copied());
        self.has_records.store(true, Ordering::SeqCst);
    }

    /// Hands an emptied buffer's memory back to the writers, if they have not allocated anew.
    fn recycle(&self, buffer: &Buffer, mut taken: Vec<u8>) {
        taken.clear();
        let mut records = lock(&buffer.records);
        if records.capacity() == 0 {
            *records = taken;
        }
    }

    /// How many records of all CPUs found no room.
    pub fn lost(&self) -> u64 {
        self.buffers
            .iter()
            .map(|buffer| buffer.lost.load(Ordering::Relaxed))
            .sum()
    }

    /// How many records of one CPU found no room.
    pub fn lost_on(&self, cpu: u32) -> u64 {
        self.buffers
            .get(cpu as usize)
            .map_or(0, |buffer| buffer.lost.load(Ordering::Relaxed))
    }

    /// Waits until there is something to [`PerfEventArray::drain`]; `false` after `timeout` without.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.bell
            .wait(timeout, || self.has_records.load(Ordering::SeqCst))
    }
}

// SAFETY: no address is ever given out.
unsafe impl Kind for PerfEventArray {
    fn def(&self) -> &MapDef {
        &self.def
    }

    /// The kernel stores descriptors of perf events here; this engine has none: see [`PerfEventArray::open`].
    fn update(&self, key: &[u8], _value: &[u8], flags: u64, _cpu: u32) -> Result<(), Errno> {
        no_descriptor(&self.def, key, flags)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        if index_of(key) >= self.def.max_entries {
            return Err(Errno::E2BIG);
        }
        self.close(index_of(key))
    }

    fn read_user(&self, _key: &[u8], _out: &mut Vec<u8>) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Errno> {
        next_index(key, self.def.max_entries, out)
    }
}
