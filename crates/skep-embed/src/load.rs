//! From an object to a program that is ready to run: its types made to fit the context, its maps made, verified.
//!
//! Invariants: verifier and virtual machine get the same instructions, in which maps are named by one numbering; a plug-in
//! that needs anything that only a kernel has is refused by name.

use std::sync::Arc;

use skep_btf::Btf;
use skep_obj::{InitialContents, LinkedProgram, MapIdx, MapSpec, Object, ParseOptions};
use skep_spec::insn::{Insn, pseudo};
use skep_spec::map::MapType;
use skep_verifier::input::{FuncInfo, MapId, MapInfo, SourceLine};
use skep_verifier::{Host, Input};
use skep_vm::Map;
use skep_vm::helper::OwnHelper;
use skep_vm::map::CreateOptions;
use skep_vm::program::{FnRange, Image, Program};
use skep_vm::trap::Line;

use crate::error::{LoadError, Refused};
use crate::prove::{self, Unproven};

/// Where a plug-in comes from.
pub(crate) enum Source {
    /// An object and which of its programs.
    Object(Box<Object>, usize),
    Insns(Vec<Insn>),
}

impl Source {
    pub fn object(bytes: &[u8], program: &str) -> Result<Source, LoadError> {
        let object = Object::parse(bytes, &ParseOptions::default())?;
        let mut programs = object.programs.iter();
        let at = programs
            .position(|known| known.name == program)
            .or_else(|| {
                object
                    .programs
                    .iter()
                    .position(|known| known.section == program)
            });
        match at {
            Some(at) => Ok(Source::Object(Box::new(object), at)),
            None => Err(LoadError::NoSuchProgram {
                name: program.to_owned(),
                known: object
                    .programs
                    .iter()
                    .map(|known| known.name.clone())
                    .collect(),
            }),
        }
    }

    pub fn insns(insns: &[Insn]) -> Source {
        Source::Insns(insns.to_vec())
    }
}

/// What the host offers.
pub(crate) struct Offer {
    pub host: Arc<Host>,
    pub types: Arc<Btf>,
    pub helpers: Vec<OwnHelper>,
    pub globals: Vec<(String, Vec<u8>)>,
    pub maps: Vec<(String, Arc<dyn Map>)>,
    pub cpus: u32,
    pub sandboxed: bool,
}

/// A plug-in that is ready.
pub(crate) struct Loaded {
    pub program: Arc<Program>,
    pub maps: Vec<(String, Arc<dyn Map>)>,
}

pub(crate) fn load(source: Source, offer: &Offer) -> Result<Loaded, LoadError> {
    let (mut image, mut input) = match source {
        Source::Object(object, at) => from_object(*object, at, offer)?,
        Source::Insns(insns) => {
            if let Some((name, _)) = offer.globals.first() {
                return Err(LoadError::Host(format!(
                    "plain instructions have no global variable `{name}`"
                )));
            }
            let image = Image {
                name: offer.host.name.clone(),
                insns: insns.clone(),
                ..Image::default()
            };
            (image, Input::for_host(offer.host.clone(), insns))
        }
    };
    image.layout = Some(offer.host.context);
    image.own_helpers = offer.helpers.clone();
    input.cpus = offer.cpus;
    if let Some((name, _)) = offer
        .maps
        .iter()
        .find(|(name, _)| !image.maps.iter().any(|map| map.def().name == *name))
    {
        return Err(LoadError::Host(format!("the plug-in uses no map `{name}`")));
    }
    let maps = image
        .maps
        .iter()
        .map(|map| (map.def().name.clone(), map.clone()))
        .collect();
    let program = if offer.sandboxed {
        Program::sandboxed(image).map_err(|error| LoadError::NotSupported(error.to_string()))?
    } else {
        prove::verify(&input, image).map_err(|unproven| match unproven {
            Unproven::Refused(rejection) => LoadError::Refused(Box::new(Refused {
                lines: rejection.fault.lines.clone(),
                explanation: skep_verifier::explain::explain(&input, &rejection),
            })),
            Unproven::Differs(what) => LoadError::Host(format!(
                "{what} of the plug-in are not those that were verified"
            )),
            Unproven::NotLoadable(error) => LoadError::NotSupported(error.to_string()),
        })?
    };
    Ok(Loaded { program, maps })
}

fn from_object(mut object: Object, at: usize, offer: &Offer) -> Result<(Image, Input), LoadError> {
    for (name, value) in &offer.globals {
        object.set_global(name, value)?;
    }
    object.relocate(std::slice::from_ref(&offer.types))?;
    let program = object.programs[at].clone();
    let mut code = object.link(&program)?;
    if let Some(reference) = code.extern_refs.first() {
        let name = object
            .externs
            .get(reference.extern_.0)
            .map_or("?", |symbol| &symbol.name);
        return Err(LoadError::NotSupported(format!(
            "`{name}` is a symbol of the kernel's, which a host does not have"
        )));
    }
    let used = number_maps(&object, &mut code)?;
    let mut maps = Vec::with_capacity(used.len());
    let mut infos = Vec::with_capacity(used.len());
    for index in used {
        let spec = fitted(&object.maps[index.0]);
        maps.push(make(&spec, offer)?);
        infos.push(info(&spec));
    }
    let image = Image {
        name: code.name.clone(),
        insns: code.insns.clone(),
        maps,
        functions: code
            .functions
            .iter()
            .map(|function| FnRange {
                name: function.name.clone(),
                start: function.start,
                len: function.len,
            })
            .collect(),
        lines: lines(&code),
        poisons: code
            .poisons
            .iter()
            .map(|poison| (poison.at, poison.reason.clone()))
            .collect(),
        ..Image::default()
    };
    let mut input = Input::for_host(offer.host.clone(), code.insns.clone());
    input.name = code.name.clone();
    input.license = code.license.clone().unwrap_or_default();
    input.maps = infos;
    input.functions = functions(&code);
    if !input.functions.is_empty() {
        input.program_btf = object.btf.clone();
        input.lines = source_lines(&code);
    }
    Ok((image, input))
}

