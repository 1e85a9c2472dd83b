//! cilium/ebpf's relocation objects give the values their sources expect, for all kinds, in both byte orders.

mod support;

use std::sync::Arc;

use skep_btf::core::{CoreError, CoreKind, Relocator, is_poison};
use skep_btf::ty::Encoding;
use skep_btf::{Btf, Builder, Kind};
use support::{Elf, data, run};

/// Copies of the types under other ids.
fn renumbered(btf: &Btf) -> Arc<Btf> {
    let mut builder = Builder::new();
    builder.set_endian(btf.endian());
    builder.add_int("something else", 4, Encoding::UNSIGNED);
    builder.append(btf).unwrap();
    Arc::new(builder.into_btf().unwrap())
}

#[test]
fn relocs_return_what_their_source_expects() {
    let mut kinds = Vec::new();
    for endian in ["el", "eb"] {
        let elf = Elf::parse(&data(&format!("relocs-{endian}.elf")));
        let targets = [renumbered(&elf.btf)];
        assert_eq!(elf.functions.len(), 6);
        for function in &elf.functions {
            let name = &function.name;
            let mut relocator = Relocator::new(&elf.btf, &targets);
            let result = elf.relocate(function, &mut relocator, &mut kinds);
            if name.starts_with("err_") {
                let error = result.expect_err(name);
                assert!(
                    matches!(error, CoreError::Ambiguous { .. }),
                    "{name}: {error}"
                );
                let text = error.to_string();
                assert!(
                    text.contains("struct ambiguous is type")
                        && text.contains("struct ambiguous___flavour is type"),
                    "{text}"
                );
                continue;
            }
            let (insns, poisons) = result.unwrap();
            assert_eq!(poisons, [""; 0], "{name}");
            assert_eq!(
                run(&insns, elf.btf.endian()),
                Ok(0),
                "{name} of {endian}: the line that does not hold"
            );
        }
    }
    for endian in ["el", "eb"] {
        let elf = Elf::parse(&data(&format!("relocs_read-{endian}.elf")));
        let targets = [Arc::new(
            Elf::parse(&data(&format!("relocs_read_tgt-{endian}.elf"))).btf,
        )];
        let mut relocator = Relocator::new(&elf.btf, &targets);
        let function = elf
            .functions
            .iter()
            .find(|function| function.name == "read_subprog")
            .unwrap();
        let unrelocated = run(&function.insns, elf.btf.endian()).unwrap();
        assert_ne!(
            unrelocated, 0,
            "the program tells a wrong layout from the right one"
        );
        let (mut insns, poisons) = elf.relocate(function, &mut relocator, &mut kinds).unwrap();
        assert_eq!(poisons, [""; 0]);
        if endian == "eb" {
            // Line 94 expects the little-endian value of `g` in both builds. Where bit-fields are allocated from the most
            // significant bit, the 30 bits of `g` in 55 44 33 22 are those above the last two.
            assert_eq!(run(&insns, elf.btf.endian()), Ok(94));
            let line = insns.iter_mut().filter(|insn| insn.imm == 0x1544_3322);
            assert_eq!(line.map(|insn| insn.imm = 0x5544_3322 >> 2).count(), 1);
        }
        assert_eq!(
            run(&insns, elf.btf.endian()),
            Ok(0),
            "{endian}: the line that does not hold"
        );
        // The same types as those of a module, when the first target does not have them.
        let targets = [
            Arc::new(Builder::new().into_btf().unwrap()),
            targets[0].clone(),
        ];
        if elf.btf.endian() == skep_spec::insn::Endian::NATIVE {
            let mut relocator = Relocator::new(&elf.btf, &targets);
            let (insns, _) = elf.relocate(function, &mut relocator, &mut kinds).unwrap();
            assert_eq!(run(&insns, elf.btf.endian()), Ok(0));
        }
    }
    for kind in CoreKind::ALL {
        assert!(
            kinds.contains(&kind),
            "no relocation of kind {kind} was tried"
        );
    }
}

