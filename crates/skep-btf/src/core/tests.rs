//! Relocations between small hand-made types: nesting, flavours, widths, poison and the one candidate set.

use std::sync::Arc;

use skep_spec::insn::{Insn, alu, class, mode, size};

use super::*;
use crate::build::{Builder, MemberDef};
use crate::ty::{Encoding, TypeId};
use crate::{Btf, Kind};

struct Types {
    b: Builder,
    u32: TypeId,
    u64: TypeId,
    i32: TypeId,
}

fn types() -> Types {
    let mut b = Builder::new();
    let u32 = b.add_int("unsigned int", 4, Encoding::UNSIGNED);
    let u64 = b.add_int("unsigned long", 8, Encoding::UNSIGNED);
    let i32 = b.add_int("int", 4, Encoding::SIGNED);
    Types { b, u32, u64, i32 }
}

fn relo(btf: &Btf, name: &str, access: &str, kind: CoreKind) -> CoreRelo {
    let type_id = btf.find(Kind::Struct, name).unwrap();
    CoreRelo {
        insn_off: 0,
        type_id,
        access: access.into(),
        kind,
    }
}

fn load(width: u8, off: i16) -> Insn {
    Insn {
        code: class::LDX | mode::MEM | width,
        dst: 1,
        src: 2,
        off,
        imm: 0,
    }
}

#[test]
fn a_field_is_found_through_anonymous_members_and_other_nesting() {
    let mut l = types();
    let inner = l.b.add_struct(
        "",
        8,
        [MemberDef::new("a", l.u32, 0), MemberDef::new("b", l.u32, 4)],
    );
    l.b.add_struct(
        "s___mine",
        16,
        [MemberDef::new("x", l.u64, 0), MemberDef::new("", inner, 8)],
    );
    let local = l.b.into_btf().unwrap();
    let mut t = types();
    let union = t.b.add_union(
        "",
        4,
        [MemberDef::new("c", t.i32, 0), MemberDef::new("b", t.u32, 0)],
    );
    let deep = t.b.add_struct(
        "",
        24,
        [
            MemberDef::new("pad", t.u64, 0),
            MemberDef::new("", union, 20),
        ],
    );
    t.b.add_struct("s", 64, [MemberDef::new("", deep, 32)]);
    let targets = [Arc::new(t.b.into_btf().unwrap())];
    let mut relocator = Relocator::new(&local, &targets);
    let b = relo(&local, "s___mine", "0:1:1", CoreKind::FieldByteOffset);
    let resolved = relocator.resolve(&b).unwrap();
    assert_eq!((resolved.local, resolved.value), (12, 52));
    assert_eq!(resolved.what, "struct s___mine.b");
    // Element 2 behind a pointer to the root: two structs further.
    let b = relo(&local, "s___mine", "2:1:1", CoreKind::FieldByteOffset);
    let resolved = relocator.resolve(&b).unwrap();
    assert_eq!((resolved.local, resolved.value), (44, 180));

    let x = relo(&local, "s___mine", "0:0", CoreKind::FieldByteOffset);
    let resolved = relocator.resolve(&x).unwrap();
    assert!(!resolved.exists);
    let mut insns = [load(size::DW, 0)];
    let patched = relocator.patch(&mut insns, 0, &resolved).unwrap();
    let why = "struct s___mine.x does not exist in the target: its struct s has no member x";
    assert_eq!(patched, Patched::Poisoned(why.into()));
    assert!(is_poison(&insns[0]));
    let exists = relocator
        .resolve(&relo(&local, "s___mine", "0:0", CoreKind::FieldExists))
        .unwrap();
    assert_eq!((exists.value, exists.poison), (0, None));
}

