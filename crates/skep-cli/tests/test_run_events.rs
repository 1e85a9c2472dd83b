//! `skep test-run` shows the same on both engines: verdict and ring buffer records.

use std::process::{Command, Output};

const OBJECT: &str = r#"
.license "GPL"
struct event { u32 pid; u32 size; };
.global .bss static struct event unused
.map events {
    type ringbuf
    max_entries 4096
}
.section "xdp"
.function main
    r7 = 3
again:
    r1 = map events ll
    r2 = 8
    r3 = 0
    call bpf_ringbuf_reserve
    if r0 == 0 goto out
    *(u32 *)(r0 + 0) = r7
    *(u32 *)(r0 + 4) = 5
    r1 = r0
    r2 = 0
    if r7 != 2 goto keep
    call bpf_ringbuf_discard
    goto next
keep:
    call bpf_ringbuf_submit
next:
    r7 -= 1
    if r7 != 0 goto again
out:
    r0 = 2
    exit
"#;

fn test_run(name: &str, engine: &str) -> Output {
    let folder = std::env::temp_dir();
    let path = folder.join(format!(
        "skep-test-run-{name}-{engine}-{}.s",
        std::process::id()
    ));
    std::fs::write(&path, OBJECT).expect("a file for the test");
    let output = Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(["--json", "test-run", "--engine", engine])
        .arg(&path)
        .output()
        .expect("skep runs");
    std::fs::remove_file(&path).expect("the file goes");
    output
}

fn records(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    assert!(
        lines.next().is_some_and(|line| line.contains("XDP_PASS")),
        "{output:?}"
    );
    lines.map(str::to_owned).collect()
}

const RECORDS: [&str; 2] = [
    r#"{"map":"events","event":{"pid":3,"size":5}}"#,
    r#"{"map":"events","event":{"pid":1,"size":5}}"#,
];

#[test]
fn records_are_shown_but_not_those_given_up() {
    assert_eq!(records(&test_run("records", "embedded")), RECORDS);
}

#[test]
fn the_kernels_records_are_shown_too() {
    let output = test_run("records", "kernel");
    // 4: the system refuses, bpf(2) here.
    if output.status.code() == Some(4) {
        eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    assert_eq!(records(&output), RECORDS);
}
