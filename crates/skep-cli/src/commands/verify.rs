//! `skep verify`: would this load, on which kernels, and if not, why.
//!
//! Invariants: no kernel is asked and no privilege is needed; the verdict depends on the object, the kernels named and their
//! types only. One program that is refused ends the command with 1.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use skep::btf::Btf;
use skep::spec::profile::Profile;
use skep::spec::program::flags;
use skep::verifier::input::Caps;
use skep::verifier::{Input, Rejection, Verified, explain};
use skep::verify::{LoadOptions, NotLoadable, Prepared, TargetKernel};
use skep_diag::Diagnostics;
use skep_diag::render;

use crate::exit::{Exit, Failure};
use crate::output::{self, table::Table};

/// Say whether programs would load, on which kernels, and if not, why.
#[derive(Args)]
pub struct Verify {
    /// ELF object or text object; `-` reads standard input.
    file: String,
    /// Only this program; may be repeated.
    #[arg(short = 'P', long, value_name = "NAME")]
    program: Vec<String>,
    /// The kernels: releases with commas between them, `embedded`, or `all`.
    #[arg(short, long, value_name = "LIST", default_value = "6.18")]
    kernel: String,
    /// Types of the kernel, as /sys/kernel/btf/vmlinux holds them; with several kernels KERNEL=FILE for each.
    #[arg(long, value_name = "[KERNEL=]FILE")]
    btf: Vec<String>,
    /// The kernel's configuration, as in /boot/config-*.
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Verify as for a user without privileges.
    #[arg(long)]
    unprivileged: bool,
    /// Check the alignment of every access, as on machines that need it.
    #[arg(long)]
    strict_alignment: bool,
    /// Show the state before each instruction.
    #[arg(long)]
    states: bool,
    /// Show the verifier's log, as bpf(2) writes it at this level.
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(1..=7))]
    log: Option<u32>,
    /// Set a global variable before; may be repeated.
    #[arg(short, long, value_name = "NAME=VALUE")]
    global: Vec<String>,
    /// Read the `maps` sections of before BTF too.
    #[arg(long)]
    legacy_maps: bool,
}

/// What a table says of a program that is taken.
const LOADS: &str = "loads";

/// One program on one kernel.
enum Answer {
    Loads(Box<Verified>),
    Refused(Box<Input>, Box<Rejection>),
    /// It never reaches a verifier.
    Not(NotLoadable),
}

impl Answer {
    fn loads(&self) -> bool {
        matches!(self, Answer::Loads(_))
    }
}

impl Verify {
    pub fn run(&self, json: bool) -> Result<Ended, Failure> {
        let (mut spec, _) = super::open::object(self.file.as_ref(), self.legacy_maps)?;
        super::open::set_globals(&mut spec, &self.global)?;
        let object = spec.object();
        let profiles = profiles_of(&self.kernel)?;
        let kernels = profiles
            .iter()
            .map(|profile| self.kernel(profile))
            .collect::<Result<Vec<_>, _>>()?;
        for name in &self.program {
            if object.program(name).is_none() {
                let known: Vec<&str> = object
                    .programs
                    .iter()
                    .map(|program| program.name.as_str())
                    .collect();
                return Err(Failure::usage(format!(
                    "{}: no program `{name}`; it has {}",
                    self.file,
                    known.join(", ")
                )));
            }
        }
        let mut report = Report {
            json,
            out: String::new(),
            said: Vec::new(),
            items: Vec::new(),
            refused: false,
        };
        let mut cells: BTreeMap<(usize, usize), String> = BTreeMap::new();
        let mut names: Vec<(usize, String)> = Vec::new();
        for (column, kernel) in kernels.iter().enumerate() {
            let prepared = match Prepared::new(object, kernel) {
                Ok(prepared) => prepared,
                Err(why) => {
                    return Err(Failure::rejected(format!(
                        "{}: for Linux {}: {why}",
                        self.file, kernel.profile.name
                    )));
                }
            };
            for (row, program) in prepared.object().programs.iter().enumerate() {
                if !self.program.is_empty() && !self.program.contains(&program.name) {
                    continue;
                }
                if column == 0 {
                    names.push((row, program.name.clone()));
                }
                let answer = self.answer(&prepared, program);
                let cell = report.add(self, kernel, &program.name, &answer, kernels.len() == 1);
                cells.insert((row, column), cell);
            }
        }
        // What an earlier kernel refuses, and a later one of those asked takes.
        let loads =
            |row: usize, column: usize| cells.get(&(row, column)).is_some_and(|cell| cell == LOADS);
        let since: Vec<((usize, usize), &str)> = cells
            .keys()
            .filter(|&&(row, column)| !loads(row, column))
            .filter_map(|&(row, column)| {
                let later = profiles.iter().enumerate().find(|&(other, profile)| {
                    profile.version > profiles[column].version && loads(row, other)
                });
                Some(((row, column), later?.1.name))
            })
            .collect();
        for (place, release) in since {
            if let Some(cell) = cells.get_mut(&place) {
                *cell = format!("{cell} (loads since {release})");
            }
        }
        if json {
            let document = json!({ "file": self.file, "results": report.items });
            output::print(&output::json::document(&document))?;
        } else {
            if kernels.len() > 1 {
                let mut heads = vec!["program".to_owned()];
                heads.extend(kernels.iter().map(|kernel| kernel.profile.name.to_owned()));
                let mut table = Table::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
                let order: BTreeMap<String, usize> = names
                    .iter()
                    .map(|(row, name)| (name.clone(), *row))
                    .collect();
                for (row, name) in names {
                    let columns = (0..kernels.len())
                        .map(|column| cells.remove(&(row, column)).unwrap_or_default());
                    table.row(std::iter::once(name).chain(columns));
                }
                report.out.insert_str(0, &table.render(""));
                // What is said of one program stays together.
                report
                    .said
                    .sort_by_key(|(program, _, _)| order.get(program).copied());
                for (program, text, releases) in &report.said {
                    report
                        .out
                        .push_str(&format!("\n{program} on {}:\n{text}", listed(releases)));
                }
            }
            output::print(&report.out)?;
        }
        Ok(Ended {
            refused: report.refused,
        })
    }

