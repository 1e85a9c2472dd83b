//! The C header of a BTF compiles, and every struct in it has the size and offsets that the BTF says.

use std::fmt::Write as _;
use std::process::Command;

use skep_btf::ty::Ty;
use skep_btf::{Btf, Builder, Kind, format_c};

fn clang() -> Option<&'static str> {
    ["clang", "clang-19", "clang-18", "clang-17"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok())
}

fn compile(clang: &str, name: &str, text: &str) {
    let dir = std::env::temp_dir().join(format!("skep-btf-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (source, object) = (dir.join("types.c"), dir.join("types.o"));
    std::fs::write(&source, text).unwrap();
    let output = Command::new(clang)
        .args([
            "-target",
            "bpf",
            "-g",
            "-c",
            "-Wall",
            "-Wno-missing-declarations",
            "-Wno-unused",
            "-Wno-gnu",
        ])
        .arg("-o")
        .arg(&object)
        .arg(&source)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{}",
        errors.lines().take(40).collect::<Vec<_>>().join("\n")
    );
    assert!(!errors.contains("-Wvisibility"), "{errors}");
    std::fs::remove_dir_all(&dir).unwrap();
}

/// The header with assertions about all structs that keep their name.
fn asserted(btf: &Btf) -> (String, usize) {
    let mut text = format_c::dump(btf).unwrap();
    let mut asserts = 0;
    for id in btf.ids() {
        let (word, composite) = match btf.ty(id).unwrap() {
            Ty::Struct(composite) => ("struct", composite),
            Ty::Union(composite) => ("union", composite),
            _ => continue,
        };
        let name = composite.name;
        let tags = btf.find_all(name).into_iter().filter(|&id| {
            let kind = btf.kind(id).unwrap();
            kind.is_composite() || kind.is_enum()
        });
        if name.is_empty() || tags.count() > 1 {
            continue;
        }
        writeln!(
            text,
            "_Static_assert(sizeof({word} {name}) == {}, \"{name}\");",
            composite.size
        )
        .unwrap();
        asserts += 1;
        for member in composite
            .members
            .iter()
            .filter(|member| !member.name.is_empty() && member.bitfield_size == 0)
        {
            let (field, offset) = (member.name, member.byte_offset().unwrap());
            writeln!(text, "_Static_assert(__builtin_offsetof({word} {name}, {field}) == {offset}, \"{name}.{field}\");").unwrap();
            asserts += 1;
        }
    }
    (text, asserts)
}

#[test]
fn the_kernels_types_compile_to_their_layouts() {
    let (Ok(bytes), Some(clang)) = (std::fs::read("/sys/kernel/btf/vmlinux"), clang()) else {
        println!("skipped: needs clang and /sys/kernel/btf/vmlinux");
        return;
    };
    let btf = Btf::parse(bytes).unwrap();
    let (text, asserts) = asserted(&btf);
    assert!(asserts > 10_000, "{asserts} assertions");
    compile(clang, "kernel", &text);
}

#[test]
fn deduplicated_copies_keep_their_names_apart() {
    let Some(clang) = clang() else {
        println!("skipped: needs clang");
        return;
    };
    let mut b = Builder::new();
    let int = b.add_int("int", 4, skep_btf::ty::Encoding::SIGNED);
    let one = b.add_struct("twice", 4, [skep_btf::build::MemberDef::new("a", int, 0)]);
    let two = b.add_struct("twice", 8, [skep_btf::build::MemberDef::new("b", int, 4)]);
    b.add_union(
        "both",
        8,
        [("x", one), ("y", two)].map(|(name, ty)| skep_btf::build::MemberDef::new(name, ty, 0)),
    );
    b.add_enum("", 4, &[("LONELY", 1)]);
    b.add_enum("named", 4, &[("LONELY", 2)]);
    let btf = b.into_btf().unwrap();
    let (text, asserts) = asserted(&btf);
    assert!(asserts >= 3);
    assert!(
        text.contains("struct twice___2 {\n\tint: 32;\n\tint b;\n};"),
        "{text}"
    );
    assert!(
        text.contains("enum {\n\tLONELY = 1,\n};") && text.contains("LONELY___2 = 2"),
        "{text}"
    );
    assert_eq!(btf.find(Kind::Struct, "twice"), Some(one));
    compile(clang, "names", &text);
}
