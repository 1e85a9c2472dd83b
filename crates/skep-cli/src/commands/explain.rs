//! `skep explain`: a verifier log that some kernel wrote, in words that help.
//!
//! Invariants: no kernel is asked; what is said comes from the log alone unless the object that it is of is refused by our
//! own verifier for the same reason.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};
use skep::obj::Object;
use skep::verifier::explain::log::{self, VerifierLog};
use skep::verifier::explain::{self, Explanation, catalogue, from_log};
use skep::verify::{LoadOptions, Prepared, TargetKernel};
use skep_diag::{Diagnostics, render};

use super::verify::{labels_json, parse_btf, profiles_of};
use crate::exit::Failure;
use crate::output;

/// Explain a verifier log.
#[derive(Args)]
pub struct Explain {
    /// What the kernel or a loader wrote; `-` reads standard input.
    log: String,
    /// The object that the log is of: it is verified, for a fuller explanation.
    #[arg(long, value_name = "FILE")]
    object: Option<String>,
    /// The program, where the log does not name it.
    #[arg(short = 'P', long, value_name = "NAME")]
    program: Option<String>,
    /// The kernel that wrote the log.
    #[arg(short, long, value_name = "RELEASE", default_value = "6.18")]
    kernel: String,
    /// Types of that kernel, as /sys/kernel/btf/vmlinux holds them.
    #[arg(long, value_name = "FILE")]
    btf: Option<String>,
}

/// One explained log.
struct Explained {
    program: Option<String>,
    explanation: Explanation,
    /// What the explanation rests on.
    from: &'static str,
}

impl Explain {
    pub fn run(&self, json: bool) -> Result<(), Failure> {
        let bytes = super::read_file(&self.log)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut logs = log::parse(&text);
        // Of an object that a loader gives up on, only some logs are of refused programs.
        logs.retain(|log| {
            !log.telling().is_empty() || log.errno == Some(1) || log.processed.is_none()
        });
        if let (Some(name), true) = (&self.program, logs.len() > 1) {
            logs.retain(|log| log.program.as_ref().is_none_or(|other| other == name));
        }
        if logs
            .iter()
            .all(|log| log.telling().is_empty() && log.errno != Some(1))
        {
            let cut = logs.iter().any(|log| !log.steps.is_empty());
            return Err(Failure::rejected(if cut {
                format!(
                    "{}: the log ends before the verifier's verdict: give the loader a larger log buffer",
                    self.log
                )
            } else {
                format!("{}: no verifier's message in it", self.log)
            }));
        }
        let verified = self.object()?;
        let mut explained = Vec::new();
        for log in &logs {
            if log.telling().is_empty() && log.errno != Some(1) {
                continue;
            }
            explained.push(self.explain(log, &text, verified.as_ref())?);
        }
        if json {
            let results: Vec<Value> = explained.iter().map(Explained::json).collect();
            return output::print(&output::json::document(
                &json!({ "file": self.log, "results": results }),
            ));
        }
        let mut out = String::new();
        for (index, one) in explained.into_iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            if let Some(program) = &one.program {
                out.push_str(&format!("{program}:\n"));
            }
            out.push_str(&render::full(
                &Diagnostics(vec![one.explanation.diagnostic]),
                &one.explanation.sources,
            ));
        }
        output::print(&out)
    }

    fn object(&self) -> Result<Option<(Object, TargetKernel)>, Failure> {
        let mut profiles = profiles_of(&self.kernel)?;
        let Some(file) = &self.object else {
            return Ok(None);
        };
        let (1, Some(profile)) = (profiles.len(), profiles.pop()) else {
            return Err(Failure::usage(
                "--kernel wants the one release that wrote the log",
            ));
        };
        let types = match &self.btf {
            Some(file) => vec![parse_btf(file)?],
            None => skep::verify::types_of(&profile).into_iter().collect(),
        };
        let object = super::read_object(file, true)?;
        if let Some(name) = &self.program
            && object.program(name).is_none()
        {
            return Err(Failure::usage(format!("{file}: no program `{name}`")));
        }
        Ok(Some((object, TargetKernel::new(profile, types))))
    }

    fn explain(
        &self,
        log: &VerifierLog,
        text: &str,
        verified: Option<&(Object, TargetKernel)>,
    ) -> Result<Explained, Failure> {
        let name = self.program.clone().or_else(|| log.program.clone());
        let told = from_log::explain(log, &self.log, text);
        let Some((object, kernel)) = verified else {
            return Ok(Explained {
                program: name,
                explanation: told,
                from: "log",
            });
        };
        let found = match &name {
            Some(name) => object.program(name),
            None => match object.programs.as_slice() {
                [only] => Some(only),
                _ => {
                    return Err(Failure::usage(
                        "the log does not name its program: --program does",
                    ));
                }
            },
        };
        let because = match found {
            None => Err("the object has no program of that name".to_owned()),
            Some(program) => self.verify(object, kernel, &program.name, log),
        };
        Ok(match because {
            Ok(explanation) => Explained {
                program: name,
                explanation,
                from: "object",
            },
            Err(why) => Explained {
                program: name,
                explanation: Explanation {
                    diagnostic: told.diagnostic.note(format!("from the log alone: {why}")),
                    ..told
                },
                from: "log",
            },
        })
    }

    /// The full explanation, if our verifier refuses the program for the same kind of reason.
    fn verify(
        &self,
        object: &Object,
        kernel: &TargetKernel,
        name: &str,
        log: &VerifierLog,
    ) -> Result<Explanation, String> {
        let prepared = Prepared::new(object, kernel).map_err(|why| why.to_string())?;
        let release = kernel.profile.name;
        let program = prepared
            .object()
            .program(name)
            .ok_or("the object has no program of that name")?;
        let input = prepared
            .input(program, &LoadOptions::default())
            .map_err(|why| why.to_string())?;
        match skep::verifier::verify(&input) {
            Ok(_) => Err(format!("the object's program loads on Linux {release}")),
            Err(rejection) => {
                let ours = catalogue::entry(&rejection.fault).id;
                let theirs = catalogue::by_lines(&log.telling()).id;
                if ours == theirs {
                    Ok(explain::explain(&input, &rejection))
                } else {
                    Err(format!(
                        "Linux {release} refuses the object's program otherwise ({ours}): {}",
                        rejection.fault.lines.join("; ")
                    ))
                }
            }
        }
    }
}

impl Explained {
    fn json(&self) -> Value {
        let diagnostic = &self.explanation.diagnostic;
        let because: BTreeMap<usize, &str> = self
            .explanation
            .because
            .iter()
            .map(|(insn, text)| (*insn, text.as_str()))
            .collect();
        json!({
            "program": self.program, "from": self.from,
            "id": diagnostic.id, "headline": diagnostic.headline,
            "labels": labels_json(&self.explanation), "because": because,
            "notes": diagnostic.notes, "help": diagnostic.help,
            "edit": self.explanation.edit.as_ref().map(|edit| json!({
                "text": edit.text, "verifies": edit.outcome == explain::Outcome::Verifies,
            })),
        })
    }
}
