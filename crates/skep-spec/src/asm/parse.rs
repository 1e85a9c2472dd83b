//! A whole file: directives, blocks, C declarations, and the bodies of functions.
//!
//! Invariants: reading goes on after an error, at the next line; a name that is declared twice is an error, and the
//! first declaration stands. Names that no declaration has are left to the object's builder, which knows about other
//! objects and the kernel.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use skep_diag::{Diagnostic, Diagnostics, SourceId, Span};

use super::Body;
use super::attribute::{MAP_ATTRIBUTES, Tokens, blank_map, map_attribute};
use super::file::{
    Extern, ExternKind, File, Function, Global, Init, Linkage, Map, RawSection, Spanned,
};
use super::token::{self, Lexed, Token};
use crate::map::MapType;

pub(super) fn file(text: &str, source: SourceId) -> (File, Diagnostics) {
    let mut parser = Parser {
        source,
        text,
        at: 0,
        file: File::default(),
        diagnostics: Diagnostics::new(),
        section: ".text".to_owned(),
        function: None,
        names: BTreeMap::new(),
    };
    while let Some((line, base)) = parser.next_line() {
        parser.line(line, base);
    }
    parser.end_function();
    (parser.file, parser.diagnostics)
}

struct Parser<'a> {
    source: SourceId,
    text: &'a str,
    at: usize,
    file: File,
    diagnostics: Diagnostics,
    section: String,
    function: Option<(Function, Body)>,
    names: BTreeMap<String, Span>,
}

impl<'a> Parser<'a> {
    fn next_line(&mut self) -> Option<(&'a str, usize)> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        let length = rest.find('\n').map_or(rest.len(), |end| end + 1);
        let base = self.at;
        self.at += length;
        Some((&rest[..length], base))
    }

    fn span(&self, tokens: &Tokens<'_>, index: usize) -> Span {
        let (start, end) = match (tokens.all.get(index), tokens.all.last()) {
            (Some(lexed), _) => (lexed.start, lexed.end),
            (None, Some(last)) => (last.end, last.end),
            (None, None) => (0, 0),
        };
        Span::new(
            self.source,
            (tokens.base + start) as u32,
            (tokens.base + end) as u32,
        )
    }

    /// Adds what is wrong at a token.
    fn report(&mut self, tokens: &Tokens<'_>, index: usize, diagnostic: Diagnostic) {
        let span = self.span(tokens, index);
        self.diagnostics.push(diagnostic.at(span, ""));
    }

