//! Packets per second from a capture to a verdict, end to end, beside tcpdump with a filter.

use std::path::Path;
use std::time::Instant;

use super::{Built, Report, Row, installed, least, pinned};

const PACKETS: u32 = 2_000_000;
const TRIES: usize = 5;
const DROP: &str = include_str!("drop.s");

pub(super) fn run(built: &Built) -> Result<Report, String> {
    let capture = built.scratch.join("imix.pcap");
    let capture = capture.to_string_lossy().into_owned();
    pinned(&built.tools.join("imix"), &[&capture, &PACKETS.to_string()])
        .ok_or("the capture could not be written")?;
    let object = built.scratch.join("drop.s");
    std::fs::write(&object, DROP).map_err(|error| format!("{}: {error}", object.display()))?;
    let object = object.to_string_lossy().into_owned();
    let timed = |program: &Path, args: &[&str]| -> Option<f64> {
        let start = Instant::now();
        pinned(program, args)?;
        Some(start.elapsed().as_nanos() as f64 / f64::from(PACKETS))
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TRIES {
        ours.push(timed(&built.skep, &["run", &object, "--pcap", &capture]));
        if installed("tcpdump") {
            theirs.push(timed(
                Path::new("tcpdump"),
                &["-r", &capture, "-w", "/dev/null", "tcp port 443"],
            ));
        }
    }
    let skep = least(ours).ok_or("skep run --pcap failed")?;
    Ok(Report::from(vec![Row {
        what: "capture replay, XDP drop, per IMIX packet".to_owned(),
        skep,
        peer: least(theirs).map(|ns| ("tcpdump -r … 'tcp port 443'".to_owned(), ns)),
        unit: "ns",
        bar: Some(285.0),
    }]))
}
