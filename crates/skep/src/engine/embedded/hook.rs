//! The places that the embedded engine has for programs, and who is attached where.
//!
//! Invariants: a place that is not modelled is refused by name when the program is loaded; a system call that this
//! machine does not have is known as such and refused when attaching, as the kernel does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use skep_host::process::Hook as Place;
use skep_spec::program::{AttachType, ProgramType};
use skep_spec::tracepoint::{self, Machine};
use skep_vm::program::Program;

use super::{Embedded, EmbeddedProgram, MODELS, NAME, refusal};
use crate::attach::Attach;
use crate::engine::{Feature, LoadedProgram};
use crate::error::{Error, ErrorKind, NotSupported, Result};
use crate::link::Link;

pub mod packet;
pub mod process;

pub(super) use process::types;

/// A place to attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hook {
    /// A tracepoint; the program gets its record.
    Tracepoint(Place),
    /// A tracepoint; the program gets its raw arguments.
    RawTracepoint(Place),
    /// The tracepoint of a system call that this machine does not have.
    Absent(String),
    Xdp,
    Tc,
    SocketFilter,
    /// Nowhere: the program can be run on an input, and that is all.
    RunOnce,
}

/// Where events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Processes,
    Packets,
    /// Nobody: only [`crate::Program::run_once`].
    Nothing,
}

impl Hook {
    pub fn source(&self) -> Source {
        match self {
            Hook::Tracepoint(_) | Hook::RawTracepoint(_) | Hook::Absent(_) => Source::Processes,
            Hook::Xdp | Hook::Tc | Hook::SocketFilter => Source::Packets,
            Hook::RunOnce => Source::Nothing,
        }
    }

    /// The system call that the place is about and that this machine does not have.
    pub fn absent_call(&self) -> Option<&str> {
        match self {
            Hook::Absent(name) => Some(name),
            _ => None,
        }
    }
}

/// A program at its place.
#[derive(Clone)]
pub(crate) struct Hooked {
    id: u64,
    pub hook: Hook,
    pub program: Arc<Program>,
    pub name: Arc<str>,
    pub attach_type: Option<AttachType>,
    /// `BPF_F_*` of the program's load.
    pub flags: u32,
}

/// The place that a program's section names.
pub(super) fn recognise(
    program_type: Option<ProgramType>,
    attach_type: Option<AttachType>,
    attach_to: Option<&str>,
) -> std::result::Result<Hook, NotSupported> {
    let named = |form: &str| match attach_to {
        Some(to) => Feature::Hook(format!("{form}/{to}")),
        None => Feature::Hook(form.to_owned()),
    };
    match program_type {
        Some(ProgramType::Tracepoint) => {
            let Some((category, name)) = attach_to.and_then(|to| to.split_once('/')) else {
                // `SEC("tracepoint")` says no place: it can still be run once, or attached by name.
                return Ok(Hook::RunOnce);
            };
            tracepoint_named(category, name).ok_or_else(|| refusal(named("tracepoint"), MODELS))
        }
        Some(ProgramType::RawTracepoint | ProgramType::RawTracepointWritable) => match attach_to {
            None => Ok(Hook::RunOnce),
            Some(to) => {
                raw_tracepoint_named(to).ok_or_else(|| refusal(named("raw_tracepoint"), MODELS))
            }
        },
        Some(ProgramType::Tracing) if attach_type == Some(AttachType::TraceRawTp) => {
            match attach_to {
                None => Ok(Hook::RunOnce),
                Some(to) => {
                    raw_tracepoint_named(to).ok_or_else(|| refusal(named("tp_btf"), MODELS))
                }
            }
        }
        Some(ProgramType::Tracing) => Err(refusal(
            // As sections say it: `fentry`, not the attach type's `trace_fentry`.
            named(match attach_type.map_or("tracing", AttachType::name) {
                "modify_return" => "fmod_ret",
                name => name.strip_prefix("trace_").unwrap_or(name),
            }),
            MODELS,
        )),
        Some(ProgramType::Xdp) => Ok(Hook::Xdp),
        Some(ProgramType::SchedCls | ProgramType::SchedAct) => Ok(Hook::Tc),
        Some(ProgramType::SocketFilter) => Ok(Hook::SocketFilter),
        Some(program_type) if super::PROGRAM_TYPES.contains(&program_type) => Ok(Hook::RunOnce),
        Some(program_type) => Err(refusal(named(program_type.name()), MODELS)),
        None => Err(refusal(
            Feature::Other("a program of unknown type".to_owned()),
            MODELS,
        )),
    }
}

fn tracepoint_named(category: &str, name: &str) -> Option<Hook> {
    let number = |call: &str| -> Option<u32> {
        let (_, syscall) = tracepoint::syscall_event(&format!("sys_enter_{call}"))?;
        Some(u32::from(syscall.number(Machine::NATIVE?)?))
    };
    if let Some(place) = Place::of_tracepoint(category, name, number) {
        return Some(Hook::Tracepoint(place));
    }
    let call = name
        .strip_prefix("sys_enter_")
        .or_else(|| name.strip_prefix("sys_exit_"));
    call.filter(|_| category == "syscalls")
        .map(|call| Hook::Absent(call.to_owned()))
}

