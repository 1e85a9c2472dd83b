//! What type the records of a ring or perf buffer have, and the records decoded by it.
//!
//! A buffer has no type of its own: programs write bytes. The type is, in this order, what the user says; the structure
//! of the object whose name says "event" and whose size is the record's; nothing, and the record stays bytes.
//!
//! Invariants: a decoder never reads beyond a record; a record shorter than its type is accepted only where the type ends
//! in an array that programs fill partly; padding that the kernel adds to perf records (up to 8 bytes) is ignored.

use std::sync::Arc;

use skep_btf::value::{self, Value};
use skep_btf::{Btf, Kind, Ty, TypeId};

use crate::error::{ErrorKind, Result};

/// Perf records are padded to this.
const PERF_ALIGN: usize = 8;

/// How to decode the records of one buffer.
#[derive(Clone)]
pub struct Schema {
    types: Arc<Btf>,
    id: TypeId,
    size: usize,
    /// A record may end anywhere from here on, because the type ends in an array.
    short_from: Option<usize>,
}

impl Schema {
    /// Records are the structure (or union, or typedef) of this name.
    pub fn named(types: &Arc<Btf>, name: &str) -> Result<Schema> {
        let name = name.strip_prefix("struct ").unwrap_or(name).trim();
        let kinds = [
            Kind::Struct,
            Kind::Typedef,
            Kind::Union,
            Kind::Int,
            Kind::Enum,
        ];
        match kinds.iter().find_map(|&kind| types.find(kind, name)) {
            Some(id) => Schema::of(types, id),
            None => Err(ErrorKind::NotFound {
                what: "type",
                name: name.to_owned(),
                known: structure_names(types),
            }
            .into()),
        }
    }

    /// Records are of this type.
    pub fn of(types: &Arc<Btf>, id: TypeId) -> Result<Schema> {
        let size = types.size_of(id).map_err(|error| ErrorKind::Input {
            what: format!("event type `{}`", types.name(id)),
            why: error.to_string(),
        })? as usize;
        Ok(Schema {
            types: types.clone(),
            id,
            size,
            short_from: short_from(types, id, size),
        })
    }

    /// The structure that a record of `len` bytes most likely is: one whose name says so and whose size fits.
    pub fn guess(types: &Arc<Btf>, len: usize) -> Option<Schema> {
        let candidates = types
            .own_ids()
            .filter(|&id| types.kind(id).ok() == Some(Kind::Struct));
        let best = candidates.filter_map(|id| {
            let rank = rank(types.name(id))?;
            let schema = Schema::of(types, id).ok()?;
            let exact = schema.fits_whole(len);
            schema.fits(len).then_some((!exact, rank, id.0, schema))
        });
        best.min_by_key(|(partial, rank, id, _)| (*partial, *rank, *id))
            .map(|(.., schema)| schema)
    }

    /// Whether a structure of this name could be an event's.
    pub fn is_event_name(name: &str) -> bool {
        rank(name).is_some()
    }

    pub fn types(&self) -> &Arc<Btf> {
        &self.types
    }

    pub fn id(&self) -> TypeId {
        self.id
    }

    /// The bytes of a whole record.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The name of the type.
    pub fn name(&self) -> &str {
        self.types.name(self.id)
    }

    fn fits_whole(&self, len: usize) -> bool {
        (self.size..self.size + PERF_ALIGN).contains(&len)
    }

    /// Whether a record of `len` bytes can be of this type.
    pub fn fits(&self, len: usize) -> bool {
        self.fits_whole(len)
            || self
                .short_from
                .is_some_and(|from| (from..self.size).contains(&len))
    }

    /// Decodes a record, cut short or not.
    pub fn decode(&self, record: &[u8]) -> Value {
        let whole = record.len() >= self.size;
        let record = record.get(..self.size).unwrap_or(record);
        let mut value = value::format(&self.types, self.id, record);
        if let (false, Some(from), Value::Struct(members)) = (whole, self.short_from, &mut value)
            && let (Some((_, last @ Value::Str(_))), Some(text)) =
                (members.last_mut(), record.get(from..))
        {
            // Characters that end where the record ends may be several strings, one after the other.
            let text = text.strip_suffix(&[0]).unwrap_or(text);
            *last = Value::Str(String::from_utf8_lossy(text).into_owned());
        }
        value
    }
}

/// How much a structure's name says that it is an event; the least is the best.
fn rank(name: &str) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    Some(match name.as_str() {
        "event" | "event_t" => 0,
        "data_t" => 3,
        _ if name.ends_with("_event") || name.ends_with("_event_t") => 1,
        _ if name.contains("event") => 2,
        _ if name.contains("record") || name.contains("sample") => 4,
        _ => return None,
    })
}

/// Where the array starts that a structure ends in.
fn short_from(types: &Btf, id: TypeId, size: usize) -> Option<usize> {
    let composite = types.composite(types.resolve(id).ok()?).ok()?;
    let last = composite.members.iter().last()?;
    let array = types.resolve(last.ty).ok()?;
    match types.ty(array) {
        Ok(Ty::Array { .. }) => {
            Some(last.bit_offset as usize / 8).filter(|&from| from > 0 && from < size.max(1))
        }
        _ => None,
    }
}

fn structure_names(types: &Btf) -> Vec<String> {
    let named =
        |&id: &TypeId| types.kind(id).ok() == Some(Kind::Struct) && !types.name(id).is_empty();
    types
        .own_ids()
        .filter(named)
        .map(|id| types.name(id).to_owned())
        .collect()
}
