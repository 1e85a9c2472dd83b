//! From an object to what the verifier reads, for a kernel that need not be this machine's: relocate, supply externs,
//! lay out maps, find what a program attaches to.
//!
//! Invariants: no system call is made and no engine is asked; what a loader would do before the kernel sees a program is
//! done here in the same way, and what would keep it from loading is an error that says so. Maps keep the object's
//! indices; templates of maps of maps come after them.

use std::collections::HashMap;
use std::sync::Arc;

use skep_btf::build::TypeDef;
use skep_btf::ty::Linkage as BtfLinkage;
use skep_btf::{Btf, Builder, TypeId};
use skep_obj::{Linkage, LinkedProgram, MapKind, ObjError, Object, ProgramSpec};
use skep_spec::program::{AttachType, ProgramType, flags};
use skep_verifier::Input;
use skep_verifier::input::{AttachTarget, Caps, FuncInfo, MapInfo, SourceLine};

mod attach;
mod externs;
mod kernels;
mod linked;
mod maps;
mod target;

pub use kernels::{embedded_profile, types_of};
pub use linked::Source;
pub use target::TargetKernel;

/// Why a program cannot be handed to a verifier: a loader would have given up before.
#[derive(Debug)]
#[non_exhaustive]
pub enum NotLoadable {
    /// The object cannot be relocated or linked.
    Object(ObjError),
    /// The section does not say what kind of program it is.
    Section(String),
    /// The kernel has no such symbol, option or function.
    Symbol { name: String, why: String },
    /// The kernel has nothing of that name to attach to.
    AttachTarget { name: String, why: String },
    /// The object's types are broken.
    Types(skep_btf::BtfError),
}

impl std::fmt::Display for NotLoadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotLoadable::Object(error) => error.fmt(f),
            NotLoadable::Section(section) => {
                write!(f, "section \"{section}\" names no kind of program")
            }
            NotLoadable::Symbol { name, why } => write!(f, "symbol `{name}`: {why}"),
            NotLoadable::AttachTarget { name, why } => write!(f, "attach target `{name}`: {why}"),
            NotLoadable::Types(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NotLoadable {}

impl From<ObjError> for NotLoadable {
    fn from(error: ObjError) -> NotLoadable {
        NotLoadable::Object(error)
    }
}

impl From<skep_btf::BtfError> for NotLoadable {
    fn from(error: skep_btf::BtfError) -> NotLoadable {
        NotLoadable::Types(error)
    }
}

/// How a program is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Who loads it. Without [`Caps::bpf`] no types reach the kernel.
    pub caps: Caps,
    /// `BPF_F_*` on top of those that the section asks for.
    pub flags: u32,
    /// Bits as bpf(2) takes them.
    pub log_level: u32,
    /// Maps that are not created, by index: their uses become calls that no kernel accepts.
    pub absent_maps: Vec<usize>,
    /// Instead of what the section says.
    pub program_type: Option<(ProgramType, Option<AttachType>)>,
}

impl Default for LoadOptions {
    fn default() -> LoadOptions {
        LoadOptions {
            caps: Caps::ALL,
            flags: 0,
            log_level: 0,
            absent_maps: Vec::new(),
            program_type: None,
        }
    }
}

/// An object that fits one kernel: relocated, its configuration values set.
#[derive(Clone, Debug)]
pub struct Prepared {
    object: Object,
    /// The object's types as the kernel gets them.
    types: Option<Arc<Btf>>,
    kernel: TargetKernel,
    /// `.kconfig` cannot be filled: the reason, for programs that use it.
    config_gap: Option<(String, String)>,
}

impl Prepared {
    /// Makes the object fit that kernel.
    pub fn new(object: &Object, kernel: &TargetKernel) -> Result<Prepared, NotLoadable> {
        let mut object = object.clone();
        object.relocate(&kernel.btfs)?;
        let config_gap = externs::fill_config(&mut object, kernel);
        let types = hidden_as_static(&object)?;
        Ok(Prepared {
            object,
            types,
            kernel: kernel.clone(),
            config_gap,
        })
    }

    /// With these kernel types for everything but the relocations, which are done.
    #[must_use]
    pub fn with_types(mut self, btfs: Vec<Arc<Btf>>) -> Prepared {
        self.kernel.btfs = btfs;
        self
    }

    /// The relocated object.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// The verifier's input for one program.
    pub fn input(&self, program: &ProgramSpec, load: &LoadOptions) -> Result<Input, NotLoadable> {
        let object = &self.object;
        let mut code = object.link(program)?;
        if let Some((name, why)) = &self.config_gap
            && code.map_refs.iter().any(|reference| {
                object
                    .maps
                    .get(reference.map.0)
                    .is_some_and(|map| map.kind == MapKind::Kconfig)
            })
        {
            return Err(NotLoadable::Symbol {
                name: name.clone(),
                why: why.clone(),
            });
        }
        externs::resolve(object, &mut code, &self.kernel)?;
        maps::foreign_descriptors(&mut code);
        maps::poison_absent(&mut code, &load.absent_maps);
        let (program_type, attach_type) = match load.program_type {
            Some(asked) => asked,
            None => (
                program
                    .program_type
                    .ok_or_else(|| NotLoadable::Section(program.section.clone()))?,
                program.attach_type,
            ),
        };
        let parts = Parts {
            program,
            code,
            kind: (program_type, attach_type),
            target: attach::target(object, program, program_type, attach_type, &self.kernel)?,
            maps: maps::infos(object, &self.kernel, load.caps.bpf),
            types: self.types.as_ref().filter(|_| load.caps.bpf),
        };
        parts.input(&self.kernel, load)
    }
}

