//! The tools of libbpf-tools that need only tracepoints of system calls, compiled unmodified, against real commands: what
//! they report is what strace reports of the same command.
//!
//! `SKEP_LIBBPF_TOOLS` names a folder with their objects (`opensnoop.bpf.o`) or their sources (then clang compiles them;
//! `SKEP_VMLINUX` names the folder of a `vmlinux.h` if it is not in `x86/` of the sources). Without it, or without
//! strace, the tests say so and end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A folder of a test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("skep-tools-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The object of a tool, or why there is none.
fn object(tool: &str, folder: &Folder) -> Result<PathBuf, String> {
    let given = std::env::var_os("SKEP_LIBBPF_TOOLS").ok_or("SKEP_LIBBPF_TOOLS is not set")?;
    let given = PathBuf::from(given);
    if !succeeds(Command::new("strace").arg("true")) {
        return Err("strace cannot trace here".to_owned());
    }
    let object = given.join(format!("{tool}.bpf.o"));
    if object.exists() {
        return Ok(object);
    }
    let source = given.join(format!("{tool}.bpf.c"));
    if !source.exists() {
        return Err(format!(
            "{} has neither {tool}.bpf.o nor {tool}.bpf.c",
            given.display()
        ));
    }
    let object = folder.join("tool.bpf.o");
    let headers = std::env::var_os("SKEP_VMLINUX").map_or_else(|| given.join("x86"), PathBuf::from);
    let compiled = ["clang", "clang-19"].iter().any(|clang| {
        let mut command = Command::new(clang);
        command
            .args([
                "--target=bpf",
                "-D__TARGET_ARCH_x86",
                "-O2",
                "-g",
                "-Wno-everything",
                "-c",
                "-I",
            ])
            .arg(&given);
        succeeds(
            command
                .arg("-I")
                .arg(&headers)
                .arg(&source)
                .arg("-o")
                .arg(&object),
        )
    });
    if compiled {
        Ok(object)
    } else {
        Err(format!("clang does not compile {}", source.display()))
    }
}

/// The same small environment for both tracers: what a dynamic linker or a locale reads is no surprise then.
fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Runs a command under a tool; answers the lines of its JSON.
fn skep(object: &Path, folder: &Folder, options: &[&str], command: &[&str]) -> Vec<Value> {
    let out = folder.join("skep.json");
    let status = quiet(env!("CARGO_BIN_EXE_skep"))
        .args(["--json", "run"])
        .arg(object)
        .arg("-o")
        .arg(&out)
        .args(options)
        .arg("--")
        .args(command)
        .status()
        .expect("skep runs");
    assert!(
        status.code().is_some_and(|code| code < 3),
        "skep ended with {status}"
    );
    let text = std::fs::read_to_string(&out).expect("skep wrote its results");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect()
}

fn events(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter_map(|line| line.get("event")).collect()
}

/// One call as strace saw it.
#[derive(Debug)]
struct Call {
    name: String,
    args: String,
    ret: i64,
}

impl Call {
    /// The string arguments, without quotes.
    fn strings(&self) -> Vec<String> {
        let parts = self.args.split('"').collect::<Vec<_>>();
        parts
            .iter()
            .skip(1)
            .step_by(2)
            .map(|part| (*part).to_owned())
            .collect()
    }
}

/// Runs a command under strace; answers its calls in order. Calls that another task interrupts are put together.
fn strace(folder: &Folder, calls: &str, command: &[&str]) -> Vec<Call> {
    let out = folder.join("strace.out");
    let traced = quiet("strace")
        .args([
            "-f",
            "-qq",
            "-s",
            "4096",
            "-e",
            &format!("trace={calls}"),
            "-e",
            "signal=none",
            "-o",
        ])
        .arg(&out)
        .args(command)
        .stderr(Stdio::null())
        .status()
        .expect("strace runs");
    assert!(traced.code().is_some(), "strace ended with {traced}");
    let text = std::fs::read_to_string(&out).expect("strace wrote its log");
    let mut unfinished: BTreeMap<String, String> = BTreeMap::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let (pid, rest) = line
            .split_once(char::is_whitespace)
            .expect("a line begins with the task's id");
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(pid.to_owned(), begun.to_owned());
            continue;
        }
        let whole = match rest.split_once(" resumed>") {
            Some((_, end)) if rest.starts_with("<... ") => {
                unfinished.remove(pid).unwrap_or_default() + end
            }
            _ => rest.to_owned(),
        };
        let Some((call, answer)) = whole.rsplit_once(" = ") else {
            continue;
        };
        let Some((name, args)) = call.trim_end().split_once('(') else {
            continue;
        };
        let mut words = answer.split_whitespace();
        // Addresses are hexadecimal; "?" is a call that never returned.
        let number = |word: &str| match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16)
                .ok()
                .map(|number| number as i64),
            None => word.parse::<i64>().ok(),
        };
        let Some(ret) = words.next().and_then(number) else {
            continue;
        };
        let ret = match (ret, words.next()) {
            (-1, Some(errno)) => -i64::from(errno_number(errno)),
            (ret, _) => ret,
        };
        found.push(Call {
            name: name.to_owned(),
            args: args.trim_end_matches(')').to_owned(),
            ret,
        });
    }
    found
}

