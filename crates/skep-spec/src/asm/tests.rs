//! Round trips of every opcode in every text, whole objects, errors, hostile text.

use super::*;
use crate::disasm::{self, Style};
use crate::opcode::{self, Use};

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A slot of this form with random operands.
fn operands(row: &opcode::Opcode, state: &mut u64) -> Vec<Insn> {
    let mut insn = row.blank();
    let bits = random(state);
    if row.dst == Use::Free {
        insn.dst = (bits % 11) as u8;
    }
    if row.src == Use::Free {
        insn.src = (bits / 11 % 11) as u8;
    }
    if row.off == Use::Free {
        insn.off = [0, 1, -1, i16::MAX, i16::MIN, (bits >> 16) as i16][(bits >> 8) as usize % 6];
    }
    if row.imm == Use::Free {
        insn.imm = [0, 1, -1, i32::MAX, i32::MIN, (bits >> 32) as i32][(bits >> 12) as usize % 6];
    }
    if !insn.is_ld_imm64() {
        return vec![insn];
    }
    let one_word = matches!(insn.src, 1 | 4 | 5);
    let imm = if one_word { 0 } else { random(state) as i32 };
    vec![
        insn,
        Insn {
            imm,
            ..Insn::default()
        },
    ]
}

#[test]
fn every_opcode_reads_back_as_it_was_printed() {
    let mut state = 0x1234_5678_9abc_def1;
    for row in opcode::all() {
        for _ in 0..60 {
            let slots = operands(row, &mut state);
            let text = disasm::insn(&slots[0], slots.get(1), Style::Asm);
            let read =
                assemble_insn(&text).unwrap_or_else(|why| panic!("{}: {text}: {why}", row.name));
            assert_eq!(read, slots, "{}: {text}", row.name);
            let again = disasm::insn(&read[0], read.get(1), Style::Asm);
            assert_eq!(again, text);
        }
    }
}

#[test]
fn the_kernels_log_reads_back() {
    let mut state = 0x0dd_ba11_cafe;
    for row in opcode::all() {
        // Which kind a wide load is, and a kfunc's module, are not in the log's text.
        if row.code == 0x18 && row.src != Use::Is(0) {
            continue;
        }
        for _ in 0..40 {
            let mut slots = operands(row, &mut state);
            if row.name == "call_kfunc" {
                slots[0].off = 0;
            }
            if row.name == "callx" || row.name.starts_with("ld_ind") && slots[0].imm < 0 {
                continue;
            }
            let text = disasm::insn(&slots[0], slots.get(1), Style::Kernel);
            let read =
                assemble_insn(&text).unwrap_or_else(|why| panic!("{}: {text}: {why}", row.name));
            assert_eq!(read, slots, "{}: {text}", row.name);
        }
    }
}

#[test]
fn llvms_text_reads_back() {
    let mut state = 0x5eed_0001;
    for row in opcode::all() {
        // llvm-objdump does not print these differences.
        let lost = row.code == 0x18 && row.src != Use::Is(0)
            || matches!(row.name, "call_local" | "call_kfunc")
            || row.name.starts_with("ld_ind");
        if lost {
            continue;
        }
        for _ in 0..40 {
            let slots = operands(row, &mut state);
            let text = disasm::insn(&slots[0], slots.get(1), Style::Llvm);
            let read =
                assemble_insn(&text).unwrap_or_else(|why| panic!("{}: {text}: {why}", row.name));
            assert_eq!(read, slots, "{}: {text}", row.name);
        }
    }
}

#[test]
fn any_slots_survive_text() {
    let mut state = 99;
    for _ in 0..20_000 {
        let mut insn = Insn::from_bytes(&random(&mut state).to_le_bytes(), crate::Endian::Little);
        if random(&mut state).is_multiple_of(2) {
            insn = Insn {
                off: 0,
                imm: insn.imm & 0xf1,
                ..insn
            };
        }
        let insns = [insn, Insn::exit()];
        let text: Vec<String> = disasm::lines(&insns, Style::Asm)
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert_eq!(assemble_insns(&text.join("\n")).unwrap(), insns, "{text:?}");
    }
}

