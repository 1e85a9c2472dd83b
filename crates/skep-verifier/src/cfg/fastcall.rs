//! Spills around calls that keep the argument registers (`bpf_fastcall`): which stores and loads belong to one, and how
//! much stack is left when they are taken out.
//!
//! Invariants: a pattern is a call with pairs of `*(u64 *)(r10 + off) = rX` before and `rX = *(u64 *)(r10 + off)` after
//! it, at the lowest offsets that its subprogram spills to, the innermost pair lowest; one other access below the
//! boundary voids the patterns of that subprogram for good.

use skep_spec::insn::{Insn, class, mode, size};

use crate::structure::Subprograms;

/// A call that keeps the argument registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastCall {
    /// How many arguments it takes; these and r0 are not kept.
    pub params: u8,
    /// Whether it is compiled to instructions in place, so that nothing is lost at all.
    pub inlined: bool,
}

/// The patterns of a program.
#[derive(Clone, Debug, Default)]
pub struct FastCalls {
    /// Slots that belong to a pattern; empty without patterns.
    member: Vec<bool>,
    subprograms: Vec<Boundary>,
}

/// Where the spills of one subprogram lie.
#[derive(Clone, Copy, Debug)]
struct Boundary {
    start: usize,
    end: usize,
    /// Below this offset from r10 only patterns may be; `None` without patterns.
    off: Option<i16>,
    /// Some pattern is around a call in place, and so can be taken out.
    can_be_removed: bool,
    /// Some pattern is around a real call, and so stays.
    stays: bool,
}

const WORD: i16 = 8;
const STORE: u8 = class::STX | mode::MEM | size::DW;
const LOAD: u8 = class::LDX | mode::MEM | size::DW;

/// A spill to the frame.
const fn is_spill(insn: Insn) -> bool {
    insn.code == STORE && insn.dst == 10
}

impl FastCalls {
    /// Finds them; `call` says whether the call at a slot is one.
    pub fn find(
        insns: &[Insn],
        subprograms: &Subprograms,
        call: &mut dyn FnMut(usize, Insn) -> Option<FastCall>,
    ) -> FastCalls {
        let mut found = FastCalls {
            member: Vec::new(),
            subprograms: Vec::with_capacity(subprograms.count()),
        };
        for sub in subprograms.all() {
            let mut boundary = Boundary {
                start: sub.start,
                end: sub.end,
                off: None,
                can_be_removed: false,
                stays: false,
            };
            let spills = insns[sub.start..sub.end]
                .iter()
                .filter(|insn| is_spill(**insn));
            let lowest = spills.map(|insn| insn.off).min().unwrap_or(0).min(0);
            if lowest < 0 && lowest % WORD == 0 {
                for at in sub.start..sub.end {
                    if insns[at].is_call()
                        && let Some(call) = call(at, insns[at])
                    {
                        found.add(insns, &mut boundary, at, call, lowest);
                    }
                }
            }
            found.subprograms.push(boundary);
        }
        found
    }

    /// Takes in the pairs around one call.
    fn add(
        &mut self,
        insns: &[Insn],
        boundary: &mut Boundary,
        at: usize,
        call: FastCall,
        lowest: i16,
    ) {
        // r1 to r5 without the arguments.
        let mut kept: u16 = 0x3e & !((1 << (call.params.min(5) + 1)) - 1);
        let mut pairs = 0;
        while at > boundary.start + pairs && at + pairs + 1 < boundary.end {
            let (spill, fill) = (insns[at - pairs - 1], insns[at + pairs + 1]);
            let off = lowest + WORD * pairs as i16;
            let matches = is_spill(spill)
                && fill.code == LOAD
                && fill.src == 10
                && spill.src == fill.dst
                && spill.off == off
                && fill.off == off
                && kept >> spill.src & 1 != 0;
            if !matches {
                break;
            }
            kept &= !(1 << spill.src);
            pairs += 1;
        }
        if pairs == 0 {
            return;
        }
        self.member.resize(insns.len(), false);
        self.member[at - pairs..at].fill(true);
        self.member[at + 1..=at + pairs].fill(true);
        let end = lowest + WORD * pairs as i16;
        boundary.off = Some(boundary.off.map_or(end, |off| off.min(end)));
        boundary.can_be_removed |= call.inlined;
        boundary.stays |= !call.inlined;
    }

    /// Whether there is nothing to keep an eye on.
    pub fn is_empty(&self) -> bool {
        self.subprograms.iter().all(|sub| sub.off.is_none())
    }

    /// The instruction at a slot accesses the frame of a subprogram at that offset from its r10, or above.
    #[inline]
    pub fn access(&mut self, subprogram: usize, slot: usize, off: i64) {
        let Some(sub) = self.subprograms.get_mut(subprogram) else {
            return;
        };
        if let Some(boundary) = sub.off
            && off < i64::from(boundary)
            && !self.member.get(slot).is_some_and(|&member| member)
        {
            sub.off = None;
            let (start, end) = (sub.start, sub.end);
            self.member[start..end].fill(false);
        }
    }

    /// The stack that a subprogram takes once its patterns are taken out.
    pub fn stack_bytes(&self, subprogram: usize, bytes: u32) -> u32 {
        match self.subprograms.get(subprogram) {
            Some(sub) if sub.can_be_removed && !sub.stays => {
                sub.off.map_or(bytes, |off| u32::from(off.unsigned_abs()))
            }
            _ => bytes,
        }
    }
}
