//! The examples, run as their README says: from their text form, as root and as an ordinary user.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(path)
}

fn skep(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    command.args(args).env("LC_ALL", "C");
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn opens_prints_the_files_that_a_command_opens() {
    let object = example("opens/opens.s");
    let object = object.to_str().expect("a path that is text");
    let output = skep(&["run", object, "--", "cat", "/etc/hostname", "/nonexistent"])
        .output()
        .expect("skep runs");
    let shown = text(&output);
    let row = |path: &str| {
        shown
            .lines()
            .find(|line| line.ends_with(path))
            .unwrap_or_else(|| panic!("{path} in {shown}"))
    };
    assert!(row(" /etc/hostname").contains(" cat "));
    assert!(row(" /nonexistent").contains("-ENOENT"));
    assert_eq!(output.status.code(), Some(1), "cat's own exit code");
}

#[test]
fn opens_needs_no_privilege() {
    let id = |flag: &str| {
        Command::new("id")
            .arg(flag)
            .output()
            .map(|output| text(&output))
            .unwrap_or_default()
    };
    if id("-u").trim() != "0" {
        // Then the test above has shown it.
        return;
    }
    // The object and the binary must be where an ordinary user can read them.
    let folder = std::env::temp_dir().join(format!("skep-examples-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let (binary, object) = (folder.join("skep"), folder.join("opens.s"));
    std::fs::copy(env!("CARGO_BIN_EXE_skep"), &binary).expect("the binary is copied");
    std::fs::copy(example("opens/opens.s"), &object).expect("the example is copied");
    let mut command = Command::new(&binary);
    command.args([
        "run".as_ref(),
        object.as_os_str(),
        "--".as_ref(),
        "ls".as_ref(),
        "/etc/hostname".as_ref(),
    ]);
    let output = command
        .uid(65534)
        .gid(65534)
        .current_dir("/")
        .output()
        .expect("skep runs");
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    let shown = text(&output);
    assert!(output.status.success(), "{output:?}");
    assert!(
        shown.contains("libc.so") && shown.contains(" ls "),
        "{shown}"
    );
}

#[test]
fn latency_counts_each_call_once() {
    let object = example("latency/latency.s");
    let object = object.to_str().expect("a path that is text");
    let output = skep(&["--json", "run", object, "--", "true"])
        .output()
        .expect("skep runs");
    let shown = text(&output);
    let line = shown
        .lines()
        .find(|line| line.starts_with("{\"map\":\"syscall_ns\""))
        .expect("the map of histograms");
    let map: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let entries = map["entries"].as_array().expect("entries");
    // execve ran once, and took more than a microsecond.
    let execve = if cfg!(target_arch = "x86_64") {
        59
    } else {
        221
    };
    let slots = entries
        .iter()
        .find(|entry| entry["key"] == execve)
        .map(|entry| &entry["value"]["slots"]);
    let slots = slots
        .and_then(|slots| slots.as_array())
        .expect("a histogram of execve");
    assert_eq!(
        slots
            .iter()
            .filter_map(serde_json::Value::as_u64)
            .sum::<u64>(),
        1
    );
    assert!(slots[10..].iter().any(|slot| slot == 1), "{slots:?}");
}

/// A classic capture of Ethernet frames.
fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for (index, frame) in frames.iter().enumerate() {
        for word in [index as u32, 0, frame.len() as u32, frame.len() as u32] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(frame);
    }
    file
}

/// An IPv4 frame of `protocol` from 10.0.0.`host` to port `port`.
fn frame(protocol: u8, host: u8, port: u16) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend_from_slice(&[
        8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, host, 10, 0, 1, 1,
    ]);
    frame.extend_from_slice(&[0x30, 0x39]);
    frame.extend_from_slice(&port.to_be_bytes());
    frame.resize(60, 0);
    frame
}

#[test]
fn protocols_and_firewall_count_and_judge() {
    let folder = std::env::temp_dir().join(format!("skep-packets-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let (input, passed) = (folder.join("in.pcap"), folder.join("out.pcapng"));
    let frames = [
        frame(6, 1, 23),
        frame(6, 2, 80),
        frame(17, 1, 23),
        frame(17, 3, 53),
        frame(1, 1, 23),
    ];
    std::fs::write(&input, capture(&frames)).expect("the capture is written");
    let run = |path: &str, more: &[&str]| {
        let object = example(path);
        let mut args = vec![
            "--json",
            "run",
            object.to_str().expect("text"),
            "--pcap",
            input.to_str().expect("text"),
        ];
        args.extend(more);
        let output = skep(&args).output().expect("skep runs");
        assert!(output.status.success(), "{output:?}");
        let shown = text(&output);
        shown
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect::<Vec<serde_json::Value>>()
    };
    let counted = run("protocols/protocols.s", &[]);
    assert_eq!(counted[0]["verdicts"], serde_json::json!({"XDP_PASS": 5}));
    let packets = |protocol: u32| -> u64 {
        let entry = counted[1]["entries"]
            .as_array()
            .and_then(|all| all.iter().find(|e| e["key"] == protocol));
        let values = entry
            .and_then(|entry| entry["values"].as_array())
            .expect("values of all CPUs");
        values
            .iter()
            .filter_map(|value| value["packets"].as_u64())
            .sum()
    };
    assert_eq!([packets(6), packets(17), packets(1)], [2, 2, 1]);

    let judged = run(
        "firewall/firewall.s",
        &["--write", passed.to_str().expect("text")],
    );
    assert_eq!(
        judged[0]["verdicts"],
        serde_json::json!({"XDP_DROP": 2, "XDP_PASS": 3})
    );
    assert_eq!(
        judged[1]["entries"],
        serde_json::json!([{"key": {"octets": [10, 0, 0, 1]}, "value": 2}])
    );
    assert!(
        std::fs::metadata(&passed)
            .expect("the passed packets are written")
            .len()
            > 200
    );

    let judged = run("firewall/firewall.s", &["--global", "blocked_port=53"]);
    assert_eq!(
        judged[0]["verdicts"],
        serde_json::json!({"XDP_DROP": 1, "XDP_PASS": 4})
    );
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

#[test]
fn what_cannot_run_is_said_and_ends_with_its_own_code() {
    let folder = std::env::temp_dir().join(format!("skep-refusals-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let run = |name: &str, body: &str, more: &[&str]| {
        let path = folder.join(name);
        std::fs::write(&path, body).expect("the object is written");
        let mut args = vec!["run", path.to_str().expect("text")];
        args.extend(more);
        let output = skep(&args).output().expect("skep runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let program = |section: &str, body: &str| {
        format!(".license \"GPL\"\n.section \"{section}\"\n.function f\n{body}    exit\n")
    };
    let (code, said) = run(
        "kprobe.s",
        &program("kprobe/vfs_read", "    r0 = 0\n"),
        &["--", "true"],
    );
    assert!(
        code == Some(3) && said.contains("kprobe/vfs_read"),
        "{code:?} {said}"
    );
    let (code, said) = run("xdp.s", &program("xdp", "    r0 = 2\n"), &["--", "true"]);
    assert!(
        code == Some(2) && said.contains("it needs packets"),
        "{code:?} {said}"
    );
    let (code, said) = run("nothing.s", &program("xdp", "    r0 = 2\n"), &[]);
    assert!(
        code == Some(2) && said.contains("what to run it on"),
        "{code:?} {said}"
    );
    let (code, said) = run(
        "global.s",
        &program("xdp", "    r0 = 2\n"),
        &["--global", "x=1", "--", "true"],
    );
    assert!(code == Some(2) && said.contains("`x`"), "{code:?} {said}");
    let close = "tracepoint/syscalls/sys_enter_close";
    let (code, said) = run(
        "trap.s",
        &program(close, "    r1 = 0\n    r0 = *(u64 *)(r1 + 0)\n"),
        &["--", "true"],
    );
    assert!(
        code == Some(1) && said.contains("R1 invalid mem access 'scalar'"),
        "{code:?} {said}"
    );
    assert!(said.contains("--sandbox"), "{said}");
    let (code, said) = run(
        "trap.s",
        &program(close, "    r1 = 0\n    r0 = *(u64 *)(r1 + 0)\n"),
        &["--sandbox", "--", "true"],
    );
    assert!(
        code == Some(1) && said.contains("trap in f: instruction 1"),
        "{code:?} {said}"
    );
    let (code, _) = run(
        "good.s",
        &program(close, "    r0 = 0\n"),
        &["--", "sh", "-c", "exit 7"],
    );
    assert_eq!(code, Some(7), "the child's own");
    let (code, _) = run(
        "killed.s",
        &program(close, "    r0 = 0\n"),
        &["--", "sh", "-c", "kill -9 $$"],
    );
    assert_eq!(code, Some(137), "as a shell tells a signal");
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}
