//! Replay: every packet of the wires' captures through a program, in the order of their timestamps.
//!
//! Invariants:
//! - each packet read is counted exactly once: by its verdict, as a trap, or as unfit for the hook;
//! - a packet is copied once, into a frame that is reused, and nothing is allocated for it;
//! - with `repeat`, every run of a packet starts from the captured bytes and fields;
//! - a capture that breaks off ends the replay of that wire only, after its good packets, and is reported.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skep_vm::packet::{EntryKind, PacketCtx, RedirectEntry, RedirectTarget};
use skep_vm::{Ctx, Env, Limits, Program, Trap};

use super::capture::{CaptureError, LinkType, PcapngWriter};
use super::hook::{Hook, Port, Unfit};
use super::verdict::Fate;
use super::wires::{Lost, Wires};

/// Traps that are kept with their text; the rest is only counted.
const TRAPS_KEPT: usize = 16;
/// Packets between two looks at the stop flag and two reports of progress.
const STRIDE: u64 = 4096;

/// Finds the program that a devmap's or cpumap's entry names.
pub type EntryPrograms<'a> = &'a dyn Fn(u32) -> Option<Arc<Program>>;

/// One packet after its run, for those who watch.
pub struct PacketOutcome<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// The interface that it came from.
    pub ifindex: u32,
    /// When it was captured.
    pub timestamp_ns: u64,
    /// Index of the verdict among the hook's; `None` after a trap.
    pub verdict: Option<usize>,
    /// r0.
    pub r0: u64,
    /// The packet's bytes as the program left them.
    pub bytes: &'a [u8],
    /// The context as the program left it.
    pub ctx: &'a PacketCtx,
}

/// Everything that runs packets through a program.
pub struct Replay<'a> {
    /// The program.
    pub program: Arc<Program>,
    /// Where it is attached.
    pub hook: Hook,
    /// Clock, CPU, randomness.
    pub env: &'a dyn Env,
    /// What one run may use up.
    pub limits: Limits,
    /// Runs of each packet; only the last one's verdict counts. 0 is 1.
    pub repeat: u32,
    /// Ends the replay when it becomes true.
    pub stop: &'a AtomicBool,
    /// The programs of map entries.
    pub entry_programs: EntryPrograms<'a>,
    /// Takes each packet after its run.
    pub watch: Option<&'a mut dyn FnMut(&PacketOutcome<'_>)>,
    /// Takes every few thousand packets the number so far and the bytes of captures read.
    pub progress: Option<&'a mut dyn FnMut(u64, u64)>,
    /// Takes every packet with its verdict as comment.
    pub record: Option<PcapngWriter<Box<dyn io::Write>>>,
}

/// What a replay did.
#[derive(Debug, Default)]
pub struct Report {
    /// Packets read.
    pub packets: u64,
    /// Their captured bytes.
    pub bytes: u64,
    /// Runs of the program.
    pub runs: u64,
    /// Packets by verdict, in the order of the hook's verdicts.
    pub verdicts: Vec<u64>,
    /// Packets whose run trapped.
    pub trapped: u64,
    /// The first traps, with the packet's number.
    pub traps: Vec<(u64, Trap)>,
    /// Packets that the hook cannot take.
    pub unfit: u64,
    /// The first of them, with its number.
    pub first_unfit: Option<(u64, Unfit)>,
    /// Packets redirected to another CPU, which here is this one.
    pub to_cpu: u64,
    /// Copies that `bpf_clone_redirect` sent.
    pub cloned: u64,
    /// Captures that broke off, by the wire's name.
    pub broken: Vec<(String, CaptureError)>,
    /// Whether the stop flag ended it.
    pub stopped: bool,
}

/// Why a replay ended early: an output could not be written.
#[derive(Debug)]
pub struct ReplayError {
    /// What was being written.
    pub what: String,
    /// Why it could not.
    pub error: io::Error,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write {}: {}", self.what, self.error)
    }
}

