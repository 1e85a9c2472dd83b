//! The supervisor: lets a process tree run, stops it at the calls somebody asked for, and tells what happened.
//!
//! Invariants: one thread traces (ptrace belongs to a thread, so a supervisor cannot be sent to another); a task is
//! stopped only while its event is handled; every stop of a task is answered by exactly one resume, listen or detach;
//! signals, group stops and exit codes pass as if nobody watched. A launched tree cannot outlive the supervisor (its
//! filter would fail its calls): it is killed. An attached one is let go as it was found.

use super::arch::{self, Abi, Registers, call};
use super::env::{Print, Tracee, World};
use super::event::{Event, Interest};
use super::launch::Launch;
use super::notes::Notes;
use super::procfs;
use super::ptrace::{self, Change, Ending, Side, Tid, Until};
use super::seccomp;
use super::task::{Call, Effect};
use super::wake::{Stop, Waker};
use super::{Counts, Outcome, ProcessError};
use skep_vm::env::Env;
use std::collections::HashSet;
use std::io;
use std::marker::PhantomData;

/// Receives the events, each while its task is stopped.
pub trait Sink {
    fn event(&mut self, event: &Event<'_>, at: &Tracee<'_>);
}

impl<F: FnMut(&Event<'_>, &Tracee<'_>)> Sink for F {
    fn event(&mut self, event: &Event<'_>, at: &Tracee<'_>) {
        self(event, at);
    }
}

/// How long a tree that was asked to end may take before it is killed, and an attached one before it is left.
const GRACE_MS: i32 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Launched,
    Attached,
}

/// A supervised process tree.
pub struct Supervisor {
    pub(crate) world: World,
    interest: Interest,
    mode: Mode,
    root: Tid,
    /// The root stands before its first execve, at the stop of the filter.
    held: bool,
    /// The root has not become its program yet.
    launching: bool,
    launch_error: Option<i32>,
    program: std::ffi::OsString,
    /// Tasks whose first stop came before their parent told of them.
    early: HashSet<Tid>,
    stopping: bool,
    status: Option<Ending>,
    counts: Counts,
    notes: Notes,
    /// ptrace is bound to the thread.
    _thread: PhantomData<*const ()>,
}

impl Supervisor {
    /// Starts a command, held before its first system call until [`Supervisor::run`].
    pub fn spawn(launch: Launch, interest: &Interest) -> Result<Supervisor, ProcessError> {
        let filter = seccomp::filter(&interest.calls());
        let options =
            follow_options(interest) | ptrace::OPTION_TRACESECCOMP | ptrace::OPTION_EXITKILL;
        let program = launch.program.clone();
        let mut supervisor = Supervisor::new(Mode::Launched, 0, interest, program)?;
        let launched = launch.start(&filter, options)?;
        supervisor.root = launched.tid;
        supervisor.held = true;
        supervisor.launching = true;
        supervisor
            .world
            .table
            .adopt(launched.tid, &supervisor.world.memory);
        supervisor.notes.no_new_privs = launched.no_new_privs;
        if launched.loses_privileges {
            supervisor
                .notes
                .lost_privileges(supervisor.program.to_string_lossy().into_owned());
        }
        Ok(supervisor)
    }

    /// Becomes the tracer of all threads of a running process, and of what they will start.
    pub fn attach(pid: Tid, interest: &Interest) -> Result<Supervisor, ProcessError> {
        let mut supervisor =
            Supervisor::new(Mode::Attached, pid, interest, std::ffi::OsString::new())?;
        let options = follow_options(interest);
        // Threads may start while we look: repeat until a look finds nothing new.
        loop {
            let Some(threads) = procfs::threads(pid) else {
                let e = io::Error::from_raw_os_error(libc::ESRCH);
                return Err(ProcessError::attach(
                    pid,
                    "looking for its threads",
                    e,
                    "is it still running?".into(),
                ));
            };
            let mut news = false;
            for tid in threads {
                if supervisor.world.table.get(tid).is_some() {
                    continue;
                }
                match ptrace::seize(tid, options) {
                    Ok(()) => {
                        news = true;
                        supervisor.world.table.adopt(tid, &supervisor.world.memory);
                        // Its first stop arms the system call stops.
                        let _ = ptrace::interrupt(tid);
                    }
                    // Followed already (started by a thread we had), or gone.
                    Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
                    Err(_)
                        if procfs::status(tid)
                            .is_some_and(|status| status.tracer == ptrace::own_tid()) => {}
                    Err(e) => {
                        let hint = attach_hint(pid, &e);
                        return Err(ProcessError::attach(pid, "becoming its tracer", e, hint));
                    }
                }
            }
            if !news {
                break;
            }
        }
        if supervisor.world.table.is_empty() {
            let e = io::Error::from_raw_os_error(libc::ESRCH);
            return Err(ProcessError::attach(
                pid,
                "becoming its tracer",
                e,
                "it ended".into(),
            ));
        }
        Ok(supervisor)
    }

