//! Maps as they were after a run: taken from live maps, written to a file and read back.
//!
//! The file is one JSON document: `format` ("skep-maps"), `version` (1), `btf` (the types that keys and values need, in
//! hexadecimal), `maps`. An entry holds its raw bytes (`key_hex`, `value_hex`) and, for other readers, the same decoded
//! (`key`, `value` or `values`); skep itself reads the bytes. Invariants: a file that is read back shows what the run
//! showed; elements of arrays that are all zero are counted, not kept; nothing in a file is trusted.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;
use skep::btf::build::{Builder, TypeDef};
use skep::btf::{Btf, TypeId};
use skep::maps::Map;
use skep::obj::MapKind;
use skep::spec::map::{MapDef, MapType};

use super::maps::{decode_key, decode_values};
use super::value::{json, quoted};
use crate::exit::Failure;

const FORMAT: &str = "skep-maps";
const VERSION: u64 = 1;

/// More elements nobody reads, and an array may have billions.
const ELEMENTS_MAX: usize = 1 << 20;

/// The kinds of maps by the names that the file gives them.
const KINDS: [(MapKind, &str); 8] = [
    (MapKind::Ordinary, "map"),
    (MapKind::Rodata, "rodata"),
    (MapKind::Data, "data"),
    (MapKind::Bss, "bss"),
    (MapKind::Kconfig, "kconfig"),
    (MapKind::StructOps, "struct_ops"),
    (MapKind::Arena, "arena"),
    (MapKind::JumpTable, "jump_table"),
];

/// What a map held at one moment.
pub struct SavedMap {
    pub def: MapDef,
    pub kind: MapKind,
    pub key_type: Option<TypeId>,
    pub value_type: Option<TypeId>,
    pub types: Option<Arc<Btf>>,
    /// Keys and values; per-CPU values are those of all CPUs, each rounded up to 8 bytes.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
    /// Elements of an array that were all zero.
    pub zero_elements: usize,
    /// Records that found no room.
    pub lost: u64,
    /// Why the walk ended early.
    pub error: Option<String>,
}

impl SavedMap {
    /// What is said of a live map, without its elements.
    pub fn head(map: &Map) -> SavedMap {
        let spec = map.spec();
        SavedMap {
            def: spec.def.clone(),
            kind: spec.kind,
            key_type: spec.key_type,
            value_type: spec.value_type,
            types: map.types().cloned(),
            entries: Vec::new(),
            zero_elements: 0,
            lost: map.lost(),
            error: None,
        }
    }

    /// What a live map holds now.
    pub fn of(map: &Map) -> SavedMap {
        let mut saved = SavedMap::head(map);
        if !has_elements(saved.def.map_type) {
            return saved;
        }
        for (index, entry) in map.entries().enumerate() {
            if index == ELEMENTS_MAX {
                saved.error = Some(format!(
                    "only the first {ELEMENTS_MAX} elements were looked at"
                ));
                break;
            }
            match entry {
                Ok((_, value)) if saved.is_array() && value.iter().all(|&byte| byte == 0) => {
                    saved.zero_elements += 1
                }
                Ok(entry) => saved.entries.push(entry),
                Err(error) => {
                    saved.error = Some(error.to_string());
                    break;
                }
            }
        }
        saved
    }

    pub fn name(&self) -> &str {
        &self.def.name
    }

    pub fn is_per_cpu(&self) -> bool {
        matches!(
            self.def.map_type,
            MapType::PercpuArray | MapType::PercpuHash | MapType::LruPercpuHash
        )
    }

    pub fn is_array(&self) -> bool {
        matches!(self.def.map_type, MapType::Array | MapType::PercpuArray)
    }
}

/// Whether user space can read elements at all.
fn has_elements(map_type: MapType) -> bool {
    !matches!(
        map_type,
        MapType::Ringbuf
            | MapType::UserRingbuf
            | MapType::PerfEventArray
            | MapType::BloomFilter
            | MapType::StructOps
            | MapType::Arena
    )
}

