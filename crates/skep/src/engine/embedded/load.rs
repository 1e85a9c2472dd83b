//! From a relocated program to one that the virtual machine runs.
//!
//! Invariants: whatever the program can reach and the engine does not model is refused here, by name and source line;
//! what it provably cannot reach is replaced by an instruction that traps; a program runs without checks only if the
//! verifier has accepted it.

use std::any::Any;
use std::sync::Arc;

use skep_obj::LinkedProgram;
use skep_spec::context;
use skep_spec::insn::Insn;
use skep_spec::program::{AttachType, ProgramType};
use skep_verifier::{Fault, Input};
use skep_vm::JitOptions;
use skep_vm::program::{FnRange, Image, LoadError, Program};

use super::hook::{self, Hook};
use super::map::EmbeddedMap;
use super::prove::{self, Verify};
use super::{Embedded, NAME, reach, refusal};
use crate::engine::{Feature, LoadedProgram, ProgramLoad};
use crate::error::{Error, ErrorKind, NotSupported, Result};
use crate::loader::line_at;

const CALL: u8 = 0x85;
const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;

/// A program of the embedded engine.
pub struct EmbeddedProgram {
    program: Arc<Program>,
    /// Bytes of the context, as the program sees it, that it may touch; 0 where nobody knows.
    context_bytes: usize,
    hook: Hook,
    name: String,
    program_type: Option<ProgramType>,
    attach_type: Option<AttachType>,
    attach_to: Option<String>,
    flags: u32,
}

impl EmbeddedProgram {
    /// The virtual machine's program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Whether it was proven safe and runs without checks.
    pub fn is_proven(&self) -> bool {
        self.program.is_proven()
    }

    /// Bytes of the context that the program may touch, as far as the verifier has seen.
    pub(super) fn context_bytes(&self) -> usize {
        self.context_bytes
    }

    /// `BPF_F_*` of its load.
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// The place that its section names.
    pub fn hook(&self) -> &Hook {
        &self.hook
    }
}

impl LoadedProgram for EmbeddedProgram {
    fn name(&self) -> &str {
        &self.name
    }

    fn program_type(&self) -> Option<ProgramType> {
        self.program_type
    }

    fn attach_type(&self) -> Option<AttachType> {
        self.attach_type
    }

