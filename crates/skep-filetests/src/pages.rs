//! The pages `docs/errors/verifier-*.md`, made from the catalogue of rejections and the fixtures under `filetests/verify`.
//!
//! Invariants: what a page shows of an example is what the verifier, and the explanation, say of that fixture now; the
//! corrected program is the suggested edit applied and verified. A fixture with a line `; page` comes before others.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use skep::ObjectSpec;
use skep::spec::disasm::{self, Style};
use skep::spec::insn::{Insn, pseudo};
use skep::spec::profile::Profile;
use skep::verifier::Input;
use skep::verifier::explain::calls;
use skep::verifier::explain::catalogue::{self, Entry};
use skep::verifier::explain::edit::Edit;
use skep::verifier::explain::{self, Explanation, Outcome, from_log, log};
use skep::verifier::input::Caps;
use skep_btf::Btf;
use skep_diag::{Diagnostics, render};

use crate::verify::{self, Case};

/// Kernels whose verdicts are shown.
const KERNELS: [Profile; 7] = [
    Profile::V5_10,
    Profile::V5_15,
    Profile::V6_1,
    Profile::V6_6,
    Profile::V6_12,
    Profile::V6_18,
    Profile::V7_3,
];

/// A log where no program can be shown: the kernel's rewriting comes after the verdict.
const PATCH_RANGE_LOG: &str = "\
39998: (95) exit
insn 6910 cannot be patched due to 16-bit range
processed 40012 insns (limit 1000000) max_states_per_insn 1 total_states 12 peak_states 12 mark_read 1
";

/// One file of fixtures.
struct Fixture {
    file: String,
    text: String,
    spec: ObjectSpec,
    types: Vec<Arc<Btf>>,
}

impl Fixture {
    fn read(path: &Path) -> Result<Fixture, String> {
        let file = path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let broken = |why: String| format!("{file}: {why}");
        let text = std::fs::read_to_string(path).map_err(|why| broken(why.to_string()))?;
        let spec = ObjectSpec::parse(text.as_bytes()).map_err(|why| broken(why.to_string()))?;
        let types = verify::kernel_types(&text).map_err(broken)?;
        Ok(Fixture {
            file,
            text,
            spec,
            types,
        })
    }

    /// The first case of that page.
    fn case(&self, id: &str) -> Option<Case<'_>> {
        let wanted = format!("id={id}");
        verify::lines(&self.text)
            .filter_map(|(_, case)| Case::parse(case).ok())
            .find(|case| case.verdict.iter().any(|part| *part == wanted))
    }

    /// What its comment says of it.
    fn comment(&self) -> String {
        let lines = self.text.lines().take_while(|line| line.starts_with(';'));
        let said = lines.filter_map(|line| {
            let text = line.strip_prefix("; ")?;
            let directive = text == "page"
                || ["test ", "verify:", "kernel:"]
                    .iter()
                    .any(|verb| text.starts_with(verb));
            (!directive).then_some(text)
        });
        said.collect::<Vec<_>>().join(" ")
    }

    /// The object without directives and comments, but with what its kernel has.
    fn code(&self) -> String {
        let shown = |line: &&str| !line.starts_with(';') || line.starts_with("; kernel:");
        let lines = self.text.lines().filter(shown);
        lines.collect::<Vec<_>>().join("\n")
    }

    fn kernel_lines(&self) -> bool {
        !self.types.is_empty()
    }
}

