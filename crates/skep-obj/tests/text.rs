//! Text objects: what they mean, and that objects printed as text assemble to equal ones.

use std::path::Path;

use skep_obj::{
    DataTarget, ExternKind, InitialContents, MapIdx, MapKind, Object, ParseOptions, RelocTarget,
    SlotTarget, elf, text,
};
use skep_spec::map::{MapType, flags};
use skep_spec::program::ProgramType;

const EXAMPLE: &str = r#"
.license "GPL"
.version 0x60c00

struct event { u32 pid; char comm[16]; };

.map counts {
    type hash
    key u32
    value struct event
    max_entries 1024
    pinning by_name
}
.map jumps {
    type prog_array
    key_size 4
    value_size 4
    max_entries 3
    [1] = other
}
.map outer {
    type array_of_maps
    key_size 4
    max_entries 2
    inner {
        type array
        key u32
        value u64
        max_entries 5
    }
}

.global .rodata const volatile u32 limit = 7
.global .rodata static const char name[4] = "ab"
.global .data struct event last = { 1, "abc" }
.global .data u64 *where = &hits
.global .bss static u64 hits

.extern kconfig u32 CONFIG_HZ
.extern weak kconfig u8 CONFIG_X
.extern weak kfunc void bpf_rcu_read_lock(void)
.extern ksym const void bpf_init

.section "xdp"
.function int prog(struct xdp_md *ctx)
    r1 = map counts ll
    r2 = global limit ll
    r3 = extern CONFIG_HZ ll
    r0 = 2
    if r0 == 1 goto out
    call func helper
    call kfunc bpf_rcu_read_lock
    r2 = func callback ll
out:
    exit
.section "?tracepoint/syscalls/sys_enter_openat"
.function other
    r0 = 1
    exit
.section ".text"
.function static helper
    r0 = 0
    exit
.function static callback
    r0 = 0
    exit
"#;

fn options() -> ParseOptions {
    ParseOptions {
        name: "text".into(),
        legacy_maps: true,
    }
}

#[test]
fn a_whole_object() {
    let mut object = text::parse(EXAMPLE, &options()).unwrap();
    assert_eq!(
        (object.license.as_deref(), object.kern_version),
        (Some("GPL"), Some(0x60c00))
    );

    let counts = object.map("counts").unwrap();
    assert_eq!(
        (
            counts.def.map_type,
            counts.def.key_size,
            counts.def.value_size
        ),
        (MapType::Hash, 4, 20)
    );
    assert_eq!(counts.pinning, skep_obj::Pinning::ByName);
    let other = object.function_index("other").unwrap();
    assert_eq!(
        object.map("jumps").unwrap().initial,
        InitialContents::Slots(vec![(1, SlotTarget::Program(other))])
    );
    let inner = object.map("outer").unwrap().inner.as_ref().unwrap();
    assert_eq!(
        (
            inner.def.map_type,
            inner.def.value_size,
            inner.def.max_entries
        ),
        (MapType::Array, 8, 5)
    );

    let rodata = object.map(".rodata").unwrap();
    assert_eq!(
        rodata.initial,
        InitialContents::Bytes(b"\x07\0\0\0ab\0\0".to_vec())
    );
    assert_eq!((rodata.kind, rodata.frozen), (MapKind::Rodata, true));
    assert_eq!(rodata.def.flags, flags::RDONLY_PROG | flags::MMAPABLE);
    // Only a static variable: nothing for user space to map.
    assert_eq!(object.map(".bss").unwrap().def.flags, 0);
    let data = object.map(".data").unwrap();
    let hits = object.map_index(".bss").unwrap();
    assert_eq!(data.data_relocs.len(), 1);
    assert_eq!(
        data.data_relocs[0].target,
        DataTarget::MapValue {
            map: hits,
            offset: 0
        }
    );
    assert_eq!(data.data_relocs[0].offset, 24);

    let kconfig = object.map_index(".kconfig").unwrap();
    let kinds: Vec<ExternKind> = object.externs.iter().map(|e| e.kind).collect();
    assert_eq!(
        kinds[0],
        ExternKind::Kconfig {
            map: kconfig,
            offset: 0,
            size: 4
        }
    );
    assert_eq!(
        kinds[1],
        ExternKind::Kconfig {
            map: kconfig,
            offset: 8,
            size: 1
        }
    );
    assert_eq!(kinds[2..], [ExternKind::Kfunc, ExternKind::KsymUntyped]);
    assert_eq!(
        object.externs.iter().map(|e| e.weak).collect::<Vec<_>>(),
        [false, true, true, false]
    );

    let names: Vec<(&str, Option<ProgramType>, bool)> = object
        .programs
        .iter()
        .map(|p| (p.name.as_str(), p.program_type, p.autoload))
        .collect();
    assert_eq!(
        names,
        [
            ("prog", Some(ProgramType::Xdp), true),
            ("other", Some(ProgramType::Tracepoint), false)
        ]
    );
    assert_eq!(
        object.programs[1].attach_to.as_deref(),
        Some("syscalls/sys_enter_openat")
    );

    let linked = object.link(object.program("prog").unwrap()).unwrap();
    assert_eq!(
        linked
            .functions
            .iter()
            .map(|f| f.name.as_str())
            .collect::<Vec<_>>(),
        ["prog", "helper", "callback"]
    );
    assert_eq!(linked.map_refs.len(), 3);
    assert_eq!(linked.func_refs[0].target, linked.functions[2].start);
    assert_eq!(linked.extern_refs.len(), 1);

    object.set_global_text("limit", "9").unwrap();
    let limit = object.global("limit").unwrap();
    assert_eq!(object.global_bytes(&limit).unwrap(), [9, 0, 0, 0]);
}

