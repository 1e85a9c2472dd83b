//! An object before it is loaded: inert, editable, checked against its own types.
//!
//! Invariant: nothing here makes a system call; loading works on a copy, so that one spec can be loaded many times.

use std::collections::HashSet;

use skep_obj::{
    FnIdx, InitialContents, Object as ObjectData, ParseOptions, ProgramSpec, RelocTarget,
    SlotTarget,
};

use crate::engine::Engine;
use crate::error::{ErrorKind, Result};
use crate::loader::{self, Object};

/// Programs, maps and globals of an object file, before loading.
#[derive(Clone, Debug)]
pub struct ObjectSpec {
    object: ObjectData,
}

impl From<ObjectData> for ObjectSpec {
    fn from(object: ObjectData) -> ObjectSpec {
        ObjectSpec { object }
    }
}

impl ObjectSpec {
    /// Reads an ELF object or its text form.
    pub fn parse(bytes: &[u8]) -> Result<ObjectSpec> {
        ObjectSpec::parse_with(bytes, &ParseOptions::default())
    }

    /// The same with a name for messages and other choices.
    pub fn parse_with(bytes: &[u8], options: &ParseOptions) -> Result<ObjectSpec> {
        Ok(ObjectSpec {
            object: ObjectData::parse(bytes, options)?,
        })
    }

    /// The object as data.
    pub fn object(&self) -> &ObjectData {
        &self.object
    }

    /// The same, to edit.
    pub fn object_mut(&mut self) -> &mut ObjectData {
        &mut self.object
    }

    /// The programs, in file order.
    pub fn programs(&self) -> &[ProgramSpec] {
        &self.object.programs
    }

    /// Finds a program by name, to edit it.
    pub fn program(&mut self, name: &str) -> Result<&mut ProgramSpec> {
        match self.object.programs.iter().position(|p| p.name == name) {
            Some(index) => Ok(&mut self.object.programs[index]),
            None => Err(ErrorKind::NotFound {
                what: "program",
                name: name.to_owned(),
                known: self.program_names(),
            }
            .into()),
        }
    }

    fn program_names(&self) -> Vec<String> {
        self.object
            .programs
            .iter()
            .map(|p| p.name.clone())
            .collect()
    }

    /// Loads only the programs of these names, and those that they can tail-call through the initial slots of their maps.
    pub fn select(&mut self, names: &[impl AsRef<str>]) -> Result<()> {
        // Programs that the object leaves out (`SEC("?xdp")`) come in by their own name only.
        let mut usual = HashSet::new();
        for program in &mut self.object.programs {
            if std::mem::take(&mut program.autoload) {
                usual.insert(program.function);
            }
        }
        for name in names {
            self.program(name.as_ref())?.autoload = true;
        }
        let reached = self.reached();
        for program in &mut self.object.programs {
            program.autoload |=
                reached.contains(&program.function) && usual.contains(&program.function);
        }
        Ok(())
    }

    /// The functions that the programs to be loaded reach by calls and by the slots of program arrays.
    fn reached(&self) -> HashSet<FnIdx> {
        let first = self.object.programs.iter().filter(|p| p.autoload);
        let mut open: Vec<FnIdx> = first.map(|p| p.function).collect();
        let mut seen: HashSet<FnIdx> = open.iter().copied().collect();
        let mut maps_seen = HashSet::new();
        while let Some(index) = open.pop() {
            let Some(function) = self.object.functions.get(index.0) else {
                continue;
            };
            let mut maps = Vec::new();
            for reloc in &function.relocs {
                match reloc.target {
                    RelocTarget::Call(to) | RelocTarget::FuncAddr(to) if seen.insert(to) => {
                        open.push(to)
                    }
                    RelocTarget::Map(map) => maps.push(map),
                    _ => {}
                }
            }
            while let Some(map) = maps.pop() {
                let spec = self
                    .object
                    .maps
                    .get(map.0)
                    .filter(|_| maps_seen.insert(map));
                let Some(InitialContents::Slots(slots)) = spec.map(|spec| &spec.initial) else {
                    continue;
                };
                for (_, target) in slots {
                    match *target {
                        SlotTarget::Map(inner) => maps.push(inner),
                        SlotTarget::Program(to) if seen.insert(to) => open.push(to),
                        SlotTarget::Program(_) => {}
                    }
                }
            }
        }
        seen
    }

    /// A global variable, to set before loading.
    pub fn global(&mut self, name: &str) -> Result<Global<'_>> {
        self.object.global(name)?;
        Ok(Global {
            object: &mut self.object,
            name: name.to_owned(),
        })
    }

    /// Relocates the object against the engine's types, makes its maps and loads its programs.
    pub fn load<E: Engine + Clone + 'static>(&self, engine: &E) -> Result<Object> {
        loader::load(&self.object, std::sync::Arc::new(engine.clone()))
    }

    /// The same on an engine that is chosen at run time.
    pub fn load_on(&self, engine: &std::sync::Arc<dyn Engine>) -> Result<Object> {
        loader::load(&self.object, engine.clone())
    }
}

/// A global variable of an object that is not loaded yet.
#[derive(Debug)]
pub struct Global<'a> {
    object: &'a mut ObjectData,
    name: String,
}

impl Global<'_> {
    /// Sets the variable; the value must have exactly its size.
    pub fn set<T: zerocopy::IntoBytes + zerocopy::Immutable>(&mut self, value: &T) -> Result<()> {
        Ok(self.object.set_global(&self.name, value.as_bytes())?)
    }

    /// Sets the variable from text, read by its type: `10`, `-1`, `0xff`, `true`, `"text"`, an enumerator's name.
    pub fn set_text(&mut self, text: &str) -> Result<()> {
        Ok(self.object.set_global_text(&self.name, text)?)
    }
}
