//! `skep conformance-plugin`: runs one program the way the bpf_conformance suite asks its plugins to.
//!
//! Invariants: standard output holds r0 in hex and nothing else; every failure is a message on standard error and a
//! non-zero status; the program sees the memory 8-byte aligned, r1 its address, r2 its length.

use std::io::{self, Read};

use clap::{Args, ValueEnum};
use skep::obj::{ObjError, Object, ParseOptions, ProgramSpec};
use skep::spec::insn::{Endian, Insn, decode_all};
use skep::vm::{Ctx, DefaultEnv, Image, JitOptions, Limits, Program};

/// Run one program for the bpf_conformance suite: hex on standard input, r0 on standard output.
#[derive(Args)]
pub struct ConformancePlugin {
    /// The memory that r1 points to, as hex bytes.
    memory: Option<String>,
    /// What runs the program.
    #[arg(long, value_enum, default_value = "interp")]
    engine: Engine,
    /// Standard input is an ELF file with the function `main` instead of raw instructions.
    #[arg(long)]
    elf: bool,
    /// The program's bytes, for suites that pass them as an argument.
    #[arg(long, value_name = "HEX")]
    program: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    /// The interpreter; programs are not verified, so it checks every access.
    Interp,
    /// The same.
    Sandboxed,
    /// The compiler to machine code.
    Jit,
}

/// Why there is no result.
pub enum Failure {
    /// The input is not what the suite sends.
    Usage(String),
    /// The program was refused, or trapped.
    Rejected(String),
    /// The engine is not to be had here.
    NotSupported(String),
    /// Reading failed.
    System(String),
}

impl ConformancePlugin {
    /// r0 of the program, as the suite wants to see it.
    pub fn run(&self) -> Result<String, Failure> {
        let text = match &self.program {
            Some(text) => text.clone(),
            None => {
                let mut text = String::new();
                io::stdin()
                    .read_to_string(&mut text)
                    .map_err(|error| Failure::System(format!("standard input: {error}")))?;
                text
            }
        };
        let input = bytes("the program", &text)?;
        let insns = if self.elf {
            main_of(&input)?
        } else {
            raw(&input)?
        };
        let memory = bytes("the memory", self.memory.as_deref().unwrap_or(""))?;
        let image = Image {
            name: "main".into(),
            insns,
            ..Image::default()
        };
        let program =
            Program::sandboxed(image).map_err(|error| Failure::Rejected(error.to_string()))?;
        if matches!(self.engine, Engine::Jit) {
            program
                .compile(&JitOptions::default())
                .map_err(|error| Failure::NotSupported(format!("--engine jit: {error}")))?;
        }
        let mut room = vec![0; memory.len() + 8];
        let start = room.as_ptr().align_offset(8).min(8);
        let aligned = &mut room[start..start + memory.len()];
        aligned.copy_from_slice(&memory);
        let result = program.run(
            &mut Ctx::Flat(aligned),
            &DefaultEnv::new(),
            &Limits::default(),
        );
        result
            .map(|r0| format!("{r0:x}"))
            .map_err(|trap| Failure::Rejected(trap.to_string()))
    }
}

/// Hex digits in pairs, with blanks anywhere between pairs.
fn bytes(what: &str, text: &str) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        let digits = word.as_bytes();
        if digits.len() % 2 != 0 {
            return Err(Failure::Usage(format!(
                "{what}: \"{word}\" has an odd number of hex digits"
            )));
        }
        for pair in digits.chunks(2) {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                return Err(Failure::Usage(format!("{what}: \"{word}\" is not hex")));
            };
            out.push((high * 16 + low) as u8);
        }
    }
    Ok(out)
}

fn raw(input: &[u8]) -> Result<Vec<Insn>, Failure> {
    decode_all(input, Endian::Little).map_err(|error| Failure::Rejected(error.to_string()))
}

/// The function `main` of an object, with what it calls.
fn main_of(input: &[u8]) -> Result<Vec<Insn>, Failure> {
    let rejected = |error: ObjError| Failure::Rejected(error.to_string());
    let object = Object::parse(
        input,
        &ParseOptions {
            name: "main".into(),
            ..ParseOptions::default()
        },
    )
    .map_err(rejected)?;
    let Some(function) = object.function_index("main") else {
        return Err(Failure::Rejected(
            "the object has no function `main`".into(),
        ));
    };
    let section = object
        .function(function)
        .map(|function| function.section.clone())
        .unwrap_or_default();
    let spec = ProgramSpec {
        name: "main".into(),
        section,
        function,
        program_type: None,
        attach_type: None,
        attach_to: None,
        autoload: true,
        autoattach: false,
        sleepable: false,
        flags: 0,
    };
    Ok(object.link(&spec).map_err(rejected)?.insns)
}
