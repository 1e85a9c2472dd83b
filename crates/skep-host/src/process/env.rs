//! The world as a program sees it that runs for an event: the stopped task, its memory, its registers, the clocks.
//!
//! Invariants: everything is asked of the kernel on demand and at most once a stop; a read of the task's memory never
//! faults here, it fails with `EFAULT`; nothing is changed in the task but by `write_user` and `send_signal`.

use super::arch::{self, Registers};
use super::memory::Memory;
use super::ptrace::{self, Tid};
use super::task::{Table, TaskState};
use skep_spec::errno::Errno;
use skep_vm::env::{Current, Env};
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

const PAGE: usize = 4096;

/// Receives what programs print.
pub type Print = Box<dyn Fn(&str)>;

/// What all events of a supervisor share.
pub(crate) struct World {
    pub memory: Memory,
    pub table: Table,
    pub random: Cell<u64>,
    pub print: Option<Print>,
    /// Reads of a task's memory that the kernel forbade (not: that faulted).
    pub refused_reads: Cell<u64>,
    /// process_vm_readv(2) is not to be had here; /proc/PID/mem is read instead.
    slow_reads: Cell<bool>,
    cpus: u32,
    page: RefCell<Page>,
}

impl World {
    pub fn new() -> io::Result<World> {
        Ok(World {
            memory: Memory::new()?,
            table: Table::default(),
            random: Cell::new(super::memory::clock(libc::CLOCK_REALTIME)),
            print: None,
            refused_reads: Cell::new(0),
            slow_reads: Cell::new(false),
            cpus: cpus(),
            page: RefCell::default(),
        })
    }
}

/// How many CPUs a program can be told to run on: what per-CPU maps are to be made for.
pub fn cpus() -> u32 {
    // SAFETY: takes and returns integers.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) }.clamp(1, 4096) as u32
}

/// One page of a task's memory as it was at one stop: programs read strings and structures in pieces.
struct Page {
    stop: u64,
    tid: Tid,
    address: u64,
    bytes: Box<[u8; PAGE]>,
}

impl Default for Page {
    fn default() -> Page {
        Page {
            stop: 0,
            tid: 0,
            address: 0,
            bytes: Box::new([0; PAGE]),
        }
    }
}

/// The task an event happened to, stopped while the event is handled.
pub struct Tracee<'a> {
    pub(crate) world: &'a World,
    pub(crate) task: &'a TaskState,
    pub(crate) registers: Cell<Option<Registers>>,
}

