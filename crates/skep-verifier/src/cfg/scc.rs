//! Loops: the strongly connected components of each subprogram's instructions, by Tarjan's algorithm on an own stack.
//!
//! Invariants: a slot has a number above 0 exactly if it can be reached again from itself within its subprogram; two
//! slots have the same number exactly if each reaches the other.

use skep_spec::insn::Insn;

/// The loop of each slot, 0 for none and where the list ends.
#[derive(Clone, Debug, Default)]
pub struct Loops {
    of: Vec<u32>,
    count: u32,
}

impl Loops {
    /// Finds them.
    pub fn find(insns: &[Insn]) -> Loops {
        const DONE: u32 = u32::MAX;
        let slots = insns.len();
        let mut loops = Loops::default();
        if !super::has_back_edge(insns) {
            return loops;
        }
        loops.of = vec![0; slots];
        // Order of discovery from 1, or 0 if unseen, or DONE once its component is closed; the lowest order reached.
        let (mut order, mut low) = (vec![0u32; slots], vec![0u32; slots]);
        let (mut open, mut path) = (Vec::new(), Vec::<(usize, u8)>::new());
        let mut clock = 0;
        for root in 0..slots {
            // Second slots of wide loads have code 0, lead to the next slot, and are reached from no loop.
            if order[root] != 0 {
                continue;
            }
            path.push((root, 0));
            while let Some(&(at, taken)) = path.last() {
                if taken == 0 {
                    clock += 1;
                    (order[at], low[at]) = (clock, clock);
                    open.push(at);
                }
                if let Some(last) = path.last_mut() {
                    last.1 += 1;
                }
                if let Some(to) = super::successors(insns, at).at(taken) {
                    match order[to] {
                        0 => path.push((to, 0)),
                        DONE => {}
                        seen => low[at] = low[at].min(seen),
                    }
                    continue;
                }
                path.pop();
                if let Some(&(parent, _)) = path.last() {
                    low[parent] = low[parent].min(low[at]);
                }
                if low[at] != order[at] {
                    continue;
                }
                let first = open.iter().rposition(|&slot| slot == at).unwrap_or(0);
                let is_loop =
                    open.len() - first > 1 || super::successors(insns, at).any(|to| to == at);
                if is_loop {
                    loops.count += 1;
                }
                for slot in open.drain(first..) {
                    order[slot] = DONE;
                    if is_loop {
                        loops.of[slot] = loops.count;
                    }
                }
            }
        }
        loops
    }

    /// The loop that a slot is in, from 1; 0 if none.
    #[inline]
    pub fn of(&self, slot: usize) -> u32 {
        self.of.get(slot).copied().unwrap_or(0)
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }
}
