//! A reference, lock or region that is still held where the program ends: who took it, and on which path it is kept.

use skep_spec::helper;
use skep_spec::insn::Insn;

use crate::explain::edit::Edit;
use crate::explain::{Case, Findings};
use crate::state::held::HeldKind;
use crate::state::reg::{Kind, Reg};

/// `bpf_sk_release`, `bpf_ringbuf_discard`, `bpf_spin_unlock`
const SK_RELEASE: u32 = 86;
const RINGBUF_DISCARD: u32 = 133;
const SPIN_UNLOCK: u32 = 94;

/// See the catalogue.
pub fn rule(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let Some(state) = case.state() else {
        return found;
    };
    for held in &state.held.resources {
        let insn = case.input.insns.get(held.insn).copied().unwrap_or_default();
        let name = if insn.is_helper_call() {
            case.input
                .helper(insn.imm as u32)
                .map_or("a helper", |helper| helper.name)
        } else {
            "a kernel function"
        };
        let (text, release) = match held.kind {
            HeldKind::Reference => {
                let release = match insn.imm as u32 {
                    131 => RINGBUF_DISCARD,
                    _ => SK_RELEASE,
                };
                (
                    format!("{name} takes a reference here; it is never given back on this path"),
                    release,
                )
            }
            HeldKind::Irq => ("interrupts are disabled here".into(), 0),
            _ => (
                "the lock is taken here; it is never released on this path".into(),
                SPIN_UNLOCK,
            ),
        };
        found.because.push((held.insn, text));
        let holds = |reg: &Reg| match held.kind {
            HeldKind::Reference => reg.ref_id == held.id,
            _ => reg.kind == Kind::MapValue && reg.id == held.id,
        };
        let holder = (0..10_u8).find(|&number| holds(&state.frame().regs[usize::from(number)]));
        let keeper = (6..10_u8)
            .find(|&number| state.frame().regs[usize::from(number)].kind == Kind::NotInit);
        if let (Some(holder), Some(keeper), true) =
            (holder, keeper, release != 0 && insn.is_helper_call())
        {
            // r0 is the program's answer: it is kept over the call.
            found.edits.push((
                Edit::Insert {
                    before: case.insn,
                    insns: vec![
                        Insn::mov64_reg(keeper, 0),
                        Insn::mov64_reg(1, holder),
                        Insn::mov64_imm(2, 0),
                        Insn::call_helper(release),
                        Insn::mov64_reg(0, keeper),
                    ],
                },
                format!(
                    "{}(r{holder}) before {}",
                    helper::by_id(release).map_or("release", |helper| helper.name),
                    case.lines.insn_text(case.insn)
                ),
            ));
        }
        // Where paths join that hold nothing, right behind its last use.
        if let (Some(holder), true) = (holder, release != 0 && insn.is_helper_call()) {
            let last = case.trail.iter().rev().skip(1).find(|point| {
                let used = case
                    .input
                    .insns
                    .get(point.insn)
                    .copied()
                    .unwrap_or_default();
                !used.is_call() && !used.is_exit() && (used.dst == holder || used.src == holder)
            });
            if let Some(point) = last {
                let before = point.insn + case.input.insns[point.insn].slots();
                found.edits.push((
                    Edit::InsertAfter {
                        end: before,
                        insns: vec![
                            Insn::mov64_reg(1, holder),
                            Insn::mov64_imm(2, 0),
                            Insn::call_helper(release),
                        ],
                    },
                    format!(
                        "{}(r{holder}) after {}",
                        helper::by_id(release).map_or("release", |helper| helper.name),
                        case.lines.insn_text(point.insn)
                    ),
                ));
            }
        }
    }
    // Which way the path took.
    for pair in case.trail.windows(2).rev().take(64) {
        let insn = case
            .input
            .insns
            .get(pair[0].insn)
            .copied()
            .unwrap_or_default();
        if matches!(insn.code & 7, 5 | 6)
            && insn.code & 0xf0 <= 0xd0
            && !insn.is_call()
            && !insn.is_exit()
            && insn.code != 0x05
        {
            let taken = pair[1].insn != pair[0].insn + 1;
            found.because.push((
                pair[0].insn,
                format!("the path {} here", if taken { "jumps" } else { "goes on" }),
            ));
            break;
        }
    }
    found.here = "the program ends here and still holds it".into();
    found.help = Some("release it on every path out, the error paths too".into());
    found
}