#[test]
fn loads_change_width_for_unsigned_integers_and_pointers_only() {
    let mut l = types();
    let void = l.b.add_ptr(TypeId::VOID);
    let array = l.b.add_array(l.u32, l.u32, 4);
    let members = [
        MemberDef::new("u", l.u32, 0),
        MemberDef::new("i", l.i32, 4),
        MemberDef::new("p", void, 8),
        MemberDef::new("arr", array, 16),
    ];
    l.b.add_struct("s", 32, members);
    let local = l.b.into_btf().unwrap();
    let mut t = types();
    let i64 = t.b.add_int("long", 8, Encoding::SIGNED);
    let void = t.b.add_ptr(TypeId::VOID);
    let array = t.b.add_array(t.u64, t.u32, 4);
    let members = [
        MemberDef::new("p", void, 0),
        MemberDef::new("u", t.u64, 8),
        MemberDef::new("i", i64, 16),
        MemberDef::new("arr", array, 24),
    ];
    t.b.add_struct("s", 56, members);
    let targets = [Arc::new(t.b.into_btf().unwrap())];
    let mut relocator = Relocator::new(&local, &targets);
    let mut patch = |access: &str, insn: Insn| {
        let resolved = relocator
            .resolve(&relo(&local, "s", access, CoreKind::FieldByteOffset))
            .unwrap();
        let mut insns = [insn];
        resolved
            .patch(&mut insns, 0)
            .map(|patched| (patched, insns[0]))
    };
    assert_eq!(
        patch("0:0", load(size::W, 0)),
        Ok((Patched::Value, load(size::DW, 8)))
    );
    assert_eq!(
        patch("0:2", load(size::DW, 8)),
        Ok((Patched::Value, load(size::DW, 0)))
    );
    assert_eq!(
        patch("0:3", load(size::W, 16)),
        Ok((Patched::Value, load(size::DW, 24)))
    );
    let (patched, insn) = patch("0:1", load(size::W, 4)).unwrap();
    let Patched::Poisoned(why) = patched else {
        panic!("a signed load was widened")
    };
    assert!(
        why.contains("struct s.i has 4 bytes here and 8 in the target"),
        "{why}"
    );
    assert!(is_poison(&insn));
    // As an addend to a pointer, the size does not matter.
    let add = Insn {
        code: class::ALU64 | alu::ADD,
        dst: 1,
        src: 0,
        off: 0,
        imm: 4,
    };
    assert_eq!(
        patch("0:1", add),
        Ok((Patched::Value, Insn { imm: 16, ..add }))
    );
    // What the compiler wrote must be what the types say.
    let error = patch("0:1", Insn { imm: 5, ..add })
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("it holds 0x5, but the object's own types give 0x4"),
        "{error}"
    );
    assert!(
        patch("0:0", load(size::H, 0))
            .unwrap_err()
            .to_string()
            .contains("accesses 2 bytes of a field of 4")
    );
}

#[test]
fn one_candidate_set_a_root_type_never_mixes_layouts() {
    let mut l = types();
    let members = ["a", "only_new", "b"].map(|name| (name, l.u32));
    let members: Vec<_> = (0..3)
        .map(|at| MemberDef::new(members[at].0, members[at].1, at as u32 * 4))
        .collect();
    l.b.add_struct("s", 12, members);
    let local = l.b.into_btf().unwrap();
    let target = || {
        let mut t = types();
        t.b.add_struct(
            "s___old",
            16,
            [
                MemberDef::new("a", t.u32, 0),
                MemberDef::new("b", t.u32, 12),
            ],
        );
        let new = [
            MemberDef::new("a", t.u32, 0),
            MemberDef::new("b", t.u32, 4),
            MemberDef::new("only_new", t.u32, 8),
        ];
        t.b.add_struct("s", 12, new);
        [Arc::new(t.b.into_btf().unwrap())]
    };
    let off = |access| relo(&local, "s", access, CoreKind::FieldByteOffset);

    // `a` is at the same place in both, `b` is not: refused, and both layouts are named.
    let targets = target();
    let mut relocator = Relocator::new(&local, &targets);
    assert_eq!(relocator.resolve(&off("0:0")).unwrap().value, 0);
    let error = relocator.resolve(&off("0:2")).unwrap_err();
    assert!(matches!(error, CoreError::Ambiguous { .. }));
    let text = error.to_string();
    assert!(
        text.contains("struct s___old.b (of type 4) is at bit 96"),
        "{text}"
    );
    assert!(
        text.contains("struct s.b (of type 5) is at bit 32"),
        "{text}"
    );

    // A field that only one of them has decides for all that follow.
    let targets = target();
    let mut relocator = Relocator::new(&local, &targets);
    assert_eq!(relocator.resolve(&off("0:1")).unwrap().value, 8);
    assert_eq!(relocator.resolve(&off("0:2")).unwrap().value, 4);
    // A field that none has changes nothing.
    let missing = CoreRelo {
        kind: CoreKind::TypeMatches,
        ..off("0")
    };
    assert_eq!(relocator.resolve(&missing).unwrap().value, 1);
}

