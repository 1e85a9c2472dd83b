//! `skep asm`: a text object becomes an ELF object.

use clap::{Args, ValueEnum};

use crate::exit::Failure;
use crate::output;

/// Assemble a text object into an ELF object.
#[derive(Args)]
pub struct Asm {
    /// Text object; `-` reads standard input.
    file: String,
    /// Where to write; `-` is standard output. Without it, FILE with the ending `.o`.
    #[arg(short, long, value_name = "OUT")]
    output: Option<String>,
    /// What to write.
    #[arg(long, value_enum, default_value_t = Emit::Object)]
    emit: Emit,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Emit {
    /// An ELF object.
    Object,
    /// The object as text again, in full.
    Asm,
}

impl Asm {
    pub fn run(&self) -> Result<(), Failure> {
        let object = super::read_object(&self.file, true)?;
        let failed = |e: skep_obj::ObjError| Failure::of_object(&self.file, &e);
        let bytes = match self.emit {
            Emit::Object => skep_obj::elf::write(&object).map_err(failed)?,
            Emit::Asm => skep_obj::text::print(&object).map_err(failed)?.into_bytes(),
        };
        let path = match (&self.output, self.emit) {
            (Some(path), _) => path.clone(),
            (None, Emit::Asm) => "-".to_owned(),
            (None, Emit::Object) => match self.file.strip_suffix(".s") {
                Some(stem) => format!("{stem}.o"),
                None => {
                    return Err(Failure::usage(
                        "give the output with -o: the input's name does not end in .s",
                    ));
                }
            },
        };
        if path == "-" {
            return output::print_bytes(&bytes);
        }
        let input = std::path::Path::new(&self.file);
        super::not_an_input(path.as_ref(), std::iter::once(input))?;
        std::fs::write(&path, bytes).map_err(|e| Failure::system(format!("{path}: {e}")))
    }
}