impl<'a> Tracee<'a> {
    pub(crate) fn new(world: &'a World, task: &'a TaskState) -> Tracee<'a> {
        Tracee {
            world,
            task,
            registers: Cell::new(None),
        }
    }

    pub fn tid(&self) -> Tid {
        self.task.tid
    }

    pub fn tgid(&self) -> Tid {
        self.task.tgid
    }

    /// NUL-padded.
    pub fn comm(&self) -> [u8; 16] {
        self.task.comm
    }

    /// Address of the current task's `task_struct`, 0 if there were too many tasks to model.
    pub fn task_address(&self) -> u64 {
        self.task
            .slot
            .map_or(0, |slot| self.world.memory.task_address(slot))
    }

    /// Address of another supervised task's `task_struct`.
    pub fn task_address_of(&self, tid: Tid) -> Option<u64> {
        Some(
            self.world
                .memory
                .task_address(self.world.table.get(tid)?.slot?),
        )
    }

    /// Address of the current task's `pt_regs`.
    pub fn registers_address(&self) -> u64 {
        self.task
            .slot
            .map_or(0, |slot| self.world.memory.registers_address(slot))
    }

    /// Address of the `linux_binprm` of the task's last exec.
    pub fn binprm_address(&self) -> u64 {
        self.task
            .slot
            .map_or(0, |slot| self.world.memory.binprm_address(slot))
    }

    /// The name of another supervised task.
    pub(crate) fn comm_of(&self, tid: Tid) -> [u8; 16] {
        self.world
            .table
            .get(tid)
            .map_or(self.task.comm, |task| task.comm)
    }

    /// The scheduler's priority of the task, as `task_struct.prio`.
    pub(crate) fn priority(&self) -> i32 {
        super::procfs::stat(self.task.tid).map_or(120, |stat| (stat.priority + 100) as i32)
    }

    /// The task's registers, fetched at the first question of a stop. `None` if it died meanwhile.
    pub fn registers(&self) -> Option<Registers> {
        if let Some(registers) = self.registers.get() {
            return Some(registers);
        }
        let mut registers = arch::empty_registers();
        ptrace::registers(self.task.tid, &mut registers).ok()?;
        self.registers.set(Some(registers));
        Some(registers)
    }

    /// A NUL-terminated string of the task, without its NUL, cut at `most`.
    pub fn read_string(&self, address: u64, most: usize) -> Result<Vec<u8>, Errno> {
        let mut out = Vec::new();
        let mut at = address;
        while out.len() < most {
            let piece = (PAGE - at as usize % PAGE).min(most - out.len()).min(256);
            let start = out.len();
            out.resize(start + piece, 0);
            self.read_user(at, &mut out[start..])?;
            if let Some(end) = out[start..].iter().position(|&b| b == 0) {
                out.truncate(start + end);
                break;
            }
            at = at.wrapping_add(piece as u64);
        }
        Ok(out)
    }

    /// Reads what can be read from `address` on; answers how much that is.
    fn read_some(&self, address: u64, out: &mut [u8]) -> Result<usize, Errno> {
        let tid = self.task.tid;
        if !self.world.slow_reads.get() {
            let local = libc::iovec {
                iov_base: out.as_mut_ptr().cast(),
                iov_len: out.len(),
            };
            let remote = libc::iovec {
                iov_base: address as *mut libc::c_void,
                iov_len: out.len(),
            };
            // SAFETY: the kernel writes at most `out.len()` bytes to `out`; the remote address is checked by it alone.
            let got = unsafe { libc::process_vm_readv(tid, &local, 1, &remote, 1, 0) };
            if got >= 0 {
                return Ok(got as usize);
            }
            match io::Error::last_os_error().raw_os_error() {
                Some(libc::ENOSYS | libc::EPERM) => {}
                _ => return Err(Errno::EFAULT),
            }
        }
        let read =
            File::open(format!("/proc/{tid}/mem")).and_then(|memory| memory.read_at(out, address));
        match read {
            Ok(got) => {
                // It works where the call was refused: stay with it.
                self.world.slow_reads.set(true);
                Ok(got)
            }
            Err(e) => {
                if matches!(e.raw_os_error(), Some(libc::EACCES | libc::EPERM)) {
                    self.world
                        .refused_reads
                        .set(self.world.refused_reads.get() + 1);
                }
                Err(Errno::EFAULT)
            }
        }
    }

    fn read_exactly(&self, address: u64, out: &mut [u8]) -> Result<(), Errno> {
        let mut done = 0;
        while done < out.len() {
            match self.read_some(address.wrapping_add(done as u64), &mut out[done..])? {
                0 => return Err(Errno::EFAULT),
                more => done += more,
            }
        }
        Ok(())
    }

    /// Reads within one page, through the copy of the page that was read last.
    fn read_in_page(&self, address: u64, out: &mut [u8]) -> Result<(), Errno> {
        let stop = self.world.memory.now.get();
        let start = address & !(PAGE as u64 - 1);
        let mut page = self.world.page.borrow_mut();
        if (page.stop, page.tid, page.address) != (stop, self.task.tid, start) {
            page.stop = 0;
            if self.read_some(start, &mut page.bytes[..])? != PAGE {
                return Err(Errno::EFAULT);
            }
            (page.stop, page.tid, page.address) = (stop, self.task.tid, start);
        }
        let from = (address - start) as usize;
        out.copy_from_slice(&page.bytes[from..from + out.len()]);
        Ok(())
    }
}

/// Reads up to this size go through the page's copy.
const SMALL: usize = 512;

/// The first address that is not a user's, as the kernel checks frame pointers (x86-64 and 48-bit arm64).
const USER_END: u64 = 1 << 48;

