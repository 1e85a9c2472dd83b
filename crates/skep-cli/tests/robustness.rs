//! What goes wrong around a run: signals, full disks, readers that go away, hostile names, files of the wrong kind.
//!
//! Invariant: every test is bounded: a command that does not end is killed and fails its test.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A program that never ends, at each open.
const SPIN: &str = ".license \"GPL\"\n.section \"tracepoint/syscalls/sys_enter_openat\"\n.function spin\nL0:\n    goto L0\n    exit\n";
/// The same for packets.
const SPIN_XDP: &str =
    ".license \"GPL\"\n.section \"xdp\"\n.function spin\nL0:\n    goto L0\n    exit\n";
const PASS_XDP: &str =
    ".license \"GPL\"\n.section \"xdp\"\n.function pass\n    r0 = 0x2\n    exit\n";
/// More events than its small buffer holds, and nobody reads while it runs.
const FLOOD: &str = ".license \"GPL\"\n.map events {\n    type ringbuf\n    max_entries 4096\n}\n.section \"tracepoint/syscalls/sys_enter_openat\"\n.function flood\n    r6 = 0x3e8\nL0:\n    r1 = 0xfff\n    *(u64 *)(r10 - 0x8) = r1\n    r1 = map events ll\n    r2 = r10\n    r2 += -0x8\n    r3 = 0x8\n    r4 = 0x0\n    call bpf_ringbuf_output\n    r1 = map events ll\n    r2 = r10\n    r2 += -0x8\n    r3 = 0x8\n    r4 = 0x0\n    call bpf_ringbuf_output\n    r6 += -0x1\n    if r6 != 0x0 goto L0\n    r0 = 0x0\n    exit\n";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("skep-robust-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.to_str().expect("a path that is text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn opens() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/opens/opens.s");
    path.to_str().expect("a path that is text").to_owned()
}