    fn answer(&self, prepared: &Prepared, program: &skep::obj::ProgramSpec) -> Answer {
        let input = match prepared.input(program, &self.load_options()) {
            Ok(input) => input,
            Err(why) => return Answer::Not(why),
        };
        match skep::verifier::verify(&input) {
            Ok(verified) => Answer::Loads(Box::new(verified)),
            Err(rejection) => Answer::Refused(Box::new(input), rejection),
        }
    }

    fn load_options(&self) -> LoadOptions {
        LoadOptions {
            caps: if self.unprivileged {
                Caps::NONE
            } else {
                Caps::ALL
            },
            flags: if self.strict_alignment {
                flags::STRICT_ALIGNMENT
            } else {
                0
            },
            log_level: if self.states {
                2
            } else {
                self.log.unwrap_or(0)
            },
            ..LoadOptions::default()
        }
    }

    /// The kernel with its types: given, or this machine's.
    fn kernel(&self, profile: &Profile) -> Result<TargetKernel, Failure> {
        let named = self.btf.iter().find_map(|option| {
            let (kernel, file) = option.split_once('=')?;
            (kernel == profile.name).then_some(file)
        });
        let for_all = || {
            self.btf
                .iter()
                .find(|option| !option.contains('='))
                .map(String::as_str)
        };
        let types = match named.or_else(for_all) {
            Some(file) => vec![parse_btf(file)?],
            None => skep::verify::types_of(profile).into_iter().collect(),
        };
        let mut kernel = TargetKernel::new(profile.clone(), types);
        if let Some(config) = &self.config {
            let text = super::read_file(config)?;
            kernel = kernel.with_config(&String::from_utf8_lossy(&text));
        }
        Ok(kernel)
    }
}