    fn new(
        mode: Mode,
        root: Tid,
        interest: &Interest,
        program: std::ffi::OsString,
    ) -> Result<Supervisor, ProcessError> {
        let world = World::new()
            .map_err(|e| ProcessError::system("reserving memory for kernel objects", e))?;
        Ok(Supervisor {
            world,
            interest: interest.clone(),
            mode,
            root,
            held: false,
            launching: false,
            launch_error: None,
            program,
            early: HashSet::new(),
            stopping: false,
            status: None,
            counts: Counts::default(),
            notes: Notes::default(),
            _thread: PhantomData,
        })
    }

    /// The process at the root of the tree.
    pub fn root(&self) -> Tid {
        self.root
    }

    /// Receives what programs print with `bpf_trace_printk`.
    pub fn on_print(&mut self, print: Print) {
        self.world.print = Some(print);
    }

    /// Runs the tree until it has ended, or until `stop`: a launched tree is then asked to end (SIGTERM, and SIGKILL after
    /// two seconds), an attached one is let go.
    pub fn run<S: Sink + ?Sized>(
        mut self,
        sink: &mut S,
        stop: &Stop,
    ) -> Result<Outcome, ProcessError> {
        self.supervise(sink, stop)?;
        if let Some(errno) = self.launch_error {
            let e = io::Error::from_raw_os_error(errno);
            return Err(ProcessError::launch(&self.program, "executing it", e, ""));
        }
        Ok(self.outcome())
    }

    fn outcome(&mut self) -> Outcome {
        self.counts.tasks_at_once = self.world.table.most as u64;
        self.notes.without_slot = self.world.table.without_slot;
        self.notes.refused_reads = self.world.refused_reads.get();
        self.notes.foreign_calls = self.counts.foreign;
        self.notes.lost = self.counts.lost;
        Outcome {
            status: self.status,
            stopped: self.stopping,
            counts: self.counts,
            notes: self.notes.messages(),
        }
    }

    fn supervise<S: Sink + ?Sized>(
        &mut self,
        sink: &mut S,
        stop: &Stop,
    ) -> Result<(), ProcessError> {
        let waking = |e| ProcessError::system("starting the waker", e);
        let mut waker = Waker::new(stop, -1).map_err(waking)?;
        let mut killing = false;
        if std::mem::take(&mut self.held) {
            self.on_filter_stop(self.root, sink);
        }
        while !self.world.table.is_empty() || !self.early.is_empty() {
            if stop.is_requested() && !self.stopping {
                self.begin_stop();
                // A new waker, for the end of the tree's patience.
                drop(waker);
                waker = Waker::new(&Stop::new().map_err(waking)?, GRACE_MS).map_err(waking)?;
            }
            let (tid, change) = match ptrace::wait_any(false) {
                Ok(Some(changed)) => changed,
                // Nobody is left, whatever the table says.
                Ok(None) => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(ProcessError::system("waiting for the process tree", e)),
            };
            if waker.is(tid) {
                if let Change::Ended(_) = change {
                    waker.ended();
                    if self.stopping && !std::mem::replace(&mut killing, true) {
                        if self.mode == Mode::Attached {
                            // Uninterruptible tasks stay ours until this thread ends; the kernel lets them go then.
                            self.notes.not_detached = self.world.table.len() as u64;
                            return Ok(());
                        }
                        self.kill_all();
                        waker =
                            Waker::new(&Stop::new().map_err(waking)?, GRACE_MS).map_err(waking)?;
                    } else if killing {
                        self.notes.not_detached = self.world.table.len() as u64;
                        return Ok(());
                    }
                }
                continue;
            }
            self.handle(tid, change, sink);
        }
        Ok(())
    }

