//! `skep run`: loads an object on the embedded engine, drives it with a command, a process or captured packets, shows its
//! events as they come and its maps at the end.
//!
//! Invariants: the child's exit status is passed on; Ctrl-C ends the input, not the results; what was not attached, lost
//! or changed is said on standard error.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use skep::engine::embedded::Verify;
use skep::engine::embedded::hook::Source;
use skep::engine::embedded::hook::process::{Launch, Observer, Outcome, Stop, Target};
use skep::events::Schema;
use skep::maps::Map;
use skep::obj::{InitialContents, SlotTarget};
use skep::vm::program::Limits;
use skep::{Embedded, Link, Object, ObjectSpec, Program};

use crate::commands::{open, replay};
use crate::exit::{Exit, Failure};
use crate::output::events::Events;
use crate::output::{self, maps, saved_maps};

/// Run an object's programs on what a command does, or on captured packets.
#[derive(Args)]
pub struct RunArgs {
    /// The object: an ELF file, or its text form.
    pub file: PathBuf,
    /// Load and attach only this program; may be repeated.
    #[arg(short = 'P', long, value_name = "NAME")]
    pub program: Vec<String>,
    /// Set a global variable before loading; may be repeated.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub global: Vec<String>,
    /// Follow a running process instead of starting a command.
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..),
        allow_negative_numbers = true, conflicts_with_all = ["pcap", "wire", "command"])]
    pub pid: Option<i32>,
    /// Feed the packets of a capture (pcap or pcapng): a file, a pipe, or `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["wire", "command"])]
    pub pcap: Option<PathBuf>,
    /// Write the packets that pass to this file (pcapng).
    #[arg(long, value_name = "FILE", requires = "pcap", conflicts_with_all = ["pid", "wire", "command"])]
    pub write: Option<PathBuf>,
    /// A named wire: packets in from IN, packets that leave by it out to OUT; may be repeated.
    #[arg(long, value_name = "NAME=IN[,OUT]", conflicts_with = "command")]
    pub wire: Vec<String>,
    /// End after this long: 10s, 500ms, 2m.
    #[arg(short, long, value_name = "TIME")]
    pub duration: Option<String>,
    /// Do not show maps at the end.
    #[arg(long, conflicts_with = "map")]
    pub no_maps: bool,
    /// Show this map at the end, and no other; may be repeated.
    #[arg(short, long, value_name = "NAME")]
    pub map: Vec<String>,
    /// Write all maps to this file at the end; `skep maps FILE` shows them.
    #[arg(long, value_name = "FILE")]
    pub save_maps: Option<PathBuf>,
    /// How many CPUs per-CPU maps have values for.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub cpus: Option<u32>,
    /// The type of a buffer's records: a structure of the object, or a declaration in C; may be repeated.
    #[arg(short, long, value_name = "MAP=TYPE")]
    pub event: Vec<String>,
    /// Write events and maps to this file, so that they do not mix with what the command prints.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Read the `maps` sections of before BTF too.
    #[arg(long)]
    pub legacy_maps: bool,
    /// Run programs that are not verified: each of their accesses is checked as they run.
    #[arg(long)]
    pub sandbox: bool,
    /// Interpret programs instead of compiling them to machine code.
    #[arg(long)]
    pub no_jit: bool,
    /// Stop a program's run after this many instructions.
    #[arg(long, value_name = "N")]
    pub insns_max: Option<u64>,
    /// The command to run, with its arguments.
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Where results go, and who reads the buffers.
pub struct Screen<'a> {
    pub out: Box<dyn Write>,
    events: Events<'a>,
    buffers: Vec<Map>,
    /// The first error of writing: the reader has gone.
    broken: Option<io::Error>,
    /// Ends a run that has no purpose but its output.
    give_up: Option<Box<dyn Fn()>>,
}

impl Screen<'_> {
    /// Whether the object has buffers at all.
    pub fn has_buffers(&self) -> bool {
        !self.buffers.is_empty()
    }

    /// Shows all that is in the buffers.
    pub fn drain(&mut self) {
        for map in &self.buffers {
            let (events, out, broken) = (&mut self.events, &mut self.out, &mut self.broken);
            let result = map.drain(|record| {
                if broken.is_none()
                    && let Err(error) = events.show(map, record, out.as_mut())
                {
                    *broken = Some(error);
                }
            });
            if let Err(error) = result {
                self.broken
                    .get_or_insert_with(|| io::Error::other(error.to_string()));
            }
        }
        self.notice();
    }

    /// Nobody reads any more: whoever only watches need not go on.
    fn notice(&mut self) {
        if self.broken.is_some()
            && let Some(give_up) = self.give_up.take()
        {
            give_up();
        }
    }

    pub fn print(&mut self, as_json: bool, text: &str) {
        let text = text.trim_end_matches('\n');
        let result = match as_json {
            true => writeln!(self.out, "{{\"print\":{}}}", output::value::quoted(text)),
            false => writeln!(self.out, "{}", output::value::printable(text)),
        };
        if let Err(error) = result {
            self.broken.get_or_insert(error);
        }
        self.notice();
    }
}