    /// Lexes a line; a token that is none is reported and gives `None`.
    fn lex(&mut self, line: &'a str, base: usize) -> Option<Tokens<'a>> {
        let tokens = Tokens {
            line,
            base,
            all: token::tokens(line),
        };
        let bad = tokens
            .all
            .iter()
            .enumerate()
            .find_map(|(index, lexed)| match lexed.token {
                Token::Bad(why) => Some((index, why)),
                _ => None,
            });
        if let Some((index, why)) = bad {
            let span = self.span(&tokens, index);
            self.diagnostics
                .push(Diagnostic::error("asm-bad-token", why).at(span, ""));
            return None;
        }
        Some(tokens)
    }

    fn line(&mut self, line: &'a str, base: usize) {
        let Some(first) = token::next(line, 0) else {
            return;
        };
        match first.token {
            Token::Word("struct" | "union" | "enum" | "typedef") => self.c_type(base + first.start),
            Token::Word(word) if word.starts_with('.') && word != ".slot" => {
                self.directive(word, line, base)
            }
            _ => self.code(line, base),
        }
    }

    fn code(&mut self, line: &str, base: usize) {
        if self.function.is_none() {
            let span = Span::new(
                self.source,
                base as u32,
                (base + line.trim_end().len()) as u32,
            );
            self.begin_function("main".to_owned(), span, Linkage::Global, None);
        }
        if let Some((_, body)) = &mut self.function {
            body.line(line, base, &mut self.diagnostics);
        }
    }

    fn begin_function(
        &mut self,
        name: String,
        span: Span,
        linkage: Linkage,
        prototype: Option<String>,
    ) {
        self.end_function();
        self.declare(&name, span);
        let function = Function {
            name,
            span,
            section: self.section.clone(),
            linkage,
            prototype,
            insns: Vec::new(),
            spans: Vec::new(),
            refs: Vec::new(),
            core: Vec::new(),
            lines: Vec::new(),
            labels: Vec::new(),
        };
        self.function = Some((function, Body::new(self.source)));
    }

    fn end_function(&mut self) {
        let Some((mut function, mut body)) = self.function.take() else {
            return;
        };
        body.finish(&mut self.diagnostics);
        function.insns = body.insns;
        function.spans = body.spans;
        function.refs = body.refs;
        function.core = body.core;
        function.lines = body.lines;
        function.labels = body.labels;
        if function.insns.is_empty() {
            self.diagnostics.push(
                Diagnostic::error(
                    "asm-empty-function",
                    format!("function `{}` has no instructions", function.name),
                )
                .at(function.span, "")
                .help("a function ends with `exit`"),
            );
        }
        self.file.functions.push(function);
    }

    /// Notes a name; says so if it was there before.
    fn declare(&mut self, name: &str, span: Span) -> bool {
        if let Some(&before) = self.names.get(name) {
            self.diagnostics.push(
                Diagnostic::error(
                    "asm-duplicate-name",
                    format!("`{name}` is already declared"),
                )
                .and_at(before, "first here")
                .at(span, "and again here")
                .help("rename one of them"),
            );
            return false;
        }
        self.names.insert(name.to_owned(), span);
        true
    }

    /// A C declaration, up to the `;` outside of all braces.
    fn c_type(&mut self, start: usize) {
        self.end_function();
        let bytes = self.text.as_bytes();
        let mut at = start;
        let mut depth = 0i32;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if rest.starts_with(b"//") {
                at += rest.iter().position(|&c| c == b'\n').unwrap_or(rest.len());
                continue;
            }
            if rest.starts_with(b"/*") {
                at += rest
                    .windows(2)
                    .skip(2)
                    .position(|c| c == b"*/")
                    .map_or(rest.len(), |end| end + 4);
                continue;
            }
            match bytes[at] {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b';' if depth <= 0 => {
                    at += 1;
                    let span = Span::new(self.source, start as u32, at as u32);
                    self.file.types.push(Spanned {
                        value: self.text[start..at].to_owned(),
                        span,
                    });
                    // What follows on the line is read as a line of its own.
                    self.at = at;
                    return;
                }
                _ => {}
            }
            at += 1;
        }
        let span = Span::new(self.source, start as u32, (start + 1) as u32);
        self.diagnostics.push(
            Diagnostic::error("asm-open-type", "this C declaration does not end")
                .at(span, "begins here")
                .help("end it with `;`"),
        );
        self.at = self.text.len();
    }

    fn directive(&mut self, word: &str, line: &'a str, base: usize) {
        let Some(tokens) = self.lex(line, base) else {
            return;
        };
        match word {
            ".section" => {
                self.end_function();
                match tokens.all.as_slice() {
                    [_, Lexed { token: Token::Text(name), .. }] => {
                        self.section = String::from_utf8_lossy(name).into_owned();
                    }
                    [_, Lexed { token: Token::Word(name), .. }] => self.section = (*name).to_owned(),
                    _ => self.report(&tokens, 1, Diagnostic::error("asm-bad-directive", "`.section` takes one name").help("write it in quotes: `.section \"xdp\"`")),
                }
            }
            ".license" => match tokens.all.as_slice() {
                [_, Lexed { token: Token::Text(name), .. }] => {
                    let value = String::from_utf8_lossy(name).into_owned();
                    self.file.license = Some(Spanned { value, span: self.span(&tokens, 1) });
                }
                _ => self.report(&tokens, 1, Diagnostic::error("asm-bad-directive", "`.license` takes one string").help("write it in quotes: `.license \"GPL\"`")),
            },
            ".version" => match tokens.all.as_slice() {
                [_, Lexed { token: Token::Number(value), .. }] if *value <= u64::from(u32::MAX) => {
                    let span = self.span(&tokens, 1);
                    self.file.kernel_version = Some(Spanned { value: *value as u32, span });
                }
                _ => self.report(&tokens, 1, Diagnostic::error("asm-bad-directive", "`.version` takes one number").help("write the kernel's version code: `.version 0x60c00`")),
            },
            ".function" => self.function(&tokens),
            ".map" => self.map(&tokens),
            ".global" => self.global(&tokens),
            ".extern" => self.external(&tokens),
            ".raw" => self.raw(&tokens),
            _ => self.report(&tokens, 0, Diagnostic::error("asm-unknown-directive", format!("there is no directive `{word}`")).help("use .section, .function, .map, .global, .extern, .license, .version, .raw or .slot")),
        }
    }