#[test]
fn labels_calls_and_comments() {
    let insns = assemble_insns(
        "; squares\n\
         start: r1 = 5     // five\n\
         if r1 == 0 goto out   # never\n\
         call twice\n\
         gotol out\n\
         out:\n\
         exit\n\
         twice: r0 = r1\n\
         r0 += r0\n\
         exit",
    )
    .unwrap();
    assert_eq!(insns[1].off, 2);
    assert_eq!((insns[2].src, insns[2].imm), (1, 2));
    assert_eq!(insns[3].imm, 0);
    assert_eq!(insns.len(), 8);
}

#[test]
fn listings_can_be_pasted() {
    let insns = assemble_insns(
        "       0:\tbf 16 00 00 00 00 00 00\tr6 = r1\n\
         \x20      1:\t15 01 01 00 00 00 00 00\tif r1 == 0x0 goto +0x1 <handle+0x18>\n\
         2: (85) call bpf_ktime_get_ns#5\n\
         3: (63) *(u32 *)(r10 -4) = r0\n\
         4: (18) r1 = 0xffff8880\n\
         \x20      6:\t18 01 00 00 44 33 22 11 00 00 00 00 55 00 00 00\tr1 = 0x5511223344 ll\n\
         8: (95) exit",
    )
    .unwrap();
    assert_eq!(insns[2], Insn::call_helper(5));
    assert_eq!(insns[3], Insn::store_reg(size::W, 10, -4, 0));
    assert_eq!(insns[4..6], Insn::ld_imm64(1, 0xffff_8880));
    assert_eq!(insns[6..8], Insn::ld_imm64(1, 0x55_1122_3344));
}

#[test]
fn both_spellings_of_registers_and_helpers() {
    assert_eq!(
        assemble_insn("w1 = *(u32 *)(r2 + 4)").unwrap(),
        assemble_insn("r1 = *(u32 *)(r2 + 4)").unwrap()
    );
    assert_eq!(
        assemble_insn("*(u8 *)(r2 - 1) = w3").unwrap(),
        [Insn::store_reg(size::B, 2, -1, 3)]
    );
    for text in [
        "call bpf_map_lookup_elem",
        "call 1",
        "call helper 1",
        "call helper map_lookup_elem",
        "call 0x1",
    ] {
        assert_eq!(
            assemble_insn(text).unwrap(),
            [Insn::call_helper(1)],
            "{text}"
        );
    }
    assert_eq!(assemble_insn("r1 = fp").unwrap(), [Insn::mov64_reg(1, 10)]);
    assert_eq!(
        assemble_insn("w1 = 0xffffffff").unwrap(),
        [Insn::mov32_imm(1, -1)]
    );
    assert!(assemble_insn("w1 = *(u64 *)(r2 + 4)").is_err());
}

fn headline(text: &str) -> String {
    let diagnostics = assemble_insns(text).unwrap_err();
    let first = &diagnostics.0[0];
    format!("{}: {}", first.headline, first.primary().unwrap().text)
}

#[test]
fn errors_say_what_was_expected() {
    for text in ["r1 = 0x100000000", "r1 = 0xffffffff"] {
        assert_eq!(
            headline(text),
            "no instruction is written like this: expected `ll`"
        );
    }
    assert!(headline("r1 += 0xffffffff").contains("beyond, load it with `ll`"));
    assert!(headline("r11 = 0").contains("expected a register r0 to r10"));
    assert!(headline("goto nowhere").starts_with("there is no label `nowhere` here"));
    assert!(headline("r1 = *(u32 *)(r2 + 40000)").contains("an offset from -0x8000 to 0x7fff"));
    assert!(headline("r1 += 1 2").contains("expected the end of the line"));
    assert!(headline("r1 = be16 r2").contains("expected the same register again"));
    assert!(headline("call bpf_no_such_thing_1 2").contains("the end of the line"));
    assert!(headline("r1 = map counts ll").starts_with("bare code cannot refer"));
    assert!(headline("a:\na: exit").starts_with("label `a` is already defined"));
    assert!(headline("r1 = `5`").starts_with("no such sign"));
    assert!(headline("r1 = 99999999999999999999").starts_with("not a number of 64 bits"));
}