/// The types that the ids refer to, and no others; with them the new ids.
fn types_of(btf: &Btf, roots: &[TypeId]) -> Option<(Vec<u8>, Vec<TypeId>)> {
    let mut wanted = vec![false; btf.len() as usize];
    let mut open = roots.to_vec();
    while let Some(id) = open.pop() {
        match wanted.get_mut(id.0 as usize) {
            Some(known) if id != TypeId::VOID && !*known => *known = true,
            _ => continue,
        }
        TypeDef::of(&btf.ty(id).ok()?)?.for_each_id(|id| open.push(*id));
    }
    let mut next = 0;
    let new: Vec<TypeId> = wanted
        .iter()
        .map(|&wanted| {
            next += u32::from(wanted);
            if wanted { TypeId(next) } else { TypeId::VOID }
        })
        .collect();
    let mut builder = Builder::new();
    builder.set_endian(btf.endian());
    for id in btf.ids().filter(|id| wanted[id.0 as usize]) {
        let mut def = TypeDef::of(&btf.ty(id).ok()?)?;
        def.for_each_id(|id| *id = new.get(id.0 as usize).copied().unwrap_or(TypeId::VOID));
        builder.add(def);
    }
    Some((builder.finish().ok()?, new))
}

/// Writes the file.
pub fn save(path: &Path, maps: &[SavedMap]) -> Result<(), Failure> {
    let written = std::fs::File::create(path).and_then(|file| {
        let mut out = io::BufWriter::new(file);
        write(maps, &mut out)?;
        out.flush()
    });
    written.map_err(|error| Failure::system(format!("cannot write {}: {error}", path.display())))
}

fn write(maps: &[SavedMap], out: &mut dyn Write) -> io::Result<()> {
    let roots: Vec<TypeId> = maps
        .iter()
        .flat_map(|map| [map.key_type, map.value_type])
        .flatten()
        .collect();
    let types = maps.iter().find_map(|map| map.types.as_ref());
    let types = types.and_then(|types| types_of(types, &roots));
    let (btf, new) = match &types {
        Some((btf, new)) => (quoted(&hex(btf)), new.as_slice()),
        None => ("null".to_owned(), &[][..]),
    };
    writeln!(
        out,
        "{{\"format\":\"{FORMAT}\",\"version\":{VERSION},\n\"btf\":{btf},\n\"maps\":["
    )?;
    for (index, map) in maps.iter().enumerate() {
        if index > 0 {
            out.write_all(b",\n")?;
        }
        write_map(map, new, out)?;
    }
    out.write_all(b"\n]}\n")
}

fn write_map(map: &SavedMap, new: &[TypeId], out: &mut dyn Write) -> io::Result<()> {
    let def = &map.def;
    let id = |id: Option<TypeId>| {
        id.and_then(|id| new.get(id.0 as usize))
            .map_or("null".to_owned(), |id| id.0.to_string())
    };
    let kind = KINDS.iter().find(|(kind, _)| *kind == map.kind);
    write!(
        out,
        "{{\"name\":{},\"type\":{},\"kind\":{},\"key_size\":{},\"value_size\":{},\"max_entries\":{},\"flags\":{},\
         \"map_extra\":{},\"key_type\":{},\"value_type\":{},\"zero_elements\":{},\"lost\":{},\"error\":{},\"entries\":[",
        quoted(&def.name),
        quoted(def.map_type.name()),
        quoted(kind.map_or("map", |(_, name)| name)),
        def.key_size,
        def.value_size,
        def.max_entries,
        def.flags,
        def.map_extra,
        id(map.key_type),
        id(map.value_type),
        map.zero_elements,
        map.lost,
        map.error.as_deref().map_or("null".to_owned(), quoted),
    )?;
    for (index, (key, value)) in map.entries.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let values: Vec<String> = decode_values(map, value).iter().map(json).collect();
        let shown = match map.is_per_cpu() {
            true => format!("\"values\":[{}]", values.join(",")),
            false => format!("\"value\":{}", values.join(",")),
        };
        write!(
            out,
            "{comma}\n {{\"key_hex\":\"{}\",\"value_hex\":\"{}\",\"key\":{},{shown}}}",
            hex(key),
            hex(value),
            json(&decode_key(map, key))
        )?;
    }
    out.write_all(b"]}")
}

