//! Decode rules and subprograms.

use skep_spec::insn::Insn;

use super::*;
use crate::cfg::{BackEdges, CallEffects, Cfg};

const ISA: Isa = Isa::linux(6, 18);

fn r0() -> Insn {
    Insn::mov64_imm(0, 0)
}

fn line(rule: Rule<impl std::fmt::Debug>) -> String {
    rule.unwrap_err().lines.join("\n")
}

/// The first fault of a program, as the kernel orders them.
fn first(insns: &[Insn]) -> Rule {
    let subs = Subprograms::find(insns, true, None, |_, _| Ok(()))?;
    subs.check_jumps(insns)?;
    func_info::check_without(&subs)?;
    check_eager(insns, &ISA, |_, _, _| Ok(()))?;
    Cfg::walk(insns, &subs, BackEdges::Allowed, &mut |_, _| {
        CallEffects::default()
    })
    .map(|_| ())
}

#[test]
fn sizes() {
    assert_eq!(check_size(0, true).unwrap_err().errno, 7);
    assert!(check_size(1_000_000, true).is_ok());
    assert!(check_size(1_000_001, true).is_err());
    assert!(check_size(4096, false).is_ok());
    assert!(check_size(4097, false).is_err());
}

#[test]
fn the_first_fault_is_the_kernels() {
    let raw = |code, dst, src, off, imm| Insn::new(code, dst, src, off, imm);
    let exit = Insn::exit();
    let cases: &[(&[Insn], &str)] = &[
        (&[r0()], "last insn is not an exit or jmp"),
        (&[r0(), exit, r0(), exit], "unreachable insn 2"),
        (
            &[r0(), exit, raw(0xff, 0, 0, 0, 0), exit],
            "unknown opcode ff",
        ),
        (&[raw(0, 0, 0, 0, 0), exit], "unknown opcode 00"),
        (
            &[Insn::ja(5), r0(), exit],
            "jump out of range from insn 0 to 6",
        ),
        (
            &[Insn::ja(-5), r0(), exit],
            "jump out of range from insn 0 to -4",
        ),
        (
            &[raw(6, 0, 0, 0, i32::MAX), exit],
            "jump out of range from insn 0 to -2147483648",
        ),
        (
            &[raw(0x61, 0, 10, -8, 5), exit],
            "BPF_LDX uses reserved fields",
        ),
        (&[raw(0x18, 0, 0, 0, 0), exit], "invalid bpf_ld_imm64 insn"),
        (
            &[raw(0x18, 0, 9, 0, 0), raw(0, 0, 0, 0, 0), r0(), exit],
            "unrecognized bpf_ld_imm64 insn",
        ),
        (
            &[raw(0x18, 0, 1, 0, 9), raw(0, 0, 0, 0, 1), r0(), exit],
            "unrecognized bpf_ld_imm64 insn",
        ),
        (
            &[Insn::call_local(100), r0(), exit],
            "call to invalid destination",
        ),
        (
            &[Insn::call_local(-100), r0(), exit],
            "call to invalid destination",
        ),
        (
            &[
                r0(),
                Insn::jmp64_imm(0x10, 0, 0, 1),
                raw(0x18, 0, 0, 0, 0),
                raw(0, 0, 0, 0, 0),
                r0(),
                exit,
            ],
            "jump into the middle of ldimm64 insn 2",
        ),
    ];
    for (insns, wanted) in cases {
        assert_eq!(line(first(insns)), *wanted, "{insns:?}");
    }
    assert!(first(&[Insn::call_local(1), exit, r0(), exit]).is_ok());
}

#[test]
fn constants_come_after_operands() {
    let div = Insn::alu64_imm(0x30, 2, 0);
    assert!(check_insn(div, &ISA).is_ok());
    assert_eq!(line(check_late(div)), "div by zero");
    assert_eq!(
        line(check_late(Insn::alu32_imm(0x60, 2, 32))),
        "invalid shift 32"
    );
    assert!(check_late(Insn::alu64_imm(0x60, 2, 32)).is_ok());
    assert_eq!(line(check_register(11)), "R11 is invalid");
    let verdicts = Verdicts::of(
        &[
            div,
            Insn::mov64_imm(12, 0),
            Insn::new(0xb7, 0, 1, 0, 0),
            r0(),
        ],
        &ISA,
    );
    let all: Vec<Verdict> = (0..4).map(|slot| verdicts.at(slot)).collect();
    assert_eq!(
        all,
        [
            Verdict::Late,
            Verdict::Register,
            Verdict::Reserved,
            Verdict::Fine
        ]
    );
}

#[test]
fn older_kernels_lack_instructions() {
    let old = Isa::linux(5, 10);
    let movsx = Insn::new(0xbf, 2, 3, 8, 0);
    assert!(check_insn(movsx, &ISA).is_ok());
    assert_eq!(
        line(check_insn(movsx, &old)),
        "BPF_MOV uses reserved fields"
    );
    for code in [0x06u8, 0xe5, 0xd7] {
        assert!(ISA.knows(Insn::new(code, 0, 0, 0, 0)), "{code:#x}");
        assert!(!old.knows(Insn::new(code, 0, 0, 0, 0)), "{code:#x}");
    }
}

#[test]
fn flags_are_known_since_their_release() {
    use skep_spec::program::flags;
    for profile in Profile::ALL {
        let invariants = check_flags(flags::TEST_REG_INVARIANTS, profile);
        assert_eq!(invariants.is_ok(), profile.version.has("6.8"), "{profile}");
        assert!(check_flags(flags::SLEEPABLE, profile).is_ok());
    }
    let fault = check_flags(flags::TEST_REG_INVARIANTS, &Profile::V6_1).unwrap_err();
    assert_eq!((fault.errno, fault.lines.len()), (22, 0));
}

#[test]
fn long_jumps_were_carried_back_to_6_1() {
    let gotol = Insn {
        code: 0x06,
        ..Insn::ja(0)
    };
    let known = |minor| Isa::linux(6, minor).knows(gotol);
    assert!(known(1) && known(6) && !known(4) && !Isa::linux(5, 15).knows(gotol));
}
