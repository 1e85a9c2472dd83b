//! A loop that does not end, or a program that takes too long to walk: what costs how much.

use skep_spec::insn::{Insn, class, jmp};

use crate::explain::edit::Edit;
use crate::explain::{Case, Findings};
use crate::input::Caps;

/// A jump back on the path: its place, its target, and how often the path took it.
struct Back {
    from: usize,
    to: usize,
    times: usize,
}

fn backs(case: &Case<'_>) -> Vec<Back> {
    let mut backs: Vec<Back> = Vec::new();
    for pair in case.trail.windows(2) {
        let (from, to) = (pair[0].insn, pair[1].insn);
        let insn = case.input.insns.get(from).copied().unwrap_or_default();
        if to > from
            || !matches!(insn.code & class::MASK, class::JMP | class::JMP32)
            || insn.is_call()
            || insn.is_exit()
        {
            continue;
        }
        match backs.iter_mut().find(|back| back.from == from) {
            Some(back) => back.times += 1,
            None => backs.push(Back { from, to, times: 1 }),
        }
    }
    backs.sort_by_key(|back| std::cmp::Reverse(back.times));
    backs
}

/// See the catalogue.
pub fn rule(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    if !case.input.caps.bpf && case.line().contains("back-edge") {
        found.here = "jumps back: programs of unprivileged users may have no loops".into();
        found.help = Some("unroll the loop, or load the program with CAP_BPF".into());
        found.edits.push((
            Edit::Caps(Caps::ALL),
            "loaded by a user with CAP_BPF and CAP_PERFMON".into(),
        ));
        return found;
    }
    let backs = backs(case);
    for back in backs.iter().take(3) {
        found.because.push((
            back.from,
            format!(
                "the path jumps back to {} here, {} times",
                case.lines.text(back.to),
                back.times
            ),
        ));
    }
    found.here = "the walk is given up here".into();
    found.help = Some(
        "bound the loop by a constant that the compiler keeps, or use bpf_for(), bpf_loop() or `cond_break`: their bodies are walked a few times only"
            .into(),
    );
    let Some(worst) = backs.first() else {
        return found;
    };
    // Leave the loop by may_goto when its budget is spent.
    found.edits.push((
        Edit::Insert {
            before: worst.to,
            insns: vec![
                Insn::new(class::JMP | jmp::JCOND, 0, 0, 1, 0),
                Insn::ja(2),
                Insn::mov64_imm(0, 0),
                Insn::exit(),
            ],
        },
        format!(
            "`may_goto` at the loop's head, before {}",
            case.lines.insn_text(worst.to)
        ),
    ));
    let mut insn = case.input.insns[worst.from];
    if !insn.is_register_form() && insn.code & 0xf0 != jmp::JA && insn.imm > 1024 {
        insn.imm = 1024;
        found.edits.push((
            Edit::Replace {
                at: worst.from,
                count: 1,
                insns: vec![insn],
            },
            "at most 1024 rounds".into(),
        ));
    }
    found
}
