//! What is read prints the same, and what is wrong is named with its place.

use super::*;
use crate::format_c;
use crate::kind::Kind;

#[test]
fn declarations_come_back_as_they_were() {
    let text = "
        enum state { RUN, STOP = 7, DEAD };
        struct node;
        typedef int (*visit_t)(struct node *node, const char *name, ...);
        struct event {
            u32 pid, tgid; /* who */
            char comm[16];
            enum state state; // how
            unsigned int low: 3, : 5, high: 24;
            union { u64 wide; struct { u8 a; u16 b; } parts; };
            struct node *list[2][3];
            visit_t visit;
            void *(*make)(void);
            u64 flex[];
        };
        struct tight { char c; long l; } __attribute__((packed));
        int watch(struct event *event);
        const volatile u32 rate;
    ";
    let mut types = CTypes::new();
    let declared = types.declare(text).unwrap();
    let names: Vec<&str> = declared
        .iter()
        .map(|declared| match declared {
            Declared::Tag { name, .. }
            | Declared::Typedef { name, .. }
            | Declared::Variable { name, .. }
            | Declared::Function { name, .. } => name.as_str(),
        })
        .collect();
    assert_eq!(
        names,
        ["state", "", "visit_t", "event", "tight", "watch", "rate"]
    );
    let pointer = types.type_id("struct event *").unwrap();
    let array = types.type_id("u64[4]").unwrap();
    assert_eq!(types.shape(array), Some((32, 8)));
    let btf = types.into_builder().into_btf().unwrap();
    assert_eq!(format_c::type_name(&btf, pointer), "struct event *");
    let event = btf.find(Kind::Struct, "event").unwrap();
    assert_eq!(
        format_c::declare(&btf, event).unwrap(),
        "struct event {\n\tu32 pid;\n\tu32 tgid;\n\tchar comm[16];\n\tenum state state;\n\tunsigned int low: 3;\n\tlong: 5;\n\t\
         unsigned int high: 24;\n\tunion {\n\t\tu64 wide;\n\t\tstruct {\n\t\t\tu8 a;\n\t\t\tu16 b;\n\t\t} parts;\n\t};\n\t\
         struct node *list[2][3];\n\tvisit_t visit;\n\tvoid *(*make)(void);\n\tu64 flex[0];\n};"
    );
    let offset = |name: &str| btf.member(event, name).unwrap().unwrap().bit_offset;
    assert_eq!(
        [
            offset("comm"),
            offset("high"),
            offset("wide"),
            offset("list"),
            offset("flex")
        ],
        [64, 232, 256, 320, 832]
    );
    assert_eq!(btf.size_of(btf.find(Kind::Struct, "tight").unwrap()), Ok(9));
    assert!(btf.find(Kind::Fwd, "node").is_some());
    assert!(
        format_c::dump(&btf)
            .unwrap()
            .contains("typedef int (*visit_t)(struct node *node, const char *name, ...);")
    );
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let says = |text: &str| CTypes::new().declare(text).unwrap_err().to_string();
    assert_eq!(
        says("struct s { int a }"),
        "C declaration at offset 0x11: found '}', wanted ';'"
    );
    assert!(says("struct s { foo a; };").contains("the type \"foo\" is not known"));
    assert!(
        says("struct s { struct t t; };").contains("the type of t in struct s is not complete")
    );
    assert!(says("struct s { struct s t; };").contains("not complete"));
    assert!(says("struct s { int a; }; struct s { int b; };").contains("defined twice"));
    assert!(
        says("struct s { int a: 33; };").contains("a bit-field of 33 bits in a type of 4 bytes")
    );
    assert!(says("struct s { char a[4294967295]; char b[4294967295]; };").contains("too large"));
    assert!(says("int a[-1];").contains("an array of -1 elements"));
    assert!(says("int @;").contains("has no place"));
    assert!(says("/* never").contains("does not end"));
    assert!(says(&"struct { ".repeat(100)).contains("nested too deeply"));
    assert!(says(&format!("int {}x;", "*".repeat(1000))).contains("nested too deeply"));
    assert!(says(&format!("int {}", "(*".repeat(1000))).contains("wanted ')'"));
    assert!(
        says(&format!("int {}a{};", "(*".repeat(500), ")".repeat(500)))
            .contains("nested too deeply")
    );
}
