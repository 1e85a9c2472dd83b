//! The steps that commands on objects begin with: read, parse, set globals.
//!
//! Invariant: every failure names the file or the option that is wrong.

use std::path::Path;
use std::sync::Arc;

use skep::events::Schema;
use skep::maps::Map;
use skep::spec::map::MapType;
use skep::{Object, ObjectSpec};

use crate::exit::Failure;
use crate::output::events::Events;

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

/// The maps that carry records.
pub fn buffers(object: &Object) -> Vec<Map> {
    let is_buffer = |map: &&Map| {
        matches!(
            map.def().map_type,
            MapType::Ringbuf | MapType::PerfEventArray
        )
    };
    object.maps().iter().filter(is_buffer).cloned().collect()
}

/// What shows records; types that BTF lacks are looked for in the object's debug information.
pub fn events(json: bool, bytes: &[u8]) -> Events<'_> {
    let more_types = move |len: usize| {
        let wanted = |name: &str, size: u64| {
            Schema::is_event_name(name)
                && usize::try_from(size)
                    .is_ok_and(|size| (size..size.saturating_add(8)).contains(&len))
        };
        let (types, found) = skep::obj::dwarf::structs(bytes, &wanted)?;
        let types = Arc::new(types);
        let best = Schema::guess(&types, len).map(|schema| schema.id());
        Some((types, best.or_else(|| found.first().copied())?))
    };
    Events::new(json, Box::new(more_types))
}
