//! How results are printed: tables for people, JSON for programs.

use std::io::{ErrorKind, Write};

use crate::exit::Failure;

pub mod events;
pub mod json;
pub mod maps;
pub mod saved_maps;
pub mod table;
pub mod value;

/// Says something on standard error; names in it cannot steer the terminal.
macro_rules! say {
    ($($text:tt)*) => {
        eprintln!("skep: {}", $crate::output::value::message(&format!($($text)*)))
    };
}
pub(crate) use say;

/// Writes a result to standard output. A reader that has gone away (`| head`) is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    print_bytes(value::lines(text).as_bytes())
}

/// As [`print()`], for results that are not text.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::system(format!("standard output: {e}")))
        }
        _ => Ok(()),
    }
}
