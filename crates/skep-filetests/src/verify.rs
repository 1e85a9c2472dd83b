//! The verb `verify`: the file is an object in text; each case says whether a program of it verifies, and if not, why.
//!
//! A case is `; verify: INPUT => VERDICT`. INPUT: `program=NAME kernel=6.18 unprivileged strict`. VERDICT: `loads`, or
//! `refused="PART" id=ID because="PART" edit=verifies`: a part of the kernel's wording, the page's id, a part of one
//! cause, and what the suggested edit gives (`verifies`, `next`, `none`); for a cause at an instruction `because="3: PART"`.

use skep::ObjectSpec;
use skep::spec::profile::Profile;
use skep::spec::program::flags;
use skep::verifier::explain::{self, Outcome};
use skep::verifier::input::Caps;
use skep::verify::{LoadOptions, Prepared, TargetKernel};

use crate::Report;
use crate::directive::items;

struct Case<'t> {
    program: Option<&'t str>,
    kernel: &'t str,
    load: LoadOptions,
    verdict: Vec<&'t str>,
}

impl<'t> Case<'t> {
    fn parse(text: &'t str) -> Result<Case<'t>, String> {
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
                None if item == "strict" => case.load.flags |= flags::STRICT_ALIGNMENT,
                _ => return Err(format!("unknown input `{item}`")),
            }
        }
        if case.verdict.is_empty() {
            return Err("a case expects nothing".into());
        }
        Ok(case)
    }

    fn run(&self, spec: &ObjectSpec) -> Result<(), String> {
        let profile =
            Profile::parse(self.kernel).ok_or_else(|| format!("no kernel {}", self.kernel))?;
        // Without a kernel's types: the verdict must be the same on every machine.
        let kernel = TargetKernel::new(profile, Vec::new());
        let prepared = Prepared::new(spec.object(), &kernel).map_err(|why| why.to_string())?;
        let object = prepared.object();
        let program = match self.program {
            Some(name) => object
                .program(name)
                .ok_or_else(|| format!("no program {name}"))?,
            None => object.programs.first().ok_or("no program")?,
        };
        let input = prepared
            .input(program, &self.load)
            .map_err(|why| why.to_string())?;
        let rejection = match (skep::verifier::verify(&input), self.verdict == ["loads"]) {
            (Ok(_), true) => return Ok(()),
            (Ok(_), false) => return Err("it loads".into()),
            (Err(rejection), true) => return Err(format!("refused: {rejection}")),
            (Err(rejection), false) => rejection,
        };
        let explained = explain::explain(&input, &rejection);
        for expected in &self.verdict {
            let (name, value) = expected
                .split_once('=')
                .ok_or_else(|| format!("unknown verdict `{expected}`"))?;
            let value = value.trim_matches('"');
            let lines = rejection.fault.lines.join(" | ");
            let edit = match explained.edit.as_ref().map(|edit| edit.outcome) {
                Some(Outcome::Verifies) => "verifies",
                Some(Outcome::NextError) => "next",
                None => "none",
            };
            match name {
                "refused" if lines.contains(value) => {}
                "refused" => return Err(format!("the message is {lines}")),
                "id" if explained.diagnostic.id == value => {}
                "id" => return Err(format!("the id is {}", explained.diagnostic.id)),
                "edit" if edit == value => {}
                "edit" => return Err(format!("the edit {edit}: {:?}", explained.edit)),
                "because" => {
                    let (at, part) = match value.split_once(": ") {
                        Some((at, part)) if at.parse::<usize>().is_ok() => (at.parse().ok(), part),
                        _ => (None, value),
                    };
                    let found = explained.because.iter().any(|(insn, text)| {
                        at.is_none_or(|at: usize| at == *insn) && text.contains(part)
                    });
                    if !found {
                        return Err(format!("the causes are {:?}", explained.because));
                    }
                }
                _ => return Err(format!("unknown verdict `{expected}`")),
            }
        }
        Ok(())
    }
}

/// Runs the cases of one file. Nothing is rewritten: causes are chosen by people.
pub fn cases(shown: &str, text: &str, report: &mut Report) -> Option<String> {
    let spec = match ObjectSpec::parse(text.as_bytes()) {
        Ok(spec) => spec,
        Err(error) => {
            report.failures.push(format!("{shown}: {error}"));
            return None;
        }
    };
    let mut any = false;
    for (index, line) in text.lines().enumerate() {
        let Some(case) = line.trim().strip_prefix("; verify:") else {
            continue;
        };
        any = true;
        match Case::parse(case).and_then(|case| case.run(&spec)) {
            Ok(()) => report.passed += 1,
            Err(why) => report
                .failures
                .push(format!("{shown}:{}: {why}", index + 1)),
        }
    }
    if !any {
        report
            .failures
            .push(format!("{shown}: no `; verify:` line"));
    }
    None
}
