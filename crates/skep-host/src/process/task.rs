//! The supervised tasks: who they are, and where in a system call each one stands.
//!
//! Invariants: a task is in the table from the moment the kernel attached it until its end was reported; a process's
//! leader stays in the table as long as any of its threads; the number of entries is the number of living tasks.

use super::arch::Abi;
use super::memory::{Memory, NewTask, SlotId, clock, start_times};
use super::procfs;
use super::ptrace::{Tid, Until};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A system call between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub nr: i64,
    pub abi: Abi,
    /// Somebody wants the end.
    pub report: bool,
    pub effect: Effect,
}

/// What the supervisor itself learns from the end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    Credentials,
    Name([u8; 16]),
    Exec,
}

/// One task.
#[derive(Clone, Debug)]
pub(crate) struct TaskState {
    pub tid: Tid,
    pub tgid: Tid,
    pub slot: Option<SlotId>,
    pub comm: [u8; 16],
    pub uid: [u32; 4],
    pub gid: [u32; 4],
    pub cgroup_id: u64,
    pub call: Option<Call>,
    /// The file of the exec that is under way.
    pub exec_path: Option<Vec<u8>>,
    /// Its end has been told (or is being told): its memory is gone.
    pub exiting: bool,
    /// Living threads; of a leader only.
    pub live: i32,
}

impl TaskState {
    /// How far it may run: to the end of its call if somebody waits for that.
    pub fn until(&self) -> Until {
        if self.call.is_some() {
            Until::Syscall
        } else {
            Until::Event
        }
    }
}

/// Thread ids are small and dense: mixing by one multiplication is enough.
#[derive(Default)]
pub(crate) struct TidHasher(u64);

impl Hasher for TidHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_i32(&mut self, tid: i32) {
        self.0 = (tid as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(32);
    }
}

pub(crate) type TidMap<T> = HashMap<Tid, T, BuildHasherDefault<TidHasher>>;

/// All supervised tasks.
#[derive(Debug, Default)]
pub(crate) struct Table {
    tasks: TidMap<TaskState>,
    /// Tasks that found no room in the modelled memory.
    pub without_slot: u64,
    /// The most there were at once.
    pub most: usize,
}

impl Table {
    pub fn get(&self, tid: Tid) -> Option<&TaskState> {
        self.tasks.get(&tid)
    }

    pub fn get_mut(&mut self, tid: Tid) -> Option<&mut TaskState> {
        self.tasks.get_mut(&tid)
    }

    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub fn tids(&self) -> Vec<Tid> {
        self.tasks.keys().copied().collect()
    }

    /// A task that /proc knows and we did not see starting.
    pub fn adopt(&mut self, tid: Tid, memory: &Memory) -> bool {
        let (Some(status), Some(comm)) = (procfs::status(tid), procfs::comm(tid)) else {
            return false;
        };
        let cgroup_id = procfs::cgroup_id(tid).unwrap_or(0);
        let parent = self.get(status.ppid).and_then(|parent| parent.slot);
        self.insert(
            tid,
            status.tgid,
            parent,
            comm,
            (status.uid, status.gid),
            cgroup_id,
            start_times(tid),
            memory,
        );
        true
    }

    /// A task that `parent` just made.
    pub fn fork(&mut self, parent: Tid, tid: Tid, thread: bool, memory: &Memory) -> bool {
        let Some(of) = self.tasks.get(&parent) else {
            return false;
        };
        let (comm, ids, cgroup_id) = (of.comm, (of.uid, of.gid), of.cgroup_id);
        let tgid = if thread { of.tgid } else { tid };
        // A thread has its process's parent: /proc will name it when it is asked for.
        let slot = if thread { None } else { of.slot };
        let start = (clock(libc::CLOCK_MONOTONIC), clock(libc::CLOCK_BOOTTIME));
        self.insert(tid, tgid, slot, comm, ids, cgroup_id, start, memory);
        true
    }

    #[allow(clippy::too_many_arguments)]
    fn insert(
        &mut self,
        tid: Tid,
        tgid: Tid,
        parent: Option<SlotId>,
        comm: [u8; 16],
        (uid, gid): ([u32; 4], [u32; 4]),
        cgroup_id: u64,
        (start_time, start_boottime): (u64, u64),
        memory: &Memory,
    ) {
        if self.tasks.contains_key(&tid) {
            return;
        }
        let leader = if tgid == tid {
            None
        } else {
            self.get(tgid).and_then(|leader| leader.slot)
        };
        let new = NewTask {
            tid,
            tgid,
            leader,
            parent,
            comm,
            uid,
            gid,
            start_time,
            start_boottime,
        };
        let slot = memory.add(&new);
        self.without_slot += u64::from(slot.is_none());
        let state = TaskState {
            tid,
            tgid,
            slot,
            comm,
            uid,
            gid,
            cgroup_id,
            call: None,
            exec_path: None,
            exiting: false,
            live: 1,
        };
        self.tasks.insert(tid, state);
        self.most = self.most.max(self.tasks.len());
        if tgid != tid {
            self.change_threads(tgid, 1, memory);
        }
    }

    fn change_threads(&mut self, tgid: Tid, by: i32, memory: &Memory) -> i32 {
        let Some(leader) = self.tasks.get_mut(&tgid) else {
            return 0;
        };
        leader.live += by;
        if let Some(slot) = leader.slot {
            memory.set_threads(slot, leader.live);
        }
        leader.live
    }

    /// Marks the end of a task; answers whether it was the last of its process. Once only: later calls answer `None`.
    pub fn exit(&mut self, tid: Tid, status: i32, memory: &Memory) -> Option<bool> {
        let task = self.tasks.get_mut(&tid)?;
        if std::mem::replace(&mut task.exiting, true) {
            return None;
        }
        let (tgid, slot) = (task.tgid, task.slot);
        if let Some(slot) = slot {
            memory.set_exiting(slot, status);
        }
        Some(self.change_threads(tgid, -1, memory) <= 0)
    }

    pub fn remove(&mut self, tid: Tid, memory: &Memory) -> Option<TaskState> {
        let task = self.tasks.remove(&tid)?;
        if !task.exiting && task.tgid != tid {
            self.change_threads(task.tgid, -1, memory);
        }
        if let Some(slot) = task.slot {
            memory.retire(slot);
        }
        Some(task)
    }

    /// Thread `former` of process `tgid` execs: it takes the leader's id, all other threads are gone or going.
    pub fn become_leader(&mut self, former: Tid, tgid: Tid, memory: &Memory) {
        if former != tgid
            && let Some(thread) = self.remove(former, memory)
            && let Some(leader) = self.tasks.get_mut(&tgid)
        {
            leader.call = thread.call;
            leader.exec_path = thread.exec_path;
            leader.comm = thread.comm;
            leader.exiting = false;
        }
        let others = self
            .tasks
            .values()
            .filter(|task| task.tgid == tgid && task.tid != tgid && !task.exiting)
            .count();
        if let Some(leader) = self.tasks.get_mut(&tgid) {
            leader.live = 1 + others as i32;
            if let Some(slot) = leader.slot {
                memory.set_threads(slot, leader.live);
            }
        }
    }
}
