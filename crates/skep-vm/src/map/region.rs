//! Memory that programs and users read and write at the same time: aligned to pages, zeroed, at a fixed address.
//!
//! Invariants: a region neither moves nor shrinks while it lives; pages cost nothing until they are touched, so a
//! map may be as large as its `max_entries` says; copies in and out go word by word with relaxed atomic
//! accesses, so a reader beside a writer sees old or new words, never undefined behaviour.

use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use skep_spec::errno::Errno;

/// The most one region may take: a creation that wants more fails with `ENOMEM`, as the kernel's would.
const REGION_BYTES_MAX: usize = 1 << 40;

/// A zeroed range of memory that any thread may read and write.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the region is plain memory owned by this value; shared access goes through atomics (or through programs,
// whose accesses the interpreter makes as single machine accesses).
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// A region of `len` zero bytes, page-aligned. `ENOMEM` if there is no room for it.
    pub(crate) fn zeroed(len: usize) -> Result<Region, Errno> {
        if len > REGION_BYTES_MAX {
            return Err(Errno::ENOMEM);
        }
        if len == 0 {
            return Ok(Region {
                base: NonNull::<u64>::dangling().cast(),
                len: 0,
            });
        }
        map_pages(len).map(|base| Region { base, len })
    }

    /// `count` elements of `stride` bytes.
    pub(crate) fn of(count: usize, stride: usize) -> Result<Region, Errno> {
        Region::zeroed(count.checked_mul(stride).ok_or(Errno::ENOMEM)?)
    }

    pub(crate) fn start(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// How far into the region `addr` lies, if it does.
    #[inline]
    pub(crate) fn offset_of(&self, addr: u64) -> Option<usize> {
        let offset = addr.wrapping_sub(self.start());
        (offset < self.len as u64).then_some(offset as usize)
    }

    /// Address of the byte at `offset`, of which `len` bytes must lie inside.
    #[inline]
    pub(crate) fn at(&self, offset: usize, len: usize) -> NonNull<u8> {
        assert!(
            offset <= self.len && len <= self.len - offset,
            "region of {} bytes: {offset}+{len}",
            self.len
        );
        // SAFETY: the offset was just checked to lie inside the mapping (or one past its end with nothing to access).
        unsafe { self.base.add(offset) }
    }

    /// The 32-bit word at `offset`, which must be a multiple of 4.
    #[inline]
    pub(crate) fn word32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4));
        let at = self.at(offset, 4);
        // SAFETY: inside the mapping, aligned (the base is page-aligned), lives as long as `self`.
        unsafe { AtomicU32::from_ptr(at.as_ptr().cast()) }
    }

    /// The byte at `offset`.
    #[inline]
    pub(crate) fn byte(&self, offset: usize) -> &AtomicU8 {
        let at = self.at(offset, 1);
        // SAFETY: inside the mapping, lives as long as `self`.
        unsafe { AtomicU8::from_ptr(at.as_ptr()) }
    }

    /// Copies `data` to `offset`.
    #[inline]
    pub(crate) fn store(&self, offset: usize, data: &[u8]) {
        let at = self.at(offset, data.len());
        // SAFETY: `at` is good for `data.len()` bytes, as just checked.
        unsafe { store(at, data) }
    }

    /// Copies from `offset` to `out`.
    #[inline]
    pub(crate) fn load(&self, offset: usize, out: &mut [u8]) {
        let at = self.at(offset, out.len());
        // SAFETY: `at` is good for `out.len()` bytes, as just checked.
        unsafe { load(at, out) }
    }

    /// Appends `len` bytes from `offset` to `out`.
    pub(crate) fn append_to(&self, offset: usize, len: usize, out: &mut Vec<u8>) {
        let from = out.len();
        out.resize(from + len, 0);
        self.load(offset, &mut out[from..]);
    }

    /// Zeroes `len` bytes at `offset`.
    pub(crate) fn clear(&self, offset: usize, len: usize) {
        let mut done = 0;
        while done < len {
            let step = (len - done).min(64);
            self.store(offset + done, &[0u8; 64][..step]);
            done += step;
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.len != 0 {
            // SAFETY: exactly what `map_pages` gave for that length; nothing refers to it any more.
            unsafe { unmap_pages(self.base, self.len) };
        }
    }
}

/// Zeroed pages.
#[cfg(feature = "std")]
fn map_pages(len: usize) -> Result<NonNull<u8>, Errno> {
    // SAFETY: an anonymous private mapping at an address the kernel chooses touches no existing memory.
    let at = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(Errno::ENOMEM);
    }
    NonNull::new(at.cast()).ok_or(Errno::ENOMEM)
}

/// # Safety
///
/// The pages must come from [`map_pages`] with that length, and nothing may refer to them any more.
#[cfg(feature = "std")]
unsafe fn unmap_pages(base: NonNull<u8>, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { libc::munmap(base.as_ptr().cast(), len) };
}