    fn function(&mut self, tokens: &Tokens<'_>) {
        let (linkage, from) = match tokens.token(1) {
            Some(Token::Word("static")) => (Linkage::Static, 2),
            Some(Token::Word("weak")) => (Linkage::Weak, 2),
            Some(Token::Word("global")) => (Linkage::Global, 2),
            _ => (Linkage::Global, 1),
        };
        let paren =
            (from..tokens.all.len()).find(|&index| tokens.token(index) == Some(&Token::Sign("(")));
        let name_at = match paren {
            Some(paren) if paren > from => paren - 1,
            None if tokens.all.len() == from + 1 => from,
            _ => usize::MAX,
        };
        let Some(Token::Word(name)) = tokens.token(name_at) else {
            self.report(
                tokens,
                from,
                Diagnostic::error(
                    "asm-bad-directive",
                    "`.function` takes a name or a C prototype",
                )
                .help("write `.function handle` or `.function int handle(struct xdp_md *ctx)`"),
            );
            return;
        };
        let prototype = paren.map(|_| tokens.text(from, tokens.all.len()).to_owned());
        let (name, span) = ((*name).to_owned(), self.span(tokens, name_at));
        self.begin_function(name, span, linkage, prototype);
    }

    fn map(&mut self, tokens: &Tokens<'_>) {
        self.end_function();
        let (Some(Token::Word(name)), Some(Token::Sign("{")), 3) =
            (tokens.token(1), tokens.token(2), tokens.all.len())
        else {
            self.report(
                tokens,
                1,
                Diagnostic::error(
                    "asm-bad-directive",
                    "`.map` takes a name and `{`, with one attribute a line after it",
                )
                .help("write `.map counts {`"),
            );
            return;
        };
        let span = self.span(tokens, 1);
        let name = (*name).to_owned();
        if let Some(map) = self.map_body(name, span)
            && self.declare(&map.name, span)
        {
            self.file.maps.push(map);
        }
    }

    /// The lines up to `}`. `None` if the kind is missing or the block does not end.
    fn map_body(&mut self, name: String, span: Span) -> Option<Map> {
        // `inner { inner {` ... : the kernel allows one level, so deeper ones are an error, not a recursion.
        let mut stack: Vec<(Map, Option<MapType>)> = vec![(blank_map(name, span), None)];
        loop {
            let Some((line, base)) = self.next_line() else {
                self.diagnostics.push(
                    Diagnostic::error("asm-open-block", "this block does not end")
                        .at(span, "begins here")
                        .help("end it with a line `}`"),
                );
                return None;
            };
            let Some(tokens) = self.lex(line, base) else {
                continue;
            };
            match tokens.token(0) {
                None => {}
                Some(Token::Sign("}")) => {
                    let (mut map, map_type) = stack.pop()?;
                    match map_type {
                        Some(map_type) => map.map_type = map_type,
                        None => {
                            self.diagnostics.push(
                                Diagnostic::error("asm-map-without-type", "this map has no type")
                                    .at(map.span, "")
                                    .help("add a line such as `type hash`"),
                            );
                        }
                    }
                    match stack.last_mut() {
                        Some((outer, _)) => outer.inner = Some(Box::new(map)),
                        None => return map_type.map(|_| map),
                    }
                }
                Some(Token::Word("inner")) if tokens.token(1) == Some(&Token::Sign("{")) => {
                    if stack.len() > 1 {
                        self.report(
                            &tokens,
                            0,
                            Diagnostic::error("asm-nested-inner", "an inner map cannot hold maps")
                                .help("a map of maps has one level"),
                        );
                    }
                    if stack.len() > 8 {
                        return None;
                    }
                    stack.push((blank_map(String::new(), self.span(&tokens, 0)), None));
                }
                Some(_) => {
                    let (map, map_type) = stack.last_mut()?;
                    if let Err((index, headline)) = map_attribute(map, map_type, &tokens) {
                        let help = format!("a map's lines are {MAP_ATTRIBUTES}");
                        self.report(
                            &tokens,
                            index,
                            Diagnostic::error("asm-bad-map-attribute", headline).help(&help),
                        );
                    } else if let Some(slot) = map.slots.last_mut()
                        && slot.span == Span::default()
                    {
                        let lexed = &tokens.all[4];
                        slot.span = Span::new(
                            self.source,
                            (base + lexed.start) as u32,
                            (base + lexed.end) as u32,
                        );
                    }
                }
            }
        }
    }

