//! Bytes of the stack that were never written, and a stack that is too large.

use skep_spec::insn::{Insn, class, size};

use crate::explain::edit::Edit;
use crate::explain::rules::{bounds, frames};
use crate::explain::trail;
use crate::explain::{Case, Findings};
use crate::state::frame::slot_index;
use crate::state::reg::Kind;
use crate::state::slot::SlotByte;

/// See the catalogue.
pub fn rule(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let Some(state) = case.state() else {
        return found;
    };
    let frame = state.frame();
    let insn = case.input.insns.get(case.insn).copied().unwrap_or_default();
    // The bytes: those of a load, or of what a call is handed.
    let (start, bytes) = if insn.is_call() {
        let Some((start, bytes)) = handed(case) else {
            return found;
        };
        (start, bytes)
    } else {
        let base = frame.regs[usize::from(insn.src)];
        if base.kind != Kind::Stack || base.num.as_const().is_none() {
            return found;
        }
        (base.off + i32::from(insn.off), insn.width() as i32)
    };
    if !(-512..0).contains(&start) || bytes <= 0 || bytes > 512 || start + bytes > 0 {
        return found;
    }
    let unset: Vec<i32> = (start..start + bytes)
        .filter(|&off| frame.slot(off).bytes[((-off - 1) % 8) as usize] == SlotByte::Invalid)
        .collect();
    if let (Some(first), Some(last)) = (unset.first(), unset.last()) {
        found.here = format!(
            "{bytes} bytes of stack are read from r10{start:+}; those from r10{first:+} to r10{last:+} were never written"
        );
        if unset.len() < bytes as usize {
            found.notes.push("only some of the bytes are unset: padding between members, or a member that is left out".into());
        }
    }
    // What was written of it.
    for pair in case.trail.windows(2) {
        let store = case
            .input
            .insns
            .get(pair[0].insn)
            .copied()
            .unwrap_or_default();
        let base = pair[0].state.frame().regs[usize::from(store.dst)];
        let off = base.off.saturating_add(i32::from(store.off));
        if matches!(store.code & 7, 2 | 3)
            && base.kind == Kind::Stack
            && off >= start
            && off < start + bytes
        {
            let width = store.width() as i32;
            found.because.push((
                pair[0].insn,
                format!(
                    "only these bytes are written: r10{off:+} to r10{:+}",
                    off + width - 1
                ),
            ));
        }
    }
    if found.because.is_empty()
        && let Some((point, taken)) = trail::last_branch(case.input, case.trail)
    {
        let at = case.trail[point].insn;
        let way = if taken { "jumps" } else { "goes on" };
        found.because.push((
            at,
            format!("the path {way} here, past all that would write them"),
        ));
    }
    found.help = Some("clear the whole object where it is declared: `struct key key = {};`, padding included (memset)".into());
    let mut slots: Vec<usize> = unset.iter().map(|&off| slot_index(off)).collect();
    slots.dedup();
    // Only bytes that hold nothing are cleared, just before the use.
    let insns: Vec<Insn> = slots
        .iter()
        .flat_map(|&slot| {
            let top = -(8 * slot as i32);
            let whole = (top - 8..top).all(|off| unset.contains(&off));
            if whole {
                vec![Insn::store_imm(size::DW, 10, (top - 8) as i16, 0)]
            } else {
                unset
                    .iter()
                    .filter(|&&off| slot_index(off) == slot)
                    .map(|&off| Insn::store_imm(size::B, 10, off as i16, 0))
                    .collect()
            }
        })
        .collect();
    if !insns.is_empty() {
        found.edits.push((
            Edit::Insert {
                before: case.insn,
                insns,
            },
            format!(
                "clearing those {} bytes before {}",
                unset.len(),
                case.lines.insn_text(case.insn)
            ),
        ));
    }
    found
}

/// More stack than there is; where an index makes it so, what is known of the index.
pub fn too_large(case: &Case<'_>) -> Findings {
    let insn = case.input.insns.get(case.insn).copied().unwrap_or_default();
    let base = if insn.code & class::MASK == class::LDX {
        insn.src
    } else {
        insn.dst
    };
    let variable = !insn.is_call()
        && case
            .reg(base)
            .is_some_and(|reg| reg.kind == Kind::Stack && reg.num.as_const().is_none());
    if variable || insn.is_call() && case.named_register().is_some() {
        let mut found = bounds::rule(case);
        found
            .notes
            .push("the array on the stack ends where r10 points".into());
        return found;
    }
    frames::too_large(case)
}

/// Start and size of the stack memory that a call is refused for.
fn handed(case: &Case<'_>) -> Option<(i32, i32)> {
    // "invalid read from stack R2 off -16+4 size 8"
    let line = case
        .fault
        .lines
        .iter()
        .find(|line| line.contains("from stack"))?;
    let rest = &line[line.find("off")? + 3..];
    let rest = rest.trim_start_matches(['=', ' ']);
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || c == '-'))
        .unwrap_or(rest.len());
    let start: i32 = rest[..end].parse().ok()?;
    let size = &line[line.find("size")? + 4..];
    let size = size.trim_start_matches(['=', ' ']);
    let end = size
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(size.len());
    Some((start, size[..end].parse().ok()?))
}
