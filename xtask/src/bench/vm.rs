//! Nanoseconds per instruction of the sandboxed interpreter on the ten programs of benches/programs, beside rbpf's.

use std::process::Command;

use super::{Built, Report, Row, mean, pinned};

const PROGRAMS: &[&str] = &[
    "arith", "divmod", "sieve", "siphash", "copy", "state", "packet", "crc32", "calls", "unrolled",
];

pub(super) fn run(built: &Built) -> Result<Report, String> {
    let folder = built.root.join("benches/programs");
    for name in PROGRAMS {
        let status = Command::new("clang-19")
            .args(["-O2", "-target", "bpf", "-mcpu=v3", "-DVMB_RAW", "-c"])
            .arg(format!("-DNAME={name}"))
            .arg(folder.join(format!("{name}.c")))
            .arg("-o")
            .arg(built.scratch.join(format!("{name}.o")))
            .status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(format!(
                "clang-19 is needed to compile benches/programs/{name}.c"
            ));
        }
    }
    let scratch = built.scratch.to_string_lossy().into_owned();
    let output =
        pinned(&built.tools.join("vm"), &[&scratch]).ok_or("the interpreter bench failed")?;
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
        rows.push(Row {
            what: format!("sandboxed interpreter, {name}"),
            skep,
            peer: peer.map(|ns| ("rbpf".to_owned(), ns)),
            unit: "ns/insn",
            bar: None,
        });
    }
    if ours.len() != PROGRAMS.len() {
        return Err(format!("{} of {} programs ran", ours.len(), PROGRAMS.len()));
    }
    rows.push(Row {
        what: "sandboxed interpreter, geometric mean".to_owned(),
        skep: mean(&ours),
        peer: (!theirs.is_empty()).then(|| ("rbpf".to_owned(), mean(&theirs))),
        unit: "ns/insn",
        bar: Some(4.0),
    });
    Ok(rows.into())
}
