//! `skep disasm --jit`: the machine code that the embedded engine makes of programs, below the instructions it is for.
//!
//! Invariant: what is shown is the code that would run, with the proof that the verifier finds here; bytes that the
//! disassembler does not know are shown as bytes.

use std::fmt::Write as _;
use std::ops::Range;

use clap::ValueEnum;
use serde_json::{Value, json};
use skep::engine::embedded::{EmbeddedProgram, Verify};
use skep::vm::JitOptions;
use skep::vm::jit::{Arch, Listing};
use skep::{Embedded, Engine, ObjectSpec, Program};
use skep_spec::disasm::{self, Style};
use yaxpeax_arch::{Decoder, LengthedInstruction, U8Reader};

use super::Disasm;
use crate::exit::{Exit, Failure};

/// The architectures by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Native {
    /// That of this machine.
    Host,
    #[value(name = "x86-64", alias = "x86_64")]
    X64,
    #[value(name = "arm64", alias = "aarch64")]
    A64,
}

/// One machine instruction.
struct Insn {
    at: usize,
    bytes: Vec<u8>,
    text: String,
}

/// A program's code.
struct Code {
    program: Program,
    proven: bool,
    arch: Arch,
    listing: Listing,
}

/// The code of the wanted programs, as text or JSON.
pub(super) fn show(args: &Disasm, native: Native, json: bool) -> Result<String, Failure> {
    let mut spec = ObjectSpec::from(super::super::read_object(&args.file, true)?);
    if let Some(name) = &args.program {
        spec.select(&[name])?;
    }
    let engine = Embedded::builder()
        .verify(Verify::Prefer)
        .compile(false)
        .build();
    let object = spec.load(&engine);
    for note in engine.notes() {
        eprintln!("skep: {note}");
    }
    let object = object?;
    let programs = object.programs().iter();
    let codes: Vec<Code> = programs
        .map(|program| Code::new(program, native))
        .collect::<Result<_, _>>()?;
    if json {
        let programs: Vec<Value> = codes.iter().map(Code::json).collect();
        return Ok(crate::output::json::document(
            &json!({ "programs": programs }),
        ));
    }
    let texts: Vec<String> = codes.iter().map(|code| code.text(args.source)).collect();
    Ok(texts.join("\n"))
}

impl Code {
    fn new(program: &Program, native: Native) -> Result<Code, Failure> {
        let unsupported = |why: &dyn std::fmt::Display| Failure {
            exit: Exit::NotSupported,
            text: why.to_string(),
        };
        let loaded = program.loaded().as_any().downcast_ref::<EmbeddedProgram>();
        let loaded = loaded.ok_or_else(|| unsupported(&"the program is another engine's"))?;
        let arch = match native {
            Native::Host => Arch::HOST.ok_or_else(|| {
                unsupported(&"there is no compiler for this machine; name an architecture")
            })?,
            Native::X64 => Arch::X64,
            Native::A64 => Arch::A64,
        };
        let machine = loaded.program();
        let listing = if native == Native::Host {
            let compiled = machine.compile(&JitOptions::default());
            compiled.map_err(|why| unsupported(&why))?;
            machine.listing()
        } else {
            Some(Listing::of(machine, arch).map_err(|why| unsupported(&why))?)
        };
        Ok(Code {
            program: program.clone(),
            proven: loaded.is_proven(),
            arch,
            listing: listing.ok_or_else(|| unsupported(&"the program is not compiled"))?,
        })
    }

