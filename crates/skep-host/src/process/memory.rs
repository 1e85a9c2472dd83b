//! The memory that programs see as the kernel's: one slot of objects for each task, filled when it is looked at.
//!
//! Invariants: the region never moves while the supervisor lives, so an address given to a program stays readable (a
//! slot of a dead task keeps its last contents until it is used again, oldest first); bytes are only copied in and out
//! through raw pointers, no reference into the region exists; what must be asked of /proc is asked at most once an event
//! and only when a program reads it.

use super::arch::Registers;
use super::kernel::{
    Atomic, Binprm, CgroupNs, Cred, Dentry, File, Fs, Inode, IpcNs, KGid, KUid, Mm, MntNs, Mount,
    NetNs, NsCommon, Nsproxy, Path, Pid, PidNs, Qstr, Signal, Task, Upid, UtsNs, VfsMount,
};
use super::procfs::{self, MountLine};
use super::ptrace::Tid;
use super::types::{Char, Ptr};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::mem::offset_of;
use std::ops::Range;

const DENTRIES: usize = 96;
const MOUNTS: usize = 12;
const NAMES: usize = 4352;
/// The longest file name of an exec that is kept, with its NUL.
pub(crate) const FILENAME: usize = 4096;

/// A path as the kernel holds it: directory entries and the mounts they are in.
#[repr(C)]
struct Walk {
    dentries: [Dentry; DENTRIES],
    mounts: [Mount; MOUNTS],
    names: [u8; NAMES],
}

/// Everything modelled of one task.
#[repr(C)]
struct Slot {
    registers: Registers,
    task: Task,
    signal: Signal,
    cred: Cred,
    binprm: Binprm,
    thread_pid: Pid,
    nsproxy: Nsproxy,
    uts: UtsNs,
    ipc: IpcNs,
    mnt: MntNs,
    pid: PidNs,
    net: NetNs,
    cgroup: CgroupNs,
    mm: Mm,
    exe: File,
    exe_inode: Inode,
    fs: Fs,
    exe_walk: Walk,
    pwd_walk: Walk,
    root_walk: Walk,
    filename: [u8; FILENAME],
}

const SLOT: usize = 32 * 1024;
const _: () = assert!(size_of::<Slot>() <= SLOT);

/// A part of a slot that is filled when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lazy {
    Registers,
    Parent,
    Stat,
    Pids,
    Uts,
    Ipc,
    Mnt,
    PidNs,
    Net,
    Cgroup,
    Exe,
    Fs,
}

const LAZY: usize = Lazy::Fs as usize + 1;

/// Where the lazy parts lie. A range of two members ends where the last ends.
const PARTS: [(usize, usize, Lazy); 17] = [
    (0, size_of::<Registers>(), Lazy::Registers),
    (
        TASK + offset_of!(Task, flags),
        TASK + offset_of!(Task, exit_code),
        Lazy::Stat,
    ),
    (
        TASK + offset_of!(Task, prio),
        TASK + offset_of!(Task, pid),
        Lazy::Stat,
    ),
    (
        TASK + offset_of!(Task, real_parent),
        TASK + offset_of!(Task, group_leader),
        Lazy::Parent,
    ),
    (
        offset_of!(Slot, thread_pid),
        offset_of!(Slot, nsproxy),
        Lazy::Pids,
    ),
    (offset_of!(Slot, uts), offset_of!(Slot, ipc), Lazy::Uts),
    (offset_of!(Slot, ipc), offset_of!(Slot, mnt), Lazy::Ipc),
    (offset_of!(Slot, mnt), offset_of!(Slot, pid), Lazy::Mnt),
    (offset_of!(Slot, pid), offset_of!(Slot, net), Lazy::PidNs),
    (offset_of!(Slot, net), offset_of!(Slot, cgroup), Lazy::Net),
    (
        offset_of!(Slot, cgroup),
        offset_of!(Slot, cgroup) + size_of::<CgroupNs>(),
        Lazy::Cgroup,
    ),
    (
        offset_of!(Slot, mm),
        offset_of!(Slot, mm) + offset_of!(Mm, exe_file),
        Lazy::Stat,
    ),
    (
        offset_of!(Slot, exe),
        offset_of!(Slot, exe_inode),
        Lazy::Exe,
    ),
    (offset_of!(Slot, exe_inode), offset_of!(Slot, fs), Lazy::Exe),
    (offset_of!(Slot, fs), offset_of!(Slot, exe_walk), Lazy::Fs),
    (
        offset_of!(Slot, exe_walk),
        offset_of!(Slot, pwd_walk),
        Lazy::Exe,
    ),
    (
        offset_of!(Slot, pwd_walk),
        offset_of!(Slot, filename),
        Lazy::Fs,
    ),
];
const TASK: usize = offset_of!(Slot, task);

