//! `ringbuf`: records of any length from all CPUs to one reader, in the order in which they were reserved.
//!
//! Invariants: a record is 8 bytes of header (length with the kernel's BUSY and DISCARD bits) and its data, rounded
//! up to 8; the area is allocated twice as long as the ring, so that a record that would wrap goes on past the end
//! and stays in one piece, while the place it takes at the start is counted as used; the reader sees a record only
//! when it and all before it are committed, and stores its position once a batch.

use super::kind::{Kind, require};
use super::region::Region;
use crate::map::bell::Bell;
use crate::sync::{Mutex, MutexGuard};
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags};

/// Set in a header while the program still writes the record.
pub const BUSY: u32 = 1 << 31;
/// Set in a header of a record that the program threw away.
pub const DISCARD: u32 = 1 << 30;
/// Bytes of a header.
pub const HEADER: u64 = 8;
/// `BPF_RB_NO_WAKEUP`: leave the reader asleep.
pub const NO_WAKEUP: u64 = 1;
/// `BPF_RB_FORCE_WAKEUP`: wake the reader.
pub const FORCE_WAKEUP: u64 = 2;

/// The longest record.
const RECORD_MAX: u64 = u32::MAX as u64 / 4;
const PAGE: u32 = 4096;

/// The area of a ring: header words and data in one piece.
pub(super) struct Ring {
    data: Region,
    mask: u64,
}

