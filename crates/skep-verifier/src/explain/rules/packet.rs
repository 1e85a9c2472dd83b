//! Bytes of a packet that no comparison with its end has shown to be there.

use skep_spec::context::FieldValue;
use skep_spec::insn::{Insn, alu, class, jmp, size};

use crate::explain::edit::Edit;
use crate::explain::history::What;
use crate::explain::{Case, Findings};
use crate::state::State;
use crate::state::reg::{Kind, Reg};

/// See the catalogue.
pub fn rule(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let Some(number) = accessed(case) else {
        return found;
    };
    let Some(reg) = case.reg(number) else {
        return found;
    };
    let Some(state) = case.state() else {
        return found;
    };
    let insn = case.input.insns.get(case.insn).copied().unwrap_or_default();
    let bytes = i64::from(reg.off) + i64::from(insn.off) + insn.width() as i64;
    found.here = match reg.range() {
        range if range > 0 => format!(
            "byte {} of r{number} is used, {range} are known to be there",
            bytes - 1
        ),
        _ => format!("{bytes} bytes from r{number}'s start are used, none is known to be there"),
    };
    for event in case.history(number) {
        match event.what {
            What::Loaded {
                from: Kind::Ctx, ..
            } => {
                found.because.push((
                    event.insn,
                    "the pointer into the packet is read from the context here".into(),
                ));
            }
            What::Computed {
                operand: Some(operand),
                ..
            } => {
                let added = case.trail[event.point].state.frame().regs[usize::from(operand)];
                if added.is_scalar() && added.num.as_const().is_none() {
                    let text = if added.num.umax > 0xffff {
                        format!(
                            "r{operand} is added, which may be as large as {}: beyond 65535 no check helps",
                            added.num.umax
                        )
                    } else {
                        format!(
                            "r{operand} (0 to {}) is added: what was checked before does not count for the sum",
                            added.num.umax
                        )
                    };
                    found.because.push((event.insn, text));
                    if added.num.umax > 0xffff {
                        found.edits.push((
                            Edit::Insert {
                                before: event.insn,
                                insns: vec![Insn::alu64_imm(alu::AND, operand, 0xfff)],
                            },
                            format!(
                                "`r{operand} &= 0xfff` before {}",
                                case.lines.insn_text(event.insn)
                            ),
                        ));
                    }
                }
            }
            What::Refined { .. } => found
                .because
                .push((event.insn, "compared with the packet's end here".into())),
            _ => {}
        }
    }
    other_checks(case, &reg, &mut found);
    moved(case, &mut found);
    found.help = Some(format!(
        "compare the same pointer with `data_end` on the path to this access: `if (p + {bytes} > data_end) return 0;`"
    ));
    if let Some(insns) = check(case, state, number, bytes) {
        found.edits.push((
            Edit::Insert {
                before: case.insn,
                insns,
            },
            format!(
                "`if r{number} + {bytes} > data_end` return 0, before {}",
                case.lines.insn_text(case.insn)
            ),
        ));
    }
    found
}

/// The register that the access goes through.
fn accessed(case: &Case<'_>) -> Option<u8> {
    let insn = case.input.insns.get(case.insn)?;
    match insn.code & class::MASK {
        class::LDX => Some(insn.src),
        class::ST | class::STX => Some(insn.dst),
        _ => case.named_register(),
    }
}

/// Comparisons with the end that were made with another pointer.
fn other_checks(case: &Case<'_>, reg: &Reg, found: &mut Findings) {
    for point in case.trail {
        let Some(insn) = case.input.insns.get(point.insn) else {
            continue;
        };
        if !matches!(insn.code & class::MASK, class::JMP)
            || !insn.is_register_form()
            || insn.is_call()
        {
            continue;
        }
        let regs = &point.state.frame().regs;
        let (a, b) = (&regs[usize::from(insn.dst)], &regs[usize::from(insn.src)]);
        let pointer = match (a.kind, b.kind) {
            (Kind::Packet, Kind::PacketEnd) => a,
            (Kind::PacketEnd, Kind::Packet) => b,
            _ => continue,
        };
        if pointer.id != reg.id {
            found.because.push((
                point.insn,
                "this comparison is of another pointer: one with a different variable part".into(),
            ));
        }
    }
}

/// Calls that may have moved the packet.
fn moved(case: &Case<'_>, found: &mut Findings) {
    for pair in case.trail.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let insn = case
            .input
            .insns
            .get(before.insn)
            .copied()
            .unwrap_or_default();
        if !insn.is_call() || before.state.frames.len() != after.state.frames.len() {
            continue;
        }
        let packets = |state: &State| {
            state.frame().regs[6..10]
                .iter()
                .filter(|reg| reg.is_packet_any())
                .count()
        };
        if packets(&before.state) > packets(&after.state) {
            found.because.push((
                before.insn,
                "this call may move the packet: pointers into it are void after it".into(),
            ));
        }
    }
}

/// `if rN + bytes > data_end return 0`, with registers that hold nothing.
fn check(case: &Case<'_>, state: &State, number: u8, bytes: i64) -> Option<Vec<Insn>> {
    let regs = &state.frame().regs;
    let mut free = (0..=5_u8).filter(|&free| regs[usize::from(free)].kind == Kind::NotInit);
    let scratch = free.next()?;
    let mut insns = vec![
        Insn::mov64_reg(scratch, number),
        Insn::alu64_imm(alu::ADD, scratch, i32::try_from(bytes).ok()?),
    ];
    let end = match (0..10_u8).find(|&end| regs[usize::from(end)].kind == Kind::PacketEnd) {
        Some(end) => end,
        None => {
            let ctx = (0..10_u8).find(|&ctx| regs[usize::from(ctx)].kind == Kind::Ctx)?;
            let end = free.next()?;
            let layout = case.input.context();
            let field = layout
                .fields
                .iter()
                .find(|field| field.value == FieldValue::PacketEnd)?;
            let width = if field.size == 4 { size::W } else { size::DW };
            insns.insert(0, Insn::load(width, end, ctx, field.offset as i16));
            end
        }
    };
    insns.push(Insn::jmp64_reg(jmp::JLE, scratch, end, 2));
    insns.push(Insn::mov64_imm(0, 0));
    insns.push(Insn::exit());
    Some(insns)
}