/// Who uses a slot, and when its parts were filled.
#[derive(Debug)]
struct Owner {
    tid: Tid,
    /// False once the task ended: nothing can be asked any more.
    alive: bool,
    parent: Cell<u32>,
    filled: [Cell<u64>; LAZY],
}

/// A slot's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SlotId(u32);

/// No parent is known yet.
const UNKNOWN: u32 = u32::MAX;

/// A part could not be filled: the task is gone or does not let us look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfilled;

/// The region of all slots.
#[derive(Debug)]
pub(crate) struct Memory {
    base: *mut u8,
    region: Range<u64>,
    owners: RefCell<Vec<Owner>>,
    free: RefCell<VecDeque<u32>>,
    capacity: usize,
    /// Number of the current event: what was filled at an earlier one is filled again.
    pub now: Cell<u64>,
}

/// Ended tasks whose slots are kept before the oldest is used again.
const KEPT: usize = 64;

/// The facts of a new task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewTask {
    pub tid: Tid,
    pub tgid: Tid,
    pub leader: Option<SlotId>,
    pub parent: Option<SlotId>,
    pub comm: [u8; 16],
    pub uid: [u32; 4],
    pub gid: [u32; 4],
    pub start_time: u64,
    pub start_boottime: u64,
}

impl Memory {
    pub fn new() -> io::Result<Memory> {
        // Untouched pages cost nothing; where even addresses are rationed, less has to do.
        for capacity in [16 * 1024, 1024, 64] {
            let size = capacity * SLOT;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            // SAFETY: a new anonymous mapping at an address of the kernel's choice.
            let base = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    size,
                    libc::PROT_READ | libc::PROT_WRITE,
                    flags,
                    -1,
                    0,
                )
            };
            if base != libc::MAP_FAILED {
                let start = base as u64;
                return Ok(Memory {
                    base: base.cast(),
                    region: start..start + size as u64,
                    owners: RefCell::default(),
                    free: RefCell::default(),
                    capacity,
                    now: Cell::new(1),
                });
            }
        }
        Err(io::Error::last_os_error())
    }

    pub fn regions(&self) -> &[Range<u64>] {
        std::slice::from_ref(&self.region)
    }

    fn at(&self, id: SlotId) -> *mut Slot {
        debug_assert!((id.0 as usize) < self.capacity);
        // SAFETY: slot ids are only made by `claim`, below `capacity`, so the offset stays inside of the mapping.
        unsafe { self.base.add(id.0 as usize * SLOT).cast() }
    }

    /// Address of the task's `task_struct`.
    pub fn task_address(&self, id: SlotId) -> u64 {
        self.at(id) as u64 + TASK as u64
    }

    pub fn registers_address(&self, id: SlotId) -> u64 {
        self.at(id) as u64
    }

    pub fn binprm_address(&self, id: SlotId) -> u64 {
        self.at(id) as u64 + offset_of!(Slot, binprm) as u64
    }

    fn claim(&self, tid: Tid) -> Option<SlotId> {
        let owner = || Owner {
            tid,
            alive: true,
            parent: Cell::new(UNKNOWN),
            filled: Default::default(),
        };
        let mut owners = self.owners.borrow_mut();
        let mut free = self.free.borrow_mut();
        if (free.len() > KEPT || owners.len() >= self.capacity)
            && let Some(id) = free.pop_front()
        {
            owners[id as usize] = owner();
            return Some(SlotId(id));
        }
        if owners.len() >= self.capacity {
            return None;
        }
        owners.push(owner());
        Some(SlotId(owners.len() as u32 - 1))
    }

    /// Makes the objects of a task; `None` if there are too many tasks.
    pub fn add(&self, new: &NewTask) -> Option<SlotId> {
        let id = self.claim(new.tid)?;
        let slot = self.at(id);
        let leader = new.leader.unwrap_or(id);
        let base = slot as u64;
        let own = |offset: usize| base + offset as u64;
        let ([uid, euid, suid, fsuid], [gid, egid, sgid, fsgid]) = (new.uid, new.gid);
        if let Some(parent) = new.parent {
            self.owners.borrow()[id.0 as usize].parent.set(parent.0);
        }
        let parent = new
            .parent
            .map_or(Ptr::NULL, |parent| Ptr::to(self.task_address(parent)));
        // SAFETY: `slot` points to a whole slot of the mapping that no reference covers; all fields are plain integers.
        unsafe {
            (*slot).task = Task {
                flags: 0,
                exit_code: 0,
                prio: 0,
                pid: new.tid,
                tgid: new.tgid,
                real_parent: parent,
                parent,
                group_leader: Ptr::to(self.task_address(leader)),
                thread_pid: Ptr::to(own(offset_of!(Slot, thread_pid))),
                start_time: new.start_time,
                start_boottime: new.start_boottime,
                mm: Ptr::to(own(offset_of!(Slot, mm))),
                real_cred: Ptr::to(own(offset_of!(Slot, cred))),
                cred: Ptr::to(own(offset_of!(Slot, cred))),
                comm: new.comm.map(Char),
                fs: Ptr::to(own(offset_of!(Slot, fs))),
                nsproxy: Ptr::to(own(offset_of!(Slot, nsproxy))),
                signal: Ptr::to(self.at(leader) as u64 + offset_of!(Slot, signal) as u64),
            };
            (*slot).signal = Signal {
                live: Atomic { counter: 1 },
                nr_threads: 1,
            };
            (*slot).cred = Cred {
                uid: KUid { val: uid },
                gid: KGid { val: gid },
                suid: KUid { val: suid },
                sgid: KGid { val: sgid },
                euid: KUid { val: euid },
                egid: KGid { val: egid },
                fsuid: KUid { val: fsuid },
                fsgid: KGid { val: fsgid },
            };
            (*slot).nsproxy = Nsproxy {
                uts_ns: Ptr::to(own(offset_of!(Slot, uts))),
                ipc_ns: Ptr::to(own(offset_of!(Slot, ipc))),
                mnt_ns: Ptr::to(own(offset_of!(Slot, mnt))),
                pid_ns_for_children: Ptr::to(own(offset_of!(Slot, pid))),
                net_ns: Ptr::to(own(offset_of!(Slot, net))),
                cgroup_ns: Ptr::to(own(offset_of!(Slot, cgroup))),
            };
            (*slot).mm.exe_file = Ptr::to(own(offset_of!(Slot, exe)));
            (*slot).exe.f_inode = Ptr::to(own(offset_of!(Slot, exe_inode)));
            (*slot).binprm.filename = Ptr::to(own(offset_of!(Slot, filename)));
        }
        Some(id)
    }

    /// The task ended: its objects keep what they held last.
    pub fn retire(&self, id: SlotId) {
        if let Some(owner) = self.owners.borrow_mut().get_mut(id.0 as usize) {
            owner.alive = false;
        }
        self.free.borrow_mut().push_back(id.0);
    }

    pub fn set_comm(&self, id: SlotId, comm: [u8; 16]) {
        // SAFETY: see `add`.
        unsafe { (*self.at(id)).task.comm = comm.map(Char) };
    }

    pub fn set_credentials(&self, id: SlotId, uid: [u32; 4], gid: [u32; 4]) {
        let ([uid, euid, suid, fsuid], [gid, egid, sgid, fsgid]) = (uid, gid);
        // SAFETY: see `add`.
        unsafe {
            (*self.at(id)).cred = Cred {
                uid: KUid { val: uid },
                gid: KGid { val: gid },
                suid: KUid { val: suid },
                sgid: KGid { val: sgid },
                euid: KUid { val: euid },
                egid: KGid { val: egid },
                fsuid: KUid { val: fsuid },
                fsgid: KGid { val: fsgid },
            };
        }
    }

    /// A process's number of threads, in its leader's slot.
    pub fn set_threads(&self, leader: SlotId, live: i32) {
        // SAFETY: see `add`.
        unsafe {
            (*self.at(leader)).signal = Signal {
                live: Atomic { counter: live },
                nr_threads: live,
            }
        };
    }

    /// The task is past the point where it gives up its memory; `status` as wait4 will tell it.
    pub fn set_exiting(&self, id: SlotId, status: i32) {
        // SAFETY: see `add`.
        unsafe {
            (*self.at(id)).task.exit_code = status;
            (*self.at(id)).task.mm = Ptr::NULL;
        }
    }

    /// The file of the last exec.
    pub fn set_filename(&self, id: SlotId, name: &[u8]) {
        let len = name.len().min(FILENAME - 1);
        // SAFETY: see `add`; `len` leaves room for the NUL.
        unsafe {
            let to = (&raw mut (*self.at(id)).filename).cast::<u8>();
            std::ptr::copy_nonoverlapping(name.as_ptr(), to, len);
            to.add(len).write(0);
        }
    }

    fn mark(&self, id: SlotId, part: Lazy) {
        if let Some(owner) = self.owners.borrow().get(id.0 as usize) {
            owner.filled[part as usize].set(self.now.get());
        }
    }

    /// Which slot an address lies in, and where in it.
    fn locate(&self, address: u64, len: usize) -> Option<(SlotId, usize)> {
        let offset = address.checked_sub(self.region.start)? as usize;
        let (id, within) = (offset / SLOT, offset % SLOT);
        (id < self.owners.borrow().len() && within + len <= SLOT)
            .then_some((SlotId(id as u32), within))
    }

    /// Copies modelled memory, filling first what is read. `registers` loads those of the task that is stopped now.
    pub fn read(
        &self,
        address: u64,
        out: &mut [u8],
        registers: &dyn Fn(Tid) -> Option<Registers>,
    ) -> Result<(), Unfilled> {
        let (id, offset) = self.locate(address, out.len()).ok_or(Unfilled)?;
        let end = offset + out.len();
        for &(from, to, part) in &PARTS {
            if offset < to && from < end {
                self.fill(id, part, registers)?;
            }
        }
        // SAFETY: `locate` checked that the bytes lie inside of one slot; `out` is not in the mapping.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.at(id).cast::<u8>().add(offset),
                out.as_mut_ptr(),
                out.len(),
            )
        };
        Ok(())
    }

    fn fill(
        &self,
        id: SlotId,
        part: Lazy,
        registers: &dyn Fn(Tid) -> Option<Registers>,
    ) -> Result<(), Unfilled> {
        let (tid, alive, filled) = {
            let owners = self.owners.borrow();
            let owner = &owners[id.0 as usize];
            (owner.tid, owner.alive, owner.filled[part as usize].get())
        };
        if filled == self.now.get() {
            return Ok(());
        }
        if !alive {
            // The last contents, if there ever were any.
            return if filled != 0 || part == Lazy::Parent {
                Ok(())
            } else {
                Err(Unfilled)
            };
        }
        let slot = self.at(id);
        let done = match part {
            Lazy::Registers => registers(tid).map(|registers| {
                // SAFETY: see `add`.
                unsafe { (*slot).registers = registers };
            }),
            Lazy::Parent => self.fill_parent(id, tid),
            Lazy::Stat => procfs::stat(tid).map(|stat| {
                let exe_file = Ptr::to(slot as u64 + offset_of!(Slot, exe) as u64);
                // SAFETY: see `add`.
                unsafe {
                    (*slot).task.flags = stat.flags;
                    // proc(5) counts from MAX_RT_PRIO, 100.
                    (*slot).task.prio = (stat.priority + 100) as i32;
                    (*slot).mm = Mm {
                        start_code: stat.start_code,
                        end_code: stat.end_code,
                        start_data: stat.start_data,
                        end_data: stat.end_data,
                        start_brk: stat.start_brk,
                        start_stack: stat.start_stack,
                        arg_start: stat.arg_start,
                        arg_end: stat.arg_end,
                        env_start: stat.env_start,
                        env_end: stat.env_end,
                        exe_file,
                    };
                }
            }),
            Lazy::Pids => procfs::status(tid).map(|status| {
                let mut numbers = [Upid { nr: 0 }; 8];
                for (to, &nr) in numbers.iter_mut().zip(&status.pids) {
                    to.nr = nr;
                }
                let level = status.pids.len().saturating_sub(1) as u32;
                // SAFETY: see `add`.
                unsafe { (*slot).thread_pid = Pid { level, numbers } };
            }),
            // SAFETY: see `add`.
            Lazy::Uts => procfs::namespace(tid, "uts")
                .map(|n| unsafe { (*slot).uts.ns = NsCommon { inum: n } }),
            // SAFETY: see `add`.
            Lazy::Ipc => procfs::namespace(tid, "ipc")
                .map(|n| unsafe { (*slot).ipc.ns = NsCommon { inum: n } }),
            // SAFETY: see `add`.
            Lazy::Mnt => procfs::namespace(tid, "mnt")
                .map(|n| unsafe { (*slot).mnt.ns = NsCommon { inum: n } }),
            Lazy::PidNs => {
                let level = procfs::status(tid)
                    .map_or(0, |status| status.pids.len().saturating_sub(1) as u32);
                let inum = procfs::namespace(tid, "pid_for_children");
                // SAFETY: see `add`.
                inum.map(|inum| unsafe {
                    (*slot).pid = PidNs {
                        ns: NsCommon { inum },
                        level,
                    }
                })
            }
            // SAFETY: see `add`.
            Lazy::Net => procfs::namespace(tid, "net")
                .map(|n| unsafe { (*slot).net.ns = NsCommon { inum: n } }),
            // SAFETY: see `add`.
            Lazy::Cgroup => procfs::namespace(tid, "cgroup")
                .map(|n| unsafe { (*slot).cgroup.ns = NsCommon { inum: n } }),
            Lazy::Exe => self.fill_exe(slot, tid),
            Lazy::Fs => self.fill_fs(slot, tid),
        };
        done.ok_or(Unfilled)?;
        self.mark(id, part);
        Ok(())
    }

    /// The parent is the task that forked, or whoever /proc names once that has ended.
    fn fill_parent(&self, id: SlotId, tid: Tid) -> Option<()> {
        let known = {
            let owners = self.owners.borrow();
            let parent = owners[id.0 as usize].parent.get();
            (parent != UNKNOWN && owners[parent as usize].alive).then_some(SlotId(parent))
        };
        let parent = match known {
            Some(parent) => parent,
            None if tid == 0 => id,
            None => {
                let parent = self.outsider(procfs::status(tid)?.ppid)?;
                self.owners.borrow()[id.0 as usize].parent.set(parent.0);
                parent
            }
        };
        let address = Ptr::to(self.task_address(parent));
        // SAFETY: see `add`.
        unsafe {
            (*self.at(id)).task.real_parent = address;
            (*self.at(id)).task.parent = address;
        }
        Some(())
    }

    /// The slot of a living task that is not (or not yet) supervised; made at the first question. Task 0 is the idle task,
    /// or what lies outside of our pid namespace: its own parent.
    fn outsider(&self, tid: Tid) -> Option<SlotId> {
        let known = self
            .owners
            .borrow()
            .iter()
            .position(|owner| owner.alive && owner.tid == tid);
        if let Some(known) = known {
            return Some(SlotId(known as u32));
        }
        let status = if tid == 0 {
            procfs::Status::default()
        } else {
            procfs::status(tid)?
        };
        let comm = if tid == 0 {
            procfs::comm_of(b"swapper/0")
        } else {
            procfs::comm(tid)?
        };
        let (start_time, start_boottime) = start_times(tid);
        self.add(&NewTask {
            tid,
            tgid: status.tgid,
            leader: None,
            parent: None,
            comm,
            uid: status.uid,
            gid: status.gid,
            start_time,
            start_boottime,
        })
    }

    fn fill_exe(&self, slot: *mut Slot, tid: Tid) -> Option<()> {
        let (path, file) = (procfs::link(tid, "exe")?, procfs::target(tid, "exe")?);
        use std::os::unix::fs::MetadataExt;
        let inode = Inode {
            i_mode: file.mode() as u16,
            i_uid: KUid { val: file.uid() },
            i_gid: KGid { val: file.gid() },
            i_ino: file.ino(),
            i_size: file.size() as i64,
        };
        let mounts = procfs::mounts(tid)?;
        // SAFETY: see `add`; the walk is a part of the slot.
        unsafe {
            (*slot).exe_inode = inode;
            (*slot).exe.f_path = walk(&raw mut (*slot).exe_walk, &path, &mounts)?;
        }
        Some(())
    }

    fn fill_fs(&self, slot: *mut Slot, tid: Tid) -> Option<()> {
        let (pwd, root) = (procfs::link(tid, "cwd")?, procfs::link(tid, "root")?);
        let mounts = procfs::mounts(tid)?;
        // SAFETY: see `add`; the walks are parts of the slot.
        unsafe {
            (*slot).fs.pwd = walk(&raw mut (*slot).pwd_walk, &pwd, &mounts)?;
            (*slot).fs.root = walk(&raw mut (*slot).root_walk, &root, &mounts)?;
        }
        Some(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing refers into it any more. A failure leaks address space, no more.
        unsafe { libc::munmap(self.base.cast(), self.capacity * SLOT) };
    }
}

