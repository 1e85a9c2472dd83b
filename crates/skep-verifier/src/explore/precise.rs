//! Which numbers matter: walks back along a path from where a number decided something to where it came from.
//!
//! Invariants: a number that is not marked in a stored state may be anything there without changing what follows; the
//! current state is never marked, only those it came from. What cannot be followed marks everything.

use skep_spec::insn::{Insn, alu, atomic, class, jmp, mode, pseudo};

use super::history::{Deed, Entry, History, Trail};
use crate::cfg::Mark;
use crate::fault::{Fault, Rule};
use crate::state::State;
use crate::state::reg::Kind;
use crate::verifier::Verifier;

const EFAULT: i32 = 14;
const TAIL_CALL: i32 = 12;
/// r1 to r5
const ARGUMENTS: u16 = 0x3e;
const FRAMES: usize = 8;

/// Registers and slots that are followed, by frame.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    regs: [u16; FRAMES],
    slots: [u64; FRAMES],
    /// The frame that the instruction at hand belongs to.
    frame: usize,
}

/// An instruction whose effect on numbers is not followed.
struct Untraceable;

impl Wanted {
    fn none() -> Wanted {
        Wanted::default()
    }

    fn is_empty(&self) -> bool {
        let own = self.frame;
        self.regs[own] == 0
            && self.slots[own] == 0
            && self.regs[..own].iter().all(|&mask| mask == 0)
            && self.slots[..own].iter().all(|&mask| mask == 0)
    }

    fn regs(&self) -> u16 {
        self.regs[self.frame]
    }

    fn has(&self, number: u8) -> bool {
        self.regs() >> number & 1 != 0
    }

    fn add(&mut self, number: u8) {
        self.regs[self.frame] |= 1 << number;
    }

    fn drop(&mut self, number: u8) {
        self.regs[self.frame] &= !(1 << number);
    }

    /// Whether walking back over the instruction may make a difference.
    #[inline]
    fn may_change(&self, insn: Insn, entry: Option<&Entry>) -> bool {
        entry.is_some()
            || match insn.class() {
                class::ALU | class::ALU64 | class::LDX => self.has(insn.dst),
                _ => true,
            }
    }

    /// The other end of the links that the instruction used.
    fn add_linked(&mut self, entry: Option<&Entry>) {
        let Some(links) = entry
            .map(|entry| entry.links)
            .filter(|links| !links.is_empty())
        else {
            return;
        };
        let is_wanted = links.iter().any(|place| {
            let frame = usize::from(place.frame);
            if place.spilled {
                self.slots[frame] >> place.number & 1 != 0
            } else {
                self.regs[frame] >> place.number & 1 != 0
            }
        });
        if is_wanted {
            for place in links.iter() {
                let frame = usize::from(place.frame);
                if place.spilled {
                    self.slots[frame] |= 1 << place.number;
                } else {
                    self.regs[frame] |= 1 << place.number;
                }
            }
        }
    }

    /// The call that entered the frame: goes on in its caller.
    fn leave_callee(&mut self) -> Rule {
        if self.frame == 0 {
            return Err(bug("backtracking out of the outermost frame"));
        }
        self.frame -= 1;
        Ok(())
    }

    /// The exit of a function: goes on in it.
    fn enter_callee(&mut self) -> Rule {
        if self.frame + 1 == FRAMES {
            return Err(bug("backtracking into too many frames"));
        }
        self.frame += 1;
        Ok(())
    }
}

/// A stretch of a path between two stored states.
#[derive(Clone, Copy, Debug)]
pub struct Leg {
    trail: Trail,
    first: usize,
    /// The instruction to start at: -1 at the start of all.
    last: i32,
    parent: Option<u32>,
    frames: usize,
}

impl Leg {
    /// The stretch that ends before `insn`.
    pub fn of(state: &State, insn: usize) -> Leg {
        Leg {
            trail: state.trail,
            first: state.first_insn,
            last: insn as i32,
            parent: state.parent,
            frames: state.frames.len(),
        }
    }
}

#[cold]
fn bug(what: &str) -> Box<Fault> {
    Fault::new(EFAULT, "verifier-bug", format!("verifier bug: {what}"))
}