#[test]
fn text_becomes_elf() {
    let object = text::parse(EXAMPLE, &options()).unwrap();
    let bytes = elf::write(&object).unwrap();
    let again = Object::parse(&bytes, &options()).unwrap();
    // Types grow by those that `.maps` needs; everything else is as it was.
    assert_eq!(again.functions, object.functions);
    assert_eq!(again.programs, object.programs);
    assert_eq!(again.externs, object.externs);
    let defs = |o: &Object| {
        o.maps
            .iter()
            .map(|m| (m.def.clone(), m.initial.clone(), m.kind, m.pinning))
            .collect::<Vec<_>>()
    };
    assert_eq!(defs(&again), defs(&object));
    assert!(again.btf.unwrap().len() > object.btf.unwrap().len());
    // A second time nothing more is added.
    let again = Object::parse(&bytes, &options()).unwrap();
    let twice = Object::parse(&elf::write(&again).unwrap(), &options()).unwrap();
    assert!(twice == again);
}

#[test]
fn mistakes_have_places() {
    for (text, id) in [
        (
            ".function f\n r1 = map nothing ll\n exit\n",
            "obj-unknown-name",
        ),
        (
            ".map m {\n type hash\n key struct none\n value u32\n max_entries 1\n}\n",
            "obj-bad-type",
        ),
        (".global .rodata u8 x = 300\n", "obj-bad-value"),
        (".global .rodata u8 x[2] = \"long\"\n", "obj-bad-value"),
        (".global .nowhere u8 x\n", "obj-bad-section"),
        (
            ".map m {\n type hash\n key u32\n value u32\n max_entries 1\n [0] = m\n}\n",
            "obj-bad-element",
        ),
        ("struct s { nonsense x; };\n", "obj-bad-declaration"),
        (".raw \".BTF\" {\n 00\n}\n", "obj-bad-btf"),
    ] {
        let diagnostics = match text::parse(text, &options()) {
            Err(skep_obj::ObjError::Text(diagnostics)) => diagnostics,
            other => panic!("{text}: {other:?}"),
        };
        let found = diagnostics
            .0
            .iter()
            .find(|d| d.id == id)
            .unwrap_or_else(|| panic!("{text}: {diagnostics:?}"));
        assert!(found.primary().is_some(), "{text}");
    }
}

/// The order that text gives: declared maps, data sections, configuration.
fn in_text_order(object: &Object) -> Object {
    let rank = |m: &skep_obj::MapSpec| match m.kind {
        MapKind::Kconfig => 2,
        kind if kind.is_data() => 1,
        _ => 0,
    };
    let mut order: Vec<usize> = (0..object.maps.len()).collect();
    order.sort_by_key(|&i| rank(&object.maps[i]));
    let new_of = |old: MapIdx| MapIdx(order.iter().position(|&i| i == old.0).unwrap());
    let mut out = object.clone();
    out.maps = order.iter().map(|&i| object.maps[i].clone()).collect();
    for map in &mut out.maps {
        if let InitialContents::Slots(slots) = &mut map.initial {
            for (_, target) in slots {
                if let SlotTarget::Map(map) = target {
                    *map = new_of(*map);
                }
            }
        }
    }
    for reloc in out.functions.iter_mut().flat_map(|f| &mut f.relocs) {
        match &mut reloc.target {
            RelocTarget::Map(map) | RelocTarget::MapValue { map, .. } => *map = new_of(*map),
            _ => {}
        }
    }
    for one in &mut out.externs {
        if let ExternKind::Kconfig { map, .. } = &mut one.kind {
            *map = new_of(*map);
        }
    }
    out
}

#[test]
fn printed_objects_assemble_to_equal_ones() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/cilium-ebpf/testdata");
    let mut extra: Vec<std::path::PathBuf> = Vec::new();
    if let Some(folder) = std::env::var_os("SKEP_OBJECTS") {
        extra.extend(
            std::fs::read_dir(folder)
                .unwrap()
                .map(|e| e.unwrap().path()),
        );
    }
    let (mut same, mut refused) = (0, 0);
    for path in std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .chain(extra)
    {
        if path.extension().is_none_or(|e| e != "elf" && e != "o") {
            continue;
        }
        let Ok(object) = Object::parse(&std::fs::read(&path).unwrap(), &options()) else {
            continue;
        };
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = match text::print(&object) {
            Ok(text) => text,
            Err(error) => {
                assert!(error.to_string().contains("as text"), "{name}: {error}");
                refused += 1;
                continue;
            }
        };
        // What has no place in text: legacy definitions, weak maps, symbols without types.
        let plain = |o: &Object| {
            o.maps.iter().all(|m| m.section != "maps" && !m.weak)
                && o.externs
                    .iter()
                    .all(|e| !matches!(e.kind, ExternKind::Variable | ExternKind::Function))
                && o.unknown_sections.iter().all(|u| u.section_flags == 0)
        };
        if !plain(&object) {
            text::parse(&text, &options()).unwrap_or_else(|e| panic!("{name}: {e}"));
            continue;
        }
        let wanted = in_text_order(&object);
        let again =
            text::parse(&text, &options()).unwrap_or_else(|e| panic!("{name}: {e}\n{text}"));
        assert_eq!(again.functions, wanted.functions, "{name}");
        assert_eq!(again.maps, wanted.maps, "{name}");
        assert!(
            again == wanted,
            "{name}: changed by printing and assembling"
        );
        same += 1;
    }
    // Big-endian files are refused, as is the struct_ops one.
    assert!(
        same >= 12 && refused >= 20,
        "{same} the same, {refused} refused"
    );
}