    fn handle<S: Sink + ?Sized>(&mut self, tid: Tid, change: Change, sink: &mut S) {
        if let Change::Ended(ending) = change {
            self.on_end(tid, ending, sink);
            return;
        }
        if self.world.table.get(tid).is_none() {
            self.on_stranger(tid);
            return;
        }
        if self.stopping && self.mode == Mode::Attached {
            self.let_go(tid, change);
            return;
        }
        match change {
            Change::Seccomp => self.on_filter_stop(tid, sink),
            Change::Syscall if self.mode == Mode::Attached => self.on_either_side(tid, sink),
            Change::Syscall => {
                self.on_call_end(tid, None, sink);
                self.resume(tid, 0);
            }
            Change::NewTask => self.on_new_task(tid, sink),
            Change::Exec => self.on_exec(tid, sink),
            Change::Exiting => {
                let status = ptrace::event_message(tid).unwrap_or(0) as i32;
                self.on_task_exit(tid, status, sink);
                self.resume(tid, 0);
            }
            Change::Stopped => self.resume(tid, 0),
            Change::GroupStop => {
                // Stopped by a signal, as it would be without us; it reports again when it is continued.
                let _ = ptrace::listen(tid);
            }
            Change::Signal(signal) => self.resume(tid, signal),
            Change::Ended(_) => {}
        }
    }

    /// Lets a task go on. A failure means that it was killed meanwhile: its end will be reported.
    fn resume(&self, tid: Tid, signal: i32) {
        let until = match self.mode {
            Mode::Attached if !self.interest.calls().is_empty() => Until::Syscall,
            _ => self
                .world
                .table
                .get(tid)
                .map_or(Until::Event, |task| task.until()),
        };
        let _ = ptrace::resume(tid, until, signal);
    }

    /// Tells an event to the sink.
    fn tell<S: Sink + ?Sized>(&mut self, tid: Tid, event: &Event<'_>, sink: &mut S) {
        let Some(task) = self.world.table.get(tid) else {
            return;
        };
        if self.stopping || (self.launching && self.launch_error.is_some()) {
            return;
        }
        let count = match event {
            Event::SysEnter { .. } => &mut self.counts.enters,
            Event::SysExit { .. } => &mut self.counts.exits,
            Event::Fork { .. } => &mut self.counts.forks,
            Event::Exec { .. } => &mut self.counts.execs,
            Event::Exit { .. } => &mut self.counts.task_exits,
        };
        *count += 1;
        sink.event(event, &Tracee::new(&self.world, task));
    }

    /// A new stop: what was read of tasks at an earlier one is old.
    fn advance(&self) {
        self.world.memory.now.set(self.world.memory.now.get() + 1);
    }

    /// The filter stopped a call before it starts.
    fn on_filter_stop<S: Sink + ?Sized>(&mut self, tid: Tid, sink: &mut S) {
        self.advance();
        // One request tells all; it costs half of fetching the registers, which few programs ask for.
        match call_start(tid) {
            Some((nr, args, abi)) => self.on_call_start(tid, nr, args, abi, sink),
            None => self.counts.lost += u64::from(self.world.table.get(tid).is_some()),
        }
        self.resume(tid, 0);
    }

    fn on_call_start<S: Sink + ?Sized>(
        &mut self,
        tid: Tid,
        nr: i64,
        args: [u64; 6],
        abi: Abi,
        sink: &mut S,
    ) {
        let (enter, exit) = if abi == Abi::Native {
            (
                self.interest.enter.contains(nr),
                self.interest.exit.contains(nr),
            )
        } else {
            self.counts.foreign += 1;
            (self.interest.enter.is_all(), self.interest.exit.is_all())
        };
        let effect = if abi == Abi::Native {
            self.watch(tid, nr, &args)
        } else {
            Effect::None
        };
        if enter {
            self.tell(tid, &Event::SysEnter { nr, args, abi }, sink);
        }
        let Some(task) = self.world.table.get_mut(tid) else {
            return;
        };
        task.call =
            (exit || effect != Effect::None || self.mode == Mode::Attached).then_some(Call {
                nr,
                abi,
                report: exit,
                effect,
            });
    }

