//! Verifying a program at load, and what the virtual machine gets to know of it.
//!
//! Invariants: a proof is made of a [`Verified`] of the very instructions that run, over the maps that they run with, and
//! of nothing else; what the virtual machine cannot do without checks stays checked.

use skep_spec::context::{ContextKind, ContextLayout};
use skep_verifier::Verified;
use skep_verifier::facts::{InsnFacts, Way};
use skep_verifier::input::Input;
use skep_vm::proof::{Access, FrameProof, InsnProof, Proof};

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

/// What the virtual machine is told. `places` are the image's maps by the object's index.
pub(super) fn proof(
    verified: &Verified,
    layout: Option<&'static ContextLayout>,
    places: &[Option<usize>],
) -> Proof {
    // Helpers may take bytes of a context that lies in memory as programs see it.
    let flat = layout.is_none_or(|layout| layout.kind == ContextKind::Flat);
    Proof {
        insns: verified
            .facts
            .iter()
            .map(|facts| insn(facts, places))
            .collect(),
        frames: verified
            .functions
            .iter()
            .map(|function| FrameProof {
                start: function.start,
                bytes: function.stack_bytes,
                reads_unwritten: function.reads_unwritten,
            })
            .collect(),
        context_bytes: if flat {
            u64::from(verified.context_bytes)
        } else {
            0
        },
    }
}

fn insn(facts: &InsnFacts, places: &[Option<usize>]) -> InsnProof {
    let place = |map: skep_verifier::input::MapId| {
        let place = places.get(map.0 as usize).copied().flatten()?;
        u32::try_from(place).ok()
    };
    InsnProof {
        reached: facts.reached,
        next: facts.ways.next,
        target: facts.ways.target,
        access: match facts.access {
            Way::Direct => Access::Direct,
            Way::Context { offset } => Access::Context { offset },
            Way::Typed { probe: true } => Access::Probe,
            // The model's structures are no memory of the host's: the environment reads them.
            Way::Typed { probe: false } | Way::Never | Way::Other => Access::Checked,
        },
        map: facts.map.and_then(place),
        ..InsnProof::default()
    }
}
