//! The one door to the kernel: every bpf(2) call of the crate goes through [`Syscall`].
//!
//! Invariants: nothing else in the workspace calls bpf(2); the door takes and returns plain values, so a test can put
//! a fake in its place; an error is the kernel's errno and nothing else.

use std::os::fd::{FromRawFd, OwnedFd};

use skep_spec::errno::Errno;

/// A command of bpf(2), by the kernel's number (uapi `enum bpf_cmd`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Command {
    /// BPF_MAP_CREATE
    MapCreate = 0,
    /// BPF_MAP_LOOKUP_ELEM
    MapLookup = 1,
    /// BPF_MAP_UPDATE_ELEM
    MapUpdate = 2,
    /// BPF_MAP_DELETE_ELEM
    MapDelete = 3,
    /// BPF_MAP_GET_NEXT_KEY
    MapNextKey = 4,
    /// BPF_PROG_LOAD
    ProgLoad = 5,
    /// BPF_PROG_TEST_RUN
    ProgTestRun = 10,
    /// BPF_OBJ_GET_INFO_BY_FD
    InfoByFd = 15,
    /// BPF_BTF_LOAD
    BtfLoad = 18,
    /// BPF_MAP_LOOKUP_AND_DELETE_ELEM
    MapLookupAndDelete = 21,
    /// BPF_MAP_FREEZE
    MapFreeze = 22,
}

impl Command {
    /// The kernel's name of the command, for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MapCreate => "BPF_MAP_CREATE",
            Self::MapLookup => "BPF_MAP_LOOKUP_ELEM",
            Self::MapUpdate => "BPF_MAP_UPDATE_ELEM",
            Self::MapDelete => "BPF_MAP_DELETE_ELEM",
            Self::MapNextKey => "BPF_MAP_GET_NEXT_KEY",
            Self::ProgLoad => "BPF_PROG_LOAD",
            Self::ProgTestRun => "BPF_PROG_TEST_RUN",
            Self::InfoByFd => "BPF_OBJ_GET_INFO_BY_FD",
            Self::BtfLoad => "BPF_BTF_LOAD",
            Self::MapLookupAndDelete => "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
            Self::MapFreeze => "BPF_MAP_FREEZE",
        }
    }
}

/// The door. `attr` is the command's `union bpf_attr` as bytes; pointers inside it must stay valid during the call.
pub trait Syscall: Send + Sync {
    /// Makes the call; a non-negative result is returned as it is.
    ///
    /// # Safety
    /// Every pointer in `attr` must be valid for the reads and writes that the kernel documents for `command`.
    unsafe fn bpf(&self, command: Command, attr: &mut [u8]) -> Result<i64, Errno>;
}

/// The real kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel;

impl Syscall for Kernel {
    unsafe fn bpf(&self, command: Command, attr: &mut [u8]) -> Result<i64, Errno> {
        // EAGAIN comes back when a signal interrupts the verifier: the call has had no effect, so it is made again, a
        // bounded number of times.
        let mut tries = 0;
        loop {
            // SAFETY: `attr` is a live buffer of the length passed; the caller vouches for the pointers in it.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_bpf,
                    command as libc::c_int,
                    attr.as_mut_ptr(),
                    attr.len(),
                )
            };
            if result >= 0 {
                return Ok(result);
            }
            let errno = Errno(
                std::io::Error::last_os_error()
                    .raw_os_error()
                    .unwrap_or(libc::EIO),
            );
            tries += 1;
            if errno.0 != libc::EAGAIN || tries > 5 {
                return Err(errno);
            }
        }
    }
}

/// Takes ownership of a file descriptor that a command returned.
///
/// # Safety
/// `fd` must be a descriptor that the kernel has just returned and nobody else owns.
pub(crate) unsafe fn own(fd: i64) -> Result<OwnedFd, Errno> {
    let fd = i32::try_from(fd).map_err(|_| Errno(libc::EBADF))?;
    // SAFETY: the caller promises that the descriptor is fresh and unowned.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
