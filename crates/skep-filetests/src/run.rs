//! The verb `run`: the file is an object in text; each case runs it on every target, which must all answer the same.
//!
//! Targets: `interp` (the embedded engine, proven where the program verifies), `proven` (refused where it does not),
//! `sandboxed` (never verified), `jit-x64` and `jit-a64` (compiled, proven where the program verifies), the same with
//! `-sandboxed`, and `kernel` (Linux through bpf(2)).
//!
//! Invariant: a file for `interp` runs on `sandboxed` and compiled too, so that checked and unchecked, interpreted and
//! compiled runs answer the same lines.

use std::sync::Arc;

use skep::engine::embedded::Verify;
use skep::engine::{Engine, RunInput};
use skep::{Embedded, ErrorKind, Kernel, ObjectSpec};
use skep_vm::jit::Arch;

use crate::Report;
use crate::directive::{Case, File, Outcome};

/// An engine by the name that the files use.
pub struct Target {
    name: &'static str,
    /// Answers 32 bits of r0.
    narrow: bool,
    make: fn() -> Result<Arc<dyn Engine>, skep::Error>,
}

/// The targets that this machine has; what is missing is reported once.
pub fn targets(report: &mut Report) -> Vec<Target> {
    let embedded = |name, make| Target {
        name,
        narrow: false,
        make,
    };
    let mut targets = vec![
        embedded("interp", || Ok(verifying(Verify::Prefer, false))),
        embedded("proven", || Ok(verifying(Verify::Require, false))),
        embedded("sandboxed", || Ok(verifying(Verify::Never, false))),
    ];
    match COMPILED {
        Some([plain, sandboxed]) => targets.extend([
            embedded(plain, || Ok(verifying(Verify::Prefer, true))),
            embedded(sandboxed, || Ok(verifying(Verify::Never, true))),
        ]),
        None => report.skipped.push(format!(
            "compiled code: there is no compiler for {}",
            std::env::consts::ARCH
        )),
    }
    match Kernel::new() {
        Ok(_) => targets.push(Target {
            name: "kernel",
            narrow: true,
            make: || Ok(Arc::new(Kernel::new()?)),
        }),
        Err(error) => report.skipped.push(format!("target kernel: {error}")),
    }
    targets
}

fn verifying(verify: Verify, compile: bool) -> Arc<dyn Engine> {
    let builder = Embedded::builder().verify(verify);
    Arc::new(builder.compile(compile).build())
}

/// All targets by their names.
const NAMES: [&str; 8] = [
    "interp",
    "proven",
    "sandboxed",
    "jit-x64",
    "jit-x64-sandboxed",
    "jit-a64",
    "jit-a64-sandboxed",
    "kernel",
];

/// The compiled targets of this machine.
const COMPILED: Option<[&str; 2]> = match Arch::HOST {
    Some(Arch::X64) => Some(["jit-x64", "jit-x64-sandboxed"]),
    Some(Arch::A64) => Some(["jit-a64", "jit-a64-sandboxed"]),
    None => None,
};

impl Target {
    /// Whether a file's targets ask for this one.
    fn is_asked(&self, names: &[String]) -> bool {
        let asked = |name: &str| names.iter().any(|asked| asked == name);
        let follows = self.name == "sandboxed" || self.name.starts_with("jit-");
        asked(self.name) || follows && asked("interp")
    }
}

/// Runs the cases of one file; answers the file with the first target's outcomes.
pub fn cases(
    shown: &str,
    text: &str,
    file: &File,
    targets: &[Target],
    report: &mut Report,
) -> Option<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for name in &file.targets {
        if !NAMES.contains(&name.as_str()) {
            report
                .failures
                .push(format!("{shown}: no such target: {name}"));
        }
    }
    for case in &file.cases {
        let mut first = true;
        for target in targets
            .iter()
            .filter(|target| target.is_asked(&file.targets))
        {
            let got = answer(text, case, target);
            let held = holds(&case.expected, &got, target.narrow);
            if held {
                report.passed += 1;
            } else {
                report.failures.push(format!(
                    "{shown}:{}: on {}: {}, expected {}",
                    case.line,
                    target.name,
                    got.print(),
                    case.expected.print()
                ));
            }
            if first
                && !held
                && let Some(line) = lines.get_mut(case.line - 1)
            {
                let input = line.split("=>").next().unwrap_or_default().trim_end();
                *line = format!("{input} => {}", shaped_like(&case.expected, &got).print());
            }
            first = false;
        }
    }
    Some(lines.join("\n") + "\n")
}

/// Runs one case on a fresh engine.
fn answer(text: &str, case: &Case, target: &Target) -> Outcome {
    let refused = |error: skep::Error| match error.kind() {
        ErrorKind::Trap { .. } => Outcome {
            trap: Some(error.to_string()),
            ..Outcome::default()
        },
        _ => Outcome {
            refused: Some(error.to_string()),
            ..Outcome::default()
        },
    };
    let attempt = || -> Result<Outcome, skep::Error> {
        let engine = (target.make)()?;
        let mut spec = ObjectSpec::parse(text.as_bytes())?;
        let first = || spec.programs().first().map(|program| program.name.clone());
        let name = case.program.clone().or_else(first).unwrap_or_default();
        // The others stay out, so that what is wrong with them is theirs alone.
        spec.select(&[&name])?;
        let object = spec.load_on(&engine)?;
        let program = object.program(&name)?;
        let input = RunInput {
            data: case.data.as_deref().unwrap_or_default(),
            ctx: case.ctx.as_deref().unwrap_or_default(),
            repeat: 1,
        };
        let output = program.run_once(&input)?;
        let mut outcome = Outcome {
            r0: Some(output.retval),
            data: Some(output.data),
            ..Outcome::default()
        };
        for (name, key, _) in &case.expected.maps {
            let mut value = Vec::new();
            let found = object.map(name)?.ops().lookup(key, 0, &mut value).is_ok();
            outcome
                .maps
                .push((name.clone(), key.clone(), found.then_some(value)));
        }
        Ok(outcome)
    };
    attempt().unwrap_or_else(refused)
}

/// Whether what came is what was expected, in the parts that are expected.
fn holds(expected: &Outcome, got: &Outcome, narrow: bool) -> bool {
    let cut = |r0: u64| {
        if narrow { u64::from(r0 as u32) } else { r0 }
    };
    let contains = |whole: &Option<String>, part: &Option<String>| {
        part.as_ref()
            .is_none_or(|part| whole.as_ref().is_some_and(|whole| whole.contains(part)))
    };
    expected
        .r0
        .is_none_or(|r0| got.r0.map(cut) == Some(cut(r0)))
        && contains(&got.trap, &expected.trap)
        && contains(&got.refused, &expected.refused)
        && (expected.data.is_none() || expected.data == got.data)
        && expected.maps.iter().all(|entry| got.maps.contains(entry))
}

/// What came, with only the parts that the file asks about; a run that failed shows how.
fn shaped_like(expected: &Outcome, got: &Outcome) -> Outcome {
    let mut shaped = got.clone();
    if expected.data.is_none() {
        shaped.data = None;
    }
    if expected.r0.is_none() && got.r0.is_some() && !expected.maps.is_empty() {
        shaped.r0 = None;
    }
    shaped
}
