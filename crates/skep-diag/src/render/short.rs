//! One line a diagnostic: `place: severity[id]: headline`, as compilers print them and editors read them.

use alloc::string::String;
use core::fmt::Write;

use crate::{Diagnostics, Sources};

/// One line for each diagnostic.
pub fn short(diagnostics: &Diagnostics, sources: &Sources) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        if let Some(label) = diagnostic.primary() {
            let _ = write!(out, "{}: ", super::place(&label.place, sources));
        }
        let _ = writeln!(out, "{diagnostic}");
    }
    out
}
