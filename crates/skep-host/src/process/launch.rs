//! Starting the supervised command: fork, become its tracer, let it install the filter, hold it before its execve.
//!
//! Invariants: the child is traced before its filter exists (a filter's stop without a tracer would fail the call); the
//! child of the fork makes async-signal-safe calls only, on memory prepared before; nothing of the environment is read
//! here, the caller passes it.

use super::ptrace::{self, Change, Tid, Until};
use super::seccomp::{self, Classic};
use super::{ProcessError, arch};
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A command to supervise.
#[derive(Debug, Default)]
pub struct Launch {
    /// A path, or a name looked up in the `PATH` of `env`.
    pub program: OsString,
    /// What follows the program's name.
    pub args: Vec<OsString>,
    /// The whole environment of the command.
    pub env: Vec<(OsString, OsString)>,
    pub directory: Option<PathBuf>,
    /// Replacements of descriptors 0, 1 and 2; `None` inherits.
    pub stdio: [Option<OwnedFd>; 3],
    /// Confines the command, and the supervising thread, to the CPU this thread runs on at the start: a stop then costs a
    /// fraction (two switches and no wake-up of another CPU), but the command sees only one CPU.
    pub same_cpu: bool,
}

impl Launch {
    pub fn new(program: impl Into<OsString>) -> Launch {
        Launch {
            program: program.into(),
            ..Launch::default()
        }
    }

    pub fn arg(mut self, arg: impl Into<OsString>) -> Launch {
        self.args.push(arg.into());
        self
    }

    pub fn args<S: Into<OsString>>(mut self, args: impl IntoIterator<Item = S>) -> Launch {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, env: impl IntoIterator<Item = (OsString, OsString)>) -> Launch {
        self.env.extend(env);
        self
    }

    /// The file that `program` names. Looked up here, not by trying execve, so that the command's first call is its first.
    fn resolve(&self) -> Result<PathBuf, ProcessError> {
        let failed = |errno: i32, hint: &str| {
            Err(ProcessError::launch(
                &self.program,
                "looking up the program",
                io::Error::from_raw_os_error(errno),
                hint,
            ))
        };
        if self.program.is_empty() {
            return failed(libc::ENOENT, "the command's name is empty");
        }
        if self.program.as_bytes().contains(&b'/') {
            return Ok(PathBuf::from(&self.program));
        }
        let path = self
            .env
            .iter()
            .rev()
            .find(|(name, _)| name == "PATH")
            .map(|(_, value)| value.as_os_str());
        let path = path.unwrap_or(OsStr::new("/bin:/usr/bin"));
        let mut refused = false;
        for directory in path.as_bytes().split(|&b| b == b':') {
            let directory = if directory.is_empty() {
                b"."
            } else {
                directory
            };
            let file = Path::new(OsStr::from_bytes(directory)).join(&self.program);
            match fs::metadata(&file) {
                Ok(m) if m.is_file() && m.permissions().mode() & 0o111 != 0 => return Ok(file),
                Ok(_) => refused = true,
                Err(_) => {}
            }
        }
        if refused {
            return failed(
                libc::EACCES,
                "a file of this name is in PATH but is not executable",
            );
        }
        failed(libc::ENOENT, "no such program in PATH")
    }
}

/// A command held right before its execve.
#[derive(Debug)]
pub(crate) struct Launched {
    pub tid: Tid,
    /// The child could only install its filter by giving up new privileges.
    pub no_new_privs: bool,
    /// The program is set-user-id or set-group-id, or has file capabilities that `no_new_privs` takes away.
    pub loses_privileges: bool,
}

/// What the child reports through its pipe: a stage and an errno.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Report {
    stage: i32,
    errno: i32,
}

const STAGE_DIRECTORY: i32 = 1;
const STAGE_STDIO: i32 = 2;
const STAGE_FILTER: i32 = 3;
const STAGE_FILTER_NNP: i32 = 4; // not a failure: the filter needed no_new_privs

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for the two descriptors, which nobody else owns.
    unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

fn c_string(bytes: Vec<u8>) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Everything the child needs, made before the fork.
struct Prepared {
    path: CString,
    directory: Option<CString>,
    _strings: Vec<CString>,
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    stdio: [Option<RawFd>; 3],
    cpu: Option<usize>,
}

