//! A change of a program that is meant to make it verify, as data that can be applied.
//!
//! Invariants: applying an edit keeps every jump, call, function, line and map reference pointing at what it pointed
//! at before; inserted instructions run whenever the one they stand before would have run. An edit that cannot be expressed
//! (an offset no longer fits) is not applied at all.

use skep_spec::insn::{Insn, class, jmp};

use crate::input::{Caps, Input, MapInfo};

/// A change of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// These instructions before that slot. Their own jumps are relative among themselves; one past the end is the
    /// instruction that they stand before.
    Insert { before: usize, insns: Vec<Insn> },
    /// These after the instruction that ends before that slot: jumps to the slot pass them by.
    InsertAfter { end: usize, insns: Vec<Insn> },
    /// These in place of `count` slots from `at`.
    Replace {
        at: usize,
        count: usize,
        insns: Vec<Insn>,
    },
    /// Another licence.
    License(&'static str),
    /// These load flags too.
    Flags(u32),
    /// Without these load flags.
    WithoutFlags(u32),
    /// Loaded by a user with these privileges.
    Caps(Caps),
    /// Another place of attachment.
    AttachType(skep_spec::program::AttachType),
    /// Another kind of program.
    ProgramType(skep_spec::program::ProgramType),
    /// A map defined otherwise: its number of entries, value size, flags.
    Map { map: usize, change: MapChange },
    /// One more map: a single value of that many bytes for each CPU. It comes after all others.
    Scratch { bytes: u32 },
    /// These one after the other; places count in what the ones before have made.
    Several(Vec<Edit>),
}

/// What of a map's definition is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapChange {
    Type(skep_spec::map::MapType),
    ValueSize(u32),
    KeySize(u32),
    MaxEntries(u32),
    Flags(u32),
}

impl Edit {
    /// The input with the change made.
    pub fn apply(&self, input: &Input) -> Option<Input> {
        let mut new = input.clone();
        match self {
            Edit::Insert { before, insns } => splice(&mut new, *before, 0, insns, true)?,
            Edit::InsertAfter { end, insns } => splice(&mut new, *end, 0, insns, false)?,
            Edit::Replace { at, count, insns } => splice(&mut new, *at, *count, insns, true)?,
            Edit::License(license) => new.license = (*license).into(),
            Edit::Flags(flags) => new.flags |= flags,
            Edit::WithoutFlags(flags) => new.flags &= !flags,
            Edit::Caps(caps) => new.caps = *caps,
            Edit::Several(edits) => {
                for edit in edits {
                    new = edit.apply(&new)?;
                }
            }
            Edit::Scratch { bytes } => new.maps.push(MapInfo {
                name: "scratch".into(),
                map_type: skep_spec::map::MapType::PercpuArray,
                key_size: 4,
                value_size: *bytes,
                max_entries: 1,
                flags: 0,
                map_extra: 0,
                key_type: None,
                value_type: None,
                inner: None,
                frozen: None,
                user_address: 0,
            }),
            Edit::AttachType(attach) => new.attach_type = Some(*attach),
            Edit::ProgramType(program) => new.program_type = *program,
            Edit::Map { map, change } => {
                let map = new.maps.get_mut(*map)?;
                match *change {
                    MapChange::Type(map_type) => map.map_type = map_type,
                    MapChange::ValueSize(bytes) => map.value_size = bytes,
                    MapChange::KeySize(bytes) => map.key_size = bytes,
                    MapChange::MaxEntries(entries) => map.max_entries = entries,
                    MapChange::Flags(flags) => map.flags = flags,
                }
            }
        }
        Some(new)
    }
}

/// Where the relative reference of an instruction stands, and its target.
fn target(insn: Insn, at: usize) -> Option<i64> {
    let next = at as i64 + 1;
    match insn.code & class::MASK {
        class::JMP | class::JMP32 => match insn.code & 0xf0 {
            jmp::EXIT => None,
            jmp::CALL => insn.is_local_call().then(|| next + i64::from(insn.imm)),
            jmp::JA if insn.code & class::MASK == class::JMP32 => Some(next + i64::from(insn.imm)),
            _ => Some(next + i64::from(insn.off)),
        },
        // The address of a function counts from the instruction after the first slot.
        class::LD if insn.is_ld_imm64() && insn.src == 4 => Some(next + i64::from(insn.imm)),
        _ => None,
    }
}