impl Env for Tracee<'_> {
    fn cpu(&self) -> u32 {
        // SAFETY: takes nothing, returns an integer.
        let cpu = unsafe { libc::sched_getcpu() };
        (cpu.max(0) as u32).min(self.world.cpus - 1)
    }

    fn random_u32(&self) -> u32 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        let state = self.world.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.world.random.set(state);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    fn current(&self) -> Option<Current> {
        Some(Current {
            pid: self.task.tid as u32,
            tgid: self.task.tgid as u32,
            uid: self.task.uid[0],
            gid: self.task.gid[0],
            comm: self.task.comm,
            task_addr: self.task_address(),
            cgroup_id: self.task.cgroup_id,
        })
    }

    fn task_of(&self, pid: u32) -> Option<u64> {
        self.task_address_of(Tid::try_from(pid).ok()?)
    }

    fn read_user(&self, address: u64, out: &mut [u8]) -> Result<(), Errno> {
        if self.task.exiting {
            // The kernel tells the end of a task after its memory is gone.
            return Err(Errno::EFAULT);
        }
        let last = address.checked_add(out.len() as u64).ok_or(Errno::EFAULT)?;
        if out.is_empty() {
            return Ok(());
        }
        if out.len() <= SMALL && address / PAGE as u64 == (last - 1) / PAGE as u64 {
            self.read_in_page(address, out)
        } else {
            self.read_exactly(address, out)
        }
    }

    fn write_user(&self, address: u64, data: &[u8]) -> Result<(), Errno> {
        if self.task.exiting {
            return Err(Errno::EFAULT);
        }
        self.world.page.borrow_mut().stop = 0;
        let local = libc::iovec {
            iov_base: data.as_ptr() as *mut libc::c_void,
            iov_len: data.len(),
        };
        let remote = libc::iovec {
            iov_base: address as *mut libc::c_void,
            iov_len: data.len(),
        };
        // SAFETY: the kernel reads `data.len()` bytes of `data`; the remote address is checked by it alone.
        let put = unsafe { libc::process_vm_writev(self.task.tid, &local, 1, &remote, 1, 0) };
        if put == data.len() as isize {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    fn read_kernel(&self, address: u64, out: &mut [u8]) -> Result<(), Errno> {
        let registers = |tid: Tid| {
            if tid == self.task.tid {
                self.registers()
            } else {
                None
            }
        };
        self.world
            .memory
            .read(address, out, &registers)
            .map_err(|_| Errno::EFAULT)
    }

    fn kernel_regions(&self) -> &[Range<u64>] {
        self.world.memory.regions()
    }

    fn trace_print(&self, text: &str) {
        if let Some(print) = &self.world.print {
            print(text);
        }
    }

    fn user_stack(&self, out: &mut [u64]) -> Result<usize, Errno> {
        if self.task.exiting {
            return Err(Errno::EFAULT);
        }
        let registers = self.registers().ok_or(Errno::ESRCH)?;
        let Some(first) = out.first_mut() else {
            return Ok(0);
        };
        *first = arch::ip(&registers);
        let mut frame = arch::frame_pointer(&registers);
        let mut depth = 1;
        // A frame is the caller's frame pointer and the return address, on both machines.
        while depth < out.len() && frame != 0 && frame < USER_END {
            let mut words = [0u8; 16];
            if self.read_user(frame, &mut words).is_err() {
                break;
            }
            let (next, address) = words.split_at(8);
            frame = u64::from_ne_bytes(next.try_into().unwrap_or([0; 8]));
            out[depth] = u64::from_ne_bytes(address.try_into().unwrap_or([0; 8]));
            depth += 1;
        }
        Ok(depth)
    }

    fn send_signal(&self, signal: u32, thread_only: bool) -> Result<(), Errno> {
        let signal = i32::try_from(signal).map_err(|_| Errno::EINVAL)?;
        let sent = if thread_only {
            ptrace::signal_thread(self.task.tgid, self.task.tid, signal)
        } else {
            ptrace::signal_process(self.task.tgid, signal)
        };
        sent.map_err(|e| Errno(e.raw_os_error().unwrap_or(libc::EINVAL)))
    }
}