/// A program that is linked and whose externs have their values.
struct Parts<'a> {
    program: &'a ProgramSpec,
    code: LinkedProgram,
    kind: (ProgramType, Option<AttachType>),
    target: Option<AttachTarget>,
    maps: Vec<MapInfo>,
    /// The object's types as the kernel gets them.
    types: Option<&'a Arc<Btf>>,
}

impl Parts<'_> {
    fn input(self, kernel: &TargetKernel, load: &LoadOptions) -> Result<Input, NotLoadable> {
        let (program, code) = (self.program, self.code);
        let functions = match self.types {
            Some(_) => function_records(&code)?,
            None => Vec::new(),
        };
        let has_records = !functions.is_empty();
        let mut flags = program.flags | load.flags;
        if program.sleepable {
            flags |= flags::SLEEPABLE;
        }
        Ok(Input {
            name: kernel_name(&program.name),
            program_type: self.kind.0,
            attach_type: self.kind.1,
            target: self.target,
            host: None,
            license: code.license.clone().unwrap_or_default(),
            maps: self.maps,
            btfs: kernel.btfs.clone(),
            program_btf: self.types.cloned(),
            functions,
            lines: if has_records {
                source_lines(&code)
            } else {
                Vec::new()
            },
            flags,
            caps: load.caps,
            profile: kernel.profile.clone(),
            log_level: load.log_level,
            kern_version: code.kern_version.unwrap_or(0),
            cpus: kernel.cpus,
            insns: code.insns,
        })
    }
}

/// What the kernel keeps of a name.
fn kernel_name(name: &str) -> String {
    let mut end = name.len().min(skep_spec::limits::NAME_LEN - 1);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

/// The object's types in which hidden functions are static, as loaders declare them to the kernel: the verifier then looks
/// at each call of them instead of at the function by itself.
fn hidden_as_static(object: &Object) -> Result<Option<Arc<Btf>>, NotLoadable> {
    let Some(btf) = &object.btf else {
        return Ok(None);
    };
    let entries: Vec<usize> = object.programs.iter().map(|p| p.function.0).collect();
    let hidden = |(at, function): (usize, &skep_obj::Function)| {
        let id = function
            .btf_type
            .filter(|_| function.linkage == Linkage::Static && !entries.contains(&at))?;
        let global = matches!(
            btf.ty(id),
            Ok(skep_btf::Ty::Func {
                linkage: BtfLinkage::Global,
                ..
            })
        );
        global.then_some(id)
    };
    let hidden: Vec<TypeId> = object
        .functions
        .iter()
        .enumerate()
        .filter_map(hidden)
        .collect();
    if hidden.is_empty() {
        return Ok(Some(btf.clone()));
    }
    let mut builder = Builder::new();
    builder.set_endian(btf.endian());
    for id in btf.own_ids() {
        let nothing = TypeDef::Struct {
            name: String::new(),
            size: 0,
            members: Vec::new(),
        };
        let mut def = TypeDef::of(&btf.ty(id)?).unwrap_or(nothing);
        if let TypeDef::Func { linkage, .. } = &mut def
            && hidden.contains(&id)
        {
            *linkage = BtfLinkage::Static;
        }
        builder.add(def);
    }
    Ok(Some(Arc::new(builder.into_btf()?)))
}

/// The function records; none if the program itself has no type.
fn function_records(code: &LinkedProgram) -> Result<Vec<FuncInfo>, NotLoadable> {
    let mut records = Vec::with_capacity(code.functions.len());
    for function in &code.functions {
        match function.btf_type {
            Some(type_id) => records.push(FuncInfo {
                insn: function.start,
                type_id,
            }),
            None if records.is_empty() => return Ok(records),
            None => {
                return Err(NotLoadable::Symbol {
                    name: function.name.clone(),
                    why: "the function has no type, although the program has one".into(),
                });
            }
        }
    }
    Ok(records)
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

/// The verifier's answer for every program of an object, in the object's order.
pub fn verify_object(
    object: &Object,
    kernel: &TargetKernel,
    load: &LoadOptions,
) -> Result<Vec<(String, Answer)>, NotLoadable> {
    let prepared = Prepared::new(object, kernel)?;
    let answers = prepared.object.programs.iter().map(|program| {
        let answer = match prepared.input(program, load) {
            Ok(input) => match skep_verifier::verify(&input) {
                Ok(verified) => Answer::Verified(Box::new(verified)),
                Err(rejection) => Answer::Rejected(rejection),
            },
            Err(why) => Answer::NotLoadable(why),
        };
        (program.name.clone(), answer)
    });
    Ok(answers.collect())
}

/// What became of one program.
#[derive(Debug)]
pub enum Answer {
    Verified(Box<skep_verifier::Verified>),
    Rejected(Box<skep_verifier::Rejection>),
    /// It never reaches the verifier.
    NotLoadable(NotLoadable),
}

/// Values by option name, as a kernel's `config` file holds them.
pub(crate) type Options = HashMap<String, String>;

#[cfg(test)]
mod tests;
