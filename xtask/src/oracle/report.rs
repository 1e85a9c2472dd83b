//! The report: how far the verdicts, messages, effort and times agree, and every difference by name.
//!
//! Invariant: a share is printed with both its numbers.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::compare::{Compared, Relation};
use super::exceptions::Exceptions;
use super::returns::Returned;
use super::table::Verdict;

/// All that was found for one table.
pub struct Findings {
    pub table: String,
    pub kernel: String,
    pub profile: String,
    pub types: String,
    pub compared: Vec<Compared>,
    pub returns: Vec<(String, Returned)>,
    /// The kernel's own times for some of the programs: µs by object, program and mode.
    pub times: HashMap<(String, String, bool), u64>,
}

/// The numbers of one table.
#[derive(Default)]
pub struct Sums {
    pub rows: usize,
    pub compared: usize,
    pub same: usize,
    pub by_relation: BTreeMap<Relation, usize>,
    pub excused: usize,
    pub no_object: usize,
    pub without_verdict: usize,
    pub other_program: usize,
    pub messages: (usize, usize),
    pub last_words: (usize, usize),
    pub insns_median: f64,
    pub insns_within: (usize, usize),
    pub insns_sum: (u64, u64),
    pub ns_per_insn: f64,
    pub our_us: f64,
    pub kernel_us: f64,
    pub timed: usize,
    pub twice: usize,
    pub returns: (usize, usize),
    pub returns_lacking: usize,
    pub by_type: BTreeMap<String, (usize, usize)>,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn share((part, whole): (usize, usize)) -> String {
    if whole == 0 {
        return "none".into();
    }
    format!(
        "{:.1} % ({part} of {whole})",
        100.0 * part as f64 / whole as f64
    )
}

impl Findings {
    pub fn sums(&self, exceptions: &Exceptions) -> Sums {
        let mut sums = Sums {
            rows: self.compared.len(),
            ..Sums::default()
        };
        let mut ratios = Vec::new();
        let mut per_insn = Vec::new();
        for one in &self.compared {
            let relation = one.relation();
            match relation {
                Relation::NotCompared if one.row.verdict == Verdict::Elsewhere => {
                    sums.without_verdict += 1;
                }
                Relation::NotCompared => sums.no_object += 1,
                _ => {}
            }
            if matches!(relation, Relation::NotCompared) {
                continue;
            }
            *sums.by_relation.entry(relation).or_default() += 1;
            sums.compared += 1;
            sums.other_program += usize::from(!one.same_program);
            let same = relation == Relation::Same;
            sums.same += usize::from(same);
            sums.excused +=
                usize::from(!same && exceptions.reason(&self.kernel, &one.row).is_some());
            let of_type = sums
                .by_type
                .entry(one.row.program_type.clone())
                .or_default();
            of_type.0 += usize::from(same);
            of_type.1 += 1;
            if one.has_messages {
                sums.messages.0 += usize::from(one.missed.is_none());
                sums.messages.1 += 1;
            }
            if !same {
                continue;
            }
            if one.row.verdict == Verdict::Reject && !one.row.message.is_empty() {
                sums.last_words.0 += usize::from(one.message == one.row.message);
                sums.last_words.1 += 1;
            }
            let Some(said) = one.said() else { continue };
            let explored = said.stats.insns_processed;
            if let Some(theirs) = one.row.insns_processed.filter(|&n| n > 0) {
                let ratio = explored as f64 / theirs as f64;
                ratios.push(ratio);
                sums.insns_within.0 += usize::from((0.95..=1.05).contains(&ratio));
                sums.insns_within.1 += 1;
                sums.insns_sum.0 += explored;
                sums.insns_sum.1 += theirs;
            }
            if explored > 0 {
                per_insn.push(said.stats.nanoseconds as f64 / explored as f64);
            }
            let key = (
                one.row.object.clone(),
                one.row.program.clone(),
                one.row.unprivileged,
            );
            if let Some(&us) = self.times.get(&key) {
                let ours = said.stats.nanoseconds as f64 / 1000.0;
                sums.our_us += ours;
                sums.kernel_us += us as f64;
                sums.timed += 1;
                sums.twice += usize::from(ours > 2.0 * us as f64);
            }
        }
        sums.insns_median = median(ratios);
        sums.ns_per_insn = median(per_insn);
        for (_, returned) in &self.returns {
            match returned {
                Returned::Right => {
                    sums.returns.0 += 1;
                    sums.returns.1 += 1;
                }
                Returned::Wrong(_) => sums.returns.1 += 1,
                Returned::Lacks(_) => sums.returns_lacking += 1,
            }
        }
        sums
    }

