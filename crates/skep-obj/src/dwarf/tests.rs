//! Structures from real debug information, where a compiler is there to make it.

use super::structs;
use skep_btf::Ty;

#[test]
fn bytes_that_are_no_object_give_nothing() {
    assert!(structs(b"", &|_, _| true).is_none());
    assert!(structs(b"\x7fELF\x02\x01\x01 and then nonsense", &|_, _| true).is_none());
}

#[test]
fn a_structure_on_the_stack_is_found() {
    let folder = std::env::temp_dir().join(format!("skep-dwarf-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let (source, object) = (folder.join("event.c"), folder.join("event.o"));
    let text = "enum kind { OPEN = 1, SHUT = 2 };\n\
        struct event { unsigned long long at; int pid; enum kind kind; char comm[16]; unsigned bits : 3; struct { const char *p; } in; };\n\
        static long (*output)(void *, unsigned long) = (void *)25;\n\
        __attribute__((section(\"socket\"), used)) int main_program(void *ctx)\n\
        { struct event event = { .pid = 7, .kind = SHUT }; output(&event, sizeof(event)); return 0; }\n";
    std::fs::write(&source, text).expect("the source is written");
    let made = ["clang", "clang-19"].iter().any(|clang| {
        let mut command = std::process::Command::new(clang);
        command
            .args(["--target=bpf", "-O2", "-g", "-c"])
            .arg(&source)
            .arg("-o")
            .arg(&object);
        command
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    });
    let bytes = std::fs::read(&object);
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    if !made {
        eprintln!("skipped: no clang with a BPF target");
        return;
    }
    let bytes = bytes.expect("clang wrote the object");
    let (types, found) =
        structs(&bytes, &|name, _| name == "event").expect("the structure is there");
    let Ok(Ty::Struct(event)) = types.ty(found[0]) else {
        panic!("not a structure")
    };
    let members: Vec<(String, u32)> = event
        .members
        .iter()
        .map(|m| (m.name.to_owned(), m.bit_offset))
        .collect();
    let expected = [
        ("at", 0),
        ("pid", 64),
        ("kind", 96),
        ("comm", 128),
        ("bits", 256),
        ("in", 320),
    ];
    assert_eq!(members, expected.map(|(name, at)| (name.to_owned(), at)));
    assert_eq!((event.size, types.size_of(found[0]).ok()), (48, Some(48)));
    let kind = event.members.iter().nth(2).expect("the third member").ty;
    let Ok(Ty::Enum(kind)) = types.ty(kind) else {
        panic!("not an enumeration")
    };
    assert_eq!(
        kind.values
            .iter()
            .map(|v| v.name.to_owned())
            .collect::<Vec<_>>(),
        ["OPEN", "SHUT"]
    );
}
