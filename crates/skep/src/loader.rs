//! From an object to live maps and programs, on any engine: relocate, resolve externs, make maps, load programs.
//!
//! Invariants: nothing is attached here; what fails is named with the program that needs it; a map that the engine
//! cannot make fails only the programs that can reach a use of it (the engine decides what is reachable).

use std::borrow::Cow;
use std::sync::Arc;

use skep_btf::Btf;
use skep_obj::{
    Extern, ExternKind, InitialContents, LinkedProgram, MapIdx, MapKind, MapRef, MapSpec,
    Object as ObjectData, ProgramSpec, SlotTarget,
};
use skep_spec::errno::Errno;
use skep_spec::map::MapType;
use skep_vm::trap::Line;

use crate::attach::Attach;
use crate::engine::{
    Config, Engine, Feature, LoadedProgram, MapOps, ProgramLoad, RunInput, RunOutput,
};
use crate::error::{Error, ErrorKind, NotSupported, Result};
use crate::link::Link;
use crate::maps::Map;
use crate::verify::Source;

const LD_IMM64: u8 = 0x18;
const CALL: u8 = 0x85;
const PSEUDO_MAP_VALUE: u8 = 2;
const PSEUDO_BTF_ID: u8 = 3;
const PSEUDO_KFUNC_CALL: u8 = 2;

/// A loaded object: live maps and programs. Handles taken from it stay valid after it is gone.
pub struct Object {
    engine: Arc<dyn Engine>,
    name: String,
    types: Option<Arc<Btf>>,
    maps: Vec<Map>,
    programs: Vec<Program>,
}

/// A loaded program and the engine it is loaded on.
#[derive(Clone)]
pub struct Program {
    engine: Arc<dyn Engine>,
    loaded: Arc<dyn LoadedProgram>,
    spec: Arc<ProgramSpec>,
    code: Arc<LinkedProgram>,
}

pub(crate) fn load(source: &ObjectData, engine: Arc<dyn Engine>) -> Result<Object> {
    let mut object = source.clone();
    for program in object.programs.iter().filter(|p| p.autoload) {
        check_program_type(program, engine.as_ref())?;
    }
    if object.functions.iter().any(|f| !f.core.is_empty()) {
        let targets = [engine.types()?];
        object.relocate(&targets)?;
    }
    fill_config(&mut object, engine.as_ref())?;
    let (live, missing) = make_maps(&object, engine.as_ref())?;
    let frozen =
        |map: u32, offset: u64, width: usize| frozen_value(&object.maps, map, offset, width);

    let source = Source::new(&object);
    let mut programs = Vec::new();
    for spec in object.programs.iter().filter(|p| p.autoload) {
        let mut code = object.link(spec)?;
        let kfuncs = resolve_externs(&object, &mut code, engine.as_ref())?;
        let load = ProgramLoad {
            program: &code,
            maps: &live,
            missing: &missing,
            kfuncs: &kfuncs,
            frozen: &frozen,
            types: object.btf.as_ref(),
            spec,
            source: &source,
        };
        let loaded = engine.load(&load)?;
        programs.push(Program {
            engine: engine.clone(),
            loaded,
            spec: Arc::new(spec.clone()),
            code: Arc::new(code),
        });
    }
    fill_slots(&object, &live, &programs)?;

    let maps = object
        .maps
        .iter()
        .zip(&live)
        .filter_map(|(spec, ops)| {
            Some(Map::new(
                ops.clone()?,
                Arc::new(spec.clone()),
                object.btf.clone(),
            ))
        })
        .collect();
    Ok(Object {
        engine,
        name: object.name,
        types: object.btf,
        maps,
        programs,
    })
}

fn check_program_type(program: &ProgramSpec, engine: &dyn Engine) -> Result<()> {
    let Some(program_type) = program.program_type else {
        let known = "name the section as the kernel's tools do, such as \"xdp\" or \"tracepoint/syscalls/sys_enter_openat\"";
        return Err(NotSupported {
            feature: Feature::Other(format!("section \"{}\"", program.section)),
            engine: engine.name(),
            program: Some(program.name.clone()),
            line: None,
            help: known.to_owned(),
        }
        .into());
    };
    engine
        .supports(&Feature::Program(program_type))
        .map_err(|mut refusal| {
            refusal.program = Some(program.name.clone());
            refusal.feature = Feature::Hook(program.section.trim_start_matches('?').to_owned());
            Error::from(refusal)
        })
}

