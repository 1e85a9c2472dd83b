//! `skep disasm`: the instructions of an object, with names, and with the source if it is known.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};
use skep_obj::{FnIdx, Function, Object, RelocTarget};
use skep_spec::disasm::{self, Style};

use crate::exit::Failure;
use crate::output;

mod native;

use native::Native;

/// Show the instructions of an object.
#[derive(Args)]
pub struct Disasm {
    /// ELF object or text object; `-` reads standard input.
    file: String,
    /// Only this program or function, with what it calls.
    #[arg(long, short, value_name = "NAME")]
    program: Option<String>,
    /// Source lines between the instructions.
    #[arg(long, short = 'S')]
    source: bool,
    /// The whole object as text that `skep asm` reads.
    #[arg(long, conflicts_with_all = ["program", "source"])]
    text: bool,
    /// The machine code that the embedded engine compiles programs to, below each instruction.
    #[arg(long, value_enum, value_name = "ARCH", num_args = 0..=1, require_equals = true, default_missing_value = "host", conflicts_with = "text")]
    jit: Option<Native>,
}

impl Disasm {
    pub fn run(&self, json: bool) -> Result<(), Failure> {
        if let Some(native) = self.jit {
            return output::print(&native::show(self, native, json)?);
        }
        let object = super::read_object(&self.file, true)?;
        if self.text {
            let text =
                skep_obj::text::print(&object).map_err(|e| Failure::of_object(&self.file, &e))?;
            return output::print(&text);
        }
        let functions = self.wanted(&object)?;
        let text = if json {
            let functions: Vec<Value> = functions
                .iter()
                .map(|&f| function_json(&object, &object.functions[f.0]))
                .collect();
            output::json::document(&json!({ "functions": functions }))
        } else {
            let mut out = String::new();
            let mut section = "";
            for (index, function) in functions.iter().map(|f| &object.functions[f.0]).enumerate() {
                if index != 0 {
                    out.push('\n');
                }
                if function.section != section {
                    section = &function.section;
                    let _ = writeln!(out, "section {section}:\n");
                }
                self.function(&object, function, &mut out);
            }
            out
        };
        output::print(&text)
    }

    /// The functions to show: all, or one and what it reaches.
    fn wanted(&self, object: &Object) -> Result<Vec<FnIdx>, Failure> {
        let Some(name) = &self.program else {
            return Ok((0..object.functions.len()).map(FnIdx).collect());
        };
        let first = object.function_index(name).ok_or_else(|| {
            let names: Vec<&str> = object.functions.iter().map(|f| f.name.as_str()).collect();
            Failure::usage(format!(
                "{}: no program or function `{name}`; it has {}",
                self.file,
                names.join(", ")
            ))
        })?;
        let mut order = vec![first];
        let mut next = 0;
        while let Some(function) = order.get(next).and_then(|f| object.function(*f)) {
            next += 1;
            for reloc in &function.relocs {
                if let RelocTarget::Call(f) | RelocTarget::FuncAddr(f) = reloc.target
                    && !order.contains(&f)
                {
                    order.push(f);
                }
            }
        }
        Ok(order)
    }

    fn function(&self, object: &Object, function: &Function, out: &mut String) {
        let _ = writeln!(out, "{}:", function.name);
        let mut lines = function.lines.iter().peekable();
        for (at, text) in disasm::lines(&function.insns, Style::Asm) {
            while let Some(line) = lines.next_if(|l| l.insn_off as usize <= at) {
                if self.source {
                    let _ = writeln!(
                        out,
                        "; {}  @ {}:{}",
                        line.line_text.trim(),
                        line.file,
                        line.line
                    );
                }
            }
            let mut notes: Vec<String> = jump_target(function, at).into_iter().collect();
            notes.extend(reference(object, function, at));
            let core = function.core.iter().filter(|r| r.insn_off as usize == at);
            notes.extend(core.map(|r| {
                let ty = object.btf.as_ref().map_or(String::new(), |btf| {
                    skep_btf::format_c::type_name(btf, r.type_id)
                });
                format!("CO-RE {} {ty} {}", r.kind, r.access)
            }));
            let _ = match notes.is_empty() {
                true => writeln!(out, "{at:>6}: {text}"),
                false => writeln!(out, "{at:>6}: {text:<44} ; {}", notes.join("; ")),
            };
        }
    }
}

fn jump_target(function: &Function, at: usize) -> Option<String> {
    let to = at as i64 + 1 + i64::from(function.insns.get(at)?.jump_offset()?);
    Some(format!("to {to}"))
}

/// What the instruction refers to, by name.
fn reference(object: &Object, function: &Function, at: usize) -> Option<String> {
    let reloc = function.relocs.iter().find(|r| r.at == at)?;
    Some(match reloc.target {
        RelocTarget::Map(m) => format!("map {}", object.maps.get(m.0)?.def.name),
        RelocTarget::MapValue { map, offset } => {
            let global = object
                .globals()
                .into_iter()
                .find(|g| g.map == map && (g.offset..g.offset + g.size.max(1)).contains(&offset));
            match global {
                Some(g) if g.offset == offset => format!("&{}", g.name),
                Some(g) => format!("&{}+{}", g.name, offset - g.offset),
                None => format!("{}+{offset}", object.maps.get(map.0)?.def.name),
            }
        }
        RelocTarget::Call(f) => object.function(f)?.name.clone(),
        RelocTarget::FuncAddr(f) => format!("&{}", object.function(f)?.name),
        RelocTarget::Extern(e) => format!("extern {}", object.externs.get(e.0)?.name),
    })
}

fn function_json(object: &Object, function: &Function) -> Value {
    let insns: Vec<Value> = disasm::lines(&function.insns, Style::Asm)
        .into_iter()
        .map(|(at, text)| {
            let insn = function.insns[at];
            let line = function.lines.iter().find(|l| l.insn_off as usize == at);
            json!({
                "at": at,
                "code": insn.code,
                "dst": insn.dst,
                "src": insn.src,
                "off": insn.off,
                "imm": insn.imm,
                "text": text,
                "refers_to": reference(object, function, at),
                "line": line.map(|l| json!({ "file": &*l.file, "line": l.line, "column": l.col, "text": &*l.line_text })),
            })
        })
        .collect();
    json!({ "name": function.name, "section": function.section, "insns": insns })
}
