//! Why a process tree could not be supervised: what was tried, on what, and what may help.
//!
//! Invariants: the environment said no (the user's program cannot cause these); the system's error is kept as the source.

use super::ptrace::Tid;
use std::ffi::OsStr;
use std::{fmt, io};

/// A failure of the process host.
#[derive(Debug)]
pub struct ProcessError {
    what: String,
    hint: String,
    source: io::Error,
}

impl ProcessError {
    pub(crate) fn launch(
        program: &OsStr,
        doing: &str,
        source: io::Error,
        hint: &str,
    ) -> ProcessError {
        let hint = if !hint.is_empty() {
            hint
        } else {
            exec_hint(&source)
        };
        ProcessError {
            what: format!("cannot run {program:?}: {doing}"),
            hint: hint.into(),
            source,
        }
    }

    pub(crate) fn attach(pid: Tid, doing: &str, source: io::Error, hint: String) -> ProcessError {
        ProcessError {
            what: format!("cannot attach to process {pid}: {doing}"),
            hint,
            source,
        }
    }

    pub(crate) fn system(doing: &str, source: io::Error) -> ProcessError {
        ProcessError {
            what: doing.into(),
            hint: String::new(),
            source,
        }
    }

    /// The system's error number, 0 if it has none.
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }

    /// What may help, or nothing.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

fn exec_hint(e: &io::Error) -> &'static str {
    match e.raw_os_error() {
        Some(libc::ENOENT) => "the file, or the interpreter or loader it names, does not exist",
        Some(libc::EACCES) => {
            "the file, or a directory on the way to it, may not be executed by this user"
        }
        Some(libc::ENOEXEC) => "not a program of this machine; a script needs a `#!` line",
        Some(libc::E2BIG) => "its arguments and environment are too long",
        _ => "",
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.source)?;
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for ProcessError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