impl Verifier<'_> {
    /// Notes that the exact value of register `number` of the active frame matters, here and where it came from.
    pub fn mark_precise(&mut self, number: u8) -> Rule {
        if !self.allow.bpf {
            // Without privileges every number is taken to matter.
            return Ok(());
        }
        if self.reg(number).kind != Kind::Scalar {
            return Err(bug(&format!("backtracking misuse: R{number} is no number")));
        }
        let mut wanted = Wanted::none();
        wanted.frame = self.state.frames.len() - 1;
        wanted.add(number);
        let leg = Leg::of(&self.state, self.insn_idx);
        self.walk_back(leg, wanted).map(|_| ())
    }

    /// The same for the number spilled in a stack slot of frame `frame`.
    pub fn mark_stack_precise(&mut self, frame: usize, slot: usize) -> Rule {
        if !self.allow.bpf || slot >= 64 || frame >= self.state.frames.len() {
            return Ok(());
        }
        let mut wanted = Wanted::none();
        wanted.frame = self.state.frames.len() - 1;
        wanted.slots[frame] |= 1 << slot;
        let leg = Leg::of(&self.state, self.insn_idx);
        self.walk_back(leg, wanted).map(|_| ())
    }

    /// What mattered in the stored state `old` matters at the end of `leg`, too. Says whether that was news.
    pub fn propagate_precision(&mut self, old: u32, leg: Leg) -> Rule<bool> {
        if !self.allow.bpf {
            return Ok(false);
        }
        let mut wanted = Wanted::none();
        wanted.frame = leg.frames - 1;
        let checkpoint = &self.explore.checkpoints[old as usize];
        for (frame, marks) in checkpoint.marks.iter().enumerate() {
            wanted.regs[frame] = marks.precise_regs & 0x3ff;
            wanted.slots[frame] = marks.precise_slots & marks.alive_slots;
            if checkpoint.cleaned {
                wanted.regs[frame] &= self.live_before(&checkpoint.state, checkpoint.insn, frame);
            }
        }
        if self.log.level2() {
            for frame in (0..checkpoint.marks.len()).rev() {
                let regs = bits(wanted.regs[frame].into()).map(|number| format!("r{number}"));
                let slots =
                    bits(wanted.slots[frame]).map(|slot| format!("fp{}", -8 - 8 * slot as i32));
                let all: Vec<String> = regs.chain(slots).collect();
                if !all.is_empty() {
                    self.log
                        .line(format_args!("frame {frame}: propagating {}", all.join(",")));
                }
            }
        }
        self.walk_back(leg, wanted)
    }

    /// Follows what is wanted from the end of `leg` back to where it came from. Says whether anything new was marked.
    fn walk_back(&mut self, start: Leg, mut wanted: Wanted) -> Rule<bool> {
        let mut changed = false;
        if wanted.is_empty() {
            return Ok(false);
        }
        let level2 = self.log.level2();
        let mut leg = start;
        let mut subsequent = -1_i32;
        let mut skip = true;
        loop {
            if level2 {
                self.log.line(format_args!(
                    "mark_precise: frame{}: last_idx {} first_idx {} subseq_idx {subsequent} ",
                    wanted.frame, leg.last, leg.first
                ));
            }
            let Ok(mut at) = usize::try_from(leg.last) else {
                return self.reach_entry(wanted, changed);
            };
            let mut trail = leg.trail;
            loop {
                let entry = self.explore.history.entry(trail, at).copied();
                self.stats.side_steps += 1;
                if !std::mem::take(&mut skip)
                    && (level2 || wanted.may_change(self.insns[at], entry.as_ref()))
                {
                    if level2 && self.insns[at].code != 0 {
                        self.log_back(&wanted, at);
                    }
                    match self.back_over(at, subsequent, entry.as_ref(), &mut wanted)? {
                        Ok(()) => {}
                        Err(Untraceable) => {
                            self.mark_all_precise(&start);
                            return Ok(true);
                        }
                    }
                    if wanted.is_empty() {
                        return Ok(changed);
                    }
                }
                subsequent = at as i32;
                match History::step_back(&mut trail, leg.first, at, entry.as_ref()) {
                    None => break,
                    Some(before) => match usize::try_from(before) {
                        Ok(before) if before < self.insns.len() => at = before,
                        _ => return Err(bug("backtracking idx out of the program")),
                    },
                }
            }
            let Some(parent) = leg.parent else {
                break;
            };
            self.mark_stored(parent, &mut wanted, &mut changed);
            if wanted.is_empty() {
                return Ok(changed);
            }
            let state = &self.explore.checkpoints[parent as usize].state;
            subsequent = leg.first as i32;
            leg = Leg {
                trail: state.trail,
                first: state.first_insn,
                last: state.last_insn,
                parent: state.parent,
                frames: state.frames.len(),
            };
        }
        // Something went another way than followed.
        self.mark_all_precise(&start);
        Ok(true)
    }

    /// The start of everything: a global function's arguments may still be wanted.
    fn reach_entry(&self, wanted: Wanted, changed: bool) -> Rule<bool> {
        let global = self.explore.root_subprog > 0;
        if global && wanted.frame == 0 && wanted.slots[0] == 0 && wanted.regs[0] & !ARGUMENTS == 0 {
            return Ok(changed);
        }
        Err(bug(&format!(
            "backtracking func entry subprog {} reg_mask {:x} stack_mask {:x}",
            self.explore.root_subprog, wanted.regs[0], wanted.slots[0]
        )))
    }

    /// Marks in a stored state what is wanted there; what is no number or was marked before is not followed further.
    fn mark_stored(&mut self, index: u32, wanted: &mut Wanted, changed: &mut bool) {
        for frame in (0..=wanted.frame).rev() {
            let checkpoint = &mut self.explore.checkpoints[index as usize];
            if frame >= checkpoint.marks.len() {
                continue;
            }
            for number in bits(wanted.regs[frame].into()) {
                let bit = 1_u16 << number;
                let is_number = checkpoint.is_number(frame, number);
                let marks = &mut checkpoint.marks[frame];
                if !is_number || marks.precise_regs & bit != 0 {
                    wanted.regs[frame] &= !bit;
                } else {
                    marks.precise_regs |= bit;
                    *changed = true;
                }
            }
            for slot in bits(wanted.slots[frame]) {
                let bit = 1_u64 << slot;
                let is_number = checkpoint.is_spilled_number(frame, slot);
                let marks = &mut checkpoint.marks[frame];
                if !is_number || marks.precise_slots & bit != 0 {
                    wanted.slots[frame] &= !bit;
                } else {
                    marks.precise_slots |= bit;
                    *changed = true;
                }
            }
            if self.log.level2() {
                let regs = register_list(wanted.regs[frame]);
                let slots = slot_list(wanted.slots[frame]);
                self.log.push(format_args!(
                    "mark_precise: frame{frame}: parent state regs={regs} stack={slots}: "
                ));
                self.log_stored(index, frame);
            }
        }
    }

    /// Everything matters, in all states that the path came through.
    pub(super) fn mark_all_precise(&mut self, start: &Leg) {
        let level2 = self.log.level2();
        if level2 {
            self.log.line(format_args!(
                "mark_precise: frame{}: falling back to forcing all scalars precise",
                start.frames - 1
            ));
        }
        let mut next = start.parent;
        while let Some(index) = next {
            let checkpoint = &mut self.explore.checkpoints[index as usize];
            for frame in 0..checkpoint.marks.len() {
                for index in 0..10 {
                    let is_number = checkpoint.is_number(frame, index);
                    let marks = &mut checkpoint.marks[frame];
                    if is_number && marks.precise_regs >> index & 1 == 0 {
                        marks.precise_regs |= 1 << index;
                        if level2 {
                            self.log.line(format_args!(
                                "force_precise: frame{frame}: forcing r{index} to be precise"
                            ));
                        }
                    }
                }
                for index in 0..64 {
                    let is_number = checkpoint.is_spilled_number(frame, index);
                    let marks = &mut checkpoint.marks[frame];
                    if is_number && marks.precise_slots >> index & 1 == 0 {
                        marks.precise_slots |= 1 << index;
                        if level2 {
                            self.log.line(format_args!(
                                "force_precise: frame{frame}: forcing fp{} to be precise",
                                -8 - 8 * index as i32
                            ));
                        }
                    }
                }
            }
            next = checkpoint.state.parent;
        }
    }

    /// Frame `frame` of a stored state as the log prints it.
    pub(super) fn stored_text(&self, index: u32, frame: usize) -> String {
        let checkpoint = &self.explore.checkpoints[index as usize];
        let mut text = String::new();
        // Nothing fails to be written into a string.
        let _ = crate::state::print::write_frame(
            &mut text,
            self.input,
            &checkpoint.state,
            frame,
            None,
            checkpoint.marks.get(frame),
            !self.allow.bpf,
        );
        text
    }

    #[cold]
    fn log_stored(&mut self, index: u32, frame: usize) {
        let text = self.stored_text(index, frame);
        self.log.line(format_args!("{text}"));
    }

    #[cold]
    fn log_back(&mut self, wanted: &Wanted, at: usize) {
        let regs = register_list(wanted.regs());
        let slots = slot_list(wanted.slots[wanted.frame]);
        let made;
        let text = match self.texts.get(at) {
            Some(text) => text,
            None => {
                made = self.insn_text(at);
                &made
            }
        };
        self.log.line(format_args!(
            "mark_precise: frame{}: regs={regs} stack={slots} before {at}: {text}",
            wanted.frame
        ));
    }

    /// One instruction back: what is wanted before it for what is wanted after it.
    fn back_over(
        &self,
        at: usize,
        subsequent: i32,
        entry: Option<&Entry>,
        wanted: &mut Wanted,
    ) -> Rule<Result<(), Untraceable>> {
        let insn = self.insns[at];
        if insn.code == 0 {
            return Ok(Ok(()));
        }
        wanted.add_linked(entry);
        let deed = entry.map_or(Deed::NONE, |entry| entry.deed);
        let result = match insn.class() {
            class::ALU | class::ALU64 => {
                if wanted.has(insn.dst) {
                    back_over_alu(insn, wanted);
                }
                Ok(())
            }
            class::LDX => {
                back_over_load(insn.dst, deed, wanted);
                Ok(())
            }
            class::STX | class::ST => back_over_store(insn, deed, wanted),
            class::JMP | class::JMP32 => self.back_over_jump(insn, at, subsequent, deed, wanted)?,
            _ => {
                if !wanted.has(insn.dst) {
                    Ok(())
                } else {
                    wanted.drop(insn.dst);
                    if matches!(insn.mode(), mode::ABS | mode::IND) {
                        Err(Untraceable)
                    } else {
                        Ok(())
                    }
                }
            }
        };
        if result.is_ok() {
            wanted.add_linked(entry);
        }
        Ok(result)
    }

    fn back_over_jump(
        &self,
        insn: Insn,
        at: usize,
        subsequent: i32,
        deed: Deed,
        wanted: &mut Wanted,
    ) -> Rule<Result<(), Untraceable>> {
        let arguments = wanted.regs() & ARGUMENTS;
        if insn.is_local_call() {
            let target = (at as i64 + 1 + i64::from(insn.imm)) as usize;
            let is_global = self
                .subprogs
                .iter()
                .any(|subprog| subprog.start == target && subprog.is_global);
            if is_global && subsequent == at as i32 + 1 {
                // Its result is any number.
                if arguments != 0 {
                    return Err(bug(&format!(
                        "global subprog unexpected regs {:x}",
                        wanted.regs()
                    )));
                }
                wanted.drop(0);
                return Ok(Ok(()));
            }
            if wanted.regs() & !ARGUMENTS != 0 {
                return Err(bug(&format!(
                    "static subprog unexpected regs {:x}",
                    wanted.regs()
                )));
            }
            if wanted.slots[wanted.frame] != 0 {
                return Err(bug(&format!(
                    "static subprog leftover stack slots {:x}",
                    wanted.slots[wanted.frame]
                )));
            }
            wanted.regs[wanted.frame] = 0;
            wanted.leave_callee()?;
            wanted.regs[wanted.frame] |= arguments;
            return Ok(Ok(()));
        }
        if insn.is_call()
            && self.shape.cfg.marks(at).has(Mark::CALLS_CALLBACK)
            && at as i32 != subsequent - 1
        {
            // Out of a callback: its arguments were made by the helper.
            if wanted.regs() & !ARGUMENTS != 0 {
                return Err(bug(&format!(
                    "callback unexpected regs {:x}",
                    wanted.regs()
                )));
            }
            if wanted.slots[wanted.frame] != 0 {
                return Err(bug(&format!(
                    "callback leftover stack slots {:x}",
                    wanted.slots[wanted.frame]
                )));
            }
            wanted.regs[wanted.frame] = 0;
            wanted.leave_callee()?;
            return Ok(Ok(()));
        }
        match insn.op() {
            jmp::CALL => {
                if insn.src == pseudo::KFUNC_CALL && insn.imm == 0 {
                    return Ok(Err(Untraceable));
                }
                wanted.drop(0);
                if arguments != 0 {
                    return Err(bug(&format!(
                        "backtracking call unexpected regs {:x}",
                        wanted.regs()
                    )));
                }
                if insn.is_helper_call() && insn.imm == TAIL_CALL && subsequent - at as i32 != 1 {
                    wanted.enter_callee()?;
                }
            }
            jmp::EXIT => {
                let after = usize::try_from(subsequent).ok();
                if after.is_some_and(|after| self.shape.cfg.marks(after).has(Mark::CALLS_CALLBACK))
                {
                    wanted.regs[wanted.frame] &= !ARGUMENTS;
                } else if arguments != 0 {
                    return Err(bug(&format!(
                        "backtracking exit unexpected regs {:x}",
                        wanted.regs()
                    )));
                }
                // A callback's result goes to the helper, a function's to the instruction after the call.
                let returns = after
                    .and_then(|after| after.checked_sub(1))
                    .is_some_and(|call| {
                        self.insns
                            .get(call)
                            .is_some_and(|insn| insn.is_local_call())
                    });
                let result = returns && wanted.has(0);
                wanted.drop(0);
                wanted.enter_callee()?;
                if result {
                    wanted.add(0);
                }
            }
            jmp::JA | jmp::JCOND => {}
            _ if insn.is_register_form() && (wanted.has(insn.dst) || wanted.has(insn.src)) => {
                // The comparison bounds each by the other.
                if !deed.has(Deed::SRC_IS_STACK) {
                    wanted.add(insn.src);
                }
                if !deed.has(Deed::DST_IS_STACK) {
                    wanted.add(insn.dst);
                }
            }
            _ => {}
        }
        Ok(Ok(()))
    }
}

