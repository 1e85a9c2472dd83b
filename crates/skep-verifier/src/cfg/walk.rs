//! The walk over all edges, calls included: what is reached, the marks on instructions, what subprograms may do.
//!
//! Invariants: every edge is taken once, the fall-through before the branch, so the first fault is the kernel's; on
//! success each slot but the second ones of wide loads was reached.

use skep_spec::insn::{Insn, class, jmp, pseudo};

use crate::fault::{Fault, Rule};
use crate::structure::Subprograms;
use crate::structure::subprogram::takes_function_address;

const EINVAL: i32 = 22;

/// What the walk needs to know of a helper or kernel function that is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallEffects {
    /// It may sleep.
    pub might_sleep: bool,
    /// It may move or change packet data.
    pub changes_pkt_data: bool,
    /// It calls a function of the program before it returns (`bpf_loop`, `bpf_for_each_map_elem`, ...).
    pub sync_callback: bool,
    /// It has a function of the program called later (`bpf_timer_set_callback`, ...).
    pub async_callback: bool,
    /// It is the `next` of an iterator.
    pub iterator_next: bool,
    /// How many arguments it takes, if that is known.
    pub params: Option<u8>,
}

impl CallEffects {
    /// With what is known of a helper by its number: whether it calls functions of the program.
    #[must_use]
    pub const fn with_helper_callbacks(mut self, helper: i32) -> CallEffects {
        // bpf_for_each_map_elem, bpf_find_vma, bpf_loop, bpf_user_ringbuf_drain; bpf_timer_set_callback.
        self.sync_callback = matches!(helper, 164 | 180 | 181 | 209);
        self.async_callback = helper == 170;
        self
    }
}

/// Which edges may lead back to an instruction that is being walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackEdges {
    /// None: the program is not privileged.
    Refused,
    /// Jumps, and addresses of functions (before 6.7): no fall-through, no recursion.
    ByJumps,
    /// All.
    Allowed,
}

/// Marks on instructions, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark(pub u8);

impl Mark {
    /// States are compared and may be kept here.
    pub const PRUNE: Mark = Mark(1);
    /// How it was reached is written into the jump history.
    pub const JUMP: Mark = Mark(2);
    /// A state is always kept here.
    pub const CHECKPOINT: Mark = Mark(4);
    /// It calls a function that calls back before it returns.
    pub const CALLS_CALLBACK: Mark = Mark(8);

    /// Whether all bits of `other` are set.
    #[inline]
    pub const fn has(self, other: Mark) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a subprogram may do, itself or by what it calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// It may move or change packet data.
    pub changes_pkt_data: bool,
    /// It may sleep.
    pub might_sleep: bool,
}

impl Summary {
    fn add(&mut self, other: Summary) {
        self.changes_pkt_data |= other.changes_pkt_data;
        self.might_sleep |= other.might_sleep;
    }
}

/// What the walk found.
#[derive(Clone, Debug, Default)]
pub struct Cfg {
    marks: Vec<Mark>,
    summaries: Vec<Summary>,
}

/// How far a slot has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Unseen,
    /// On the stack; how many of its edges were taken.
    Open(u8),
    Done,
}

/// The edges of one instruction, in the order in which they are taken.
struct Edges {
    to: [usize; 2],
    count: u8,
}

impl Edges {
    const fn none() -> Edges {
        Edges {
            to: [0; 2],
            count: 0,
        }
    }
    const fn one(to: usize) -> Edges {
        Edges {
            to: [to, 0],
            count: 1,
        }
    }
    const fn two(first: usize, second: usize) -> Edges {
        Edges {
            to: [first, second],
            count: 2,
        }
    }
}

impl Cfg {
    /// Walks from the first slot (and from the exception callback, which nothing calls). `call` is asked once about each
    /// reached call of a helper or a kernel function.
    pub fn walk(
        insns: &[Insn],
        subprograms: &Subprograms,
        back_edges: BackEdges,
        call: &mut dyn FnMut(usize, Insn) -> CallEffects,
    ) -> Rule<Cfg> {
        let mut walk = Walk {
            insns,
            subprograms,
            back_edges,
            progress: vec![Progress::Unseen; insns.len()],
            open: Vec::new(),
            found: Cfg {
                marks: vec![Mark::default(); insns.len()],
                summaries: vec![Summary::default(); subprograms.count()],
            },
        };
        walk.from(0, call)?;
        if let Some(callback) = subprograms.exception_callback() {
            walk.from(subprograms.all()[callback].start, call)?;
        }
        walk.check_reached()?;
        Ok(walk.found)
    }

    /// The marks on a slot.
    #[inline]
    pub fn marks(&self, slot: usize) -> Mark {
        self.marks.get(slot).copied().unwrap_or_default()
    }

    /// What a subprogram may do; the program as a whole is subprogram 0.
    pub fn summary(&self, subprogram: usize) -> Summary {
        self.summaries.get(subprogram).copied().unwrap_or_default()
    }
}

struct Walk<'a> {
    insns: &'a [Insn],
    subprograms: &'a Subprograms,
    back_edges: BackEdges,
    progress: Vec<Progress>,
    open: Vec<usize>,
    found: Cfg,
}

