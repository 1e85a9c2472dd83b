//! `cargo xtask oracle`: skep's verifier beside tables of what real kernels said about programs that nobody here wrote.
//!
//! Invariants: what is not on this machine (tables, objects, types) is skipped and said; a table's row is compared with an
//! answer for the same program only, or the report says that it was another.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use skep::verifier::input::Input;

mod annotations;
mod compare;
mod exceptions;
mod kernels;
mod replay;
mod report;
mod returns;
mod sample;
mod subjects;
mod table;
mod work;

use annotations::{Annotations, missed};
use compare::{Compared, Ours, last_words};
use exceptions::Exceptions;
use report::Findings;
use subjects::{NoInput, Subject, Subjects, insn_hash};
use table::{Row, Table, Verdict};

pub const USAGE: &str = "usage: cargo xtask oracle [OPTIONS]

  --tables DIR      folder of tables (*.csv); or SKEP_ORACLE_TABLES
  --table CSV       only this one; may be given again
  --objects DIR     folder of objects; may be given again; or SKEP_ORACLE_OBJECTS, separated by `:`
  --dumps DIR       dumps of the old suite's loads; or SKEP_TEST_VERIFIER
  --btf DIR         vmlinux-RELEASE.btf and config-RELEASE of the tables' kernels; or SKEP_ORACLE_BTF
  --sample          instead of tables: the annotated selftests of Debian's kernel sources, compiled here; fails below a bar
  --times CSV       a table with the kernel's times on a machine like this
  --profile 6.18    rules of this release instead of the tables' own
  --filter TEXT     only objects or programs whose name holds the text
  --only-diff       no summary, only differences
  --diff            differences after the summary
  --words           right verdicts with other words
  --effort          programs that take another effort
  --show OBJECT PROGRAM [unpriv]   our whole log of one program beside what the tables say; --level N (default 2)
  --returns         also run programs with known return values on the embedded engine
  --report FILE     writes the summaries there
  --json FILE       writes all answers there
  --repeat N        the least time of N verifications (default 1)
  --jobs N          threads (default 1, so that times are right)
  --limit SECONDS   for one program (default 60)";

/// The flags.
#[derive(Default)]
struct Options {
    tables: Vec<PathBuf>,
    objects: Vec<PathBuf>,
    dumps: Option<PathBuf>,
    btf: Option<PathBuf>,
    times: Option<PathBuf>,
    profile: Option<String>,
    filter: Option<String>,
    sample: bool,
    only_diff: bool,
    diff: bool,
    words: bool,
    effort: bool,
    show: Option<(String, String, bool)>,
    level: u32,
    returns: bool,
    report: Option<PathBuf>,
    json: Option<PathBuf>,
    repeat: u32,
    jobs: usize,
    limit: u64,
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options {
        level: 2,
        repeat: 1,
        jobs: 1,
        limit: 60,
        ..Options::default()
    };
    let mut folder = None;
    let mut args = args.iter().peekable();
    while let Some(arg) = args.next() {
        let mut value = || {
            args.next()
                .cloned()
                .ok_or_else(|| format!("{arg} wants a value\n{USAGE}"))
        };
        match arg.as_str() {
            "--tables" => folder = Some(PathBuf::from(value()?)),
            "--table" => options.tables.push(value()?.into()),
            "--objects" => options.objects.push(value()?.into()),
            "--dumps" => options.dumps = Some(value()?.into()),
            "--btf" => options.btf = Some(value()?.into()),
            "--times" => options.times = Some(value()?.into()),
            "--profile" => options.profile = Some(value()?),
            "--filter" => options.filter = Some(value()?),
            "--sample" => options.sample = true,
            "--only-diff" => options.only_diff = true,
            "--diff" => options.diff = true,
            "--words" => options.words = true,
            "--effort" => options.effort = true,
            "--returns" => options.returns = true,
            "--report" => options.report = Some(value()?.into()),
            "--json" => options.json = Some(value()?.into()),
            "--level" => options.level = number(&value()?)?,
            "--repeat" => options.repeat = number(&value()?)?,
            "--jobs" => options.jobs = number(&value()?)?,
            "--limit" => options.limit = number(&value()?)?,
            "--show" => {
                let (object, program) = (value()?, value()?);
                let unprivileged = args.next_if(|next| *next == "unpriv").is_some();
                options.show = Some((object, program, unprivileged));
            }
            "--help" | "-h" => return Err(USAGE.to_owned()),
            _ => return Err(format!("`{arg}` is not known\n{USAGE}")),
        }
    }
    options.dumps = options.dumps.or_else(|| variable("SKEP_TEST_VERIFIER"));
    options.btf = options.btf.or_else(|| variable("SKEP_ORACLE_BTF"));
    if options.objects.is_empty()
        && let Some(list) = variable("SKEP_ORACLE_OBJECTS")
    {
        options.objects = std::env::split_paths(&list).collect();
    }
    if options.tables.is_empty()
        && let Some(folder) = folder.or_else(|| variable("SKEP_ORACLE_TABLES"))
    {
        let entries =
            std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        options.tables = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "csv"))
            .collect();
        options.tables.sort();
    }
    Ok(options)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

