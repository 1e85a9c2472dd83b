//! Assembly text: single instructions, bare code, and whole objects with sections, functions, maps and globals.
//!
//! Invariants: an instruction is read by the same table that prints it, in llvm-objdump's form, in that of the
//! kernel's log and in the assembler's own; errors are diagnostics with spans, all of them, never a panic. The
//! language is described in `docs/reference/asm.md`.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use skep_diag::{Diagnostic, Diagnostics, SourceId, Span};

use crate::insn::{Insn, class, mode, size};

mod attribute;
pub mod file;
mod insn;
mod note;
mod parse;
mod print;
pub(crate) mod token;

pub use file::{
    CORE_KINDS, CoreNote, Extern, ExternKind, File, Function, Global, Init, Label, LineNote,
    Linkage, Map, RawSection, Ref, RefTarget, Shape, Slot, Spanned,
};
pub use print::print;

use self::insn::{Parsed, Target};

/// Reads a whole file. What could be read is in the file even if there are errors.
pub fn parse(text: &str, source: SourceId) -> (File, Diagnostics) {
    parse::file(text, source)
}

/// Assembles bare code: instructions and labels only, calls to labels.
pub fn assemble_insns(text: &str) -> Result<Vec<Insn>, Diagnostics> {
    let source = SourceId(0);
    let mut diagnostics = Diagnostics::new();
    let mut body = Body::new(source);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        body.line(line, start, &mut diagnostics);
        start += line.len();
    }
    body.finish(&mut diagnostics);
    for name in &body.refs {
        diagnostics.push(
            Diagnostic::error(
                "asm-name-in-bare-code",
                "bare code cannot refer to maps, globals or functions",
            )
            .at(name.span, "this name has no meaning here")
            .help("write a whole file, with `.function` before the code, or call a label"),
        );
    }
    if diagnostics.has_errors() {
        Err(diagnostics)
    } else {
        Ok(body.insns)
    }
}

/// Assembles one instruction; a wide load gives two slots.
pub fn assemble_insn(line: &str) -> Result<Vec<Insn>, Diagnostics> {
    assemble_insns(line)
}

/// The instructions of one function while they are read.
struct Body {
    source: SourceId,
    insns: Vec<Insn>,
    spans: Vec<Span>,
    refs: Vec<Ref>,
    core: Vec<CoreNote>,
    lines: Vec<LineNote>,
    labels: Vec<Label>,
    known: BTreeMap<String, (usize, Span)>,
    jumps: Vec<Jump>,
}

/// A jump or call whose target's position is not known yet.
struct Jump {
    at: usize,
    name: String,
    span: Span,
    field: Target,
}

impl Body {
    fn new(source: SourceId) -> Body {
        Body {
            source,
            insns: Vec::new(),
            spans: Vec::new(),
            refs: Vec::new(),
            core: Vec::new(),
            lines: Vec::new(),
            labels: Vec::new(),
            known: BTreeMap::new(),
            jumps: Vec::new(),
        }
    }

    fn span(&self, base: usize, start: usize, end: usize) -> Span {
        Span::new(self.source, (base + start) as u32, (base + end) as u32)
    }

    /// One line of labels, an instruction and its annotations; `base` is where the line starts in the text.
    fn line(&mut self, line: &str, base: usize, diagnostics: &mut Diagnostics) {
        let mut from = insn::skip_listing(line);
        let tokens = token::tokens(&line[from.end..]);
        for lexed in &tokens {
            if let token::Token::Bad(why) = lexed.token {
                let span = self.span(base + from.end, lexed.start, lexed.end);
                diagnostics.push(Diagnostic::error("asm-bad-token", why).at(span, ""));
                return;
            }
        }
        let mut rest = &tokens[..];
        while let [first, colon, after @ ..] = rest {
            let (token::Token::Word(name), token::Token::Sign(":")) = (&first.token, &colon.token)
            else {
                break;
            };
            let span = self.span(base + from.end, first.start, first.end);
            self.label(name, span, diagnostics);
            rest = after;
            from.code = None;
        }
        if rest.is_empty() {
            return;
        }
        let base = base + from.end;
        let notes = rest
            .iter()
            .position(|lexed| lexed.token == token::Token::Sign("@"))
            .unwrap_or(rest.len());
        let (code, notes) = rest.split_at(notes);
        let at = self.insns.len();
        if let (Some(first), Some(last)) = (code.first(), code.last()) {
            let span = self.span(base, first.start, last.end);
            match insn::parse(code, from.code) {
                Ok(parsed) => self.add(parsed, span, base),
                Err(failure) => {
                    let place = match code.get(failure.at) {
                        Some(lexed) => self.span(base, lexed.start, lexed.end),
                        None => self.span(base, last.end, last.end),
                    };
                    diagnostics.push(failure.into_diagnostic(place, span));
                    return;
                }
            }
        }
        self.notes(notes, at, base, diagnostics);
    }