fn errno_number(name: &str) -> i32 {
    skep::spec::errno::Errno::by_name(name)
        .expect("an errno that has a name")
        .0
}

/// A test's object and folder; ends the test with a word where the tools are not there.
macro_rules! tool {
    ($name:literal) => {{
        let folder = Folder::new($name);
        match object($name, &folder) {
            Ok(object) => (object, folder),
            Err(why) => {
                eprintln!("skipped: {why}");
                return;
            }
        }
    }};
}

fn text<'a>(event: &'a Value, member: &str) -> &'a str {
    event[member]
        .as_str()
        .unwrap_or_else(|| panic!("{member} is a text in {event}"))
}

fn number(event: &Value, member: &str) -> i64 {
    event[member]
        .as_i64()
        .unwrap_or_else(|| panic!("{member} is a number in {event}"))
}

#[test]
fn execsnoop_sees_the_programs_that_strace_sees() {
    let (object, folder) = tool!("execsnoop");
    let command = [
        "sh",
        "-c",
        "/bin/echo one 'two three'; sh -c 'exit 3'; /nonexistent/program; true",
    ];
    let expected: Vec<(String, i64)> = strace(&folder, "execve", &command)
        .iter()
        .map(|call| (call.strings()[1..].join("\0"), call.ret))
        .collect();
    assert!(expected.len() >= 4, "strace saw {expected:?}");
    let lines = skep(
        &object,
        &folder,
        &["--global", "ignore_failed=false"],
        &command,
    );
    // The tool keeps the path in the place of the first argument.
    let seen: Vec<(String, i64)> = events(&lines)
        .iter()
        .map(|e| (text(e, "args").to_owned(), number(e, "retval")))
        .collect();
    let rest = |list: &[(String, i64)]| -> Vec<(Vec<String>, i64)> {
        list.iter()
            .map(|(args, ret)| (args.split('\0').skip(1).map(str::to_owned).collect(), *ret))
            .collect()
    };
    // strace's own first exec searches no PATH; skep's neither. Both escape quotes the same way: there are none.
    assert_eq!(rest(&seen), rest(&expected));
    let program = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    for ((seen, _), (expected, _)) in seen.iter().zip(&expected) {
        let first = |args: &str| program(args.split('\0').next().unwrap_or(""));
        assert_eq!(first(seen), first(expected));
    }
    let parents: Vec<i64> = events(&lines)
        .iter()
        .skip(1)
        .map(|e| number(e, "ppid"))
        .collect();
    assert!(
        parents
            .iter()
            .all(|&ppid| ppid == number(events(&lines)[0], "pid")),
        "children of the shell: {parents:?}"
    );
}

#[test]
fn opensnoop_sees_the_files_that_strace_sees() {
    let (object, folder) = tool!("opensnoop");
    let command = ["cat", "/etc/hostname", "/etc/passwd", "/nonexistent"];
    let expected: Vec<(String, i64)> = strace(&folder, "open,openat,openat2", &command)
        .iter()
        .map(|call| (call.strings()[0].clone(), call.ret))
        .collect();
    assert!(
        expected
            .iter()
            .any(|(path, ret)| path == "/nonexistent" && *ret == -2),
        "strace saw {expected:?}"
    );
    // 4294967295 is the tool's own word for any user.
    let lines = skep(
        &object,
        &folder,
        &["--global", "targ_uid=4294967295"],
        &command,
    );
    let path = |event: &Value| text(&event["fname"], "pathes").to_owned();
    let seen: Vec<(String, i64)> = events(&lines)
        .iter()
        .map(|e| (path(e), number(e, "ret")))
        .collect();
    assert_eq!(seen, expected);
    assert!(
        events(&lines)
            .iter()
            .all(|event| text(event, "comm") == "cat")
    );
}