/// Runs the command; answers the exit code.
pub fn run(args: &RunArgs, json: bool) -> Result<u8, Failure> {
    let deadline = args.duration.as_deref().map(duration).transpose()?;
    let (mut spec, bytes) = open::object(&args.file, args.legacy_maps)?;
    open::set_globals(&mut spec, &args.global)?;
    if !args.program.is_empty() {
        spec.select(&args.program)?;
    }
    let wanted = if args.pcap.is_some() || !args.wire.is_empty() {
        Source::Packets
    } else if args.pid.is_some() || !args.command.is_empty() {
        Source::Processes
    } else {
        return Err(Failure::usage(
            "what to run it on? Give `-- COMMAND`, `-p PID`, `--pcap FILE` or `--wire NAME=FILE`",
        ));
    };
    leave_out(&mut spec, wanted)?;

    let interrupt = Arc::new(AtomicBool::new(false));
    let stop =
        Stop::new().map_err(|error| Failure::system(format!("cannot make an eventfd: {error}")))?;
    let mut builder = Embedded::builder().limits(Limits {
        insns: args.insns_max,
        interrupt: Some(interrupt.clone()),
        ..Limits::default()
    });
    if args.sandbox {
        builder = builder.verify(Verify::Never);
    }
    builder = builder.compile(!args.no_jit);
    if let Some(cpus) = args.cpus {
        builder = builder.cpus(cpus);
    }
    let engine = builder.build();
    let object = spec.load(&engine)?;
    let links = attach(&object, &args.program)?;
    if links.is_empty() {
        return Err(Failure::usage(
            "none of the object's programs could be attached",
        ));
    }

    let mut events = open::events(json, &bytes);
    for choice in &args.event {
        let (map, name) = choice
            .split_once('=')
            .ok_or_else(|| Failure::usage("--event wants MAP=TYPE"))?;
        object.map(map)?;
        if !open::buffers(&object)
            .iter()
            .any(|buffer| buffer.name() == map)
        {
            return Err(Failure::usage(format!(
                "--event: {map} is no ring or perf buffer, it has no events"
            )));
        }
        events.force(map, event_schema(&object, name)?);
    }
    for name in &args.map {
        object.map(name)?;
    }
    let out: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(BufWriter::new(File::create(path).map_err(|error| {
            Failure::system(format!("cannot write {}: {error}", path.display()))
        })?)),
        None => Box::new(io::LineWriter::new(io::stdout())),
    };
    let buffers = open::buffers(&object);
    let screen = Rc::new(RefCell::new(Screen {
        out,
        events,
        buffers,
        broken: None,
        give_up: None,
    }));

    let ended = Ended::watch(stop.clone(), interrupt, deadline)?;
    if args.command.is_empty() && args.write.is_none() && args.wire.is_empty() {
        let (requested, stop) = (ended.requested.clone(), stop.clone());
        screen.borrow_mut().give_up = Some(Box::new(move || {
            requested.store(true, Ordering::SeqCst);
            stop.request();
        }));
    }
    let status = match wanted {
        Source::Packets => replay::run(args, &engine, &object, json, &screen, &ended)?,
        _ => processes(args, &engine, json, &screen, &stop)?,
    };
    drop(links);

    let mut screen = screen.borrow_mut();
    screen.drain();
    let saved = maps::take(
        object.maps(),
        &args.map,
        args.no_maps,
        args.save_maps.is_some(),
    );
    let shown = maps::show_chosen(&saved, &args.map, args.no_maps, json, screen.out.as_mut())
        .and_then(|()| screen.out.flush());
    if let Some(path) = &args.save_maps {
        saved_maps::save(path, &saved)?;
    }
    match screen.broken.take().map_or(shown, Err) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::system(format!("cannot write results: {error}")))
        }
        _ => Ok(status),
    }
}

