//! Ending a supervisor that sleeps in wait4(2): a [`Stop`] from any thread or signal handler wakes it within a moment.
//!
//! Invariants: no signal disposition of the process is touched and no time-out is paid per event. The waking is done by a
//! tiny child process (the *waker*) that waits for the stop's descriptor and ends: its end is one more thing that wait4
//! reports. It holds no other descriptor and dies with the supervising thread.

use super::ptrace::{self, Tid};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A request to end, shared between the supervisor and whoever may ask it to (a signal handler, another thread).
#[derive(Clone, Debug)]
pub struct Stop(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requested: AtomicBool,
    wake: OwnedFd,
}

impl Stop {
    pub fn new() -> io::Result<Stop> {
        // SAFETY: integers only; the new descriptor is owned by nobody else.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and is open.
        let wake = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Stop(Arc::new(Inner {
            requested: AtomicBool::new(false),
            wake,
        })))
    }

    /// Asks for the end. Async-signal-safe; more than once is the same as once.
    pub fn request(&self) {
        self.0.requested.store(true, Ordering::SeqCst);
        let one: u64 = 1;
        // SAFETY: writes eight bytes of `one` to a descriptor that `self` keeps open. A full counter is as good as a wake.
        let _ = unsafe {
            libc::write(
                self.0.wake.as_raw_fd(),
                (&raw const one).cast(),
                size_of::<u64>(),
            )
        };
    }

    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::SeqCst)
    }

    fn fd(&self) -> RawFd {
        self.0.wake.as_raw_fd()
    }
}

/// The child process whose end wakes wait4. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Waker {
    pid: Option<Tid>,
}

impl Waker {
    /// Ends when `stop` is requested, or after `limit_ms` if that is not negative.
    pub fn new(stop: &Stop, limit_ms: i32) -> io::Result<Waker> {
        let fd = stop.fd();
        // With every signal blocked from its first moment the waker outlives a Ctrl-C meant for others.
        // SAFETY: signal sets are plain memory that sigfillset and pthread_sigmask fill in; the child of fork only makes
        // async-signal-safe calls and never returns.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            let supervisor = libc::getpid();
            let pid = libc::fork();
            if pid == 0 {
                wait_as_waker(fd, limit_ms, supervisor);
            }
            let failure = io::Error::last_os_error();
            libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
            if pid < 0 {
                Err(failure)
            } else {
                Ok(Waker { pid: Some(pid) })
            }
        }
    }

    pub fn is(&self, pid: Tid) -> bool {
        self.pid == Some(pid)
    }

    /// wait4 has reported its end.
    pub fn ended(&mut self) {
        self.pid = None;
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        if let Some(pid) = self.pid.take() {
            let _ = ptrace::signal_process(pid, libc::SIGKILL);
            let _ = ptrace::wait(pid, false);
        }
    }
}

/// # Safety
/// Only in the child of a fork: never returns, closes every descriptor but `fd`.
unsafe fn wait_as_waker(fd: RawFd, limit_ms: i32, supervisor: Tid) -> ! {
    // SAFETY: async-signal-safe system calls on integers and on `poll`, which lives on this stack.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::prctl(libc::PR_SET_NAME, c"skep-waker".as_ptr());
        if libc::getppid() != supervisor {
            libc::_exit(0);
        }
        if fd > 0 {
            libc::syscall(libc::SYS_close_range, 0, fd - 1, 0);
        }
        libc::syscall(libc::SYS_close_range, fd + 1, u32::MAX, 0);
        let mut poll = libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        libc::poll(&mut poll, 1, limit_ms);
        libc::_exit(0)
    }
}