#[test]
fn statsnoop_sees_the_paths_that_strace_sees() {
    let (object, folder) = tool!("statsnoop");
    let script = "import os\nfor path in ['/etc/hostname', '/nonexistent', '/']:\n try: os.stat(path); os.statvfs(path)\n except OSError: pass\nos.fstat(0)\n";
    let command = ["python3", "-I", "-S", "-c", script];
    let calls = "statfs,stat,statx,fstat,newfstatat,lstat";
    let expected: Vec<(String, String, i64)> = strace(&folder, calls, &command)
        .iter()
        .map(|call| {
            (
                call.name.clone(),
                call.strings().first().cloned().unwrap_or_default(),
                call.ret,
            )
        })
        .collect();
    let asked = |(_, path, _): &&(String, String, i64)| path == "/nonexistent";
    assert_eq!(
        expected.iter().filter(asked).count(),
        1,
        "strace saw {expected:?}"
    );
    let lines = skep(&object, &folder, &[], &command);
    let name = |kind: &str| match kind {
        "SYS_STATFS" => "statfs",
        "SYS_NEWSTAT" => "stat",
        "SYS_STATX" => "statx",
        "SYS_NEWFSTAT" => "fstat",
        "SYS_NEWFSTATAT" => "newfstatat",
        "SYS_NEWLSTAT" => "lstat",
        other => panic!("an unknown kind of event: {other}"),
    };
    let row = |event: &&Value| {
        (
            name(text(event, "type")).to_owned(),
            text(event, "pathname").to_owned(),
            number(event, "ret"),
        )
    };
    let seen: Vec<(String, String, i64)> = events(&lines).iter().map(row).collect();
    assert_eq!(seen, expected);
}

#[test]
fn syncsnoop_sees_the_calls_that_strace_sees() {
    let (object, folder) = tool!("syncsnoop");
    let path = folder.join("file");
    let script = format!(
        "import os, mmap\nf = open({:?}, 'w+b')\nf.write(b'x' * 4096)\nf.flush()\nos.fsync(f.fileno())\nos.fdatasync(f.fileno())\n\
         m = mmap.mmap(f.fileno(), 4096)\nm.flush()\nos.sync()\nos.fsync(f.fileno())\n",
        path.display()
    );
    let command = ["python3", "-I", "-S", "-c", &script];
    // enum sync_syscalls of syncsnoop.h
    let kinds = [
        "",
        "sync",
        "fsync",
        "fdatasync",
        "msync",
        "sync_file_range",
        "",
        "",
        "syncfs",
    ];
    let calls = "sync,fsync,fdatasync,msync,sync_file_range,syncfs";
    let expected: Vec<String> = strace(&folder, calls, &command)
        .into_iter()
        .map(|call| call.name)
        .collect();
    assert_eq!(expected, ["fsync", "fdatasync", "msync", "sync", "fsync"]);
    let lines = skep(&object, &folder, &[], &command);
    let kind =
        |event: &&Value| kinds[usize::try_from(number(event, "sys")).expect("a kind")].to_owned();
    let seen: Vec<String> = events(&lines).iter().map(kind).collect();
    assert_eq!(seen, expected);
}

#[test]
fn syscount_counts_what_strace_counts() {
    use skep::spec::tracepoint::{Machine, syscall_by_number};
    let (object, folder) = tool!("syscount");
    let command = ["ls", "-l", "/etc/hostname"];
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for call in strace(&folder, "all", &command) {
        *expected.entry(call.name).or_default() += 1;
    }
    let lines = skep(&object, &folder, &[], &command);
    let data = lines
        .iter()
        .find(|line| line["map"] == "data" && line.get("entries").is_some())
        .expect("the map `data`");
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for entry in data["entries"].as_array().expect("entries") {
        let number = entry["key"].as_u64().expect("a system call's number");
        let call = syscall_by_number(Machine::NATIVE.expect("a known machine"), number)
            .expect("a known system call");
        seen.insert(
            call.name.to_owned(),
            entry["value"]["count"].as_u64().expect("a count"),
        );
    }
    assert_eq!(seen, expected);
    assert!(seen["mmap"] > 3 && seen["openat"] > 3, "{seen:?}");
}