    fn label(&mut self, name: &str, span: Span, diagnostics: &mut Diagnostics) {
        let at = self.insns.len();
        if let Some((_, before)) = self.known.insert(name.to_owned(), (at, span)) {
            diagnostics.push(
                Diagnostic::error(
                    "asm-duplicate-label",
                    format!("label `{name}` is already defined"),
                )
                .and_at(before, "first here")
                .at(span, "and again here")
                .help("rename one of them"),
            );
        }
        self.labels.push(Label {
            at,
            name: name.to_owned(),
        });
    }

    fn add(&mut self, parsed: Parsed, span: Span, base: usize) {
        let at = self.insns.len();
        if let Some((target, start, end)) = parsed.target {
            let name_span = self.span(base, start, end);
            match target {
                Target::Name(target) => self.refs.push(Ref {
                    at,
                    target,
                    span: name_span,
                }),
                field @ (Target::Offset(_)
                | Target::Immediate(_)
                | Target::Call(_)
                | Target::Address(_)) => {
                    let name = field.name().to_owned();
                    self.jumps.push(Jump {
                        at,
                        name,
                        span: name_span,
                        field,
                    });
                }
            }
        }
        self.insns.push(parsed.insn);
        self.spans.push(span);
        if let Some(second) = parsed.second {
            self.insns.push(second);
            self.spans.push(span);
        }
    }

    fn notes(
        &mut self,
        tokens: &[token::Lexed<'_>],
        at: usize,
        base: usize,
        diagnostics: &mut Diagnostics,
    ) {
        let mut rest = tokens;
        while !rest.is_empty() {
            let start = rest[0].start;
            match note::note(rest, at) {
                Ok((note, after)) => {
                    let end = rest[rest.len() - after.len() - 1].end;
                    match note {
                        note::Note::Core(mut core) => {
                            core.span = self.span(base, start, end);
                            self.core.push(core);
                        }
                        note::Note::Line(line) => self.lines.push(line),
                    }
                    rest = after;
                }
                Err(failure) => {
                    let place = rest.get(failure.at).or(rest.last());
                    let span = place.map_or(self.span(base, start, start), |l| {
                        self.span(base, l.start, l.end)
                    });
                    let whole = self.span(base, start, rest[rest.len() - 1].end);
                    diagnostics.push(failure.into_diagnostic(span, whole));
                    return;
                }
            }
        }
    }

    /// Resolves jumps. A call of a name that is no label becomes a reference.
    fn finish(&mut self, diagnostics: &mut Diagnostics) {
        for jump in core::mem::take(&mut self.jumps) {
            let Some(&(to, _)) = self.known.get(&jump.name) else {
                match jump.field {
                    Target::Call(name) => {
                        self.refs.push(Ref {
                            at: jump.at,
                            target: RefTarget::Call(name),
                            span: jump.span,
                        });
                    }
                    Target::Address(name) => {
                        self.refs.push(Ref {
                            at: jump.at,
                            target: RefTarget::FuncAddr(name),
                            span: jump.span,
                        });
                    }
                    _ => diagnostics.push(
                        Diagnostic::error(
                            "asm-unknown-label",
                            format!("there is no label `{}` here", jump.name),
                        )
                        .at(jump.span, "")
                        .help(format!("define it in the same function: `{}:`", jump.name)),
                    ),
                }
                continue;
            };
            let distance = to as i64 - jump.at as i64 - 1;
            let insn = &mut self.insns[jump.at];
            match jump.field {
                Target::Offset(_) => match i16::try_from(distance) {
                    Ok(offset) => insn.off = offset,
                    Err(_) => diagnostics.push(
                        Diagnostic::error(
                            "asm-jump-too-far",
                            "the jump is too far for its 16-bit offset",
                        )
                        .at(jump.span, format!("{distance} instructions away"))
                        .help("jump on with `gotol`"),
                    ),
                },
                _ => insn.imm = distance as i32,
            }
        }
        self.refs.sort_by_key(|one| one.at);
    }
}

/// Whether a load or store with this code moves fewer than 8 bytes, so that its register may be written as `w`.
fn is_narrow(code: u8) -> bool {
    code & size::MASK != size::DW
}

/// Whether the immediate of this code is used as 32 bits, so that it may be written without sign up to 2^32 - 1.
fn is_32_bit(code: u8) -> bool {
    match code & class::MASK {
        class::ALU | class::JMP32 => true,
        class::ST => is_narrow(code),
        class::LD => code & mode::MASK == mode::IMM,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