/// When a task started, on the monotonic and on the boot clock; 0 where it cannot be known.
pub(crate) fn start_times(tid: Tid) -> (u64, u64) {
    let Some(stat) = procfs::stat(tid) else {
        return (0, 0);
    };
    // SAFETY: takes and returns integers.
    let hertz = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
    let boot = (u128::from(stat.start_ticks) * 1_000_000_000 / u128::from(hertz)) as u64;
    let suspended = clock(libc::CLOCK_BOOTTIME).saturating_sub(clock(libc::CLOCK_MONOTONIC));
    (boot.saturating_sub(suspended), boot)
}

pub(crate) fn clock(id: libc::clockid_t) -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` outlives the call.
    unsafe { libc::clock_gettime(id, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Lays out `path` in `to`; `None` if it does not fit or its mount is not known.
///
/// # Safety
/// `to` points to a walk that no reference covers.
unsafe fn walk(to: *mut Walk, path: &[u8], mounts: &[MountLine]) -> Option<Path> {
    let mut build = Build {
        to,
        mounts,
        dentries: 0,
        mounted: 0,
        names: 0,
    };
    let mount = build.mount_of(path)?;
    let (mount, dentry) = build.enter(mount, path, MOUNTS)?;
    Some(Path {
        mnt: Ptr::to(mount + offset_of!(Mount, mnt) as u64),
        dentry: Ptr::to(dentry),
    })
}

struct Build<'a> {
    to: *mut Walk,
    mounts: &'a [MountLine],
    dentries: usize,
    mounted: usize,
    names: usize,
}

impl<'a> Build<'a> {
    /// The mount that a path is in: the longest mount point, the last of several on top of each other.
    fn mount_of(&self, path: &[u8]) -> Option<&'a MountLine> {
        self.mounts
            .iter()
            .filter(|m| below(path, &m.point).is_some())
            .max_by_key(|m| m.point.len())
    }

    /// The mount's object and that of `path`'s last entry, which lies in the mount.
    fn enter(&mut self, mount: &'a MountLine, path: &[u8], depth: usize) -> Option<(u64, u64)> {
        if self.mounted == MOUNTS || depth == 0 {
            return None;
        }
        let index = self.mounted;
        self.mounted += 1;
        // SAFETY: `index` is below MOUNTS; see `walk` for the pointer.
        let object = unsafe { &raw mut (*self.to).mounts[index] };
        let top = self.dentry(b"/", None)?;
        let root = self.descend(top, &mount.root)?;
        let dentry = self.descend(root, below(path, &mount.point)?)?;
        let around = self
            .mounts
            .iter()
            .find(|m| m.id == mount.parent && m.id != mount.id);
        let (parent, point) = match around.filter(|m| below(&mount.point, &m.point).is_some()) {
            Some(around) => self.enter(around, &mount.point, depth - 1)?,
            None => (object as u64, root),
        };
        // SAFETY: as above.
        unsafe {
            *object = Mount {
                mnt_parent: Ptr::to(parent),
                mnt_mountpoint: Ptr::to(point),
                mnt: VfsMount {
                    mnt_root: Ptr::to(root),
                },
                mnt_id: mount.id,
            };
        }
        Some((object as u64, dentry))
    }

    fn descend(&mut self, from: u64, path: &[u8]) -> Option<u64> {
        let parts = path.split(|&b| b == b'/').filter(|part| !part.is_empty());
        parts
            .into_iter()
            .try_fold(from, |parent, part| self.dentry(part, Some(parent)))
    }

    fn dentry(&mut self, name: &[u8], parent: Option<u64>) -> Option<u64> {
        if self.dentries == DENTRIES || self.names + name.len() + 1 > NAMES {
            return None;
        }
        // SAFETY: both indexes were just checked; see `walk` for the pointer.
        unsafe {
            let object = &raw mut (*self.to).dentries[self.dentries];
            let text = (&raw mut (*self.to).names).cast::<u8>().add(self.names);
            std::ptr::copy_nonoverlapping(name.as_ptr(), text, name.len());
            text.add(name.len()).write(0);
            self.dentries += 1;
            self.names += name.len() + 1;
            let address = object as u64;
            *object = Dentry {
                d_parent: Ptr::to(parent.unwrap_or(address)),
                d_name: Qstr {
                    len: name.len() as u32,
                    name: Ptr::to(text as u64),
                },
            };
            Some(address)
        }
    }
}

/// What follows `prefix` in `path`, both as directories.
fn below<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}