#[test]
fn mountsnoop_sees_the_mounts_that_strace_sees() {
    let (object, folder) = tool!("mountsnoop");
    let place = folder.join("mnt");
    std::fs::create_dir_all(&place).expect("a place to mount on");
    let place = place.display().to_string();
    let script = format!("mount -t tmpfs skep-test {place} && umount {place}");
    let command = ["unshare", "-rm", "sh", "-c", &script];
    if !succeeds(Command::new(command[0]).args(&command[1..])) {
        eprintln!("skipped: no mount namespaces for this user here");
        return;
    }
    let calls = "mount,umount2,fsopen,fsconfig,fsmount,move_mount";
    let expected: Vec<(String, i64)> = strace(&folder, calls, &command)
        .iter()
        .map(|call| (call.name.clone(), call.ret))
        .collect();
    assert!(expected.len() >= 3, "strace saw {expected:?}");
    let lines = skep(&object, &folder, &[], &command);
    let name = |op: &str| match op {
        "UMOUNT" => "umount2".to_owned(),
        other => other.to_lowercase(),
    };
    let mounts: Vec<&Value> = events(&lines);
    let seen: Vec<(String, i64)> = mounts
        .iter()
        .map(|e| (name(text(e, "op")), number(e, "ret")))
        .collect();
    // A descriptor's number may differ; whether the call succeeded may not.
    let failed = |list: &[(String, i64)]| -> Vec<(String, i64)> {
        list.iter()
            .map(|(n, ret)| (n.clone(), (*ret).min(0)))
            .collect()
    };
    assert_eq!(failed(&seen), failed(&expected));
    let unmounted = mounts
        .iter()
        .find(|event| text(event, "op") == "UMOUNT")
        .expect("the umount");
    assert_eq!(text(&unmounted["umount"], "dest"), place);
    if let Some(mounted) = mounts
        .iter()
        .find(|e| text(e, "op") == "MOUNT" && text(&e["mount"], "dest") == place)
    {
        assert_eq!(
            (
                text(&mounted["mount"], "fs"),
                text(&mounted["mount"], "src")
            ),
            ("tmpfs", "skep-test")
        );
    }
    let own = std::fs::read_link("/proc/self/ns/mnt")
        .expect("our own mount namespace")
        .display()
        .to_string();
    assert!(
        mounts
            .iter()
            .all(|event| own != format!("mnt:[{}]", number(event, "mnt_ns"))),
        "the child's own namespace"
    );
}

#[test]
fn futexctn_counts_the_waits_that_strace_sees() {
    let (object, folder) = tool!("futexctn");
    let number_of_futex = if cfg!(target_arch = "x86_64") {
        202
    } else {
        98
    };
    let address = folder.join("address");
    // Three waits of the main thread on a word of its own, each woken by another thread.
    let script = format!(
        "import ctypes, threading, time\nlibc = ctypes.CDLL(None)\nword = ctypes.c_uint32(0)\nat = ctypes.addressof(word)\n\
         open({:?}, 'w').write(str(at))\n\
         def wake():\n time.sleep(0.15)\n libc.syscall({number_of_futex}, ctypes.c_void_p(at), 1, 1, None, None, 0)\n\
         for _ in range(3):\n t = threading.Thread(target=wake)\n t.start()\n \
         libc.syscall({number_of_futex}, ctypes.c_void_p(at), 0, 0, None, None, 0)\n t.join()\n",
        address.display()
    );
    let command = ["python3", "-I", "-S", "-c", &script];
    let at = || -> u64 {
        std::fs::read_to_string(&address)
            .expect("an address")
            .parse()
            .expect("a number")
    };
    let waits = strace(&folder, "futex", &command);
    let own = format!("{:#x}, FUTEX_WAIT,", at());
    let expected = waits
        .iter()
        .filter(|call| call.args.starts_with(&own) && call.ret == 0)
        .count();
    assert_eq!(expected, 3, "strace saw {waits:?}");
    let lines = skep(&object, &folder, &[], &command);
    let hists = lines
        .iter()
        .find(|line| line["map"] == "hists")
        .expect("the map `hists`");
    let entries = hists["entries"].as_array().expect("entries");
    let own: Vec<&Value> = entries
        .iter()
        .filter(|entry| entry["key"]["uaddr"].as_u64() == Some(at()))
        .collect();
    let contended: i64 = own
        .iter()
        .map(|entry| number(&entry["value"], "contended"))
        .sum();
    assert_eq!(contended, 3, "skep saw {entries:?}");
    // Each wait took about 150 ms: at least 100 ms, in microseconds.
    assert!(
        own.iter()
            .all(|entry| number(&entry["value"], "min") > 100_000),
        "{own:?}"
    );
}