    fn attach_to(&self) -> Option<&str> {
        self.attach_to.as_deref()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Verifies a program that was made without an object and prepares it to run without checks. `input` and `image` must be of
/// the same program: the same instructions, maps in the same order, a context of the program's type; and the input for
/// the embedded engine ([`crate::verify::embedded_profile`]).
pub fn prove(
    input: &Input,
    image: Image,
) -> std::result::Result<Arc<Program>, Box<skep_verifier::Rejection>> {
    let refuse = |what: &str| {
        Box::new(skep_verifier::Rejection {
            fault: Fault::new(22, "verifier-input", what),
            stats: skep_verifier::Stats::default(),
            log: String::new(),
        })
    };
    prove::differs(input, &image).map_err(refuse)?;
    let verified = skep_verifier::verify(input)?;
    let places: Vec<Option<usize>> = (0..image.maps.len()).map(Some).collect();
    let proof = skep_embed::prove::proof(&verified, &image, &places);
    // SAFETY: the verifier has accepted these instructions by the rules of the embedded profile, with this context, over
    // maps of these kinds and sizes: `differs` compared them. Its facts hold in every run with such a context; others do
    // not start.
    let program = unsafe { Program::proven(image, proof) };
    program.map_err(|error| refuse(&error.to_string()))
}

/// Whether the virtual machine has a helper.
pub(super) fn has_helper(id: u32) -> bool {
    skep_vm::helper::table().any(|(known, _)| known == id)
}

/// Whether the virtual machine has a kernel function.
pub(super) fn has_kfunc(name: &str) -> bool {
    skep_vm::helper::kfunc::by_name(name).is_some()
}

/// Something in the program that can only stay if it is never reached.
struct Obstacle {
    at: usize,
    feature: Feature,
    help: String,
}

pub(super) fn load(engine: &Embedded, load: &ProgramLoad<'_>) -> Result<Arc<dyn LoadedProgram>> {
    let code = load.program;
    let hook = hook::recognise(
        code.program_type,
        code.attach_type,
        code.attach_to.as_deref(),
    )
    .map_err(|refusal| NotSupported {
        program: Some(code.name.clone()),
        ..refusal
    })?;
    let obstacles = obstacles(load);
    let mut poisons = Vec::new();
    if !obstacles.is_empty() {
        let marks = reach::reachable(&code.insns, load.frozen);
        for obstacle in obstacles {
            if marks.get(obstacle.at).copied().unwrap_or(true) {
                return Err(NotSupported {
                    program: Some(code.name.clone()),
                    line: line_at(code, obstacle.at).map(Box::new),
                    ..refusal(obstacle.feature, obstacle.help)
                }
                .into());
            }
            poisons.push((obstacle.at, obstacle.feature.to_string()));
        }
        poisons.sort();
        poisons.dedup_by_key(|(at, _)| *at);
    }
    let verified = match engine.verify() {
        Verify::Never => None,
        policy => match prove::verify(engine, load) {
            Ok(verified) => Some(verified),
            Err(unproven) if policy == Verify::Prefer => {
                engine.note(format!(
                    "program `{}` runs in the sandbox: the verifier refuses it: {}",
                    code.name,
                    unproven.why()
                ));
                None
            }
            Err(unproven) => return Err(unproven.into_error(&code.name)),
        },
    };
    let (image, places) = image(load, poisons)?;
    let program = match &verified {
        None => Program::sandboxed(image),
        Some(verified) => {
            let proof = skep_embed::prove::proof(verified, &image, &places);
            // SAFETY: only the verifier makes a `Verified`. This one is of the instructions in `image`, which differ from those
            // verified in the names of maps and kernel functions alone, over maps of the same kinds and sizes (`Source::input`),
            // by the rules of the embedded profile: contexts, helpers and types are those of the virtual machine. Its facts hold
            // in every run with a context of the image's layout; a run with less context than was relied on does not start.
            unsafe { Program::proven(image, proof) }
        }
    };
    let program = program.map_err(|error| explain(code, error))?;
    if engine.compiles()
        && let Err(why) = program.compile(&JitOptions::default())
    {
        engine.note(format!("program `{}`: {why}", code.name));
    }
    Ok(Arc::new(EmbeddedProgram {
        program,
        context_bytes: verified.map_or(0, |verified| verified.context_bytes as usize),
        hook,
        name: code.name.clone(),
        program_type: code.program_type,
        attach_type: code.attach_type,
        attach_to: code.attach_to.clone(),
        flags: code.flags,
    }))
}

fn obstacles(load: &ProgramLoad<'_>) -> Vec<Obstacle> {
    let code = load.program;
    let mut found = Vec::new();
    for poison in &code.poisons {
        // "struct a.b does not exist in the target: why": the name is the feature, the rest says more.
        let (name, why) = poison
            .reason
            .split_once(" does not exist in the target: ")
            .unwrap_or((&poison.reason, ""));
        let guard =
            "its types hold only what it really models; guard the use with bpf_core_field_exists()";
        let help = if why.is_empty() {
            guard.to_owned()
        } else {
            format!("{why}; {guard}")
        };
        found.push(Obstacle {
            at: poison.at,
            feature: Feature::Type(name.to_owned()),
            help,
        });
    }
    let poisoned = |at: usize| code.poisons.iter().any(|p| p.at == at);
    for (at, insn) in code.insns.iter().enumerate() {
        // A call slot is never the second slot of a ld_imm64: that has code 0.
        if insn.code == CALL && insn.src == 0 && !poisoned(at) && !has_helper(insn.imm as u32) {
            found.push(Obstacle {
                at,
                feature: Feature::Helper(insn.imm as u32),
                help: String::new(),
            });
        }
    }
    for (at, name) in load.kfuncs {
        if !has_kfunc(name) {
            found.push(Obstacle {
                at: *at,
                feature: Feature::Kfunc(name.clone()),
                help: String::new(),
            });
        }
    }
    for reference in &code.map_refs {
        if let Some(None) = load.maps.get(reference.map.0) {
            let missing = load.missing.iter().find(|(map, _)| *map == reference.map.0);
            let (feature, help) = match missing {
                Some((_, refusal)) => (refusal.feature.clone(), refusal.help.clone()),
                None => (
                    Feature::Other(format!("map {}", reference.map.0)),
                    String::new(),
                ),
            };
            found.push(Obstacle {
                at: reference.at,
                feature,
                help,
            });
        }
    }
    found
}

/// The image, and where the object's maps are in it.
fn image(
    load: &ProgramLoad<'_>,
    poisons: Vec<(usize, String)>,
) -> Result<(Image, Vec<Option<usize>>)> {
    let code = load.program;
    let mut insns = code.insns.clone();
    let mut maps = Vec::new();
    let mut places: Vec<Option<usize>> = vec![None; load.maps.len()];
    let malformed = |why: String| {
        Error::from(ErrorKind::Malformed {
            program: code.name.clone(),
            why,
        })
    };
    for reference in &code.map_refs {
        let Some([first, second]) = insns
            .get_mut(reference.at..)
            .and_then(|rest| rest.first_chunk_mut::<2>())
        else {
            return Err(malformed(format!(
                "the map reference at instruction {} lies outside",
                reference.at
            )));
        };
        let Some(map) = load.maps.get(reference.map.0).and_then(Option::as_ref) else {
            // Proven unreachable by the caller.
            (first.src, first.imm, second.imm) = (0, 0, 0);
            continue;
        };
        let map = map.as_any().downcast_ref::<EmbeddedMap>();
        let map = map.ok_or_else(|| malformed("its maps belong to another engine".to_owned()))?;
        let place = *places[reference.map.0].get_or_insert_with(|| {
            maps.push(map.map().clone());
            maps.len() - 1
        });
        first.imm = place as i32;
        (first.src, second.imm) = match reference.value_offset {
            Some(offset) => (PSEUDO_MAP_VALUE, offset as i32),
            None => (PSEUDO_MAP_FD, 0),
        };
    }
    for (at, _) in &poisons {
        // The trap stands in `poisons`; the instruction itself must only be valid.
        if let Some(insn) = insns.get_mut(*at).filter(|insn| insn.code == CALL) {
            *insn = Insn {
                code: CALL,
                dst: 0,
                src: 0,
                off: 0,
                imm: 0,
            };
        }
    }
    let layout = code
        .program_type
        .map(|program_type| context::for_program(program_type, code.attach_type));
    let image = Image {
        name: code.name.clone(),
        insns,
        maps,
        functions: code
            .functions
            .iter()
            .map(|f| FnRange {
                name: f.name.clone(),
                start: f.start,
                len: f.len,
            })
            .collect(),
        lines: lines(code),
        program_type: code.program_type,
        layout,
        kfuncs: load.kfuncs.to_vec(),
        poisons,
        symbols: Vec::new(),
        own_helpers: Vec::new(),
    };
    Ok((image, places))
}

fn lines(code: &LinkedProgram) -> Vec<skep_vm::trap::Line> {
    code.lines
        .iter()
        .filter_map(|line| line_at(code, line.insn_off as usize))
        .collect()
}

fn explain(code: &LinkedProgram, error: LoadError) -> Error {
    let (at, feature) = match &error {
        LoadError::UnknownHelper { pc, id } => (*pc, Feature::Helper(*id)),
        LoadError::UnknownKfunc { pc, name } => (*pc, Feature::Kfunc(name.clone())),
        LoadError::NotSupported { pc, what } => (*pc, Feature::Other(what.clone())),
        LoadError::Malformed { .. } => {
            return ErrorKind::Malformed {
                program: code.name.clone(),
                why: error.to_string(),
            }
            .into();
        }
    };
    NotSupported {
        feature,
        engine: NAME,
        program: Some(code.name.clone()),
        line: line_at(code, at).map(Box::new),
        help: String::new(),
    }
    .into()
}
