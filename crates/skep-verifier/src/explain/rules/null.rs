//! A pointer that may be NULL: which call returned it, and the check that is missing.

use skep_spec::insn::{Insn, jmp};

use crate::explain::edit::Edit;
use crate::explain::history::What;
use crate::explain::{Case, Findings, calls};

/// See the catalogue.
pub fn rule(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let Some(number) = case.named_register() else {
        return found;
    };
    let mut origin = None;
    for event in case.history(number) {
        match event.what {
            What::Returned { helper } => {
                let name = case
                    .input
                    .helper(helper as u32)
                    .map(|helper| helper.name)
                    .or_else(|| calls::name(case.input, event.insn))
                    .unwrap_or("the kernel function");
                origin = Some(name);
                found.because.push((
                    event.insn,
                    format!("the result of {name}, which may be NULL"),
                ));
            }
            What::Argument => found.because.push((
                event.insn,
                "an argument of a global function: callers may pass NULL".into(),
            )),
            What::Loaded { .. } => found
                .because
                .push((event.insn, "loaded here; it may be NULL".into())),
            What::Moved {
                from,
                partial: false,
            } => {
                found
                    .because
                    .push((event.insn, format!("copied from r{from}")));
            }
            What::Filled { .. } => found
                .because
                .push((event.insn, "read back from the stack".into())),
            _ => {}
        }
    }
    let what = origin.map_or_else(
        || "the pointer".to_string(),
        |name| format!("the result of {name}"),
    );
    found.here = format!("r{number} may still be NULL here");
    found.help = Some(format!(
        "check {what} before it is used: `if (!p) return 0;`"
    ));
    found.edits.push((
        Edit::Insert {
            before: case.insn,
            insns: vec![
                Insn::jmp64_imm(jmp::JNE, number, 0, 2),
                Insn::mov64_imm(0, 0),
                Insn::exit(),
            ],
        },
        format!(
            "`if r{number} == 0` return 0, before {}",
            case.lines.insn_text(case.insn)
        ),
    ));
    found
}
