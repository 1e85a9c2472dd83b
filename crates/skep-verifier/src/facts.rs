//! What holds each time an instruction runs, for an engine that runs verified programs without checks.
//!
//! Invariants: a fact is joined over all visits of an instruction, and it holds in all runs, those of paths that were
//! not walked to their end among them. Such a path ends where a stored state covers its own, and the instructions behind
//! were visited with the stored state instead. So only what covering keeps may be noted here:
//!
//! - the kind, flags and fixed offset of a pointer that is used: covering wants them equal in each register and slot that
//!   may still be read (a packet pointer may only have more bytes proven behind it);
//! - numbers whose exact value mattered: those added to pointers, keys that were taken for constants, and whatever decided
//!   a conditional jump are marked precise, and the covered state must then lie within the stored one;
//! - that bytes of stack may be read before they are written: covering does not keep that, since a stored state with some
//!   number in a slot covers one with nothing there. So it is noted both where such bytes are read and where they are
//!   covered while a read may still come.
//!
//! What is known of any other number at a visit does not hold in all runs and is never noted; [`width`] works such
//! bounds out over the graph instead. Visits that only speculation makes add to a fact, never take from it.

use crate::input::MapId;
use crate::state::reg::{Flags, Kind, Reg};
use crate::verified::Ways;
use crate::verifier::Verifier;

pub mod width;

/// What holds each time an instruction runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InsnFacts {
    /// Some path reaches it.
    pub reached: bool,
    /// Of a conditional jump: which ways it can go.
    pub ways: Ways,
    /// Of a load, store or atomic instruction: what its pointer leads to.
    pub access: Way,
    /// Of an access of packet bytes: how many bytes from the pointer's start are proven to be there, at least.
    pub packet_bytes: Option<u16>,
    /// Of an addition or subtraction that always has one pointer and one number in registers: the number's largest value,
    /// unsigned.
    pub index_max: Option<u64>,
    /// Of a helper call: the one map that it is always made with.
    pub map: Option<MapId>,
    /// Of a lookup in an array or a tail call: the one index that it is always made with.
    pub key: Option<u32>,
}

/// What the pointer of an access leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// No path makes the access, or the instruction makes none.
    #[default]
    Never,
    /// Plain memory in which the access surely lies: stack, map values, keys lent to callbacks, packets, reserved records,
    /// memory that a call handed out.
    Direct,
    /// The context, at that offset from its start.
    Context { offset: u32 },
    /// The kernel's structures by their types; with `probe`, the address may be bad and a load gives 0 then.
    Typed { probe: bool },
    /// Anything else: structures that the kernel converts or keeps to itself, or sometimes this and sometimes that.
    Other,
}

impl Way {
    /// The way of an access at `off` from the register.
    fn of(reg: &Reg, off: i16) -> Way {
        match reg.kind {
            Kind::Stack | Kind::MapValue | Kind::MapKey | Kind::Packet | Kind::PacketMeta => {
                Way::Direct
            }
            Kind::Mem if reg.flags.has(Flags::RDONLY.with(Flags::UNTRUSTED)) => {
                Way::Typed { probe: true }
            }
            Kind::Mem if !reg.flags.any(Flags::PERCPU.with(Flags::USER)) => Way::Direct,
            Kind::Ctx if reg.num.as_const() == Some(0) => {
                match u32::try_from(i64::from(reg.off) + i64::from(off)) {
                    Ok(offset) => Way::Context { offset },
                    Err(_) => Way::Other,
                }
            }
            Kind::BtfId => Way::Typed { probe: false },
            _ => Way::Other,
        }
    }

    /// What both are.
    #[must_use]
    pub fn join(self, other: Way) -> Way {
        match (self, other) {
            (Way::Never, way) | (way, Way::Never) => way,
            (a, b) if a == b => a,
            // A probed load gives what lies there, whatever it is.
            (Way::Typed { .. }, Way::Typed { .. }) => Way::Typed { probe: true },
            _ => Way::Other,
        }
    }
}