const OBJECT: &str = r#"
.license "GPL"
.version 0x60c00
struct event {
    u32 pid;      // who
    char comm[16];
};
typedef unsigned int u32;

.map counts {
    type hash
    key u32
    value struct event
    max_entries 1024
    flags BPF_F_NO_PREALLOC | 0x400
    pinning by_name
}
.map outer {
    type array_of_maps
    key_size 4
    value_size 4
    max_entries 2
    inner {
        type array
        key u32
        value u64
        max_entries 1
    }
    [1] = counts
}
.global .rodata const u64 limit = 100
.global .data static u32 table[3] = { 1, -2, 0x3 }
.global .bss struct event scratch
.global .data char name[8] = "a\"b\n"
.global .data.x u8 raw[2] = bytes "00 ff"
.extern weak kconfig u32 CONFIG_HZ
.extern kfunc struct task_struct *bpf_task_from_pid(s32 pid)

.section "?tracepoint/syscalls/sys_enter_openat"
.function int handle(struct trace_event_raw_sys_enter *ctx)
    r6 = *(u64 *)(r1 + 0x10) @core(byte_off, struct trace_event_raw_sys_enter, "0:2:0") @line("a.c", 7, 3, "x = ctx->args[0];")
    r1 = map counts ll
    r1 = value .rodata + 8 ll
    r1 = global limit ll
    r1 = extern CONFIG_HZ ll
    r2 = func callback ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    call kfunc bpf_task_from_pid
    call double
out:
    r0 = 0
    exit

.section .text
.function static u64 double(u64 a)
    r0 = r1
    r0 += r1
    exit
.function weak callback
    exit
.raw ".other" {
    0011 2233
    4455
}
"#;

/// A copy without spans, which a printed file has others of.
fn spanless(file: &File) -> String {
    let debug = format!("{file:?}");
    let mut out = String::new();
    let mut rest = &debug[..];
    while let Some(at) = rest.find("Span {") {
        out.push_str(&rest[..at]);
        rest = &rest[at + rest[at..].find('}').unwrap() + 1..];
    }
    out + rest
}

