//! Which stack slots may still be read: recorded per call chain while paths are walked, and carried back to where a
//! stored state stands.
//!
//! Invariants: a slot that some walked path reads before it surely overwrites it is alive; what a function reads or
//! writes of its callers' stacks counts at the call. Bit n of a mask stands for slot n.

use skep_spec::insn::Insn;

use super::precise::slot_list;
use crate::cfg::{self, Cfg, Mark};
use crate::log::Log;
use crate::state::State;
use crate::verifier::Subprog;

const FRAMES: usize = 8;

/// Functions active one in the other: where each was called (all but the outermost), and where each starts.
#[derive(Clone, Copy, Debug)]
struct Chain {
    sites: [u32; FRAMES],
    starts: [u32; FRAMES],
    len: u8,
}

impl Chain {
    fn inner(&self) -> usize {
        usize::from(self.len) - 1
    }
}

/// The masks of one instruction for one frame.
#[derive(Clone, Copy, Debug, Default)]
struct Masks {
    /// Read by the instruction on some path.
    read: u64,
    /// Written by it on all paths so far.
    written: u64,
    /// Written by it or by whatever follows it.
    written_later: u64,
    /// Alive before it.
    live: u64,
}

/// One call chain.
#[derive(Debug)]
struct Instance {
    chain: Chain,
    /// That of the caller; of no meaning for the outermost.
    outer: u32,
    /// Those of what it calls: call site, start, instance; sorted.
    inner: Vec<(u32, u32, u32)>,
    start: usize,
    end: usize,
    /// By frame, then by instruction.
    frames: [Vec<Masks>; FRAMES],
    /// Instructions whose writes were recorded once.
    written_once: Vec<bool>,
    /// Instructions whose masks changed since the last update.
    dirty: Vec<u32>,
    /// Some instruction no longer writes what it was thought to write.
    dropped: bool,
}

impl Instance {
    fn masks(&mut self, frame: usize, at: usize) -> Option<&mut Masks> {
        let masks = &mut self.frames[frame];
        if masks.is_empty() {
            *masks = vec![Masks::default(); self.end - self.start];
        }
        masks.get_mut(at.wrapping_sub(self.start))
    }

    /// After a write was lost, what is written later is worked out anew.
    fn forget_dropped(&mut self) {
        if !std::mem::take(&mut self.dropped) {
            return;
        }
        for frame in &mut self.frames {
            for (index, masks) in frame.iter_mut().enumerate() {
                masks.written_later = 0;
                if masks.written != 0 {
                    self.dirty.push((self.start + index) as u32);
                }
            }
        }
    }

    fn live(&self, frame: usize, at: usize) -> u64 {
        self.frames[frame]
            .get(at.wrapping_sub(self.start))
            .map_or(0, |masks| masks.live)
    }
}

/// What is recorded of all call chains.
#[derive(Debug, Default)]
pub struct LiveStack {
    instances: Vec<Instance>,
    /// Those without a caller: start, instance; sorted.
    outermost: Vec<(u32, u32)>,
    current: Option<u32>,
    /// How many instances have something to carry back.
    dirty: u32,
    /// What the current instruction surely writes, by frame.
    writing: [u64; FRAMES],
    /// The instance and instruction that `writing` is about.
    at: Option<(u32, usize)>,
    /// Instructions that masks were carried over.
    pub carried: u64,
    /// Made when first something is carried back.
    before: Option<Predecessors>,
    /// Scratch of updates.
    waiting: Vec<u32>,
    is_waiting: Vec<bool>,
}

/// The instructions that lead to each within its function.
#[derive(Debug, Default)]
struct Predecessors {
    first: Vec<u32>,
    slots: Vec<u32>,
}

impl Predecessors {
    fn of(insns: &[Insn]) -> Predecessors {
        let mut first = vec![0_u32; insns.len() + 1];
        let starts = || {
            let mut at = 0;
            std::iter::from_fn(move || {
                let here = at;
                at += insns.get(here)?.slots();
                Some(here)
            })
        };
        for to in starts().flat_map(|at| cfg::successors(insns, at)) {
            first[to] += 1;
        }
        let mut sum = 0;
        for count in &mut first {
            sum += *count;
            *count = sum;
        }
        let mut slots = vec![0; sum as usize];
        for at in starts() {
            for to in cfg::successors(insns, at) {
                first[to] -= 1;
                slots[first[to] as usize] = at as u32;
            }
        }
        Predecessors { first, slots }
    }