#[test]
fn flexible_arrays_have_no_end_only_at_the_end() {
    let build = |len: u32, tail: bool| {
        let mut l = types();
        let array = l.b.add_array(l.u32, l.u32, len);
        let mut members = vec![
            MemberDef::new("n", l.u32, 0),
            MemberDef::new("items", array, 4),
        ];
        if tail {
            members.push(MemberDef::new("tail", l.u32, 4 + len * 4));
        }
        l.b.add_struct("list", 8 + len * 4, members);
        l.b.into_btf().unwrap()
    };
    let local = build(0, false);
    let third = relo(&local, "list", "0:1:3", CoreKind::FieldByteOffset);
    for (target, value) in [
        (build(0, false), Some(16)),
        (build(8, false), Some(16)),
        (build(2, false), None),
        (build(0, true), None),
    ] {
        let targets = [Arc::new(target)];
        let resolved = Relocator::new(&local, &targets).resolve(&third).unwrap();
        assert_eq!(resolved.exists.then_some(resolved.value), value);
        assert_eq!(resolved.poison.is_some(), value.is_none());
    }
    let bad = build(0, true);
    let targets: [Arc<Btf>; 0] = [];
    let error = Relocator::new(&bad, &targets)
        .resolve(&relo(&bad, "list", "0:1:3", CoreKind::FieldByteOffset))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("an array element beyond the end"),
        "{error}"
    );
}

#[test]
fn modules_are_asked_for_what_the_kernel_does_not_have() {
    let mut l = types();
    l.b.add_struct("mod_only", 4, [MemberDef::new("a", l.u32, 0)]);
    l.b.add_struct("both", 4, [MemberDef::new("a", l.u32, 0)]);
    let local = l.b.into_btf().unwrap();
    let mut k = types();
    k.b.add_struct("both", 8, [MemberDef::new("a", k.u32, 4)]);
    let kernel = Arc::new(k.b.into_btf().unwrap());
    let u32 = kernel.find(Kind::Int, "unsigned int").unwrap();
    let mut m = Builder::with_base(kernel.clone());
    m.add_struct("mod_only", 12, [MemberDef::new("a", u32, 8)]);
    m.add_struct("both", 12, [MemberDef::new("a", u32, 8)]);
    let targets = [kernel, Arc::new(m.into_btf().unwrap())];
    let mut relocator = Relocator::new(&local, &targets);
    let value = |resolved: Resolved| (resolved.value, resolved.target.map(|(target, _)| target));
    let off = |name| relo(&local, name, "0:0", CoreKind::FieldByteOffset);
    assert_eq!(
        value(relocator.resolve(&off("mod_only")).unwrap()),
        (8, Some(1))
    );
    assert_eq!(
        value(relocator.resolve(&off("both")).unwrap()),
        (4, Some(0))
    );
}

#[test]
fn nonsense_is_refused() {
    let mut l = types();
    l.b.add_struct("s", 4, [MemberDef::new("a", l.u32, 0)]);
    let unnamed = l.b.add_struct("", 4, [MemberDef::new("a", l.u32, 0)]);
    let local = l.b.into_btf().unwrap();
    let targets = [Arc::new(types().b.into_btf().unwrap())];
    let mut relocator = Relocator::new(&local, &targets);
    let long = vec!["0"; 65].join(":");
    for (access, why) in [
        ("", "not numbers"),
        ("0:x", "not numbers"),
        ("0:1", "no such member"),
        ("0:0:0", "has no members"),
        ("4294967295:0", "does not fit 32 bits"),
        (long.as_str(), "too long"),
    ] {
        let error = relocator
            .resolve(&relo(&local, "s", access, CoreKind::FieldByteOffset))
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{access}: {error}");
    }
    let anonymous = CoreRelo {
        type_id: unnamed,
        ..relo(&local, "s", "0", CoreKind::TypeExists)
    };
    assert!(
        relocator
            .resolve(&anonymous)
            .unwrap_err()
            .to_string()
            .contains("no name")
    );
    let exit = Insn {
        code: class::JMP | skep_spec::insn::jmp::EXIT,
        ..Insn::default()
    };
    let exists = relocator
        .resolve(&relo(&local, "s", "0", CoreKind::TypeExists))
        .unwrap();
    assert!(
        exists
            .patch(&mut [exit], 0)
            .unwrap_err()
            .to_string()
            .contains("no relocatable value")
    );
    assert!(
        exists
            .patch(&mut [exit], 7)
            .unwrap_err()
            .to_string()
            .contains("there are only 1 instructions")
    );
}
