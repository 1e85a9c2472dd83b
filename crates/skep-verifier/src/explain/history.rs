//! Where a value came from, and where what was known of it was gained or lost: a walk back over the failing path.
//!
//! Invariant: events are returned from the latest to the earliest, each at an instruction of the path.

use skep_spec::insn::{Insn, alu, class, jmp, mode, size};

use crate::explain::trail::Point;
use crate::input::Input;
use crate::state::State;
use crate::state::frame::slot_index;
use crate::state::reg::{Kind, Reg};

/// A register or stack slot of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Register { frame: u8, number: u8 },
    Slot { frame: u8, index: usize },
}

/// What happened to the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The program or function got it as an argument.
    Argument,
    /// A helper, or kfunc, returned it; the number is the helper's or -1.
    Returned {
        helper: i32,
    },
    /// It was loaded from memory through a pointer of that kind.
    Loaded {
        from: Kind,
        off: i32,
        bytes: u32,
    },
    /// It was computed: the operation's code, and the other operand's register.
    Computed {
        code: u8,
        operand: Option<u8>,
    },
    /// It is a constant, map, or function address of the program.
    Immediate,
    /// It was copied from another register.
    Moved {
        from: u8,
        partial: bool,
    },
    Spilled {
        from: u8,
    },
    /// A load from the stack that keeps the value only in part, or bytes that were stored separately.
    Filled {
        whole: bool,
    },
    /// A call left the register without a value.
    Clobbered,
    /// A jump taught something: the register is now bounded as the state shows.
    Refined {
        taken: bool,
    },
    /// Never written on this path.
    NeverWritten,
}

/// One event of a value's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Index of the point in the trail.
    pub point: usize,
    pub insn: usize,
    pub what: What,
    /// The holder of the value after the event.
    pub holder: Holder,
}

/// The register as the state has it.
pub fn holding(state: &State, holder: Holder) -> Option<Reg> {
    match holder {
        Holder::Register { frame, number } => {
            Some(state.frames.get(usize::from(frame))?.regs[usize::from(number)])
        }
        Holder::Slot { frame, index } => {
            Some(state.frames.get(usize::from(frame))?.stack.get(index)?.reg)
        }
    }
}