#[test]
fn a_whole_object() {
    let (file, diagnostics) = parse(OBJECT, SourceId(0));
    assert_eq!(diagnostics.to_string(), "");
    assert_eq!(file.license.as_ref().unwrap().value, "GPL");
    assert_eq!(file.types.len(), 2);
    assert!(file.types[0].value.ends_with("};"));
    assert_eq!(file.maps[0].flags, 0x401);
    assert_eq!(file.maps[0].value, Shape::Type("struct event".into()));
    assert_eq!(
        file.maps[1].inner.as_ref().unwrap().map_type,
        crate::map::MapType::Array
    );
    assert_eq!(
        (file.maps[1].slots[0].index, &*file.maps[1].slots[0].target),
        (1, "counts")
    );
    assert_eq!(
        file.globals[1].value,
        Some(Init::List(vec![
            Init::Number(1),
            Init::Number(-2),
            Init::Number(3)
        ]))
    );
    assert!(file.globals[1].is_static);
    assert_eq!(file.globals[1].declaration, "u32 table[3]");
    assert_eq!(file.globals[1].name, "table");
    assert_eq!(file.globals[3].value, Some(Init::Text(b"a\"b\n".to_vec())));
    assert_eq!(file.globals[4].value, Some(Init::Bytes(vec![0, 0xff])));
    assert_eq!(
        (file.externs[0].kind, file.externs[0].weak),
        (ExternKind::Kconfig, true)
    );
    assert_eq!(file.externs[1].name, "bpf_task_from_pid");
    let [handle, double, callback] = &file.functions[..] else {
        panic!("three functions")
    };
    assert_eq!(handle.section, "?tracepoint/syscalls/sys_enter_openat");
    assert_eq!(handle.name, "handle");
    assert_eq!(
        (double.linkage, double.section.as_str()),
        (Linkage::Static, ".text")
    );
    assert_eq!(
        (callback.linkage, callback.prototype.as_deref()),
        (Linkage::Weak, None)
    );
    let refs: Vec<(usize, &RefTarget)> = handle
        .refs
        .iter()
        .map(|one| (one.at, &one.target))
        .collect();
    assert_eq!(refs.len(), 7);
    assert_eq!(
        refs[1],
        (
            3,
            &RefTarget::MapValue {
                map: ".rodata".into(),
                offset: 8
            }
        )
    );
    assert_eq!(refs[4], (9, &RefTarget::FuncAddr("callback".into())));
    assert_eq!(refs[5], (13, &RefTarget::Kfunc("bpf_task_from_pid".into())));
    assert_eq!(refs[6], (14, &RefTarget::Call("double".into())));
    assert_eq!(handle.insns[12].off, 2);
    assert_eq!(
        (handle.core[0].kind, handle.core[0].access.as_str()),
        (0, "0:2:0")
    );
    assert_eq!(handle.core[0].type_name, "struct trace_event_raw_sys_enter");
    assert_eq!(handle.lines[0].text, "x = ctx->args[0];");
    assert_eq!(file.raw[0].bytes, [0, 0x11, 0x22, 0x33, 0x44, 0x55]);
}

#[test]
fn a_printed_object_reads_back_as_the_same() {
    let (file, _) = parse(OBJECT, SourceId(0));
    let text = print(&file);
    let (again, diagnostics) = parse(&text, SourceId(0));
    assert_eq!(diagnostics.to_string(), "", "{text}");
    assert_eq!(spanless(&again), spanless(&file), "{text}");
    assert_eq!(print(&again), text);
}

#[test]
fn code_without_function_is_main() {
    let (file, diagnostics) = parse(".section \"xdp\"\nr0 = 2\nexit\n", SourceId(0));
    assert!(diagnostics.is_empty());
    assert_eq!(
        (
            file.functions[0].name.as_str(),
            file.functions[0].section.as_str()
        ),
        ("main", "xdp")
    );
}

#[test]
fn directives_that_are_wrong_are_reported_with_help() {
    for (text, id) in [
        (".bogus", "asm-unknown-directive"),
        (".license GPL", "asm-bad-directive"),
        (".section", "asm-bad-directive"),
        (".map x", "asm-bad-directive"),
        (".map x {\n type hash\n", "asm-open-block"),
        (".map x {\n key u32\n}", "asm-map-without-type"),
        (".map x {\n type hosh\n}", "asm-bad-map-attribute"),
        (
            ".map x {\n type hash\n flags BPF_F_NO\n}",
            "asm-bad-map-attribute",
        ),
        (
            ".map x {\n type hash\n max_entries 99999999999\n}",
            "asm-bad-map-attribute",
        ),
        (
            ".map x {\ntype hash\ninner {\ninner {\n",
            "asm-nested-inner",
        ),
        (
            ".map x {\n type hash\n}\n.map x {\n type array\n}",
            "asm-duplicate-name",
        ),
        (".global x u32 y", "asm-bad-directive"),
        (".global .data u32", "asm-bad-directive"),
        (".global .data u32 x = ", "asm-bad-value"),
        (".global .data u32 x = {1,,}", "asm-bad-value"),
        (".extern u32 x", "asm-bad-directive"),
        (".function", "asm-bad-directive"),
        (".function a\n.function b\nexit", "asm-empty-function"),
        (".raw .x {\n0g\n}", "asm-bad-hex"),
        (".raw .x {\n0\n}", "asm-bad-hex"),
        ("struct x { int a", "asm-open-type"),
        (".license \"GPL", "asm-bad-token"),
        ("exit @core(bogus, struct x, \"0\")", "asm-unknown-insn"),
        ("exit @line(\"a\", 1)", "asm-unknown-insn"),
    ] {
        let (_, diagnostics) = parse(text, SourceId(0));
        let first = diagnostics
            .0
            .first()
            .unwrap_or_else(|| panic!("{text} is accepted"));
        assert_eq!(first.id, id, "{text}");
        assert!(first.primary().is_some(), "{text}");
    }
}

