//! The ten programs of benches/programs on every engine at hand, as ratios to native code, and what compiling costs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::{Built, Report, Row, mean, pinned};

const PROGRAMS: &[&str] = &[
    "empty", "arith", "divmod", "sieve", "siphash", "copy", "state", "packet", "crc32", "calls",
    "unrolled",
];
/// Native code has vector registers for these, and BPF has none.
const VECTOR: &[&str] = &["sieve", "copy"];
const ENGINES: &[&str] = &[
    "jit",
    "jit-budget",
    "jit-sandboxed",
    "kernel",
    "rbpf",
    "ubpf",
    "rbpf-cranelift",
    "interp",
    "sandboxed",
];

#[derive(Default)]
struct Figures {
    /// Nanoseconds a run, by program and engine.
    run: BTreeMap<(String, String), f64>,
    insns: BTreeMap<String, f64>,
    /// Nanoseconds and instructions, by program and engine.
    compile: Vec<(String, String, f64, f64)>,
    notes: Vec<String>,
}

pub(super) fn run(built: &Built) -> Result<Report, String> {
    compile_programs(&built.root.join("benches/programs"), &built.scratch)?;
    let scratch = built.scratch.to_string_lossy().into_owned();
    let peer = std::env::var("SKEP_UBPF").unwrap_or_default();
    let output = pinned(&built.tools.join("engines"), &[&scratch, &peer])
        .ok_or("the bench of the engines failed")?;
    let figures = Figures::parse(&output);
    Ok(Report {
        rows: figures.rows()?,
        table: figures.table(),
    })
}

fn clang(args: &[&str], defines: &[String], source: &Path, out: &Path) -> Result<(), String> {
    let status = Command::new("clang-19")
        .args(["-O2"])
        .args(args)
        .args(defines)
        .arg(source)
        .arg("-o")
        .arg(out)
        .status();
    if status.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err(format!(
            "clang-19 is needed to compile {}",
            source.display()
        ))
    }
}

fn compile_programs(folder: &Path, scratch: &Path) -> Result<(), String> {
    const BPF: &[&str] = &["-target", "bpf", "-mcpu=v3", "-fno-builtin", "-c"];
    let mut natives = Vec::new();
    for name in PROGRAMS {
        let source = folder.join(format!("{name}.c"));
        let define = |kind: &str| vec![format!("-DVMB_{kind}"), format!("-DNAME={name}")];
        clang(
            BPF,
            &define("RAW"),
            &source,
            &scratch.join(format!("{name}.o")),
        )?;
        let xdp = scratch.join(format!("{name}.xdp.o"));
        clang(BPF, &define("KERNEL"), &source, &xdp)?;
        let native = scratch.join(format!("{name}.native.o"));
        clang(&["-fPIC", "-c"], &define("NATIVE"), &source, &native)?;
        natives.push(native);
    }
    let status = Command::new("clang-19")
        .arg("-shared")
        .args(&natives)
        .arg("-o")
        .arg(scratch.join("native.so"))
        .status();
    if status.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err("clang-19 does not link the native programs".to_owned())
    }
}

