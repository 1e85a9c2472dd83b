//! Events as they come: a table whose columns are the members of the event's type, or one JSON object a line.
//!
//! Invariants: a record is never dropped here; one that no type explains is shown as bytes; a value is one line, whatever
//! characters it holds; columns only ever grow, so that a long run stays readable.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use skep::btf::value::Value;
use skep::btf::{Btf, TypeId};
use skep::engine::Record;
use skep::events::Schema;
use skep::maps::Map;

use super::value::{self, cell};

/// Where more types can be found when the object's own do not explain a record: asked once a buffer and size.
pub type MoreTypes<'a> = Box<dyn Fn(usize) -> Option<(Arc<Btf>, TypeId)> + 'a>;

/// Prints the events of all buffers of an object.
pub struct Events<'a> {
    json: bool,
    more_types: MoreTypes<'a>,
    buffers: HashMap<String, Buffer>,
    /// The buffer whose header was printed last.
    shown: Option<String>,
    pub count: u64,
}

#[derive(Default)]
struct Buffer {
    forced: Option<Schema>,
    schema: Option<Schema>,
    /// Sizes of records for which no type was found.
    unknown: Vec<usize>,
    widths: Vec<usize>,
    columns: Vec<String>,
}

impl<'a> Events<'a> {
    pub fn new(json: bool, more_types: MoreTypes<'a>) -> Events<'a> {
        Events {
            json,
            more_types,
            buffers: HashMap::new(),
            shown: None,
            count: 0,
        }
    }

    /// Says what the records of a buffer are.
    pub fn force(&mut self, map: &str, schema: Schema) {
        self.buffers.entry(map.to_owned()).or_default().forced = Some(schema);
    }

    /// Prints one record of a buffer.
    pub fn show(&mut self, map: &Map, record: Record<'_>, out: &mut dyn Write) -> io::Result<()> {
        self.count += 1;
        if !self.buffers.contains_key(map.name()) {
            self.buffers
                .insert(map.name().to_owned(), Buffer::default());
        }
        let Some(buffer) = self.buffers.get_mut(map.name()) else {
            return Ok(());
        };
        let value = match buffer.schema_for(map, record.bytes.len(), &self.more_types) {
            Some(schema) => schema.decode(record.bytes),
            None => Value::Bytes(record.bytes.to_vec()),
        };
        if self.json {
            return writeln!(
                out,
                "{{\"map\":{},\"event\":{}}}",
                value::quoted(map.name()),
                value::json(&value)
            );
        }
        let members = match value {
            Value::Struct(members) => members,
            Value::Bytes(bytes) => vec![("bytes".to_owned(), Value::Bytes(bytes))],
            other => vec![("value".to_owned(), other)],
        };
        let columns_changed = buffer.columns.len() != members.len()
            || members.iter().zip(&buffer.columns).any(|(m, c)| m.0 != *c);
        let cells: Vec<String> = members
            .iter()
            .map(|(name, value)| cell(name, value))
            .collect();
        if columns_changed {
            buffer.columns = members.iter().map(|(name, _)| name.clone()).collect();
            buffer.widths = members
                .iter()
                .map(|(name, value)| name.len().max(usual_width(value)))
                .collect();
        }
        for (width, cell) in buffer.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count().min(COLUMN_MAX));
        }
        if columns_changed || self.shown.as_deref() != Some(map.name()) {
            if self.shown.is_some() {
                writeln!(out)?;
            }
            let names: Vec<String> = buffer
                .columns
                .iter()
                .map(|name| value::printable(&name.to_uppercase()))
                .collect();
            row(out, &names, &buffer.widths, &members)?;
            self.shown = Some(map.name().to_owned());
        }
        row(out, &cells, &buffer.widths, &members)
    }
}

/// No column is padded beyond this.
const COLUMN_MAX: usize = 48;

impl Buffer {
    fn schema_for(&mut self, map: &Map, len: usize, more_types: &MoreTypes<'_>) -> Option<&Schema> {
        if self.forced.is_some() {
            return self.forced.as_ref();
        }
        let known = self.schema.as_ref().is_some_and(|schema| schema.fits(len));
        if !known && !self.unknown.contains(&len) {
            let found = map.types().and_then(|types| Schema::guess(types, len));
            let found = found
                .or_else(|| more_types(len).and_then(|(types, id)| Schema::of(&types, id).ok()));
            match found {
                Some(schema) => self.schema = Some(schema),
                None => self.unknown.push(len),
            }
        }
        self.schema.as_ref().filter(|schema| schema.fits(len))
    }
}

fn usual_width(value: &Value) -> usize {
    match value {
        Value::Int(_) | Value::Uint(_) => 6,
        Value::Str(_) => 15,
        Value::Ptr(_) => 18,
        _ => 0,
    }
}

fn row(
    out: &mut dyn Write,
    cells: &[String],
    widths: &[usize],
    members: &[(String, Value)],
) -> io::Result<()> {
    let last = cells.len().saturating_sub(1);
    for (index, ((cell, width), (_, value))) in cells.iter().zip(widths).zip(members).enumerate() {
        if index > 0 {
            out.write_all(b" ")?;
        }
        let pad = width.saturating_sub(cell.chars().count());
        let number = matches!(value, Value::Int(_) | Value::Uint(_));
        match (number, index == last) {
            (true, _) => write!(out, "{:pad$}{cell}", "")?,
            (false, true) => out.write_all(cell.as_bytes())?,
            (false, false) => write!(out, "{cell}{:pad$}", "")?,
        }
    }
    writeln!(out)
}
