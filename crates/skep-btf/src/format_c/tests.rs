//! Declarations and definitions as C writes them.

use super::*;
use crate::build::{Builder, MemberDef};
use crate::ty::{Encoding, Linkage};

#[test]
fn declarations_read_as_in_c() {
    let mut b = Builder::new();
    let int = b.add_int("int", 4, Encoding::SIGNED);
    let char = b.add_int("char", 1, Encoding::SIGNED);
    let task = b.add_struct("task", 4, [MemberDef::new("pid", int, 0)]);
    let const_char = b.add_const(char);
    let text = b.add_ptr(const_char);
    let const_text = b.add_const(text);
    let array = b.add_array(text, int, 4);
    let matrix = b.add_array(array, int, 3);
    let to_array = b.add_ptr(matrix);
    let pointer = b.add_ptr(task);
    let proto = b.add_func_proto(
        int,
        &[("task", pointer), ("name", const_text), ("", TypeId::VOID)],
    );
    let callback = b.add_ptr(proto);
    let callbacks = b.add_array(callback, int, 2);
    let returns = b.add_func_proto(callback, &[]);
    let func = b.add_func("wake", proto, Linkage::Global);
    let user = b.add_type_tag("user", char);
    let user = b.add_ptr(user);
    let anonymous = b.add_struct(
        "",
        4,
        [
            MemberDef::bits("low", int, 0, 3),
            MemberDef::bits("high", int, 8, 24),
        ],
    );
    let named = b.add_typedef("flags_t", anonymous);
    let btf = b.into_btf().unwrap();
    for (id, name, text) in [
        (text, "s", "const char *s"),
        (const_text, "s", "const char * const s"),
        (array, "names", "const char *names[4]"),
        (matrix, "names", "const char *names[3][4]"),
        (to_array, "p", "const char *(*p)[3][4]"),
        (
            callback,
            "cb",
            "int (*cb)(struct task *task, const char * const name, ...)",
        ),
        (
            callbacks,
            "cbs",
            "int (*cbs[2])(struct task *task, const char * const name, ...)",
        ),
        (
            returns,
            "f",
            "int (*f(void))(struct task *task, const char * const name, ...)",
        ),
        (user, "p", "__attribute__((btf_type_tag(\"user\"))) char *p"),
        (
            anonymous,
            "x",
            "struct {\n\tint low: 3;\n\tint: 5;\n\tint high: 24;\n} x",
        ),
    ] {
        assert_eq!(declaration(&btf, id, name).unwrap(), text);
    }
    assert_eq!(type_name(&btf, to_array), "const char *(*)[3][4]");
    assert_eq!(type_name(&btf, anonymous), "struct {...}");
    assert_eq!(
        declare(&btf, task).unwrap(),
        "struct task {\n\tint pid;\n};"
    );
    assert_eq!(
        declare(&btf, func).unwrap(),
        "int wake(struct task *task, const char * const name, ...);"
    );
    assert!(
        declare(&btf, named)
            .unwrap()
            .starts_with("typedef struct {\n\tint low: 3;")
    );
    assert_eq!(type_name(&btf, TypeId(1000)), "?");
}

#[test]
fn packing_and_padding_are_written_out() {
    let mut b = Builder::new();
    let int = b.add_int("int", 4, Encoding::SIGNED);
    let char = b.add_int("char", 1, Encoding::SIGNED);
    let long = b.add_int("long", 8, Encoding::SIGNED);
    let packed = b.add_struct(
        "packed",
        5,
        [MemberDef::new("c", char, 0), MemberDef::new("i", int, 1)],
    );
    let padded = b.add_struct(
        "padded",
        32,
        [MemberDef::new("a", long, 0), MemberDef::new("b", char, 12)],
    );
    let btf = b.into_btf().unwrap();
    assert_eq!(
        declare(&btf, packed).unwrap(),
        "struct packed {\n\tchar c;\n\tint i;\n} __attribute__((packed));"
    );
    assert_eq!(
        declare(&btf, padded).unwrap(),
        "struct padded {\n\tlong a;\n\tlong: 32;\n\tchar b;\n\tlong: 24;\n\tlong: 64;\n\tlong: 64;\n};"
    );
}

#[test]
fn hostile_types_end_in_an_error() {
    let mut b = Builder::new();
    let looped = b.declare();
    b.define(looped, crate::build::TypeDef::Ptr { target: looped })
        .unwrap();
    let mut id = b.add_int("int", 4, Encoding::SIGNED);
    for _ in 0..60 {
        id = b.add_struct(
            "",
            4,
            [MemberDef::new("a", id, 0), MemberDef::new("b", id, 0)],
        );
    }
    let top = b.add_struct("top", 4, [MemberDef::new("x", id, 0)]);
    let btf = b.into_btf().unwrap();
    assert!(declare(&btf, looped).is_err());
    assert!(declare(&btf, top).is_err());
    assert!(dump(&btf).is_err());
}