/// Programs without events in this run are not loaded, and that is said.
fn leave_out(spec: &mut ObjectSpec, wanted: Source) -> Result<(), Failure> {
    let mut left = 0;
    let mut chosen = 0;
    let several = spec
        .programs()
        .iter()
        .filter(|program| program.autoload)
        .count()
        > 1;
    for program in &mut spec.object_mut().programs {
        if !program.autoload {
            continue;
        }
        if program.program_type.is_none() {
            crate::output::say!(
                "{} is not attached: its section \"{}\" names no kind of program",
                program.name,
                program.section
            );
            program.autoload = false;
            left += 1;
            continue;
        }
        let hook = Embedded::check_hook(
            program.program_type,
            program.attach_type,
            program.attach_to.as_deref(),
        )
        .map_err(|refusal| {
            let others = if several {
                "; --program NAME runs only the others"
            } else {
                ""
            };
            skep::Error::from(skep::NotSupported {
                program: Some(program.name.clone()),
                help: format!("{}{others}", refusal.help),
                ..refusal
            })
        })?;
        let why = if let Some(call) = hook.absent_call() {
            format!("{} has no system call {call}", std::env::consts::ARCH)
        } else {
            match (hook.source(), wanted) {
                (source, wanted) if source == wanted => {
                    chosen += 1;
                    continue;
                }
                (Source::Packets, _) => "it needs packets (--pcap, --wire)".to_owned(),
                (Source::Processes, _) => "it needs a process (-- COMMAND, -p PID)".to_owned(),
                // Tail-called programs have no place of their own, but must be loaded.
                (Source::Nothing, _) => continue,
            }
        };
        crate::output::say!("{} is not attached: {why}", program.name);
        program.autoload = false;
        left += 1;
    }
    if chosen == 0 {
        let why = if left == 0 {
            "the object has no programs to attach"
        } else {
            "no program of the object has events here"
        };
        return Err(Failure::usage(why));
    }
    Ok(())
}

/// Attaches the programs that have events of their own; of those chosen by name, not what they tail-call.
fn attach(object: &Object, chosen: &[String]) -> Result<Vec<Box<dyn Link>>, Failure> {
    let mut links = Vec::new();
    // Packets have one taker: a program in a tail call's slot runs behind it, if there is another.
    let in_slot = |program: &Program| {
        object.maps().iter().any(|map| match &map.spec().initial {
            InitialContents::Slots(slots) => slots
                .iter()
                .any(|(_, target)| *target == SlotTarget::Program(program.spec().function)),
            _ => false,
        })
    };
    let all_in_slots = object.programs().iter().all(in_slot);
    for program in object.programs() {
        let spec = program.spec();
        let hook = Embedded::check_hook(
            spec.program_type,
            spec.attach_type,
            spec.attach_to.as_deref(),
        )
        .map_err(skep::Error::from)?;
        let is_chosen = match chosen.is_empty() {
            true => hook.source() != Source::Packets || all_in_slots || !in_slot(program),
            false => chosen.iter().any(|name| name == program.name()),
        };
        if is_chosen && hook.source() != Source::Nothing {
            links.push(program.attach(skep::attach::Attach::Auto)?);
        }
    }
    Ok(links)
}

/// A type by its name in the object, or declared in C on the command line.
fn event_schema(object: &Object, name: &str) -> Result<Schema, Failure> {
    if name.contains('{') {
        let wrong = |why: String| Failure::usage(format!("--event: {why}"));
        let mut types = skep::btf::parse_c::CTypes::new();
        // A declaration ends in a semicolon; on a command line one forgets it.
        let text = format!("{};", name.trim().trim_end_matches(';'));
        types
            .declare(&text)
            .map_err(|error| wrong(error.to_string()))?;
        let types = Arc::new(
            types
                .into_builder()
                .into_btf()
                .map_err(|error| wrong(error.to_string()))?,
        );
        let is_structure = |&id: &skep::btf::TypeId| {
            types
                .kind(id)
                .is_ok_and(|kind| kind == skep::btf::Kind::Struct)
        };
        let id = types
            .own_ids()
            .rfind(|id| is_structure(id) && !types.name(*id).is_empty());
        return Ok(Schema::of(
            &types,
            id.ok_or_else(|| wrong("declares no structure with a name".to_owned()))?,
        )?);
    }
    match object.types() {
        Some(types) => Ok(Schema::named(types, name)?),
        None => Err(Failure::usage(
            "--event: the object has no types; declare the structure in C",
        )),
    }
}

struct Shower<'a, 'b> {
    screen: &'b Rc<RefCell<Screen<'a>>>,
}

impl Observer for Shower<'_, '_> {
    fn ran(&mut self) {
        self.screen.borrow_mut().drain();
    }
}