impl Launch {
    fn prepare(&self, path: PathBuf) -> io::Result<Prepared> {
        let mut strings = vec![c_string(self.program.clone().into_vec())?];
        for arg in &self.args {
            strings.push(c_string(arg.clone().into_vec())?);
        }
        let args = strings.len();
        for (name, value) in &self.env {
            let mut entry = name.clone().into_vec();
            entry.push(b'=');
            entry.extend(value.as_bytes());
            strings.push(c_string(entry)?);
        }
        let pointers = |part: &[CString]| {
            part.iter()
                .map(|s| s.as_ptr())
                .chain([std::ptr::null()])
                .collect()
        };
        let (argv, envp) = (pointers(&strings[..args]), pointers(&strings[args..]));
        let directory = self
            .directory
            .as_ref()
            .map(|d| c_string(d.clone().into_os_string().into_vec()))
            .transpose()?;
        let stdio = [0, 1, 2].map(|i: usize| self.stdio[i].as_ref().map(AsRawFd::as_raw_fd));
        // SAFETY: takes nothing and returns an integer.
        let cpu = self
            .same_cpu
            .then(|| unsafe { libc::sched_getcpu() }.max(0) as usize);
        let path = c_string(path.into_os_string().into_vec())?;
        Ok(Prepared {
            path,
            directory,
            _strings: strings,
            argv,
            envp,
            stdio,
            cpu,
        })
    }

