//! Why a plug-in cannot be loaded, and why a run of one stopped.
//!
//! Invariants: a plug-in that the verifier refuses comes with the whole explanation, in the kernel's words and with the
//! source line; no error is the host's fault and its plug-in's at once.

use std::fmt;
use std::time::Duration;

use skep_diag::Diagnostics;
use skep_obj::ObjError;
use skep_verifier::explain::Explanation;
use skep_vm::{Trap, TrapCause};

/// Why a plug-in cannot be loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The builder was told something that cannot be: two helpers of one number, a map that the plug-in has not.
    Host(String),
    /// The object cannot be read, relocated or linked.
    Object(ObjError),
    /// The object has no such program; these it has.
    NoSuchProgram { name: String, known: Vec<String> },
    /// The plug-in needs something that only a kernel has.
    NotSupported(String),
    /// The verifier refuses the plug-in.
    Refused(Box<Refused>),
}

/// A plug-in that the verifier refuses, and why.
#[derive(Debug)]
pub struct Refused {
    /// Where, what led to it, what to do about it.
    pub explanation: Explanation,
    /// The kernel's own words.
    pub lines: Vec<String>,
}

impl Refused {
    /// The whole explanation as text.
    pub fn full(&self) -> String {
        let diagnostics = Diagnostics(vec![self.explanation.diagnostic.clone()]);
        skep_diag::render::full(&diagnostics, &self.explanation.sources)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Host(what) | LoadError::NotSupported(what) => f.write_str(what),
            LoadError::Object(error) => error.fmt(f),
            LoadError::NoSuchProgram { name, known } => write!(
                f,
                "the object has no program `{name}`; it has: {}",
                known.join(", ")
            ),
            LoadError::Refused(refused) => f.write_str(refused.full().trim_end()),
        }
    }
}

impl std::error::Error for LoadError {}

impl From<ObjError> for LoadError {
    fn from(error: ObjError) -> LoadError {
        LoadError::Object(error)
    }
}

/// Why a run stopped before its end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallError {
    /// It used up its instructions.
    Budget { insns: u64 },
    /// It took longer than it may.
    TimedOut { after: Duration },
    /// Somebody set the flag of its [`crate::Limits`].
    Interrupted,
    /// One of the host's helpers could not go on, or panicked.
    Helper { name: &'static str, what: Box<str> },
    /// It did what the sandbox does not allow; never from a verified plug-in.
    Trap(Box<Trap>),
}

impl From<Trap> for CallError {
    #[cold]
    fn from(trap: Trap) -> CallError {
        match trap.cause {
            TrapCause::Budget { insns } => CallError::Budget { insns },
            TrapCause::TimedOut { after } => CallError::TimedOut { after },
            TrapCause::Interrupted => CallError::Interrupted,
            TrapCause::Helper { name, what } => CallError::Helper { name, what },
            _ => CallError::Trap(Box::new(trap)),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Budget { insns } => {
                write!(f, "the plug-in used up its budget of {insns} instructions")
            }
            CallError::TimedOut { after } => write!(f, "the plug-in took longer than {after:?}"),
            CallError::Interrupted => f.write_str("the plug-in was interrupted"),
            CallError::Helper { name, what } => write!(f, "helper {name}: {what}"),
            CallError::Trap(trap) => trap.fmt(f),
        }
    }
}

impl std::error::Error for CallError {}
