//! Proven programs against the same programs in the sandbox: result, packet bytes and map contents must agree, and what the
//! verifier accepts must never be stopped by the sandbox.
//!
//! Always: the examples. `SKEP_OBJECTS` names folders of compiled objects (with `:` between them), such as Linux's selftests
//! and libbpf's tools; what the sandbox takes and the verifier refuses is then listed on standard error.
//! `SKEP_OBJECTS_ONLY` takes a part of `object/program` to run only those.

mod frames;
mod objects;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use frames::{Sequence, any_frame};
use objects::{circumstances, contents, objects, select, tags};
use skep::engine::embedded::{EmbeddedProgram, Verify};
use skep::engine::{RunInput, RunOutput};
use skep::obj::ParseOptions;
use skep::spec::program::ProgramType;
use skep::vm::program::Limits;
use skep::vm::trap::TrapCause;
use skep::{Embedded, Engine, ErrorKind, Object, ObjectSpec};

/// Frames that a packet program sees.
const FRAMES: usize = 24;

/// What differs, and why.
const DIFFER: &[(&str, &str)] = &[
    (
        "mem_rdonly_untrusted/mixed_mem_type",
        "a bad address reads as 0 where it is known that it may be bad",
    ),
    (
        "verifier_direct_packet_access/packet_access_test17_pruning_alignment",
        ADDRESS,
    ),
    (
        "verifier_direct_packet_access/test18_imm_pkt_ptr_1",
        ADDRESS,
    ),
    (
        "verifier_direct_packet_access/test19_imm_pkt_ptr_2",
        ADDRESS,
    ),
    (
        "verifier_direct_packet_access/direct_packet_access_test4_write",
        ADDRESS,
    ),
    ("verifier_lwt/packet_write_for_lwt_xmit", ADDRESS),
    ("verifier_ref_tracking/to_leak_released_ptr_reg", ADDRESS),
    (
        "verifier_spill_fill/check_corrupted_spill_fill_lsb",
        ADDRESS,
    ),
    (
        "verifier_spill_fill/check_corrupted_spill_fill_msb",
        ADDRESS,
    ),
    ("verifier_spill_fill/check_valid_spill_fill", ADDRESS),
    ("verifier_unpriv/unpriv_return_pointer", ADDRESS),
];
const ADDRESS: &str = "it shows an address";

/// What became of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Agreed,
    Differed,
    /// It depends on time, chance or place.
    Varies,
    /// Proven, and nothing to run it on here.
    NotRunnable,
    /// The sandbox takes it, the verifier does not.
    Refused,
    /// Neither takes it.
    NotLoadable,
    /// It ran, and the sandbox stopped it.
    Stopped,
}

struct Pair {
    proven: Embedded,
    sandboxed: Embedded,
    frames: Vec<Vec<u8>>,
}

impl Pair {
    fn new() -> Pair {
        let limits = Limits {
            insns: Some(50_000_000),
            ..Limits::default()
        };
        let engine = |verify| {
            Embedded::builder()
                .limits(limits.clone())
                .verify(verify)
                .build()
        };
        let mut seq = Sequence::new(0x9707);
        Pair {
            proven: engine(Verify::Require),
            sandboxed: engine(Verify::Never),
            frames: (0..FRAMES).map(|_| any_frame(&mut seq)).collect(),
        }
    }

    fn inputs(&self, kind: Option<ProgramType>) -> Vec<RunInput<'_>> {
        const ZEROES: [u8; 256] = [0; 256];
        let one = |data, ctx| RunInput {
            data,
            ctx,
            repeat: 1,
        };
        match kind {
            Some(ProgramType::Syscall) => vec![one(&[], &ZEROES)],
            Some(ProgramType::RawTracepoint) => vec![one(&[], &ZEROES[..96])],
            Some(kind) if kind.has_packet_access() || kind == ProgramType::SocketFilter => {
                let frames = self.frames.iter().map(|frame| one(&frame[..], &[]));
                std::iter::once(one(&ZEROES[..64], &[]))
                    .chain(frames)
                    .collect()
            }
            _ => vec![one(&[], &[])],
        }
    }

    /// One program on both.
    fn run(&self, spec: &ObjectSpec, name: &str, kind: Option<ProgramType>) -> (Fate, String) {
        let checked = match spec.load(&self.sandboxed) {
            Ok(object) => object,
            Err(error) => return (Fate::NotLoadable, error.to_string()),
        };
        let proven = match spec.load(&self.proven) {
            Ok(object) => object,
            Err(error) => {
                let why = match error.kind() {
                    ErrorKind::Refused(refused) => refused.lines.join(" | "),
                    _ => error.to_string(),
                };
                return (Fate::Refused, why);
            }
        };
        let is_proven = |object: &Object| {
            let program = object.program(name).expect("it was selected");
            let loaded = program.loaded().as_any().downcast_ref::<EmbeddedProgram>();
            loaded.is_some_and(EmbeddedProgram::is_proven)
        };
        assert!(is_proven(&proven) && !is_proven(&checked), "{name}");
        let go = |object: &Object, input: &RunInput<'_>| -> Result<RunOutput, skep::Error> {
            object.program(name)?.run_once(input)
        };
        for (number, input) in self.inputs(kind).iter().enumerate() {
            let told = |what: String| format!("input {number}: {what}");
            let (checked, proven) = (go(&checked, input), go(&proven, input));
            let (checked, proven) = match (checked, proven) {
                (Ok(checked), Ok(proven)) => (checked, proven),
                (Err(checked), _) if is_cut_short(&checked) => {
                    return (Fate::Varies, told(checked.to_string()));
                }
                (Err(checked), Err(_)) if !matches!(checked.kind(), ErrorKind::Trap(_)) => {
                    return (Fate::NotRunnable, told(checked.to_string()));
                }
                (Err(checked), _) => return (Fate::Stopped, told(checked.to_string())),
                (Ok(_), Err(proven)) => return (Fate::Differed, told(proven.to_string())),
            };
            if checked.retval != proven.retval {
                let both = format!("r0 is {:#x}, proven {:#x}", checked.retval, proven.retval);
                return (Fate::Differed, told(both));
            }
            if checked.data != proven.data || checked.ctx != proven.ctx {
                return (Fate::Differed, told("packet or context".to_owned()));
            }
        }
        let cpus = self.proven.cpus() as usize;
        let (a, b) = (contents(&checked, cpus), contents(&proven, cpus));
        match a.iter().find(|(map, entries)| b.get(*map) != Some(entries)) {
            Some((map, _)) => (Fate::Differed, format!("map {map}")),
            None => (Fate::Agreed, String::new()),
        }
    }
}

