//! Every state that a verification met, by instruction: what runs of the program can be held against.
//!
//! Invariants: with a recording, scalars are compared as if their exact value mattered, so that a path ends at a
//! stored state only if that state holds every concrete value of the path; a value that no recorded state of an instruction
//! holds is a mistake of the verifier (or of who runs the program). Registers that nothing reads any more are not held.

use crate::input::Input;
use crate::state::State;
use crate::state::frame::Frame;
use crate::state::reg::{Detail, Flags, Kind, Reg};
use crate::verified::{Rejection, Verified};
use crate::verifier::Verifier;

/// States of one instruction that are kept; an instruction with more is not held against anything.
const STATES_MAX: usize = 512;

/// The states met.
#[derive(Debug, Default)]
pub struct Recording {
    states: Vec<Met>,
    /// Registers that may be read, by instruction.
    live: Vec<u16>,
}

#[derive(Debug, Default)]
struct Met {
    frames: Vec<(usize, std::rc::Rc<Frame>)>,
    too_many: bool,
}

/// What is concrete: registers before an instruction, and where things lie.
pub struct Concrete<'c> {
    pub regs: &'c [u64; 11],
    /// r10 of each active frame.
    pub frame_tops: &'c [u64],
    /// The packet's bytes.
    pub packet: Option<std::ops::Range<u64>>,
    /// The start of the value of that map that holds the address, where one does.
    pub value_start: &'c dyn Fn(u32, u64) -> Option<u64>,
}

/// Verifies the program and keeps every state.
pub fn record(input: &Input) -> Result<(Verified, Recording), Box<Rejection>> {
    let mut verifier = Verifier::new(input);
    verifier.recording = Some(Recording {
        states: std::iter::repeat_with(Met::default)
            .take(input.insns.len())
            .collect(),
        live: Vec::new(),
    });
    let answer = verifier.run();
    let mut recording = verifier.recording.take().unwrap_or_default();
    recording.live = (0..input.insns.len())
        .map(|insn| verifier.shape.live.before(insn))
        .collect();
    crate::answer(verifier, answer).map(|verified| (verified, recording))
}

impl Recording {
    /// The state before that instruction.
    pub(crate) fn add(&mut self, insn: usize, state: &State) {
        let Some(met) = self.states.get_mut(insn) else {
            return;
        };
        if met.too_many {
            return;
        }
        if met.frames.len() == STATES_MAX {
            met.too_many = true;
            met.frames = Vec::new();
            return;
        }
        if let Some(frame) = state.frames.last() {
            met.frames.push((state.frames.len(), frame.clone()));
        }
    }

    /// Whether some recorded state of the instruction holds these values; if not, what none of them holds.
    pub fn check(&self, insn: usize, concrete: &Concrete<'_>) -> Result<(), String> {
        let Some(met) = self.states.get(insn) else {
            return Err(format!("instruction {insn} is not of the program"));
        };
        if met.too_many {
            return Ok(());
        }
        if met.frames.is_empty() {
            return Err(format!(
                "instruction {insn} runs, but no path was seen to lead there"
            ));
        }
        let live = self.live.get(insn).copied().unwrap_or(0);
        let mut nearest: Option<(u8, u8, Reg)> = None;
        for (depth, frame) in &met.frames {
            if *depth != concrete.frame_tops.len() {
                continue;
            }
            let mut held = 0;
            let wrong = (0..10_u8).find(|&number| {
                let holds = live & (1 << number) == 0
                    || holds(
                        &frame.regs[usize::from(number)],
                        concrete.regs[usize::from(number)],
                        concrete,
                    );
                held += u8::from(holds);
                !holds
            });
            match wrong {
                None => return Ok(()),
                Some(number) if nearest.is_none_or(|(best, _, _)| held >= best) => {
                    nearest = Some((held, number, frame.regs[usize::from(number)]));
                }
                Some(_) => {}
            }
        }
        Err(match nearest {
            Some((_, number, reg)) => format!(
                "before instruction {insn} r{number} is {:#x}; of {} states none holds that, the nearest has {reg:?}",
                concrete.regs[usize::from(number)],
                met.frames.len()
            ),
            None => format!(
                "before instruction {insn}: no state has {} frames",
                concrete.frame_tops.len()
            ),
        })
    }
}

/// Whether the abstract register holds the concrete value.
fn holds(reg: &Reg, value: u64, concrete: &Concrete<'_>) -> bool {
    if reg.kind == Kind::NotInit {
        return true;
    }
    if reg.kind == Kind::Scalar {
        return reg.num.contains(value);
    }
    if reg.flags.has(Flags::MAYBE_NULL) && value == 0 {
        return true;
    }
    let variable = |start: u64| {
        reg.num.contains(
            value
                .wrapping_sub(start)
                .wrapping_sub(reg.off as i64 as u64),
        )
    };
    match (reg.kind, reg.detail) {
        (Kind::Stack, _) => concrete
            .frame_tops
            .get(usize::from(reg.frame))
            .is_some_and(|&top| variable(top)),
        (Kind::Packet, _) => concrete
            .packet
            .as_ref()
            .is_none_or(|packet| variable(packet.start)),
        (Kind::PacketEnd, _) => concrete
            .packet
            .as_ref()
            .is_none_or(|packet| packet.end == value),
        (Kind::MapValue, Detail::Map { map, .. }) => match (concrete.value_start)(map.0, value) {
            Some(start) if variable(start) => true,
            // It has left its value, into a neighbour's maybe: then the value is the one that it was moved away from.
            Some(_) => {
                let before = value.wrapping_sub(reg.off as i64 as u64);
                (concrete.value_start)(map.0, before).is_none_or(variable)
            }
            // Beyond its value, which is allowed as long as nothing is accessed there.
            None => value != 0,
        },
        // Objects whose place is not known here; addresses of typed kernel memory may be null.
        (Kind::BtfId, _) => true,
        _ => value != 0,
    }
}
