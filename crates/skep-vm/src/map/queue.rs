//! `queue`: values first in, first out; the pile under it is also `stack`'s.
//!
//! Invariants: there are never more than `max_entries` values; a push with `BPF_EXIST` into a full one drops the
//! oldest, whichever end values leave by.

use super::kind::{ACCESS, KMALLOC_MAX, Kind, flags_fit, require};
use super::table::{EXIST, NOEXIST};
use crate::sync::{Mutex, MutexGuard};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use skep_spec::errno::Errno;
use skep_spec::map::{MapDef, flags};

/// Which value leaves next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    OldestFirst,
    NewestFirst,
}

/// Values in the order of their coming.
pub(crate) struct Pile {
    def: MapDef,
    order: Order,
    values: Mutex<VecDeque<u8>>,
}

/// A queue.
pub(crate) fn new(def: &MapDef) -> Result<Pile, Errno> {
    Pile::new(def, Order::OldestFirst)
}

impl Pile {
    pub(super) fn new(def: &MapDef, order: Order) -> Result<Pile, Errno> {
        require(def.max_entries != 0 && def.key_size == 0 && def.value_size != 0)?;
        flags_fit(def, flags::NUMA_NODE | ACCESS)?;
        if u64::from(def.value_size) > KMALLOC_MAX {
            return Err(Errno::E2BIG);
        }
        Ok(Pile {
            def: def.clone(),
            order,
            values: Mutex::new(VecDeque::new()),
        })
    }

    fn values(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.values
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn next(&self, out: &mut [u8], remove: bool) -> Result<(), Errno> {
        let mut values = self.values();
        let size = self.def.value_size as usize;
        let Some(rest) = values.len().checked_sub(size) else {
            // The kernel clears what it could not fill.
            out.fill(0);
            return Err(Errno::ENOENT);
        };
        let range = match self.order {
            Order::OldestFirst => 0..size,
            Order::NewestFirst => rest..rest + size,
        };
        for (to, from) in out.iter_mut().zip(values.range(range.clone())) {
            *to = *from;
        }
        if remove {
            values.drain(range);
        }
        Ok(())
    }

    fn append(&self, remove: bool, out: &mut Vec<u8>) -> Result<(), Errno> {
        let from = out.len();
        out.resize(from + self.def.value_size as usize, 0);
        self.next(&mut out[from..], remove)
    }
}

// SAFETY: no address is ever given out.
unsafe impl Kind for Pile {
    fn def(&self) -> &MapDef {
        &self.def
    }

    fn update(&self, _key: &[u8], _value: &[u8], _flags: u64, _cpu: u32) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn delete(&self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn push(&self, value: &[u8], flags: u64) -> Result<(), Errno> {
        require(flags & NOEXIST == 0 && flags <= EXIST)?;
        let mut values = self.values();
        let size = self.def.value_size as usize;
        if values.len() / size >= self.def.max_entries as usize {
            if flags & EXIST == 0 {
                return Err(Errno::E2BIG);
            }
            values.drain(..size);
        }
        values.extend(value);
        Ok(())
    }

    fn pop(&self, out: &mut [u8]) -> Result<(), Errno> {
        self.next(out, true)
    }

    fn peek(&self, out: &mut [u8]) -> Result<(), Errno> {
        self.next(out, false)
    }

    fn read_user(&self, _key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        self.append(false, out)
    }

    fn write_user(&self, _key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.push(value, flags)
    }

    fn take_user(&self, _key: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        self.append(true, out)
    }

    fn next_key(&self, _key: Option<&[u8]>, _out: &mut Vec<u8>) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// The values in the order in which they would leave; they stay.
    fn entries(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Errno> {
        let values: Vec<u8> = self.values().iter().copied().collect();
        let mut chunks = values.chunks_exact(self.def.value_size as usize);
        let mut next = || match self.order {
            Order::OldestFirst => chunks.next(),
            Order::NewestFirst => chunks.next_back(),
        };
        while let Some(value) = next() {
            if !visit(&[], value) {
                break;
            }
        }
        Ok(())
    }
}
