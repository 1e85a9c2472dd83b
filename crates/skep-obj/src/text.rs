//! Objects as text: the assembler's files become objects, and objects become files that assemble to equal ones.
//!
//! Invariants: errors are diagnostics with spans into the text; the section names `.BTF` and those of data sections have
//! the meaning in `.raw` that they have in ELF; every type in printed text is one that the text itself declares.

use skep_diag::{Diagnostics, SourceId};
use skep_spec::asm;

use crate::error::ObjError;
use crate::object::{Object, ParseOptions};

mod build;
mod externs;
mod init;
mod print;

pub use print::print;

/// Reads a text object.
pub fn parse(text: &str, options: &ParseOptions) -> Result<Object, ObjError> {
    parse_source(text, SourceId(0), options).map_err(ObjError::Text)
}

/// Reads a text object that a caller keeps among its sources, for diagnostics that show the lines.
pub fn parse_source(
    text: &str,
    source: SourceId,
    options: &ParseOptions,
) -> Result<Object, Diagnostics> {
    let (file, mut diagnostics) = asm::parse(text, source);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let object = build::object(&file, options, &mut diagnostics);
    match object {
        Some(mut object) if !diagnostics.has_errors() => {
            object.notes.0.extend(diagnostics.0);
            Ok(object)
        }
        _ => Err(diagnostics),
    }
}