/// Writes the values of `.kconfig` externs into the bytes of their map.
fn fill_config(object: &mut ObjectData, engine: &dyn Engine) -> Result<()> {
    // A file holds no bytes for these values: those that nothing sets read as zero.
    for map in &mut object.maps {
        if map.kind == MapKind::Kconfig && map.initial == InitialContents::None {
            map.initial = InitialContents::Bytes(vec![0; map.def.value_size as usize]);
        }
    }
    for index in 0..object.externs.len() {
        let ExternKind::Kconfig { map, offset, size } = object.externs[index].kind else {
            continue;
        };
        let symbol = &object.externs[index];
        let value = match engine.config(&symbol.name) {
            Some(value) => value,
            None if symbol.weak => continue,
            None => {
                return Err(ErrorKind::Unresolved {
                    program: users_of(object, index),
                    symbol: symbol.name.clone(),
                    why: format!("the {} engine does not know this option; declare it __weak to read it as 0", engine.name()),
                    line: None,
                }
                .into());
            }
        };
        let bytes = config_bytes(&value, size as usize);
        let name = symbol.name.clone();
        let place = object
            .maps
            .get_mut(map.0)
            .and_then(|map| match &mut map.initial {
                InitialContents::Bytes(all) => {
                    all.get_mut(offset as usize..(offset as usize).checked_add(bytes.len())?)
                }
                _ => None,
            });
        match place {
            Some(place) => place.copy_from_slice(&bytes),
            None => {
                return Err(ErrorKind::Input {
                    what: format!("extern `{name}`"),
                    why: "lies outside of .kconfig".to_owned(),
                }
                .into());
            }
        }
    }
    Ok(())
}

fn users_of(object: &ObjectData, symbol: usize) -> String {
    let uses = |f: &skep_obj::Function| {
        f.relocs
            .iter()
            .any(|r| matches!(r.target, skep_obj::RelocTarget::Extern(e) if e.0 == symbol))
    };
    object
        .functions
        .iter()
        .find(|f| uses(f))
        .map_or_else(|| "?".to_owned(), |f| f.name.clone())
}

pub(crate) fn config_bytes(value: &Config, size: usize) -> Vec<u8> {
    let mut bytes = match value {
        // `enum libbpf_tristate` for wide variables, the letter for `char`, truth for `bool`.
        Config::Tristate(letter) => {
            let number = match (letter, size) {
                (b'y', 4) => 1u64,
                (b'm', 4) => 2,
                (b'n', _) => 0,
                (b'y', 1) => 1,
                (letter, _) => u64::from(*letter),
            };
            number.to_le_bytes().to_vec()
        }
        Config::Number(number) => number.to_le_bytes().to_vec(),
        Config::Text(text) => {
            let mut bytes = text.clone().into_bytes();
            bytes.truncate(size.saturating_sub(1));
            bytes
        }
    };
    bytes.resize(size, 0);
    bytes
}

type MadeMaps = (Vec<Option<Arc<dyn MapOps>>>, Vec<(usize, NotSupported)>);

fn make_maps(object: &ObjectData, engine: &dyn Engine) -> Result<MadeMaps> {
    let mut made = Vec::with_capacity(object.maps.len());
    let mut missing = Vec::new();
    for (index, spec) in object.maps.iter().enumerate() {
        let spec = &fitted(spec);
        let inner = match &spec.inner {
            Some(inner) => Some(engine.create_map(inner, object.btf.as_ref(), None)?),
            None => None,
        };
        let map = match engine.create_map(spec, object.btf.as_ref(), inner.as_deref()) {
            Ok(map) => map,
            Err(error) => match error.into_kind() {
                ErrorKind::NotSupported(refusal) => {
                    missing.push((index, *refusal));
                    made.push(None);
                    continue;
                }
                other => return Err(other.into()),
            },
        };
        if let InitialContents::Bytes(bytes) = &spec.initial {
            map.update(&0u32.to_ne_bytes(), bytes, 0)
                .map_err(|e| map_error(spec, "setting the initial contents", e))?;
        }
        if spec.frozen {
            map.freeze().map_err(|e| map_error(spec, "freezing", e))?;
        }
        made.push(Some(map));
    }
    Ok((made, missing))
}