/// Every page: file name and text.
pub fn pages(root: &Path) -> Result<Vec<(String, String)>, String> {
    let folder = root.join("filetests/verify");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .map_err(|why| format!("{}: {why}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "s"))
        .collect();
    files.sort();
    let mut fixtures = Vec::with_capacity(files.len());
    for path in &files {
        fixtures.push(Fixture::read(path)?);
    }
    fixtures.sort_by_key(|fixture| !fixture.text.lines().any(|line| line == "; page"));
    let entries = catalogue::ALL
        .iter()
        .chain([&catalogue::OTHER, &catalogue::PERMISSION]);
    entries
        .map(|entry| Ok((format!("{}.md", entry.id), page(entry, &fixtures)?)))
        .collect()
}

fn page(entry: &Entry, fixtures: &[Fixture]) -> Result<String, String> {
    let mut out = format!("# {}\n\n", entry.id);
    let mut title = entry.title.to_owned();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let _ = writeln!(out, "{title}.\n\n{}\n", entry.why);
    if !entry.patterns.is_empty() {
        out.push_str("The kernel says one of:\n\n");
        for parts in entry.patterns {
            let _ = writeln!(
                out,
                "- `{}`",
                parts
                    .iter()
                    .map(|part| part.trim())
                    .collect::<Vec<_>>()
                    .join(" … ")
            );
        }
        out.push('\n');
    }
    if !entry.help.is_empty() {
        let _ = writeln!(out, "What to do: {}.", entry.help);
    }
    let mine: Vec<&Fixture> = fixtures
        .iter()
        .filter(|fixture| fixture.case(entry.id).is_some())
        .collect();
    match mine.first() {
        Some(fixture) => {
            example(&mut out, entry, fixture).map_err(|why| format!("{}: {why}", fixture.file))?
        }
        None if entry.id == "verifier-patch-range" => patch_range(&mut out),
        None => {}
    }
    if mine.len() > 1 {
        out.push_str(
            "\nFurther programs that are refused so, each with its cause and what mends it:\n\n",
        );
        for fixture in &mine[1..] {
            let _ = writeln!(
                out,
                "- [`{file}`](../../filetests/verify/{file}): {}",
                fixture.comment(),
                file = fixture.file
            );
        }
    }
    Ok(out)
}

fn explained(input: &Input) -> Option<Explanation> {
    let rejection = skep::verifier::verify(input).err()?;
    Some(explain::explain(input, &rejection))
}

fn printed(explanation: Explanation) -> String {
    let diagnostics = Diagnostics(vec![explanation.diagnostic]);
    render::full(&diagnostics, &explanation.sources)
}

fn example(out: &mut String, entry: &Entry, fixture: &Fixture) -> Result<(), String> {
    let case = fixture.case(entry.id).ok_or("no case")?;
    let input = case.input(&fixture.spec, &fixture.types, case.kernel)?;
    let explanation = explained(&input).ok_or("it loads")?;
    let edit = explanation.edit.clone();
    let mut how = vec![format!("Linux {}", case.kernel)];
    if case.load.caps == Caps::NONE {
        how.push("loaded by a user without privileges".into());
    }
    if case.load.flags != 0 {
        how.push("with BPF_F_STRICT_ALIGNMENT".into());
    }
    if fixture.kernel_lines() {
        how.push("whose types are those of the lines `; kernel:`".into());
    }
    let _ = write!(
        out,
        "\n## An example\n\n{} ([`{file}`](../../filetests/verify/{file}))\n\n```\n{}\n```\n\nskep says ({}):\n\n```\n{}```\n",
        fixture.comment(),
        fixture.code().trim_end(),
        how.join(", "),
        printed(explanation),
        file = fixture.file,
    );
    if let Some(edit) = edit.filter(|edit| edit.outcome == Outcome::Verifies) {
        let changed = edit.edit.apply(&input).ok_or("the edit does not apply")?;
        skep::verifier::verify(&changed).map_err(|why| format!("with the edit: {why}"))?;
        let _ = write!(out, "\n## Mended\n\nWith {}, it verifies", edit.text);
        let maps = changed.maps.get(input.maps.len()..).unwrap_or_default();
        for map in maps {
            let _ = write!(
                out,
                " (a new {} map of {} bytes)",
                map.map_type.name(),
                map.value_size
            );
        }
        if changed.insns == input.insns {
            out.push_str(match edit.edit {
                Edit::Map { .. } => "; the code stays as it is, the map's definition changes.\n",
                _ => "; the code stays as it is.\n",
            });
        } else {
            let _ = write!(out, ":\n\n```diff\n{}```\n", difference(&input, &changed));
        }
    }
    kernels(out, fixture, &case);
    Ok(())
}

/// What each kernel says of the example.
fn kernels(out: &mut String, fixture: &Fixture, case: &Case<'_>) {
    out.push_str("\n## Kernels\n\nThe example on each kernel that skep knows; where older ones have other words for the same, these are those of 6.18:\n\n| Linux | verdict |\n|---|---|\n");
    let mut rows: Vec<(Vec<String>, String)> = Vec::new();
    for profile in KERNELS {
        let verdict = match case.input(&fixture.spec, &fixture.types, profile.name) {
            Err(why) => format!("cannot be loaded: {why}"),
            Ok(input) => match skep::verifier::verify(&input) {
                Ok(_) => "loads".into(),
                Err(rejection) if rejection.fault.lines.is_empty() => {
                    format!("refused without a word: errno {}", rejection.fault.errno)
                }
                Err(rejection) => {
                    let lines = rejection.fault.lines.iter();
                    let quoted: Vec<String> = lines
                        .map(|line| format!("`{}`", line.replace('|', "\\|")))
                        .collect();
                    quoted.join("<br>")
                }
            },
        };
        match rows.last_mut() {
            Some((names, last)) if *last == verdict => names.push(profile.name.to_string()),
            _ => rows.push((vec![profile.name.to_string()], verdict)),
        }
    }
    for (names, verdict) in rows {
        let _ = writeln!(out, "| {} | {verdict} |", names.join(", "));
    }
}

fn patch_range(out: &mut String) {
    let parsed = log::parse(PATCH_RANGE_LOG);
    let Some(parsed) = parsed.first() else { return };
    let explanation = from_log::explain(parsed, "log", PATCH_RANGE_LOG);
    let _ = write!(
        out,
        "\nskep verifies programs as they are loaded and rewrites nothing, so that only a kernel's log shows this:\n\n\
         ```\n{PATCH_RANGE_LOG}```\n\nskep says:\n\n```\n{}```\n",
        printed(explanation)
    );
}

/// The program, one line an instruction, with the names of its maps and of the kernel's functions.
fn named(input: &Input) -> Vec<(usize, String)> {
    let mut lines = disasm::lines(&input.insns, Style::Asm);
    for (at, text) in &mut lines {
        let insn = input.insns[*at];
        if insn.is_kfunc_call() {
            if let Some(name) = calls::name(input, *at) {
                *text = format!("call kfunc {name}");
            }
        } else if insn.is_ld_imm64()
            && insn.src == pseudo::MAP_FD
            && let Some(map) = input.maps.get(insn.imm as usize)
        {
            *text = format!("r{} = map {} ll", insn.dst, map.name);
        }
    }
    lines
}

/// Both programs as one text: `-` and `+` where they differ. Jumps and calls that were merely moved count as the same.
fn difference(before: &Input, after: &Input) -> String {
    let (old, new) = (&before.insns[..], &after.insns[..]);
    let (old_lines, new_lines) = (named(before), named(after));
    let shape = |insns: &[Insn], at: usize| {
        let mut insn = insns[at];
        if matches!(insn.code & 7, 5 | 6) && !insn.is_exit() {
            insn.off = 0;
            if insn.is_local_call() || insn.code == 0x06 {
                insn.imm = 0;
            }
        }
        insn
    };
    let same = |a: usize, b: usize| shape(old, old_lines[a].0) == shape(new, new_lines[b].0);
    // The longest common part, from the end.
    let (rows, columns) = (old_lines.len(), new_lines.len());
    let mut best = vec![vec![0_u32; columns + 1]; rows + 1];
    for a in (0..rows).rev() {
        for b in (0..columns).rev() {
            best[a][b] = if same(a, b) {
                best[a + 1][b + 1] + 1
            } else {
                best[a + 1][b].max(best[a][b + 1])
            };
        }
    }
    let mut out = String::new();
    let (mut a, mut b) = (0, 0);
    while a < rows || b < columns {
        if a < rows && b < columns && same(a, b) {
            let _ = writeln!(out, "  {}", new_lines[b].1);
            (a, b) = (a + 1, b + 1);
        } else if b < columns && (a == rows || best[a][b + 1] > best[a + 1][b]) {
            let _ = writeln!(out, "+ {}", new_lines[b].1);
            b += 1;
        } else {
            let _ = writeln!(out, "- {}", old_lines[a].1);
            a += 1;
        }
    }
    out
}