/// Runs it.
pub fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let mut options = options(args)?;
    // The sample has to be quick on a machine that has built nothing but the tests.
    if cfg!(debug_assertions) && !options.sample {
        return optimised(root, args);
    }
    let exceptions = Exceptions::read(&root.join("conformance/verifier-oracle/exceptions.txt"))?;
    if options.sample {
        return sample(root, &mut options, &exceptions);
    }
    if options.tables.is_empty() {
        println!("skipped: no tables; give --tables or SKEP_ORACLE_TABLES\n{USAGE}");
        return Ok(());
    }
    let times = match &options.times {
        Some(path) => kernel_times(&Table::read(path)?),
        None => HashMap::new(),
    };
    let mut report = String::new();
    let mut answers = Vec::new();
    for path in &options.tables {
        let table = Table::read(path)?;
        let Some(findings) = examine(&options, &table, &times)? else {
            continue;
        };
        let summary = findings.summary(&exceptions);
        print(&options, &findings, &summary, &exceptions);
        report.push_str(&summary);
        report.push('\n');
        answers.push(findings.json(&exceptions));
    }
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    if let Some(path) = &options.report {
        write(path, page(&report))?;
    }
    if let Some(path) = &options.json {
        write(path, serde_json::Value::Array(answers).to_string())?;
    }
    Ok(())
}

/// The kept tables, then the annotated tests, if this machine can make them.
fn sample(root: &Path, options: &mut Options, exceptions: &Exceptions) -> Result<(), String> {
    let (tables, objects) = sample::kept(root);
    options.objects = objects;
    for path in tables {
        if let Some(findings) = examine(options, &Table::read(&path)?, &HashMap::new())? {
            judge(options, &findings, exceptions)?;
        }
    }
    let (table, objects) = match sample::table(root) {
        Ok(made) => made,
        Err(why) => {
            println!("skipped: the verifier beside annotated selftests: {why}");
            return Ok(());
        }
    };
    options.objects = vec![objects];
    match examine(options, &table, &HashMap::new())? {
        Some(findings) => judge(options, &findings, exceptions),
        None => Ok(()),
    }
}

/// What is found for a table; `None` if there is nothing to compare.
fn examine(
    options: &Options,
    table: &Table,
    times: &HashMap<Timed, u64>,
) -> Result<Option<Findings>, String> {
    let found = kernels::find(
        options.btf.as_deref(),
        &table.kernel,
        options.profile.as_deref(),
        options.sample,
    )?;
    let subjects = Subjects::new(options.objects.clone(), found.kernel.clone());
    let examiner = Examiner {
        options,
        subjects: &subjects,
    };
    if let Some((object, program, unprivileged)) = &options.show {
        examiner.show(table, object, program, *unprivileged);
        return Ok(None);
    }
    let rows: Vec<&Row> = table
        .rows
        .iter()
        .filter(|row| chosen(options, row))
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let compared = examiner.compare(&rows);
    if compared
        .iter()
        .all(|one| matches!(one.ours, Ours::NoObject))
    {
        println!("skipped: {}: none of its objects is here", table.name);
        return Ok(None);
    }
    let returns = if options.returns {
        examiner.returns(&compared)
    } else {
        Vec::new()
    };
    let times = if times.is_empty() && running_here(&table.kernel) {
        kernel_times(table)
    } else {
        times.clone()
    };
    Ok(Some(Findings {
        table: table.name.clone(),
        kernel: table.kernel.clone(),
        profile: found.kernel.profile.to_string(),
        types: found.types,
        compared,
        returns,
        times,
    }))
}

fn print(options: &Options, findings: &Findings, summary: &str, exceptions: &Exceptions) {
    if !options.only_diff {
        println!("{summary}");
    }
    if options.diff || options.only_diff {
        println!("{}", findings.differences(exceptions, |_| true));
    }
    if options.words {
        println!("{}", findings.wordings());
    }
    if options.effort {
        println!("{}", findings.effort());
    }
    if options.returns {
        println!("{}", findings.returned());
    }
}

/// Below this share of right verdicts the sample fails.
const VERDICTS_MIN: f64 = 0.95;

