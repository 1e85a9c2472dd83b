//! Instructions that no program may have.

use skep_spec::insn::Insn;

use crate::explain::edit::Edit;
use crate::explain::{Case, Findings, calls};

/// Code that nothing reaches.
pub fn unreachable(case: &Case<'_>) -> Findings {
    // All of it, up to where something jumps to.
    let insns = &case.input.insns;
    let mut targets: Vec<usize> = (0..insns.len())
        .filter_map(|at| {
            let insn = insns[at];
            let off = insn
                .jump_offset()
                .or_else(|| insn.is_local_call().then_some(insn.imm))?;
            usize::try_from(at as i64 + 1 + i64::from(off)).ok()
        })
        .chain(case.input.functions.iter().map(|function| function.insn))
        .filter(|&target| target > case.insn)
        .collect();
    targets.sort_unstable();
    let end = targets.first().copied().unwrap_or(insns.len());
    Findings {
        here: "no path leads here".into(),
        help: Some("leave the code out, or let a jump lead to it; code after a call that never returns counts too".into()),
        edits: vec![(
            Edit::Replace { at: case.insn, count: end.saturating_sub(case.insn), insns: Vec::new() },
            format!("without the {} instructions from {}", end.saturating_sub(case.insn), case.lines.insn_text(case.insn)),
        )],
        ..Findings::default()
    }
}

/// A program that runs off its end.
pub fn end(case: &Case<'_>) -> Findings {
    let len = case.input.insns.len();
    Findings {
        here: "the program goes on after its last instruction".into(),
        help: Some("end every function with a return".into()),
        edits: vec![(
            Edit::Insert {
                before: len,
                insns: vec![Insn::mov64_imm(0, 0), Insn::exit()],
            },
            "`return 0` at the end".into(),
        )],
        ..Findings::default()
    }
}

/// A division by the constant zero.
pub fn division(case: &Case<'_>) -> Findings {
    let insn = case.input.insns.get(case.insn).copied().unwrap_or_default();
    Findings {
        here: "the divisor is the constant 0".into(),
        help: Some(
            "divide by something else; a division by a variable that happens to be 0 gives 0"
                .into(),
        ),
        edits: vec![(
            Edit::Replace {
                at: case.insn,
                count: 1,
                insns: vec![Insn { imm: 1, ..insn }],
            },
            "1 in place of 0".into(),
        )],
        ..Findings::default()
    }
}

/// A jump to a place outside of its function, or into the middle of an instruction.
pub fn jump(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let insn = case.input.insns.get(case.insn).copied().unwrap_or_default();
    let Some(off) = insn.jump_offset() else {
        return found;
    };
    let to = case.insn as i64 + 1 + i64::from(off);
    found.here = format!("jumps to {to}, where no instruction of this function begins");
    let (start, end) = calls::function_of(case.input, case.insn);
    let exit = (start..end)
        .rev()
        .find(|&at| case.input.insns[at].is_exit());
    if let Some(exit) = exit
        && let Ok(off) = i16::try_from(exit as i64 - (case.insn as i64 + 1))
    {
        found.edits.push((
            Edit::Replace {
                at: case.insn,
                count: 1,
                insns: vec![Insn { off, ..insn }],
            },
            format!("a jump to the function's last return, {exit}"),
        ));
    }
    found
}
