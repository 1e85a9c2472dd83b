//! Pointers to the kernel's own objects: those that the verifier does not trust, and walks past the end of a type.

use skep_spec::insn::{Insn, jmp};

use crate::explain::edit::Edit;
use crate::explain::history::What;
use crate::explain::rules::scalar;
use crate::explain::{Case, Findings, calls};
use crate::state::reg::Kind;

/// Where the pointer in `number` came from, as sentences; the point of the trail where it was read through another.
fn origin(case: &Case<'_>, number: u8, found: &mut Findings) -> Option<usize> {
    let mut read = None;
    for event in case.history(number) {
        let text = match event.what {
            What::Loaded {
                from: Kind::Ctx, ..
            } => "an argument of the hook, read from the context".into(),
            What::Loaded { .. } => {
                read.get_or_insert(event.point);
                "read through another pointer: what it points to may go away".into()
            }
            What::Returned { .. } => {
                let name = calls::name(case.input, event.insn).unwrap_or("a function");
                format!("the result of {name}")
            }
            What::Computed { .. } => "computed here".into(),
            What::Immediate => "the address of a map or variable".into(),
            _ => continue,
        };
        found.because.push((event.insn, text));
    }
    read
}

/// See the catalogue.
pub fn rule(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let Some(number) = case.named_register() else {
        return found;
    };
    let name = calls::name(case.input, case.insn).unwrap_or("the function");
    let read = origin(case, number, &mut found);
    if case.line().contains("rcu pointer") {
        found.here = format!(
            "{name} takes an object that is trusted or protected by RCU; r{number} is neither"
        );
        found.help = Some(
            "read the pointer and use it between bpf_rcu_read_lock() and bpf_rcu_read_unlock()"
                .into(),
        );
        found
            .edits
            .extend(read.and_then(|point| within_rcu(case, point)));
    } else {
        found.here = format!("{name} takes an object that is trusted; r{number} is not");
        found.help = Some("take a reference to the object first, as bpf_task_acquire() does, and check it for NULL".into());
    }
    found.edits.extend(acquired(case, number));
    found
}

/// An RCU section from where the pointer is read to behind the call.
fn within_rcu(case: &Case<'_>, point: usize) -> Option<(Edit, String)> {
    let lock = calls::kfunc(case.input, "bpf_rcu_read_lock")?;
    let unlock = calls::kfunc(case.input, "bpf_rcu_read_unlock")?;
    let from = case.trail.get(point)?.insn;
    if from >= case.insn {
        return None;
    }
    let (mut before, restore) = calls::kept(case, point, &[0, 1, 2, 3, 4, 5]);
    before.push(lock);
    before.extend(restore);
    let mut after = vec![unlock];
    if calls::returns(case.input, case.insn) {
        let (keep, restore) = calls::kept_result(case);
        after = vec![keep, unlock, restore];
    }
    let edit = Edit::Several(vec![
        Edit::InsertAfter {
            end: case.insn + 1,
            insns: after,
        },
        Edit::Insert {
            before: from,
            insns: before,
        },
    ]);
    Some((
        edit,
        format!(
            "an RCU section from {} to {}",
            case.lines.insn_text(from),
            case.lines.insn_text(case.insn)
        ),
    ))
}

/// A reference taken before the call and given back after it.
fn acquired(case: &Case<'_>, number: u8) -> Option<(Edit, String)> {
    let reg = case.reg(number).filter(|reg| reg.kind == Kind::BtfId)?;
    let crate::state::reg::Detail::Btf { btf, id } = reg.detail else {
        return None;
    };
    let btf = case.input.btf(btf)?;
    let object = btf.name(skep_btf::TypeId(id)).trim_end_matches("_struct");
    let acquire = format!("bpf_{object}_acquire");
    let release = format!("bpf_{object}_release");
    let take = calls::kfunc(case.input, &acquire)?;
    let give = calls::kfunc(case.input, &release)?;
    let state = case.state()?;
    let keeper =
        (6..10_u8).find(|&number| state.frame().regs[usize::from(number)].kind == Kind::NotInit)?;
    let others: Vec<u8> = (1..6).filter(|&other| other != number).collect();
    let (mut before, restore) = calls::kept(case, case.trail.len() - 1, &others);
    before.extend([
        Insn::mov64_reg(1, number),
        take,
        Insn::jmp64_imm(jmp::JNE, 0, 0, 2),
        Insn::mov64_imm(0, 0),
        Insn::exit(),
        Insn::mov64_reg(keeper, 0),
    ]);
    before.extend(restore);
    before.push(Insn::mov64_reg(number, keeper));
    let mut after = vec![Insn::mov64_reg(1, keeper), give];
    if calls::returns(case.input, case.insn) {
        let (keep, restore) = calls::kept_result(case);
        after.insert(0, keep);
        after.push(restore);
    }
    let edit = Edit::Several(vec![
        Edit::InsertAfter {
            end: case.insn + 1,
            insns: after,
        },
        Edit::Insert {
            before: case.insn,
            insns: before,
        },
    ]);
    let call = case.lines.insn_text(case.insn);
    Some((
        edit,
        format!("{acquire}() before {call}, {release}() after it"),
    ))
}

/// A field outside of the type.
pub fn bounds(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let insn = case.input.insns.get(case.insn).copied().unwrap_or_default();
    let base = if insn.code & 7 == 1 {
        insn.src
    } else {
        insn.dst
    };
    let at = i64::from(insn.off) + case.reg(base).map_or(0, |reg| i64::from(reg.off));
    found.here = format!("the kernel's type has nothing to be read at offset {at}");
    origin(case, base, &mut found);
    found.help = Some(
        "read the field with BPF_CORE_READ, so that its place fits the running kernel; past the type's end only \
         bpf_probe_read_kernel reads"
            .into(),
    );
    found.edits.extend(scalar::probe_read(case, base));
    found
}
