//! An offset or a size that may be too large or negative: where the number came from and where its bound was lost.

use skep_spec::insn::{Insn, alu, class, jmp};

use crate::explain::edit::Edit;
use crate::explain::history::{Event, What, holding};
use crate::explain::{Case, Findings};
use crate::state::reg::{Kind, Reg};

/// See the catalogue.
pub fn rule(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let Some(insn) = case.input.insns.get(case.insn).copied() else {
        return found;
    };
    if insn.is_call() {
        size(case, &mut found);
        return found;
    }
    match insn.code & class::MASK {
        class::ALU64 | class::ALU => {
            // The sum itself is refused: the number is the operand.
            let regs = case.state().map(|state| state.frame().regs);
            let Some(regs) = regs else { return found };
            let number = if regs[usize::from(insn.dst)].is_scalar() {
                insn.dst
            } else {
                insn.src
            };
            let number_is_operand = insn.is_register_form();
            if number_is_operand {
                explain_number(case, case.trail.len() - 1, number, &mut found);
                let max = room(
                    case,
                    &regs[usize::from(if number == insn.dst {
                        insn.src
                    } else {
                        insn.dst
                    })],
                    1,
                );
                found.edits.push(limit(case, case.insn, number, max));
            }
        }
        _ => access(case, insn, &mut found),
    }
    found
}

/// A memory access through a pointer with a variable part.
fn access(case: &Case<'_>, insn: Insn, found: &mut Findings) {
    let number = match insn.code & class::MASK {
        class::LDX => insn.src,
        _ => insn.dst,
    };
    let Some(reg) = case.reg(number) else { return };
    let bytes = insn.width() as i64;
    let added = case
        .history(number)
        .into_iter()
        .find_map(|event| match event.what {
            What::Computed {
                operand: Some(operand),
                ..
            } => {
                let state = &case.trail[event.point].state;
                // Either side of the sum may be the number.
                let target = case.input.insns[event.insn].dst;
                [operand, target]
                    .into_iter()
                    .find(|&side| {
                        let reg = &state.frame().regs[usize::from(side)];
                        reg.is_scalar() && reg.num.as_const().is_none()
                    })
                    .map(|side| (event, side))
            }
            _ => None,
        });
    let Some((event, index)) = added else {
        let at = i64::from(reg.off) + i64::from(insn.off);
        found.here = format!("bytes {at} to {} are used", at + bytes - 1);
        if let Some(size) = extent(case, &reg) {
            found.here = format!("bytes {at} to {} of {size} are used", at + bytes - 1);
            found.help = Some("use an offset within the value, or make the value larger".into());
            if let (Kind::MapValue, Some(map)) = (reg.kind, reg.map()) {
                let wanted = u32::try_from(at + bytes).unwrap_or(u32::MAX);
                if at >= 0 && wanted <= 1 << 16 {
                    found.edits.push((
                        Edit::Map {
                            map: map.0 as usize,
                            change: crate::explain::edit::MapChange::ValueSize(wanted),
                        },
                        format!(
                            "a value of {wanted} bytes for map `{}`",
                            case.input.maps[map.0 as usize].name
                        ),
                    ));
                }
            }
        }
        return;
    };
    found
        .because
        .push((event.insn, format!("r{index} is added to the pointer here")));
    explain_number(case, event.point, index, found);
    let max = room(
        case,
        &Reg {
            num: crate::state::scalar::Scalar::constant(0),
            ..reg
        },
        bytes + i64::from(insn.off),
    );
    found.edits.push(limit(case, event.insn, index, max));
}

/// A size handed to a helper.
fn size(case: &Case<'_>, found: &mut Findings) {
    let Some(mut number) = case.named_register() else {
        return;
    };
    let Some(mut reg) = case.reg(number) else {
        return;
    };
    if reg.is_pointer() {
        // The memory is named where the size is what matters.
        let Some(next) = case
            .reg(number + 1)
            .filter(|next| next.is_scalar() && number < 5)
        else {
            return;
        };
        if next.num.as_const().is_some() {
            return;
        }
        number += 1;
        reg = next;
    }
    explain_number(case, case.trail.len() - 1, number, found);
    let memory = (number > 1).then(|| case.reg(number - 1)).flatten();
    let max = memory.map_or(0, |memory| room(case, &memory, 0));
    let name = case
        .input
        .insns
        .get(case.insn)
        .and_then(|insn| case.input.helper(insn.imm as u32))
        .map_or("the call", |helper| helper.name);
    found.here = format!("r{number} is the size for {name}, {}", range(&reg));
    found.edits.push(limit(case, case.insn, number, max));
    // Sizes that may not be zero have a lower limit too.
    let (edit, text) = limit(case, case.insn, number, max);
    if let Edit::Insert { before, mut insns } = edit {
        insns.insert(0, Insn::jmp64_imm(jmp::JSLT, number, 1, 1));
        found.edits.push((
            Edit::Insert { before, insns },
            format!("{text}, nor smaller than 1"),
        ));
    }
}

