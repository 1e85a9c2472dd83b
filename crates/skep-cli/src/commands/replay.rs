//! The packet half of `skep run`: captures in, verdicts and captures out.
//!
//! Invariants: every packet is counted under its verdict; what could not be fed, sent or read is said.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use skep::engine::embedded::hook::packet::{
    PacketOutcome, PcapngWriter, Reader, Report, Verdict, Wire, Wires,
};
use skep::vm::env::{Clock, Current, DefaultEnv, Env};
use skep::{Embedded, Object};

use crate::commands::not_an_input;
use crate::commands::run::{Ended, RunArgs, Screen};
use crate::exit::{Exit, Failure};
use crate::output::value::quoted;

/// Feeds the captures; answers the exit code.
pub fn run(
    args: &RunArgs,
    engine: &Embedded,
    _object: &Object,
    json: bool,
    screen: &Rc<RefCell<Screen<'_>>>,
    ended: &Ended,
) -> Result<u8, Failure> {
    let mut bytes_in = 0;
    let mut wires = match &args.pcap {
        Some(path) => Wires::single(open(path, &mut bytes_in, ended)?),
        None => named_wires(&args.wire, &mut bytes_in, ended)?,
    };
    let env = PacketEnv {
        env: DefaultEnv::new(),
        screen,
        json,
    };
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let mut progress = Progress {
        start,
        last: start,
        bytes_in,
        tty: io::stderr().is_terminal(),
        shown: false,
    };
    let mut show_progress = |packets: u64, bytes: u64| {
        if ended.is_requested() {
            stop.store(true, Ordering::Relaxed);
        }
        progress.tell(packets, bytes);
    };
    let mut drain = |_: &PacketOutcome<'_>| screen.borrow_mut().drain();
    let mut replay = engine.replay(&env, &stop)?;
    let kinds = replay.hook.verdicts();
    if let Some(path) = &args.write {
        not_an_input(path, args.pcap.as_deref().into_iter())?;
        replay.record = Some(PcapngWriter::new(create(path)?, "skep"));
    }
    replay.progress = Some(&mut show_progress);
    if screen.borrow().has_buffers() {
        replay.watch = Some(&mut drain);
    }
    let report = replay.run(&mut wires).map_err(skep::Error::from)?;
    drop(replay);
    progress.clear();
    wires
        .finish()
        .map_err(|error| Failure::system(format!("cannot write a capture: {error}")))?;
    let verdicts = verdicts(kinds, &report);
    let mut screen = screen.borrow_mut();
    screen.drain();
    let shown = match json {
        true => show_json(&report, &verdicts, &wires, screen.out.as_mut()),
        false => show(
            &report,
            &verdicts,
            &wires,
            args.pcap.is_none(),
            start,
            screen.out.as_mut(),
        ),
    };
    // A reader that has gone away (`| head`) is no failure.
    match shown {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Failure::system(format!("cannot write results: {error}")));
        }
        _ => {}
    }
    say_what_went_wrong(&report);
    Ok(if report.trapped > 0 {
        Exit::Rejected as u8
    } else if report.unfit > 0 && report.unfit == report.packets {
        Exit::NotSupported as u8
    } else if report.broken.is_empty() {
        0
    } else {
        Exit::System as u8
    })
}

/// Clock and randomness of the host; what programs print goes to the screen.
struct PacketEnv<'a, 'b> {
    env: DefaultEnv,
    screen: &'b Rc<RefCell<Screen<'a>>>,
    json: bool,
}

impl Env for PacketEnv<'_, '_> {
    fn clock(&self, clock: Clock) -> u64 {
        self.env.clock(clock)
    }

    fn random_u32(&self) -> u32 {
        self.env.random_u32()
    }

    fn current(&self) -> Option<Current> {
        self.env.current()
    }

    fn trace_print(&self, text: &str) {
        self.screen.borrow_mut().print(self.json, text);
    }
}

type Input = Reader<Box<dyn Read>>;

