//! Every case of the bpf_conformance suite on the interpreter and compiled, and the encodings that a strict decoder must refuse.

use serde_json::Value;
use skep_spec::insn::{Endian, decode_all};
use skep_vm::{Ctx, FixedEnv, Image, JitError, JitOptions, Limits, Program};

fn data(name: &str) -> Vec<Value> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/bpf_conformance/"
    )
    .to_string()
        + name;
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).expect("the suite's data is JSON")
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex"))
        .collect()
}

fn run(case: &Value, compiled: bool, limits: &Limits) -> Result<u64, String> {
    let insns = decode_all(
        &bytes(case["program"].as_str().expect("a program")),
        Endian::Little,
    )
    .map_err(|error| error.to_string())?;
    let program = Program::sandboxed(Image {
        name: "case".into(),
        insns,
        ..Image::default()
    })
    .map_err(|error| error.to_string())?;
    if compiled {
        program
            .compile(&JitOptions::default())
            .map_err(|error| error.to_string())?;
    }
    // Atomics need an aligned start, which a Vec<u8> does not promise.
    let input = bytes(case["mem"].as_str().unwrap_or(""));
    let mut words = vec![0u64; input.len().div_ceil(8)];
    // SAFETY: u8 has no invalid values and a smaller alignment; the length is within the words.
    let memory =
        unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), input.len()) };
    memory.copy_from_slice(&input);
    program
        .run(&mut Ctx::Flat(memory), &FixedEnv::default(), limits)
        .map_err(|trap| trap.to_string())
}

fn bounded() -> Limits {
    Limits {
        insns: Some(1_000_000),
        ..Limits::default()
    }
}

fn is_compilable() -> bool {
    let program = Program::sandboxed(Image {
        insns: decode_all(&[0x95, 0, 0, 0, 0, 0, 0, 0], Endian::Little).expect("an exit"),
        ..Image::default()
    })
    .expect("a program");
    match program.compile(&JitOptions::default()) {
        Err(error @ JitError::Architecture(_)) => {
            eprintln!("skipped: {error}");
            false
        }
        _ => true,
    }
}

#[test]
fn every_case_gives_its_result() {
    every_case(false, &bounded());
}

#[test]
fn every_case_gives_its_result_compiled() {
    if is_compilable() {
        every_case(true, &Limits::default());
        every_case(true, &bounded());
    }
}

fn every_case(compiled: bool, limits: &Limits) {
    let cases = data("cases.json");
    assert_eq!(cases.len(), 313);
    let mut failures = Vec::new();
    for case in &cases {
        let want = case["result"]
            .as_str()
            .expect("a result")
            .trim_start_matches("0x");
        let want = u64::from_str_radix(want, 16).expect("hex");
        let got = run(case, compiled, limits);
        if got != Ok(want) {
            failures.push(format!("{}: want {want:#x}, got {got:x?}", case["name"]));
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn unused_fields_are_refused() {
    let cases = data("negative.json");
    assert_eq!(cases.len(), 45);
    for case in &cases {
        let insns = decode_all(
            &bytes(case["program"].as_str().expect("a program")),
            Endian::Little,
        );
        let accepted = insns.is_ok_and(|insns| {
            Program::sandboxed(Image {
                insns,
                ..Image::default()
            })
            .is_ok()
        });
        assert!(!accepted, "{} was accepted", case["name"]);
    }
}
