//! The steps that commands on objects begin with: read, parse, set globals.
//!
//! Invariant: every failure names the file or the option that is wrong.

use std::path::Path;

use skep::ObjectSpec;

use crate::exit::Failure;

/// Reads an object, ELF or text; also its bytes, for what only debug information knows.
pub fn object(path: &Path, legacy_maps: bool) -> Result<(ObjectSpec, Vec<u8>), Failure> {
    let path = path.to_string_lossy();
    let bytes = super::read_file(&path)?;
    let object = super::parse_object(&path, &bytes, legacy_maps)?;
    Ok((ObjectSpec::from(object), bytes))
}

/// Sets globals from `NAME=VALUE`.
pub fn set_globals(spec: &mut ObjectSpec, globals: &[String]) -> Result<(), Failure> {
    for choice in globals {
        let (name, value) = choice
            .split_once('=')
            .ok_or_else(|| Failure::usage("--global wants NAME=VALUE"))?;
        spec.global(name)?.set_text(value)?;
    }
    Ok(())
}