fn open(path: &Path, bytes_in: &mut u64, ended: &Ended) -> Result<Input, Failure> {
    let cannot = |why: String| Failure::system(format!("cannot read {}: {why}", path.display()));
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(Live::start(Box::new(io::stdin()), ended).map_err(|e| cannot(e.to_string()))?)
    } else {
        let file = File::open(path).map_err(|error| cannot(error.to_string()))?;
        let about = file.metadata().map_err(|error| cannot(error.to_string()))?;
        *bytes_in += about.len();
        if about.is_file() || about.is_dir() {
            Box::new(file)
        } else {
            Box::new(Live::start(Box::new(file), ended).map_err(|e| cannot(e.to_string()))?)
        }
    };
    Reader::new(input).map_err(|error| cannot(error.to_string()))
}

/// A pipe or terminal, which may have nothing to give for long: a thread of its own reads it, so that the run can end.
struct Live {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    used: usize,
    ended: Arc<AtomicBool>,
}

/// How long the end of a run may go unnoticed.
const LOOK: Duration = Duration::from_millis(100);

impl Live {
    fn start(mut from: Box<dyn Read + Send>, ended: &Ended) -> io::Result<Live> {
        let (sender, chunks) = std::sync::mpsc::sync_channel(4);
        let read = move || {
            loop {
                let mut chunk = vec![0; 64 << 10];
                let got = match from.read(&mut chunk) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    got => got,
                };
                let last = !matches!(got, Ok(1..));
                let got = got.map(|len| {
                    chunk.truncate(len);
                    chunk
                });
                if sender.send(got).is_err() || last {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("skep-input".to_owned())
            .spawn(read)?;
        Ok(Live {
            chunks,
            chunk: Vec::new(),
            used: 0,
            ended: ended.requested.clone(),
        })
    }
}

impl Read for Live {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.used == self.chunk.len() {
            match self.chunks.recv_timeout(LOOK) {
                Ok(chunk) => (self.chunk, self.used) = (chunk?, 0),
                Err(RecvTimeoutError::Timeout) if !self.ended.load(Ordering::Relaxed) => continue,
                Err(_) => return Ok(0),
            }
            if self.chunk.is_empty() {
                return Ok(0);
            }
        }
        let rest = self.chunk.get(self.used..).unwrap_or_default();
        let len = rest.len().min(out.len());
        out[..len].copy_from_slice(&rest[..len]);
        self.used += len;
        Ok(len)
    }
}

fn create(path: &Path) -> Result<Box<dyn Write>, Failure> {
    let file = File::create(path).map_err(|error| writing(path, &error))?;
    Ok(Box::new(BufWriter::new(file)))
}

fn writing(path: &Path, error: &io::Error) -> Failure {
    Failure::system(format!("cannot write {}: {error}", path.display()))
}

/// Wires from `NAME=IN[,OUT]`; IN may be empty for a wire that only takes packets.
fn named_wires(choices: &[String], bytes_in: &mut u64, ended: &Ended) -> Result<Wires, Failure> {
    let mut wires = Wires::new();
    let input_of = |choice: &'_ String| -> Option<PathBuf> {
        let (_, files) = choice.split_once('=')?;
        let input = files.split_once(',').map_or(files, |(input, _)| input);
        (!input.is_empty()).then(|| PathBuf::from(input))
    };
    let inputs: Vec<PathBuf> = choices.iter().filter_map(input_of).collect();
    let mut outputs: Vec<&Path> = Vec::new();
    for choice in choices {
        let (name, files) = choice
            .split_once('=')
            .ok_or_else(|| Failure::usage("--wire wants NAME=IN[,OUT]"))?;
        if name.is_empty() {
            return Err(Failure::usage(format!(
                "--wire: `{choice}` has no name before the `=`"
            )));
        }
        let (input, output) = files.split_once(',').unwrap_or((files, ""));
        let mut wire = Wire::new(name, wires.free_ifindex());
        if !input.is_empty() {
            wire = wire.with_input(open(Path::new(input), bytes_in, ended)?);
        }
        if !output.is_empty() {
            let path = Path::new(output);
            not_an_input(path, inputs.iter().map(PathBuf::as_path))?;
            not_an_input(path, outputs.iter().copied())?;
            outputs.push(path);
            wire = wire.with_output(create(path)?);
        }
        if !wires.add(wire) {
            return Err(Failure::usage(format!(
                "--wire: two wires are named {name}"
            )));
        }
    }
    if inputs.is_empty() {
        return Err(Failure::usage(
            "--wire: no wire has packets to receive; one needs NAME=IN",
        ));
    }
    Ok(wires)
}

