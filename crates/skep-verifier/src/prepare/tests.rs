//! What is decided before the walk, in the kernel's order.

use skep_spec::insn::Insn;
use skep_spec::program::ProgramType;

use crate::input::Input;
use crate::verifier::Verifier;

fn input(insns: Vec<Insn>) -> Input {
    Input {
        log_level: 2,
        ..Input::new(ProgramType::SocketFilter, insns)
    }
}

#[test]
fn the_log_starts_as_the_kernels() {
    let insns = vec![
        Insn::mov64_imm(0, 0),
        Insn::call_local(2),
        Insn::jmp64_imm(0x10, 0, 1, -2),
        Insn::exit(),
        Insn::mov64_imm(0, 0),
        Insn::exit(),
    ];
    let input = input(insns);
    let mut verifier = Verifier::new(&input);
    verifier.prepare().unwrap();
    // As Linux 6.18.44 writes it.
    let wanted = "\
func#0 @0
func#1 @4
Live regs before insn:
      0: .12345.... (b7) r0 = 0
  1   1: .12345.... (85) call pc+2
  1   2: 012345.... (15) if r0 == 0x1 goto pc-2
      3: 0......... (95) exit
      4: .......... (b7) r0 = 0
      5: 0......... (95) exit
";
    assert_eq!(verifier.log.into_text(), wanted);
    assert_eq!(verifier.subprogs.len(), 2);
    assert_eq!(
        (verifier.subprogs[1].start, verifier.subprogs[1].end),
        (4, 6)
    );
}

#[test]
fn unknown_maps_are_found_in_the_order_of_the_program() {
    let mut insns = Insn::ld_imm64_pseudo(1, 1, 999, 0).to_vec();
    insns.extend([
        Insn::mov64_imm(0, 0),
        Insn::exit(),
        Insn::new(0xff, 0, 0, 0, 0),
        Insn::exit(),
    ]);
    let input = input(insns);
    let fault = Verifier::new(&input).prepare().unwrap_err();
    assert_eq!(fault.lines, ["fd 999 is not pointing to valid bpf_map"]);
    assert_eq!((fault.errno, fault.insn), (9, Some(0)));
}

#[test]
fn calls_need_privilege() {
    let mut input = input(vec![
        Insn::call_local(1),
        Insn::exit(),
        Insn::mov64_imm(0, 0),
        Insn::exit(),
    ]);
    assert!(Verifier::new(&input).prepare().is_ok());
    input.caps = crate::input::Caps::NONE;
    let fault = Verifier::new(&input).prepare().unwrap_err();
    assert_eq!(fault.errno, 1);
}

#[test]
fn offsets_into_map_values_are_judged_before_the_walk() {
    let map = crate::input::MapInfo {
        name: "values".into(),
        map_type: skep_spec::map::MapType::Array,
        key_size: 4,
        value_size: 48,
        max_entries: 1,
        flags: 0,
        map_extra: 0,
        key_type: None,
        value_type: None,
        inner: None,
        frozen: None,
        user_address: 0,
    };
    let verdict = |off: i32| {
        let mut insns = Insn::ld_imm64_pseudo(1, 2, 0, off).to_vec();
        insns.extend([Insn::mov64_imm(0, 0), Insn::exit()]);
        let mut input = input(insns);
        input.maps = vec![map.clone()];
        Verifier::new(&input)
            .prepare()
            .map_err(|fault| fault.lines[0].clone())
    };
    assert_eq!(verdict(47), Ok(()));
    let wanted = "invalid access to map value pointer, value_size=48 off=48";
    assert_eq!(verdict(48).unwrap_err(), wanted);
    let wanted = "direct value offset of 4294967295 is not allowed";
    assert_eq!(verdict(-1).unwrap_err(), wanted);
}