    /// The summary in words.
    pub fn summary(&self, exceptions: &Exceptions) -> String {
        let sums = self.sums(exceptions);
        let mut out = String::new();
        let count = |relation| sums.by_relation.get(&relation).copied().unwrap_or(0);
        let _ = writeln!(
            out,
            "## {} (profile {}, types {})\n",
            self.table, self.profile, self.types
        );
        let _ = writeln!(
            out,
            "- rows {}: compared {}, without a verdict there {}, object not here {}; other instructions than there {}",
            sums.rows, sums.compared, sums.without_verdict, sums.no_object, sums.other_program
        );
        let _ = writeln!(
            out,
            "- verdicts agree: {}; false accepts {}, false rejects {}, not loadable {}, panics {}, no end in time {}; of these with a reason on file {}",
            share((sums.same, sums.compared)),
            count(Relation::FalseAccept),
            count(Relation::FalseReject),
            count(Relation::NotLoadable),
            count(Relation::Panic),
            count(Relation::TooLate),
            sums.excused
        );
        let types: Vec<String> = sums
            .by_type
            .iter()
            .map(|(name, (same, all))| format!("{name} {same}/{all}"))
            .collect();
        let _ = writeln!(out, "- by program type: {}", types.join(", "));
        let _ = writeln!(
            out,
            "- annotated messages that the kernel's log holds and ours too: {}; last words the same: {}",
            share(sums.messages),
            share(sums.last_words)
        );
        let (ours, theirs) = sums.insns_sum;
        let _ = writeln!(
            out,
            "- instructions explored, ours to the kernel's: median {:.3}, sum {:.3} ({ours} to {theirs}); within 5 %: {}",
            sums.insns_median,
            ours as f64 / theirs.max(1) as f64,
            share(sums.insns_within)
        );
        let _ = writeln!(
            out,
            "- time: median {:.3} µs an explored instruction; {} programs with the kernel's own time: ours {:.1} ms, the kernel's {:.1} ms; above twice the kernel's: {}",
            sums.ns_per_insn / 1000.0,
            sums.timed,
            sums.our_us / 1000.0,
            sums.kernel_us / 1000.0,
            sums.twice
        );
        if !self.returns.is_empty() {
            let _ = writeln!(
                out,
                "- return values on the embedded engine: right {}; it lacks something for {}",
                share(sums.returns),
                sums.returns_lacking
            );
        }
        out
    }

    /// Every difference, by kind and file.
    pub fn differences(
        &self,
        exceptions: &Exceptions,
        wanted: impl Fn(&Compared) -> bool,
    ) -> String {
        let mut out = String::new();
        let mut found: BTreeMap<(Relation, &str), Vec<&Compared>> = BTreeMap::new();
        for one in self.compared.iter().filter(|one| wanted(one)) {
            let relation = one.relation();
            if !matches!(relation, Relation::Same | Relation::NotCompared) {
                let list = found.entry((relation, &one.row.object)).or_default();
                list.push(one);
            }
        }
        for ((relation, object), list) in found {
            let _ = writeln!(out, "### {} {object}: {}", relation.name(), list.len());
            for one in list {
                let row = &one.row;
                let reason = exceptions.reason(&self.kernel, row);
                let _ = writeln!(
                    out,
                    "- {}{} {}{}\n    kernel: {}\n    ours:   {}{}",
                    row.test.map_or(String::new(), |test| format!("#{test} ")),
                    row.program,
                    row.mode(),
                    if one.same_program {
                        ""
                    } else {
                        " [other instructions]"
                    },
                    match row.verdict {
                        Verdict::Accept => "accept".to_owned(),
                        _ => format!("reject: {}", row.message),
                    },
                    one.ours_in_words(),
                    reason.map_or(String::new(), |why| format!("\n    reason: {why}")),
                );
            }
        }
        out
    }