    fn global(&mut self, tokens: &Tokens<'_>) {
        self.end_function();
        let section = match tokens.token(1) {
            Some(Token::Word(section)) if section.starts_with('.') => (*section).to_owned(),
            Some(Token::Text(section)) => String::from_utf8_lossy(section).into_owned(),
            _ => {
                self.report(
                    tokens,
                    1,
                    Diagnostic::error("asm-bad-directive", "`.global` takes a section first")
                        .help("write `.global .rodata u64 limit = 10`, or .data or .bss"),
                );
                return;
            }
        };
        let is_static = tokens.token(2) == Some(&Token::Word("static"));
        let from = if is_static { 3 } else { 2 };
        let equals =
            (from..tokens.all.len()).find(|&index| tokens.token(index) == Some(&Token::Sign("=")));
        let end = equals.unwrap_or(tokens.all.len());
        let Some((name, name_at)) = declared_name(tokens, from, end) else {
            self.report(
                tokens,
                from,
                Diagnostic::error(
                    "asm-bad-directive",
                    "`.global` takes a C declaration after the section",
                )
                .help("write `.global .data u32 table[4]`"),
            );
            return;
        };
        let span = self.span(tokens, name_at);
        let mut value = None;
        if let Some(equals) = equals {
            match init(tokens, equals + 1, 0) {
                Ok((read, after)) if after == tokens.all.len() => value = Some(read),
                Ok((_, at)) | Err(at) => {
                    self.report(
                        tokens,
                        at,
                        Diagnostic::error("asm-bad-value", "this is not a value").help(
                            "write a number, a string, `{ a, b }`, `&name` or `bytes \"00ff\"`",
                        ),
                    );
                    return;
                }
            }
        }
        if self.declare(&name, span) {
            let declaration = tokens.text(from, end).to_owned();
            self.file.globals.push(Global {
                name,
                span,
                section,
                is_static,
                declaration,
                value,
            });
        }
    }

    fn external(&mut self, tokens: &Tokens<'_>) {
        self.end_function();
        let weak = tokens.token(1) == Some(&Token::Word("weak"));
        let at = if weak { 2 } else { 1 };
        let kind = match tokens.token(at) {
            Some(Token::Word("kconfig")) => Some(ExternKind::Kconfig),
            Some(Token::Word("ksym")) => Some(ExternKind::Ksym),
            Some(Token::Word("kfunc")) => Some(ExternKind::Kfunc),
            _ => None,
        };
        let name = declared_name(tokens, at + 1, tokens.all.len());
        let (Some(kind), Some((name, name_at))) = (kind, name) else {
            self.report(
                tokens,
                if kind.is_some() { at + 1 } else { at },
                Diagnostic::error(
                    "asm-bad-directive",
                    "`.extern` takes `kconfig`, `ksym` or `kfunc` and a C declaration",
                )
                .help("write `.extern kconfig u32 CONFIG_HZ`"),
            );
            return;
        };
        let span = self.span(tokens, name_at);
        if self.declare(&name, span) {
            let declaration = tokens.text(at + 1, tokens.all.len()).to_owned();
            self.file.externs.push(Extern {
                name,
                span,
                kind,
                weak,
                declaration,
            });
        }
    }