impl std::error::Error for ReplayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<'a> Replay<'a> {
    /// A replay with one run a packet and nobody watching.
    pub fn new(
        program: Arc<Program>,
        hook: Hook,
        env: &'a dyn Env,
        stop: &'a AtomicBool,
    ) -> Replay<'a> {
        Replay {
            program,
            hook,
            env,
            limits: Limits::default(),
            repeat: 1,
            stop,
            entry_programs: &|_| None,
            watch: None,
            progress: None,
            record: None,
        }
    }

    /// Runs all packets of the wires' captures.
    pub fn run(&mut self, wires: &mut Wires) -> Result<Report, ReplayError> {
        let mut ctx = self.hook.context();
        ctx.network = wires.network();
        self.run_in(&mut ctx, wires)
    }

    /// As [`Replay::run`], in a context made by [`Hook::context`]: its network may have routes and neighbours.
    pub fn run_in(
        &mut self,
        ctx: &mut PacketCtx,
        wires: &mut Wires,
    ) -> Result<Report, ReplayError> {
        let mut report = Report {
            verdicts: vec![0; self.hook.verdicts().len()],
            ..Report::default()
        };
        let mut recorder = self.record.take().map(|writer| Recorder {
            writer,
            interfaces: Vec::new(),
        });
        let mut comment = String::new();
        let mut order = Order::new(wires, &mut report);
        let mut side = None;
        while let Some(at) = order.first() {
            if report.packets.is_multiple_of(STRIDE) {
                if self.stop.load(Ordering::Relaxed) {
                    report.stopped = true;
                    break;
                }
                if let Some(progress) = &mut self.progress {
                    let read = wires
                        .iter()
                        .filter_map(|w| w.input.as_ref())
                        .map(|r| r.position())
                        .sum();
                    progress(report.packets, read);
                }
            }
            let wire = wires.wire(at);
            let port = wire.port();
            wire.counts.received += 1;
            let Some(reader) = &wire.input else { break };
            let Some(packet) = reader.current() else {
                break;
            };
            let link = reader.link_type();
            report.packets += 1;
            report.bytes += packet.data.len() as u64;
            let (time, cut) = (
                packet.timestamp_ns,
                packet.original_len.saturating_sub(packet.data.len() as u32),
            );
            match self.run_packet(ctx, packet.data, link, &port, &mut report) {
                Ok(result) => {
                    let seen = Seen {
                        number: report.packets,
                        at,
                        port,
                        link,
                        time,
                        cut,
                    };
                    let unseen =
                        recorder.is_none() && self.watch.is_none() && ctx.clones.is_empty();
                    match result {
                        Ok((verdict, _)) if unseen && self.hook.verdicts()[verdict].stays() => {
                            report.verdicts[verdict] += 1;
                        }
                        _ => self.settle(
                            ctx,
                            &seen,
                            result,
                            wires,
                            &mut report,
                            &mut recorder,
                            &mut comment,
                            &mut side,
                        )?,
                    }
                }
                Err(unfit) => {
                    report.unfit += 1;
                    report.first_unfit.get_or_insert((report.packets, unfit));
                    if let Some(recorder) = &mut recorder {
                        comment.clear();
                        comment.push_str("not run: the hook does not take this packet");
                        let Some(packet) = wires.wire(at).input.as_ref().and_then(|r| r.current())
                        else {
                            break;
                        };
                        recorder.write(
                            port.ifindex,
                            link,
                            time,
                            packet.data,
                            packet.original_len,
                            &comment,
                        )?;
                    }
                }
            }
            order.advance(at, wires, &mut report);
        }
        if let Some(progress) = &mut self.progress {
            let read = wires
                .iter()
                .filter_map(|w| w.input.as_ref())
                .map(|r| r.position())
                .sum();
            progress(report.packets, read);
        }
        if let Some(recorder) = recorder {
            recorder.writer.finish().map_err(|error| ReplayError {
                what: "the packets' record".into(),
                error,
            })?;
        }
        wires.finish().map_err(|error| ReplayError {
            what: "a wire's output".into(),
            error,
        })?;
        Ok(report)
    }

    /// Runs the program on one packet, as often as asked; answers the last run's verdict and r0.
    #[inline]
    fn run_packet(
        &self,
        ctx: &mut PacketCtx,
        data: &[u8],
        link: LinkType,
        port: &Port,
        report: &mut Report,
    ) -> Result<Result<(usize, u64), Trap>, Unfit> {
        let mut left = self.repeat.max(1);
        loop {
            self.hook.load(ctx, data, link, port)?;
            report.runs += 1;
            let r0 = self
                .program
                .run(&mut Ctx::Packet(ctx), self.env, &self.limits);
            left -= 1;
            match r0 {
                Err(trap) => return Ok(Err(trap)),
                Ok(r0) if left == 0 => return Ok(Ok((self.hook.judge(r0), r0))),
                Ok(_) => {}
            }
        }
    }

    /// Counts the packet and sends it where its verdict says.
    #[allow(clippy::too_many_arguments)] // The state of one replay, taken apart so that its parts can be borrowed.
    fn settle(
        &mut self,
        ctx: &mut PacketCtx,
        seen: &Seen,
        result: Result<(usize, u64), Trap>,
        wires: &mut Wires,
        report: &mut Report,
        recorder: &mut Option<Recorder>,
        comment: &mut String,
        side: &mut Option<PacketCtx>,
    ) -> Result<(), ReplayError> {
        let hook = self.hook;
        let output = |error| ReplayError {
            what: "a wire's output".into(),
            error,
        };
        comment.clear();
        for clone in std::mem::take(&mut ctx.clones) {
            report.cloned += 1;
            let lost = wires.deliver(
                clone.ifindex,
                seen.link,
                seen.time,
                &clone.bytes,
                "bpf_clone_redirect",
            );
            if let Some(why) = lost.map_err(output)? {
                wires.lose(why);
            }
        }
        let mut keep = usize::MAX;
        match &result {
            Ok((index, r0)) => {
                let verdict = hook.verdicts()[*index];
                report.verdicts[*index] += 1;
                comment.push_str(verdict.name);
                if let Hook::Socket(_) = hook
                    && *r0 as u32 != 0
                {
                    keep = *r0 as u32 as usize;
                }
                match verdict.fate {
                    Fate::Stack | Fate::Gone => {}
                    Fate::Transmit => {
                        let wire = wires.wire(seen.at);
                        wire.counts.transmitted += 1;
                        wire.send(seen.link, seen.time, hook.bytes(ctx), comment)
                            .map_err(output)?;
                    }
                    Fate::Redirect => {
                        let lost = self.redirect(ctx, seen, wires, report, comment, side)?;
                        for why in lost {
                            comment.push_str("; lost: ");
                            comment.push_str(&why.to_string());
                            wires.lose(why);
                        }
                    }
                }
            }
            Err(trap) => {
                report.trapped += 1;
                comment.push_str("trap: ");
                comment.push_str(&trap.to_string());
            }
        }
        let bytes = hook.bytes(ctx);
        if let Some(watch) = &mut self.watch {
            watch(&PacketOutcome {
                number: seen.number,
                ifindex: seen.port.ifindex,
                timestamp_ns: seen.time,
                verdict: result.as_ref().ok().map(|(index, _)| *index),
                r0: result.as_ref().map_or(0, |(_, r0)| *r0),
                bytes,
                ctx,
            });
        }
        if let Some(recorder) = recorder {
            let header = bytes.len() - ctx.bytes().len();
            let kept = &bytes[..bytes.len().min(keep.saturating_add(header))];
            let original = (bytes.len() as u32).saturating_add(seen.cut);
            recorder.write(
                seen.port.ifindex,
                seen.link,
                seen.time,
                kept,
                original,
                comment,
            )?;
        }
        if let Err(trap) = result
            && report.traps.len() < TRAPS_KEPT
        {
            report.traps.push((seen.number, trap));
        }
        Ok(())
    }

    /// Carries a redirect out; answers what was lost.
    fn redirect(
        &self,
        ctx: &mut PacketCtx,
        seen: &Seen,
        wires: &mut Wires,
        report: &mut Report,
        comment: &mut String,
        side: &mut Option<PacketCtx>,
    ) -> Result<Vec<Lost>, ReplayError> {
        let output = |error| ReplayError {
            what: "a wire's output".into(),
            error,
        };
        let Some(redirect) = ctx.redirect.take() else {
            return Ok(vec![Lost::NoTarget]);
        };
        let mut lost = Vec::new();
        match &redirect.target {
            RedirectTarget::Interface(ifindex)
            | RedirectTarget::Peer(ifindex)
            | RedirectTarget::Neighbour(ifindex) => {
                comment.push_str(&format!(" to interface {ifindex}"));
                let bytes = self.hook.bytes(ctx);
                lost.extend(
                    wires
                        .deliver(*ifindex, seen.link, seen.time, bytes, comment)
                        .map_err(output)?,
                );
            }
            RedirectTarget::Entry(entry) => {
                lost.extend(self.to_entry(ctx, entry, seen, wires, report, comment, side)?);
            }
            RedirectTarget::Broadcast(entries) => {
                comment.push_str(" to all");
                if entries.is_empty() {
                    lost.push(Lost::NobodyListens);
                }
                for entry in entries {
                    lost.extend(self.to_entry(ctx, entry, seen, wires, report, comment, side)?);
                }
            }
        }
        ctx.redirect = Some(redirect);
        Ok(lost)
    }

    #[allow(clippy::too_many_arguments)] // As `settle`.
    fn to_entry(
        &self,
        ctx: &PacketCtx,
        entry: &RedirectEntry,
        seen: &Seen,
        wires: &mut Wires,
        report: &mut Report,
        comment: &mut String,
        side: &mut Option<PacketCtx>,
    ) -> Result<Option<Lost>, ReplayError> {
        match entry.kind {
            EntryKind::Socket => return Ok(Some(Lost::NoSocket { key: entry.key })),
            EntryKind::Cpu => {
                comment.push_str(&format!(" to CPU {}", entry.key));
                report.to_cpu += 1;
                return Ok(None);
            }
            EntryKind::Device => comment.push_str(&format!(" to interface {}", entry.value)),
        }
        let ifindex = entry.value;
        let output = |error| ReplayError {
            what: "a wire's output".into(),
            error,
        };
        if entry.program == 0 {
            return wires
                .deliver(ifindex, seen.link, seen.time, ctx.bytes(), comment)
                .map_err(output);
        }
        let Some(program) = (self.entry_programs)(entry.program) else {
            return Ok(Some(Lost::NoEntryProgram {
                program: entry.program,
            }));
        };
        let copy = side.get_or_insert_with(|| Hook::XdpDevmap.context());
        copy.network = ctx.network.clone();
        if Hook::XdpDevmap
            .load(copy, ctx.bytes(), LinkType::ETHERNET, &seen.port)
            .is_err()
        {
            return Ok(Some(Lost::TooLong { ifindex }));
        }
        copy.set_field("egress_ifindex", u64::from(ifindex));
        match program.run(&mut Ctx::Packet(copy), self.env, &self.limits) {
            // Only XDP_PASS lets the packet go on.
            Ok(r0) if r0 as u32 == 2 => wires
                .deliver(ifindex, seen.link, seen.time, copy.bytes(), comment)
                .map_err(output),
            Ok(_) => Ok(Some(Lost::DroppedByEntry { ifindex })),
            Err(trap) => {
                if report.traps.len() < TRAPS_KEPT {
                    report.traps.push((seen.number, trap));
                }
                Ok(Some(Lost::DroppedByEntry { ifindex }))
            }
        }
    }
}

