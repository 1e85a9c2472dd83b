//! Objects that other people compiled: each is read as expected, linked, written and read again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use skep_obj::{
    ExternKind, InitialContents, MapKind, ObjError, Object, ParseOptions, RelocTarget, SlotTarget,
    elf,
};
use skep_spec::insn::Endian;
use skep_spec::map::{MapType, flags};
use skep_spec::program::{AttachType, ProgramType};

fn conformance(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../conformance")
        .join(folder)
}

fn read(path: &Path) -> Result<Object, ObjError> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Object::parse(
        &bytes,
        &ParseOptions {
            name: "test".into(),
            legacy_maps: true,
        },
    )
}

/// Both byte orders of one of cilium's objects.
fn cilium(name: &str) -> [Object; 2] {
    ["el", "eb"].map(|endian| {
        let path = conformance("cilium-ebpf/testdata").join(format!("{name}-{endian}.elf"));
        let object = read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(
            object.endian,
            if endian == "el" {
                Endian::Little
            } else {
                Endian::Big
            }
        );
        object
    })
}

/// Writing and reading gives the same object.
fn round_trip(path: &Path, object: &Object) {
    let name = path.display();
    let bytes = elf::write(object).unwrap_or_else(|e| panic!("{name}: writing: {e}"));
    let options = ParseOptions {
        name: "test".into(),
        legacy_maps: true,
    };
    let again =
        Object::parse(&bytes, &options).unwrap_or_else(|e| panic!("{name}: reading again: {e}"));
    assert_eq!(again.functions, object.functions, "{name}");
    assert_eq!(again.maps, object.maps, "{name}");
    assert_eq!(again.externs, object.externs, "{name}");
    // The linker left gaps in this file's legacy `maps`, which is smaller when written.
    if !name.to_string().ends_with("linked-el.elf") {
        assert!(again == *object, "{name}: changed by writing and reading");
    }
    assert_eq!(
        elf::write(object).ok().as_ref(),
        Some(&bytes),
        "{name}: written differently the second time"
    );
}

#[test]
fn cilium_testdata() {
    let folder = conformance("cilium-ebpf/testdata");
    let (mut little, mut refused) = (0, Vec::new());
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "elf") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        match read(&path) {
            Ok(object) => {
                little += usize::from(object.endian == Endian::Little);
                round_trip(&path, &object);
            }
            Err(error) => {
                let text = error.to_string();
                assert!(
                    text.contains("section ") && text.contains("offset 0x"),
                    "{name}: {text}"
                );
                refused.push(name);
            }
        }
    }
    refused.sort();
    let meant = [
        "invalid_btf_map_init-eb",
        "invalid_btf_map_init-el",
        "invalid_map_static-eb",
        "invalid_map_static-el",
    ];
    assert_eq!(refused, meant);
    assert_eq!(little, 28);
}

