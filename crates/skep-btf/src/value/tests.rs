//! Values of all kinds, whole and cut short, in both byte orders.

use super::*;
use crate::build::{Builder, MemberDef};

fn event(endian: Endian) -> (Btf, TypeId) {
    let mut b = Builder::new();
    b.set_endian(endian);
    let u32 = b.add_int("unsigned int", 4, Encoding::UNSIGNED);
    let int = b.add_int("int", 4, Encoding::SIGNED);
    let char = b.add_int("char", 1, Encoding::SIGNED);
    let bool = b.add_int("_Bool", 1, Encoding::BOOL);
    let comm = b.add_array(char, u32, 8);
    let pair = b.add_array(int, u32, 2);
    let state = b.add_enum("state", 4, &[("RUN", 0), ("STOP", -2)]);
    let void = b.add_ptr(TypeId::VOID);
    let inner = b.add_struct(
        "",
        4,
        [
            MemberDef::bits("a", u32, 0, 3),
            MemberDef::bits("b", int, 3, 5),
        ],
    );
    let members = [
        MemberDef::new("pid", u32, 0),
        MemberDef::new("ret", int, 4),
        MemberDef::new("comm", comm, 8),
        MemberDef::new("state", state, 16),
        MemberDef::new("", inner, 20),
        MemberDef::new("ptr", void, 24),
        MemberDef::new("pair", pair, 32),
        MemberDef::new("ok", bool, 40),
    ];
    let id = b.add_struct("event", 48, members);
    (b.into_btf().unwrap(), id)
}

#[test]
fn an_event_prints_alike_in_both_byte_orders() {
    for endian in [Endian::Little, Endian::Big] {
        let (btf, id) = event(endian);
        let word = |value: u32| match endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        };
        let mut bytes = Vec::new();
        for value in [7, -5_i32 as u32] {
            bytes.extend(word(value));
        }
        bytes.extend(b"ls\"\0junk");
        bytes.extend(word(-2_i32 as u32));
        bytes.extend(match endian {
            Endian::Little => [0b1111_0101, 0, 0, 0],
            Endian::Big => [0b1011_1110, 0, 0, 0],
        });
        bytes.extend(match endian {
            Endian::Little => 0xffff_8000_u64.to_le_bytes(),
            Endian::Big => 0xffff_8000_u64.to_be_bytes(),
        });
        for value in [1, 2] {
            bytes.extend(word(value));
        }
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        let value = format(&btf, id, &bytes);
        assert_eq!(
            value.to_string(),
            "{ .pid = 7, .ret = -5, .comm = \"ls\\\"\", .state = STOP, .a = 5, .b = -2, .ptr = 0xffff8000, \
             .pair = { 1, 2 }, .ok = true }"
        );
        assert_eq!(
            value.to_json(),
            "{\"pid\":7,\"ret\":-5,\"comm\":\"ls\\\"\",\"state\":\"STOP\",\"a\":5,\"b\":-2,\"ptr\":\"0xffff8000\",\
             \"pair\":[1,2],\"ok\":true}"
        );
        assert_eq!(value.member("ret").and_then(Value::as_int), Some(-5));
        assert_eq!(
            format(&btf, id, &bytes[..37]).to_string(),
            "{ .pid = 7, .ret = -5, .comm = \"ls\\\"\", .state = STOP, .a = 5, .b = -2, .ptr = 0xffff8000, \
             .pair = { 1, ? }, .ok = ? }"
        );
        assert_eq!(format(&btf, id, &[]).member("a"), Some(&Value::Missing));
    }
}

#[test]
fn broken_types_end() {
    let mut b = Builder::new();
    let s = b.declare();
    let array = b.add_array(s, s, u32::MAX);
    let members = vec![
        MemberDef::new("x", s, 0),
        MemberDef::new("", s, 0),
        MemberDef::new("y", array, 0),
    ];
    b.define(
        s,
        crate::build::TypeDef::Struct {
            name: "s".into(),
            size: 1,
            members,
        },
    )
    .unwrap();
    let btf = b.into_btf().unwrap();
    let text = format(&btf, s, &[1, 2, 3]).to_string();
    assert!(text.contains(".x = "));
    assert_eq!(format(&btf, TypeId(77), &[0xab, 1]).to_string(), "ab01");
}

#[test]
fn an_address_by_its_types_name_reads_as_one() {
    let mut b = Builder::new();
    let long = b.add_int("unsigned long", 8, Encoding::UNSIGNED);
    let address = b.add_typedef("uintptr_t", long);
    let own = b.add_typedef("where_t", address);
    let btf = b.into_btf().unwrap();
    let bytes = u64::to_le_bytes(0xffff_8880_1234_5678);
    assert_eq!(format(&btf, own, &bytes).to_string(), "0xffff888012345678");
    // A number stays a number, exactly.
    let number = format(&btf, long, &u64::MAX.to_le_bytes());
    assert_eq!(number.to_json(), "18446744073709551615");
}