#[test]
fn enumerators_are_found_by_name() {
    for endian in ["el", "eb"] {
        let elf = Elf::parse(&data(&format!("relocs_enum-{endian}.elf")));
        let function = &elf.functions[0];
        let mut b = Builder::new();
        b.add_enum64(
            "cgroup_subsys_id___v2",
            8,
            &[("x", 0), ("cpuset_cgrp_id_lublub", 0x7_0000_0001)],
        );
        let targets = [Arc::new(b.into_btf().unwrap())];
        let mut kinds = Vec::new();
        let mut relocator = Relocator::new(&elf.btf, &targets);
        let (insns, poisons) = elf.relocate(function, &mut relocator, &mut kinds).unwrap();
        assert_eq!(poisons, [""; 0]);
        let value = insns
            .windows(2)
            .filter(|pair| pair[0].code == 0x18 && pair[1].code == 0);
        let values: Vec<u64> = value
            .map(|pair| u64::from(pair[0].imm as u32) | u64::from(pair[1].imm as u32) << 32)
            .collect();
        assert!(values.contains(&0x7_0000_0001), "{values:x?}");

        let empty = [Arc::new(Builder::new().into_btf().unwrap())];
        let mut relocator = Relocator::new(&elf.btf, &empty);
        let (insns, poisons) = elf.relocate(function, &mut relocator, &mut kinds).unwrap();
        assert_eq!(
            poisons,
            [
                "enum cgroup_subsys_id cpuset_cgrp_id_lublub does not exist in the target: it has no enum cgroup_subsys_id"
            ]
        );
        assert_eq!(
            run(&insns, elf.btf.endian()),
            Ok(0),
            "the poisoned instruction is behind the failed check"
        );
    }
}

#[test]
fn what_the_target_lacks_is_poisoned_with_a_reason() {
    for endian in ["el", "eb"] {
        let elf = Elf::parse(&data(&format!("errors-{endian}.elf")));
        let empty = [Arc::new(Builder::new().into_btf().unwrap())];
        for (name, wide, reason) in [
            (
                "poisoned_single",
                false,
                "struct nonexist.non_exist does not exist in the target: it has no struct nonexist",
            ),
            (
                "poisoned_double",
                true,
                "enum nonexist_enum NON_EXIST does not exist in the target: it has no enum nonexist_enum",
            ),
        ] {
            let function = elf
                .functions
                .iter()
                .find(|function| function.name == name)
                .unwrap();
            let mut relocator = Relocator::new(&elf.btf, &empty);
            let (insns, poisons) = elf
                .relocate(function, &mut relocator, &mut Vec::new())
                .unwrap();
            assert_eq!(poisons, [reason]);
            assert_eq!(
                insns.iter().filter(|insn| is_poison(insn)).count(),
                1 + usize::from(wide)
            );
        }
    }
}

#[test]
fn real_tools_relocate_to_the_running_kernel() {
    let (Ok(kernel), Some(objects)) = (
        std::fs::read("/sys/kernel/btf/vmlinux"),
        std::env::var_os("SKEP_TEST_OBJECTS"),
    ) else {
        println!(
            "skipped: needs /sys/kernel/btf/vmlinux and a directory of objects in SKEP_TEST_OBJECTS"
        );
        return;
    };
    let targets = [Arc::new(Btf::parse(kernel).unwrap())];
    assert!(targets[0].find(Kind::Struct, "task_struct").is_some());
    let mut relocations = 0;
    for entry in std::fs::read_dir(objects).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "o") {
            continue;
        }
        let elf = Elf::parse(&std::fs::read(&path).unwrap());
        let mut relocator = Relocator::new(&elf.btf, &targets);
        let mut kinds = Vec::new();
        for function in &elf.functions {
            let (_, poisons) = elf.relocate(function, &mut relocator, &mut kinds).unwrap();
            println!("{}: {}: {poisons:?}", path.display(), function.name);
        }
        relocations += kinds.len();
    }
    assert!(relocations > 0, "no object had a relocation");
}