/// Where a packet came from.
struct Seen {
    number: u64,
    /// Place of its wire.
    at: usize,
    port: Port,
    link: LinkType,
    time: u64,
    /// Bytes that the capture had cut off.
    cut: u32,
}

/// Which wire's packet is next: the one with the earliest timestamp.
struct Order {
    /// Wires that stand at a packet, with its time.
    ready: Vec<(u64, usize)>,
}

impl Order {
    fn new(wires: &mut Wires, report: &mut Report) -> Order {
        let mut order = Order {
            ready: Vec::with_capacity(wires.len()),
        };
        for at in 0..wires.len() {
            order.ready.push((0, at));
            order.advance(at, wires, report);
        }
        order
    }

    /// The wire whose packet is next.
    #[inline]
    fn first(&self) -> Option<usize> {
        match self.ready[..] {
            [] => None,
            [(_, at)] => Some(at),
            _ => self.ready.iter().min().map(|(_, at)| *at),
        }
    }

    /// Moves a wire to its next packet, or leaves it out when it has none.
    #[inline]
    fn advance(&mut self, at: usize, wires: &mut Wires, report: &mut Report) {
        let wire = wires.wire(at);
        let moved = match &mut wire.input {
            None => Ok(false),
            Some(reader) => reader.advance(),
        };
        let time = match moved {
            Ok(true) => wire
                .input
                .as_ref()
                .and_then(|r| r.current())
                .map(|p| p.timestamp_ns),
            Ok(false) => None,
            Err(error) => {
                report.broken.push((wire.name.clone(), error));
                None
            }
        };
        match (time, self.ready.iter().position(|(_, w)| *w == at)) {
            (Some(time), Some(i)) => self.ready[i].0 = time,
            (None, Some(i)) => {
                self.ready.swap_remove(i);
            }
            _ => {}
        }
    }
}

/// Writes every packet with its verdict.
struct Recorder {
    writer: PcapngWriter<Box<dyn io::Write>>,
    interfaces: Vec<(u32, LinkType, u32)>,
}

impl Recorder {
    fn write(
        &mut self,
        ifindex: u32,
        link: LinkType,
        time: u64,
        bytes: &[u8],
        original: u32,
        comment: &str,
    ) -> Result<(), ReplayError> {
        let mut put = || {
            let known = self
                .interfaces
                .iter()
                .find(|(i, l, _)| *i == ifindex && *l == link);
            let number = match known {
                Some((_, _, number)) => *number,
                None => {
                    let number = self
                        .writer
                        .interface(link, 0, Some(&format!("if{ifindex}")))?;
                    self.interfaces.push((ifindex, link, number));
                    number
                }
            };
            self.writer.packet(number, time, bytes, original, comment)
        };
        put().map_err(|error| ReplayError {
            what: "the packets' record".into(),
            error,
        })
    }
}

#[cfg(test)]
mod tests;
