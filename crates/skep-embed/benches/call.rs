//! What calling a plug-in costs: nanoseconds a call, beside a call of a Rust function through a pointer in the same run.
//!
//! Run with `cargo bench -p skep-embed --bench call`. Each line is the least of several rounds.

use std::hint::black_box;
use std::time::{Duration, Instant};

use skep_embed::{Builder, Bytes, Context, Limits, Plugin};

#[derive(Context)]
#[repr(C)]
struct Request<'a> {
    #[bpf(read)]
    body: Bytes<'a>,
    #[bpf(read, write)]
    verdict: u32,
}

struct Service {
    limit: u64,
}

const EMPTY: &str = "r0 = 0";
const FIELDS: &str = "r0 = 0\nr2 = *(u64 *)(r1 + 0)\nr3 = *(u64 *)(r1 + 8)\nr4 = r2\nr4 += 1\nif r4 > r3 goto out\nr0 = *(u8 *)(r2 + 0)\nout:\n*(u32 *)(r1 + 16) = r0";
const LOOP: &str =
    "r0 = 0\nr2 = 0\nagain:\nr2 += 3\nr2 ^= r0\nr2 *= 5\nr0 += 1\nif r0 < 150000 goto again";
const NUMBER: &str = "r1 = 5\ncall 1000";
const SLICE: &str = "*(u64 *)(r10 - 8) = 1\nr1 = r10\nr1 += -8\nr2 = 8\ncall 1001";

fn builder() -> Builder<Request<'static>, Service> {
    Plugin::<Request<'static>, Service>::builder()
        .helper("number", 1000, |service: &Service, value: u64| {
            service.limit + value
        })
        .helper("slice", 1001, |_: &Service, bytes: &[u8]| {
            bytes.len() as u64
        })
}

fn main() {
    let limits = Limits {
        insns: Some(1_000_000),
        timeout: Some(Duration::from_secs(1)),
        ..Limits::default()
    };
    let function: fn(&mut Request<'_>) -> u64 = black_box(|request| u64::from(request.verdict));
    line("a function pointer", function);
    for (name, text) in [
        ("empty", EMPTY),
        ("fields and a byte", FIELDS),
        ("helper of a number", NUMBER),
        ("helper of a slice", SLICE),
    ] {
        plugin(name, builder(), text);
        plugin(
            &format!("{name}, limits"),
            builder().limits(limits.clone()),
            text,
        );
        plugin(
            &format!("{name}, interpreted"),
            builder().interpreted(),
            text,
        );
        plugin(&format!("{name}, sandboxed"), builder().sandboxed(), text);
    }
    // What looking at limits costs, where there is enough to look at.
    for (name, limits) in [
        ("loop, no limits", Limits::default()),
        (
            "loop, instructions",
            Limits {
                insns: Some(1 << 30),
                ..Limits::default()
            },
        ),
        (
            "loop, time",
            Limits {
                timeout: Some(Duration::from_secs(60)),
                ..Limits::default()
            },
        ),
    ] {
        plugin(name, builder().limits(limits), LOOP);
    }
}

fn plugin(name: &str, builder: Builder<Request<'static>, Service>, text: &str) {
    let object = format!(".section \"r\"\n.function f\n{text}\nexit\n");
    let plugin = match builder.load(object.as_bytes(), "f") {
        Ok(plugin) => plugin,
        Err(error) => return println!("{name}: {error}"),
    };
    let service = Service { limit: 1 };
    line(name, |request| {
        plugin.call_with(request, &service).unwrap_or_else(|error| {
            println!("{name}: {error}");
            0
        })
    });
}

fn line(name: &str, mut call: impl FnMut(&mut Request<'_>) -> u64) {
    let mut request = Request {
        body: Bytes::new(b"abc"),
        verdict: 0,
    };
    let mut round = |calls: u32| {
        let started = Instant::now();
        for _ in 0..calls {
            black_box(call(black_box(&mut request)));
        }
        started.elapsed().as_nanos() as f64
    };
    // As many calls as take some milliseconds.
    let calls = (5e6 / (round(10) / 10.0 + 1.0)) as u32 + 20;
    let least = (0..15).map(|_| round(calls)).fold(f64::INFINITY, f64::min);
    println!("{name:32} {:9.2} ns", least / f64::from(calls));
}