    /// What the supervisor itself must know of a call.
    fn watch(&mut self, tid: Tid, nr: i64, args: &[u64; 6]) -> Effect {
        let Some(task) = self.world.table.get(tid) else {
            return Effect::None;
        };
        let read = Tracee::new(&self.world, task);
        match nr {
            call::EXECVE | call::EXECVEAT => {
                let name = if nr == call::EXECVE { args[0] } else { args[1] };
                let path = read.read_string(name, super::memory::FILENAME - 1).ok();
                if let Some(task) = self.world.table.get_mut(tid) {
                    task.exec_path = path;
                }
                Effect::Exec
            }
            call::PRCTL if args[0] == call::PR_SET_NAME => read
                .read_string(args[1], 15)
                .map_or(Effect::None, |name| Effect::Name(procfs::comm_of(&name))),
            call::CLONE | call::CLONE3 if self.mode == Mode::Launched => {
                let mut flags = [0; 8];
                if nr == call::CLONE {
                    flags = args[0].to_ne_bytes();
                } else if read.read_user(args[0], &mut flags).is_err() {
                    return Effect::None;
                }
                let flags = u64::from_ne_bytes(flags);
                if flags & call::CLONE_UNTRACED != 0 {
                    self.keep_traced(tid, nr, flags);
                }
                Effect::None
            }
            _ if call::CREDENTIALS.contains(&nr) => Effect::Credentials,
            _ => Effect::None,
        }
    }

    /// A task that nobody traces could not make the calls that its inherited filter stops: clone's flag is dropped, and
    /// clone3, whose flags are in the task's memory, does not exist (libraries fall back to clone).
    fn keep_traced(&mut self, tid: Tid, nr: i64, flags: u64) {
        let mut changed = arch::empty_registers();
        if ptrace::registers(tid, &mut changed).is_err() {
            return;
        }
        if nr == call::CLONE {
            arch::set_argument(&mut changed, 0, flags & !call::CLONE_UNTRACED);
        } else {
            arch::refuse_call(&mut changed, -i64::from(libc::ENOSYS));
        }
        if ptrace::set_registers(tid, &changed).is_ok() {
            self.notes.untraced_clones += 1;
        }
    }

    /// A call is about to return. `ret` is known already, or is asked for.
    fn on_call_end<S: Sink + ?Sized>(&mut self, tid: Tid, ret: Option<i64>, sink: &mut S) {
        let Some(Call {
            nr,
            abi,
            report,
            effect,
        }) = self
            .world
            .table
            .get_mut(tid)
            .and_then(|task| task.call.take())
        else {
            return;
        };
        self.advance();
        let ret = match ret {
            Some(ret) => ret,
            None => match ptrace::result(tid) {
                Ok(ret) => ret,
                Err(_) => {
                    self.counts.lost += u64::from(report);
                    return;
                }
            },
        };
        match effect {
            Effect::Name(comm) if ret == 0 => self.rename(tid, comm),
            Effect::Credentials => self.read_credentials(tid),
            Effect::Exec => {
                if let Some(task) = self.world.table.get_mut(tid) {
                    task.exec_path = None;
                }
            }
            _ => {}
        }
        if report {
            self.tell(tid, &Event::SysExit { nr, ret, abi }, sink);
        }
        if effect == Effect::Exec && ret < 0 && self.launching && tid == self.root {
            // The first execve failed: what follows is the launcher's own end.
            self.launch_error = Some(-ret as i32);
        }
    }

    /// Attached: a call starts or ends, the kernel knows which.
    fn on_either_side<S: Sink + ?Sized>(&mut self, tid: Tid, sink: &mut S) {
        match ptrace::syscall_side(tid) {
            Ok(Side::Enter { nr, args, arch }) => {
                self.advance();
                self.on_call_start(tid, nr, args, abi_of(nr, arch), sink);
            }
            Ok(Side::Exit { ret }) => self.on_call_end(tid, Some(ret), sink),
            Ok(Side::Other) => {}
            Err(_) => self.counts.lost += 1,
        }
        self.resume(tid, 0);
    }

    fn rename(&mut self, tid: Tid, comm: [u8; 16]) {
        if let Some(task) = self.world.table.get_mut(tid) {
            task.comm = comm;
            if let Some(slot) = task.slot {
                self.world.memory.set_comm(slot, comm);
            }
        }
    }

    fn read_credentials(&mut self, tid: Tid) {
        if let Some(status) = procfs::status(tid)
            && let Some(task) = self.world.table.get_mut(tid)
        {
            (task.uid, task.gid) = (status.uid, status.gid);
            if let Some(slot) = task.slot {
                self.world
                    .memory
                    .set_credentials(slot, status.uid, status.gid);
            }
        }
    }

