//! What can go wrong at the front door: the environment or the engine said no, and why.
//!
//! Invariants: [`Error`] is one pointer wide; every kind names the program, map or symbol it is about and, where the
//! object has line information, the source line; the user's own mistakes in source text stay [`Diagnostics`].

use std::fmt;

use skep_diag::Diagnostics;
use skep_obj::ObjError;
use skep_spec::errno::Errno;
use skep_verifier::explain::Explanation;
use skep_vm::trap::{Line, Trap};

use crate::engine::Feature;

/// An error of the front door.
pub struct Error {
    kind: Box<ErrorKind>,
}

/// The kinds of [`Error`].
#[non_exhaustive]
#[derive(Debug)]
pub enum ErrorKind {
    /// The source of the object is wrong.
    Rejected(Diagnostics),
    /// The verifier refuses the program.
    Refused(Box<Refused>),
    /// The object cannot be read, relocated or linked.
    Object(ObjError),
    /// The engine does not have what the object needs.
    NotSupported(Box<NotSupported>),
    /// A symbol that the engine must supply, and cannot.
    Unresolved {
        program: String,
        symbol: String,
        why: String,
        line: Option<Line>,
    },
    /// Nothing of this name is in the object.
    NotFound {
        what: &'static str,
        name: String,
        known: Vec<String>,
    },
    /// A map operation failed.
    Map {
        map: String,
        call: &'static str,
        errno: Errno,
        hint: Option<String>,
    },
    /// A typed view does not fit its map.
    Layout { map: String, why: String },
    /// What a run was given does not fit the program.
    Input { what: String, why: String },
    /// The program is not an instruction sequence that can be run.
    Malformed { program: String, why: String },
    /// Processes could not be supervised.
    Process(skep_host::process::ProcessError),
    /// The kernel refused a bpf(2) call.
    Kernel(skep_linux::error::Error),
    /// The program did at run time what a verifier would have refused.
    Trap(Box<Trap>),
    /// The operating system said no.
    Os {
        call: &'static str,
        errno: Errno,
        hint: Option<String>,
    },
}

/// A program that the verifier refuses, and why.
#[derive(Debug)]
pub struct Refused {
    pub program: String,
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

/// Something that an engine does not model, and who needs it.
#[derive(Clone, Debug)]
pub struct NotSupported {
    pub feature: Feature,
    pub engine: &'static str,
    /// The program that needs it, if one does.
    pub program: Option<String>,
    /// Where it needs it.
    pub line: Option<Box<Line>>,
    /// What the engine has instead, or what to do.
    pub help: String,
}

impl Error {
    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The same, taken out.
    pub fn into_kind(self) -> ErrorKind {
        *self.kind
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Error {
        Error {
            kind: Box::new(kind),
        }
    }
}

impl From<ObjError> for Error {
    fn from(error: ObjError) -> Error {
        match error {
            ObjError::Text(diagnostics) => ErrorKind::Rejected(diagnostics).into(),
            other => ErrorKind::Object(other).into(),
        }
    }
}

impl From<NotSupported> for Error {
    fn from(error: NotSupported) -> Error {
        ErrorKind::NotSupported(Box::new(error)).into()
    }
}

impl From<Trap> for Error {
    fn from(trap: Trap) -> Error {
        ErrorKind::Trap(Box::new(trap)).into()
    }
}

impl From<skep_linux::error::Error> for Error {
    fn from(error: skep_linux::error::Error) -> Error {
        ErrorKind::Kernel(error).into()
    }
}

impl fmt::Display for NotSupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(program) = &self.program {
            write!(f, "program `{program}`: ")?;
        }
        write!(
            f,
            "the {} engine does not model {}",
            self.engine, self.feature
        )?;
        write_line(f, self.line.as_deref())?;
        if !self.help.is_empty() {
            write!(f, "; {}", self.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for NotSupported {}

fn write_line(f: &mut fmt::Formatter<'_>, line: Option<&Line>) -> fmt::Result {
    let Some(line) = line else { return Ok(()) };
    write!(f, " ({}:{}", line.file, line.line)?;
    if !line.text.trim().is_empty() {
        write!(f, ": `{}`", line.text.trim())?;
    }
    f.write_str(")")
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::Rejected(diagnostics) => match diagnostics.0.first() {
                Some(first) => f.write_str(&first.headline),
                None => f.write_str("the source is wrong"),
            },
            ErrorKind::Refused(refused) => write!(
                f,
                "program `{}`: the verifier refuses it: {}",
                refused.program, refused.explanation.diagnostic.headline
            ),
            ErrorKind::Object(error) => error.fmt(f),
            ErrorKind::NotSupported(error) => error.fmt(f),
            ErrorKind::Unresolved {
                program,
                symbol,
                why,
                line,
            } => {
                write!(f, "program `{program}`: cannot resolve `{symbol}`: {why}")?;
                write_line(f, line.as_ref())
            }
            ErrorKind::NotFound { what, name, known } => {
                write!(f, "no {what} named `{name}`")?;
                match known.len() {
                    0 => write!(f, "; the object has none"),
                    1..=20 => write!(f, "; the object has: {}", known.join(", ")),
                    n => write!(
                        f,
                        "; the object has {n}, among them: {}",
                        known[..20].join(", ")
                    ),
                }
            }
            ErrorKind::Map {
                map,
                call,
                errno,
                hint,
            } => {
                write!(f, "map `{map}`: {call} failed: {errno}")?;
                hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
            }
            ErrorKind::Layout { map, why } => write!(f, "map `{map}`: {why}"),
            ErrorKind::Input { what, why } => write!(f, "{what}: {why}"),
            ErrorKind::Malformed { program, why } => write!(f, "program `{program}`: {why}"),
            ErrorKind::Process(error) => error.fmt(f),
            ErrorKind::Kernel(error) => error.fmt(f),
            ErrorKind::Trap(trap) => write!(f, "trap in {trap}"),
            ErrorKind::Os { call, errno, hint } => {
                write!(f, "{call} failed: {errno}")?;
                hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for Error {}

const _: () = assert!(size_of::<Error>() == size_of::<usize>());

/// The front door's result.
pub type Result<T> = std::result::Result<T, Error>;
