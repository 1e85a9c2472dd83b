//! What maps hold after a run: one table a map, keys and values by their types, arrays named `slots` as histograms.
//!
//! Invariants: every entry is shown, but elements of arrays that are all zero, whose number is told; an error ends its
//! map's table and is shown in it.

use std::io::{self, Write};

use skep::btf::value::{self, Value};
use skep::btf::{Btf, TypeId};
use skep::maps::Map;
use skep::obj::MapKind;
use skep::spec::map::MapType;

use super::saved_maps::SavedMap;
use super::value::{cell, json, printable, quoted};

/// Which maps are worth showing when nobody names one: those that hold what a program counted.
fn is_interesting(map: &SavedMap) -> bool {
    let counted = matches!(
        map.def.map_type,
        MapType::Hash
            | MapType::Array
            | MapType::PercpuHash
            | MapType::PercpuArray
            | MapType::LruHash
            | MapType::LruPercpuHash
            | MapType::LpmTrie
            | MapType::Queue
            | MapType::Stack
    );
    counted && matches!(map.kind, MapKind::Ordinary)
}

/// One entry, decoded.
struct Row {
    key: Value,
    /// One a CPU for per-CPU maps, else one.
    values: Vec<Value>,
}

/// Decodes bytes by their type; without one, by what their size suggests.
fn decode(types: Option<&Btf>, id: Option<TypeId>, bytes: &[u8]) -> Value {
    if let (Some(types), Some(id)) = (types, id) {
        return value::format(types, id, bytes);
    }
    let number = |bytes: &[u8]| -> Option<u128> {
        Some(match bytes.len() {
            1 => u128::from(bytes[0]),
            2 => u128::from(u16::from_ne_bytes(bytes.try_into().ok()?)),
            4 => u128::from(u32::from_ne_bytes(bytes.try_into().ok()?)),
            8 => u128::from(u64::from_ne_bytes(bytes.try_into().ok()?)),
            _ => return None,
        })
    };
    number(bytes).map_or_else(|| Value::Bytes(bytes.to_vec()), Value::Uint)
}

/// A key, decoded.
pub fn decode_key(map: &SavedMap, key: &[u8]) -> Value {
    decode(map.types.as_deref(), map.key_type, key)
}

/// A value, decoded: one a CPU for per-CPU maps.
pub fn decode_values(map: &SavedMap, value: &[u8]) -> Vec<Value> {
    let types = map.types.as_deref();
    let one = map.def.value_size as usize;
    let stride = one.next_multiple_of(8).max(8);
    match map.is_per_cpu() {
        true => value
            .chunks(stride)
            .map(|bytes| decode(types, map.value_type, bytes.get(..one).unwrap_or(bytes)))
            .collect(),
        false => vec![decode(types, map.value_type, value)],
    }
}

fn rows_of(map: &SavedMap) -> Vec<Row> {
    let mut rows: Vec<Row> = map
        .entries
        .iter()
        .map(|(key, value)| Row {
            key: decode_key(map, key),
            values: decode_values(map, value),
        })
        .collect();
    rows.sort_by(|a, b| compare(&a.key, &b.key));
    rows
}

/// Takes what live maps hold, of those that are to be shown; with `all`, of each.
pub fn take(maps: &[Map], names: &[String], quiet: bool, all: bool) -> Vec<SavedMap> {
    let take = |map: &Map| {
        let head = SavedMap::head(map);
        match all || is_wanted(&head, names, quiet) {
            true => SavedMap::of(map),
            false => head,
        }
    };
    maps.iter().map(take).collect()
}

fn is_wanted(map: &SavedMap, names: &[String], quiet: bool) -> bool {
    match names.is_empty() {
        true => !quiet && is_interesting(map),
        false => names.iter().any(|name| name == map.name()),
    }
}

/// Prints the maps of these names; without names the interesting ones, or none if `quiet`. Losses are always told.
pub fn show_chosen(
    maps: &[SavedMap],
    names: &[String],
    quiet: bool,
    as_json: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    for map in maps {
        if is_wanted(map, names, quiet) && !show(map, as_json, out)? && !names.is_empty() {
            writeln!(out, "\n{} ({}): empty", map.name(), map.def.map_type.name())?;
        }
        show_lost(map, as_json, out)?;
    }
    Ok(())
}

