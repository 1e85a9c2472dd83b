//! A result that this hook does not understand.

use skep_spec::insn::{Insn, jmp};

use crate::explain::edit::Edit;
use crate::explain::history::What;
use crate::explain::{Case, Findings};

/// See the catalogue.
pub fn rule(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let hook = match case.input.attach_type {
        Some(attach) => attach.name(),
        None => case.input.hook_name(),
    };
    found.here = format!("returned to {hook}");
    for event in case.history(0) {
        let text = match event.what {
            What::Immediate => "the result is set here",
            What::Returned { .. } => "the result is what this call returned",
            What::Loaded { .. } => "the result is read from memory: it may be anything",
            What::Computed { .. } => "the result is computed here",
            _ => continue,
        };
        found.because.push((event.insn, text.into()));
    }
    let Some((min, max)) = range(case) else {
        return found;
    };
    found.help = Some(if min == max {
        format!("{hook} programs return {min}")
    } else {
        format!("{hook} programs return {min} to {max}: make every path return one of these")
    });
    found.edits.push((
        Edit::Insert {
            before: case.insn,
            insns: vec![
                // r0 stays where it is in range, and is `max` elsewhere.
                Insn::jmp64_imm(jmp::JSGT, 0, max, 1),
                Insn::jmp64_imm(jmp::JSGE, 0, min, 1),
                Insn::mov64_imm(0, max),
            ],
        },
        format!(
            "{max} in place of every other result, before {}",
            case.lines.insn_text(case.insn)
        ),
    ));
    found
}

/// `... should have been in [0, 1]`
fn range(case: &Case<'_>) -> Option<(i32, i32)> {
    let line = case
        .fault
        .lines
        .iter()
        .find(|line| line.contains("should have been in ["))?;
    let inside = line.rsplit_once("should have been in [")?.1;
    let (min, rest) = inside.split_once(", ")?;
    let max = rest.split(']').next()?;
    Some((min.trim().parse().ok()?, max.trim().parse().ok()?))
}
