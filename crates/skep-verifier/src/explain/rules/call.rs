//! A call that is not allowed: the licence, the kind of program, the release, the place.

use skep_spec::helper;
use skep_spec::insn::{Insn, alu, size};
use skep_spec::map::MapType;
use skep_spec::program::flags;

use crate::explain::edit::{Edit, MapChange};
use crate::explain::history::What;
use crate::explain::rules::region;
use crate::explain::{Case, Findings, calls};
use crate::state::reg::Kind;

fn called<'c>(case: &Case<'c>) -> Option<&'c helper::Helper> {
    let insn = case.input.insns.get(case.insn)?;
    insn.is_helper_call()
        .then(|| case.input.helper(insn.imm as u32))
        .flatten()
}

/// For GPL programs only.
pub fn license(case: &Case<'_>) -> Findings {
    let license = &case.input.license;
    Findings {
        here: format!("the program's licence is \"{license}\""),
        help: Some("declare a licence compatible with the GPL: `char LICENSE[] SEC(\"license\") = \"GPL\";`".into()),
        edits: vec![(Edit::License("GPL"), "the licence \"GPL\"".into())],
        ..Findings::default()
    }
}

/// A helper that this kernel, or this kind of program, does not have.
pub fn helper(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let Some(helper) = called(case) else {
        found.here = "no helper has this number".into();
        return found;
    };
    let hook = case.input.program_type.name();
    if case.input.host.is_some() {
        let hook = case.input.hook_name();
        found.here = format!("{hook} programs may not call {}", helper.name);
        found.help =
            Some("its host decides which helpers there are; ask it to offer this one".into());
        return found;
    }
    found
        .notes
        .push(format!("{} came with Linux {}", helper.name, helper.since));
    if helper.programs.contains(case.input.program_type) {
        found.here = format!(
            "Linux {} does not offer {} here",
            case.input.profile.name, helper.name
        );
    } else {
        found.here = format!("{hook} programs may not call {}", helper.name);
        let kinds: Vec<&str> = helper
            .programs
            .iter()
            .map(|program| program.name())
            .collect();
        found
            .notes
            .push(format!("programs that may: {}", kinds.join(", ")));
    }
    // Older or more widely allowed helpers that take the same arguments.
    let other = match helper.id {
        112..=113 => 4,
        114..=115 => 45,
        125 | 160 | 208 => 5,
        158 => 35,
        _ => 0,
    };
    if let Some(other) = helper::by_id(other) {
        found.help = Some(format!(
            "{} does the same where it is allowed, or guard the call by a check of the feature",
            other.name
        ));
        found.edits.push((
            Edit::Replace {
                at: case.insn,
                count: 1,
                insns: vec![Insn::call_helper(other.id)],
            },
            format!("{} in its place", other.name),
        ));
    } else {
        found.help = Some("use a hook that offers the helper, or leave the call out where it is missing (bpf_core_enum_value_exists(enum bpf_func_id, ...))".into());
    }
    found.edits.push((
        Edit::Replace {
            at: case.insn,
            count: 1,
            insns: vec![Insn::mov64_imm(0, -95)],
        },
        "-EOPNOTSUPP in place of the call".into(),
    ));
    found
}

/// A CO-RE relocation that found nothing.
pub fn poison(case: &Case<'_>) -> Findings {
    Findings {
        here: "the field or type that is accessed here does not exist in the kernel's types".into(),
        help: Some("guard the access: `if (bpf_core_field_exists(p->field))`, or describe the other layout with a `struct name___flavour`".into()),
        edits: lost_register(case)
            .map(|number| {
                (
                    Edit::Replace { at: case.insn, count: 1, insns: vec![Insn::mov64_imm(number, 0)] },
                    format!("`r{number} = 0` in place of the access, as where the field is missing"),
                )
            })
            .collect(),
        ..Findings::default()
    }
}

/// Registers that the lost instruction may have written: the first that the code after it reads without having it.
fn lost_register(case: &Case<'_>) -> impl Iterator<Item = u8> {
    let regs = case.state().map(|state| state.frame().regs);
    let after = case.input.insns.get(case.insn + 1..).unwrap_or_default();
    let lost = after.iter().take(32).find_map(|insn| {
        [insn.src, insn.dst].into_iter().find(|&number| {
            number < 10 && regs.is_some_and(|regs| regs[usize::from(number)].kind == Kind::NotInit)
        })
    });
    lost.into_iter().chain([0])
}

/// A sleeping function in a program that may not sleep.
pub fn sleepable(case: &Case<'_>) -> Findings {
    const COPY_FROM_USER: i32 = 148;
    const PROBE_READ_USER: u32 = 112;
    let name = calls::name(case.input, case.insn).unwrap_or("this call");
    let mut found = Findings {
        here: format!("{name} may sleep"),
        help: Some("load the program as a sleepable one, where its hook allows that: a section with `.s`, as in `SEC(\"fentry.s/...\")`".into()),
        ..Findings::default()
    };
    region::sleeps(case, &mut found);
    found.edits.push((
        Edit::Flags(flags::SLEEPABLE),
        "the program loaded as sleepable".into(),
    ));
    if case.input.insns.get(case.insn) == Some(&Insn::call_helper(COPY_FROM_USER as u32)) {
        found.edits.push((
            Edit::Replace {
                at: case.insn,
                count: 1,
                insns: vec![Insn::call_helper(PROBE_READ_USER)],
            },
            "bpf_probe_read_user in its place, which reads what is in memory already".into(),
        ));
    }
    found
}