    fn to(&self, at: usize) -> &[u32] {
        &self.slots[self.first[at] as usize..self.first[at + 1] as usize]
    }
}

/// The instruction at which frame number `frame` of `state` stands, the active one at `insn`.
pub fn frame_insn(state: &State, insn: usize, frame: usize) -> usize {
    match state.frames.get(frame + 1) {
        Some(inner) => inner.callsite.unwrap_or(insn),
        None => insn,
    }
}

/// What the walk tells about the program.
#[derive(Clone, Copy, Debug)]
pub struct Flow<'a> {
    pub insns: &'a [Insn],
    pub subprogs: &'a [Subprog],
    pub postorder: &'a [usize],
    pub cfg: &'a Cfg,
}

impl LiveStack {
    /// The call chain may have changed.
    pub fn forget_chain(&mut self) {
        self.current = None;
        self.at = None;
    }

    /// The instance of the outermost `frames` frames.
    fn instance(&mut self, state: &State, frames: usize, shape: Flow<'_>) -> u32 {
        let start_of = |subprog: u32| shape.subprogs[subprog as usize].start as u32;
        let mut chain = Chain {
            sites: [0; FRAMES],
            starts: [0; FRAMES],
            len: 1,
        };
        let mut active = state.frames.iter().take(frames.min(FRAMES));
        let start = active.next().map_or(0, |frame| start_of(frame.subprog));
        chain.starts[0] = start;
        let mut index = match self.outermost.binary_search_by_key(&start, |known| known.0) {
            Ok(at) => self.outermost[at].1,
            Err(at) => {
                let index = self.add_instance(chain, 0, shape);
                self.outermost.insert(at, (start, index));
                index
            }
        };
        for frame in active {
            let inner = usize::from(chain.len);
            let key = (frame.callsite.unwrap_or(0) as u32, start_of(frame.subprog));
            (chain.sites[inner - 1], chain.starts[inner]) = key;
            chain.len += 1;
            let known = &self.instances[index as usize].inner;
            index = match known.binary_search_by_key(&key, |known| (known.0, known.1)) {
                Ok(at) => known[at].2,
                Err(at) => {
                    let called = self.add_instance(chain, index, shape);
                    let known = &mut self.instances[index as usize].inner;
                    known.insert(at, (key.0, key.1, called));
                    called
                }
            };
        }
        index
    }

    fn add_instance(&mut self, chain: Chain, outer: u32, shape: Flow<'_>) -> u32 {
        let start = chain.starts[chain.inner()] as usize;
        let end = shape
            .subprogs
            .iter()
            .find(|subprog| subprog.start == start)
            .map_or(shape.insns.len(), |subprog| subprog.end);
        let index = self.instances.len() as u32;
        if index == 0 {
            // Most programs are one function.
            self.instances.reserve_exact(1);
        }
        self.instances.push(Instance {
            chain,
            outer,
            inner: Vec::new(),
            start,
            end,
            frames: Default::default(),
            written_once: Vec::new(),
            dirty: Vec::new(),
            dropped: false,
        });
        index
    }

    fn current(&mut self, state: &State, shape: Flow<'_>) -> u32 {
        match self.current {
            Some(current) => current,
            None => {
                let current = self.instance(state, state.frames.len(), shape);
                self.current = Some(current);
                current
            }
        }
    }

    /// An instruction that may touch the stack starts.
    pub fn start(&mut self, state: &State, at: usize, shape: Flow<'_>) {
        let current = self.current(state, shape);
        self.writing = [0; FRAMES];
        self.at = Some((current, at));
    }

    /// It reads those slots on this path.
    pub fn read(&mut self, state: &State, frame: usize, at: usize, mask: u64, shape: Flow<'_>) {
        let current = self.current(state, shape);
        self.add_read(current, frame, at, mask);
    }