/// The kernels of a list: releases, `embedded`, `all`.
pub(super) fn profiles_of(list: &str) -> Result<Vec<Profile>, Failure> {
    let mut profiles = Vec::new();
    for name in list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        if name == "all" {
            profiles.extend(Profile::ALL.iter().cloned());
            continue;
        }
        if name == "embedded" {
            profiles.push(skep::verify::embedded_profile());
            continue;
        }
        let known = || {
            Profile::ALL
                .iter()
                .map(|profile| profile.name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let profile = Profile::parse(name).ok_or_else(|| {
            Failure::usage(format!(
                "--kernel: `{name}` is not one of {}, embedded, all",
                known()
            ))
        })?;
        profiles.push(profile);
    }
    if profiles.is_empty() {
        return Err(Failure::usage("--kernel wants a release such as 6.18"));
    }
    Ok(profiles)
}

pub(super) fn parse_btf(file: &str) -> Result<Arc<Btf>, Failure> {
    let bytes = super::read_file(file)?;
    let btf = Btf::parse(bytes).map_err(|error| Failure::rejected(format!("{file}: {error}")))?;
    Ok(Arc::new(btf))
}

/// What the command ends with.
pub struct Ended {
    refused: bool,
}

impl From<Ended> for std::process::ExitCode {
    fn from(exit: Ended) -> std::process::ExitCode {
        if exit.refused {
            Exit::Rejected.into()
        } else {
            std::process::ExitCode::SUCCESS
        }
    }
}

struct Report {
    json: bool,
    out: String,
    /// With several kernels: what is said of a program, and the kernels of which it is.
    said: Vec<(String, String, Vec<String>)>,
    items: Vec<Value>,
    refused: bool,
}

impl Report {
    /// Once for all kernels of which it is to be said.
    fn say(&mut self, program: &str, text: String, kernel: &TargetKernel) {
        let release = release(kernel);
        match self
            .said
            .iter_mut()
            .find(|(about, said, _)| about == program && *said == text)
        {
            Some((_, _, releases)) => releases.push(release),
            None => self.said.push((program.to_owned(), text, vec![release])),
        }
    }

    /// Adds one answer; returns it in a few words.
    fn add(
        &mut self,
        options: &Verify,
        kernel: &TargetKernel,
        program: &str,
        answer: &Answer,
        alone: bool,
    ) -> String {
        self.refused |= !answer.loads();
        match answer {
            Answer::Loads(verified) => {
                let stats = verified.stats;
                if self.json {
                    self.items.push(json!({
                        "program": program, "kernel": kernel.profile.name, "verdict": "loads",
                        "insns_processed": stats.insns_processed, "states": stats.states_total,
                        "microseconds": stats.nanoseconds / 1000, "stack": verified.functions.iter().map(|function| function.stack_bytes).collect::<Vec<_>>(),
                        "log": (!verified.log.is_empty()).then_some(&verified.log),
                    }));
                } else {
                    if options.states || options.log.is_some() {
                        self.out.push_str(&verified.log);
                    }
                    if alone {
                        self.out.push_str(&format!(
                            "{program}: loads on {} ({} instructions explored, {} states, {} µs)\n",
                            release(kernel),
                            stats.insns_processed,
                            stats.states_total,
                            stats.nanoseconds / 1000,
                        ));
                    }
                }
                LOADS.into()
            }
            Answer::Refused(input, rejection) => {
                let explained = explain::explain(input, rejection);
                let id = explained.diagnostic.id;
                if self.json {
                    self.items
                        .push(refused_json(kernel, program, rejection, &explained));
                } else {
                    if options.states || options.log.is_some() {
                        self.out.push_str(&rejection.log);
                    }
                    let text =
                        render::full(&Diagnostics(vec![explained.diagnostic]), &explained.sources);
                    if alone {
                        self.out.push_str(&format!(
                            "{program}: refused by {}\n{text}",
                            release(kernel)
                        ));
                    } else {
                        self.say(program, text, kernel);
                    }
                }
                id.into()
            }
            Answer::Not(why) => {
                if self.json {
                    self.items.push(json!({
                        "program": program, "kernel": kernel.profile.name, "verdict": "not loadable", "message": why.to_string(),
                    }));
                } else if alone {
                    self.out.push_str(&format!(
                        "{program}: would not reach the verifier of {}: {why}\n",
                        release(kernel)
                    ));
                } else {
                    self.say(
                        program,
                        format!("would not reach the verifier: {why}\n"),
                        kernel,
                    );
                }
                "not loadable".into()
            }
        }
    }
}

fn release(kernel: &TargetKernel) -> String {
    if kernel.profile.only.is_some() {
        "the embedded engine".into()
    } else {
        format!("Linux {}", kernel.profile.name)
    }
}

/// `Linux 5.10, 6.1 and the embedded engine`.
fn listed(releases: &[String]) -> String {
    let short: Vec<&str> = releases
        .iter()
        .enumerate()
        .map(|(index, name)| match name.strip_prefix("Linux ") {
            Some(number) if index > 0 => number,
            _ => name,
        })
        .collect();
    match short.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn refused_json(
    kernel: &TargetKernel,
    program: &str,
    rejection: &Rejection,
    explained: &explain::Explanation,
) -> Value {
    let diagnostic = &explained.diagnostic;
    let labels = labels_json(explained);
    json!({
        "program": program, "kernel": kernel.profile.name, "verdict": "refused",
        "id": diagnostic.id, "headline": diagnostic.headline, "message": rejection.fault.lines,
        "errno": rejection.fault.errno, "insn": rejection.fault.insn, "labels": labels,
        "help": diagnostic.help,
        "edit": explained.edit.as_ref().map(|edit| json!({
            "text": edit.text, "verifies": edit.outcome == explain::Outcome::Verifies,
        })),
        "insns_processed": rejection.stats.insns_processed,
        "log": (!rejection.log.is_empty()).then_some(&rejection.log),
    })
}

/// The places of an explanation and what is said of them.
pub(super) fn labels_json(explained: &explain::Explanation) -> Vec<Value> {
    let place = |place: &skep_diag::Place| {
        match place {
        skep_diag::Place::Span(span) => explained.sources.locate(*span).map_or(Value::Null, |(file, position)| {
            json!({ "file": file, "line": position.line, "column": position.column })
        }),
        skep_diag::Place::Insn { insn, .. } => json!({ "insn": insn }),
        _ => Value::Null,
    }
    };
    explained
        .diagnostic
        .labels
        .iter()
        .map(|label| json!({ "place": place(&label.place), "text": label.text, "primary": label.primary }))
        .collect()
}
