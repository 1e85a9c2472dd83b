//! Static linking: cilium's pair of objects, whose weak and global symbols cross, and small ones for each rule.

use std::path::Path;

use skep_obj::{Linkage, Object, ParseOptions, elf, link_objects, text};

fn options() -> ParseOptions {
    ParseOptions {
        name: "linked".into(),
        legacy_maps: true,
    }
}

fn assemble(text: &str) -> Object {
    text::parse(text, &options()).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn cilium_linked() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/cilium-ebpf/testdata");
    let read =
        |name: &str| Object::parse(&std::fs::read(folder.join(name)).unwrap(), &options()).unwrap();
    let linked = link_objects(vec![read("linked1-el.elf"), read("linked2-el.elf")]).unwrap();
    // What another linker made of the same two.
    let wanted = read("linked-el.elf");
    let names = |o: &Object| {
        let mut names: Vec<String> = o.programs.iter().map(|p| p.name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&linked), names(&wanted));
    let maps = |o: &Object| {
        let mut maps: Vec<_> = o
            .maps
            .iter()
            .map(|m| (m.def.name.clone(), m.def.max_entries))
            .collect();
        maps.sort();
        maps
    };
    assert_eq!(maps(&linked), maps(&wanted));
    assert!(linked.externs.is_empty(), "{:?}", linked.externs);
    // The weak definitions return their line; the winners return 0.
    for program in &linked.programs {
        let code = linked.link(program).unwrap();
        assert_eq!(
            code.insns
                .iter()
                .filter(|i| i.code == 0xb7 && i.imm != 0)
                .count(),
            0,
            "{}",
            program.name
        );
    }
    let again = Object::parse(&elf::write(&linked).unwrap(), &options()).unwrap();
    assert_eq!(again.functions, linked.functions);
}

const MAIN: &str = "
.license \"GPL\"
.map shared {
    type hash
    key u32
    value u64
    max_entries 8
}
.global .data u32 first = 1
.extern kconfig u32 CONFIG_HZ
.section \"xdp\"
.function int prog(struct xdp_md *ctx)
    r1 = global first ll
    r2 = extern CONFIG_HZ ll
    call func local
    exit
.section \".text\"
.function static local
    r0 = 1
    exit
";

#[test]
fn data_moves_and_statics_stay_apart() {
    let second = "
.global .data u64 second = 2
.extern kconfig u8 CONFIG_X
.extern kconfig u32 CONFIG_HZ
.section \"tc\"
.function int other(struct __sk_buff *skb)
    r1 = global second ll
    r2 = extern CONFIG_X ll
    r3 = extern CONFIG_HZ ll
    call func local
    exit
.section \".text\"
.function static local
    r0 = 2
    exit
";
    let linked = link_objects(vec![assemble(MAIN), assemble(second)]).unwrap();
    let second = linked.global("second").unwrap();
    assert_eq!(
        (second.offset, linked.global_bytes(&second).unwrap()),
        (8, vec![2, 0, 0, 0, 0, 0, 0, 0])
    );
    assert_eq!(
        linked
            .functions
            .iter()
            .filter(|f| f.name == "local" && f.linkage == Linkage::Static)
            .count(),
        2
    );
    assert_eq!(
        linked
            .externs
            .iter()
            .map(|e| e.name.as_str())
            .collect::<Vec<_>>(),
        ["CONFIG_HZ", "CONFIG_X"]
    );
    let other = linked.link(linked.program("other").unwrap()).unwrap();
    let value = other.map_refs[0];
    assert_eq!(
        (
            linked.maps[value.map.0].def.name.as_str(),
            value.value_offset
        ),
        (".data", Some(8))
    );
    // Both programs read one CONFIG_HZ.
    let prog = linked.link(linked.program("prog").unwrap()).unwrap();
    assert_eq!(
        prog.map_refs[1].value_offset,
        other.map_refs[2].value_offset
    );
    assert_eq!(other.insns[other.functions[1].start].imm, 2);
    // One `unsigned int` for both objects.
    let btf = linked.btf.as_ref().unwrap();
    assert_eq!(btf.find_all("unsigned int").len(), 1);
}

#[test]
fn conflicts_are_named() {
    let refused = |a: &str, b: &str| match link_objects(vec![assemble(a), assemble(b)]) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("linked {b}"),
    };
    let again = ".section \"xdp\"\n.function prog\n r0 = 0\n exit\n";
    assert!(refused(MAIN, again).contains("`prog`"));
    let map = |entries: u32| {
        format!(".map shared {{\n type hash\n key u32\n value u64\n max_entries {entries}\n}}\n")
    };
    assert!(refused(MAIN, &map(8)).contains("two objects define this map;"));
    assert!(refused(MAIN, &map(9)).contains("differently"));
    assert!(refused(MAIN, ".license \"MIT\"\n").contains("license"));
    assert!(refused(MAIN, ".global .data u32 first = 2\n").contains("`first`"));
    let error = link_objects(Vec::new()).unwrap_err();
    assert!(error.to_string().contains("no objects"));
    // A weak definition gives way, whichever comes first.
    let weak = ".section \"xdp\"\n.function weak prog\n r0 = 7\n exit\n";
    for order in [[MAIN, weak], [weak, MAIN]] {
        let linked = link_objects(order.map(assemble).to_vec()).unwrap();
        assert_eq!(linked.programs.len(), 1);
        let prog = linked.link(linked.program("prog").unwrap()).unwrap();
        assert!(prog.functions.len() == 2, "{:?}", prog.functions);
    }
}