/// A ring buffer is a power of two of pages; sources may say any number, as other loaders round it up too.
pub(crate) fn fitted(spec: &MapSpec) -> Cow<'_, MapSpec> {
    const PAGE: u32 = 4096;
    let size = spec.def.max_entries;
    let ring = matches!(spec.def.map_type, MapType::Ringbuf | MapType::UserRingbuf);
    match size.max(PAGE).checked_next_power_of_two() {
        Some(whole) if ring && size != 0 && whole != size => {
            let mut spec = spec.clone();
            spec.def.max_entries = whole;
            Cow::Owned(spec)
        }
        _ => Cow::Borrowed(spec),
    }
}

fn map_error(spec: &MapSpec, call: &'static str, errno: Errno) -> Error {
    ErrorKind::Map {
        map: spec.def.name.clone(),
        call,
        errno,
        hint: None,
    }
    .into()
}

/// Reads the one value of a map that no one can change any more.
fn frozen_value(maps: &[MapSpec], map: u32, offset: u64, width: usize) -> Option<u64> {
    let spec = maps.get(map as usize)?;
    let (true, InitialContents::Bytes(bytes)) = (spec.frozen, &spec.initial) else {
        return None;
    };
    let from = usize::try_from(offset).ok()?;
    let bytes = bytes.get(from..from.checked_add(width)?)?;
    let mut value = [0; 8];
    value.get_mut(..width)?.copy_from_slice(bytes);
    Some(u64::from_le_bytes(value))
}

/// The source line of an instruction.
pub(crate) fn line_at(program: &LinkedProgram, at: usize) -> Option<Line> {
    let after = program
        .lines
        .partition_point(|line| line.insn_off as usize <= at);
    let line = program.lines.get(after.checked_sub(1)?)?;
    Some(Line {
        insn: line.insn_off as usize,
        file: Arc::from(short_path(&line.file)),
        line: line.line,
        column: line.col,
        text: Arc::from(&*line.line_text),
    })
}

/// The last two parts of a path: enough to find the file, short enough for one line.
fn short_path(path: &str) -> &str {
    let mut cuts = path.rmatch_indices('/').map(|(at, _)| at + 1);
    match (cuts.next(), cuts.next()) {
        (Some(_), Some(second)) => &path[second..],
        _ => path,
    }
}

/// Gives every extern its value in the instructions; answers the kernel functions called.
fn resolve_externs(
    object: &ObjectData,
    code: &mut LinkedProgram,
    engine: &dyn Engine,
) -> Result<Vec<(usize, String)>> {
    let mut kfuncs = Vec::new();
    for reference in code.extern_refs.clone() {
        let Some(symbol) = object.externs.get(reference.extern_.0) else {
            continue;
        };
        let at = reference.at;
        let Some(insn) = code.insns.get(at).copied() else {
            continue;
        };
        match symbol.kind {
            ExternKind::Kconfig { map, offset, .. } => set_map_value(code, at, map, offset),
            ExternKind::Kfunc if insn.code == CALL => {
                code.insns[at].src = PSEUDO_KFUNC_CALL;
                kfuncs.push((at, symbol.name.clone()));
            }
            ExternKind::Kfunc => {
                let known = engine
                    .supports(&Feature::Kfunc(symbol.name.clone()))
                    .is_ok();
                set_address(
                    code,
                    at,
                    if known {
                        1
                    } else {
                        weak_or(symbol, code, engine, at)?
                    },
                );
            }
            ExternKind::KsymTyped if engine.symbol_type(&symbol.name).is_some() => {
                let id = engine.symbol_type(&symbol.name).unwrap_or(0);
                set_address(code, at, u64::from(id));
                if let Some(insn) = code.insns.get_mut(at).filter(|insn| insn.code == LD_IMM64) {
                    insn.src = PSEUDO_BTF_ID;
                }
            }
            ExternKind::KsymTyped | ExternKind::KsymUntyped => {
                let address = match engine.symbol(&symbol.name) {
                    Some(address) => address,
                    None => weak_or(symbol, code, engine, at)?,
                };
                set_address(code, at, address);
            }
            ExternKind::Function | ExternKind::Variable => {
                return Err(ErrorKind::Unresolved {
                    program: code.name.clone(),
                    symbol: symbol.name.clone(),
                    why: "no object defines it; link the object that does".to_owned(),
                    line: line_at(code, at),
                }
                .into());
            }
        }
    }
    Ok(kfuncs)
}

fn weak_or(symbol: &Extern, code: &LinkedProgram, engine: &dyn Engine, at: usize) -> Result<u64> {
    if symbol.weak {
        return Ok(0);
    }
    Err(ErrorKind::Unresolved {
        program: code.name.clone(),
        symbol: symbol.name.clone(),
        why: format!(
            "the {} engine has no such kernel symbol; declare it __weak to read its address as 0",
            engine.name()
        ),
        line: line_at(code, at),
    }
    .into())
}