/// Where there is no system the allocator gives the memory, all of it at once.
#[cfg(not(feature = "std"))]
fn map_pages(len: usize) -> Result<NonNull<u8>, Errno> {
    let layout = layout(len).ok_or(Errno::ENOMEM)?;
    // SAFETY: the length is not 0.
    let base = unsafe { alloc::alloc::alloc_zeroed(layout) };
    NonNull::new(base).ok_or(Errno::ENOMEM)
}

/// # Safety
///
/// The memory must come from [`map_pages`] with that length, and nothing may refer to it any more.
#[cfg(not(feature = "std"))]
unsafe fn unmap_pages(base: NonNull<u8>, len: usize) {
    if let Some(layout) = layout(len) {
        // SAFETY: the caller's promise; the layout is the one it was allocated with.
        unsafe { alloc::alloc::dealloc(base.as_ptr(), layout) };
    }
}

#[cfg(not(feature = "std"))]
fn layout(len: usize) -> Option<alloc::alloc::Layout> {
    const PAGE: usize = 4096;
    alloc::alloc::Layout::from_size_align(len, PAGE).ok()
}

/// Copies `data` to `at`, in words where the address allows.
///
/// # Safety
///
/// `at` must be good for writes of `data.len()` bytes that other threads access in no other way than atomically.
#[inline]
pub(crate) unsafe fn store(at: NonNull<u8>, data: &[u8]) {
    let mut i = 0;
    if (at.as_ptr() as usize).is_multiple_of(8) {
        let (words, tail) = data.as_chunks::<8>();
        for word in words {
            // SAFETY: inside the `data.len()` bytes the caller vouches for; aligned, as `at` is and `i` is a multiple of 8.
            let to = unsafe { AtomicU64::from_ptr(at.as_ptr().add(i).cast()) };
            to.store(u64::from_ne_bytes(*word), Ordering::Relaxed);
            i += 8;
        }
        if let Some(half) = tail.first_chunk::<4>() {
            // SAFETY: as above.
            let to = unsafe { AtomicU32::from_ptr(at.as_ptr().add(i).cast()) };
            to.store(u32::from_ne_bytes(*half), Ordering::Relaxed);
            i += 4;
        }
    }
    for &byte in &data[i..] {
        // SAFETY: as above; bytes need no alignment.
        unsafe { AtomicU8::from_ptr(at.as_ptr().add(i)) }.store(byte, Ordering::Relaxed);
        i += 1;
    }
}

/// Copies from `at` to `out`, in words where the address allows.
///
/// # Safety
///
/// `at` must be good for reads of `out.len()` bytes that other threads access in no other way than atomically.
#[inline]
pub(crate) unsafe fn load(at: NonNull<u8>, out: &mut [u8]) {
    let mut i = 0;
    if (at.as_ptr() as usize).is_multiple_of(8) {
        let (words, tail) = out.as_chunks_mut::<8>();
        for word in words {
            // SAFETY: inside the `out.len()` bytes the caller vouches for; aligned, as `at` is and `i` is a multiple of 8.
            let from = unsafe { AtomicU64::from_ptr(at.as_ptr().add(i).cast()) };
            *word = from.load(Ordering::Relaxed).to_ne_bytes();
            i += 8;
        }
        if let Some(half) = tail.first_chunk_mut::<4>() {
            // SAFETY: as above.
            let from = unsafe { AtomicU32::from_ptr(at.as_ptr().add(i).cast()) };
            *half = from.load(Ordering::Relaxed).to_ne_bytes();
            i += 4;
        }
    }
    for byte in &mut out[i..] {
        // SAFETY: as above; bytes need no alignment.
        *byte = unsafe { AtomicU8::from_ptr(at.as_ptr().add(i)) }.load(Ordering::Relaxed);
        i += 1;
    }
}

/// Whether the bytes at `at` equal `data`.
///
/// # Safety
///
/// As for [`load`]; `at` must be a multiple of 8.
#[inline]
pub(crate) unsafe fn equals(at: NonNull<u8>, data: &[u8]) -> bool {
    let (words, tail) = data.as_chunks::<8>();
    let mut i = 0;
    for word in words {
        // SAFETY: inside the `data.len()` bytes the caller vouches for; aligned, as `at` is and `i` is a multiple of 8.
        let there = unsafe { AtomicU64::from_ptr(at.as_ptr().add(i).cast()) };
        if there.load(Ordering::Relaxed) != u64::from_ne_bytes(*word) {
            return false;
        }
        i += 8;
    }
    if let Some(half) = tail.first_chunk::<4>() {
        // SAFETY: as above.
        let there = unsafe { AtomicU32::from_ptr(at.as_ptr().add(i).cast()) };
        if there.load(Ordering::Relaxed) != u32::from_ne_bytes(*half) {
            return false;
        }
        i += 4;
    }
    data[i..].iter().enumerate().all(|(n, byte)| {
        // SAFETY: as above; bytes need no alignment.
        let there = unsafe { AtomicU8::from_ptr(at.as_ptr().add(i + n)) };
        there.load(Ordering::Relaxed) == *byte
    })
}

/// `size` rounded up to a multiple of 8, as the kernel lays out elements.
pub(crate) const fn round8(size: usize) -> usize {
    (size + 7) & !7
}