/// Whether a run was ended for its length.
fn is_cut_short(error: &skep::Error) -> bool {
    matches!(error.kind(), ErrorKind::Trap(trap) if matches!(trap.cause, TrapCause::Budget { .. }))
}

/// All programs of one object.
fn each(pair: &Pair, path: &Path, only: &str, mut tell: impl FnMut(String, Fate, String)) {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let object = file.split('.').next().unwrap_or(&file).to_owned();
    let options = ParseOptions {
        name: object.clone(),
        legacy_maps: true,
    };
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let Ok(spec) = ObjectSpec::parse_with(&bytes, &options) else {
        return;
    };
    let tags = spec.object().btf.as_deref().map(tags).unwrap_or_default();
    // A plug-in of some other host has no kind.
    let programs = spec.programs().iter().filter(|p| p.program_type.is_some());
    for program in programs {
        let name = format!("{object}/{}", program.name);
        if !name.contains(only) {
            continue;
        }
        let function = &spec.object().functions[program.function.0];
        let words = function.btf_type.and_then(|id| tags.get(&id));
        if words.is_some_and(|words| words.iter().any(|word| word == "test_expect_failure")) {
            continue;
        }
        let chosen = select(&spec, &program.name);
        let (fate, why) = pair.run(&chosen, &program.name, program.program_type);
        let fate = match fate {
            Fate::Differed if circumstances(&spec, program) => Fate::Varies,
            Fate::Differed | Fate::Stopped if DIFFER.iter().any(|(of, _)| *of == name) => {
                Fate::Varies
            }
            fate => fate,
        };
        tell(name, fate, why);
    }
}

#[test]
fn the_examples_are_proven() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let pair = Pair::new();
    let mut count = 0;
    for example in std::fs::read_dir(folder).expect("examples").flatten() {
        let texts = std::fs::read_dir(example.path()).into_iter().flatten();
        for path in texts.flatten().map(|entry| entry.path()) {
            if path.extension().is_none_or(|ending| ending != "s") {
                continue;
            }
            each(&pair, &path, "", |name, fate, why| {
                count += 1;
                let good = matches!(fate, Fate::Agreed | Fate::Varies | Fate::NotRunnable);
                assert!(good, "{name}: {fate:?}: {why}");
            });
        }
    }
    assert!(count >= 4, "{count} programs");
}

#[test]
fn programs_of_others_run_proven_as_in_the_sandbox() {
    let Some(folders) = std::env::var_os("SKEP_OBJECTS") else {
        eprintln!("skipped: SKEP_OBJECTS names no folders of compiled objects");
        return;
    };
    let only = std::env::var("SKEP_OBJECTS_ONLY").unwrap_or_default();
    let pair = Pair::new();
    let mut count = BTreeMap::<Fate, usize>::new();
    let mut wrong = Vec::new();
    let folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    for path in folders.iter().flat_map(|folder| objects(folder)) {
        each(&pair, &path, &only, |name, fate, why| {
            *count.entry(fate).or_default() += 1;
            if fate == Fate::Refused {
                eprintln!("{name}: {why}");
            }
            if matches!(fate, Fate::Differed | Fate::Stopped) {
                wrong.push(format!("{name}: {fate:?}: {why}"));
            }
        });
    }
    eprintln!("{count:?}");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        count.get(&Fate::Agreed).is_some_and(|&n| n > 0),
        "{count:?}"
    );
}
