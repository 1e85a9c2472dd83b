//! inspect, asm, disasm and btf from the command line: what they print and how they end.

use std::path::PathBuf;
use std::process::{Command, Output};

const TEXT: &str = ".license \"GPL\"
struct event { u32 pid; char comm[16]; };
.map counts {
    type hash
    key u32
    value struct event
    max_entries 16
}
.global .rodata const volatile u32 limit = 7
.section \"xdp\"
.function int count(struct xdp_md *ctx)
    r1 = map counts ll
    r2 = global limit ll
    r0 = 2
    exit
";

/// A file of this test, under the build's own folder for such files.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("static_commands");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn skep(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(args)
        .output()
        .unwrap()
}

/// What a command that succeeds prints.
fn text(args: &[&str]) -> String {
    let output = skep(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn fails(args: &[&str], code: i32, part: &str) {
    let output = skep(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    assert!(error.contains(part), "{args:?}: {error}");
}

#[test]
fn text_to_elf_and_back() {
    let source = file("count.s", TEXT.as_bytes());
    let source = source.to_str().unwrap();
    text(&["asm", source]);
    let object = source.replace(".s", ".o");

    let table = text(&["inspect", &object]);
    for part in [
        "count  xdp",
        "u32 -> struct event",
        "rdonly_prog mmapable",
        "license \"GPL\"",
    ] {
        assert!(table.contains(part), "{part} not in\n{table}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&text(&["inspect", "--json", &object])).unwrap();
    assert_eq!(json["programs"][0]["type"], "xdp");
    assert_eq!(json["maps"][0]["value_size"], 20);
    assert_eq!(json["globals"][0]["value"], 7);

    let listing = text(&["disasm", &object]);
    assert!(
        listing.contains("; map counts") && listing.contains("; &limit"),
        "{listing}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&text(&["disasm", "--json", &object])).unwrap();
    assert_eq!(json["functions"][0]["insns"][0]["refers_to"], "map counts");

    // Printed as text and assembled again, it is the same file.
    let printed = file("again.s", text(&["disasm", "--text", &object]).as_bytes());
    text(&["asm", printed.to_str().unwrap()]);
    let again = std::fs::read(printed.with_extension("o")).unwrap();
    assert_eq!(again, std::fs::read(&object).unwrap());

    let c = text(&["btf", &object, "event"]);
    assert!(
        c.contains("struct event {") && c.contains("char comm[16];"),
        "{c}"
    );
    let raw = text(&["btf", &object, "struct", "event", "--format", "raw"]);
    assert!(raw.contains("STRUCT 'event' size=20 vlen=2"), "{raw}");
    let json: serde_json::Value =
        serde_json::from_str(&text(&["btf", &object, "event", "--format", "json"])).unwrap();
    assert_eq!(json["types"][0]["members"][1]["name"], "comm");
}

#[test]
fn failures_say_whose_they_are() {
    let bad = file("bad.s", b".function f\n    r1 = map nothing ll\n    exit\n");
    let bad = bad.to_str().unwrap();
    fails(&["inspect", bad], 1, "there is no map `nothing`");
    fails(&["inspect", bad], 1, "bad.s:2");
    let cut = file("cut.o", b"\x7fELF\x02\x01\x01");
    fails(
        &["inspect", cut.to_str().unwrap()],
        1,
        "section ELF header at offset",
    );
    fails(&["inspect", "/nowhere/at/all.o"], 4, "/nowhere/at/all.o");
    let good = file("good.s", TEXT.as_bytes());
    let good = good.to_str().unwrap();
    fails(&["disasm", good, "-p", "nothing"], 2, "it has count");
    assert_eq!(
        text(&["btf", good, "event"]),
        text(&["btf", good, "struct", "event"])
    );
    let object = file("good.o", b"");
    text(&["asm", good, "-o", object.to_str().unwrap()]);
    fails(
        &["btf", object.to_str().unwrap(), "nothing"],
        2,
        "no type named `nothing`",
    );
    fails(&["no-such-command"], 2, "no-such-command");
}

/// The comparison with the packet's end becomes one comparison and one jump on both architectures, and every jump leads to
/// an offset of the listing.
#[test]
fn disasm_shows_the_machine_code_of_each_instruction() {
    let object = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/protocols/protocols.s"
    );
    for (arch, compare, ends) in [("x86-64", "cmp", "ret"), ("arm64", "cmp", "ret")] {
        let jit = format!("--jit={arch}");
        let listing = text(&["disasm", &jit, "-S", object]);
        let first = listing.lines().next().unwrap_or_default();
        assert!(first.starts_with("count: 35 instructions, "), "{first}");
        assert!(first.contains(&format!("bytes of {arch} code, proven safe")));
        assert!(listing.contains("; if (data + 14 > end)"), "{listing}");
        let after = listing
            .split("if r1 > r6")
            .nth(1)
            .unwrap_or_default()
            .split("if r1 == ")
            .next()
            .unwrap_or_default();
        assert!(after.contains(compare), "{after}");
        assert!(
            listing
                .lines()
                .any(|line| line.trim_end().ends_with(ends) || line.contains("ret ")),
            "{listing}"
        );

        let listed: serde_json::Value =
            serde_json::from_str(&text(&["disasm", "--json", &jit, object])).unwrap();
        let program = &listed["programs"][0];
        let insns = program["insns"].as_array().unwrap();
        let mut bytes = 0;
        let mut offsets = Vec::new();
        let parts = [&program["entry"], &program["shared"]];
        let native = insns
            .iter()
            .map(|insn| &insn["native"])
            .chain(parts)
            .flat_map(|part| part.as_array().unwrap());
        for insn in native {
            offsets.push(insn["offset"].as_u64().unwrap());
            bytes += insn["bytes"].as_str().unwrap().len() as u64 / 2;
        }
        assert_eq!(bytes, program["bytes"].as_u64().unwrap(), "no byte is lost");
        let jumps = listing.lines().filter_map(|line| {
            let (code, target) = line.split_once(": ")?.1.rsplit_once(' ')?;
            let jump = ["ja", "jz", "jnz", "jmp", "b.hi", "b.eq", "b.ne", "b"];
            let is_jump = jump
                .iter()
                .any(|jump| code.trim_end().ends_with(&format!(" {jump}")));
            is_jump.then(|| u64::from_str_radix(target, 16).ok())?
        });
        let mut count = 0;
        for target in jumps {
            count += 1;
            assert!(offsets.contains(&target), "{target:x} in {listing}");
        }
        assert!(count > 3, "{listing}");
    }
}