    fn raw(&mut self, tokens: &Tokens<'_>) {
        self.end_function();
        let name = match tokens.token(1) {
            Some(Token::Word(name)) => (*name).to_owned(),
            Some(Token::Text(name)) => String::from_utf8_lossy(name).into_owned(),
            _ => String::new(),
        };
        if name.is_empty() || tokens.token(2) != Some(&Token::Sign("{")) || tokens.all.len() != 3 {
            self.report(
                tokens,
                1,
                Diagnostic::error(
                    "asm-bad-directive",
                    "`.raw` takes a section's name and `{`, with lines of hex digits after it",
                )
                .help("write `.raw \".BTF\" {`"),
            );
            return;
        }
        let span = self.span(tokens, 1);
        let mut digits: Vec<u8> = Vec::new();
        let mut sound = true;
        loop {
            let Some((line, base)) = self.next_line() else {
                self.diagnostics.push(
                    Diagnostic::error("asm-open-block", "this block does not end")
                        .at(span, "begins here")
                        .help("end it with a line `}`"),
                );
                return;
            };
            if line.trim() == "}" {
                break;
            }
            for (at, c) in line.bytes().enumerate() {
                match (c as char).to_digit(16) {
                    Some(digit) => digits.push(digit as u8),
                    None if c.is_ascii_whitespace() => {}
                    None if sound => {
                        sound = false;
                        let at = (base + at) as u32;
                        self.diagnostics.push(
                            Diagnostic::error("asm-bad-hex", "not a hex digit")
                                .at(Span::new(self.source, at, at + 1), "")
                                .help("a block of bytes holds two hex digits a byte, and blanks"),
                        );
                    }
                    None => {}
                }
            }
        }
        if !digits.len().is_multiple_of(2) && sound {
            self.diagnostics.push(
                Diagnostic::error("asm-bad-hex", "the number of hex digits is odd")
                    .at(span, "")
                    .help("a byte takes two digits"),
            );
        }
        let bytes = digits
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&[high, low]| high << 4 | low)
            .collect();
        self.file.raw.push(RawSection { name, span, bytes });
    }
}

/// The name that a C declaration declares: the word before `(`, or the last one outside of brackets.
fn declared_name(tokens: &Tokens<'_>, from: usize, to: usize) -> Option<(String, usize)> {
    let mut found = None;
    let mut depth = 0;
    for index in from..to.min(tokens.all.len()) {
        match tokens.token(index)? {
            Token::Word(word) if depth == 0 => found = Some(((*word).to_owned(), index)),
            Token::Sign("[") => depth += 1,
            Token::Sign("]") => depth -= 1,
            Token::Sign("(") if found.is_some() => break,
            _ => {}
        }
    }
    // A lone word is a type without a name.
    found.filter(|&(_, index)| index > from)
}

/// How deep the braces of a value may go.
const MAX_DEPTH: usize = 32;

/// A value and the token after it; the token that is wrong on error.
fn init(tokens: &Tokens<'_>, at: usize, depth: usize) -> Result<(Init, usize), usize> {
    match tokens.token(at) {
        Some(Token::Number(value)) => Ok((Init::Number((*value).into()), at + 1)),
        Some(Token::Sign("-")) => match tokens.token(at + 1) {
            Some(Token::Number(value)) => Ok((Init::Number(-i128::from(*value)), at + 2)),
            _ => Err(at + 1),
        },
        Some(Token::Sign("&")) => match tokens.token(at + 1) {
            Some(Token::Word(name)) => Ok((Init::Address((*name).to_owned()), at + 2)),
            _ => Err(at + 1),
        },
        Some(Token::Word("true")) => Ok((Init::Number(1), at + 1)),
        Some(Token::Word("false")) => Ok((Init::Number(0), at + 1)),
        Some(Token::Text(text)) => Ok((Init::Text(text.clone()), at + 1)),
        Some(Token::Word("bytes")) => {
            let Some(Token::Text(text)) = tokens.token(at + 1) else {
                return Err(at + 1);
            };
            let digits: Option<Vec<u8>> = text
                .iter()
                .filter(|c| !c.is_ascii_whitespace())
                .map(|&c| (c as char).to_digit(16).map(|digit| digit as u8))
                .collect();
            let digits = digits
                .filter(|digits| digits.len().is_multiple_of(2))
                .ok_or(at + 1)?;
            let bytes = digits
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&[high, low]| high << 4 | low)
                .collect();
            Ok((Init::Bytes(bytes), at + 2))
        }
        Some(Token::Sign("{")) if depth < MAX_DEPTH => {
            let mut list = Vec::new();
            let mut at = at + 1;
            loop {
                if tokens.token(at) == Some(&Token::Sign("}")) {
                    return Ok((Init::List(list), at + 1));
                }
                let (value, after) = init(tokens, at, depth + 1)?;
                list.push(value);
                at = match tokens.token(after) {
                    Some(Token::Sign(",")) => after + 1,
                    Some(Token::Sign("}")) => after,
                    _ => return Err(after),
                };
            }
        }
        _ => Err(at),
    }
}