/// The sample's end: what must hold anywhere.
fn judge(options: &Options, findings: &Findings, exceptions: &Exceptions) -> Result<(), String> {
    let sums = findings.sums(exceptions);
    print(options, findings, &findings.summary(exceptions), exceptions);
    let panics = sums.by_relation.get(&compare::Relation::Panic);
    if let Some(panics) = panics {
        return Err(format!("the verifier panicked {panics} times"));
    }
    let share = (sums.same + sums.excused) as f64 / sums.compared.max(1) as f64;
    if options.filter.is_none() && share < VERDICTS_MIN {
        return Err(format!(
            "{:.1} % of the sample's verdicts are right, {:.0} % are wanted",
            100.0 * share,
            100.0 * VERDICTS_MIN
        ));
    }
    Ok(())
}

fn page(summaries: &str) -> String {
    format!(
        "# How far the verifier agrees with real kernels\n\nWritten by `cargo xtask oracle --report`. Each table holds what one kernel, booted for the purpose, said about programs of other \
         people: the kernel's own selftests, tools of the bcc project, load balancers, samples. A row counts as the same if skep \
         accepts what that kernel accepts and rejects what it rejects; times are of one core.\n\n{summaries}"
    )
}

/// Times mean something for optimised code only: the same again, built so.
fn optimised(root: &Path, args: &[String]) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = std::process::Command::new(cargo)
        .args(["run", "--release", "--quiet", "-p", "xtask", "--", "oracle"])
        .args(args)
        .current_dir(root)
        .status()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err("the oracle failed".into())
    }
}

fn running_here(kernel: &str) -> bool {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .is_ok_and(|release| release.trim().split(['-', '+']).next() == Some(kernel))
}

/// Object, program, and whether it was loaded without privileges.
type Timed = (String, String, bool);

fn kernel_times(table: &Table) -> HashMap<Timed, u64> {
    table
        .rows
        .iter()
        .filter_map(|row| {
            let us = row.verify_us.filter(|&us| us > 0)?;
            Some((
                (row.object.clone(), row.program.clone(), row.unprivileged),
                us,
            ))
        })
        .collect()
}

fn chosen(options: &Options, row: &Row) -> bool {
    let Some(text) = &options.filter else {
        return true;
    };
    row.object.contains(text.as_str()) || row.program.contains(text.as_str())
}

/// Asks the verifier about rows.
struct Examiner<'a> {
    options: &'a Options,
    subjects: &'a Subjects,
}

