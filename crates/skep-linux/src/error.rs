//! What the kernel said when it said no.

use std::fmt;

use skep_spec::errno::Errno;

/// A refused bpf(2) call: which one, why, the verifier's log if there is one, and what to do.
#[derive(Clone, Debug)]
pub struct Error {
    /// The command's name, as `BPF_PROG_LOAD`.
    pub call: &'static str,
    /// The kernel's answer.
    pub errno: Errno,
    /// What was being made: a map's or a program's name.
    pub subject: String,
    /// The verifier's log; empty where the command has none.
    pub log: String,
}

impl Error {
    /// One sentence on the likely cause, where the errno alone misleads.
    pub fn hint(&self) -> Option<&'static str> {
        match self.errno.0 {
            libc::EPERM | libc::EACCES if self.log.is_empty() => Some(
                "bpf(2) needs CAP_BPF (and CAP_PERFMON or CAP_NET_ADMIN by program type), or root; the embedded engine needs neither",
            ),
            libc::ENOSYS => Some("this kernel was built without bpf(2)"),
            libc::ENOMEM => Some(
                "the memory limit of the control group or RLIMIT_MEMLOCK (kernels before 5.11) was reached",
            ),
            // ENOTSUPP: a kernel-internal number that reaches user space through BPF_PROG_TEST_RUN.
            524 => Some("this kernel cannot test-run programs of this type"),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of `{}` failed: {}",
            self.call, self.subject, self.errno
        )?;
        if let Some(hint) = self.hint() {
            write!(f, " ({hint})")?;
        }
        if f.alternate() && !self.log.is_empty() {
            write!(f, "\n{}", self.log.trim_end())?;
        } else if let Some(line) = self
            .log
            .lines()
            .rev()
            .find(|line| !line.is_empty() && !line.starts_with("processed "))
        {
            write!(f, ": {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