fn set_address(code: &mut LinkedProgram, at: usize, address: u64) {
    let Some([first, second]) = code
        .insns
        .get_mut(at..)
        .and_then(|rest| rest.first_chunk_mut::<2>())
    else {
        return;
    };
    if first.code == LD_IMM64 {
        (first.src, first.imm, second.imm) = (0, address as i32, (address >> 32) as i32);
    }
}

fn set_map_value(code: &mut LinkedProgram, at: usize, map: MapIdx, offset: u32) {
    let Some([first, second]) = code
        .insns
        .get_mut(at..)
        .and_then(|rest| rest.first_chunk_mut::<2>())
    else {
        return;
    };
    if first.code == LD_IMM64 {
        (first.src, first.imm, second.imm) = (PSEUDO_MAP_VALUE, map.0 as i32, offset as i32);
        code.map_refs.push(MapRef {
            at,
            map,
            value_offset: Some(offset),
        });
    }
}

/// Fills maps of maps and program arrays with what the object declares for them.
fn fill_slots(
    object: &ObjectData,
    live: &[Option<Arc<dyn MapOps>>],
    programs: &[Program],
) -> Result<()> {
    for (spec, map) in object.maps.iter().zip(live) {
        let (InitialContents::Slots(slots), Some(map)) = (&spec.initial, map) else {
            continue;
        };
        for (index, target) in slots {
            let result = match target {
                SlotTarget::Map(inner) => match live.get(inner.0).and_then(Option::as_ref) {
                    Some(inner) => map.set_map(&index.to_ne_bytes(), inner.as_ref()),
                    None => continue,
                },
                SlotTarget::Program(function) => {
                    match programs.iter().find(|p| p.spec.function == *function) {
                        Some(program) => map.set_program(*index, program.loaded.as_ref()),
                        // A program that is not loaded leaves its slot empty.
                        None => continue,
                    }
                }
            };
            result.map_err(|e| map_error(spec, "filling a slot", e))?;
        }
    }
    Ok(())
}

impl Object {
    /// The engine that the object is loaded on.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The object's own types.
    pub fn types(&self) -> Option<&Arc<Btf>> {
        self.types.as_ref()
    }

    /// Finds a map by name.
    pub fn map(&self, name: &str) -> Result<Map> {
        self.maps
            .iter()
            .find(|m| m.name() == name)
            .cloned()
            .ok_or_else(|| {
                let known = self.maps.iter().map(|m| m.name().to_owned()).collect();
                ErrorKind::NotFound {
                    what: "map",
                    name: name.to_owned(),
                    known,
                }
                .into()
            })
    }

    /// All maps, in the object's order.
    pub fn maps(&self) -> &[Map] {
        &self.maps
    }

    /// Finds a loaded program by name.
    pub fn program(&self, name: &str) -> Result<Program> {
        self.programs
            .iter()
            .find(|p| p.name() == name)
            .cloned()
            .ok_or_else(|| {
                let known = self.programs.iter().map(|p| p.name().to_owned()).collect();
                ErrorKind::NotFound {
                    what: "loaded program",
                    name: name.to_owned(),
                    known,
                }
                .into()
            })
    }

    /// The loaded programs, in the object's order.
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// Attaches each program whose section says where.
    pub fn attach_all(&self) -> Result<Vec<Box<dyn Link>>> {
        self.programs
            .iter()
            .filter(|p| p.spec.autoattach)
            .map(|p| p.attach(Attach::Auto))
            .collect()
    }
}

impl Program {
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// What the object says of the program.
    pub fn spec(&self) -> &ProgramSpec {
        &self.spec
    }

    /// The program's instructions as they were loaded.
    pub fn code(&self) -> &LinkedProgram {
        &self.code
    }

    /// The engine's side of the program.
    pub fn loaded(&self) -> &Arc<dyn LoadedProgram> {
        &self.loaded
    }

    /// Ties the program to its events until the link drops.
    pub fn attach(&self, to: impl Into<Attach>) -> Result<Box<dyn Link>> {
        self.engine.attach(&self.loaded, &to.into())
    }

    /// Runs the program on one input.
    pub fn run_once(&self, input: &RunInput<'_>) -> Result<RunOutput> {
        self.engine.run_once(self.loaded.as_ref(), input)
    }
}
