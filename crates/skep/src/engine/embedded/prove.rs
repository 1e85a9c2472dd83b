//! Verifying a program at load.
//!
//! Invariant: a [`Verified`] is of the very instructions that run, over the maps that they run with; what the virtual
//! machine gets to know of it is [`skep_embed::prove::proof`]'s business.

use skep_verifier::Verified;
use skep_verifier::input::Input;

use super::Embedded;
use crate::engine::ProgramLoad;
use crate::error::{Error, ErrorKind, Refused};
use crate::verify::NotLoadable;

/// What becomes of programs that cannot be proven safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// They are refused, as a kernel would.
    #[default]
    Require,
    /// They run in the sandbox, with each access checked; a note says why ([`crate::Engine::notes`]).
    Prefer,
    /// No program is verified: all run in the sandbox.
    Never,
}

/// Why there is no proof.
pub(super) enum Unproven {
    /// The verifier refuses it.
    Refused(Box<Input>, Box<skep_verifier::Rejection>),
    /// The verifier cannot be asked.
    NotLoadable(NotLoadable),
}

impl Unproven {
    /// In one sentence.
    pub fn why(&self) -> String {
        match self {
            Unproven::Refused(_, rejection) => match rejection.fault.lines.last() {
                Some(line) => line.clone(),
                None => rejection.to_string(),
            },
            Unproven::NotLoadable(why) => why.to_string(),
        }
    }

    /// The same, explained.
    pub fn into_error(self, program: &str) -> Error {
        match self {
            Unproven::Refused(input, rejection) => ErrorKind::Refused(Box::new(Refused {
                program: program.to_owned(),
                explanation: skep_verifier::explain::explain(&input, &rejection),
                lines: rejection.fault.lines.clone(),
            }))
            .into(),
            Unproven::NotLoadable(NotLoadable::Object(error)) => error.into(),
            Unproven::NotLoadable(why) => ErrorKind::Malformed {
                program: program.to_owned(),
                why: why.to_string(),
            }
            .into(),
        }
    }
}

/// Verifies the program as the kernel that the engine is would.
pub(super) fn verify(engine: &Embedded, load: &ProgramLoad<'_>) -> Result<Verified, Unproven> {
    let input = load
        .source
        .input(load.spec, load, engine.kernel())
        .map_err(Unproven::NotLoadable)?;
    match skep_verifier::verify(&input) {
        Ok(verified) => Ok(verified),
        Err(rejection) => Err(Unproven::Refused(Box::new(input), rejection)),
    }
}
