//! Memory for machine code: written once, then executable and never writable again.
//!
//! Invariants: no page is writable and executable at the same time; an unmapped page lies before and after the code;
//! the mapping goes with its last owner.

use std::ptr::NonNull;

use super::JitError;

/// A mapping with code in it.
#[derive(Debug)]
pub(crate) struct CodeMemory {
    /// Start of the mapping, with its guard pages.
    map: NonNull<u8>,
    map_len: usize,
    /// Address of the code, and its length.
    start: usize,
    len: usize,
}

// SAFETY: the code is immutable once the value exists; executing and reading it needs no exclusion.
unsafe impl Send for CodeMemory {}
// SAFETY: as above.
unsafe impl Sync for CodeMemory {}

fn page_bytes() -> usize {
    // SAFETY: sysconf has no preconditions.
    let answer = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(answer).unwrap_or(4096).max(4096)
}

impl CodeMemory {
    /// Places `bytes` where they can run.
    pub fn new(bytes: &[u8]) -> Result<CodeMemory, JitError> {
        let page = page_bytes();
        let room = bytes
            .len()
            .max(1)
            .checked_next_multiple_of(page)
            .ok_or(JitError::TooLarge)?;
        let map_len = room.checked_add(2 * page).ok_or(JitError::TooLarge)?;
        let refused = || JitError::NoMemory(std::io::Error::last_os_error().raw_os_error());
        // SAFETY: an anonymous private mapping at an address the kernel chooses touches no existing memory.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                map_len,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if map == libc::MAP_FAILED {
            return Err(refused());
        }
        let Some(map) = NonNull::new(map.cast::<u8>()) else {
            return Err(refused());
        };
        let memory = CodeMemory {
            map,
            map_len,
            start: map.as_ptr() as usize + page,
            len: bytes.len(),
        };
        // SAFETY: the pages between the guards are part of the mapping just made.
        unsafe {
            let start = map.as_ptr().add(page);
            if libc::mprotect(start.cast(), room, libc::PROT_READ | libc::PROT_WRITE) != 0 {
                return Err(refused());
            }
            start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            if libc::mprotect(start.cast(), room, libc::PROT_READ | libc::PROT_EXEC) != 0 {
                return Err(refused());
            }
            flush(start, bytes.len());
        }
        Ok(memory)
    }

    /// Address of the byte at `offset`.
    #[inline]
    pub fn at(&self, offset: u32) -> usize {
        self.start + offset as usize
    }

    /// The code.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes of code start there, are readable, and never change.
        unsafe { std::slice::from_raw_parts(self.at(0) as *const u8, self.len) }
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made; who runs the code holds an owner of this value.
        unsafe { libc::munmap(self.map.as_ptr().cast(), self.map_len) };
    }
}

/// Makes fresh code visible to instruction fetch.
///
/// # Safety
/// The bytes must be mapped.
#[cfg(target_arch = "aarch64")]
unsafe fn flush(start: *mut u8, len: usize) {
    // Arm ARM K11.5: clean to the point of unification, then invalidate, line by line.
    let (from, to) = (start as usize, start as usize + len);
    let types: u64;
    // SAFETY: CTR_EL0 may be read by user code on Linux.
    unsafe { std::arch::asm!("mrs {}, ctr_el0", out(reg) types) };
    let (data, insn) = (4usize << (types >> 16 & 15), 4usize << (types & 15));
    for line in (from & !(data - 1)..to).step_by(data) {
        // SAFETY: cleaning a mapped line changes no value.
        unsafe { std::arch::asm!("dc cvau, {}", in(reg) line) };
    }
    // SAFETY: a barrier.
    unsafe { std::arch::asm!("dsb ish") };
    for line in (from & !(insn - 1)..to).step_by(insn) {
        // SAFETY: as above.
        unsafe { std::arch::asm!("ic ivau, {}", in(reg) line) };
    }
    // SAFETY: barriers.
    unsafe { std::arch::asm!("dsb ish", "isb") };
}

/// # Safety
/// None: this host keeps its caches coherent.
#[cfg(not(target_arch = "aarch64"))]
unsafe fn flush(_start: *mut u8, _len: usize) {}