impl Walk<'_> {
    fn from(&mut self, start: usize, call: &mut dyn FnMut(usize, Insn) -> CallEffects) -> Rule {
        if self.progress.get(start) != Some(&Progress::Unseen) {
            return Ok(());
        }
        self.enter(start, call);
        while let Some(&at) = self.open.last() {
            let Progress::Open(taken) = self.progress[at] else {
                // Unreachable: what is on the stack is open.
                self.open.pop();
                continue;
            };
            let edges = self.edges(at)?;
            if taken > 0 {
                self.came_back(at, taken);
            }
            if taken == edges.count {
                self.progress[at] = Progress::Done;
                self.open.pop();
                continue;
            }
            self.progress[at] = Progress::Open(taken + 1);
            let to = edges.to[usize::from(taken)];
            if taken == 1 {
                self.mark(to, Mark(Mark::PRUNE.0 | Mark::JUMP.0));
            }
            match self.progress.get(to) {
                None => {
                    let line = format!("jump out of range from insn {at} to {to}");
                    return Err(Fault::new(EINVAL, "verifier-jump-out-of-range", line).at(at));
                }
                Some(Progress::Unseen) => self.enter(to, call),
                Some(Progress::Open(_)) if !self.may_close(at, taken) => {
                    let line = format!("back-edge from insn {at} to {to}");
                    return Err(Fault::new(EINVAL, "verifier-back-edge", line).at(at));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Whether that edge of a slot, counted from 0, may close a loop.
    fn may_close(&self, at: usize, edge: u8) -> bool {
        let insn = self.insns[at];
        match self.back_edges {
            BackEdges::Refused => false,
            BackEdges::Allowed => true,
            BackEdges::ByJumps if takes_function_address(insn) => edge == 1,
            BackEdges::ByJumps => {
                matches!(insn.class(), class::JMP | class::JMP32) && insn.op() != jmp::CALL
            }
        }
    }

    fn mark(&mut self, at: usize, mark: Mark) {
        if let Some(marks) = self.found.marks.get_mut(at) {
            marks.0 |= mark.0;
        }
    }

    /// The target of a call or jump by 32 bits; one past the end if it lies outside.
    fn target(&self, at: usize, offset: i32) -> usize {
        let to = (at as i32).wrapping_add(offset).wrapping_add(1);
        usize::try_from(to).unwrap_or(self.insns.len())
    }

    fn edges(&self, at: usize) -> Rule<Edges> {
        let insn = self.insns[at];
        let next = at + insn.slots();
        if takes_function_address(insn) {
            return Ok(Edges::two(next, self.target(at, insn.imm)));
        }
        if !matches!(insn.class(), class::JMP | class::JMP32) {
            return Ok(Edges::one(next));
        }
        Ok(match insn.op() {
            jmp::EXIT => Edges::none(),
            jmp::CALL if insn.src == pseudo::CALL => Edges::two(next, self.target(at, insn.imm)),
            jmp::CALL => Edges::one(next),
            jmp::JA => Edges::one(self.target(at, insn.jump_offset().unwrap_or(0))),
            _ => Edges::two(next, self.target(at, i32::from(insn.off))),
        })
    }

    /// The first time at a slot.
    fn enter(&mut self, at: usize, call: &mut dyn FnMut(usize, Insn) -> CallEffects) {
        self.progress[at] = Progress::Open(0);
        self.open.push(at);
        let insn = self.insns[at];
        if !matches!(insn.class(), class::JMP | class::JMP32) {
            return;
        }
        match insn.op() {
            jmp::EXIT | jmp::JA => {}
            jmp::CALL if insn.src == pseudo::CALL => {}
            jmp::CALL => {
                let effects = call(at, insn);
                if effects.async_callback {
                    self.mark(at, Mark::PRUNE);
                }
                if effects.sync_callback {
                    let all = [
                        Mark::PRUNE,
                        Mark::JUMP,
                        Mark::CHECKPOINT,
                        Mark::CALLS_CALLBACK,
                    ];
                    all.into_iter().for_each(|mark| self.mark(at, mark));
                }
                if effects.iterator_next {
                    self.mark(at, Mark(Mark::PRUNE.0 | Mark::CHECKPOINT.0));
                }
                let own = self.subprograms.containing(at);
                self.found.summaries[own].add(Summary {
                    changes_pkt_data: effects.changes_pkt_data,
                    might_sleep: effects.might_sleep,
                });
            }
            op => {
                self.mark(at, Mark::PRUNE);
                if op == jmp::JCOND {
                    self.mark(at, Mark::CHECKPOINT);
                }
            }
        }
    }

    /// After an edge of a slot was followed to its end.
    fn came_back(&mut self, at: usize, taken: u8) {
        let insn = self.insns[at];
        let next = at + insn.slots();
        let both = Mark(Mark::PRUNE.0 | Mark::JUMP.0);
        let callee = takes_function_address(insn) || insn.is_local_call();
        if callee {
            if taken == 1 {
                self.mark(next, both);
                self.mark(at, Mark::PRUNE);
            }
            if let Some(callee) = self.subprograms.callee(at, insn) {
                let summary = self.found.summaries[callee];
                let own = self.subprograms.containing(at);
                self.found.summaries[own].add(summary);
            }
        } else if insn.is_call() {
            self.mark(next, both);
        } else if insn.op() == jmp::JA && matches!(insn.class(), class::JMP | class::JMP32) {
            self.mark(self.target(at, insn.jump_offset().unwrap_or(0)), both);
        }
    }

    /// Every slot was reached, and no second slot of a wide load.
    fn check_reached(&self) -> Rule {
        let mut at = 0;
        while at < self.insns.len() {
            if self.progress[at] != Progress::Done {
                let line = format!("unreachable insn {at}");
                return Err(Fault::new(EINVAL, "verifier-unreachable-insn", line).at(at));
            }
            let slots = self.insns[at].slots();
            if slots == 2 && self.progress.get(at + 1) != Some(&Progress::Unseen) {
                let line = format!("jump into the middle of ldimm64 insn {at}");
                return Err(Fault::new(EINVAL, "verifier-jump-into-ld-imm64", line).at(at));
            }
            at += slots;
        }
        Ok(())
    }
}
