//! Exit codes of the command: stable, so that scripts can tell whose fault a failure is.

use std::fmt;
use std::process::ExitCode;

/// Why the command ends as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The input was refused: a malformed object, a program that does not load, a source with errors.
    Rejected = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The input is fine, and asks for what this engine or this release does not do.
    NotSupported = 3,
    /// The system said no: a file that cannot be read, a permission that is missing.
    System = 4,
    /// The command itself is wrong.
    Bug = 70,
}

/// A failed command: the code to end with and what to print.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub text: String,
}

impl Failure {
    pub fn rejected(text: impl fmt::Display) -> Failure {
        Failure {
            exit: Exit::Rejected,
            text: text.to_string(),
        }
    }

    pub fn usage(text: impl fmt::Display) -> Failure {
        Failure {
            exit: Exit::Usage,
            text: text.to_string(),
        }
    }

    pub fn system(text: impl fmt::Display) -> Failure {
        Failure {
            exit: Exit::System,
            text: text.to_string(),
        }
    }

    /// An object's error: what is unsupported ends differently from what is malformed.
    pub fn of_object(file: &str, error: &skep_obj::ObjError) -> Failure {
        let exit = match error {
            skep_obj::ObjError::Unsupported { .. } => Exit::NotSupported,
            skep_obj::ObjError::NotFound { .. } | skep_obj::ObjError::Value { .. } => Exit::Usage,
            _ => Exit::Rejected,
        };
        Failure {
            exit,
            text: format!("{file}: {error}"),
        }
    }
}

impl From<skep::Error> for Failure {
    fn from(error: skep::Error) -> Failure {
        use skep::ErrorKind;
        let exit = match error.kind() {
            ErrorKind::NotSupported(_) | ErrorKind::Unresolved { .. } => Exit::NotSupported,
            ErrorKind::Object(skep::obj::ObjError::Unsupported { .. }) => Exit::NotSupported,
            ErrorKind::Object(
                skep::obj::ObjError::NotFound { .. } | skep::obj::ObjError::Value { .. },
            ) => Exit::Usage,
            ErrorKind::NotFound { .. } | ErrorKind::Input { .. } | ErrorKind::Layout { .. } => {
                Exit::Usage
            }
            ErrorKind::Os { .. }
            | ErrorKind::Process(_)
            | ErrorKind::Kernel(_)
            | ErrorKind::Map { .. } => Exit::System,
            _ => Exit::Rejected,
        };
        let text = match error.kind() {
            ErrorKind::Refused(refused) => format!(
                "program `{}`: the verifier refuses it (--sandbox runs it unverified, with every access checked)\n{}",
                refused.program,
                refused.full().trim_end()
            ),
            _ => error.to_string(),
        };
        Failure { exit, text }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
