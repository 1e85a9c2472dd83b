//! A number used as an address: where the number came from, and where a pointer stopped being one.

use skep_spec::insn::{Insn, alu, class, size};

use crate::explain::edit::Edit;
use crate::explain::history::What;
use crate::explain::{Case, Findings, calls};
use crate::state::reg::Kind;

/// `bpf_probe_read_kernel`
const PROBE_READ_KERNEL: u32 = 113;

/// See the catalogue.
pub fn rule(case: &Case<'_>) -> Findings {
    let mut found = Findings::default();
    let Some(number) = case.named_register() else {
        return found;
    };
    found.here = format!("r{number} is a number here, not a pointer that the verifier knows");
    let mut narrow = None;
    for event in case.history(number) {
        let text = match event.what {
            What::Loaded { from, .. } => match from {
                Kind::Ctx => {
                    "the number is read from the context: its type says nothing about memory".into()
                }
                Kind::MapValue => {
                    "the number is read from a map's value: an address kept there is a plain number"
                        .into()
                }
                Kind::Stack => "read back from the stack as a number".into(),
                _ => "the number is read from memory".into(),
            },
            What::Returned { helper } => {
                let name = case
                    .input
                    .helper(helper as u32)
                    .map_or("a kernel function", |helper| helper.name);
                format!("the number is the result of {name}")
            }
            What::Computed { code, .. } if code & class::MASK == class::ALU => {
                narrow.get_or_insert(event.insn);
                "computed in 32 bits: what was a pointer is a number after it".into()
            }
            What::Computed { .. } => "computed here".into(),
            What::Moved { partial: true, .. } => {
                narrow.get_or_insert(event.insn);
                "only its lower half is copied: what was a pointer is a number after it".into()
            }
            What::Filled { whole: false } => "read back from the stack in part".into(),
            What::Immediate => "a constant".into(),
            What::Argument => "an argument whose type is a number".into(),
            _ => continue,
        };
        found.because.push((event.insn, text));
    }
    if let Some(at) = narrow {
        let mut insn = case.input.insns[at];
        insn.code = insn.code & !class::MASK | class::ALU64;
        found.help =
            Some("keep the pointer in a 64-bit variable, and compute with it in 64 bits".into());
        found.edits.push((
            Edit::Replace {
                at,
                count: 1,
                insns: vec![insn],
            },
            format!("{} in 64 bits", case.lines.insn_text(at)),
        ));
        return found;
    }
    found.help = Some(
        "read kernel memory with BPF_CORE_READ or bpf_probe_read_kernel, user memory with bpf_probe_read_user; \
         or take a hook that gives typed pointers (fentry, tp_btf)"
            .into(),
    );
    found.edits.extend(probe_read(case, number));
    found
}

/// bpf_probe_read_kernel() in place of the refused load through that register.
pub fn probe_read(case: &Case<'_>, number: u8) -> Option<(Edit, String)> {
    let insn = case.input.insns.get(case.insn).copied()?;
    if insn.code & class::MASK != class::LDX {
        return None;
    }
    let own = calls::depth(case.input, calls::function_of(case.input, case.insn));
    let place = i16::try_from(-(own + 8)).ok()?;
    let mut insns = vec![Insn::mov64_reg(3, number)];
    if insn.off != 0 {
        insns.push(Insn::alu64_imm(alu::ADD, 3, i32::from(insn.off)));
    }
    insns.extend([
        Insn::store_imm(size::DW, 10, place, 0),
        Insn::mov64_reg(1, 10),
        Insn::alu64_imm(alu::ADD, 1, i32::from(place)),
        Insn::mov64_imm(2, insn.width() as i32),
        Insn::call_helper(PROBE_READ_KERNEL),
        Insn::load(insn.code & size::MASK, insn.dst, 10, place),
    ]);
    Some((
        Edit::Replace {
            at: case.insn,
            count: 1,
            insns,
        },
        format!(
            "bpf_probe_read_kernel in place of {}",
            case.lines.insn_text(case.insn)
        ),
    ))
}
