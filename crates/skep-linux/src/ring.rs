//! The reader's side of a kernel ring buffer map: its pages, shared with the kernel.
//!
//! Invariants: positions only grow; nothing beyond the producer's position is read; a record's length is bounded by the
//! buffer whatever its header says; the consumer's position moves only after a record has been handed out.

use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use skep_spec::errno::Errno;
use skep_spec::map::MapType;

use crate::map::Map;

/// Bits of a record's header: still being written, and given up.
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEADER: u64 = 8;

/// A mapped ring buffer; the mapping goes when this drops.
#[derive(Debug)]
pub struct Ring {
    consumer: Pages,
    /// The producer's page, then the data twice in a row, so that no record is broken.
    producer: Pages,
    page: usize,
    size: u64,
}

impl Ring {
    /// Maps the buffer of a ring buffer map.
    pub fn open(map: &Map) -> Result<Ring, Errno> {
        if map.def().map_type != MapType::Ringbuf {
            return Err(Errno::EINVAL);
        }
        // SAFETY: sysconf reads a constant of the system.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) })
            .map_err(|_| Errno::EINVAL)?;
        let size = map.def().max_entries as usize;
        let len = size
            .checked_mul(2)
            .and_then(|data| data.checked_add(page))
            .ok_or(Errno::EINVAL)?;
        Ok(Ring {
            consumer: Pages::map(map, 0, page, true)?,
            producer: Pages::map(map, page, len, false)?,
            page,
            size: size as u64,
        })
    }

    /// Hands each finished record to `visit`, oldest first, and releases it; answers how many there were.
    pub fn drain(&self, visit: &mut dyn FnMut(&[u8])) -> usize {
        let mut count = 0;
        // SAFETY: both pages begin with the position, aligned to the page; the kernel accesses them atomically, and the
        // mappings live as long as `self`.
        let (consumer, producer) = unsafe {
            (
                self.consumer.base.cast::<AtomicU64>().as_ref(),
                self.producer.base.cast::<AtomicU64>().as_ref(),
            )
        };
        let mut at = consumer.load(Ordering::Acquire);
        // What the producer adds meanwhile is for the next time: this one ends.
        let end = producer.load(Ordering::Acquire);
        while end.wrapping_sub(at) >= HEADER && end.wrapping_sub(at) <= self.size {
            let offset = self.page + (at & (self.size - 1)) as usize;
            // SAFETY: `offset` is a multiple of 8 within the first copy of the data, which is followed by the second.
            let header = unsafe { self.producer.base.add(offset).cast::<AtomicU32>().as_ref() }
                .load(Ordering::Acquire);
            let len = u64::from(header & !(BUSY | DISCARDED));
            let step = (len + HEADER).next_multiple_of(8);
            if header & BUSY != 0 || step > end.wrapping_sub(at) {
                break;
            }
            if header & DISCARDED == 0 {
                // SAFETY: the record lies between the positions, so within `size` bytes of `offset`, all mapped; the kernel
                // does not write to it before the consumer's position passes it.
                let record = unsafe {
                    let first = self.producer.base.add(offset + HEADER as usize);
                    std::slice::from_raw_parts(first.as_ptr(), len as usize)
                };
                visit(record);
                count += 1;
            }
            at = at.wrapping_add(step);
            consumer.store(at, Ordering::Release);
        }
        count
    }
}

#[derive(Debug)]
struct Pages {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the pages are shared with the kernel, whichever thread looks at them; positions are accessed atomically.
unsafe impl Send for Pages {}

impl Pages {
    fn map(map: &Map, offset: usize, len: usize, writable: bool) -> Result<Pages, Errno> {
        let access = match writable {
            true => libc::PROT_READ | libc::PROT_WRITE,
            false => libc::PROT_READ,
        };
        let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EINVAL)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                access,
                libc::MAP_SHARED,
                map.as_fd().as_raw_fd(),
                offset,
            )
        };
        if base == libc::MAP_FAILED {
            let errno = std::io::Error::last_os_error().raw_os_error();
            return Err(Errno(errno.unwrap_or(libc::EIO)));
        }
        let base = NonNull::new(base.cast()).ok_or(Errno::EINVAL)?;
        Ok(Pages { base, len })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the pages were mapped by `map` with this length, and nothing borrows from them any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
