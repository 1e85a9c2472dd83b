//! Arithmetic that pointers do not take.

use skep_spec::insn::class;

use crate::explain::edit::Edit;
use crate::explain::history::What;
use crate::explain::{Case, Findings};

/// See the catalogue.
pub fn rule(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let Some(number) = case.named_register() else {
        return found;
    };
    for event in case.history(number) {
        let text = match event.what {
            What::Returned { .. } => "the pointer is the result of this call",
            What::Loaded { .. } => "the pointer is read here",
            What::Immediate => "the pointer is a map's, or its value's, address",
            What::Argument => "the pointer is an argument",
            _ => continue,
        };
        found.because.push((event.insn, text.into()));
    }
    let insn = case.input.insns.get(case.insn).copied().unwrap_or_default();
    found.here = format!("computes with r{number}, which is a pointer");
    found.help = Some("add and subtract numbers in 64 bits only; to compare two places subtract their offsets as numbers".into());
    if insn.code & class::MASK == class::ALU {
        let mut wide = insn;
        wide.code = insn.code & !class::MASK | class::ALU64;
        found.edits.push((
            Edit::Replace {
                at: case.insn,
                count: 1,
                insns: vec![wide],
            },
            format!("{} in 64 bits", case.lines.insn_text(case.insn)),
        ));
    }
    found
}
