//! Return values: programs whose annotation says what they return, run once on the embedded engine.
//!
//! Invariant: the input is that of the recording runner, 64 zero bytes; a program that the engine cannot load or run is
//! counted by what it lacks, never as right or wrong.

use std::path::Path;

use skep::engine::RunInput;
use skep::engine::embedded::Verify;
use skep::obj::ParseOptions;
use skep::spec::program::ProgramType;
use skep::{Embedded, ErrorKind, ObjectSpec};

/// "Any pointer".
const POINTER_VALUE: i64 = 0x0bad_cafe;

/// What became of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    Right,
    Wrong(String),
    /// The engine does not have this.
    Lacks(String),
}

/// Runs the program and compares.
pub fn run(object: &Path, program: &str, expected: i64) -> Returned {
    match value(object, program) {
        Ok(got) if expected == POINTER_VALUE || got as i32 == expected as i32 => Returned::Right,
        Ok(got) => Returned::Wrong(format!("{} instead of {expected}", got as i32)),
        Err(error) => match error {
            Failure::Lacks(what) => Returned::Lacks(what),
            Failure::Broke(what) => Returned::Wrong(what),
        },
    }
}

enum Failure {
    Lacks(String),
    Broke(String),
}

fn value(object: &Path, program: &str) -> Result<u64, Failure> {
    let bytes = std::fs::read(object).map_err(|error| Failure::Broke(error.to_string()))?;
    let options = ParseOptions {
        name: "returns".into(),
        legacy_maps: true,
    };
    let mut spec = ObjectSpec::parse_with(&bytes, &options).map_err(failure)?;
    spec.select(&[program]).map_err(failure)?;
    let kind = spec.program(program).map_err(failure)?.program_type;
    // What it returns is asked here, not whether it verifies.
    let engine = Embedded::builder().verify(Verify::Prefer).build();
    let loaded = spec.load(&engine).map_err(failure)?;
    let program = loaded.program(program).map_err(failure)?;
    let packet = [0; 64];
    let data = match kind {
        Some(kind) if kind.has_packet_access() || kind == ProgramType::SocketFilter => &packet[..],
        _ => &[],
    };
    let input = RunInput {
        data,
        ..RunInput::default()
    };
    Ok(program.run_once(&input).map_err(failure)?.retval)
}

fn failure(error: skep::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotSupported(lacks) => Failure::Lacks(lacks.feature.to_string()),
        ErrorKind::Unresolved { symbol, .. } => Failure::Lacks(format!("symbol {symbol}")),
        ErrorKind::Malformed { why, .. } => Failure::Lacks(why.clone()),
        _ => Failure::Broke(error.to_string().replace('\n', " ")),
    }
}
