//! What a small BTF says after a round through the builder, in both byte orders.

use skep_spec::insn::Endian;

use crate::build::{Builder, MemberDef};
use crate::ty::{Encoding, Linkage, Ty, TypeId};
use crate::{Btf, BtfError, Kind};

fn sample(endian: Endian) -> Btf {
    let mut b = Builder::new();
    b.set_endian(endian);
    let int = b.add_int("int", 4, Encoding::SIGNED);
    let char = b.add_int(
        "char",
        1,
        Encoding {
            char: true,
            ..Encoding::SIGNED
        },
    );
    let comm = b.add_array(char, int, 16);
    let inner = b.add_struct(
        "",
        8,
        [
            MemberDef::new("a", int, 0),
            MemberDef::bits("flag", int, 35, 3),
        ],
    );
    let task = b.declare();
    let link = b.add_ptr(task);
    let members = [
        MemberDef::new("pid", int, 0),
        MemberDef::new("comm", comm, 4),
        MemberDef::new("", inner, 20),
        MemberDef::new("parent", link, 32),
    ];
    b.define(
        task,
        crate::build::TypeDef::Struct {
            name: "task".into(),
            size: 40,
            members: members.into(),
        },
    )
    .unwrap();
    let typedef = b.add_typedef("task_t", task);
    b.add_const(typedef);
    b.add_enum("state", 4, &[("DEAD", -1), ("ALIVE", 7)]);
    b.add_enum64("wide", 8, &[("HUGE", 0x1_ffff_ffff)]);
    let proto = b.add_func_proto(int, &[("t", link)]);
    b.add_func("wake", proto, Linkage::Global);
    b.add_struct("task___old", 4, [MemberDef::new("pid", int, 0)]);
    b.into_btf().unwrap()
}

#[test]
fn types_read_back_in_both_byte_orders() {
    for endian in [Endian::Little, Endian::Big] {
        let btf = sample(endian);
        assert_eq!(btf.endian(), endian);
        let task = btf.find(Kind::Struct, "task").unwrap();
        assert_eq!(btf.size_of(task), Ok(40));
        assert_eq!(btf.align_of(task), Ok(8));
        let typedef = btf.find(Kind::Typedef, "task_t").unwrap();
        assert_eq!(btf.resolve(TypeId(typedef.0 + 1)), Ok(task));
        assert_eq!(btf.unqualified(TypeId(typedef.0 + 1)), Ok(typedef));
        let flag = btf.member(typedef, "flag").unwrap().unwrap();
        assert_eq!((flag.bit_offset, flag.member.bitfield_size), (195, 3));
        assert_eq!(btf.member(task, "nosuch"), Ok(None));
        let Ty::Enum(state) = btf.ty(btf.find(Kind::Enum, "state").unwrap()).unwrap() else {
            panic!("not an enum")
        };
        assert_eq!(
            state
                .values
                .iter()
                .map(|v| (v.name, v.value as i64))
                .collect::<Vec<_>>(),
            [("DEAD", -1), ("ALIVE", 7)]
        );
        let Ty::Enum64(wide) = btf.ty(btf.find(Kind::Enum64, "wide").unwrap()).unwrap() else {
            panic!("not an enum")
        };
        assert_eq!(wide.values.get(0).unwrap().value, 0x1_ffff_ffff);
        assert_eq!(btf.own_essentially_named("task").len(), 2);
        assert_eq!(btf.own_essentially_named("task___new").len(), 2);
        assert!(matches!(
            btf.size_of(TypeId::VOID),
            Err(BtfError::NoSize { .. })
        ));
        assert!(matches!(
            btf.ty(TypeId(99)),
            Err(BtfError::NoSuchType { .. })
        ));
    }
}

#[test]
fn names_are_found_as_a_scan_finds_them() {
    let btf = sample(Endian::NATIVE);
    for id in btf.ids() {
        let name = btf.name(id);
        let named: Vec<_> = btf
            .ids()
            .filter(|&id| btf.name(id) == name && !name.is_empty())
            .collect();
        assert_eq!(btf.find_all(name), named);
    }
    assert!(btf.find(Kind::Func, "wake").is_some());
    assert_eq!(btf.find(Kind::Struct, "wake"), None);
    assert_eq!(btf.find_all("ask"), []);
}

#[test]
fn malformed_headers_are_named_with_their_place() {
    let good = sample(Endian::NATIVE).raw().to_vec();
    let says = |bytes: Vec<u8>| Btf::parse(bytes).unwrap_err().to_string();
    assert!(says(vec![]).contains("0 bytes are too few"));
    assert!(says(vec![1, 2, 3, 4]).contains(".BTF at offset 0x0: starts with"));
    assert!(says(good[..good.len() - 1].to_vec()).contains("the strings reach to offset"));
    let mut bad = good.clone();
    bad[24 + 7] = 31;
    assert!(says(bad).contains(".BTF at offset 0x1c: type 1 is of the unknown kind 31"));
    let mut bad = good.clone();
    bad[24..28].copy_from_slice(&0x7fff_u32.to_ne_bytes());
    assert!(says(bad).contains(".BTF at offset 0x18: refers to string offset 0x7fff"));
}

#[test]
fn cycles_end() {
    let mut b = Builder::new();
    let a = b.declare();
    let c = b.add_const(a);
    b.define(
        a,
        crate::build::TypeDef::Typedef {
            name: "loop".into(),
            target: c,
        },
    )
    .unwrap();
    let s = b.declare();
    b.define(
        s,
        crate::build::TypeDef::Struct {
            name: "s".into(),
            size: 8,
            members: vec![MemberDef::new("", s, 0), MemberDef::new("", s, 0)],
        },
    )
    .unwrap();
    let array = b.declare();
    b.define(
        array,
        crate::build::TypeDef::Array {
            elem: array,
            index: c,
            len: 2,
        },
    )
    .unwrap();
    let btf = b.into_btf().unwrap();
    assert_eq!(btf.resolve(a), Err(BtfError::TooDeep { id: a }));
    assert!(btf.align_of(s).is_err());
    assert!(btf.member(s, "x").is_err());
    assert!(btf.size_of(array).is_err());
}

#[test]
fn split_btf_continues_its_base() {
    let base = std::sync::Arc::new(sample(Endian::NATIVE));
    let task = base.find(Kind::Struct, "task").unwrap();
    let mut b = Builder::with_base(base.clone());
    let ptr = b.add_ptr(task);
    let own = b.add_struct("mod", 8, [MemberDef::new("comm", ptr, 0)]);
    let split = b.into_btf().unwrap();
    assert_eq!(own.0, base.len() + 1);
    assert_eq!(split.find(Kind::Struct, "mod"), Some(own));
    assert_eq!(split.find(Kind::Struct, "task"), Some(task));
    assert_eq!(
        split.composite(own).unwrap().members.get(0).unwrap().name,
        "comm"
    );
    assert!(
        !String::from_utf8_lossy(split.raw()).contains("comm"),
        "the base's string is reused"
    );
    assert_eq!(split.size_of(own), Ok(8));
}