fn compare(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a.as_int(), b.as_int()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.to_string().cmp(&b.to_string()),
    }
}

/// Prints a map; answers whether there was anything to print.
fn show(map: &SavedMap, as_json: bool, out: &mut dyn Write) -> io::Result<bool> {
    let rows = rows_of(map);
    if as_json {
        show_json(map, &rows, out)?;
        return Ok(true);
    }
    let kind = map.def.map_type.name();
    if rows.is_empty() && map.error.is_none() {
        return Ok(false);
    }
    writeln!(
        out,
        "\n{} ({kind}, {})",
        map.name(),
        counted(rows.len(), map.zero_elements)
    )?;
    if rows
        .iter()
        .any(|row| row.values.iter().any(|v| histogram_of(v).is_some()))
    {
        for row in &rows {
            show_histograms(row, out)?;
        }
    } else {
        show_table(&rows, out)?;
    }
    if let Some(error) = &map.error {
        writeln!(out, "  {error}")?;
    }
    Ok(true)
}

fn counted(rows: usize, zero: usize) -> String {
    let entries = if rows == 1 {
        "1 entry".to_owned()
    } else {
        format!("{rows} entries")
    };
    if zero > 0 {
        format!("{entries}, {zero} more are zero")
    } else {
        entries
    }
}

fn show_json(map: &SavedMap, rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    write!(
        out,
        "{{\"map\":{},\"type\":{},\"entries\":[",
        quoted(map.name()),
        quoted(map.def.map_type.name())
    )?;
    for (index, row) in rows.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(out, "{comma}{{\"key\":{},", json(&row.key))?;
        if map.is_per_cpu() {
            let values: Vec<String> = row.values.iter().map(json).collect();
            write!(out, "\"values\":[{}]}}", values.join(","))?;
        } else {
            write!(
                out,
                "\"value\":{}}}",
                row.values.first().map_or("null".to_owned(), json)
            )?;
        }
    }
    out.write_all(b"]")?;
    if map.is_array() {
        write!(out, ",\"zero_elements\":{}", map.zero_elements)?;
    }
    if let Some(error) = &map.error {
        write!(out, ",\"error\":{}", quoted(error))?;
    }
    writeln!(out, "}}")
}

/// The members of a value as columns: a structure's members, or the value itself under `name`.
fn columns(name: &str, value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::Struct(members) => members.clone(),
        other => vec![(name.to_owned(), other.clone())],
    }
}