    /// Rows with the right verdict and other words: by the kernel's last line, numbers folded.
    pub fn wordings(&self) -> String {
        let mut groups: BTreeMap<String, Vec<&Compared>> = BTreeMap::new();
        for one in &self.compared {
            let other = one.row.verdict == Verdict::Reject && one.message != one.row.message;
            if one.relation() == Relation::Same
                && (other || (one.has_messages && one.missed.is_some()))
            {
                let last = one.row.message.rsplit(" | ").next().unwrap_or_default();
                groups.entry(folded(last)).or_default().push(one);
            }
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(_, list)| std::cmp::Reverse(list.len()));
        let mut out = String::new();
        for (pattern, list) in groups {
            let pattern = if pattern.is_empty() {
                "(accepted)"
            } else {
                &pattern
            };
            let _ = writeln!(out, "### {} x {pattern}", list.len());
            for one in list.iter().take(6) {
                let row = &one.row;
                let _ = writeln!(
                    out,
                    "- {} {} {}\n    kernel: {}\n    ours:   {}{}",
                    row.object,
                    row.test
                        .map_or(row.program.clone(), |test| format!("#{test}")),
                    row.mode(),
                    row.message,
                    one.message,
                    one.missed
                        .as_ref()
                        .filter(|_| one.has_messages)
                        .map_or(String::new(), |text| format!("\n    missing: {text}"))
                );
            }
            if list.len() > 6 {
                let _ = writeln!(out, "- and {} more", list.len() - 6);
            }
        }
        out
    }

    /// Programs that take another effort or longer than the kernel needs.
    pub fn effort(&self) -> String {
        let mut off: Vec<(f64, String)> = Vec::new();
        for one in &self.compared {
            let (Some(said), Some(theirs), Relation::Same) =
                (one.said(), one.row.insns_processed, one.relation())
            else {
                continue;
            };
            let ours = said.stats.insns_processed;
            let ratio = ours as f64 / theirs.max(1) as f64;
            let key = (
                one.row.object.clone(),
                one.row.program.clone(),
                one.row.unprivileged,
            );
            let us = said.stats.nanoseconds as f64 / 1000.0;
            let kernel_us = self.times.get(&key).copied().unwrap_or(0);
            let slow = kernel_us > 0 && us > 2.0 * kernel_us as f64;
            if theirs > 0 && (!(0.95..=1.05).contains(&ratio) || slow) {
                off.push((
                    (ours as f64 - theirs as f64).abs() + if slow { us } else { 0.0 },
                    format!(
                        "- {} {} {}: explored {ours} to {theirs} ({ratio:.2}); {us:.0} µs to {kernel_us}{}",
                        one.row.object,
                        one.row.program,
                        one.row.mode(),
                        if slow { " SLOW" } else { "" }
                    ),
                ));
            }
        }
        off.sort_by(|a, b| b.0.total_cmp(&a.0));
        let lines: Vec<String> = off.into_iter().take(60).map(|(_, line)| line).collect();
        lines.join("\n") + "\n"
    }

    /// Return values that are wrong, and what the engine lacks.
    pub fn returned(&self) -> String {
        let mut out = String::new();
        let mut lacking: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (program, returned) in &self.returns {
            match returned {
                Returned::Right => {}
                Returned::Wrong(why) => {
                    let _ = writeln!(out, "- {program}: {why}");
                }
                Returned::Lacks(what) => lacking.entry(what).or_default().push(program),
            }
        }
        for (what, programs) in lacking {
            let _ = writeln!(out, "- lacks {what}: {}", programs.join(", "));
        }
        out
    }

    /// The same for machines.
    pub fn json(&self, exceptions: &Exceptions) -> Value {
        let sums = self.sums(exceptions);
        let rows: Vec<Value> = self
            .compared
            .iter()
            .filter(|one| one.relation() != Relation::NotCompared)
            .map(|one| {
                let stats = one.said().map(|said| said.stats).unwrap_or_default();
                json!({
                    "object": one.row.object, "program": one.row.program, "mode": one.row.mode(), "test": one.row.test,
                    "relation": one.relation().name(), "kernel": one.row.message, "ours": one.ours_in_words(),
                    "missed": one.missed.as_ref().filter(|_| one.has_messages), "insns_processed": stats.insns_processed, "insns_kernel": one.row.insns_processed,
                    "ns": stats.nanoseconds, "states": stats.states_total, "same_program": one.same_program,
                })
            })
            .collect();
        json!({
            "table": self.table, "kernel": self.kernel, "profile": self.profile, "compared": sums.compared, "same": sums.same,
            "messages": sums.messages.0, "messages_of": sums.messages.1, "insns_median": sums.insns_median,
            "insns_sum": sums.insns_sum.0, "insns_sum_kernel": sums.insns_sum.1, "ns_per_insn": sums.ns_per_insn, "rows": rows,
        })
    }
}

/// Numbers and quoted names folded, so that messages of one kind meet.
fn folded(message: &str) -> String {
    let mut out = String::new();
    let mut chars = message.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_ascii_digit() {
            while chars
                .peek()
                .is_some_and(|c| c.is_ascii_hexdigit() || *c == 'x')
            {
                chars.next();
            }
            out.push('N');
        } else {
            out.push(c);
        }
    }
    out
}
