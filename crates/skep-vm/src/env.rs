//! The world outside of a program: clocks, randomness, the current task and the memory of others.
//!
//! Invariants: the engine asks nobody else for these, so a run with a [`FixedEnv`] is repeatable; whatever an
//! environment does not model answers with an errno, never with an invented value.

use core::any::Any;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use skep_spec::errno::Errno;
#[cfg(feature = "std")]
use std::time::{SystemTime, UNIX_EPOCH};

/// The task on whose behalf a program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Current {
    /// The thread's id, what the kernel calls `pid`.
    pub pid: u32,
    /// The process's id, what the kernel calls `tgid`.
    pub tgid: u32,
    pub uid: u32,
    pub gid: u32,
    /// NUL-terminated.
    pub comm: [u8; 16],
    /// Address of the modelled `task_struct`, 0 if there is none.
    pub task_addr: u64,
    pub cgroup_id: u64,
}

/// The clocks that helpers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Since boot, not counting suspend: `bpf_ktime_get_ns`.
    Monotonic,
    /// Since boot, counting suspend: `bpf_ktime_get_boot_ns`.
    Boot,
    /// At the last tick: `bpf_ktime_get_coarse_ns`.
    MonotonicCoarse,
    /// International atomic time: `bpf_ktime_get_tai_ns`.
    Tai,
    /// Wall clock.
    Real,
}

/// What a program can ask of the world.
pub trait Env {
    /// Nanoseconds of a clock.
    #[cfg(feature = "std")]
    fn clock(&self, clock: Clock) -> u64 {
        host_clock(clock)
    }

    /// Nanoseconds of a clock.
    #[cfg(not(feature = "std"))]
    fn clock(&self, clock: Clock) -> u64;

    fn ktime_ns(&self) -> u64 {
        self.clock(Clock::Monotonic)
    }

    /// The CPU the program believes to run on; less than the number of CPUs its maps were created for.
    fn cpu(&self) -> u32 {
        0
    }

    fn numa_node(&self) -> u32 {
        0
    }

    fn random_u32(&self) -> u32;

    fn current(&self) -> Option<Current> {
        None
    }

    /// Address of the modelled `task_struct` of the thread with this id, if there is one that stays for the whole run.
    /// An environment without a table of tasks knows only the current one.
    fn task_of(&self, pid: u32) -> Option<u64> {
        self.current()
            .filter(|current| current.pid == pid && current.task_addr != 0)
            .map(|current| current.task_addr)
    }

    /// Copies memory of the current task.
    fn read_user(&self, _addr: u64, _out: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EFAULT)
    }

    /// Changes memory of the current task.
    fn write_user(&self, _addr: u64, _data: &[u8]) -> Result<(), Errno> {
        Err(Errno::EFAULT)
    }

    /// Copies modelled kernel memory, such as the current `task_struct`.
    fn read_kernel(&self, _addr: u64, _out: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EFAULT)
    }

    /// The addresses that programs may load from directly; the bytes come through [`Env::read_kernel`].
    fn kernel_regions(&self) -> &[Range<u64>] {
        &[]
    }

    /// Receives what `bpf_trace_printk` prints, as it is.
    fn trace_print(&self, _text: &str) {}

    /// Return addresses of the current task, innermost first; answers how many were written.
    fn user_stack(&self, _out: &mut [u64]) -> Result<usize, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Sends a signal to the current process (`bpf_send_signal`) or thread.
    fn send_signal(&self, _signal: u32, _thread_only: bool) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Whether the current task is in the control group with this id, or in one below it. An environment that knows
    /// no hierarchy knows only the task's own.
    fn under_cgroup(&self, id: u64) -> Result<bool, Errno> {
        self.current()
            .map(|current| current.cgroup_id == id)
            .ok_or(Errno::EINVAL)
    }

    /// Thread and process id of the current task in the pid namespace with this device and inode number.
    fn ns_pid_tgid(&self, _device: u64, _inode: u64) -> Result<(u32, u32), Errno> {
        Err(Errno::EINVAL)
    }

    /// Address of the traced function, 0 where there is none.
    fn func_ip(&self) -> u64 {
        0
    }

    /// What the host gave the run for its own helpers.
    fn state(&self) -> Option<&dyn Any> {
        None
    }

    /// What the user gave the attachment that runs the program, 0 if nothing.
    fn attach_cookie(&self) -> u64 {
        0
    }
}

