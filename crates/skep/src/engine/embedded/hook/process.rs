//! Events of supervised processes: a command or a running process drives the programs that are attached.
//!
//! Invariants: the programs are those attached when supervising starts; a program that traps is told of once, counted, and
//! goes on with the next event; between two events of one task its programs run in the order of attaching.

use std::collections::HashMap;
use std::sync::Arc;

use skep_btf::Btf;
pub use skep_host::process::{Counts, Ending, Launch, Stop, Tid, cpus};
use skep_host::process::{
    Event, Hook as Place, Interest, ProcessError, Sink, Supervisor, Tracee, raw_arguments, record,
};
use skep_spec::errno::Errno;
use skep_vm::Ctx;
use skep_vm::program::Limits;
use skep_vm::trap::Trap;

use super::{Hook, Hooked};
use crate::Embedded;
use crate::error::{Error, ErrorKind, Result};

/// Whom to supervise.
#[derive(Debug)]
pub enum Target {
    /// A command and all that it starts.
    Launch(Launch),
    /// A running process with its threads, and all that it starts.
    Attach(Tid),
}

/// Receives what programs print.
pub type Print = Box<dyn Fn(&str)>;

/// What whoever supervises wants to be told.
pub trait Observer {
    /// Programs have run for an event: their buffers may hold something.
    fn ran(&mut self) {}
}

/// How a supervised run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of the command, or of the process attached to; `None` if it still runs.
    pub status: Option<Ending>,
    /// It was stopped by request.
    pub stopped: bool,
    pub counts: Counts,
    /// What could not be shown, or had to be changed: one sentence each.
    pub notes: Vec<String>,
    /// Programs that trapped: the first trap of each, and how many there were.
    pub traps: Vec<(Trap, u64)>,
}

/// The types of the kernel that the process host models.
pub(in crate::engine::embedded) fn types() -> Result<Arc<Btf>> {
    let names = skep_vm::helper::table().filter_map(|(id, _)| skep_spec::helper::by_id(id));
    let helpers: Vec<(u32, &str)> = names.map(|helper| (helper.id, helper.name)).collect();
    let types = skep_host::process::embedded_btf(&helpers);
    types.map(Arc::new).map_err(|error| {
        ErrorKind::Input {
            what: "the embedded engine's types".to_owned(),
            why: error.to_string(),
        }
        .into()
    })
}

impl From<ProcessError> for Error {
    fn from(error: ProcessError) -> Error {
        ErrorKind::Process(error).into()
    }
}

impl Embedded {
    /// Runs a command, or follows a process, and the attached programs for what it does, until it ends or `stop` is
    /// requested. `print` receives what programs print.
    pub fn supervise(
        &self,
        target: Target,
        stop: &Stop,
        print: Option<Print>,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        if self.inner.cpus < cpus() {
            return Err(ErrorKind::Os {
                call: "supervising processes",
                errno: Errno::EINVAL,
                hint: Some(format!(
                    "the engine was made for {} CPUs, and this machine has {}: processes run on all of them",
                    self.inner.cpus,
                    cpus()
                )),
            }
            .into());
        }
        let attached = self.attached();
        let mut runner = Runner::new(&attached, self.limits(), observer);
        let mut supervisor = match target {
            Target::Launch(launch) => Supervisor::spawn(launch, &runner.interest)?,
            Target::Attach(pid) => Supervisor::attach(pid, &runner.interest)?,
        };
        if let Some(print) = print {
            supervisor.on_print(print);
        }
        let outcome = supervisor.run(&mut runner, stop)?;
        Ok(Outcome {
            status: outcome.status,
            stopped: outcome.stopped,
            counts: outcome.counts,
            notes: outcome.notes,
            traps: runner.traps,
        })
    }
}

/// A program and how it receives its events.
struct Listener<'a> {
    hooked: &'a Hooked,
    place: Place,
    raw: bool,
}

struct Runner<'a> {
    listeners: Vec<Listener<'a>>,
    /// Listeners of one system call, so that thousands of them cost nothing.
    enters: HashMap<i64, Vec<usize>>,
    exits: HashMap<i64, Vec<usize>>,
    others: Vec<usize>,
    interest: Interest,
    limits: &'a Limits,
    observer: &'a mut dyn Observer,
    record: Vec<u8>,
    traps: Vec<(Trap, u64)>,
}

impl<'a> Runner<'a> {
    fn new(
        attached: &'a [Hooked],
        limits: &'a Limits,
        observer: &'a mut dyn Observer,
    ) -> Runner<'a> {
        let mut runner = Runner {
            listeners: Vec::new(),
            enters: HashMap::new(),
            exits: HashMap::new(),
            others: Vec::new(),
            interest: Interest::default(),
            limits,
            observer,
            record: Vec::with_capacity(256),
            traps: Vec::new(),
        };
        for hooked in attached {
            let (place, raw) = match hooked.hook {
                Hook::Tracepoint(place) => (place, false),
                Hook::RawTracepoint(place) => (place, true),
                _ => continue,
            };
            let index = runner.listeners.len();
            runner.interest = runner.interest.union(&place.interest());
            match place {
                Place::Enter(nr) => runner.enters.entry(nr.into()).or_default().push(index),
                Place::Exit(nr) => runner.exits.entry(nr.into()).or_default().push(index),
                _ => runner.others.push(index),
            }
            runner.listeners.push(Listener { hooked, place, raw });
        }
        runner
    }
}

impl Sink for Runner<'_> {
    fn event(&mut self, event: &Event<'_>, at: &Tracee<'_>) {
        let one: &[usize] = match event {
            Event::SysEnter { nr, .. } => self.enters.get(nr).map_or(&[], Vec::as_slice),
            Event::SysExit { nr, .. } => self.exits.get(nr).map_or(&[], Vec::as_slice),
            _ => &[],
        };
        let mut ran = false;
        for &index in one.iter().chain(&self.others) {
            let listener = &self.listeners[index];
            if !listener.place.matches(event) {
                continue;
            }
            ran = true;
            let program = &listener.hooked.program;
            let result = if listener.raw {
                let (mut args, count) = raw_arguments(event, at);
                program.run(&mut Ctx::Args(&mut args[..count]), at, self.limits)
            } else {
                record(listener.place, event, at, &mut self.record);
                program.run(&mut Ctx::Flat(&mut self.record), at, self.limits)
            };
            if let Err(trap) = result {
                count_trap(&mut self.traps, trap);
            }
        }
        if ran {
            self.observer.ran();
        }
    }
}

/// Keeps the first trap of each program.
pub(super) fn count_trap(traps: &mut Vec<(Trap, u64)>, trap: Trap) {
    match traps
        .iter_mut()
        .find(|(first, _)| first.program == trap.program)
    {
        Some((_, count)) => *count += 1,
        None => traps.push((trap, 1)),
    }
}
