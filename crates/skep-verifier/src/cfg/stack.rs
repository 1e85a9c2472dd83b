//! Stack depth over the call graph: what all frames that may be active at once take together.
//!
//! Invariants: the faults are those of a walk over all call paths in the order of the program; a path is only walked
//! where a summary of what lies below says that it fails, so the work is linear in the program whatever its calls.

use skep_spec::insn::Insn;
use skep_spec::limits::{MAX_CALL_FRAMES, MAX_STACK};

use crate::fault::{Fault, Rule};
use crate::structure::Subprograms;
use crate::structure::subprogram::takes_function_address;

const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const E2BIG: i32 = 7;
const EFAULT: i32 = 14;
/// Frames that may lie below a function with a tail call.
const TAIL_CALL_BYTES_MAX: u32 = 256;
/// A smaller frame stays on the kernel's stack.
const PRIVATE_BYTES_MIN: u32 = 64;

/// What exploration found out about a subprogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameUse {
    /// Bytes of its stack that it uses.
    pub stack_bytes: u32,
    /// It is called back by a helper, now or later.
    pub is_callback: bool,
    /// It is called back later, on a stack of its own; so is an exception callback.
    pub is_async_callback: bool,
}

/// How the machine lays frames out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Frames are rounded to 16 bytes (compiled) instead of 32 (interpreted).
    pub jit: bool,
    /// Large frames of this kind of program may lie on a stack of their own (6.13; tracing kinds with a compiler).
    pub private_stack: bool,
}

impl Layout {
    const fn round(self, bytes: u32) -> u32 {
        match self.jit {
            true => bytes.next_multiple_of(16),
            false if bytes == 0 => 32,
            false => bytes.next_multiple_of(32),
        }
    }
}

/// What the call graph takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Bytes of the deepest path from the main program, private frames left out.
    pub main_bytes: u32,
    /// Whether the frame of a subprogram lies on a private stack.
    pub private: Vec<bool>,
    /// Whether a tail call can be reached from a subprogram.
    pub tail_call_reachable: Vec<bool>,
}

/// Something in a subprogram that the walk looks at.
#[derive(Clone, Copy)]
enum Event {
    /// A subprogram that runs on this stack is called, or its address taken.
    Call { at: usize, callee: usize },
    /// An exception is thrown.
    Throw { at: usize },
    /// The exception callback is called as if it were a function.
    CallsExceptionCallback { at: usize },
    /// A function with a tail call runs later, on its own.
    TailCallLater { at: usize },
}

/// What a walk into a subprogram may meet.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Below {
    /// Bytes of the deepest path, its own frame included.
    bytes: u32,
    /// Frames of the longest path, its own included; what exceeds the limit need not be counted.
    frames: usize,
    /// Bytes between its caller's frame and the deepest function with a tail call, if there is one.
    before_tail_call: Option<u32>,
    /// It throws, or something below.
    throws: bool,
    /// Something fails whatever lies above.
    fails: bool,
}

struct Graph<'a> {
    subprograms: &'a Subprograms,
    uses: &'a [FrameUse],
    layout: Layout,
    events: Vec<Vec<Event>>,
}

/// Checks the depth from the main program and from each callback that runs later. `uses` holds one entry for each
/// subprogram; `throws` says whether a call of a kernel function throws an exception.
pub fn check(
    insns: &[Insn],
    subprograms: &Subprograms,
    uses: &[FrameUse],
    layout: Layout,
    throws: &mut dyn FnMut(usize, Insn) -> bool,
) -> Rule<Depth> {
    let count = subprograms.count();
    let graph = Graph::of(insns, subprograms, uses, layout, throws);
    if let ([sub], [events]) = (subprograms.all(), &graph.events[..])
        && events.is_empty()
    {
        // Most programs are one function.
        let large = graph.bytes(0) >= PRIVATE_BYTES_MIN;
        let private = vec![layout.private_stack && !sub.has_tail_call && large];
        return Ok(Depth {
            main_bytes: graph.enter(0, 0, 0, &private)?,
            private,
            tail_call_reachable: vec![sub.has_tail_call],
        });
    }
    let tail_calls = graph.tail_call_reachable();
    // What a later callback reaches may interrupt the main program, so its frames are never private.
    let mut shared = vec![false; count];
    for root in (1..count)
        .rev()
        .filter(|&sub| graph.usage(sub).is_async_callback)
    {
        graph.check_root(root, &vec![false; count])?;
        graph.reach(root, &mut shared);
        let is_exception = subprograms.all()[root].is_exception_callback;
        if is_exception && graph.callees(root).any(|callee| tail_calls[callee]) {
            let line = "cannot tail call within exception cb";
            return Err(Fault::new(EINVAL, "verifier-exception-callback", line));
        }
    }
    let has_tail_call = subprograms.all().iter().any(|sub| sub.has_tail_call);
    let may_be_private = layout.private_stack && !has_tail_call;
    let mut reached = vec![false; count];
    graph.reach(0, &mut reached);
    let private: Vec<bool> = (0..count)
        .map(|sub| {
            let large = graph.bytes(sub) >= PRIVATE_BYTES_MIN;
            may_be_private && reached[sub] && !shared[sub] && large
        })
        .collect();
    let main_bytes = graph.check_root(0, &private)?;
    Ok(Depth {
        main_bytes,
        private,
        tail_call_reachable: tail_calls,
    })
}

