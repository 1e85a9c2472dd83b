//! What may not be done while a lock, an RCU section or the like is held, and locks that are mixed up.

use skep_spec::insn::{Insn, alu};

use crate::explain::edit::Edit;
use crate::explain::rules::reference;
use crate::explain::{Case, Findings, calls};
use crate::state::held::{HeldKind, Resource};
use crate::state::reg::Kind;

/// `bpf_spin_lock`, `bpf_spin_unlock`
const SPIN_LOCK: u32 = 93;
const SPIN_UNLOCK: u32 = 94;

/// See the catalogue.
pub fn lock(case: &Case<'_>) -> Findings {
    let other = case.line().contains("different lock");
    if !other && !case.line().contains("while holding a lock") {
        return reference::rule(case);
    }
    let mut found = Findings::default();
    let held = case.state().and_then(|state| {
        let mut held = state.held.resources.iter().rev();
        held.find(|held| held.kind == HeldKind::Lock)
    });
    let Some(&held) = held else { return found };
    found
        .because
        .push((held.insn, "the lock is taken here".into()));
    let address = address(case, held);
    let call = case.lines.insn_text(case.insn);
    if other {
        found.here = "this is not the lock that is held".into();
        found.help = Some("release the very lock that was taken, through the same pointer".into());
        if let Some(insns) = address {
            found.edits.push((
                Edit::Insert {
                    before: case.insn,
                    insns,
                },
                format!("the lock that is held in r1, before {call}"),
            ));
        }
        return found;
    }
    let name = calls::name(case.input, case.insn).unwrap_or("a function");
    found.here = format!("{name} is called while the lock is held");
    found.help = Some("call it before the lock is taken or after it is released".into());
    if let Some(address) = address {
        let (mut before, restore) = calls::kept(case, case.trail.len() - 1, &[1, 2, 3, 4, 5]);
        before.extend(address.iter().copied());
        before.push(Insn::call_helper(SPIN_UNLOCK));
        before.extend(restore);
        let (keep, restore) = calls::kept_result(case);
        let mut after = vec![keep];
        after.extend(address);
        after.extend([Insn::call_helper(SPIN_LOCK), restore]);
        found.edits.push((
            Edit::Several(vec![
                Edit::InsertAfter {
                    end: case.insn + 1,
                    insns: after,
                },
                Edit::Insert {
                    before: case.insn,
                    insns: before,
                },
            ]),
            format!("the lock released over {call}"),
        ));
    }
    found
}

/// Instructions that put the address of the held lock into r1.
fn address(case: &Case<'_>, held: Resource) -> Option<Vec<Insn>> {
    let taken = case.trail.iter().rfind(|point| point.insn == held.insn)?;
    let lock = taken.state.frame().regs[1];
    let state = case.state()?;
    let holder = (6..10_u8).find(|&number| {
        let reg = &state.frame().regs[usize::from(number)];
        reg.kind == Kind::MapValue && reg.id == held.id
    })?;
    let off = lock.off - state.frame().regs[usize::from(holder)].off;
    let mut insns = vec![Insn::mov64_reg(1, holder)];
    if off != 0 {
        insns.push(Insn::alu64_imm(alu::ADD, 1, off));
    }
    Some(insns)
}

/// A function that may sleep within a region where nothing may.
pub fn sleeps(case: &Case<'_>, found: &mut Findings) {
    const REGIONS: [(&str, &str, &str); 2] = [
        (
            "bpf_rcu_read_lock",
            "bpf_rcu_read_unlock",
            "the RCU section",
        ),
        (
            "bpf_preempt_disable",
            "bpf_preempt_enable",
            "the region without preemption",
        ),
    ];
    let Some(state) = case.state() else { return };
    for (begin, end, what) in REGIONS {
        let depth = if begin == REGIONS[0].0 {
            state.held.rcu
        } else {
            state.held.preempt
        };
        if depth == 0 {
            continue;
        }
        let begun = case
            .trail
            .iter()
            .rfind(|point| calls::name(case.input, point.insn) == Some(begin));
        if let Some(point) = begun {
            found
                .because
                .push((point.insn, format!("{what} begins here")));
        }
        found.help = Some(format!("call it before {begin}() or after {end}()"));
        let (Some(begin), Some(end)) = (
            calls::kfunc(case.input, begin),
            calls::kfunc(case.input, end),
        ) else {
            continue;
        };
        let (mut before, restore) = calls::kept(case, case.trail.len() - 1, &[1, 2, 3, 4, 5]);
        before.push(end);
        before.extend(restore);
        let mut after = vec![begin];
        if calls::returns(case.input, case.insn) {
            let (keep, restore) = calls::kept_result(case);
            after = vec![keep, begin, restore];
        }
        found.edits.push((
            Edit::Several(vec![
                Edit::InsertAfter {
                    end: case.insn + 1,
                    insns: after,
                },
                Edit::Insert {
                    before: case.insn,
                    insns: before,
                },
            ]),
            format!("{what} left over {}", case.lines.insn_text(case.insn)),
        ));
    }
}