impl Figures {
    fn parse(output: &str) -> Figures {
        let mut figures = Figures::default();
        for line in output.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["run", program, engine, ns] => {
                    if let Ok(ns) = ns.parse() {
                        figures
                            .run
                            .insert((program.to_owned(), engine.to_owned()), ns);
                    }
                }
                ["insns", program, count] => {
                    if let Ok(count) = count.parse() {
                        figures.insns.insert(program.to_owned(), count);
                    }
                }
                ["compile", program, engine, ns, insns] => {
                    if let (Ok(ns), Ok(insns)) = (ns.parse(), insns.parse()) {
                        let (program, engine) = (program.to_owned(), engine.to_owned());
                        figures.compile.push((program, engine, ns, insns));
                    }
                }
                ["note", ..] => figures
                    .notes
                    .push(line.trim_start_matches("note ").to_owned()),
                _ => {}
            }
        }
        figures
    }

    fn ns(&self, program: &str, engine: &str) -> Option<f64> {
        self.run
            .get(&(program.to_owned(), engine.to_owned()))
            .copied()
    }

    fn ratio(&self, program: &str, engine: &str) -> Option<f64> {
        Some(self.ns(program, engine)? / self.ns(program, "native")?)
    }

    /// The mean ratio to native over all programs but the empty one; nothing if one is missing.
    fn mean(&self, engine: &str, vector: bool) -> Option<f64> {
        let ratios: Option<Vec<f64>> = PROGRAMS
            .iter()
            .filter(|name| **name != "empty" && (vector || !VECTOR.contains(name)))
            .map(|name| self.ratio(name, engine))
            .collect();
        ratios.map(|ratios| mean(&ratios))
    }

    /// Nanoseconds an instruction, geometric mean.
    fn per_insn(&self, engine: &str) -> Option<f64> {
        let all: Option<Vec<f64>> = PROGRAMS
            .iter()
            .filter(|name| **name != "empty")
            .map(|name| Some(self.ns(name, engine)? / self.insns.get(*name)?))
            .collect();
        all.map(|all| mean(&all))
    }

    fn rows(&self) -> Result<Vec<Row>, String> {
        let best = |vector: bool| {
            ["kernel", "rbpf", "ubpf", "rbpf-cranelift"]
                .iter()
                .filter_map(|engine| Some((engine.to_string(), self.mean(engine, vector)?)))
                .min_by(|a, b| a.1.total_cmp(&b.1))
        };
        let jit = |vector: bool| {
            self.mean("jit", vector)
                .ok_or_else(|| format!("the JIT did not run everything: {:?}", self.notes))
        };
        let mut rows = vec![
            Row {
                what: "JIT, ratio to native, ten programs".to_owned(),
                skep: jit(true)?,
                peer: best(true),
                unit: "x",
                bar: Some(1.35),
            },
            Row {
                what: "JIT, ratio to native, without sieve and copy".to_owned(),
                skep: jit(false)?,
                peer: best(false),
                unit: "x",
                bar: Some(1.10),
            },
        ];
        if let Some(ns) = self.ns("empty", "jit") {
            let peer = self.ns("empty", "ubpf").map(|ns| ("ubpf".to_owned(), ns));
            rows.push(Row {
                what: "JIT, call of an empty program".to_owned(),
                skep: ns,
                peer,
                unit: "ns",
                bar: Some(4.0),
            });
        }
        if let (Some(with), Some(without)) = (self.mean("jit-budget", true), self.mean("jit", true))
        {
            rows.push(Row {
                what: "JIT, cost of an instruction budget".to_owned(),
                skep: 100.0 * (with / without - 1.0),
                peer: None,
                unit: "%",
                bar: Some(2.0),
            });
        }
        for (engine, what, bar) in [
            ("interp", "proven interpreter", 1.5),
            ("sandboxed", "sandboxed interpreter", 2.5),
        ] {
            if let Some(ns) = self.per_insn(engine) {
                rows.push(Row {
                    what: format!("{what}, geometric mean"),
                    skep: ns,
                    peer: None,
                    unit: "ns/insn",
                    bar: Some(bar),
                });
            }
        }
        for (program, engine, ns, insns) in &self.compile {
            if engine == "jit" {
                let peer = self
                    .compile
                    .iter()
                    .find(|other| &other.0 == program && other.1 == "rbpf")
                    .map(|other| ("rbpf".to_owned(), other.2 / other.3));
                rows.push(Row {
                    what: format!("JIT, compile {program}"),
                    skep: ns / insns,
                    peer,
                    unit: "ns/insn",
                    bar: Some(15.0),
                });
            }
        }
        Ok(rows)
    }

    /// A program a line, an engine a column.
    fn table(&self) -> String {
        let engines: Vec<&str> = ENGINES
            .iter()
            .copied()
            .filter(|engine| self.run.keys().any(|(_, name)| name == engine))
            .collect();
        let mut text = String::from(
            "\n## Programs, ratio to native (clang -O2)\n\nThe kernel's column includes the loop of BPF_PROG_TEST_RUN (see `empty`), and its programs one more bounds test. Lower is better.\n\n",
        );
        let _ = writeln!(
            text,
            "| program | insns | native ns | {} |",
            engines.join(" | ")
        );
        let _ = writeln!(text, "|---|---|---|{}", "---|".repeat(engines.len()));
        let cell = |ratio: Option<f64>| {
            ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
        };
        for name in PROGRAMS {
            let cells: Vec<String> = engines
                .iter()
                .map(|engine| cell(self.ratio(name, engine)))
                .collect();
            let _ = writeln!(
                text,
                "| {name} | {:.0} | {:.1} | {} |",
                self.insns.get(*name).copied().unwrap_or_default(),
                self.ns(name, "native").unwrap_or_default(),
                cells.join(" | ")
            );
        }
        for (what, vector) in [
            ("**geometric mean of the ten**", true),
            ("**without sieve and copy**", false),
        ] {
            let cells: Vec<String> = engines
                .iter()
                .map(|engine| cell(self.mean(engine, vector)))
                .collect();
            let _ = writeln!(text, "| {what} | | | {} |", cells.join(" | "));
        }
        if !self.notes.is_empty() {
            text.push('\n');
            for note in &self.notes {
                let _ = writeln!(text, "- {note}");
            }
        }
        text
    }
}