/// Reads a file that [`save`] has written.
pub fn load(path: &str) -> Result<Vec<SavedMap>, Failure> {
    let bytes = crate::commands::read_file(path)?;
    let wrong = |why: String| Failure::rejected(format!("{path}: {why}"));
    let file: Json = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("is not a file of saved maps: {error}")))?;
    if file["format"] != FORMAT {
        let help = "write one with `skep run --save-maps FILE`";
        return Err(wrong(format!("is not a file of saved maps; {help}")));
    }
    if file["version"] != VERSION {
        let version = &file["version"];
        return Err(wrong(format!(
            "is of version {version}; this skep reads version {VERSION}"
        )));
    }
    let types = match file["btf"].as_str() {
        Some(text) => {
            let bytes = unhex(text).ok_or_else(|| wrong("`btf` is not hexadecimal".to_owned()))?;
            let types = Btf::parse(bytes).map_err(|error| wrong(error.to_string()))?;
            Some(Arc::new(types))
        }
        None => None,
    };
    let maps = file["maps"].as_array().map_or(&[][..], Vec::as_slice);
    maps.iter()
        .enumerate()
        .map(|(index, map)| {
            read_map(map, types.as_ref()).map_err(|what| wrong(format!("maps[{index}].{what}")))
        })
        .collect()
}

/// Reads one map; an error names the member that is wrong.
fn read_map(map: &Json, types: Option<&Arc<Btf>>) -> Result<SavedMap, String> {
    let number = |name: &str| {
        map[name]
            .as_u64()
            .ok_or_else(|| format!("{name} is not a number"))
    };
    let small = |name: &str| {
        number(name)
            .and_then(|n| u32::try_from(n).map_err(|_| format!("{name} is larger than 32 bits")))
    };
    let text = |name: &str| {
        map[name]
            .as_str()
            .ok_or_else(|| format!("{name} is not text"))
    };
    let id = |name: &str| {
        let id = map[name].as_u64().and_then(|id| u32::try_from(id).ok());
        id.map(TypeId)
            .filter(|id| types.is_some_and(|types| id.0 < types.len()))
    };
    let map_type = text("type")?;
    let kind = text("kind")?;
    let mut saved = SavedMap {
        def: MapDef::new(
            text("name")?,
            MapType::by_name(map_type)
                .ok_or_else(|| format!("type: there is no map type `{map_type}`"))?,
            small("key_size")?,
            small("value_size")?,
            small("max_entries")?,
        ),
        kind: KINDS
            .iter()
            .find(|(_, name)| *name == kind)
            .map(|(kind, _)| *kind)
            .ok_or_else(|| format!("kind: there is no kind `{kind}`"))?,
        key_type: id("key_type"),
        value_type: id("value_type"),
        types: types.cloned(),
        entries: Vec::new(),
        zero_elements: usize::try_from(number("zero_elements")?).unwrap_or(usize::MAX),
        lost: number("lost")?,
        error: map["error"].as_str().map(str::to_owned),
    };
    saved.def.flags = small("flags")?;
    saved.def.map_extra = number("map_extra")?;
    let entries = map["entries"]
        .as_array()
        .ok_or_else(|| "entries is not an array".to_owned())?;
    for (index, entry) in entries.iter().enumerate() {
        let bytes = |name: &str| {
            entry[name]
                .as_str()
                .and_then(unhex)
                .ok_or_else(|| format!("entries[{index}].{name} is not hexadecimal"))
        };
        saved.entries.push((bytes("key_hex")?, bytes("value_hex")?));
    }
    Ok(saved)
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |b: u8| char::from(DIGITS[usize::from(b & 15)]);
    bytes
        .iter()
        .flat_map(|&byte| [digit(byte >> 4), digit(byte)])
        .collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |b: u8| char::from(b).to_digit(16);
    rest.is_empty().then_some(())?;
    pairs
        .iter()
        .map(|&[a, b]| Some((digit(a)? << 4 | digit(b)?) as u8))
        .collect()
}