fn raw_tracepoint_named(name: &str) -> Option<Hook> {
    Place::of_raw(name).map(Hook::RawTracepoint)
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub(super) fn attach(
    engine: &Embedded,
    program: &Arc<dyn LoadedProgram>,
    to: &Attach,
) -> Result<Box<dyn Link>> {
    let wrong = |why: String| {
        Error::from(ErrorKind::Malformed {
            program: program.name().to_owned(),
            why,
        })
    };
    let embedded = program.as_any().downcast_ref::<EmbeddedProgram>();
    let embedded = embedded.ok_or_else(|| wrong("is not loaded on this engine".to_owned()))?;
    let named = |refusal: NotSupported| NotSupported {
        program: Some(program.name().to_owned()),
        ..refusal
    };
    let (hook, device) = match to {
        Attach::Auto => (embedded.hook().clone(), None),
        Attach::Tracepoint(t) => match tracepoint_named(&t.category, &t.name) {
            Some(hook) => (hook, None),
            None => return Err(named(refusal(Feature::Hook(to.to_string()), MODELS)).into()),
        },
        Attach::RawTracepoint(t) => match raw_tracepoint_named(&t.name) {
            Some(hook) => (hook, None),
            None => return Err(named(refusal(Feature::Hook(to.to_string()), MODELS)).into()),
        },
        Attach::Xdp(options) => (Hook::Xdp, options.device.clone()),
        Attach::Tc(options) => (Hook::Tc, options.device.clone()),
        Attach::SocketFilter(options) => (Hook::SocketFilter, options.device.clone()),
    };
    let fits = match hook {
        Hook::Tracepoint(_) | Hook::Absent(_) => {
            embedded.program_type() == Some(ProgramType::Tracepoint)
        }
        Hook::RawTracepoint(_) => !matches!(embedded.hook().source(), Source::Packets),
        Hook::Xdp => embedded.program_type() == Some(ProgramType::Xdp),
        Hook::Tc => matches!(
            embedded.program_type(),
            Some(ProgramType::SchedCls | ProgramType::SchedAct)
        ),
        Hook::SocketFilter => embedded.program_type() == Some(ProgramType::SocketFilter),
        Hook::RunOnce => {
            return Err(wrong(
                "its section does not say where to attach it; say it with Attach".to_owned(),
            ));
        }
    };
    if !fits {
        let what = embedded
            .program_type()
            .map_or("of unknown type", ProgramType::name);
        return Err(wrong(format!(
            "is a {what} program and cannot be attached to {to}"
        )));
    }
    // As a kernel has it: what a program may touch is known, and the place must have it.
    let (given, needed) = match hook {
        Hook::Tracepoint(place) => (place.record_bytes(), embedded.context_bytes()),
        Hook::RawTracepoint(place) => (8 * place.argument_count(), embedded.context_bytes()),
        _ => (0, 0),
    };
    if needed > given {
        return Err(wrong(format!(
            "reads {needed} bytes of its context; there are {given} where it is to be attached"
        )));
    }
    if let Some(call) = hook.absent_call() {
        let place = program.attach_to().unwrap_or(call).to_owned();
        let help = format!("{} has no system call {call}", std::env::consts::ARCH);
        return Err(named(refusal(Feature::Hook(format!("tracepoint/{place}")), help)).into());
    }
    if let Some(device) = device {
        let help = "a replay's program sees every wire; attach it without a name".to_owned();
        return Err(named(refusal(
            Feature::Other(format!("attaching to {device} alone")),
            help,
        ))
        .into());
    }
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    let target = match to {
        Attach::Auto => describe(program.as_ref()),
        explicit => explicit.to_string(),
    };
    engine.hooks().push(Hooked {
        id,
        hook,
        program: embedded.program().clone(),
        name: Arc::from(program.name()),
        attach_type: program.attach_type(),
        flags: embedded.flags(),
    });
    Ok(Box::new(EmbeddedLink {
        engine: engine.clone(),
        id,
        target,
        program: program.name().to_owned(),
    }))
}

fn describe(program: &dyn LoadedProgram) -> String {
    let kind = program.program_type().map_or(NAME, ProgramType::name);
    match program.attach_to() {
        Some(to) => format!("{kind} {to}"),
        None => kind.to_owned(),
    }
}

#[must_use = "dropping a link detaches the program at once"]
struct EmbeddedLink {
    engine: Embedded,
    id: u64,
    target: String,
    program: String,
}

impl Link for EmbeddedLink {
    fn target(&self) -> &str {
        &self.target
    }

    fn program(&self) -> &str {
        &self.program
    }

    fn detach(self: Box<Self>) {}
}

impl Drop for EmbeddedLink {
    fn drop(&mut self) {
        self.engine.hooks().retain(|hooked| hooked.id != self.id);
    }
}