/// A map of a kind that the helper does not work on.
pub fn map_type(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let Some(helper) = called(case) else {
        return found;
    };
    let map = (1..=5).find_map(|number| {
        case.reg(number)
            .filter(|reg| reg.kind == Kind::MapPtr)?
            .map()
    });
    let Some(map) = map else { return found };
    let info = &case.input.maps[map.0 as usize];
    found.here = format!(
        "`{}` is a {} map, which {} does not take",
        info.name,
        info.map_type.name(),
        helper.name
    );
    let wanted: &[MapType] = match helper.id {
        12 => &[MapType::ProgArray],
        25 | 22 | 55 => &[MapType::PerfEventArray],
        27 => &[MapType::StackTrace],
        51 => &[MapType::Devmap, MapType::Cpumap, MapType::Xskmap],
        52 | 60 => &[MapType::Sockmap],
        70 | 71 => &[MapType::Sockhash],
        87..=89 => &[MapType::Queue, MapType::Stack],
        130..=134 => &[MapType::Ringbuf],
        _ => &[],
    };
    if let Some(first) = wanted.first() {
        let names: Vec<&str> = wanted.iter().map(|map| map.name()).collect();
        found.help = Some(format!(
            "{} works on {} maps",
            helper.name,
            names.join(", ")
        ));
        let mut changed = *first;
        if helper.id == 51 && case.input.program_type == skep_spec::program::ProgramType::Xdp {
            changed = MapType::Devmap;
        }
        found.edits.push((
            Edit::Map {
                map: map.0 as usize,
                change: MapChange::Type(changed),
            },
            format!("`{}` as a {} map", info.name, changed.name()),
        ));
    }
    found
}

/// A write into a map that programs may only read.
pub fn read_only(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    const RDONLY_PROG: u32 = 1 << 7;
    let insn = case.input.insns.get(case.insn).copied().unwrap_or_default();
    let registers: Vec<u8> = if insn.is_call() {
        (1..=5).collect()
    } else {
        vec![insn.dst]
    };
    let map = registers.iter().find_map(|&number| {
        let map = case.reg(number)?.map()?;
        (case.input.maps[map.0 as usize].flags & RDONLY_PROG != 0).then_some(map)
    });
    let Some(map) = map else { return found };
    for event in registers.iter().flat_map(|&number| case.history(number)) {
        match event.what {
            What::Immediate if !insn.is_call() => found
                .because
                .push((event.insn, "the address of a constant".into())),
            What::Returned { .. } if !insn.is_call() => found
                .because
                .push((event.insn, "the address of a value of the map".into())),
            _ => {}
        }
    }
    let info = &case.input.maps[map.0 as usize];
    found.here = format!("programs may only read `{}`", info.name);
    found.help = Some("constants (`const volatile`, .rodata) cannot change at run time: use a plain global, or a map without BPF_F_RDONLY_PROG".into());
    found.edits.push((
        Edit::Map {
            map: map.0 as usize,
            change: MapChange::Flags(info.flags & !RDONLY_PROG),
        },
        format!("`{}` without BPF_F_RDONLY_PROG", info.name),
    ));
    found
}

/// An argument of the wrong kind.
pub fn argument(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let (Some(number), Some(helper)) = (case.named_register(), called(case)) else {
        return found;
    };
    let Some(reg) = case.reg(number) else {
        return found;
    };
    if let Some(argument) = helper.arguments().get(usize::from(number).wrapping_sub(1)) {
        found.here = format!("argument {number} of {} is {argument}", helper.name);
    }
    if let Some(event) = case.history(number).first() {
        found
            .because
            .push((event.insn, format!("r{number} is set here")));
    }
    let expects_memory = case.line().contains("expected=fp") || case.line().contains(", fp");
    if reg.is_scalar() && case.line().contains("expected=map_ptr") && case.input.maps.len() == 1 {
        let [first, second] = Insn::ld_imm64_pseudo(number, 1, 0, 0);
        found.help = Some("the reference to the map was not resolved: load the object with a loader that relocates it, and name the map itself".into());
        found.edits.push((
            Edit::Insert {
                before: case.insn,
                insns: vec![first, second],
            },
            format!("the program's map in r{number}"),
        ));
    } else if reg.is_scalar() && expects_memory {
        found.help = Some("pass the address of a variable on the stack, not the value".into());
        found.edits.push((
            Edit::Insert {
                before: case.insn,
                insns: vec![
                    Insn::store_reg(size::DW, 10, -8, number),
                    Insn::mov64_reg(number, 10),
                    Insn::alu64_imm(alu::ADD, number, -8),
                ],
            },
            format!("r{number} put on the stack and its address passed"),
        ));
    } else if expects_memory {
        found.help = Some(
            "copy what it points to into a variable on the stack, and pass its address".into(),
        );
    }
    found
}
