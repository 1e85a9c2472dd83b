//! verify and explain from the command line: what they say of programs that are refused, and how they end.

use std::path::PathBuf;
use std::process::{Command, Output};

const NULL: &str = "; a lookup that nobody checks
.license \"GPL\"
.map counts {
    type hash
    key u32
    value u64
    max_entries 4
}
.section \"tc\"
.function unchecked
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map counts ll
    call bpf_map_lookup_elem
    *(u64 *)(r0 + 0) = 1
    r0 = 0
    exit
.function fine
    r0 = 0
    exit
.function other
    r0 = r3
    exit
";

/// What Linux 6.18 writes of it.
const LOG: &str = "\
libbpf: prog 'unchecked': BPF program load failed: Permission denied
libbpf: prog 'unchecked': -- BEGIN PROG LOAD LOG --
reg type unsupported for arg#0 function unchecked#9
0: R1=ctx() R10=fp0
0: (62) *(u32 *)(r10 -4) = 0          ; R10=fp0 fp-8=0000????
1: (bf) r2 = r10                      ; R2=fp0 R10=fp0
2: (07) r2 += -4                      ; R2=fp-4
3: (18) r1 = 0xffff888100254400       ; R1=map_ptr(map=counts,ks=4,vs=8)
5: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,map=counts,ks=4,vs=8)
6: (7a) *(u64 *)(r0 +0) = 1
R0 invalid mem access 'map_value_or_null'
processed 6 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'unchecked': failed to load: -13
libbpf: failed to load object 'null.o'
";

/// A file of this test, under the build's own folder for such files.
fn file(name: &str, bytes: &[u8]) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("verify_explain");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn skep(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(args)
        .output()
        .unwrap()
}

/// What it prints, if it ends with `code`.
fn ends(args: &[&str], code: i32) -> String {
    let output = skep(args);
    let out = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {out}{error}");
    format!("{out}{error}")
}

fn json(args: &[&str], code: i32) -> serde_json::Value {
    serde_json::from_str(&ends(args, code)).unwrap()
}

#[test]
fn a_refused_program_is_explained() {
    let source = file("null.s", NULL.as_bytes());
    let text = ends(&["verify", &source, "-P", "unchecked"], 1);
    assert!(text.contains("error[verifier-null-pointer]"), "{text}");
    assert!(text.contains("the program then verifies"), "{text}");
    let text = ends(&["verify", &source, "-P", "fine"], 0);
    assert!(text.contains("fine: loads on Linux 6.18"), "{text}");
    let document = json(&["verify", &source, "--json"], 1);
    let results = document["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    assert_eq!(results[0]["id"], "verifier-null-pointer");
    assert_eq!(results[0]["errno"], 13);
    assert_eq!(results[0]["insn"], 6);
    assert_eq!(results[0]["edit"]["verifies"], true);
    assert_eq!(results[1]["verdict"], "loads");
    let states = ends(&["verify", &source, "-P", "fine", "--states"], 0);
    assert!(states.contains("0: (b7) r0 = 0"), "{states}");
}

#[test]
fn several_kernels_are_told_once() {
    let source = file("kernels.s", NULL.as_bytes());
    let text = ends(
        &[
            "verify",
            &source,
            "-P",
            "other",
            "--kernel",
            "5.15,6.1,6.18",
        ],
        1,
    );
    assert!(
        text.contains("other on Linux 5.15, 6.1 and 6.18:"),
        "{text}"
    );
    assert_eq!(text.matches("error[").count(), 1, "{text}");
    let document = json(
        &[
            "verify",
            &source,
            "-P",
            "other",
            "-k",
            "5.15,6.18",
            "--json",
        ],
        1,
    );
    assert_eq!(document["results"].as_array().unwrap().len(), 2);
}

#[test]
fn failures_of_verify_say_whose_they_are() {
    let source = file("failures.s", NULL.as_bytes());
    ends(&["verify", &source, "-P", "nothing"], 2);
    ends(&["verify", &source, "--kernel", "1.0"], 2);
    ends(&["verify", &source, "--kernel", ","], 2);
    ends(&["verify", "/nowhere/at/all.o"], 4);
    ends(&["verify", &source, "--btf", "/nowhere/btf"], 4);
    let garbage = file("garbage.btf", b"\x9f\xeb\x01\x00garbage");
    ends(&["verify", &source, "--btf", &garbage], 1);
    for (name, bytes) in [
        ("cut.o", b"\x7fELF\x02\x01\x01".as_slice()),
        ("binary.o", b"\x00\x01\xff\xfe\x00".as_slice()),
    ] {
        ends(&["verify", &file(name, bytes)], 1);
    }
    let object = file("whole.o", b"");
    ends(&["asm", &source, "-o", &object], 0);
    let whole = std::fs::read(&object).unwrap();
    for end in [16, 64, whole.len() / 2, whole.len() - 1] {
        ends(&["verify", &file("half.o", &whole[..end])], 1);
    }
}

#[test]
fn a_log_is_explained_alone() {
    let log = file("null.log", LOG.as_bytes());
    let text = ends(&["explain", &log], 0);
    for part in [
        "unchecked:",
        "error[verifier-null-pointer]",
        "r0 is the result of bpf_map_lookup_elem#1",
        "not the error: reg type unsupported",
        "null.log:10",
    ] {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
    let document = json(&["explain", &log, "--json"], 0);
    let result = &document["results"][0];
    assert_eq!(result["program"], "unchecked");
    assert_eq!(result["from"], "log");
    assert_eq!(result["id"], "verifier-null-pointer");
    assert_eq!(result["labels"][0]["place"]["line"], 10);
}

#[test]
fn with_the_object_the_whole_is_said() {
    let log = file("object.log", LOG.as_bytes());
    let source = file("object.s", NULL.as_bytes());
    let document = json(&["explain", &log, "--object", &source, "--json"], 0);
    assert_eq!(document["results"][0]["from"], "object");
    assert_eq!(document["results"][0]["edit"]["verifies"], true);
    // Another program, which loads or fails otherwise: the log alone, and why.
    for (program, why) in [
        ("fine", "loads on Linux 6.18"),
        ("other", "verifier-uninitialised"),
    ] {
        let text = ends(&["explain", &log, "--object", &source, "-P", program], 0);
        assert!(text.contains("from the log alone"), "{text}");
        assert!(text.contains(why), "{text}");
    }
    ends(&["explain", &log, "--object", &source, "-P", "nothing"], 2);
    ends(&["explain", &log, "--object", &source, "-k", "6.1,6.18"], 2);
    ends(&["explain", &log, "--object", "/nowhere/at/all.o"], 4);
}

#[test]
fn what_is_no_log_is_said_to_be_none() {
    for (name, bytes) in [
        ("empty.log", b"".as_slice()),
        ("binary.log", b"\x00\xff\x7fELF\x80\n\x9f: (\xff".as_slice()),
        ("words.log", b"make: *** no rule\n".as_slice()),
    ] {
        let text = ends(&["explain", &file(name, bytes)], 1);
        assert!(
            text.contains("no verifier's message in it"),
            "{name}: {text}"
        );
    }
    let cut = LOG.split("R0 invalid").next().unwrap();
    let text = ends(&["explain", &file("cut.log", cut.as_bytes())], 1);
    assert!(text.contains("larger log buffer"), "{text}");
    ends(&["explain", "/nowhere/at/all.log"], 4);
    ends(&["explain"], 2);
}