    fn add_read(&mut self, instance: u32, frame: usize, at: usize, mask: u64) {
        let instance = &mut self.instances[instance as usize];
        if mask == 0 || frame > instance.chain.inner() {
            return;
        }
        if let Some(masks) = instance.masks(frame, at)
            && masks.read & mask != mask
        {
            masks.read |= mask;
            self.dirty += u32::from(instance.dirty.is_empty());
            instance.dirty.push(at as u32);
        }
    }

    /// It overwrites those slots whatever the path.
    pub fn write(&mut self, frame: usize, mask: u64) {
        if let Some(writing) = self.writing.get_mut(frame) {
            *writing |= mask;
        }
    }

    /// The instruction is done: what it did not write this time it does not surely write.
    pub fn finish(&mut self) {
        let Some((instance, at)) = self.at.take() else {
            return;
        };
        self.commit(instance, at);
    }

    fn commit(&mut self, instance: u32, at: usize) {
        let writing = self.writing;
        let instance = &mut self.instances[instance as usize];
        if instance.written_once.is_empty() {
            instance.written_once = vec![false; instance.end - instance.start];
        }
        let Some(&once) = instance.written_once.get(at.wrapping_sub(instance.start)) else {
            return;
        };
        for (frame, &mask) in writing.iter().enumerate().take(instance.chain.inner() + 1) {
            if mask == 0 && (!once || instance.frames[frame].is_empty()) {
                continue;
            }
            if let Some(masks) = instance.masks(frame, at) {
                let mask = if once { mask & masks.written } else { mask };
                if masks.written != mask {
                    let lost = masks.written & !mask != 0;
                    masks.written = mask;
                    instance.dropped |= lost;
                    self.dirty += u32::from(instance.dirty.is_empty());
                    instance.dirty.push(at as u32);
                }
            }
        }
        let index = at - instance.start;
        instance.written_once[index] = true;
    }

    /// A path or a function ends: brings what is alive up to date, in the active function and then in its callers.
    pub fn update(&mut self, state: &State, shape: Flow<'_>, log: &mut Log) {
        if self.dirty == 0 {
            self.forget_chain();
            return;
        }
        let mut instance = self.current(state, shape);
        self.forget_chain();
        for _ in 0..state.frames.len() {
            if !self.instances[instance as usize].dirty.is_empty() {
                self.instances[instance as usize].forget_dropped();
                self.dirty -= 1;
                if log.level2() {
                    self.carry_back_in_order(instance, shape, log);
                } else {
                    self.carry_back(instance, shape.insns);
                }
                self.tell_caller(instance);
            }
            instance = self.instances[instance as usize].outer;
        }
    }

    /// What the callee does to its callers' stacks counts at the call.
    fn tell_caller(&mut self, index: u32) {
        let instance = &self.instances[index as usize];
        let inner = instance.chain.inner();
        if inner == 0 {
            return;
        }
        let outer = instance.outer;
        let site = instance.chain.sites[inner - 1] as usize;
        let mut masks = [Masks::default(); FRAMES];
        for (frame, masks) in masks.iter_mut().enumerate().take(inner) {
            *masks = instance.frames[frame].first().copied().unwrap_or_default();
        }
        self.writing = [0; FRAMES];
        for (frame, masks) in masks.iter().enumerate().take(inner) {
            self.writing[frame] = masks.written_later;
            self.add_read(outer, frame, site, masks.live);
        }
        self.commit(outer, site);
        self.writing = [0; FRAMES];
    }

    /// One instruction from those after it. Says whether anything changed.
    fn carry_over(instance: &mut Instance, frame: usize, at: usize, insns: &[Insn]) -> bool {
        let start = instance.start;
        let masks = &instance.frames[frame];
        let mut later = u64::MAX;
        let mut live_after = 0;
        let mut any = false;
        for next in cfg::successors(insns, at) {
            let Some(next) = masks.get(next.wrapping_sub(start)) else {
                continue;
            };
            any = true;
            later &= next.written_later;
            live_after |= next.live;
        }
        if !any {
            return false;
        }
        let masks = &mut instance.frames[frame][at - start];
        let later = later | masks.written;
        let live = live_after & !masks.written | masks.read;
        let changed = later != masks.written_later || live != masks.live;
        masks.written_later = later;
        masks.live = live;
        changed
    }