#[cfg(feature = "std")]
/// The CPU that runs this thread now; 0 where the system does not say.
pub fn host_cpu() -> u32 {
    // SAFETY: the call takes nothing and touches nothing of ours.
    u32::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}

#[cfg(feature = "std")]
fn host_clock(clock: Clock) -> u64 {
    let id = match clock {
        Clock::Monotonic => libc::CLOCK_MONOTONIC,
        Clock::Boot => libc::CLOCK_BOOTTIME,
        Clock::MonotonicCoarse => libc::CLOCK_MONOTONIC_COARSE,
        Clock::Tai => libc::CLOCK_TAI,
        Clock::Real => libc::CLOCK_REALTIME,
    };
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec that the call fills in; it keeps no pointer to it.
    let failed = unsafe { libc::clock_gettime(id, &mut now) } != 0;
    if failed {
        return 0;
    }
    (now.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(now.tv_nsec as u64)
}

#[cfg(feature = "std")]
/// The host's clocks, a random sequence seeded by the time, no task.
#[derive(Debug)]
pub struct DefaultEnv {
    state: AtomicU64,
    cpu: u32,
}

#[cfg(feature = "std")]
impl DefaultEnv {
    pub fn new() -> DefaultEnv {
        let seed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |since| since.as_nanos() as u64);
        DefaultEnv {
            state: AtomicU64::new(seed),
            cpu: 0,
        }
    }

    /// The same on another CPU.
    pub fn on_cpu(cpu: u32) -> DefaultEnv {
        DefaultEnv {
            cpu,
            ..DefaultEnv::new()
        }
    }
}

#[cfg(feature = "std")]
impl Default for DefaultEnv {
    fn default() -> DefaultEnv {
        DefaultEnv::new()
    }
}

#[cfg(feature = "std")]
impl Env for DefaultEnv {
    fn cpu(&self) -> u32 {
        self.cpu
    }

    fn random_u32(&self) -> u32 {
        splitmix(&self.state)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): every state is good, one step is one addition.
fn splitmix(state: &AtomicU64) -> u32 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 32) as u32
}

/// A world that answers the same in every run: a clock that ticks once a question, a seeded sequence.
#[derive(Debug)]
pub struct FixedEnv {
    now: AtomicU64,
    tick_ns: u64,
    random: AtomicU64,
    cpu: AtomicU32,
    current: Option<Current>,
}

impl FixedEnv {
    /// Clocks start at `start_ns` and advance by `tick_ns` each time one is read.
    pub fn new(start_ns: u64, tick_ns: u64, seed: u64) -> FixedEnv {
        FixedEnv {
            now: AtomicU64::new(start_ns),
            tick_ns,
            random: AtomicU64::new(seed),
            cpu: AtomicU32::new(0),
            current: None,
        }
    }

    pub fn with_current(mut self, current: Current) -> FixedEnv {
        self.current = Some(current);
        self
    }

    pub fn set_cpu(&self, cpu: u32) {
        self.cpu.store(cpu, Ordering::Relaxed);
    }
}

impl Default for FixedEnv {
    /// One second after boot, a microsecond a question.
    fn default() -> FixedEnv {
        FixedEnv::new(1_000_000_000, 1_000, 0x5eed)
    }
}

impl Env for FixedEnv {
    fn clock(&self, _clock: Clock) -> u64 {
        self.now.fetch_add(self.tick_ns, Ordering::Relaxed)
    }

    fn cpu(&self) -> u32 {
        self.cpu.load(Ordering::Relaxed)
    }

    fn random_u32(&self) -> u32 {
        splitmix(&self.random)
    }

    fn current(&self) -> Option<Current> {
        self.current
    }
}