#[test]
fn cilium_loader() {
    for object in cilium("loader-clang-22") {
        let def = |name: &str| {
            let m = object.map(name).unwrap_or_else(|| panic!("no map {name}"));
            (
                m.def.map_type,
                m.def.key_size,
                m.def.value_size,
                m.def.max_entries,
                m.def.flags & !flags::MMAPABLE,
            )
        };
        assert_eq!(
            def("hash_map"),
            (MapType::Hash, 4, 8, 1, flags::NO_PREALLOC)
        );
        assert_eq!(def("hash_map2"), (MapType::Hash, 4, 8, 2, 0));
        assert_eq!(def("btf_pin"), (MapType::Hash, 4, 8, 1, 0));
        assert_eq!(
            object.map("btf_pin").unwrap().pinning,
            skep_obj::Pinning::ByName
        );
        assert_eq!(def(".bss"), (MapType::Array, 4, 4, 1, 0));
        assert_eq!(def(".data.test"), (MapType::Array, 4, 4, 1, 0));
        assert_eq!(
            def(".rodata"),
            (MapType::Array, 4, 24, 1, flags::RDONLY_PROG)
        );
        assert_eq!(
            def(".rodata.cst32"),
            (MapType::Array, 4, 32, 1, flags::RDONLY_PROG)
        );
        let inner = object.map("btf_outer_map").unwrap().inner.as_ref().unwrap();
        assert_eq!(
            (inner.def.map_type, inner.def.key_size, inner.def.value_size),
            (MapType::Hash, 4, 4)
        );
        assert_eq!(def("btf_typedef_map"), (MapType::Array, 4, 8, 1, 0));

        let names: Vec<&str> = object.programs.iter().map(|p| p.name.as_str()).collect();
        let mut wanted = [
            "xdp_prog",
            "no_relocation",
            "asm_relocation",
            "data_sections",
            "global_fn3",
            "anon_const",
        ]
        .to_vec();
        wanted.retain(|w| !names.contains(w));
        assert_eq!(wanted, [""; 0], "missing of {names:?}");
        let xdp = object.program("xdp_prog").unwrap();
        assert_eq!(
            (xdp.program_type, xdp.attach_type),
            (Some(ProgramType::Xdp), Some(AttachType::Xdp))
        );
        assert_eq!(object.program("global_fn3").unwrap().program_type, None);
        assert_eq!(object.license.as_deref(), Some("MIT"));

        let place = |name: &str| {
            let g = object.global(name).unwrap();
            (object.maps[g.map.0].def.name.clone(), g.offset, g.size)
        };
        assert_eq!(place("arg"), (".rodata".into(), 4, 4));
        assert_eq!(place("neg"), (".rodata".into(), 12, 4));
        assert_eq!(place("arg2"), (".rodata.test".into(), 0, 4));
        assert_eq!(place("key1"), (".bss".into(), 0, 4));
        assert_eq!(place("key2"), (".data".into(), 0, 4));

        // The program and the two levels of functions that it calls are one vector.
        let linked = object.link(xdp).unwrap();
        assert_eq!(linked.functions[0].name, "xdp_prog");
        assert_eq!(
            linked.insns.len(),
            linked.functions.iter().map(|f| f.len).sum::<usize>()
        );
        let called: Vec<&str> = linked.functions.iter().map(|f| f.name.as_str()).collect();
        assert!(
            called.contains(&"static_fn")
                && called.contains(&"global_fn")
                && called.contains(&"global_fn2"),
            "{called:?}"
        );
        for (at, insn) in linked
            .insns
            .iter()
            .enumerate()
            .filter(|(_, i)| i.is_local_call())
        {
            let target = (at as i64 + 1 + i64::from(insn.imm)) as usize;
            assert!(
                linked.functions.iter().any(|f| f.start == target),
                "call at {at} to {target}"
            );
        }
    }
}

#[test]
fn cilium_map_contents_externs_struct_ops() {
    for object in cilium("btf_map_init") {
        let init = |name: &str| match &object.map(name).unwrap().initial {
            InitialContents::Slots(slots) => slots.clone(),
            other => panic!("{name}: {other:?}"),
        };
        let tail = object.function_index("tail_1").unwrap();
        assert_eq!(init("prog_array_init"), [(1, SlotTarget::Program(tail))]);
        assert_eq!(
            init("outer_map_init"),
            [(1, SlotTarget::Map(object.map_index("inner_map").unwrap()))]
        );
    }
    for object in cilium("kconfig") {
        let version = object
            .externs
            .iter()
            .find(|e| e.name == "LINUX_KERNEL_VERSION")
            .unwrap();
        let ExternKind::Kconfig { map, size, .. } = version.kind else {
            panic!("{version:?}")
        };
        assert_eq!((object.maps[map.0].kind, size), (MapKind::Kconfig, 4));
        // Values do not overlap.
        let mut places: Vec<(u32, u32)> = object
            .externs
            .iter()
            .map(|e| match e.kind {
                ExternKind::Kconfig { offset, size, .. } => (offset, size),
                other => panic!("{other:?}"),
            })
            .collect();
        places.sort();
        assert!(
            places.windows(2).all(|w| w[0].0 + w[0].1 <= w[1].0),
            "{places:?}"
        );
        let linked = object.link(object.program("kconfig").unwrap()).unwrap();
        assert!(
            linked
                .map_refs
                .iter()
                .any(|r| r.map == map && r.value_offset.is_some())
        );
    }
    for object in cilium("ksym") {
        let kind = |name: &str| {
            object
                .externs
                .iter()
                .find(|e| e.name == name)
                .map(|e| (e.kind, e.weak))
                .unwrap()
        };
        assert_eq!(kind("bpf_init"), (ExternKind::KsymUntyped, false));
        assert_eq!(kind("bpf_prog_active"), (ExternKind::KsymTyped, true));
    }
    for object in cilium("kfunc") {
        let weak: Vec<&str> = object
            .externs
            .iter()
            .filter(|e| e.weak)
            .map(|e| e.name.as_str())
            .collect();
        assert_eq!(
            weak,
            ["invalid_kfunc", "bpf_cpumask_create", "bpf_cpumask_release"]
        );
        assert!(object.externs.iter().all(|e| e.kind == ExternKind::Kfunc));
        assert_eq!(
            object
                .link(object.program("call_kfunc").unwrap())
                .unwrap()
                .extern_refs
                .len(),
            2
        );
    }
    for object in cilium("struct_ops") {
        let ops = &object.struct_ops[0];
        assert_eq!((ops.name.as_str(), ops.link), ("testmod_ops", true));
        assert_eq!(
            ops.functions,
            [(0, object.function_index("test_1").unwrap())]
        );
        let bytes = match &object.maps[ops.map.0].initial {
            InitialContents::Bytes(bytes) => bytes,
            other => panic!("{other:?}"),
        };
        let mut data: [u8; 4] = bytes[16..20].try_into().unwrap();
        if object.endian == Endian::Big {
            data.reverse();
        }
        assert_eq!(u32::from_le_bytes(data), 0xdead_beef);
        assert_eq!(
            object.program("test_1").unwrap().attach_to.as_deref(),
            Some("bpf_testmod_ops:test_1")
        );
    }
    for object in cilium("subprog_reloc") {
        let callbacks = object.functions.iter().flat_map(|f| &f.relocs);
        assert_eq!(
            callbacks
                .filter(|r| matches!(r.target, RelocTarget::FuncAddr(_)))
                .count(),
            1
        );
        let linked = object
            .link(object.program("fp_relocation").unwrap())
            .unwrap();
        assert_eq!(linked.func_refs.len(), 1);
        assert_eq!(linked.func_refs[0].target, linked.functions[1].start);
    }
    for object in cilium("arena") {
        let arena = object.map("arena").unwrap();
        assert_eq!(
            (
                arena.def.map_type,
                arena.def.max_entries,
                arena.def.map_extra
            ),
            (MapType::Arena, 100, 1 << 44)
        );
        assert_eq!(arena.kind, MapKind::Arena);
    }
    for object in cilium("fwd_decl") {
        let error = object
            .link(object.program("call_fwd").unwrap())
            .unwrap_err();
        assert!(error.to_string().contains("`fwd`"), "{error}");
    }
}