    /// A task made another one; the new one waits for us, or has reported already.
    fn on_new_task<S: Sink + ?Sized>(&mut self, tid: Tid, sink: &mut S) {
        self.advance();
        match ptrace::event_message(tid) {
            Ok(child) => {
                let child = child as Tid;
                let tgid = self.world.table.get(tid).map_or(tid, |task| task.tgid);
                let thread = ptrace::is_thread_of(child, tgid);
                self.world
                    .table
                    .fork(tid, child, thread, &self.world.memory);
                if self.interest.fork {
                    self.tell(
                        tid,
                        &Event::Fork {
                            child_tid: child,
                            thread,
                        },
                        sink,
                    );
                }
                if self.early.remove(&child) {
                    self.resume(child, 0);
                }
            }
            Err(_) => self.counts.lost += u64::from(self.interest.fork),
        }
        self.resume(tid, 0);
    }

    /// A stop of a task that we do not know yet: its parent has not reported.
    fn on_stranger(&mut self, tid: Tid) {
        // Only tracees stop for us, so it is a task that the kernel attached to us.
        if self.stopping && self.mode == Mode::Attached {
            let _ = ptrace::detach(tid, 0);
        } else {
            self.early.insert(tid);
            self.adopt_orphans();
        }
    }

    /// A parent that is killed inside of its fork never tells of the child: a child whose parent cannot tell any more is
    /// let go without it.
    fn adopt_orphans(&mut self) {
        for tid in self.early.iter().copied().collect::<Vec<_>>() {
            let parent_alive = procfs::status(tid).is_some_and(|status| {
                let of = if status.tgid == tid {
                    status.ppid
                } else {
                    status.tgid
                };
                self.world.table.get(of).is_some_and(|task| !task.exiting)
            });
            if !parent_alive {
                self.early.remove(&tid);
                if self.world.table.adopt(tid, &self.world.memory) {
                    self.counts.lost += u64::from(self.interest.fork);
                }
                self.resume(tid, 0);
            }
        }
    }

    fn on_exec<S: Sink + ?Sized>(&mut self, tid: Tid, sink: &mut S) {
        self.advance();
        let former = ptrace::event_message(tid).map_or(tid, |former| former as Tid);
        self.world
            .table
            .become_leader(former, tid, &self.world.memory);
        self.launching &= tid != self.root;
        if let Some(comm) = procfs::comm(tid) {
            self.rename(tid, comm);
        }
        self.read_credentials(tid);
        self.look_at_program(tid);
        let path = self
            .world
            .table
            .get_mut(tid)
            .and_then(|task| task.exec_path.take())
            .unwrap_or_default();
        if let Some(slot) = self.world.table.get(tid).and_then(|task| task.slot) {
            self.world.memory.set_filename(slot, &path);
        }
        if self.interest.exec {
            self.tell(
                tid,
                &Event::Exec {
                    filename: &path,
                    old_tid: former,
                },
                sink,
            );
        }
        self.resume(tid, 0);
    }

    /// Says what is special about the program that a task runs now.
    fn look_at_program(&mut self, tid: Tid) {
        let mut registers = arch::empty_registers();
        if ptrace::registers(tid, &mut registers).is_ok() && arch::in_compat_mode(&registers) {
            self.notes.compat_programs += 1;
        }
        if self.notes.no_new_privs && !(tid == self.root && self.counts.execs == 0) {
            let exe = std::path::PathBuf::from(format!("/proc/{tid}/exe"));
            if super::launch::is_privileged_file(&exe) {
                let name = procfs::link(tid, "exe").unwrap_or_default();
                self.notes
                    .lost_privileges(String::from_utf8_lossy(&name).into_owned());
            }
        }
    }

    /// A task starts to end (or ended without our seeing that).
    fn on_task_exit<S: Sink + ?Sized>(&mut self, tid: Tid, status: i32, sink: &mut S) {
        self.advance();
        if let Some(group_dead) = self.world.table.exit(tid, status, &self.world.memory)
            && self.interest.task_exit
        {
            self.tell(
                tid,
                &Event::Exit {
                    code: status,
                    group_dead,
                },
                sink,
            );
        }
    }

    fn on_end<S: Sink + ?Sized>(&mut self, tid: Tid, ending: Ending, sink: &mut S) {
        if tid == self.root {
            self.status = Some(ending);
        }
        self.early.remove(&tid);
        self.on_task_exit(tid, ending.wait_status(), sink);
        self.world.table.remove(tid, &self.world.memory);
        self.counts.ended += 1;
        if !self.early.is_empty() {
            self.adopt_orphans();
        }
    }