fn back_over_alu(insn: Insn, wanted: &mut Wanted) {
    let by_register = insn.is_register_form();
    match insn.op() {
        alu::NEG | alu::END => {}
        alu::MOV => {
            wanted.drop(insn.dst);
            if by_register && insn.src != 10 {
                wanted.add(insn.src);
            }
        }
        _ => {
            if by_register && insn.src != 10 {
                wanted.add(insn.src);
            }
        }
    }
}

fn back_over_load(into: u8, deed: Deed, wanted: &mut Wanted) {
    if !wanted.has(into) {
        return;
    }
    wanted.drop(into);
    // Numbers survive in spilled slots only; from elsewhere comes anything.
    if let Some((frame, slot)) = deed.slot() {
        wanted.slots[frame] |= 1 << slot;
    }
}

fn back_over_store(insn: Insn, deed: Deed, wanted: &mut Wanted) -> Result<(), Untraceable> {
    let is_atomic = insn.class() == class::STX && insn.mode() == mode::ATOMIC;
    if is_atomic && insn.imm == atomic::LOAD_ACQ {
        back_over_load(insn.dst, deed, wanted);
        return Ok(());
    }
    if wanted.has(insn.dst) {
        // An address is no number.
        return Err(Untraceable);
    }
    if is_atomic && insn.imm & atomic::FETCH != 0 {
        // The old value in memory becomes a register's.
        let into = if insn.imm == atomic::CMPXCHG {
            0
        } else {
            insn.src
        };
        if wanted.has(into) {
            wanted.drop(into);
            if let Some((frame, slot)) = deed.slot() {
                wanted.slots[frame] |= 1 << slot;
            }
            return Ok(());
        }
    }
    if let Some((frame, slot)) = deed.slot() {
        let bit = 1 << slot;
        if wanted.slots[frame] & bit != 0 {
            wanted.slots[frame] &= !bit;
            if insn.class() == class::STX {
                wanted.add(insn.src);
            }
        }
    }
    Ok(())
}

/// The numbers of the bits that are set.
fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let next = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(next)
    })
}

/// `r2,r3`
pub fn register_list(mask: u16) -> String {
    let all: Vec<String> = bits(mask.into())
        .map(|number| format!("r{number}"))
        .collect();
    all.join(",")
}

/// `-8,-16`
pub fn slot_list(mask: u64) -> String {
    let all: Vec<String> = bits(mask)
        .map(|slot| (-8 - 8 * slot as i32).to_string())
        .collect();
    all.join(",")
}
