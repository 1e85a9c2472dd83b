//! Verifying a program at load.
//!
//! Invariant: a [`Verified`] is of the very instructions that run, over the maps that they run with; what the virtual
//! machine gets to know of it is [`skep_embed::prove::proof`]'s business.

use skep_spec::context;
use skep_verifier::Verified;
use skep_verifier::input::{Input, MapInfo};
use skep_vm::Map;
use skep_vm::program::Image;

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

/// What is not the same in an input and an image.
pub(super) fn differs(input: &Input, image: &Image) -> Result<(), &'static str> {
    if input.host.is_some() || input.profile.only.is_none() {
        return Err("the input is not for the embedded engine");
    }
    let layout = context::for_program(input.program_type, input.attach_type);
    if !image.layout.is_some_and(|own| std::ptr::eq(own, layout))
        || image.program_type != Some(input.program_type)
    {
        return Err("input and image differ in their context");
    }
    if input.insns != image.insns {
        return Err("input and image differ in their instructions");
    }
    if !image.kfuncs.is_empty() || !image.symbols.is_empty() || !image.own_helpers.is_empty() {
        return Err("functions and variables of a kernel have names only in objects");
    }
    // Templates of maps of maps come after the maps themselves.
    let maps = input.maps.iter().zip(&image.maps);
    if input.maps.len() < image.maps.len() || !maps.into_iter().all(|(a, b)| is_of(a, &**b)) {
        return Err("input and image differ in their maps");
    }
    Ok(())
}

fn is_of(info: &MapInfo, map: &dyn Map) -> bool {
    let def = map.def();
    let (info_sizes, sizes) = (
        (info.key_size, info.value_size, info.max_entries, info.flags),
        (def.key_size, def.value_size, def.max_entries, def.flags),
    );
    let frozen = info.frozen.as_ref().is_none_or(|bytes| {
        let mut value = Vec::new();
        let found = map.lookup_user(&0u32.to_ne_bytes(), 0, &mut value);
        map.frozen() && found.is_ok() && value[..] == bytes[..]
    });
    // What lies in maps of maps is looked at where it is put there, for which an object is needed.
    info.map_type == def.map_type && info_sizes == sizes && info.inner.is_none() && frozen
}
