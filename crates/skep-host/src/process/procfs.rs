//! What /proc tells about a task. Everything here may fail at any time: the task can die between two lines.
//!
//! Invariants: a missing or malformed file is `None`, never a guess; names and paths are bytes, not text.

use super::ptrace::Tid;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

fn read(tid: Tid, file: &str) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{tid}/{file}")).ok()
}

/// The parts of `/proc/TID/status` that the model holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub tgid: Tid,
    pub ppid: Tid,
    pub tracer: Tid,
    /// Real, effective, saved and file-system ids.
    pub uid: [u32; 4],
    pub gid: [u32; 4],
    /// The id in each pid namespace, outermost first.
    pub pids: Vec<i32>,
    pub threads: i32,
    pub zombie: bool,
}

pub(crate) fn status(tid: Tid) -> Option<Status> {
    parse_status(&read(tid, "status")?)
}

fn parse_status(text: &[u8]) -> Option<Status> {
    let mut status = Status::default();
    // A name can hold anything but a newline (it is escaped), so lines are lines.
    for line in text.split(|&b| b == b'\n') {
        let Some(colon) = line.iter().position(|&b| b == b':') else {
            continue;
        };
        let value = String::from_utf8_lossy(&line[colon + 1..]);
        let mut words = value.split_ascii_whitespace();
        let mut number = || {
            words
                .next()
                .and_then(|w| w.parse::<i64>().ok())
                .unwrap_or(0)
        };
        match &line[..colon] {
            b"Tgid" => status.tgid = number() as Tid,
            b"PPid" => status.ppid = number() as Tid,
            b"TracerPid" => status.tracer = number() as Tid,
            b"Uid" => status.uid = [number(), number(), number(), number()].map(|id| id as u32),
            b"Gid" => status.gid = [number(), number(), number(), number()].map(|id| id as u32),
            b"Threads" => status.threads = number() as i32,
            b"NSpid" => status.pids = words.filter_map(|w| w.parse().ok()).collect(),
            b"State" => status.zombie = words.next() == Some("Z"),
            _ => {}
        }
    }
    (status.tgid > 0).then_some(status)
}

/// The parts of `/proc/TID/stat` that the model holds; field numbers as in proc(5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    pub flags: u32,       // 9
    pub priority: i64,    // 18
    pub start_ticks: u64, // 22
    pub start_code: u64,  // 26
    pub end_code: u64,    // 27
    pub start_stack: u64, // 28
    pub start_data: u64,  // 45
    pub end_data: u64,    // 46
    pub start_brk: u64,   // 47
    pub arg_start: u64,   // 48
    pub arg_end: u64,     // 49
    pub env_start: u64,   // 50
    pub env_end: u64,     // 51
}

/// `leader` reads the process's line, which has the same memory fields for all of its threads.
pub(crate) fn stat(tid: Tid) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{tid}/task/{tid}/stat")).ok()?)
}

fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The name stands in parentheses and can hold more of them: the last one closes.
    let close = text.iter().rposition(|&b| b == b')')?;
    let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
    let fields: Vec<i128> = rest
        .split_ascii_whitespace()
        .skip(1)
        .map(|w| w.parse().unwrap_or(0))
        .collect();
    let field = |number: usize| fields.get(number - 4).copied().unwrap_or(0);
    if fields.len() < 20 {
        return None;
    }
    Some(Stat {
        flags: field(9) as u32,
        priority: field(18) as i64,
        start_ticks: field(22) as u64,
        start_code: field(26) as u64,
        end_code: field(27) as u64,
        start_stack: field(28) as u64,
        start_data: field(45) as u64,
        end_data: field(46) as u64,
        start_brk: field(47) as u64,
        arg_start: field(48) as u64,
        arg_end: field(49) as u64,
        env_start: field(50) as u64,
        env_end: field(51) as u64,
    })
}

/// NUL-padded, at most 15 bytes of name.
pub(crate) fn comm(tid: Tid) -> Option<[u8; 16]> {
    let mut text = fs::read(format!("/proc/{tid}/task/{tid}/comm")).ok()?;
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    Some(comm_of(&text))
}

