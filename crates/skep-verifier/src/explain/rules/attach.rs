//! A program that this user, this place or this loader cannot have: privileges, attach targets, descriptors, kernel functions.

use skep_spec::insn::Insn;
use skep_spec::kfunc::kernel;
use skep_spec::program::{AttachType, flags};

use crate::explain::edit::Edit;
use crate::explain::{Case, Findings, calls};
use crate::input::Caps;

/// What only privileged users may do.
pub fn privilege(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    if case.fault.lines.is_empty() {
        let hook = case.input.program_type.name();
        found.notes.push(format!("who loads {hook} programs needs privileges; the system call fails with EPERM, without a log"));
    }
    if let Some(number) = case.named_register()
        && let Some(event) = case.history(number).first()
    {
        found
            .because
            .push((event.insn, format!("r{number} gets the address here")));
    }
    found.edits.push((
        Edit::Caps(Caps::ALL),
        "loaded by a user with CAP_BPF and CAP_PERFMON".into(),
    ));
    found
}

/// A hook that does not take the program.
pub fn target(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let says = |part: &str| case.fault.lines.iter().any(|line| line.contains(part));
    if says("is not modifiable") {
        found.here = "the function's result cannot be replaced".into();
        found.help = Some("fmod_ret works on functions that are marked for error injection, and on security_* functions; fentry and fexit look at any".into());
        found.edits.push((
            Edit::AttachType(AttachType::TraceFexit),
            "attached as fexit, which sees the result".into(),
        ));
    } else if says("is not sleepable") {
        found.here = "the function may be called where nothing may sleep".into();
        found.help = Some("leave out the `.s` of the section, and what may sleep".into());
        found.edits.push((
            Edit::WithoutFlags(flags::SLEEPABLE),
            "the program loaded as one that does not sleep".into(),
        ));
    }
    found
}

/// A kernel function that this program may not call.
pub fn kfunc(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let hook = case.input.program_type.name();
    let kernel_name = &case.input.profile.name;
    match calls::name(case.input, case.insn) {
        Some(name) => {
            found.here = format!("Linux {kernel_name} does not let {hook} programs call {name}");
            if let Some(known) = kernel::by_name(name) {
                found
                    .notes
                    .push(format!("{name} came with Linux {}", known.since));
            }
        }
        None => found.here = "the kernel has no such function".into(),
    }
    found.help = Some(
        "use a program type for which the function is registered, or leave the call out where it is missing \
         (declare it `__weak` and test `bpf_ksym_exists(f)`)"
            .into(),
    );
    found.edits.push((
        Edit::Replace {
            at: case.insn,
            count: 1,
            insns: vec![Insn::mov64_imm(0, 0)],
        },
        "0 in place of the call, as where the function is missing".into(),
    ));
    found
}

/// A descriptor that is no map's.
pub fn map_reference(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let insn = case.input.insns.get(case.insn).copied().unwrap_or_default();
    found.here = "the number in the code was never replaced by a map".into();
    if insn.is_ld_imm64() && case.input.maps.len() == 1 {
        found.edits.push((
            Edit::Replace {
                at: case.insn,
                count: 2,
                insns: Insn::ld_imm64_pseudo(insn.dst, 1, 0, 0).to_vec(),
            },
            format!("the program's map `{}`", case.input.maps[0].name),
        ));
    }
    found
}

/// The classic packet loads where they are not allowed.
pub fn packet_load(case: &Case<'_>) -> Findings {
    let insn = case.input.insns.get(case.insn).copied().unwrap_or_default();
    let mut found = Findings {
        here: format!(
            "{} programs have no such load",
            case.input.program_type.name()
        ),
        ..Findings::default()
    };
    let layout = skep_spec::context::for_program(case.input.program_type, case.input.attach_type);
    let place = |name: &str| {
        let field = layout.fields.iter().find(|field| field.name == name)?;
        i16::try_from(field.offset).ok()
    };
    let indirect = insn.code & 0xe0 == 0x40;
    if let (Some(data), Some(end), false) = (place("data"), place("data_end"), indirect)
        && let Ok(off) = i16::try_from(insn.imm)
    {
        use skep_spec::insn::{alu, jmp, size};
        let bytes = insn.width() as i32;
        let mut insns = vec![
            Insn::load(size::W, 1, 6, data),
            Insn::load(size::W, 2, 6, end),
            Insn::mov64_reg(3, 1),
            Insn::alu64_imm(alu::ADD, 3, i32::from(off) + bytes),
            Insn::jmp64_reg(jmp::JLE, 3, 2, 2),
            Insn::mov64_imm(0, 0),
            Insn::exit(),
            Insn::load(insn.code & size::MASK, 0, 1, off),
        ];
        if bytes > 1 {
            // From the network's order.
            insns.push(Insn::new(0xdc, 0, 0, 0, 8 * bytes));
        }
        found.edits.push((
            Edit::Replace {
                at: case.insn,
                count: 1,
                insns,
            },
            "the bytes read through `data`, compared with `data_end` before".into(),
        ));
    }
    found
}

/// An argument of a global function that its type does not allow.
pub fn global_argument(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let Some(number) = case.named_register() else {
        return found;
    };
    if let Some(event) = case.history(number).first() {
        found
            .because
            .push((event.insn, format!("r{number} is set here")));
    }
    found.here = format!("r{number} is not what the function's type says of its argument {number}");
    let size = argument_size(case, number).filter(|&size| size <= 256);
    if let (Some(size), Some(reg)) = (size, case.reg(number))
        && reg.is_scalar()
    {
        use skep_spec::insn::{alu, size as width};
        let own = calls::depth(case.input, calls::function_of(case.input, case.insn));
        let slots = size.div_ceil(8) as i32;
        let base = -(own + 8 * slots);
        let mut insns: Vec<Insn> = (1..slots)
            .map(|slot| Insn::store_imm(width::DW, 10, (base + 8 * slot) as i16, 0))
            .collect();
        insns.extend([
            Insn::store_reg(width::DW, 10, base as i16, number),
            Insn::mov64_reg(number, 10),
            Insn::alu64_imm(alu::ADD, number, base),
        ]);
        found.edits.push((
            Edit::Insert {
                before: case.insn,
                insns,
            },
            format!("r{number} put into an object on the stack, and its address passed"),
        ));
    }
    found
}

/// Bytes of what an argument of the called function points to.
fn argument_size(case: &Case<'_>, number: u8) -> Option<u64> {
    use skep_btf::Ty;
    let call = case
        .input
        .insns
        .get(case.insn)
        .filter(|insn| insn.is_local_call())?;
    let start = usize::try_from(case.insn as i64 + 1 + i64::from(call.imm)).ok()?;
    let record = case
        .input
        .functions
        .iter()
        .find(|function| function.insn == start)?;
    let btf = case.input.program_btf.as_ref()?;
    let Ok(Ty::Func { proto, .. }) = btf.ty(record.type_id) else {
        return None;
    };
    let Ok(Ty::FuncProto { params, .. }) = btf.ty(proto) else {
        return None;
    };
    let param = params.iter().nth(usize::from(number) - 1)?;
    let Ok(Ty::Ptr { target, .. }) = btf.ty(param.ty) else {
        return None;
    };
    btf.size_of(target).ok().map(|size| size as u64)
}