    /// Forks, traces and filters the command; on success it stands at the start of its execve.
    pub(crate) fn start(self, filter: &[Classic], options: u64) -> Result<Launched, ProcessError> {
        let path = self.resolve()?;
        let privileged = is_privileged_file(&path);
        let failed = |doing: &str, e: io::Error| ProcessError::launch(&self.program, doing, e, "");
        let prepared = self.prepare(path).map_err(|e| {
            ProcessError::launch(
                &self.program,
                "passing arguments",
                e,
                "an argument or variable holds a NUL byte",
            )
        })?;
        let (go_read, go_write) = pipe().map_err(|e| failed("making a pipe", e))?;
        let (report_read, report_write) = pipe().map_err(|e| failed("making a pipe", e))?;
        if let Some(cpu) = prepared.cpu {
            confine(cpu).map_err(|e| failed("confining to one CPU", e))?;
        }
        // SAFETY: the child only makes async-signal-safe calls (see `child`), on memory prepared above, and never returns.
        let tid = unsafe {
            let tid = libc::fork();
            if tid == 0 {
                child(
                    &prepared,
                    filter,
                    go_read.as_raw_fd(),
                    report_write.as_raw_fd(),
                );
            }
            tid
        };
        if tid < 0 {
            return Err(failed("forking", io::Error::last_os_error()));
        }
        drop((go_read, report_write));
        // A task forked elsewhere in between may hold the other end: never wait for its closing.
        set_nonblocking(&report_read);
        let kill = |e: io::Error, doing: &str, hint: &str| {
            let _ = ptrace::signal_process(tid, libc::SIGKILL);
            while let Ok(Some((_, change))) = ptrace::wait(tid, false) {
                if let Change::Ended(_) = change {
                    break;
                }
            }
            Err(ProcessError::launch(&self.program, doing, e, hint))
        };
        if let Err(e) = ptrace::seize(tid, options) {
            return kill(
                e,
                "becoming its tracer",
                "a container's seccomp profile may forbid ptrace",
            );
        }
        // SAFETY: one byte from a live buffer to a descriptor we own.
        if unsafe { libc::write(go_write.as_raw_fd(), [0u8].as_ptr().cast(), 1) } != 1 {
            return kill(io::Error::last_os_error(), "starting it", "");
        }
        loop {
            match ptrace::wait(tid, false) {
                Ok(Some((_, Change::Seccomp))) => {
                    let mut registers = arch::empty_registers();
                    if let Err(e) = ptrace::registers(tid, &mut registers) {
                        return kill(e, "reading its registers", "");
                    }
                    if arch::number(&registers) == arch::call::EXECVE {
                        break;
                    }
                    // Some other call between the filter and execve: the supervisor's own business.
                    let _ = ptrace::resume(tid, Until::Event, 0);
                }
                Ok(Some((_, Change::Ended(ending)))) => {
                    let report = read_report(&report_read).unwrap_or_default();
                    let e = io::Error::from_raw_os_error(report.errno);
                    let (doing, hint) = match report.stage {
                        STAGE_DIRECTORY => {
                            ("changing to its directory", "does the directory exist?")
                        }
                        STAGE_STDIO => ("connecting its standard descriptors", ""),
                        STAGE_FILTER => (
                            "installing the system call filter",
                            "this kernel or container does not allow seccomp filters",
                        ),
                        _ => {
                            let e =
                                io::Error::other(format!("it ended with {}", ending.shell_code()));
                            return Err(failed("starting it", e));
                        }
                    };
                    return Err(ProcessError::launch(&self.program, doing, e, hint));
                }
                Ok(Some((_, Change::Signal(signal)))) => {
                    let _ = ptrace::resume(tid, Until::Event, signal);
                }
                Ok(Some(_)) => {
                    let _ = ptrace::resume(tid, Until::Event, 0);
                }
                Ok(None) => {
                    return Err(failed(
                        "waiting for it",
                        io::Error::from_raw_os_error(libc::ECHILD),
                    ));
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return kill(e, "waiting for it", ""),
            }
        }
        let no_new_privs =
            read_report(&report_read).is_some_and(|report| report.stage == STAGE_FILTER_NNP);
        Ok(Launched {
            tid,
            no_new_privs,
            loses_privileges: no_new_privs && privileged,
        })
    }
}

/// Whether executing the file would normally change ids. File capabilities show in the attribute `security.capability`.
pub(crate) fn is_privileged_file(path: &Path) -> bool {
    let Ok(m) = fs::metadata(path) else {
        return false;
    };
    if m.mode() & (libc::S_ISUID | libc::S_ISGID) != 0 {
        return true;
    }
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: both strings are NUL-terminated; a null buffer of size 0 asks for the attribute's size only.
    unsafe {
        libc::getxattr(
            path.as_ptr(),
            c"security.capability".as_ptr(),
            std::ptr::null_mut(),
            0,
        ) > 0
    }
}

fn confine(cpu: usize) -> io::Result<()> {
    // SAFETY: `set` is plain memory; CPU_SET checks the index against its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        if libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn set_nonblocking(fd: &OwnedFd) {
    // SAFETY: integers only, on a descriptor we own.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
}

fn read_report(fd: &OwnedFd) -> Option<Report> {
    let mut report = Report::default();
    let size = size_of::<Report>();
    // SAFETY: at most the structure's size is written to it; any bytes are a valid pair of integers.
    let got = unsafe { libc::read(fd.as_raw_fd(), (&raw mut report).cast(), size) };
    (got == size as isize).then_some(report)
}

/// # Safety
/// Only in the child of a fork. Makes async-signal-safe calls only, allocates nothing, never returns.
unsafe fn child(p: &Prepared, filter: &[Classic], go: RawFd, report: RawFd) -> ! {
    let tell = |stage: i32, errno: i32| {
        let report_ = Report { stage, errno };
        // SAFETY: writes a live structure to the report pipe.
        unsafe { libc::write(report, (&raw const report_).cast(), size_of::<Report>()) };
    };
    let errno = || io::Error::last_os_error().raw_os_error().unwrap_or(0);
    // SAFETY: system calls on integers and on memory that `p` owns; see each line's manual page.
    unsafe {
        let mut byte = 0u8;
        while libc::read(go, (&raw mut byte).cast(), 1) < 0 {}
        for (fd, from) in p.stdio.iter().enumerate() {
            if let Some(from) = *from
                && libc::dup2(from, fd as RawFd) < 0
            {
                tell(STAGE_STDIO, errno());
                libc::_exit(127);
            }
        }
        if let Some(directory) = &p.directory
            && libc::chdir(directory.as_ptr()) != 0
        {
            tell(STAGE_DIRECTORY, errno());
            libc::_exit(127);
        }
        // What Rust's runtime changed at its start must not reach the command.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        match seccomp::install(filter) {
            Ok(true) => tell(STAGE_FILTER_NNP, 0),
            Ok(false) => {}
            Err(e) => {
                tell(STAGE_FILTER, e.raw_os_error().unwrap_or(0));
                libc::_exit(127);
            }
        }
        libc::execve(p.path.as_ptr(), p.argv.as_ptr(), p.envp.as_ptr());
        libc::_exit(127)
    }
}