impl Ring {
    pub(super) fn new(def: &MapDef, allowed: u32) -> Result<Ring, Errno> {
        require(def.flags & !allowed == 0 && def.key_size == 0 && def.value_size == 0)?;
        require(def.max_entries.is_power_of_two() && def.max_entries.is_multiple_of(PAGE))?;
        let size = def.max_entries as usize;
        Ok(Ring {
            data: Region::of(size, 2)?,
            mask: size as u64 - 1,
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.mask + 1
    }

    pub(super) fn offset(&self, position: u64) -> usize {
        (position & self.mask) as usize
    }

    pub(super) fn header(&self, position: u64) -> &AtomicU32 {
        self.data.word32(self.offset(position))
    }

    /// The data of the record at `position`. It fits: a record is never longer than the ring.
    pub(super) fn record(&self, position: u64, len: usize) -> NonNull<u8> {
        self.data.at(self.offset(position) + HEADER as usize, len)
    }

    pub(super) fn store(&self, position: u64, data: &[u8]) {
        self.data
            .store(self.offset(position) + HEADER as usize, data);
    }

    /// Bytes that a record of `len` bytes takes.
    pub(super) fn taken(len: u64) -> u64 {
        (len + HEADER).next_multiple_of(8)
    }
}

/// A ring buffer.
pub struct RingBuf {
    def: MapDef,
    ring: Ring,
    /// Where the next record is reserved; the lock is the kernel's spin lock.
    producer: Mutex<()>,
    produced: AtomicU64,
    consumer: Mutex<()>,
    consumed: AtomicU64,
    lost: AtomicU64,
    bell: Bell,
}

fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl RingBuf {
    pub(crate) fn new(def: &MapDef) -> Result<RingBuf, Errno> {
        Ok(RingBuf {
            def: def.clone(),
            ring: Ring::new(def, flags::NUMA_NODE)?,
            producer: Mutex::new(()),
            produced: AtomicU64::new(0),
            consumer: Mutex::new(()),
            consumed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            bell: Bell::default(),
        })
    }

    fn reserve_at(&self, len: u64) -> Option<u64> {
        if len > RECORD_MAX || Ring::taken(len) > self.ring.size() {
            return None;
        }
        let taken = Ring::taken(len);
        let _producer = lock(&self.producer);
        let position = self.produced.load(Ordering::Relaxed);
        let after = position + taken;
        // One byte stays free, as in the kernel's ring.
        if after - self.consumed.load(Ordering::Acquire) > self.ring.mask {
            return None;
        }
        self.ring
            .header(position)
            .store(len as u32 | BUSY, Ordering::Relaxed);
        self.produced.store(after, Ordering::Release);
        Some(position)
    }

    /// Room for a record of `len` bytes, or nothing if the ring is full (which is counted). The bytes are the caller's
    /// until it hands them to [`RingBuf::commit`], which it must.
    pub fn reserve(&self, len: u64) -> Option<NonNull<u8>> {
        let position = self.reserve_at(len);
        if position.is_none() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Some(self.ring.record(position?, len as usize))
    }

    /// Makes a reserved record visible, or thrown away with `discard`. `false` if there is none at this address.
    pub fn commit(&self, data: u64, discard: bool, flags: u64) -> bool {
        let Some(at) = self.ring.data.offset_of(data.wrapping_sub(HEADER)) else {
            return false;
        };
        if !at.is_multiple_of(8) || at as u64 >= self.ring.size() {
            return false;
        }
        let header = self.ring.data.word32(at);
        let len = header.load(Ordering::Relaxed);
        if len & BUSY == 0 {
            return false;
        }
        let done = (len & !BUSY) | if discard { DISCARD } else { 0 };
        header.store(done, Ordering::SeqCst);
        let caught_up = self.ring.offset(self.consumed.load(Ordering::SeqCst)) == at;
        if flags & FORCE_WAKEUP != 0 || (flags & NO_WAKEUP == 0 && caught_up) {
            self.bell.ring();
        }
        true
    }

    /// Reserves, copies and commits: `bpf_ringbuf_output`. `EAGAIN` if the ring is full.
    pub fn output(&self, data: &[u8], flags: u64) -> Result<(), Errno> {
        require(flags & !(NO_WAKEUP | FORCE_WAKEUP) == 0)?;
        let Some(position) = self.reserve_at(data.len() as u64) else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return Err(Errno::EAGAIN);
        };
        self.ring.store(position, data);
        self.commit(
            self.ring.record(position, data.len()).as_ptr() as u64,
            false,
            flags,
        );
        Ok(())
    }

    /// `bpf_ringbuf_query`: 0 bytes not yet read, 1 size, 2 the reader's position, 3 the writers'.
    pub fn query(&self, what: u64) -> u64 {
        let consumed = self.consumed.load(Ordering::Acquire);
        let produced = self.produced.load(Ordering::Acquire);
        match what {
            0 => produced - consumed,
            1 => self.ring.size(),
            2 => consumed,
            3 => produced,
            _ => 0,
        }
    }

    /// How many records found no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Shows each committed record to `visit`, in place, until it answers `false` or the next is not committed yet.
    /// Answers how many were shown (thrown away ones are not). One thread at a time reads; others wait.
    pub fn drain(&self, mut visit: impl FnMut(&[u8]) -> bool) -> usize {
        let _consumer = lock(&self.consumer);
        let mut position = self.consumed.load(Ordering::Relaxed);
        let produced = self.produced.load(Ordering::Acquire);
        let mut shown = 0;
        let mut on = true;
        while on && position < produced {
            let header = self.ring.header(position).load(Ordering::SeqCst);
            if header & BUSY != 0 {
                break;
            }
            let len = header & !(BUSY | DISCARD);
            if header & DISCARD == 0 {
                let data = self.ring.record(position, len as usize);
                // SAFETY: the record is committed, so its writer gave it up, and no writer gets the place again before
                // `consumed` is stored below; `len` is what was reserved, and lies inside the region.
                on = visit(unsafe { core::slice::from_raw_parts(data.as_ptr(), len as usize) });
                shown += 1;
            }
            position += Ring::taken(u64::from(len));
        }
        self.consumed.store(position, Ordering::SeqCst);
        shown
    }

    /// Waits until there may be something to [`RingBuf::drain`]; `false` after `timeout` without.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.bell.wait(timeout, || {
            let position = self.consumed.load(Ordering::SeqCst);
            position < self.produced.load(Ordering::SeqCst)
                && self.ring.header(position).load(Ordering::SeqCst) & BUSY == 0
        })
    }
}

// SAFETY: the map interface gives out no address; records are given out by `reserve`, in memory that stays.
unsafe impl Kind for RingBuf {
    fn def(&self) -> &MapDef {
        &self.def
    }

    fn update(&self, _key: &[u8], _value: &[u8], _flags: u64, _cpu: u32) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn delete(&self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn read_user(&self, _key: &[u8], _out: &mut Vec<u8>) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn next_key(&self, _key: Option<&[u8]>, _out: &mut Vec<u8>) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }
}