fn skep(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The output, once it has ended by itself within twenty seconds.
fn ends(mut child: Child) -> Output {
    let start = Instant::now();
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let (status, killed) = loop {
        if let Some(status) = child.try_wait().expect("wait") {
            break (status, false);
        }
        if start.elapsed() > Duration::from_secs(20) {
            let _ = child.kill();
            break (child.wait().expect("wait"), true);
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let output = Output {
        status,
        stdout: stdout.join().expect("its output"),
        stderr: stderr.join().expect("its messages"),
    };
    assert!(!killed, "it does not end: {output:?}");
    output
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn run(args: &[&str]) -> Output {
    ends(skep(args).spawn().expect("skep runs"))
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args([name, &id]).status();
    assert!(sent.expect("kill runs").success());
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fails(args: &[&str], code: i32, part: &str) {
    let output = run(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    assert!(said(&output).contains(part), "{args:?}: {}", said(&output));
}

fn capture(link_type: u32, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, link_type] {
        bytes.extend(u32::to_le_bytes(word));
    }
    for _ in 0..count {
        for word in [1u32, 2, 60, 60] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend([0; 60]);
    }
    bytes
}

#[test]
fn one_signal_ends_a_program_that_never_ends() {
    let folder = Folder::new("spin");
    let object = folder.file("spin.s", SPIN);
    for name in ["-INT", "-TERM"] {
        let child = skep(&["run", "--sandbox", &object, "--", "cat", "/dev/null"])
            .spawn()
            .expect("skep runs");
        std::thread::sleep(Duration::from_millis(500));
        signal(&child, name);
        let output = ends(child);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said(&output).contains("interrupted"), "{}", said(&output));
    }
    let packets = folder.file("in.pcap", capture(1, 3));
    let object = folder.file("xspin.s", SPIN_XDP);
    fails(
        &["run", &object, "--pcap", &packets],
        1,
        "unreachable insn 1",
    );
    let args = [
        "run",
        "--sandbox",
        &object,
        "--pcap",
        &packets,
        "-d",
        "200ms",
    ];
    let output = run(&args);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said(&output).contains("interrupted"), "{}", said(&output));
}

#[test]
fn a_signal_ends_a_run_with_its_results() {
    let child = skep(&["run", &opens(), "--", "sleep", "60"])
        .spawn()
        .expect("skep runs");
    std::thread::sleep(Duration::from_millis(800));
    signal(&child, "-INT");
    let output = ends(child);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(shown(&output).contains("libc.so"), "{}", shown(&output));
}

#[test]
fn a_signal_ends_the_wait_for_packets_from_a_pipe() {
    let folder = Folder::new("pipe");
    let object = folder.file("pass.s", PASS_XDP);
    let mut child = skep(&["run", &object, "--pcap", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("skep runs");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(&capture(1, 5)).expect("room in the pipe");
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, "-INT");
    let output = ends(child);
    drop(pipe);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(shown(&output).contains("5 packets"), "{}", shown(&output));
}

#[test]
fn a_capture_that_breaks_off_counts_what_it_had() {
    let folder = Folder::new("cut");
    let object = folder.file("pass.s", PASS_XDP);
    let whole = capture(1, 3);
    let cut = folder.file("cut.pcap", &whole[..whole.len() - 10]);
    let output = run(&["run", &object, "--pcap", &cut]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(shown(&output).contains("2 packets"), "{}", shown(&output));
    assert!(said(&output).contains("offset 0xb0"), "{}", said(&output));

    let raw = folder.file("raw.pcap", capture(101, 3));
    fails(&["run", &object, "--pcap", &raw], 3, "link type 101");
    fails(&["run", &object, "--pcap", "/dev/null"], 4, "offset 0x0");
    fails(&["run", &object, "--pcap", "/"], 4, "directory");
}

#[test]
fn an_output_never_empties_an_input() {
    let folder = Folder::new("same");
    let object = folder.file("pass.s", PASS_XDP);
    let bytes = capture(1, 3);
    let packets = folder.file("in.pcap", &bytes);
    let args = ["run", &object, "--pcap", &packets, "--write", &packets];
    fails(&args, 2, "read and written");
    let wire = format!("a={packets},{packets}");
    fails(&["run", &object, "--wire", &wire], 2, "read and written");
    assert_eq!(std::fs::read(&packets).expect("the capture"), bytes);
}

#[test]
fn a_full_disk_is_an_error() {
    let folder = Folder::new("full");
    let object = folder.file("pass.s", PASS_XDP);
    let packets = folder.file("in.pcap", capture(1, 3));
    let full = || {
        let file = std::fs::File::options().write(true).open("/dev/full");
        Stdio::from(file.expect("/dev/full"))
    };
    let commands: [&[&str]; 5] = [
        &["run", &opens(), "--", "true"],
        &["run", &object, "--pcap", &packets],
        &["inspect", &object],
        &["disasm", &object],
        &["test-run", &object, "--data", &"00".repeat(60)],
    ];
    for args in commands {
        let child = skep(args).stdout(full()).spawn().expect("skep runs");
        let output = ends(child);
        assert_eq!(output.status.code(), Some(4), "{args:?}: {output:?}");
        let text = said(&output);
        assert!(text.contains("No space left"), "{args:?}: {text}");
    }
    let write = ["run", &object, "--pcap", &packets, "--write", "/dev/full"];
    fails(&write, 4, "No space left");
}

#[test]
fn a_watcher_whose_reader_has_gone_ends() {
    // The target opens a file every 50 ms and must outlive its watcher.
    let script = "while :; do : < /dev/null; sleep 0.05; done";
    let mut target = Command::new("sh").args(["-c", script]).spawn().expect("sh");
    let pid = target.id().to_string();
    let mut child = skep(&["run", &opens(), "-p", &pid])
        .spawn()
        .expect("skep runs");
    drop(child.stdout.take());
    let output = ends(child);
    let alive = target.try_wait().expect("wait").is_none();
    let _ = target.kill();
    let _ = target.wait();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(alive, "the target died with its watcher");
}

#[test]
fn names_cannot_steer_the_terminal() {
    let script = "for name in \"$(printf '/\\033[31mred')\" \"$(printf '/\\302\\233c1')\" \"$(printf '/\\177\\342\\200\\256bidi')\" \"$(printf '/\\377\\376')\"; do : < \"$name\"; done 2>/dev/null; true";
    for options in [&[][..], &["--json"][..]] {
        let object = opens();
        let args = [options, &["run", &object, "--", "bash", "-c", script]].concat();
        let text = shown(&run(&args));
        for bad in ['\u{1b}', '\u{9b}', '\u{7f}', '\u{202e}'] {
            assert!(!text.contains(bad), "{bad:?} in {text}");
        }
        assert!(text.contains("[31mred"), "{text}");
        if !options.is_empty() {
            for line in text.lines() {
                let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
                assert!(value.is_object(), "{line}");
            }
            assert!(text.contains("\\u001b[31mred"), "{text}");
        }
    }
    let folder = Folder::new("names");
    let evil = folder.file("evil\u{1b}[31m.s", "nonsense\u{1b}[2J");
    let text = said(&run(&["inspect", &evil]));
    assert!(!text.is_empty() && !text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn all_threads_of_a_process_are_followed_and_let_go() {
    let script = "import os, threading, time\ndef work():\n    while True:\n        os.close(os.open('/dev/null', 0)); time.sleep(0.01)\nfor _ in range(4): threading.Thread(target=work, daemon=True).start()\ntime.sleep(60)";
    let Ok(mut target) = Command::new("python3").args(["-c", script]).spawn() else {
        println!("skipped: python3 is not there");
        return;
    };
    std::thread::sleep(Duration::from_secs(1));
    let pid = target.id().to_string();
    let output = run(&["run", &opens(), "-p", &pid, "-d", "1s"]);
    let traced: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/task"))
        .expect("its threads")
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok())
        .filter(|status| !status.contains("TracerPid:\t0"))
        .collect();
    let alive = target.try_wait().expect("wait").is_none();
    let _ = target.kill();
    let _ = target.wait();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let opens = shown(&output).matches("/dev/null").count();
    assert!(opens > 20, "{opens} opens in a second of four threads");
    assert!(alive && traced.is_empty(), "{alive} {traced:?}");
}

#[test]
fn lost_events_are_counted() {
    let folder = Folder::new("lost");
    let object = folder.file("flood.s", FLOOD);
    let output = run(&["run", &object, "--", "true"]);
    let text = shown(&output) + &said(&output);
    assert!(text.contains("events were lost"), "{text}");
    let text = shown(&run(&["--json", "run", &object, "--", "true"]));
    let lost = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .find_map(|line| line["lost"].as_u64());
    assert!(lost.is_some_and(|lost| lost > 0), "{text}");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let folder = Folder::new("options");
    let pass = folder.file("pass.s", PASS_XDP);
    let packets = folder.file("in.pcap", capture(1, 1));
    let opens = opens();
    let run = |rest: &[&str]| -> Vec<String> {
        let object = if rest.contains(&"--") || rest[0] == "-p" {
            &opens
        } else {
            &pass
        };
        let all = ["run", object.as_str()]
            .into_iter()
            .chain(rest.iter().copied());
        all.map(str::to_owned).collect()
    };
    let wire = format!("={packets}");
    let cases: [(&[&str], &str); 15] = [
        (&["-m", "nosuch", "--", "true"], "no map named `nosuch`"),
        (&["--write", "/dev/null", "--", "true"], "--write"),
        (&["-p", "0"], "0 is not in"),
        (&["-p", "-5"], "-5 is not in"),
        (&["-p", "1", "--pcap", &packets], "cannot be used with"),
        (&["--pcap", &packets, "--", "true"], "cannot be used with"),
        (&["--wire", &wire], "no name"),
        (&["--wire", "a="], "no wire has packets"),
        (&["--wire", "a"], "NAME=IN"),
        (
            &["-e", "paths=event", "--", "true"],
            "no ring or perf buffer",
        ),
        (&["-e", "events=nosuch", "--", "true"], "no type named"),
        (&["-g", "nosuch=1", "--", "true"], "no global variable"),
        (&["-g", "event_type", "--", "true"], "NAME=VALUE"),
        (&["-d", "1e9", "--", "true"], "no time"),
        (&["--cpus", "0", "--", "true"], "0 is not in"),
    ];
    for (rest, part) in cases {
        let args = run(rest);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        fails(&args, 2, part);
    }
}

#[test]
fn commands_and_processes_that_are_not_there() {
    let folder = Folder::new("commands");
    let script = folder.file("plain", "echo hello\n");
    let object = opens();
    fails(&["run", &object, "--", &script], 4, "Permission denied");
    let executable = Command::new("chmod").args(["+x", &script]).status();
    assert!(executable.expect("chmod").success());
    fails(&["run", &object, "--", &script], 4, "`#!` line");
    fails(&["run", &object, "--", "/"], 4, "Permission denied");
    fails(&["run", &object, "--", "no-such-command"], 4, "PATH");
    fails(&["run", &object, "-p", "2147483647"], 4, "No such process");
    fails(&["run", "/", "--", "true"], 4, "directory");
    fails(&["run", "/nonexistent", "--", "true"], 4, "/nonexistent");
    fails(&["inspect", "/dev/zero"], 4, "larger than");

    let source = folder.file("kept.s", PASS_XDP);
    fails(&["asm", &source, "-o", &source], 2, "read and written");
    assert_eq!(std::fs::read_to_string(&source).expect("it"), PASS_XDP);
    let ctx = "{\"ingress_ifindex\":4294967296}";
    fails(&["test-run", &source, "--ctx", ctx], 2, "does not fit");
}

#[test]
fn an_array_without_end_is_shown_in_part() {
    let folder = Folder::new("array");
    let map = ".license \"GPL\"\n.map big {\n    type array\n    key u32\n    value u64\n    max_entries 268435456\n}\n.section \"xdp\"\n.function pass\n    r1 = map big ll\n    r0 = 0x2\n    exit\n";
    let object = folder.file("big.s", map);
    let packets = folder.file("in.pcap", capture(1, 1));
    let output = run(&["run", &object, "--pcap", &packets, "-m", "big"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(shown(&output).contains("only the first"), "{output:?}");
}

#[test]
fn endings_of_the_command_are_passed_on() {
    for (script, code) in [
        ("exit 42", 42),
        ("kill -SEGV $$", 139),
        (
            "(kill -STOP $BASHPID & sleep 0.1; kill -CONT $!); exit 3",
            3,
        ),
        ("setsid sh -c 'sleep 0.2' & exit 5", 5),
        ("for i in $(seq 100); do /bin/true & done; wait; exit 6", 6),
    ] {
        let output = run(&[
            "run",
            &opens(),
            "-o",
            "/dev/null",
            "--",
            "bash",
            "-c",
            script,
        ]);
        assert_eq!(output.status.code(), Some(code), "{script}: {output:?}");
    }
}

#[test]
fn a_tracer_that_is_killed_takes_its_tree_along() {
    let mark = format!("0.{:09}", std::process::id());
    let script = format!("kill -9 $PPID; exec sleep 30{mark}");
    let output = run(&["run", &opens(), "--", "sh", "-c", &script]);
    assert_eq!(output.status.code(), None, "{output:?}");
    std::thread::sleep(Duration::from_millis(300));
    let left = std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .any(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).starts_with(&format!("sleep\u{0}30{mark}"))
        });
    assert!(!left, "the child outlived its tracer");
}
