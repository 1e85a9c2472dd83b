//! An access of the context that this kind of program may not make.

use skep_spec::context::Access;
use skep_spec::insn::{Insn, alu, class, size};

use crate::explain::edit::Edit;
use crate::explain::history::What;
use crate::explain::{Case, Findings};

/// See the catalogue.
pub fn field(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let insn = case.input.insns.get(case.insn).copied().unwrap_or_default();
    let layout = case.input.context();
    let write = insn.code & class::MASK != class::LDX;
    let base = if write { insn.dst } else { insn.src };
    let off = i64::from(insn.off) + case.reg(base).map_or(0, |reg| i64::from(reg.off));
    let bytes = insn.width() as u32;
    let hook = case.input.hook_name();
    let verb = if write { "written" } else { "read" };
    let lacks = |line: &String| line.contains("-th argument");
    if case.fault.lines.iter().any(lacks) {
        found.here = "the function has no such argument".into();
        found.help = Some(
            "only fexit and fmod_ret programs see the function's result, after the arguments"
                .into(),
        );
        found.edits.push((
            Edit::AttachType(skep_spec::program::AttachType::TraceFexit),
            "attached as fexit, where the result follows the arguments".into(),
        ));
        return found;
    }
    match u32::try_from(off).ok().and_then(|off| layout.field_at(off)) {
        Some((_, field)) => {
            let access = if write { field.write } else { field.read };
            if access == Access::Denied {
                found.here = format!(
                    "`{}` of struct {} may not be {verb} by {hook} programs",
                    field.name, layout.name
                );
            } else {
                found.here = format!(
                    "`{}` of struct {} is {} bytes; it may not be {verb} as {bytes} bytes at offset {off}",
                    field.name, layout.name, field.size
                );
                let width = match field.size {
                    1 => size::B,
                    2 => size::H,
                    4 => size::W,
                    _ => size::DW,
                };
                let mut whole = insn;
                whole.code = insn.code & !size::MASK | width;
                whole.off = (i64::from(insn.off) + i64::from(field.offset) - off) as i16;
                found.edits.push((
                    Edit::Replace {
                        at: case.insn,
                        count: 1,
                        insns: vec![whole],
                    },
                    format!("the whole of `{}` ({} bytes)", field.name, field.size),
                ));
            }
        }
        None => {
            found.here = format!(
                "struct {} has no field at offset {off} for {hook} programs",
                layout.name
            )
        }
    }
    let legal: Vec<&str> = layout
        .fields
        .iter()
        .filter(|field| {
            if write {
                field.write != Access::Denied
            } else {
                field.read != Access::Denied
            }
        })
        .map(|field| field.name)
        .filter(|name| !name.contains('[') || name.ends_with("[0]"))
        .take(24)
        .collect();
    if !legal.is_empty() {
        found
            .notes
            .push(format!("what may be {verb}: {}", legal.join(", ")));
    }
    found.help = Some(format!(
        "use a field that {hook} programs may access, in its own width; a struct of another hook does not fit"
    ));
    found
}

/// The context through a pointer that was moved.
pub fn moved(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let insn = case.input.insns.get(case.insn).copied().unwrap_or_default();
    let write = insn.code & class::MASK != class::LDX;
    let base = if write { insn.dst } else { insn.src };
    for event in case.history(base) {
        if let What::Computed { .. } = event.what {
            found
                .because
                .push((event.insn, "the context's address is changed here".into()));
        }
    }
    found.here = "the context may only be accessed at fixed offsets from its start".into();
    found.help = Some("read the field into a local variable once, from the context itself; `volatile` or a barrier keeps the compiler from moving the address".into());
    if let Some(reg) = case.reg(base)
        && reg.off != 0
        && (write || insn.dst != base)
        && let Ok(off) = i16::try_from(i32::from(insn.off) + reg.off)
    {
        let mut direct = insn;
        direct.off = off;
        let mut insns = vec![Insn::alu64_imm(alu::ADD, base, -reg.off), direct];
        if write || insn.dst != base {
            insns.push(Insn::alu64_imm(alu::ADD, base, reg.off));
        }
        found.edits.push((
            Edit::Replace {
                at: case.insn,
                count: 1,
                insns,
            },
            format!("the access from the context's start, at offset {off}"),
        ));
    }
    found
}
