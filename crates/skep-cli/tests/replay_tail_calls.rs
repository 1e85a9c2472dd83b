//! Replays of objects with several packet programs: those behind tail calls take no packets of their own.

use std::process::{Command, Output};

const OBJECT: &str = r#"
.license "GPL"
.map tails {
    type prog_array
    key u32
    value u32
    max_entries 2
    [1] = second
}
.section "xdp"
.function first
    r2 = map tails ll
    r3 = 1
    call bpf_tail_call
    r0 = 2
    exit
.section "xdp"
.function second
    r0 = 1
    exit
"#;

/// A capture of one Ethernet frame of zeros.
fn capture() -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 65535, 1, 0, 0, 60, 60] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([0; 60]);
    bytes
}

fn replay(name: &str, more: &[&str]) -> Output {
    let folder = std::env::temp_dir().join(format!("skep-tails-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let (object, packets) = (folder.join("o.s"), folder.join("p.pcap"));
    std::fs::write(&object, OBJECT).expect("the object is written");
    std::fs::write(&packets, capture()).expect("the capture is written");
    let output = Command::new(env!("CARGO_BIN_EXE_skep"))
        .arg("run")
        .arg(&object)
        .arg("--pcap")
        .arg(&packets)
        .args(more)
        .output()
        .expect("skep runs");
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    output
}

#[test]
fn the_program_before_the_tail_call_takes_the_packets() {
    for more in [&[][..], &["--program", "first"], &["--program", "second"]] {
        let output = replay("all", more);
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && shown.contains("XDP_DROP") && !shown.contains("XDP_PASS "),
            "{more:?}: {output:?}"
        );
    }
}