    fn begin_stop(&mut self) {
        self.stopping = true;
        for tid in self.world.table.tids() {
            if self.mode == Mode::Attached {
                let _ = ptrace::interrupt(tid);
            } else if self
                .world
                .table
                .get(tid)
                .is_some_and(|task| task.tgid == tid)
            {
                let _ = ptrace::signal_process(tid, libc::SIGTERM);
                let _ = ptrace::signal_process(tid, libc::SIGCONT);
            }
        }
    }

    fn kill_all(&mut self) {
        self.notes.killed = self.world.table.len() as u64;
        for tid in self.world.table.tids() {
            let _ = ptrace::signal_process(tid, libc::SIGKILL);
        }
    }

    /// Detaches a stopped task, with the signal it was about to receive.
    fn let_go(&mut self, tid: Tid, change: Change) {
        let signal = if let Change::Signal(signal) = change {
            signal
        } else {
            0
        };
        if change == Change::NewTask
            && let Ok(child) = ptrace::event_message(tid)
            && self.early.remove(&(child as Tid))
        {
            let _ = ptrace::detach(child as Tid, 0);
        }
        if ptrace::detach(tid, signal).is_ok() {
            self.world.table.remove(tid, &self.world.memory);
        }
    }

    /// Ends what is left: a launched tree is killed, an attached one let go. Bounded.
    fn finish(&mut self) {
        if self.world.table.is_empty() {
            return;
        }
        self.stopping = true;
        self.held = false;
        if self.mode == Mode::Launched {
            self.kill_all();
        } else {
            self.begin_stop();
        }
        let mut nobody = |_: &Event<'_>, _: &Tracee<'_>| {};
        for _ in 0..2_000 {
            if self.world.table.is_empty() {
                return;
            }
            match ptrace::wait_any(true) {
                Ok(Some((tid, change))) => self.handle(tid, change, &mut nobody),
                Ok(None) => std::thread::sleep(std::time::Duration::from_millis(1)),
                Err(_) => return,
            }
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.finish();
    }
}

fn follow_options(interest: &Interest) -> u64 {
    // Without interest in ends, the report of wait4 is enough, which costs no stop.
    ptrace::OPTIONS_FOLLOW
        | if interest.task_exit {
            ptrace::OPTION_TRACEEXIT
        } else {
            0
        }
}

/// The call that a task is about to make. `None` if the task is gone.
fn call_start(tid: Tid) -> Option<(i64, [u64; 6], Abi)> {
    match ptrace::syscall_side(tid) {
        Ok(Side::Enter { nr, args, arch }) => return Some((nr, args, abi_of(nr, arch))),
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return None,
        _ => {}
    }
    // Kernels before 5.3: the registers, and the filter's message for the ABI (`int 0x80` in 64-bit code looks native).
    let mut registers: Registers = arch::empty_registers();
    ptrace::registers(tid, &mut registers).ok()?;
    let nr = arch::number(&registers);
    let foreign = ptrace::event_message(tid).ok()? == u64::from(seccomp::DATA_FOREIGN);
    let abi = match arch::X32_BIT {
        Some(bit) if foreign && nr & i64::from(bit) != 0 => Abi::X32,
        _ if foreign => Abi::Compat,
        _ => Abi::Native,
    };
    Some((nr, arch::arguments(&registers, abi), abi))
}

fn abi_of(nr: i64, arch: u32) -> Abi {
    match arch::X32_BIT {
        _ if arch != arch::AUDIT_ARCH => Abi::Compat,
        Some(bit) if nr & i64::from(bit) != 0 => Abi::X32,
        _ => Abi::Native,
    }
}

fn attach_hint(pid: Tid, e: &io::Error) -> String {
    if e.raw_os_error() != Some(libc::EPERM) {
        return String::new();
    }
    match procfs::status(pid) {
        Some(status) if status.tracer != 0 => {
            return format!("process {} traces it already", status.tracer);
        }
        Some(status) if status.tgid == std::process::id() as Tid => {
            return "a process cannot trace itself".into();
        }
        _ => {}
    }
    match std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").map(|text| text.trim().to_owned()) {
        Ok(scope) if scope != "0" => {
            format!(
                "kernel.yama.ptrace_scope is {scope}: only children may be traced without CAP_SYS_PTRACE; \
                 start the command under skep, or run as root"
            )
        }
        _ => "only processes of the same user that have not changed privileges may be traced; run as root".into(),
    }
}