pub(crate) fn comm_of(name: &[u8]) -> [u8; 16] {
    let mut comm = [0; 16];
    let len = name
        .iter()
        .position(|&b| b == 0)
        .unwrap_or(name.len())
        .min(15);
    comm[..len].copy_from_slice(&name[..len]);
    comm
}

/// The number of a namespace: `kind` as in `/proc/TID/ns/`.
pub(crate) fn namespace(tid: Tid, kind: &str) -> Option<u32> {
    let link = fs::read_link(format!("/proc/{tid}/ns/{kind}"))
        .ok()?
        .into_os_string()
        .into_vec();
    let open = link.iter().position(|&b| b == b'[')?;
    std::str::from_utf8(link.get(open + 1..link.len().checked_sub(1)?)?)
        .ok()?
        .parse()
        .ok()
}

/// The target of one of the links `cwd`, `root` and `exe`.
pub(crate) fn link(tid: Tid, name: &str) -> Option<Vec<u8>> {
    Some(
        fs::read_link(format!("/proc/{tid}/{name}"))
            .ok()?
            .into_os_string()
            .into_vec(),
    )
}

/// What the link leads to.
pub(crate) fn target(tid: Tid, name: &str) -> Option<fs::Metadata> {
    fs::metadata(format!("/proc/{tid}/{name}")).ok()
}

/// The id of the task's cgroup (version 2), which is the inode number of its directory.
pub(crate) fn cgroup_id(tid: Tid) -> Option<u64> {
    let text = read(tid, "cgroup")?;
    let line = text
        .split(|&b| b == b'\n')
        .find_map(|line| line.strip_prefix(b"0::"))?;
    Some(
        fs::metadata(format!("/sys/fs/cgroup{}", std::str::from_utf8(line).ok()?))
            .ok()?
            .ino(),
    )
}

pub(crate) fn threads(pid: Tid) -> Option<Vec<Tid>> {
    let names = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    Some(
        names
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect(),
    )
}

/// One line of `/proc/TID/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountLine {
    pub id: i32,
    pub parent: i32,
    /// The directory of the file system that is mounted.
    pub root: Vec<u8>,
    pub point: Vec<u8>,
}

pub(crate) fn mounts(tid: Tid) -> Option<Vec<MountLine>> {
    Some(parse_mounts(&read(tid, "mountinfo")?))
}

fn parse_mounts(text: &[u8]) -> Vec<MountLine> {
    let line = |line: &[u8]| {
        let mut words = line.split(|&b| b == b' ');
        let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse().ok();
        let (id, parent) = (number(words.next()?)?, number(words.next()?)?);
        let _device = words.next()?;
        Some(MountLine {
            id,
            parent,
            root: unescape(words.next()?),
            point: unescape(words.next()?),
        })
    };
    text.split(|&b| b == b'\n').filter_map(line).collect()
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, after)) = rest.split_first() {
        match after.get(..3) {
            Some(digits) if first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)) => {
                out.push(
                    digits
                        .iter()
                        .fold(0u8, |sum, d| sum.wrapping_mul(8).wrapping_add(d - b'0')),
                );
                rest = &after[3..];
            }
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_survives_any_name() {
        let tail = (4..=52)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        let stat = parse_stat(format!("7 (a) b) c) S {tail}").as_bytes()).unwrap();
        assert_eq!((stat.flags, stat.priority, stat.start_ticks), (9, 18, 22));
        assert_eq!((stat.arg_start, stat.env_end), (48, 51));
        assert_eq!(parse_stat(b"7 (short) S 1 2"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn own_status_is_read() {
        let own = status(std::process::id() as Tid).unwrap();
        assert_eq!(own.tgid, std::process::id() as Tid);
        assert_eq!(own.pids.last().copied(), Some(std::process::id() as i32));
        assert!(!own.zombie && own.threads >= 1);
        assert_eq!(parse_status(b"Name: x\nnonsense\n"), None);
    }

    #[test]
    fn mountinfo_is_unescaped() {
        let mounts = parse_mounts(
            b"22 1 0:20 / /a\\040b\\134c rw - ext4 x y\nbroken\n23 22 0:1 /sub /\\07 rw\n",
        );
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].point, b"/a b\\c");
        assert_eq!(
            (mounts[1].root.as_slice(), mounts[1].point.as_slice()),
            (&b"/sub"[..], &b"/\\07"[..])
        );
    }
}