    fn arch(&self) -> &'static str {
        match self.arch {
            Arch::X64 => "x86-64",
            Arch::A64 => "arm64",
        }
    }

    /// Where the code of an instruction starts.
    fn start(&self, at: usize) -> usize {
        let start = self.listing.starts.get(at).copied();
        start.unwrap_or(self.listing.end) as usize
    }

    /// The code of the instruction in slot `at`.
    fn code_of(&self, at: usize) -> Range<usize> {
        let insn = self.program.code().insns.get(at);
        let next = self.start(at + insn.map_or(1, |insn| insn.slots()));
        self.start(at)..next.max(self.start(at))
    }

    /// What all instructions share.
    fn shared(&self) -> Range<usize> {
        self.listing.end as usize..self.listing.bytes.len()
    }

    fn insns(&self, range: Range<usize>) -> Vec<Insn> {
        let mut found = Vec::new();
        let mut at = range.start;
        while let Some(rest) = self.listing.bytes.get(at..range.end)
            && !rest.is_empty()
        {
            let (len, text) = decode(self.arch, rest);
            let bytes = rest[..len.clamp(1, rest.len())].to_vec();
            let next = at + bytes.len();
            // Distances count from the next instruction on x86-64, from this one on arm64.
            let from = match self.arch {
                Arch::X64 => next,
                Arch::A64 => at,
            };
            let text = with_target(text, from);
            found.push(Insn { at, bytes, text });
            at = next;
        }
        found
    }

    fn print(&self, range: Range<usize>, out: &mut String) {
        for insn in self.insns(range) {
            let bytes = hex(&insn.bytes, " ");
            let _ = writeln!(out, "        {:>5x}: {bytes:<30} {}", insn.at, insn.text);
        }
    }

    fn text(&self, source: bool) -> String {
        let code = self.program.code();
        let mut out = format!(
            "{}: {} instructions, {} bytes of {} code, {}\n",
            self.program.name(),
            code.insns.len(),
            self.listing.bytes.len(),
            self.arch(),
            if self.proven {
                "proven safe: accesses are not checked"
            } else {
                "in the sandbox: each access is checked"
            }
        );
        self.print(0..self.start(0), &mut out);
        let mut lines = code.lines.iter().peekable();
        for (at, text) in disasm::lines(&code.insns, Style::Asm) {
            while let Some(line) = lines.next_if(|line| line.insn_off as usize <= at) {
                if source {
                    let text = line.line_text.trim();
                    let _ = writeln!(out, "; {text}  @ {}:{}", line.file, line.line);
                }
            }
            let _ = writeln!(out, "{at:>6}: {text}");
            self.print(self.code_of(at), &mut out);
        }
        if !self.shared().is_empty() {
            out.push_str("shared:\n");
            self.print(self.shared(), &mut out);
        }
        out
    }

    fn json(&self) -> Value {
        let native = |range: Range<usize>| -> Vec<Value> {
            let insns = self.insns(range).into_iter();
            insns
                .map(|insn| json!({ "offset": insn.at, "bytes": hex(&insn.bytes, ""), "text": insn.text }))
                .collect()
        };
        let insns: Vec<Value> = disasm::lines(&self.program.code().insns, Style::Asm)
            .into_iter()
            .map(|(at, text)| json!({ "at": at, "text": text, "native": native(self.code_of(at)) }))
            .collect();
        json!({
            "name": self.program.name(),
            "arch": self.arch(),
            "proven": self.proven,
            "bytes": self.listing.bytes.len(),
            "entry": native(0..self.start(0)),
            "insns": insns,
            "shared": native(self.shared()),
        })
    }
}

/// The text with the offset that a jump leads to instead of its distance.
fn with_target(text: String, from: usize) -> String {
    let Some((before, distance)) = text.split_once('$') else {
        return text;
    };
    let (digits, back) = match distance.strip_prefix("-0x") {
        Some(digits) => (digits, true),
        None => (distance.strip_prefix("+0x").unwrap_or_default(), false),
    };
    let Ok(distance) = usize::from_str_radix(digits, 16) else {
        return text;
    };
    let target = if back {
        from.wrapping_sub(distance)
    } else {
        from.wrapping_add(distance)
    };
    format!("{before}{target:x}")
}

fn hex(bytes: &[u8], between: &str) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(between)
}

/// Length and text of the first machine instruction.
fn decode(arch: Arch, bytes: &[u8]) -> (usize, String) {
    let mut reader = U8Reader::new(bytes);
    let unknown = |len: usize| {
        let bytes = &bytes[..bytes.len().min(len)];
        (bytes.len(), format!(".byte 0x{}", hex(bytes, ", 0x")))
    };
    match arch {
        Arch::X64 => match yaxpeax_x86::amd64::InstDecoder::default().decode(&mut reader) {
            Ok(insn) => (insn.len().to_const() as usize, insn.to_string()),
            Err(_) => unknown(1),
        },
        Arch::A64 => match yaxpeax_arm::armv8::a64::InstDecoder::default().decode(&mut reader) {
            Ok(insn) => (4, insn.to_string()),
            Err(_) => unknown(4),
        },
    }
}
