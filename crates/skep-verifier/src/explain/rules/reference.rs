//! A reference, lock or region that is still held where the program ends: who took it, and on which path it is kept.

use skep_spec::helper;
use skep_spec::insn::{Insn, alu};

use crate::explain::edit::Edit;
use crate::explain::rules::dynptr;
use crate::explain::{Case, Findings, calls, trail};
use crate::state::held::{HeldKind, Resource};
use crate::state::reg::{Kind, Reg};
use crate::state::slot::SlotByte;

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
            calls::name(case.input, held.insn).unwrap_or("a kernel function")
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
        found.edits.extend(given_back(case, held, name));
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
        if let (Some(holder), true) = (holder, release != 0 && insn.is_helper_call()) {
            let insns = [
                Insn::mov64_reg(1, holder),
                Insn::mov64_imm(2, 0),
                Insn::call_helper(release),
            ];
            let name = helper::by_id(release).map_or("release", |helper| helper.name);
            found.edits.extend(on_the_way(case, held, &insns, name));
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
    if let Some((point, taken)) = trail::last_branch(case.input, case.trail) {
        let way = if taken { "jumps" } else { "goes on" };
        found
            .because
            .push((case.trail[point].insn, format!("the path {way} here")));
    }
    found.here = "the program ends here and still holds it".into();
    found.help = Some("release it on every path out, the error paths too".into());
    found
}

/// The release on the way that the path took at its last branch, where other ways have released already.
fn on_the_way(
    case: &Case<'_>,
    held: &Resource,
    release: &[Insn],
    name: &str,
) -> Option<(Edit, String)> {
    let (point, taken) = trail::last_branch(case.input, case.trail)?;
    let at = case.trail.get(point)?.insn;
    let branch = &case.trail.get(point)?.state;
    if !branch
        .held
        .resources
        .iter()
        .any(|other| other.id == held.id)
    {
        return None;
    }
    let (mut insns, after) = calls::kept(case, point, &[0, 1, 2, 3, 4, 5]);
    insns.extend_from_slice(release);
    insns.extend(after);
    let text = format!(
        "{name}() on the way that {} takes here",
        case.lines.insn_text(at)
    );
    if !taken {
        return Some((Edit::InsertAfter { end: at + 1, insns }, text));
    }
    // The jump leads to the release, and that to where the jump led; the other way passes both by.
    let insn = case.input.insns[at];
    let target = at as i64 + 1 + i64::from(insn.jump_offset()?);
    let len = insns.len() as i64;
    let mut all = vec![
        Insn { off: 1, ..insn },
        Insn::ja(i16::try_from(len + 1).ok()?),
    ];
    all.extend(insns);
    let grown = all.len() as i64;
    let to = if target > at as i64 {
        target + grown
    } else {
        target
    };
    all.push(Insn::ja(i16::try_from(to - (at as i64 + grown + 1)).ok()?));
    Some((
        Edit::Replace {
            at,
            count: 1,
            insns: all,
        },
        text,
    ))
}

/// The function that gives back what lies on the stack, or what a kernel function returned, called before the program ends.
fn given_back(case: &Case<'_>, held: &Resource, name: &str) -> Option<(Edit, String)> {
    const RINGBUF_DISCARD_DYNPTR: u32 = 200;
    let on_stack = |off| vec![Insn::mov64_reg(1, 10), Insn::alu64_imm(alu::ADD, 1, off)];
    let (mut insns, release, call) =
        if let Some(off) = dynptr::place(case, held.id, SlotByte::Dynptr) {
            let mut insns = on_stack(off);
            insns.push(Insn::mov64_imm(2, 0));
            let name = "bpf_ringbuf_discard_dynptr".to_owned();
            (insns, name, Insn::call_helper(RINGBUF_DISCARD_DYNPTR))
        } else if let Some(off) = dynptr::place(case, held.id, SlotByte::Iter) {
            let destroy = format!("{}_destroy", name.strip_suffix("_new")?);
            let call = calls::kfunc(case.input, &destroy)?;
            (on_stack(off), destroy, call)
        } else if let Some(off) = dynptr::place(case, held.id, SlotByte::Irq) {
            let call = calls::kfunc(case.input, "bpf_local_irq_restore")?;
            (on_stack(off), "bpf_local_irq_restore".to_owned(), call)
        } else {
            let insn = case.input.insns.get(held.insn)?;
            if !insn.is_kfunc_call() {
                return None;
            }
            let object = name.split("_acquire").next()?.split("_from_").next()?;
            let release = format!("{object}_release");
            let call = calls::kfunc(case.input, &release)?;
            let state = case.state()?;
            let holder = (0..10_u8)
                .find(|&number| state.frame().regs[usize::from(number)].ref_id == held.id)?;
            (vec![Insn::mov64_reg(1, holder)], release, call)
        };
    let (mut before, after) = calls::kept(case, case.trail.len() - 1, &[0]);
    before.append(&mut insns);
    before.push(call);
    before.extend(after);
    let text = format!("{release}() before {}", case.lines.insn_text(case.insn));
    Some((
        Edit::Insert {
            before: case.insn,
            insns: before,
        },
        text,
    ))
}