/// What is known of one function of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionFacts {
    /// Its first instruction.
    pub start: usize,
    /// Bytes of stack that it uses.
    pub stack_bytes: u32,
    /// It, or what it calls, may read bytes of its stack that nothing has written: they must hold nothing secret.
    pub reads_unwritten: bool,
}

/// The facts of one instruction as they are gathered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gathered {
    pub way: Way,
    /// Some visit went through a [`Kind::Mem`].
    through_mem: bool,
    packet_bytes: Option<u16>,
    index_max: Option<u64>,
    /// Some visit calculated with two numbers, or two pointers.
    no_index: bool,
    /// The key, or the fact that it varies.
    key: Option<Option<u32>>,
}

/// A pointer about to be used; the register may be overwritten by what it is used for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub kind: Kind,
    pub flags: Flags,
    way: Way,
    range: i32,
}

impl Used {
    /// To be accessed at `off`.
    #[inline]
    pub fn new(reg: &Reg, off: i16) -> Used {
        Used {
            kind: reg.kind,
            flags: reg.flags,
            way: Way::of(reg, off),
            range: if reg.is_packet() { reg.range() } else { -1 },
        }
    }
}

impl Verifier<'_> {
    /// The current instruction's access was found good.
    #[inline]
    pub(crate) fn note_way(&mut self, used: &Used) {
        let gathered = &mut self.aux[self.insn_idx].gathered;
        if gathered.way != used.way {
            gathered.way = gathered.way.join(used.way);
        }
        gathered.through_mem |= used.kind == Kind::Mem;
        if used.range >= 0 {
            let range = u16::try_from(used.range).unwrap_or(0);
            let before = gathered.packet_bytes.unwrap_or(u16::MAX);
            gathered.packet_bytes = Some(before.min(range));
        }
    }

    /// The current instruction calculates a pointer with a number of at most that size, which is precise.
    #[inline]
    pub(crate) fn note_index(&mut self, max: u64) {
        let known = &mut self.aux[self.insn_idx].gathered.index_max;
        *known = Some(known.unwrap_or(0).max(max));
    }

    /// The current instruction calculates with two numbers, or two pointers.
    #[inline]
    pub(crate) fn note_no_index(&mut self) {
        self.aux[self.insn_idx].gathered.no_index = true;
    }

    /// The current call is made with that key, or with an unknown one.
    pub(crate) fn note_key(&mut self, key: Option<u64>) {
        let key = key.and_then(|key| u32::try_from(key).ok());
        let known = &mut self.aux[self.insn_idx].gathered.key;
        match known {
            None => *known = Some(key),
            Some(before) if *before != key => *known = Some(None),
            Some(_) => {}
        }
    }

    /// A byte of that frame that nothing wrote may be read.
    pub(crate) fn note_unwritten(&mut self, frame: usize) {
        let subprog = match self.state.frames.get(frame) {
            Some(frame) => frame.subprog as usize,
            None => return,
        };
        if let Some(subprog) = self.subprogs.get_mut(subprog) {
            subprog.reads_unwritten = true;
        }
    }

    /// The facts of every instruction slot.
    pub(crate) fn insn_facts(&self) -> Vec<InsnFacts> {
        self.aux
            .iter()
            .map(|aux| InsnFacts {
                reached: aux.seen,
                ways: aux.ways,
                access: match aux.gathered.way {
                    Way::Typed { .. } | Way::Direct if aux.probe => Way::Typed { probe: true },
                    // What a function takes for plain memory may be a structure of the kernel's.
                    Way::Direct if aux.gathered.through_mem && self.typed_as_memory => Way::Other,
                    way => way,
                },
                packet_bytes: aux.gathered.packet_bytes,
                index_max: aux.gathered.index_max.filter(|_| !aux.gathered.no_index),
                map: aux.map.flatten(),
                key: aux.gathered.key.flatten(),
            })
            .collect()
    }

    /// The facts of every function, in the order of their instructions.
    pub(crate) fn function_facts(&self) -> Vec<FunctionFacts> {
        self.subprogs
            .iter()
            .map(|subprog| FunctionFacts {
                start: subprog.start,
                stack_bytes: subprog.stack_depth,
                reads_unwritten: subprog.reads_unwritten,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