/// Names the maps that the program uses by their order of first use; answers which they are.
fn number_maps(object: &Object, code: &mut LinkedProgram) -> Result<Vec<MapIdx>, LoadError> {
    let mut used: Vec<MapIdx> = Vec::new();
    for reference in &code.map_refs {
        let broken = || {
            LoadError::NotSupported(format!(
                "the map reference at instruction {} is broken",
                reference.at
            ))
        };
        if object.maps.get(reference.map.0).is_none() {
            return Err(broken());
        }
        let place = match used.iter().position(|known| *known == reference.map) {
            Some(place) => place,
            None => {
                used.push(reference.map);
                used.len() - 1
            }
        };
        let rest = code.insns.get_mut(reference.at..);
        let Some([first, second]) = rest.and_then(|rest| rest.first_chunk_mut::<2>()) else {
            return Err(broken());
        };
        first.imm = place as i32;
        (first.src, second.imm) = match reference.value_offset {
            Some(offset) => (pseudo::MAP_VALUE, offset as i32),
            None => (pseudo::MAP_FD, 0),
        };
    }
    Ok(used)
}

/// A ring buffer is a power of two of pages; sources may say any number, as other loaders round it up too.
fn fitted(spec: &MapSpec) -> MapSpec {
    const PAGE: u32 = 4096;
    let mut spec = spec.clone();
    let ring = matches!(spec.def.map_type, MapType::Ringbuf | MapType::UserRingbuf);
    let size = spec.def.max_entries;
    if let Some(whole) = size.max(PAGE).checked_next_power_of_two()
        && ring
        && size != 0
    {
        spec.def.max_entries = whole;
    }
    spec
}

fn make(spec: &MapSpec, offer: &Offer) -> Result<Arc<dyn Map>, LoadError> {
    let def = &spec.def;
    let name = &def.name;
    if let Some((_, map)) = offer.maps.iter().find(|(shared, _)| shared == name) {
        let own = map.def();
        if (
            own.map_type,
            own.key_size,
            own.value_size,
            own.max_entries,
            own.flags,
        ) != (
            def.map_type,
            def.key_size,
            def.value_size,
            def.max_entries,
            def.flags,
        ) {
            return Err(LoadError::Host(format!(
                "map `{name}` is not of the kind and sizes that the plug-in declares"
            )));
        }
        return Ok(map.clone());
    }
    if !skep_vm::map::is_supported(def.map_type)
        || spec.inner.is_some()
        || def.map_type == MapType::ProgArray
    {
        return Err(LoadError::NotSupported(format!(
            "map `{name}` is a {}, which plug-ins do not have",
            def.map_type.name()
        )));
    }
    let options = CreateOptions {
        cpus: offer.cpus,
        ..CreateOptions::default()
    };
    let failed = |errno: skep_spec::errno::Errno| {
        LoadError::NotSupported(format!("map `{name}` cannot be made: {errno}"))
    };
    let map = skep_vm::map::create(def, &options).map_err(failed)?;
    if let InitialContents::Bytes(bytes) = &spec.initial {
        map.update_user(&0u32.to_ne_bytes(), bytes, 0)
            .map_err(failed)?;
    }
    if spec.frozen {
        map.freeze().map_err(failed)?;
    }
    Ok(map)
}

fn info(spec: &MapSpec) -> MapInfo {
    let def = &spec.def;
    let frozen = spec.frozen.then(|| {
        let mut bytes = match &spec.initial {
            InitialContents::Bytes(bytes) => bytes.clone(),
            _ => Vec::new(),
        };
        bytes.resize(def.value_size as usize, 0);
        Arc::from(bytes)
    });
    MapInfo {
        name: def.name.clone(),
        map_type: def.map_type,
        key_size: def.key_size,
        value_size: def.value_size,
        max_entries: def.max_entries,
        flags: def.flags,
        map_extra: def.map_extra,
        key_type: spec.key_type,
        value_type: spec.value_type,
        inner: None::<MapId>,
        frozen,
        user_address: 0,
    }
}

/// The function records; none if one of the functions has no type.
fn functions(code: &LinkedProgram) -> Vec<FuncInfo> {
    let record = |function: &skep_obj::FnRange| {
        Some(FuncInfo {
            insn: function.start,
            type_id: function.btf_type?,
        })
    };
    let records: Option<Vec<FuncInfo>> = code.functions.iter().map(record).collect();
    records.unwrap_or_default()
}

fn source_lines(code: &LinkedProgram) -> Vec<SourceLine> {
    let mut lines: Vec<SourceLine> = code
        .lines
        .iter()
        .map(|line| SourceLine {
            insn: line.insn_off as usize,
            file: line.file.clone(),
            text: line.line_text.clone(),
            line: line.line,
            column: line.col,
        })
        .collect();
    lines.sort_by_key(|line| line.insn);
    lines
}

fn lines(code: &LinkedProgram) -> Vec<Line> {
    source_lines(code)
        .into_iter()
        .map(|line| Line {
            insn: line.insn,
            file: line.file,
            line: line.line,
            column: line.column,
            text: line.text,
        })
        .collect()
}