impl Examiner<'_> {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.options.limit)
    }

    /// Every row, in the table's order.
    fn compare(&self, rows: &[&Row]) -> Vec<Compared> {
        let next = AtomicUsize::new(0);
        let answers: Mutex<Vec<(usize, Compared)>> = Mutex::default();
        std::thread::scope(|scope| {
            for _ in 0..self.options.jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(row) = rows.get(at) else { break };
                        let one = self.examine(row);
                        let mut all = answers.lock().unwrap_or_else(PoisonError::into_inner);
                        all.push((at, one));
                    }
                });
            }
        });
        let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
        answers.sort_by_key(|(at, _)| *at);
        answers.into_iter().map(|(_, one)| one).collect()
    }

    fn input(&self, row: &Row) -> Result<Subject, NoInput> {
        if row.test.is_none() {
            return self.subjects.subject(row);
        }
        let folder = self.options.dumps.as_deref().ok_or(NoInput::NoObject)?;
        match replay::input(folder, row, self.subjects.kernel()) {
            Ok(Some(input)) => Ok(Subject {
                input,
                annotations: Annotations::default(),
            }),
            Ok(None) => Err(NoInput::NoObject),
            Err(why) => Err(NoInput::NotLoadable(why)),
        }
    }

    fn examine(&self, row: &Row) -> Compared {
        let mut one = Compared {
            row: row.clone(),
            ours: Ours::NoObject,
            same_program: true,
            message: String::new(),
            missed: None,
            has_messages: false,
        };
        let subject = match self.input(row) {
            Ok(subject) => subject,
            Err(NoInput::NoObject) => return one,
            Err(NoInput::NotLoadable(why)) => {
                one.ours = Ours::NotLoadable(why);
                return one;
            }
        };
        one.same_program = row.insn_hash.is_empty() || insn_hash(&subject.input) == row.insn_hash;
        let annotated = subject.annotations.log_level;
        let level = if annotated & 3 != 0 { annotated | 4 } else { 4 };
        let (input, repeat) = (subject.input.clone(), self.options.repeat.max(1));
        let said = match work::isolated(self.limit(), move || work::verdict(input, level, repeat)) {
            Ok(said) => said,
            Err(trouble) => {
                one.ours = Ours::Trouble(trouble);
                return one;
            }
        };
        self.words(&mut one, &subject, &said);
        one.ours = Ours::Said(Box::new(work::Said {
            log: String::new(),
            ..said
        }));
        one
    }

    /// The log that the recording loader would have read, and what it lacks.
    fn words(&self, one: &mut Compared, subject: &Subject, said: &work::Said) {
        const GIANT: u64 = 60_000;
        let mode = subject.annotations.mode(one.row.unprivileged);
        one.has_messages = !mode.messages.is_empty() && one.row.messages_hold;
        if said.accepted && mode.messages.is_empty() {
            return;
        }
        let annotated = subject.annotations.log_level;
        let level = match annotated {
            0 if said.accepted => 0,
            0 => 1,
            level => level,
        };
        let log = if said.stats.insns_processed >= GIANT
            && one.row.insns_processed.unwrap_or(0) >= GIANT
        {
            said.log.clone()
        } else {
            let input = subject.input.clone();
            match work::isolated(self.limit(), move || work::verdict(input, level, 1)) {
                Ok(again) => again.log,
                Err(_) => String::new(),
            }
        };
        if !said.accepted {
            one.message = last_words(&log);
        }
        one.missed = missed(&mode.messages, &log).map(|message| {
            let not = if message.negative { "not " } else { "" };
            format!("{not}{}", message.text)
        });
    }

    /// Programs that say what they return and did so on the kernel, run on the embedded engine.
    fn returns(&self, compared: &[Compared]) -> Vec<(String, returns::Returned)> {
        let mut all = Vec::new();
        for one in compared {
            let row = &one.row;
            let (Some(expected), true, false) = (row.return_expected, row.run_ok, row.unprivileged)
            else {
                continue;
            };
            let Some(path) = self.subjects.file(&row.object) else {
                continue;
            };
            let program = row.program.clone();
            let answer = work::isolated(self.limit(), move || {
                returns::run(&path, &program, expected)
            });
            let answer = answer.unwrap_or_else(|trouble| {
                returns::Returned::Wrong(match trouble {
                    work::Trouble::Panicked(words) => format!("panic: {words}"),
                    work::Trouble::TooLate => "no end in time".into(),
                })
            });
            all.push((format!("{} {}", row.object, row.program), answer));
        }
        all
    }

    /// Our whole log of one program beside the table's row.
    fn show(&self, table: &Table, object: &str, program: &str, unprivileged: bool) {
        let is_it = |row: &&Row| {
            let file = row.object.rsplit('/').next().unwrap_or_default();
            let named = row.object == object || file.split('.').next() == Some(object);
            let test = row.test.map(|test| test.to_string());
            let is_program = row.program == program || test.as_deref() == Some(program);
            (named || row.test.is_some() && object == "tv")
                && is_program
                && row.unprivileged == unprivileged
        };
        for row in table.rows.iter().filter(is_it) {
            println!(
                "== {} {} {} {}",
                table.name,
                row.object,
                row.program,
                row.mode()
            );
            let subject = match self.input(row) {
                Ok(subject) => subject,
                Err(NoInput::NoObject) => {
                    println!("the object is not here");
                    continue;
                }
                Err(NoInput::NotLoadable(why)) => {
                    println!("not loadable: {why}");
                    continue;
                }
            };
            print_input(&subject.input);
            let (input, level) = (subject.input.clone(), self.options.level);
            match work::isolated(self.limit(), move || work::verdict(input, level, 1)) {
                Ok(said) => {
                    println!("{}", said.log);
                    let verdict = if said.accepted { "accept" } else { "reject" };
                    println!(
                        "ours:   {verdict} {} {} explored {} states {}",
                        said.errno, said.code, said.stats.insns_processed, said.stats.states_total
                    );
                }
                Err(trouble) => println!("ours:   {trouble:?}"),
            }
            let verdict = match row.verdict {
                Verdict::Accept => "accept",
                Verdict::Reject => "reject",
                Verdict::Elsewhere => "never verified",
            };
            println!(
                "kernel: {verdict} explored {}: {}",
                row.insns_processed.unwrap_or(0),
                row.message
            );
            for message in &subject.annotations.mode(unprivileged).messages {
                let not = if message.negative { "not " } else { "" };
                println!("wanted: {not}{}", message.text);
            }
        }
    }
}

fn print_input(input: &Input) {
    println!(
        "{} {:?} flags {} target {:?} maps {} functions {} types {} log {}",
        input.program_type,
        input.attach_type,
        input.flags,
        input.target,
        input.maps.len(),
        input.functions.len(),
        input.program_btf.is_some(),
        input.log_level
    );
}
