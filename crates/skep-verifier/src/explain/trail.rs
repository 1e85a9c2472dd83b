//! The path that led to a rejection, with the state before each of its instructions.
//!
//! Invariants: the last point is the instruction that was refused; states share what did not change, and only the last
//! [`POINTS_MAX`] are kept.

use skep_spec::insn::jmp;

use crate::input::Input;
use crate::state::State;
use crate::step::Next;
use crate::verifier::Verifier;

/// Points that are kept at most.
pub const POINTS_MAX: usize = 1 << 16;

/// The instructions of all paths while they are walked: a tree, as each branch starts where its jump stands.
#[derive(Debug)]
pub struct Trail {
    /// Instruction slot, and the node before it.
    nodes: Vec<(u32, u32)>,
    /// The last node of the current path.
    pub last: u32,
    /// What the walk started with.
    start: State,
}

/// Before the first node.
const NONE: u32 = u32::MAX;

impl Trail {
    /// A walk that starts with that state.
    pub fn new(start: State) -> Trail {
        Trail {
            nodes: Vec::new(),
            last: NONE,
            start,
        }
    }

    /// The current path goes on with `insn`.
    pub fn step(&mut self, insn: usize) {
        let node = self.nodes.len() as u32;
        self.nodes.push((insn as u32, self.last));
        self.last = node;
    }

    /// The instructions of the current path.
    pub fn path(&self) -> Vec<u32> {
        let mut path = Vec::new();
        let mut node = self.last;
        while let Some(&(insn, before)) = self.nodes.get(node as usize) {
            path.push(insn);
            node = before;
        }
        path.reverse();
        path
    }
}

/// One instruction of the path.
#[derive(Clone, Debug)]
pub struct Point {
    pub insn: usize,
    /// Before the instruction.
    pub state: State,
}

/// The path to the rejection of `input`, which is verified once more for it; empty where none was walked.
pub fn of(input: &Input) -> Vec<Point> {
    let mut verifier = Verifier::new(input);
    verifier.log = crate::log::Log::new(0);
    verifier.trail = Some(Trail::new(State::new(0)));
    if verifier.run().is_ok() {
        return Vec::new();
    }
    match verifier.trail.take() {
        Some(trail) => replay(input, trail.start.clone(), &trail.path()),
        None => Vec::new(),
    }
}

/// The point of the path's last conditional jump, and whether it was taken.
pub fn last_branch(input: &Input, trail: &[Point]) -> Option<(usize, bool)> {
    trail
        .windows(2)
        .enumerate()
        .rev()
        .find_map(|(point, pair)| {
            let at = pair[0].insn;
            let insn = input.insns.get(at)?;
            let conditional = insn.jump_offset().is_some() && insn.op() != jmp::JA;
            conditional.then_some((point, pair[1].insn != at + 1))
        })
}

/// Walks `path` again, alone, and keeps the states.
fn replay(input: &Input, start: State, path: &[u32]) -> Vec<Point> {
    let mut verifier = Verifier::new(input);
    if verifier.prepare().is_err() {
        return Vec::new();
    }
    verifier.log = crate::log::Log::new(0);
    let level2 = verifier.log.level2();
    verifier.explore.clear(&input.insns, level2);
    verifier.state = start;
    verifier.insn_idx = path.first().map_or(0, |&insn| insn as usize);
    let mut points = Vec::with_capacity(path.len().min(POINTS_MAX));
    for (index, &insn) in path.iter().enumerate() {
        let insn = insn as usize;
        if verifier.insn_idx != insn && !verifier.switch_to(insn) {
            break;
        }
        if points.len() == POINTS_MAX {
            points.drain(..POINTS_MAX / 2);
        }
        points.push(Point {
            insn,
            state: verifier.state.clone(),
        });
        if index + 1 == path.len() {
            break;
        }
        verifier.explore.pending.clear();
        match verifier.step() {
            Ok(Next::Insn(next)) => {
                verifier.prev_insn_idx = Some(insn);
                verifier.insn_idx = next;
            }
            Ok(Next::PathEnds) | Err(_) => break,
        }
    }
    points
}

impl Verifier<'_> {
    /// Goes on with the branch just put aside that starts at `insn`.
    fn switch_to(&mut self, insn: usize) -> bool {
        let Some(found) = self
            .explore
            .pending
            .iter()
            .rposition(|branch| branch.insn_idx == insn)
        else {
            return false;
        };
        let branch = self.explore.pending.swap_remove(found);
        self.state = branch.state;
        self.insn_idx = branch.insn_idx;
        self.prev_insn_idx = branch.prev_insn_idx;
        true
    }
}
