//! The verb `verify`: the file is an object in text; each case says whether a program of it verifies, and if not, why.
//!
//! A case is `; verify: INPUT => VERDICT`. INPUT: `program=NAME kernel=6.18 unprivileged strict freq`. VERDICT: `loads`, or
//! `refused="PART" id=ID because="PART" edit=verifies`: a part of the kernel's wording, the page's id, a part of one
//! cause, and what the suggested edit gives (`verifies`, `next`, `none`); for a cause at an instruction `because="3: PART"`.
//! An edit that verifies is applied once more here, and the changed program verified.
//!
//! Lines `; kernel: TEXT` are an object in text too: its types, and the kernel functions that it declares as externs, are all
//! that the kernel of these cases has. No machine's types are looked at.

use std::sync::Arc;

use skep::ObjectSpec;
use skep::spec::profile::Profile;
use skep::spec::program::flags;
use skep::verifier::Input;
use skep::verifier::explain::{self, Explanation, Outcome};
use skep::verifier::input::Caps;
use skep::verify::{LoadOptions, Prepared, TargetKernel};
use skep_btf::Btf;

use crate::Report;
use crate::directive::items;

/// One `; verify:` line.
pub struct Case<'t> {
    pub program: Option<&'t str>,
    pub kernel: &'t str,
    pub load: LoadOptions,
    pub verdict: Vec<&'t str>,
}

/// The cases of a file, each with its line's number.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let case = line.trim().strip_prefix("; verify:")?;
        Some((index + 1, case))
    })
}

/// The types that a file gives its kernel.
pub fn kernel_types(text: &str) -> Result<Vec<Arc<Btf>>, String> {
    let declared: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("; kernel:"))
        .collect();
    if declared.is_empty() {
        return Ok(Vec::new());
    }
    let object = ObjectSpec::parse(declared.join("\n").as_bytes())
        .map_err(|error| format!("the kernel's types: {error}"))?;
    let types = object
        .object()
        .btf
        .clone()
        .ok_or("the kernel's types: none")?;
    Ok(vec![types])
}

impl<'t> Case<'t> {
    /// Reads what follows `; verify:`.
    pub fn parse(text: &'t str) -> Result<Case<'t>, String> {
        let (input, verdict) = text
            .split_once("=>")
            .ok_or("a case is `; verify: INPUT => VERDICT`")?;
        let mut case = Case {
            program: None,
            kernel: "6.18",
            load: LoadOptions::default(),
            verdict: items(verdict),
        };
        for item in items(input) {
            match item.split_once('=') {
                Some(("program", name)) => case.program = Some(name),
                Some(("kernel", name)) => case.kernel = name,
                None if item == "unprivileged" => case.load.caps = Caps::NONE,
                None if item == "freq" => case.load.flags |= flags::TEST_STATE_FREQ,
                None if item == "strict" => case.load.flags |= flags::STRICT_ALIGNMENT,
                _ => return Err(format!("unknown input `{item}`")),
            }
        }
        if case.verdict.is_empty() {
            return Err("a case expects nothing".into());
        }
        Ok(case)
    }

    /// What the verifier gets for it on that kernel.
    pub fn input(
        &self,
        spec: &ObjectSpec,
        types: &[Arc<Btf>],
        kernel: &str,
    ) -> Result<Input, String> {
        let profile = Profile::parse(kernel).ok_or_else(|| format!("no kernel {kernel}"))?;
        let kernel = TargetKernel::new(profile, types.to_vec());
        let prepared = Prepared::new(spec.object(), &kernel).map_err(|why| why.to_string())?;
        let object = prepared.object();
        let program = match self.program {
            Some(name) => object
                .program(name)
                .ok_or_else(|| format!("no program {name}"))?,
            None => object.programs.first().ok_or("no program")?,
        };
        prepared
            .input(program, &self.load)
            .map_err(|why| why.to_string())
    }

    fn run(&self, spec: &ObjectSpec, types: &[Arc<Btf>]) -> Result<(), String> {
        let input = self.input(spec, types, self.kernel)?;
        let rejection = match (skep::verifier::verify(&input), self.verdict == ["loads"]) {
            (Ok(_), true) => return Ok(()),
            (Ok(_), false) => return Err("it loads".into()),
            (Err(rejection), true) => return Err(format!("refused: {rejection}")),
            (Err(rejection), false) => rejection,
        };
        let explained = explain::explain(&input, &rejection);
        let lines = rejection.fault.lines.join(" | ");
        for expected in &self.verdict {
            holds(expected, &lines, &explained)?;
        }
        // Only what was really changed and verified counts.
        match &explained.edit {
            Some(edit) if edit.outcome == Outcome::Verifies => {
                let changed = edit
                    .edit
                    .apply(&input)
                    .ok_or("the edit cannot be applied")?;
                match skep::verifier::verify(&changed) {
                    Ok(_) => Ok(()),
                    Err(why) => Err(format!("with the edit: {why}")),
                }
            }
            _ => Ok(()),
        }
    }
}

/// Whether one part of a verdict holds.
fn holds(expected: &str, lines: &str, explained: &Explanation) -> Result<(), String> {
    let (name, value) = expected
        .split_once('=')
        .ok_or_else(|| format!("unknown verdict `{expected}`"))?;
    let value = value.trim_matches('"');
    let edit = match explained.edit.as_ref().map(|edit| edit.outcome) {
        Some(Outcome::Verifies) => "verifies",
        Some(Outcome::NextError) => "next",
        None => "none",
    };
    match name {
        "refused" if lines.contains(value) => Ok(()),
        "refused" => Err(format!("the message is {lines}")),
        "id" if explained.diagnostic.id == value => Ok(()),
        "id" => Err(format!("the id is {}", explained.diagnostic.id)),
        "edit" if edit == value => Ok(()),
        "edit" => {
            let text = explained.edit.as_ref().map(|edit| edit.text.as_str());
            Err(format!("the edit {edit}: {text:?}"))
        }
        "because" => {
            let (at, part) = match value.split_once(": ") {
                Some((at, part)) if at.parse::<usize>().is_ok() => (at.parse().ok(), part),
                _ => (None, value),
            };
            let found = explained
                .because
                .iter()
                .any(|(insn, text)| at.is_none_or(|at: usize| at == *insn) && text.contains(part));
            if found {
                Ok(())
            } else {
                Err(format!("the causes are {:?}", explained.because))
            }
        }
        _ => Err(format!("unknown verdict `{expected}`")),
    }
}

/// Runs the cases of one file. Nothing is rewritten: causes are chosen by people.
pub fn cases(shown: &str, text: &str, report: &mut Report) -> Option<String> {
    let read = ObjectSpec::parse(text.as_bytes()).map_err(|error| error.to_string());
    let (spec, types) = match read.and_then(|spec| Ok((spec, kernel_types(text)?))) {
        Ok(read) => read,
        Err(error) => {
            report.failures.push(format!("{shown}: {error}"));
            return None;
        }
    };
    let mut any = false;
    for (number, case) in lines(text) {
        any = true;
        match Case::parse(case).and_then(|case| case.run(&spec, &types)) {
            Ok(()) => report.passed += 1,
            Err(why) => report.failures.push(format!("{shown}:{number}: {why}")),
        }
    }
    if !any {
        report
            .failures
            .push(format!("{shown}: no `; verify:` line"));
    }
    None
}
