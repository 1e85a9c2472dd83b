//! One file a subcommand.

pub mod asm;
pub mod btf;
pub mod conformance_plugin;
pub mod disasm;
pub mod explain;
pub mod inspect;
pub mod maps;
mod open;
mod replay;
pub mod run;
pub mod test_run;
pub mod verify;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::exit::Failure;

/// No object, type collection or packet is larger; a device that never ends is.
const FILE_MAX: u64 = 256 << 20;

/// Reads a file; `-` is standard input.
pub fn read_file(path: &str) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let failed = |e: std::io::Error| Failure::system(format!("{path}: {e}"));
    let mut bytes = Vec::new();
    if path == "-" {
        let input = std::io::stdin().lock();
        input.take(FILE_MAX + 1).read_to_end(&mut bytes)
    } else {
        let file = fs::File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if about.is_file() && about.len() <= FILE_MAX {
            bytes.reserve_exact(about.len() as usize + 1);
        }
        file.take(FILE_MAX + 1).read_to_end(&mut bytes)
    }
    .map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(Failure::system(format!(
            "{path}: larger than {} MiB, which is no input of this command",
            FILE_MAX >> 20
        )));
    }
    Ok(bytes)
}

/// Creating an output empties it: it must not be one of the files that are to be read.
pub fn not_an_input<'p>(
    output: &Path,
    mut inputs: impl Iterator<Item = &'p Path>,
) -> Result<(), Failure> {
    let place = |path: &Path| {
        let about = fs::metadata(path).ok().filter(|about| about.is_file());
        about.map(|about| (about.dev(), about.ino()))
    };
    let Some(out) = place(output) else {
        return Ok(());
    };
    match inputs.find(|input| place(input) == Some(out)) {
        Some(_) => Err(Failure::usage(format!(
            "{} is read and written: give the output another name",
            output.display()
        ))),
        None => Ok(()),
    }
}

/// Reads an object: ELF or text.
pub fn read_object(path: &str, legacy_maps: bool) -> Result<skep_obj::Object, Failure> {
    parse_object(path, &read_file(path)?, legacy_maps)
}

/// Reads an object's bytes; mistakes in text are shown with their lines.
pub fn parse_object(
    path: &str,
    bytes: &[u8],
    legacy_maps: bool,
) -> Result<skep_obj::Object, Failure> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = name.split('.').next().unwrap_or(name).to_owned();
    let options = skep_obj::ParseOptions { name, legacy_maps };
    if !bytes.starts_with(b"\x7fELF")
        && let Ok(text) = std::str::from_utf8(bytes)
        && !text.contains('\0')
    {
        let mut sources = skep_diag::Sources::new();
        let source = sources.add(path, text);
        return skep_obj::text::parse_source(text, source, &options).map_err(|diagnostics| {
            Failure::rejected(skep_diag::render::full(&diagnostics, &sources).trim_end())
        });
    }
    skep_obj::Object::parse(bytes, &options).map_err(|e| Failure::of_object(path, &e))
}
