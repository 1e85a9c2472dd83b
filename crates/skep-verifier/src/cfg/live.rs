//! Live registers: which may still be read before they are written, by instruction.
//!
//! Invariants: a fixed point within each subprogram; a call of an unknown function and of a subprogram reads all five
//! argument registers; r10 is counted as any other. Bit n stands for register n.

use skep_spec::insn::{Insn, alu, atomic, class, jmp, mode};

use super::successors;

/// Live registers before each slot.
#[derive(Clone, Debug, Default)]
pub struct LiveRegisters(Vec<u16>);

/// r0 to r5: what a call destroys.
const CALLER_SAVED: u16 = 0x3f;

/// r0 to r9.
const ALL: u16 = 0x3ff;

/// What one instruction reads and writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Access {
    reads: u16,
    writes: u16,
}

fn access(insn: Insn, params: Option<u8>) -> Access {
    let dst = 1u16.checked_shl(u32::from(insn.dst)).unwrap_or(0);
    let src = 1u16.checked_shl(u32::from(insn.src)).unwrap_or(0);
    let second = if insn.is_register_form() { src } else { 0 };
    let (reads, writes) = match insn.class() {
        class::LD => match insn.mode() {
            mode::IMM => (0, dst),
            // They may end the program, which the kernel takes as a read of everything.
            mode::IND | mode::ABS => (ALL, CALLER_SAVED),
            _ => (0, 0),
        },
        class::LDX => (src, dst),
        class::ST => (dst, 0),
        class::STX => match (insn.mode(), insn.imm) {
            (mode::ATOMIC, atomic::CMPXCHG) => (1 | dst | src, 1),
            (mode::ATOMIC, atomic::LOAD_ACQ) => (src, dst),
            (mode::ATOMIC, atomic::STORE_REL) => (dst | src, 0),
            (mode::ATOMIC, op) if op & atomic::FETCH != 0 => (dst | src, src),
            _ => (dst | src, 0),
        },
        class::ALU | class::ALU64 => match insn.op() {
            alu::MOV => (second, dst),
            alu::END => (dst, dst),
            _ => (dst | second, dst),
        },
        _ => match insn.op() {
            jmp::JA | jmp::JCOND => (0, 0),
            jmp::EXIT => (1, 0),
            jmp::CALL => {
                let known = params.map_or(5, |params| params.min(5));
                (((1u16 << known) - 1) << 1, CALLER_SAVED)
            }
            _ => (dst | second, 0),
        },
    };
    Access { reads, writes }
}

impl LiveRegisters {
    /// Computes them. `params` says how many arguments the helper or kernel function called at a slot takes.
    pub fn compute(
        insns: &[Insn],
        params: &mut dyn FnMut(usize, Insn) -> Option<u8>,
    ) -> LiveRegisters {
        let mut accesses = Vec::with_capacity(insns.len());
        let mut at = 0;
        while at < insns.len() {
            let insn = insns[at];
            let params = (insn.is_call() && !insn.is_local_call())
                .then(|| params(at, insn))
                .flatten();
            accesses.push(access(insn, params));
            if insn.slots() == 2 && at + 1 < insns.len() {
                accesses.push(Access::default());
            }
            at += insn.slots();
        }
        let mut live = vec![0u16; insns.len()];
        let mut update = |at: usize| {
            let after = successors(insns, at).fold(0, |all, to| all | live[to]);
            let before = (after & !accesses[at].writes) | accesses[at].reads;
            std::mem::replace(&mut live[at], before) != before
        };
        // From the end, one round settles all but loops, and a second one most of these; the rest is bounded by the
        // bits that can still be set.
        let mut round = || (0..insns.len()).rev().filter(|&at| update(at)).count();
        round();
        if super::has_back_edge(insns) && round() > 0 {
            let before = Predecessors::of(insns);
            let mut waiting: Vec<usize> = (0..insns.len()).collect();
            let mut is_waiting = vec![true; insns.len()];
            while let Some(at) = waiting.pop() {
                is_waiting[at] = false;
                if update(at) {
                    for &from in before.slots(at) {
                        if !std::mem::replace(&mut is_waiting[from as usize], true) {
                            waiting.push(from as usize);
                        }
                    }
                }
            }
        }
        LiveRegisters(live)
    }

    /// The registers that are live before the instruction at a slot.
    #[inline]
    pub fn before(&self, slot: usize) -> u16 {
        self.0.get(slot).copied().unwrap_or(0)
    }

    /// As the log writes it: a place for each of r0 to r9, its digit if live, else a dot.
    pub fn text(&self, slot: usize) -> String {
        let live = self.before(slot);
        (0..10_u8).fold(String::with_capacity(10), |mut text, register| {
            text.push(match live >> register & 1 {
                0 => '.',
                _ => char::from(b'0' + register),
            });
            text
        })
    }
}

/// The slots that lead to each slot, all in one list.
struct Predecessors {
    first: Vec<u32>,
    slots: Vec<u32>,
}

impl Predecessors {
    fn of(insns: &[Insn]) -> Predecessors {
        let starts = || {
            let mut at = 0;
            std::iter::from_fn(move || {
                let here = at;
                at += insns.get(here)?.slots();
                Some(here)
            })
        };
        let mut first = vec![0u32; insns.len() + 1];
        for to in starts().flat_map(|at| successors(insns, at)) {
            first[to] += 1;
        }
        let mut sum = 0;
        for count in &mut first {
            sum += *count;
            *count = sum;
        }
        let mut slots = vec![0; sum as usize];
        for at in starts() {
            for to in successors(insns, at) {
                first[to] -= 1;
                slots[first[to] as usize] = at as u32;
            }
        }
        Predecessors { first, slots }
    }

    fn slots(&self, at: usize) -> &[u32] {
        &self.slots[self.first[at] as usize..self.first[at + 1] as usize]
    }
}

/// Every slot that starts an instruction, what follows it first where there is no loop.
pub fn postorder(insns: &[Insn]) -> Vec<usize> {
    let mut order = Vec::with_capacity(insns.len());
    let mut seen = vec![false; insns.len()];
    let mut path: Vec<(usize, u8)> = Vec::new();
    let mut root = 0;
    while root < insns.len() {
        if !seen[root] {
            seen[root] = true;
            path.push((root, 0));
        }
        while let Some((at, taken)) = path.last_mut() {
            let next = successors(insns, *at).at(*taken);
            *taken += 1;
            match next {
                Some(to) if !seen[to] => {
                    seen[to] = true;
                    path.push((to, 0));
                }
                Some(_) => {}
                None => {
                    order.push(*at);
                    path.pop();
                }
            }
        }
        root += insns[root].slots();
    }
    order
}