/// The history of what `holder` holds before the trail's point `end`, at most `limit` events.
pub fn of(input: &Input, trail: &[Point], end: usize, holder: Holder, limit: usize) -> Vec<Event> {
    let mut events = Vec::new();
    let mut holder = holder;
    let mut at = end;
    while at > 0 && events.len() < limit {
        at -= 1;
        let Some((before, after)) = trail.get(at).zip(trail.get(at + 1)) else {
            break;
        };
        let Some(&insn) = input.insns.get(before.insn) else {
            break;
        };
        let depth = (before.state.frames.len() - 1) as u8;
        let mut push = |what| {
            events.push(Event {
                point: at,
                insn: before.insn,
                what,
                holder,
            })
        };
        // A value of a frame that the call just made: it came from the caller's registers.
        let entered = after.state.frames.len() > before.state.frames.len();
        let left = after.state.frames.len() < before.state.frames.len();
        match holder {
            Holder::Register { frame, number }
                if entered && usize::from(frame) + 1 == after.state.frames.len() =>
            {
                if (1..=5).contains(&number) && insn.is_local_call() {
                    holder = Holder::Register {
                        frame: depth,
                        number,
                    };
                    continue;
                }
                push(if number <= 5 {
                    What::Argument
                } else {
                    What::NeverWritten
                });
                return events;
            }
            Holder::Slot { frame, .. }
                if entered && usize::from(frame) + 1 == after.state.frames.len() =>
            {
                push(What::NeverWritten);
                return events;
            }
            Holder::Register { frame, number }
                if left && usize::from(frame) + 1 == after.state.frames.len() =>
            {
                match number {
                    0 => {
                        holder = Holder::Register {
                            frame: depth,
                            number: 0,
                        }
                    }
                    1..=5 => {
                        push(What::Clobbered);
                        return events;
                    }
                    _ => {}
                }
                continue;
            }
            Holder::Register { frame, number } if frame == depth => {
                let Some(written) = written(insn, number) else {
                    if refined(before, after, holder) {
                        push(What::Refined {
                            taken: after.insn != before.insn + 1,
                        });
                    }
                    continue;
                };
                match written {
                    Written::Moved(from, partial) => {
                        push(What::Moved { from, partial });
                        holder = Holder::Register {
                            frame,
                            number: from,
                        };
                    }
                    Written::Loaded => {
                        let base = before.state.frame().regs[usize::from(insn.src)];
                        if base.kind == Kind::Stack && base.num.as_const().is_some() {
                            let off = base.off
                                + i32::from(insn.off)
                                + base.num.as_const().unwrap_or(0) as i32;
                            if !(-512..0).contains(&off) {
                                return events;
                            }
                            let index = slot_index(off);
                            let whole = before
                                .state
                                .frames
                                .get(usize::from(base.frame))
                                .and_then(|frame| frame.stack.get(index))
                                .is_some_and(|slot| slot.is_spill());
                            push(What::Filled { whole });
                            holder = Holder::Slot {
                                frame: base.frame,
                                index,
                            };
                        } else {
                            push(What::Loaded {
                                from: base.kind,
                                off: base.off.saturating_add(i32::from(insn.off)),
                                bytes: insn.width() as u32,
                            });
                            return events;
                        }
                    }
                    Written::Computed => {
                        let operand = insn.is_register_form().then_some(insn.src);
                        push(What::Computed {
                            code: insn.code,
                            operand,
                        });
                        // A pointer's history goes on with the pointer.
                        if let Some(source) = operand
                            && before.state.frame().regs[usize::from(source)].is_pointer()
                            && !before.state.frame().regs[usize::from(number)].is_pointer()
                        {
                            holder = Holder::Register {
                                frame,
                                number: source,
                            };
                        }
                    }
                    Written::Immediate => {
                        push(What::Immediate);
                        return events;
                    }
                    Written::Returned => {
                        push(What::Returned {
                            helper: if insn.is_helper_call() { insn.imm } else { -1 },
                        });
                        return events;
                    }
                    Written::Clobbered => {
                        push(What::Clobbered);
                        return events;
                    }
                }
            }
            Holder::Slot { frame, index } => {
                let store = matches!(insn.code & class::MASK, class::ST | class::STX);
                let base = before.state.frame().regs[usize::from(insn.dst)];
                let hits = store
                    && base.kind == Kind::Stack
                    && base.frame == frame
                    && base.num.as_const().is_some()
                    && {
                        let off = base.off
                            + i32::from(insn.off)
                            + base.num.as_const().unwrap_or(0) as i32;
                        (-512..0).contains(&off) && slot_index(off) == index
                    };
                if hits
                    && insn.code & class::MASK == class::STX
                    && insn.code & mode::MASK == mode::MEM
                {
                    push(What::Spilled { from: insn.src });
                    if insn.code & size::MASK != size::DW
                        && before.state.frame().regs[usize::from(insn.src)].is_pointer()
                    {
                        return events;
                    }
                    holder = Holder::Register {
                        frame: depth,
                        number: insn.src,
                    };
                } else if hits {
                    push(What::Immediate);
                    return events;
                }
            }
            Holder::Register { .. } => {}
        }
    }
    if at == 0 && events.len() < limit {
        let what = match holder {
            Holder::Register {
                number: 1,
                frame: 0,
            } => What::Argument,
            _ => What::NeverWritten,
        };
        let insn = trail.first().map_or(0, |point| point.insn);
        events.push(Event {
            point: 0,
            insn,
            what,
            holder,
        });
    }
    events
}

enum Written {
    Moved(u8, bool),
    Loaded,
    Computed,
    Immediate,
    Returned,
    Clobbered,
}

/// How the instruction writes register `number`, if it does.
fn written(insn: Insn, number: u8) -> Option<Written> {
    match insn.code & class::MASK {
        class::ALU | class::ALU64 if insn.dst == number => {
            if insn.code & 0xf0 != alu::MOV {
                return Some(Written::Computed);
            }
            Some(if insn.is_register_form() {
                Written::Moved(
                    insn.src,
                    insn.code & class::MASK == class::ALU || insn.off != 0,
                )
            } else {
                Written::Immediate
            })
        }
        class::LDX if insn.dst == number => Some(Written::Loaded),
        class::LD => {
            if insn.is_ld_imm64() {
                (insn.dst == number).then_some(Written::Immediate)
            } else if number == 0 {
                Some(Written::Returned)
            } else {
                (number <= 5).then_some(Written::Clobbered)
            }
        }
        class::STX if insn.code & mode::MASK == mode::ATOMIC && insn.imm & 1 != 0 => {
            let fetched = if insn.imm == 0xf1 { 0 } else { insn.src };
            (fetched == number).then_some(Written::Loaded)
        }
        class::JMP if insn.code & 0xf0 == jmp::CALL && !insn.is_local_call() => match number {
            0 => Some(Written::Returned),
            1..=5 => Some(Written::Clobbered),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the jump between the two points changed what is known of the number.
fn refined(before: &Point, after: &Point, holder: Holder) -> bool {
    match (
        holding(&before.state, holder),
        holding(&after.state, holder),
    ) {
        (Some(old), Some(new)) => {
            old.kind != new.kind
                || old.flags != new.flags
                || old.num != new.num
                || old.detail != new.detail
        }
        _ => false,
    }
}