/// The values of all CPUs as one, where adding them up makes sense.
fn sum(values: &[Value]) -> Option<Value> {
    let add = |a: &Value, b: &Value| -> Option<Value> {
        Some(match (a, b) {
            (Value::Int(a), Value::Int(b)) => Value::Int(a.wrapping_add(*b)),
            (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.wrapping_add(*b)),
            _ => return None,
        })
    };
    let (first, rest) = values.split_first()?;
    rest.iter()
        .try_fold(first.clone(), |total, value| match (&total, value) {
            (Value::Struct(a), Value::Struct(b)) if a.len() == b.len() => {
                let members: Option<Vec<_>> = a
                    .iter()
                    .zip(b)
                    .map(|(a, b)| Some((a.0.clone(), add(&a.1, &b.1)?)))
                    .collect();
                members.map(Value::Struct)
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
                .iter()
                .zip(b)
                .map(|(a, b)| add(a, b))
                .collect::<Option<Vec<_>>>()
                .map(Value::Array),
            (a, b) => add(a, b),
        })
}

fn show_table(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    let mut table: Vec<Vec<(String, Value)>> = Vec::new();
    for row in rows {
        let key = columns("key", &row.key);
        match sum(&row.values) {
            Some(total) => table.push([key, columns("value", &total)].concat()),
            None => {
                for (cpu, value) in row.values.iter().enumerate() {
                    let cpu = ("cpu".to_owned(), Value::Uint(cpu as u128));
                    table.push([key.clone(), vec![cpu], columns("value", value)].concat());
                }
            }
        }
    }
    let Some(first) = table.first() else {
        return Ok(());
    };
    let names: Vec<String> = first.iter().map(|(name, _)| name.to_uppercase()).collect();
    let cells: Vec<Vec<String>> = table
        .iter()
        .map(|row| row.iter().map(|(name, v)| cell(name, v)).collect())
        .collect();
    let mut widths: Vec<usize> = names.iter().map(|name| name.chars().count()).collect();
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let number: Vec<bool> = first
        .iter()
        .map(|(_, v)| matches!(v, Value::Int(_) | Value::Uint(_)))
        .collect();
    for row in std::iter::once(&names).chain(&cells) {
        let last = row.len().saturating_sub(1);
        for (index, text) in row.iter().enumerate() {
            let pad = widths
                .get(index)
                .map_or(0, |width| width.saturating_sub(text.chars().count()));
            match (number.get(index).copied().unwrap_or(false), index == last) {
                (true, _) => write!(out, "  {:pad$}{text}", "")?,
                (false, true) => write!(out, "  {text}")?,
                (false, false) => write!(out, "  {text}{:pad$}", "")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The member that counts by powers of two, by the name that everybody gives it.
fn histogram_of(value: &Value) -> Option<(&str, Vec<u128>)> {
    let Value::Struct(members) = value else {
        return None;
    };
    members.iter().find_map(|(name, value)| match value {
        Value::Array(slots) if name.contains("slots") || name.contains("hist") => {
            let counts = slots.iter().map(|slot| u128::try_from(slot.as_int()?).ok());
            Some((name.as_str(), counts.collect::<Option<Vec<_>>>()?))
                .filter(|(_, counts)| counts.len() > 1)
        }
        _ => None,
    })
}

/// How wide a full bar is.
const BAR: u128 = 40;

fn show_histograms(row: &Row, out: &mut dyn Write) -> io::Result<()> {
    let total = sum(&row.values);
    let values: &[Value] = total.as_ref().map_or(&row.values, std::slice::from_ref);
    for value in values {
        let Some((histogram, counts)) = histogram_of(value) else {
            writeln!(
                out,
                "  {}: {}",
                printable(&row.key.to_string()),
                printable(&value.to_string())
            )?;
            continue;
        };
        let rest: Vec<String> = columns("value", value)
            .iter()
            .filter(|(name, _)| name != histogram)
            .map(|(name, value)| format!("{name} {}", cell(name, value)))
            .collect();
        let key: Vec<String> = columns("key", &row.key)
            .iter()
            .map(|(name, value)| format!("{name} {}", cell(name, value)))
            .collect();
        writeln!(
            out,
            "  {}{}{}",
            key.join(", "),
            if rest.is_empty() { "" } else { ": " },
            rest.join(", ")
        )?;
        bars(&counts, out)?;
    }
    Ok(())
}

fn bars(counts: &[u128], out: &mut dyn Write) -> io::Result<()> {
    let most = counts.iter().copied().max().unwrap_or(0);
    let used = |&(_, count): &(usize, &u128)| *count > 0;
    let Some((first, _)) = counts.iter().enumerate().find(used) else {
        return Ok(());
    };
    let last = counts
        .iter()
        .enumerate()
        .rev()
        .find(used)
        .map_or(first, |(index, _)| index);
    for (slot, count) in counts.iter().enumerate().take(last + 1).skip(first) {
        // Slot n counts values from 2^n; slot 0 also counts 0.
        let from = if slot == 0 { 0 } else { 1u128 << slot.min(100) };
        let to = (1u128 << (slot + 1).min(101)) - 1;
        let bar = (count * BAR).checked_div(most).unwrap_or(0);
        writeln!(
            out,
            "  {from:>12} -> {to:<12} {count:>8} |{:<width$}|",
            "#".repeat(bar as usize),
            width = BAR as usize
        )?;
    }
    Ok(())
}

/// Prints how many records found no room, where there were any.
fn show_lost(map: &SavedMap, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    let lost = map.lost;
    if lost == 0 {
        return Ok(());
    }
    if as_json {
        return writeln!(out, "{{\"map\":{},\"lost\":{lost}}}", quoted(map.name()));
    }
    writeln!(
        out,
        "{}: {lost} events were lost: the buffer was full",
        map.name()
    )
}
