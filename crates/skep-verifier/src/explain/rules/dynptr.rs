//! Dynptrs and iterators that are used before they begin, after they end, or are written over.

use skep_spec::insn::{Insn, alu, class};

use crate::explain::edit::Edit;
use crate::explain::{Case, Findings, calls};
use crate::state::frame::slot_index;
use crate::state::reg::Kind;
use crate::state::slot::SlotByte;

/// See the catalogue.
pub fn rule(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    for point in &case.trail[..case.trail.len().saturating_sub(1)] {
        let Some(name) = calls::name(case.input, point.insn).filter(|name| name.contains("dynptr"))
        else {
            continue;
        };
        if name.contains("submit") || name.contains("discard") {
            found
                .because
                .push((point.insn, format!("given back here by {name}")));
        } else if name.contains("reserve") || name.contains("_from_") || name.contains("clone") {
            found
                .because
                .push((point.insn, format!("initialised here by {name}")));
        }
    }
    let insn = case.input.insns.get(case.insn).copied().unwrap_or_default();
    if insn.is_call() {
        let name = calls::name(case.input, case.insn).unwrap_or("the call");
        found.here = if found.because.is_empty() {
            format!("nothing has initialised the dynptr that {name} is given")
        } else {
            format!("the dynptr that {name} is given is not in use here")
        };
        found.edits.push((
            Edit::Replace {
                at: case.insn,
                count: 1,
                insns: vec![Insn::mov64_imm(0, 0)],
            },
            format!("without {}", case.lines.insn_text(case.insn)),
        ));
    } else if matches!(insn.code & class::MASK, class::ST | class::STX) {
        found.here = "this overwrites a part of the dynptr".into();
        found.help = Some("only helpers write to a dynptr: keep variables elsewhere, and give it back before its place is used again".into());
        found.edits.extend(elsewhere(case, insn));
    }
    found
}

/// The variable that is written, below all that the function uses.
fn elsewhere(case: &Case<'_>, insn: Insn) -> Option<(Edit, String)> {
    if insn.dst != 10 {
        return None;
    }
    let (start, end) = calls::function_of(case.input, case.insn);
    let bytes = 8_i32;
    let free = i16::try_from(-(calls::depth(case.input, (start, end)) + bytes)).ok()?;
    let moves = (start..end).filter_map(|at| {
        let found = case.input.insns[at];
        let base = match found.code & class::MASK {
            class::LDX => found.src,
            class::ST | class::STX => found.dst,
            _ => return None,
        };
        (base == 10 && found.off == insn.off).then_some(Edit::Replace {
            at,
            count: 1,
            insns: vec![Insn { off: free, ..found }],
        })
    });
    Some((
        Edit::Several(moves.collect()),
        format!("the variable at r10{free:+} in place of r10{:+}", insn.off),
    ))
}

/// An iterator in the wrong state.
pub fn iterator(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let name = calls::name(case.input, case.insn).unwrap_or("the call");
    for point in &case.trail[..case.trail.len().saturating_sub(1)] {
        if let Some(name) = calls::name(case.input, point.insn)
            && name.starts_with("bpf_iter_")
            && (name.ends_with("_new") || name.ends_with("_destroy"))
        {
            let verb = if name.ends_with("_new") {
                "begins"
            } else {
                "ends"
            };
            found
                .because
                .push((point.insn, format!("the iterator {verb} here")));
        }
    }
    let uninitialised = case.line().contains("expected an initialized");
    found.here = if uninitialised {
        format!("{name} is given an iterator that is not in use here")
    } else {
        format!("{name} is given an iterator that is in use already")
    };
    let at = case
        .reg(1)
        .filter(|reg| reg.kind == Kind::Stack)
        .map(|reg| reg.off);
    let first = case
        .trail
        .first()
        .filter(|point| point.state.frames.len() == 1);
    if let (true, Some(off), Some(first)) = (uninitialised, at, first)
        && let Some(new) = name
            .contains("iter_num")
            .then(|| calls::kfunc(case.input, "bpf_iter_num_new"))
            .flatten()
        && found.because.is_empty()
    {
        // Before everything else: the loop may come back to here.
        let (mut insns, restore) = calls::kept(case, 0, &[1]);
        insns.extend([
            Insn::mov64_reg(1, 10),
            Insn::alu64_imm(alu::ADD, 1, off),
            Insn::mov64_imm(2, 0),
            Insn::mov64_imm(3, 16),
            new,
        ]);
        insns.extend(restore);
        found.edits.push((
            Edit::Several(vec![Edit::InsertAfter {
                end: first.insn,
                insns,
            }]),
            "bpf_iter_num_new() at the function's start".into(),
        ));
    }
    if !uninitialised || found.edits.is_empty() {
        found.edits.push((
            Edit::Replace {
                at: case.insn,
                count: 1,
                insns: vec![Insn::mov64_imm(0, 0)],
            },
            format!("without {}", case.lines.insn_text(case.insn)),
        ));
    }
    found
}

/// Where a dynptr or iterator with that reference lies in the active frame: its lowest byte from the frame's top.
pub fn place(case: &Case<'_>, id: u32, kind: SlotByte) -> Option<i32> {
    let frame = case.state()?.frame();
    let holds = |off: &i32| {
        let slot = frame.stack[slot_index(*off)];
        slot.bytes[7] == kind && slot.reg.ref_id == id
    };
    // From the lowest slot up.
    (1..=frame.stack.len() as i32)
        .rev()
        .map(|slot| -8 * slot)
        .find(holds)
}