fn retarget(insn: &mut Insn, at: usize, to: i64) -> Option<()> {
    let relative = to - (at as i64 + 1);
    let wide = insn.is_local_call()
        || insn.is_ld_imm64()
        || insn.code & 0xf0 == jmp::JA && insn.code & class::MASK == class::JMP32;
    if wide {
        insn.imm = i32::try_from(relative).ok()?;
    } else {
        insn.off = i16::try_from(relative).ok()?;
    }
    Some(())
}

fn splice(input: &mut Input, at: usize, count: usize, insns: &[Insn], caught: bool) -> Option<()> {
    let old = &input.insns;
    let end = at.checked_add(count)?;
    if end > old.len() {
        return None;
    }
    let grown = insns.len() as i64 - count as i64;
    // What stood at `at` or is replaced is now reached through the first inserted instruction, if jumps are `caught`.
    let moved = |slot: i64| {
        if slot < at as i64 || caught && slot == at as i64 {
            slot
        } else if slot < end as i64 {
            at as i64
        } else {
            slot + grown
        }
    };
    let mut new: Vec<Insn> = Vec::with_capacity((old.len() as i64 + grown) as usize);
    let mut after_wide = false;
    for (slot, &insn) in old.iter().enumerate() {
        if slot == at {
            new.extend_from_slice(insns);
        }
        if slot >= at && slot < end {
            continue;
        }
        let mut insn = insn;
        let place = new.len();
        if !after_wide && let Some(to) = target(insn, slot) {
            retarget(&mut insn, place, moved(to))?;
        }
        after_wide = !after_wide && insn.is_ld_imm64();
        new.push(insn);
    }
    if at == old.len() {
        new.extend_from_slice(insns);
    }
    let shift = |slot: &mut usize| {
        // A function or line that starts where something is inserted starts with it.
        if *slot > at {
            *slot = moved(*slot as i64).max(0) as usize;
        }
    };
    if insns.is_empty() {
        // A function that is taken out as a whole leaves no record.
        input
            .functions
            .retain(|function| !(at..end).contains(&function.insn));
    }
    input
        .functions
        .iter_mut()
        .for_each(|function| shift(&mut function.insn));
    input
        .lines
        .iter_mut()
        .for_each(|line| shift(&mut line.insn));
    input.insns = new;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_spec::program::ProgramType;

    fn program(insns: Vec<Insn>) -> Input {
        Input::new(ProgramType::SocketFilter, insns)
    }

    #[test]
    fn jumps_over_and_to_an_insertion() {
        let input = program(vec![
            Insn::jmp64_imm(jmp::JEQ, 1, 0, 1), // to 2
            Insn::ja(-2),                       // to 0
            Insn::mov64_imm(0, 0),
            Insn::exit(),
        ]);
        let edit = Edit::Insert {
            before: 2,
            insns: vec![Insn::mov64_imm(3, 1), Insn::mov64_imm(4, 1)],
        };
        let new = edit.apply(&input).unwrap();
        assert_eq!(new.insns.len(), 6);
        // The jump to 2 now runs what was inserted there.
        assert_eq!(new.insns[0].off, 1);
        assert_eq!(new.insns[1].off, -2);
        let edit = Edit::Insert {
            before: 1,
            insns: vec![Insn::mov64_imm(3, 1)],
        };
        let new = edit.apply(&input).unwrap();
        assert_eq!(new.insns[0].off, 2);
        assert_eq!(new.insns[2].off, -3);
    }

    #[test]
    fn an_offset_that_no_longer_fits_is_no_edit() {
        let mut insns = vec![Insn::jmp64_imm(jmp::JEQ, 1, 0, i16::MAX)];
        insns.resize(usize::from(i16::MAX as u16) + 1, Insn::mov64_imm(0, 0));
        insns.push(Insn::exit());
        let edit = Edit::Insert {
            before: 1,
            insns: vec![Insn::mov64_imm(3, 1)],
        };
        assert_eq!(edit.apply(&program(insns)).map(|new| new.insns.len()), None);
    }

    #[test]
    fn replaced_slots_are_gone_and_jumps_into_them_reach_the_new() {
        let input = program(vec![
            Insn::ja(1),
            Insn::mov64_imm(0, 7),
            Insn::mov64_imm(0, 1),
            Insn::exit(),
        ]);
        let edit = Edit::Replace {
            at: 2,
            count: 1,
            insns: vec![],
        };
        let new = edit.apply(&input).unwrap();
        assert_eq!(
            new.insns,
            vec![Insn::ja(1), Insn::mov64_imm(0, 7), Insn::exit()]
        );
    }
}
