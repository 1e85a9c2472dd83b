//! A register that has no value on some path: what took it away, or that nothing ever wrote it.

use skep_spec::insn::Insn;

use crate::explain::edit::Edit;
use crate::explain::history::What;
use crate::explain::{Case, Findings, calls};

/// See the catalogue.
pub fn rule(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let Some(number) = case.named_register() else {
        return found;
    };
    let history = case.history(number);
    let clobbered = history.iter().find(|event| event.what == What::Clobbered);
    if let Some(event) = clobbered {
        found.because.push((
            event.insn,
            format!("this call leaves r1 to r5 without values, r{number} among them"),
        ));
        found.help = Some(format!(
            "keep what r{number} held in r6 to r9 or on the stack over the call"
        ));
        found.here = format!("r{number} is read after the call");
        found.edits.extend(kept_over(case, event.point, number));
    } else {
        let at_exit = case
            .input
            .insns
            .get(case.insn)
            .is_some_and(|insn| insn.is_exit());
        if at_exit && number == 0 {
            found.here = "the program returns without a value in r0".into();
            found.help = Some("return a value on every path".into());
        } else {
            found.here = format!("nothing on this path has written r{number}");
        }
        if let Some(event) = history.last() {
            found.because.push((
                event.insn,
                format!("from here on, nothing writes r{number}"),
            ));
        }
    }
    found.edits.push((
        Edit::Insert {
            before: case.insn,
            insns: vec![Insn::mov64_imm(number, 0)],
        },
        format!("`r{number} = 0` before {}", case.lines.insn_text(case.insn)),
    ));
    found
}

/// What the register held before the call, brought back after it.
fn kept_over(case: &Case<'_>, point: usize, number: u8) -> Option<(Edit, String)> {
    let at = case.trail.get(point)?.insn;
    let (before, after) = calls::kept(case, point, &[number]);
    if before.is_empty() {
        return None;
    }
    Some((
        Edit::Several(vec![
            Edit::InsertAfter {
                end: at + 1,
                insns: after,
            },
            Edit::Insert {
                before: at,
                insns: before,
            },
        ]),
        format!(
            "r{number} kept on the stack over {}",
            case.lines.insn_text(at)
        ),
    ))
}