#[test]
fn no_text_makes_it_panic() {
    let mut state = 7;
    let bytes = OBJECT.as_bytes();
    for round in 0..3000 {
        let mut mutated = bytes.to_vec();
        for _ in 0..1 + round % 6 {
            let at = random(&mut state) as usize % mutated.len();
            match random(&mut state) % 4 {
                0 => mutated.truncate(at.max(1)),
                1 => mutated[at] = random(&mut state) as u8,
                2 => {
                    mutated.remove(at);
                    mutated.push(b'{');
                }
                _ => mutated.insert(
                    at,
                    b"{}()\"@;#/*\n[]'\xc3"[random(&mut state) as usize % 15],
                ),
            }
        }
        let text = String::from_utf8_lossy(&mutated);
        let (file, _) = parse(&text, SourceId(0));
        for function in &file.functions {
            assert_eq!(function.insns.len(), function.spans.len());
            assert!(
                function
                    .refs
                    .iter()
                    .all(|one| one.at < function.insns.len())
            );
        }
    }
}

#[test]
fn the_references_example_assembles() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/asm.md");
    let page = std::fs::read_to_string(path).unwrap();
    let example = page.split("```").nth(1).unwrap();
    let (file, diagnostics) = parse(example, SourceId(0));
    assert_eq!(diagnostics.to_string(), "");
    assert_eq!(
        (
            file.maps.len(),
            file.globals.len(),
            file.functions[0].insns.len()
        ),
        (1, 1, 13)
    );
}

/// The texts in fences on the page of an error.
fn page(id: &str) -> Vec<String> {
    let path = format!("{}/../../docs/errors/{id}.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{path}: {why}"));
    page.split("```\n")
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_pages_of_errors_show_what_they_say() {
    for id in [
        "asm-bad-directive",
        "asm-bad-hex",
        "asm-bad-map-attribute",
        "asm-bad-token",
        "asm-bad-value",
        "asm-duplicate-label",
        "asm-duplicate-name",
        "asm-empty-function",
        "asm-map-without-type",
        "asm-open-block",
        "asm-open-type",
        "asm-unknown-directive",
        "asm-unknown-insn",
        "asm-unknown-label",
    ] {
        let [bad, good] = &page(id)[..] else {
            panic!("{id}: two examples")
        };
        let (_, diagnostics) = parse(bad, SourceId(0));
        assert!(
            diagnostics.iter().any(|one| one.id == id),
            "{id}: {diagnostics}"
        );
        let (_, diagnostics) = parse(good, SourceId(0));
        assert_eq!(diagnostics.to_string(), "", "{id}");
    }
    let [bad, good] = &page("asm-name-in-bare-code")[..] else {
        panic!("two examples")
    };
    assert_eq!(
        assemble_insns(bad).unwrap_err().0[0].id,
        "asm-name-in-bare-code"
    );
    assert_eq!(parse(good, SourceId(0)).1.to_string(), "");
    let far = format!(
        "goto far_away\n{}far_away: exit",
        ".slot 0xb7\n".repeat(33_000)
    );
    assert_eq!(
        assemble_insns(&far).unwrap_err().0[0].id,
        "asm-jump-too-far"
    );
    assert!(assemble_insns(&far.replacen("goto", "gotol", 1)).is_ok());
}