fn processes(
    args: &RunArgs,
    engine: &Embedded,
    json: bool,
    screen: &Rc<RefCell<Screen<'_>>>,
    stop: &Stop,
) -> Result<u8, Failure> {
    let target = match (args.pid, args.command.split_first()) {
        (Some(pid), _) => Target::Attach(pid),
        (None, Some((program, rest))) => Target::Launch(
            Launch::new(program.clone())
                .args(rest.iter().cloned())
                .env(std::env::vars_os()),
        ),
        (None, None) => return Err(Failure::usage("no command")),
    };
    let prints = Rc::new(RefCell::new(Vec::<String>::new()));
    let sink = prints.clone();
    let print: Box<dyn Fn(&str)> = Box::new(move |text| sink.borrow_mut().push(text.to_owned()));
    let mut observer = PrintingObserver {
        shower: Shower { screen },
        prints,
        json,
    };
    let outcome = engine.supervise(target, stop, Some(print), &mut observer)?;
    report(&outcome)
}

struct PrintingObserver<'a, 'b> {
    shower: Shower<'a, 'b>,
    prints: Rc<RefCell<Vec<String>>>,
    json: bool,
}

impl Observer for PrintingObserver<'_, '_> {
    fn ran(&mut self) {
        if !self.prints.borrow().is_empty() {
            let mut screen = self.shower.screen.borrow_mut();
            for text in self.prints.borrow_mut().drain(..) {
                screen.print(self.json, &text);
            }
        }
        self.shower.ran();
    }
}

fn report(outcome: &Outcome) -> Result<u8, Failure> {
    for note in &outcome.notes {
        crate::output::say!("{note}");
    }
    for (trap, count) in &outcome.traps {
        let times = if *count > 1 {
            format!(" ({count} times; this was the first)")
        } else {
            String::new()
        };
        crate::output::say!("trap in {trap}{times}");
    }
    if !outcome.traps.is_empty() {
        return Ok(Exit::Rejected as u8);
    }
    Ok(match outcome.status {
        // The user ended it: that is no failure of the command.
        _ if outcome.stopped => 0,
        Some(ending) => ending.shell_code() as u8,
        None => 0,
    })
}

/// `10s`, `500ms`, `2m`, `1h`, or a number of seconds.
fn duration(text: &str) -> Result<Duration, Failure> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => {
            return Err(Failure::usage(format!(
                "--duration: `{text}` is no time: 10s, 500ms, 2m"
            )));
        }
    };
    let seconds = number
        .parse::<f64>()
        .ok()
        .map(|number| number * scale)
        .filter(|s| s.is_finite() && *s >= 0.0);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| Failure::usage(format!("--duration: `{text}` is no time: 10s, 500ms, 2m")))
}

/// How long a program may go on after the run was asked to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether the run shall end: a signal has come, or its time is over.
pub struct Ended {
    pub requested: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Ended {
    /// Ends `stop` on SIGINT, SIGTERM, SIGHUP, or when the time is over; a program that then does not end by itself
    /// is interrupted, after a second or at a second signal.
    fn watch(
        stop: Stop,
        interrupt: Arc<AtomicBool>,
        limit: Option<Duration>,
    ) -> Result<Ended, Failure> {
        let requested = Arc::new(AtomicBool::new(false));
        let failed =
            |error: io::Error| Failure::system(format!("cannot watch for signals: {error}"));
        let (mut reader, writer) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        for signal in [
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGTERM,
            signal_hook::consts::SIGHUP,
        ] {
            let writer = writer.try_clone().map_err(failed)?;
            signal_hook::low_level::pipe::register(signal, writer).map_err(failed)?;
        }
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let flag = requested.clone();
        let watch = move || {
            let mut deadline = deadline;
            let mut ending = false;
            loop {
                let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
                if left == Some(Duration::ZERO) {
                    if ending {
                        interrupt.store(true, Ordering::SeqCst);
                        deadline = None;
                    } else {
                        ending = true;
                        flag.store(true, Ordering::SeqCst);
                        stop.request();
                        deadline = Instant::now().checked_add(PATIENCE);
                    }
                    continue;
                }
                let _ = reader.set_read_timeout(left);
                let mut byte = [0];
                match io::Read::read(&mut reader, &mut byte) {
                    Ok(0) => return,
                    Ok(_) => {
                        let patience = if ending { Duration::ZERO } else { PATIENCE };
                        ending = true;
                        flag.store(true, Ordering::SeqCst);
                        stop.request();
                        deadline = Instant::now().checked_add(patience);
                    }
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::WouldBlock
                                | io::ErrorKind::TimedOut
                                | io::ErrorKind::Interrupted
                        ) => {}
                    Err(_) => return,
                }
            }
        };
        std::thread::Builder::new()
            .name("skep-signals".to_owned())
            .stack_size(64 << 10)
            .spawn(watch)
            .map_err(failed)?;
        Ok(Ended {
            requested,
            deadline,
        })
    }

    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|at| Instant::now() >= at)
    }
}