/// On a terminal, one line that is written over.
struct Progress {
    start: Instant,
    last: Instant,
    bytes_in: u64,
    tty: bool,
    shown: bool,
}

impl Progress {
    fn tell(&mut self, packets: u64, bytes: u64) {
        let now = Instant::now();
        // A short replay needs no progress.
        let soon = now.duration_since(self.start).as_millis() < 500
            || now.duration_since(self.last).as_millis() < 200;
        if !self.tty || soon {
            return;
        }
        (self.last, self.shown) = (now, true);
        let percent = (bytes.saturating_mul(100))
            .checked_div(self.bytes_in)
            .unwrap_or(0)
            .min(100);
        eprint!("\rskep: {packets} packets, {percent} %\x1b[K");
    }

    fn clear(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

/// Verdicts that came, by name.
fn verdicts(kinds: &'static [Verdict], report: &Report) -> Vec<(&'static str, u64)> {
    let names = kinds.iter().map(|verdict| verdict.name);
    names
        .zip(report.verdicts.iter().copied())
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn show(
    report: &Report,
    verdicts: &[(&str, u64)],
    wires: &Wires,
    each_wire: bool,
    start: Instant,
    out: &mut dyn Write,
) -> io::Result<()> {
    let seconds = start.elapsed().as_secs_f64();
    writeln!(
        out,
        "{} packets, {} bytes in {seconds:.3} s",
        report.packets, report.bytes
    )?;
    for (name, count) in verdicts {
        writeln!(out, "  {name:<12} {count:>10}")?;
    }
    if report.trapped > 0 {
        writeln!(out, "  {:<12} {:>10}", "trapped", report.trapped)?;
    }
    if report.unfit > 0 {
        writeln!(out, "  {:<12} {:>10}", "not fed", report.unfit)?;
    }
    if each_wire {
        for wire in wires.iter() {
            let counts = wire.counts;
            writeln!(
                out,
                "  wire {} (ifindex {}): {} received, {} transmitted, {} redirected to it",
                wire.name, wire.ifindex, counts.received, counts.transmitted, counts.redirected
            )?;
        }
    }
    for (why, count) in &wires.lost {
        writeln!(out, "  {count} lost: {why}")?;
    }
    Ok(())
}

fn show_json(
    report: &Report,
    verdicts: &[(&str, u64)],
    wires: &Wires,
    out: &mut dyn Write,
) -> io::Result<()> {
    let verdicts: Vec<String> = verdicts
        .iter()
        .map(|(name, count)| format!("{}:{count}", quoted(name)))
        .collect();
    let each = wires.iter().map(|wire| {
        format!(
            "{{\"name\":{},\"ifindex\":{},\"received\":{},\"transmitted\":{},\"redirected\":{}}}",
            quoted(&wire.name),
            wire.ifindex,
            wire.counts.received,
            wire.counts.transmitted,
            wire.counts.redirected
        )
    });
    let each: Vec<String> = each.collect();
    let lost: Vec<String> = wires
        .lost
        .iter()
        .map(|(why, count)| format!("{}:{count}", quoted(&why.to_string())))
        .collect();
    writeln!(
        out,
        "{{\"packets\":{},\"bytes\":{},\"verdicts\":{{{}}},\"trapped\":{},\"not_fed\":{},\"wires\":[{}],\"lost\":{{{}}}}}",
        report.packets,
        report.bytes,
        verdicts.join(","),
        report.trapped,
        report.unfit,
        each.join(","),
        lost.join(",")
    )
}

fn say_what_went_wrong(report: &Report) {
    if let Some((number, unfit)) = &report.first_unfit {
        crate::output::say!(
            "{} packets were not fed; the first, packet {number}: {unfit}",
            report.unfit
        );
    }
    if let Some((number, trap)) = report.traps.first() {
        let more = if report.trapped > 1 {
            format!(" ({} packets trapped; this was the first)", report.trapped)
        } else {
            String::new()
        };
        crate::output::say!("packet {number}: trap in {trap}{more}");
    }
    for (wire, error) in &report.broken {
        crate::output::say!("the capture of {wire} broke off: {error}");
    }
    if report.to_cpu > 0 {
        crate::output::say!(
            "{} packets were redirected to another CPU: they went on here",
            report.to_cpu
        );
    }
}