#[test]
fn globals_are_set() {
    for mut object in cilium("constants") {
        object.set_global_text("ret", "7").unwrap();
        let global = object.global("ret").unwrap();
        let mut bytes = object.global_bytes(&global).unwrap();
        if object.endian == Endian::Big {
            bytes.reverse();
        }
        assert_eq!(bytes[0], 7);
        let error = object.set_global_text("no_such", "7").unwrap_err();
        assert!(error.to_string().contains("it has ret"), "{error}");
        assert!(object.set_global("ret", &[0; 3]).is_err());
    }
}

/// One line of `expect.toml`: counts, or a part of the error.
enum Expect {
    Counts(BTreeMap<String, usize>),
    Refused(String),
}

fn expectations(text: &str) -> BTreeMap<String, Expect> {
    let mut out = BTreeMap::new();
    for line in text.lines().filter(|l| l.starts_with('"')) {
        let (file, rest) = line
            .split_once("\" = { ")
            .unwrap_or_else(|| panic!("{line}"));
        let body = rest.strip_suffix(" }").unwrap_or_else(|| panic!("{line}"));
        let expect = match body.strip_prefix("refused = \"") {
            Some(part) => Expect::Refused(part.trim_end_matches('"').to_owned()),
            None => Expect::Counts(
                body.split(", ")
                    .map(|pair| {
                        let (key, count) =
                            pair.split_once(" = ").unwrap_or_else(|| panic!("{line}"));
                        (key.to_owned(), count.parse().unwrap())
                    })
                    .collect(),
            ),
        };
        out.insert(file.trim_start_matches('"').to_owned(), expect);
    }
    out
}

#[test]
fn ebpf_samples() {
    let expect = std::fs::read_to_string(conformance("ebpf-samples/expect.toml")).unwrap();
    let expect = expectations(&expect);
    assert_eq!(expect.keys().filter(|k| k.ends_with(".o")).count(), 156);
    let Some(folder) = std::env::var_os("SKEP_EBPF_SAMPLES").map(PathBuf::from) else {
        eprintln!("skipped: SKEP_EBPF_SAMPLES does not name a checkout of vbpf/ebpf-samples");
        return;
    };
    for (file, expect) in &expect {
        let path = folder.join(file);
        let result = read(&path);
        match (expect, result) {
            (Expect::Counts(counts), Ok(object)) => {
                let found = |key: &str| match key {
                    "programs" => object.programs.len(),
                    "functions" => object.functions.len(),
                    "maps" => object.maps.len(),
                    other => panic!("{file}: {other}"),
                };
                for (key, count) in counts {
                    assert_eq!(found(key), *count, "{file}: {key}");
                }
                round_trip(&path, &object);
            }
            (Expect::Refused(part), Err(error)) => {
                assert!(error.to_string().contains(part.as_str()), "{file}: {error}");
            }
            (Expect::Counts(_), Err(error)) => panic!("{file}: {error}"),
            (Expect::Refused(_), Ok(_)) => panic!("{file}: was read, is broken on purpose"),
        }
    }
}
