//! `user_ringbuf`: records from the user to a program, which drains them.
//!
//! Invariants: the layout is [`super::ringbuf`]'s; one program drains at a time, others get `EBUSY`; a record that a
//! program has seen is gone, also if its callback asked to stop.

use super::kind::Kind;
use super::ringbuf::Ring;
use crate::sync::Mutex;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags};

/// The most records that one call drains.
const SAMPLES_MAX: u64 = 128 * 1024;

/// A ring buffer that the user writes.
pub struct UserRingBuf {
    def: MapDef,
    ring: Ring,
    producer: Mutex<()>,
    produced: AtomicU64,
    consumer: Mutex<()>,
    consumed: AtomicU64,
}

impl UserRingBuf {
    pub(crate) fn new(def: &MapDef) -> Result<UserRingBuf, Errno> {
        Ok(UserRingBuf {
            def: def.clone(),
            ring: Ring::new(def, flags::NUMA_NODE)?,
            producer: Mutex::new(()),
            produced: AtomicU64::new(0),
            consumer: Mutex::new(()),
            consumed: AtomicU64::new(0),
        })
    }

    /// Appends a record. `E2BIG` if it can never fit, `ENOSPC` if it does not fit now.
    pub fn push(&self, data: &[u8]) -> Result<(), Errno> {
        let taken = Ring::taken(data.len() as u64);
        if taken > self.ring.size() {
            return Err(Errno::E2BIG);
        }
        let _producer = self
            .producer
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let position = self.produced.load(Ordering::Relaxed);
        if position + taken - self.consumed.load(Ordering::Acquire) > self.ring.size() {
            return Err(Errno::ENOSPC);
        }
        self.ring.store(position, data);
        self.ring
            .header(position)
            .store(data.len() as u32, Ordering::Relaxed);
        self.produced.store(position + taken, Ordering::Release);
        Ok(())
    }

    /// Shows records, as address and length, to `visit` until it answers `false`; answers how many it saw. `EBUSY`
    /// if another program is at it. An error of `visit` ends the draining and is handed on.
    pub fn drain<E>(
        &self,
        mut visit: impl FnMut(u64, u32) -> Result<bool, E>,
    ) -> Result<Result<u64, E>, Errno> {
        let _consumer = self.consumer.try_lock().map_err(|_| Errno::EBUSY)?;
        let mut shown = 0;
        let mut on = Ok(true);
        while shown < SAMPLES_MAX && matches!(on, Ok(true)) {
            let position = self.consumed.load(Ordering::Relaxed);
            if position == self.produced.load(Ordering::Acquire) {
                break;
            }
            let len = self.ring.header(position).load(Ordering::Relaxed);
            on = visit(
                self.ring.record(position, len as usize).as_ptr() as u64,
                len,
            );
            self.consumed
                .store(position + Ring::taken(u64::from(len)), Ordering::Release);
            shown += 1;
        }
        Ok(on.map(|_| shown))
    }
}

// SAFETY: the map interface gives out no address.
unsafe impl Kind for UserRingBuf {
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