    fn carry_back(&mut self, index: u32, insns: &[Insn]) {
        let before = self.before.get_or_insert_with(|| {
            self.is_waiting = vec![false; insns.len()];
            Predecessors::of(insns)
        });
        let instance = &mut self.instances[index as usize];
        let dirty = std::mem::take(&mut instance.dirty);
        for frame in 0..=instance.chain.inner() {
            if instance.frames[frame].is_empty() {
                continue;
            }
            for &at in &dirty {
                if !std::mem::replace(&mut self.is_waiting[at as usize], true) {
                    self.waiting.push(at);
                }
            }
            while let Some(at) = self.waiting.pop() {
                let at = at as usize;
                self.carried += 1;
                self.is_waiting[at] = false;
                if Self::carry_over(instance, frame, at, insns) {
                    for &before in before.to(at) {
                        if !std::mem::replace(&mut self.is_waiting[before as usize], true) {
                            self.waiting.push(before);
                        }
                    }
                }
            }
        }
    }

    /// The same instruction by instruction from the end, round after round, with a line for each change of interest.
    fn carry_back_in_order(&mut self, index: u32, shape: Flow<'_>, log: &mut Log) {
        let instance = &mut self.instances[index as usize];
        instance.dirty.clear();
        let inner = instance.chain.inner();
        let name = {
            let mut parts: Vec<String> = (0..inner)
                .map(|frame| instance.chain.sites[frame].to_string())
                .collect();
            parts.push(instance.start.to_string());
            format!("({})", parts.join(","))
        };
        let (start, end) = (instance.start, instance.end);
        let order: Vec<usize> = shape
            .postorder
            .iter()
            .copied()
            .filter(|at| (start..end).contains(at))
            .collect();
        let mut rounds = 0;
        loop {
            rounds += 1;
            let mut changed = false;
            for frame in 0..=inner {
                if instance.frames[frame].is_empty() {
                    continue;
                }
                for &at in &order {
                    let was = instance.frames[frame][at - start];
                    changed |= Self::carry_over(instance, frame, at, shape.insns);
                    let is = instance.frames[frame][at - start];
                    if is.read != 0
                        || is.written != 0
                        || at == start
                        || shape.cfg.marks(at).has(Mark::PRUNE)
                    {
                        let line = format!("{name} frame {frame} insn {at}");
                        log_change(log, &line, "live", was.live, is.live);
                        log_change(log, &line, "written", was.written_later, is.written_later);
                    }
                }
            }
            if !changed {
                break;
            }
        }
        log.line(format_args!(
            "{name} live stack update done in {rounds} iterations"
        ));
    }

    /// The slots of frame `frame` that may still be read after `state` at `insn`. A caller's slots are alive if the
    /// function or what follows the call reads them.
    pub fn alive(&mut self, state: &State, insn: usize, frame: usize, shape: Flow<'_>) -> u64 {
        let mut instance = self.instance(state, state.frames.len(), shape);
        let mut alive = self.instances[instance as usize].live(frame, insn);
        for outer in (frame..state.frames.len() - 1).rev() {
            instance = self.instances[instance as usize].outer;
            let site = frame_insn(state, insn, outer);
            // A callback may be called again.
            let at = if shape.cfg.marks(site).has(Mark::CALLS_CALLBACK) {
                site
            } else {
                site + 1
            };
            alive |= self.instances[instance as usize].live(frame, at);
        }
        alive
    }
}

fn log_change(log: &mut Log, line: &str, what: &str, was: u64, is: u64) {
    let (gone, new) = (was & !is, is & !was);
    if gone | new == 0 {
        return;
    }
    log.push(format_args!("{line} "));
    if new != 0 {
        log.push(format_args!("+{what} {} ", slot_list(new)));
    }
    if gone != 0 {
        log.push(format_args!("-{what} {} ", slot_list(gone)));
    }
    log.line(format_args!(""));
}