/// How many bytes there are.
fn extent(case: &Case<'_>, reg: &Reg) -> Option<i64> {
    use crate::state::reg::Detail;
    match (reg.kind, reg.detail) {
        (Kind::MapValue, Detail::Map { map, .. }) => {
            Some(i64::from(case.input.maps.get(map.0 as usize)?.value_size))
        }
        (Kind::Mem, Detail::Mem { size, .. }) => Some(i64::from(size)),
        (Kind::Stack, _) => Some(0),
        (Kind::Packet, Detail::Range(range)) => Some(i64::from(range.max(0))),
        _ => None,
    }
}

/// The largest number that may be added to the pointer, if `taken` bytes more are used from there.
fn room(case: &Case<'_>, pointer: &Reg, taken: i64) -> i64 {
    extent(case, pointer).map_or(0, |extent| (extent - i64::from(pointer.off) - taken).max(0))
}

/// `if rN > max return 0`.
fn limit(case: &Case<'_>, before: usize, number: u8, max: i64) -> (Edit, String) {
    let max = i32::try_from(max).unwrap_or(i32::MAX);
    (
        Edit::Insert {
            before,
            insns: vec![
                Insn::jmp64_imm(jmp::JLE, number, max, 2),
                Insn::mov64_imm(0, 0),
                Insn::exit(),
            ],
        },
        format!(
            "`if r{number} > {max}` return 0, before {}",
            case.lines.insn_text(before)
        ),
    )
}

/// `between -5 and 7`.
fn range(reg: &Reg) -> String {
    let num = &reg.num;
    if num.smin < 0 && num.umax == u64::MAX {
        if num.smin == i64::MIN && num.smax == i64::MAX {
            return "of which nothing is known".into();
        }
        return format!("which lies between {} and {}", num.smin, num.smax);
    }
    format!("which lies between {} and {}", num.umin, num.umax)
}

/// Where the number came from and what happened to its bounds.
fn explain_number(case: &Case<'_>, point: usize, number: u8, found: &mut Findings) {
    use crate::explain::history::{self, Holder};
    let state = &case.trail[point].state;
    let frame = (state.frames.len() - 1) as u8;
    let reg = state.frame().regs[usize::from(number)];
    if found.here.is_empty() {
        found.here = format!("r{number} is a number {}", range(&reg));
    }
    let events = history::of(
        case.input,
        case.trail,
        point,
        Holder::Register { frame, number },
        32,
    );
    for event in &events {
        if let Some(text) = told(case, event) {
            found.because.push((event.insn, text));
        }
    }
    found.help = Some(if reg.num.smin < 0 {
        format!(
            "r{number} may be negative: make it unsigned and compare it with its limit, or mask it, right before the use"
        )
    } else {
        format!(
            "compare r{number} with its limit, or mask it (`& (size - 1)`), right before the use"
        )
    });
}

/// One event of a number's history as a sentence.
fn told(case: &Case<'_>, event: &Event) -> Option<String> {
    let after = case
        .trail
        .get(event.point + 1)
        .and_then(|point| holding(&point.state, event.holder))?;
    Some(match event.what {
        What::Returned { helper } => {
            let name = case
                .input
                .helper(helper as u32)
                .map_or("a kernel function", |helper| helper.name);
            format!("the number is the result of {name}, {}", range(&after))
        }
        What::Loaded { from, bytes, .. } => {
            let place = match from {
                Kind::Ctx => "the context",
                Kind::MapValue => "a map's value",
                Kind::Packet => "the packet",
                _ => "memory",
            };
            format!("the number is read from {place}: {bytes} bytes that may be anything")
        }
        What::Refined { .. } => format!("after this comparison it is a number {}", range(&after)),
        What::Computed { code, .. } => {
            let before = case
                .trail
                .get(event.point)
                .and_then(|point| holding(&point.state, event.holder))?;
            let wider = after.num.umax > before.num.umax || after.num.smin < before.num.smin;
            let operation = match code & 0xf0 {
                alu::AND => "masked",
                alu::LSH => "shifted left",
                alu::RSH | alu::ARSH => "shifted right",
                alu::MUL => "multiplied",
                _ => "computed",
            };
            if wider {
                format!(
                    "{operation} here: its bound gets wider, to a number {}",
                    range(&after)
                )
            } else {
                format!("{operation} here: a number {}", range(&after))
            }
        }
        What::Moved { partial: true, .. } => {
            format!("its lower half is taken here: a number {}", range(&after))
        }
        What::Filled { whole: false } => {
            "read back from the stack in part: what was known of it is lost".into()
        }
        What::Argument => "an argument of the function".into(),
        _ => return None,
    })
}