impl<'a> Graph<'a> {
    fn of(
        insns: &[Insn],
        subprograms: &'a Subprograms,
        uses: &'a [FrameUse],
        layout: Layout,
        throws: &mut dyn FnMut(usize, Insn) -> bool,
    ) -> Graph<'a> {
        let mut graph = Graph {
            subprograms,
            uses,
            layout,
            events: Vec::with_capacity(subprograms.count()),
        };
        for sub in subprograms.all() {
            let slots = insns.iter().enumerate().take(sub.end).skip(sub.start);
            let events = slots.filter_map(|(at, &insn)| graph.event(at, insn, throws));
            graph.events.push(events.collect());
        }
        graph
    }

    fn event(
        &self,
        at: usize,
        insn: Insn,
        throws: &mut dyn FnMut(usize, Insn) -> bool,
    ) -> Option<Event> {
        if insn.is_kfunc_call() && insn.off == 0 {
            return throws(at, insn).then_some(Event::Throw { at });
        }
        let direct = insn.is_local_call();
        if !direct && !takes_function_address(insn) {
            return None;
        }
        let callee = self.subprograms.callee(at, insn)?;
        let sub = self.subprograms.all()[callee];
        if self.usage(callee).is_async_callback {
            if sub.has_tail_call {
                return Some(Event::TailCallLater { at });
            }
            if !direct {
                return None;
            }
            if sub.is_exception_callback {
                return Some(Event::CallsExceptionCallback { at });
            }
        }
        Some(Event::Call { at, callee })
    }

    fn usage(&self, sub: usize) -> FrameUse {
        self.uses.get(sub).copied().unwrap_or_default()
    }

    /// A frame as it is laid out.
    fn bytes(&self, sub: usize) -> u32 {
        self.layout.round(self.usage(sub).stack_bytes)
    }

    fn callees(&self, sub: usize) -> impl Iterator<Item = usize> + '_ {
        self.events[sub].iter().filter_map(|event| match event {
            Event::Call { callee, .. } => Some(*callee),
            _ => None,
        })
    }

    /// Marks what runs on the stack of a root.
    fn reach(&self, root: usize, reached: &mut [bool]) {
        let mut open = vec![root];
        while let Some(sub) = open.pop() {
            if !std::mem::replace(&mut reached[sub], true) {
                open.extend(self.callees(sub));
            }
        }
    }

    fn tail_call_reachable(&self) -> Vec<bool> {
        let all = self.subprograms.all();
        let mut found: Vec<bool> = all.iter().map(|sub| sub.has_tail_call).collect();
        // A path has at most as many calls as there are frames; longer ones are refused.
        for _ in 0..MAX_CALL_FRAMES {
            for sub in 0..found.len() {
                found[sub] = found[sub] || self.callees(sub).any(|callee| found[callee]);
            }
        }
        found
    }

    /// What lies below each subprogram, over paths of as many frames as may be.
    fn below(&self, private: &[bool]) -> Vec<Below> {
        let own = |sub: usize| if private[sub] { 0 } else { self.bytes(sub) };
        let mut below = vec![Below::default(); self.events.len()];
        for _ in 0..=MAX_CALL_FRAMES {
            let mut next = below.clone();
            for (sub, found) in next.iter_mut().enumerate() {
                *found = Below {
                    bytes: own(sub),
                    frames: 1,
                    before_tail_call: self.subprograms.all()[sub].has_tail_call.then_some(0),
                    throws: false,
                    fails: private[sub] && self.bytes(sub) > MAX_STACK as u32,
                };
                for event in &self.events[sub] {
                    match event {
                        Event::Throw { .. } => found.throws = true,
                        Event::Call { callee, .. } => {
                            let under = below[*callee];
                            found.bytes = found.bytes.max(own(sub).saturating_add(under.bytes));
                            found.frames = found.frames.max(1 + under.frames);
                            let tail = under.before_tail_call.map(|under| own(sub) + under);
                            found.before_tail_call = found.before_tail_call.max(tail);
                            found.throws |= under.throws;
                            found.fails |= under.fails;
                        }
                        Event::CallsExceptionCallback { .. } | Event::TailCallLater { .. } => {
                            found.fails = true;
                        }
                    }
                }
                found.fails |= found.throws && self.usage(sub).is_callback;
            }
            if std::mem::replace(&mut below, next.clone()) == next {
                break;
            }
        }
        below
    }

    /// The bytes with one more frame, after `frames` frames that take `bytes`.
    fn enter(&self, sub: usize, frames: usize, bytes: u32, private: &[bool]) -> Rule<u32> {
        if sub != 0 && self.subprograms.all()[sub].has_tail_call && bytes >= TAIL_CALL_BYTES_MAX {
            let line = format!(
                "tail_calls are not allowed when call stack of previous frames is {bytes} bytes. Too large"
            );
            return Err(Fault::new(EACCES, "verifier-stack-before-tail-call", line));
        }
        let own = self.bytes(sub);
        let too_large = |line| Err(Fault::new(EACCES, "verifier-stack-too-large", line));
        if private[sub] {
            return match own > MAX_STACK as u32 {
                true => too_large(format!("stack size of subprog {sub} is {own}. Too large")),
                false => Ok(bytes),
            };
        }
        match bytes.saturating_add(own) {
            sum if sum > MAX_STACK as u32 => {
                let calls = frames + 1;
                too_large(format!(
                    "combined stack size of {calls} calls is {sum}. Too large"
                ))
            }
            sum => Ok(sum),
        }
    }

    /// Walks the failing path from a root, if there is one; else says how deep it gets.
    fn check_root(&self, root: usize, private: &[bool]) -> Rule<u32> {
        let below = self.below(private);
        // Frames that are entered: subprogram, its next event, bytes with it, whether a callback is among them.
        let mut path = Vec::with_capacity(MAX_CALL_FRAMES);
        let bytes = self.enter(root, 0, 0, private)?;
        path.push((root, 0, bytes, self.usage(root).is_callback));
        while let Some((sub, next, bytes, in_callback)) = path.last_mut() {
            let (sub, bytes, in_callback) = (*sub, *bytes, *in_callback);
            let Some(&event) = self.events[sub].get(*next) else {
                path.pop();
                continue;
            };
            *next += 1;
            let (at, line) = match event {
                Event::Call { callee, at } => {
                    let under = below[callee];
                    let frames = path.len();
                    let tail = under.before_tail_call.map_or(0, |under| bytes + under);
                    let fails = under.fails
                        || bytes.saturating_add(under.bytes) > MAX_STACK as u32
                        || frames + under.frames > MAX_CALL_FRAMES
                        || tail >= TAIL_CALL_BYTES_MAX
                        || (in_callback && under.throws);
                    if !fails {
                        continue;
                    }
                    if frames >= MAX_CALL_FRAMES {
                        let line = format!("the call stack of {frames} frames is too deep !");
                        return Err(Fault::new(E2BIG, "verifier-call-too-deep", line).at(at));
                    }
                    let bytes = self
                        .enter(callee, frames, bytes, private)
                        .map_err(|fault| fault.at(at))?;
                    let in_callback = in_callback || self.usage(callee).is_callback;
                    path.push((callee, 0, bytes, in_callback));
                    continue;
                }
                Event::Throw { .. } if !in_callback => continue,
                Event::Throw { at } => (
                    at,
                    format!(
                        "bpf_throw kfunc (insn {at}) cannot be called from callback subprog {sub}"
                    ),
                ),
                Event::CallsExceptionCallback { at } => {
                    (at, format!("insn {at} cannot call exception cb directly"))
                }
                Event::TailCallLater { at } => {
                    let line = "verifier bug: subprog has tail_call and async cb";
                    return Err(Fault::new(EFAULT, "verifier-tail-call-in-callback", line).at(at));
                }
            };
            return Err(Fault::new(EINVAL, "verifier-exception-callback", line).at(at));
        }
        Ok(below[root].bytes)
    }
}
