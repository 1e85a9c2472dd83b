//! Microseconds of the verifier for an explored instruction, beside the running kernel's where bpf(2) works.

use super::{Built, Report, Row, pinned};

/// What the project has set itself for the median program.
const BAR: f64 = 0.5;

pub(super) fn run(built: &Built) -> Result<Report, String> {
    let output = pinned(&built.tools.join("verify"), &[]).ok_or("the verifier bench failed")?;
    let (mut rows, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for line in output.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(skep), Some(peer)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Ok(skep) = skep.parse::<f64>() else {
            continue;
        };
        let peer: Option<f64> = peer.parse().ok();
        ours.push(skep);
        theirs.extend(peer);
        rows.push(row(format!("verifier, {name}"), skep, peer, None));
    }
    let Some(skep) = median(&mut ours) else {
        return Err("no program was verified".to_owned());
    };
    let peer = median(&mut theirs).filter(|_| theirs.len() == ours.len());
    rows.push(row(
        "verifier, median program".to_owned(),
        skep,
        peer,
        Some(BAR),
    ));
    Ok(rows.into())
}

fn row(what: String, skep: f64, peer: Option<f64>, bar: Option<f64>) -> Row {
    Row {
        what,
        skep,
        peer: peer.map(|us| ("the kernel".to_owned(), us)),
        unit: "µs/insn",
        bar,
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
