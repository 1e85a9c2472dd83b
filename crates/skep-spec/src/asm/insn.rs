//! One instruction from its tokens: every row of the opcode table is tried, the one that fits to the end wins.
//!
//! Invariants: a row that matches gives a slot that `opcode::check` accepts; the failure reported is the one that came
//! furthest, with what was expected there.

use alloc::borrow::Cow;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use skep_diag::{Diagnostic, Span};

use super::file::RefTarget;
use super::token::{self, Lexed, Token};
use super::{is_32_bit, is_narrow};
use crate::helper;
use crate::insn::{Endian, Insn, pseudo};
use crate::opcode::{self, Opcode};

/// An instruction that was read.
pub(super) struct Parsed {
    pub(super) insn: Insn,
    pub(super) second: Option<Insn>,
    /// What is still a name, and where in the line.
    pub(super) target: Option<(Target, usize, usize)>,
}

/// What a name in an instruction decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The offset of a jump: a label.
    Offset(String),
    /// The immediate of a jump: a label.
    Immediate(String),
    /// A call: a label or a function.
    Call(String),
    /// A function's address: a label or a function.
    Address(String),
    /// A reference.
    Name(RefTarget),
}

impl Target {
    pub(super) fn name(&self) -> &str {
        match self {
            Target::Offset(name)
            | Target::Immediate(name)
            | Target::Call(name)
            | Target::Address(name) => name,
            Target::Name(_) => "",
        }
    }
}

/// What would have been right at a token.
#[derive(Clone, PartialEq, Eq)]
enum Expected {
    /// This very word or sign.
    Literal(&'static str),
    /// Something of this description.
    Kind(Cow<'static, str>),
}

/// Why one row does not fit: at which token, and what would have been right there. Cheap, since most rows miss.
struct Miss {
    at: usize,
    expected: Expected,
}

/// Why no row fits: the token that the best of them came to, and what would have been right there.
pub(super) struct Failure {
    pub(super) at: usize,
    expected: Vec<Expected>,
}

impl Failure {
    pub(super) fn new(at: usize, expected: impl Into<Cow<'static, str>>) -> Failure {
        Failure {
            at,
            expected: vec![Expected::Kind(expected.into())],
        }
    }

    fn merge(&mut self, miss: Miss) {
        if miss.at > self.at {
            *self = Failure {
                at: miss.at,
                expected: vec![miss.expected],
            };
        } else if miss.at == self.at && !self.expected.contains(&miss.expected) {
            self.expected.push(miss.expected);
        }
    }

    pub(super) fn into_diagnostic(mut self, place: Span, whole: Span) -> Diagnostic {
        const SHOWN: usize = 8;
        let more = self.expected.len().saturating_sub(SHOWN);
        self.expected.truncate(SHOWN);
        let words: Vec<String> = self
            .expected
            .iter()
            .map(|expected| match expected {
                Expected::Literal(literal) => format!("`{literal}`"),
                Expected::Kind(kind) => kind.to_string(),
            })
            .collect();
        let mut expected = words.join(", ");
        if more > 0 {
            expected.push_str(", ...");
        }
        let diagnostic =
            Diagnostic::error("asm-unknown-insn", "no instruction is written like this");
        let diagnostic = match place {
            _ if self.expected.is_empty() => diagnostic.at(whole, ""),
            place => diagnostic.at(place, format!("expected {expected}")),
        };
        diagnostic.help("see the reference of instructions for how each is written")
    }
}

/// What a listing has in front of an instruction.
pub(super) struct Listing {
    /// Where the instruction begins.
    pub(super) end: usize,
    /// The code in parentheses, as the kernel's log prints it.
    pub(super) code: Option<u8>,
}

/// Skips a slot number, the bytes of a listing of llvm-objdump, and the code in a line of the kernel's log.
pub(super) fn skip_listing(line: &str) -> Listing {
    let mut end = line.len() - line.trim_start().len();
    let digits = line[end..].bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 && line[end + digits..].starts_with(':') {
        end += digits + 1;
        end += line[end..].len() - line[end..].trim_start().len();
        for bytes in [16, 8] {
            if let Some(length) = hex_bytes(&line[end..], bytes) {
                end += length;
                break;
            }
        }
    }
    let mut code = None;
    let rest = &line.as_bytes()[end..];
    if let [b'(', a, b, b')', ..] = rest
        && let Ok(value) = u8::from_str_radix(&String::from_utf8_lossy(&[*a, *b]), 16)
    {
        code = Some(value);
        end += 4;
    }
    Listing { end, code }
}

/// The length of `count` bytes written as `xx xx ... xx` with blanks after.
fn hex_bytes(text: &str, count: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    for at in 0..count {
        let [a, b, blank] = bytes.get(3 * at..3 * at + 3)? else {
            return None;
        };
        if !a.is_ascii_hexdigit() || !b.is_ascii_hexdigit() || !matches!(blank, b' ' | b'\t') {
            return None;
        }
    }
    let length = 3 * count;
    Some(length + text[length..].len() - text[length..].trim_start().len())
}

/// Reads the tokens of one instruction; `code` restricts the rows where a listing says the code.
pub(super) fn parse(tokens: &[Lexed<'_>], code: Option<u8>) -> Result<Parsed, Failure> {
    let tokens = strip_symbol(tokens);
    if let Some(slot) = bare_slot(tokens)? {
        return Ok(slot);
    }
    if let Some(load) = symbolic_load(tokens)? {
        return Ok(load);
    }
    for (at, lexed) in tokens.iter().enumerate() {
        if let Token::Word(word) = lexed.token
            && let Some(digits) = word.strip_prefix(['r', 'w'])
            && digits.parse::<u32>().is_ok_and(|number| number > 10)
        {
            return Err(Failure::new(
                at,
                format!("a register {0}0 to {0}10", &word[..1]),
            ));
        }
    }
    let rows = || {
        let rows = opcode::all()
            .iter()
            .filter(move |row| code.is_none_or(|code| code == row.code));
        rows.flat_map(|row| {
            [Some(row.text), row.kernel_text]
                .into_iter()
                .flatten()
                .map(move |text| (row, text))
        })
    };
    for (opcode, text) in rows().filter(|(_, text)| begins_alike(text, tokens)) {
        if let Ok(parsed) = Matcher::new(opcode, tokens, code.is_some()).run(text) {
            return Ok(parsed);
        }
    }
    // None fits: look at all of them again, for the one that came furthest.
    let mut failure = Failure {
        at: 0,
        expected: Vec::new(),
    };
    for (opcode, text) in rows() {
        match Matcher::new(opcode, tokens, code.is_some()).run(text) {
            Ok(parsed) => return Ok(parsed),
            Err(miss) => failure.merge(miss),
        }
    }
    Err(failure)
}

/// Whether the first sign or word of a row's text is that of the line: most rows are out by that alone.
fn begins_alike(text: &str, tokens: &[Lexed<'_>]) -> bool {
    let (at, rest) = match text.split_once("} ") {
        Some((_, rest)) if text.starts_with('{') => (1, rest),
        _ => (0, text),
    };
    match tokens.get(at).map(|lexed| &lexed.token) {
        Some(Token::Word(word)) => rest.starts_with(word),
        Some(Token::Sign(sign)) => rest.starts_with(sign),
        _ => false,
    }
}

/// Drops the ` <function+0x10>` that llvm-objdump prints after a jump's offset.
fn strip_symbol<'a, 'b>(tokens: &'b [Lexed<'a>]) -> &'b [Lexed<'a>] {
    let open = tokens
        .iter()
        .rposition(|lexed| lexed.token == Token::Sign("<"));
    match (open, tokens.last()) {
        (Some(open), Some(last)) if open > 1 && last.token == Token::Sign(">") => &tokens[..open],
        _ => tokens,
    }
}

/// `.slot 0x...`: eight bytes as a little-endian number.
fn bare_slot(tokens: &[Lexed<'_>]) -> Result<Option<Parsed>, Failure> {
    let Some(Lexed {
        token: Token::Word(".slot"),
        ..
    }) = tokens.first()
    else {
        return Ok(None);
    };
    match tokens {
        [
            _,
            Lexed {
                token: Token::Number(bits),
                ..
            },
        ] => {
            let insn = Insn::from_bytes(&bits.to_le_bytes(), Endian::Little);
            Ok(Some(Parsed {
                insn,
                second: None,
                target: None,
            }))
        }
        _ => Err(Failure::new(1, "a number of 64 bits")),
    }
}

/// `rN = map NAME ll` and the like.
fn symbolic_load(tokens: &[Lexed<'_>]) -> Result<Option<Parsed>, Failure> {
    let [register, equals, kind, rest @ ..] = tokens else {
        return Ok(None);
    };
    let (Token::Sign("="), Token::Word(kind)) = (&equals.token, &kind.token) else {
        return Ok(None);
    };
    if !matches!(*kind, "map" | "value" | "global" | "extern") {
        return Ok(None);
    }
    let Some(dst) = register_number(&register.token, "r") else {
        return Err(Failure::new(0, "a register r0 to r10"));
    };
    let (name, start, mut end) = match rest.first() {
        Some(Lexed {
            token: Token::Word(name),
            start,
            end,
        }) => ((*name).to_owned(), *start, *end),
        Some(Lexed {
            token: Token::Text(name),
            start,
            end,
        }) => (String::from_utf8_lossy(name).into_owned(), *start, *end),
        _ => return Err(Failure::new(3, "a name")),
    };
    let mut at = 4;
    let mut offset = 0;
    if let Some(Lexed {
        token: Token::Sign(sign @ ("+" | "-")),
        ..
    }) = tokens.get(at)
    {
        match tokens.get(at + 1) {
            Some(Lexed {
                token: Token::Number(value),
                end: last,
                ..
            }) if *value <= u64::from(u32::MAX) => {
                offset = if *sign == "-" {
                    (*value as u32).wrapping_neg()
                } else {
                    *value as u32
                };
                end = *last;
            }
            _ => return Err(Failure::new(at + 1, "a number of 32 bits")),
        }
        at += 2;
    }
    if !matches!(
        tokens.get(at),
        Some(Lexed {
            token: Token::Word("ll"),
            ..
        })
    ) || tokens.len() != at + 1
    {
        return Err(Failure::new(at.min(tokens.len()), "`ll`"));
    }
    let (src, target) = match *kind {
        "map" if offset == 0 => (pseudo::MAP_FD, RefTarget::Map(name)),
        "map" | "value" => (pseudo::MAP_VALUE, RefTarget::MapValue { map: name, offset }),
        "global" => (pseudo::MAP_VALUE, RefTarget::Global { name, offset }),
        _ => (0, RefTarget::Extern(name)),
    };
    let [insn, second] = Insn::ld_imm64_pseudo(dst, src, 0, 0);
    Ok(Some(Parsed {
        insn,
        second: Some(second),
        target: Some((Target::Name(target), start, end)),
    }))
}

/// The number of a register written with that prefix.
fn register_number(token: &Token<'_>, prefix: &str) -> Option<u8> {
    let Token::Word(word) = token else {
        return None;
    };
    if *word == "fp" && prefix == "r" {
        return Some(10);
    }
    let digits = word.strip_prefix(prefix)?;
    let number: u8 = digits.parse().ok()?;
    (number <= 10 && (digits.len() == 1 || number == 10)).then_some(number)
}

struct Matcher<'t, 'a> {
    opcode: &'static Opcode,
    tokens: &'t [Lexed<'a>],
    at: usize,
    listing: bool,
    insn: Insn,
    second: i32,
    dst: Option<u8>,
    src: Option<u8>,
    target: Option<(Target, usize, usize)>,
}

impl<'t, 'a> Matcher<'t, 'a> {
    fn new(opcode: &'static Opcode, tokens: &'t [Lexed<'a>], listing: bool) -> Matcher<'t, 'a> {
        Matcher {
            opcode,
            tokens,
            at: 0,
            listing,
            insn: opcode.blank(),
            second: 0,
            dst: None,
            src: None,
            target: None,
        }
    }

    fn run(mut self, text: &'static str) -> Result<Parsed, Miss> {
        let mut rest = text;
        loop {
            let open = rest.find('{').unwrap_or(rest.len());
            self.literal(&rest[..open])?;
            let Some(close) = rest.find('}') else { break };
            self.place(&rest[open + 1..close])?;
            rest = &rest[close + 1..];
        }
        if self.at < self.tokens.len() {
            return Err(self.fail("the end of the line"));
        }
        let wide = self.insn.is_ld_imm64();
        let second = wide.then_some(Insn {
            imm: self.second,
            ..Insn::default()
        });
        Ok(Parsed {
            insn: self.insn,
            second,
            target: self.target,
        })
    }

    fn fail(&self, expected: &'static str) -> Miss {
        Miss {
            at: self.at,
            expected: Expected::Kind(Cow::Borrowed(expected)),
        }
    }

    fn peek(&self) -> Option<&'t Token<'a>> {
        self.tokens.get(self.at).map(|lexed| &lexed.token)
    }

    fn peek_after(&self) -> Option<&'t Token<'a>> {
        self.tokens.get(self.at + 1).map(|lexed| &lexed.token)
    }

    fn literal(&mut self, text: &'static str) -> Result<(), Miss> {
        let mut from = 0;
        while let Some(lexed) = token::next(text, from) {
            if self.peek() != Some(&lexed.token) {
                let expected = Expected::Literal(&text[lexed.start..lexed.end]);
                return Err(Miss {
                    at: self.at,
                    expected,
                });
            }
            self.at += 1;
            from = lexed.end;
        }
        Ok(())
    }

    fn place(&mut self, name: &str) -> Result<(), Miss> {
        match name {
            "d" | "md" | "wd" => self.register(name, true),
            "s" | "ms" | "ws" => self.register(name, false),
            "i" | "x" => {
                self.insn.imm = self.immediate()?;
                Ok(())
            }
            "o" => self.memory_offset(),
            "j" | "l" => self.jump(name == "j"),
            "q" => self.immediate64(),
            "u" if self.listing && self.insn.is_ld_imm64() => self.immediate64(),
            "u" => Err(self.fail("`ll` at the end")),
            "n" => {
                self.second = self.added()?;
                Ok(())
            }
            "p" => {
                self.insn.imm = self.added()?;
                Ok(())
            }
            "hi" => {
                self.insn.imm = i32::from(self.half()? as i16) << 16;
                Ok(())
            }
            "lo" => {
                self.insn.imm |= i32::from(self.half()?);
                Ok(())
            }
            "helper" => self.helper(),
            "local" => self.local(),
            "kfunc" => self.kfunc(),
            _ => Err(self.fail("nothing")),
        }
    }

    fn register(&mut self, name: &str, is_dst: bool) -> Result<(), Miss> {
        let expected = if name.starts_with('w') {
            "a register w0 to w10"
        } else {
            "a register r0 to r10"
        };
        let token = self.peek().ok_or_else(|| self.fail(expected))?;
        let number = match name.as_bytes()[0] {
            b'w' => register_number(token, "w"),
            b'm' if is_narrow(self.opcode.code) => {
                register_number(token, "r").or(register_number(token, "w"))
            }
            _ => register_number(token, "r"),
        };
        let number = number.ok_or_else(|| self.fail(expected))?;
        let (known, field) = if is_dst {
            (&mut self.dst, &mut self.insn.dst)
        } else {
            (&mut self.src, &mut self.insn.src)
        };
        if known.is_some_and(|known| known != number) {
            return Err(self.fail("the same register again"));
        }
        *known = Some(number);
        *field = number;
        self.at += 1;
        Ok(())
    }

    /// `5`, `-5`: an optional sign and a magnitude.
    fn signed(&mut self, expected: &'static str) -> Result<i128, Miss> {
        let negative = match self.peek() {
            Some(Token::Sign("-")) => true,
            Some(Token::Sign("+")) | Some(Token::Number(_)) => false,
            _ => return Err(self.fail(expected)),
        };
        if matches!(self.peek(), Some(Token::Sign(_))) {
            self.at += 1;
        }
        let Some(Token::Number(value)) = self.peek() else {
            return Err(self.fail(expected));
        };
        let value = i128::from(*value);
        Ok(if negative { -value } else { value })
    }

    fn in_range(
        &mut self,
        value: i128,
        range: core::ops::RangeInclusive<i128>,
        expected: &'static str,
    ) -> Result<i128, Miss> {
        if !range.contains(&value) {
            return Err(self.fail(expected));
        }
        self.at += 1;
        Ok(value)
    }

    fn immediate(&mut self) -> Result<i32, Miss> {
        const I32: core::ops::RangeInclusive<i128> = i32::MIN as i128..=i32::MAX as i128;
        const BOTH: core::ops::RangeInclusive<i128> = i32::MIN as i128..=u32::MAX as i128;
        let value = self.signed("a number")?;
        // Beyond i32 the bits would be sign-extended to 64, which is not what is written: only a listing means that.
        let wide = is_32_bit(self.opcode.code) || self.listing;
        if wide {
            self.in_range(value, BOTH, "a number of 32 bits")
                .map(|value| value as u32 as i32)
        } else {
            let expected = "a number from -0x80000000 to 0x7fffffff (beyond, load it with `ll`)";
            self.in_range(value, I32, expected)
                .map(|value| value as i32)
        }
    }

    fn immediate64(&mut self) -> Result<(), Miss> {
        let value = self.signed("a number")?;
        let value = self.in_range(
            value,
            i64::MIN as i128..=u64::MAX as i128,
            "a number of 64 bits",
        )? as u64;
        self.insn.imm = value as u32 as i32;
        self.second = (value >> 32) as u32 as i32;
        Ok(())
    }

    fn half(&mut self) -> Result<u16, Miss> {
        let value = self.signed("a number")?;
        self.in_range(value, 0..=0xffff, "a number of 16 bits")
            .map(|value| value as u16)
    }

    fn memory_offset(&mut self) -> Result<(), Miss> {
        if !matches!(self.peek(), Some(Token::Sign("+" | "-"))) {
            return Ok(());
        }
        let value = self.signed("an offset")?;
        let range = i16::MIN as i128..=i16::MAX as i128;
        self.insn.off = self.in_range(value, range, "an offset from -0x8000 to 0x7fff")? as i16;
        Ok(())
    }

    fn added(&mut self) -> Result<i32, Miss> {
        if !matches!(self.peek(), Some(Token::Sign("+" | "-"))) {
            return Ok(0);
        }
        let value = self.signed("a number")?;
        let range = i32::MIN as i128..=u32::MAX as i128;
        self.in_range(value, range, "a number of 32 bits")
            .map(|value| value as u32 as i32)
    }

    /// `+5`, `-5`, `pc+5`: a distance; or `None` at anything else.
    fn distance(
        &mut self,
        range: core::ops::RangeInclusive<i128>,
        expected: &'static str,
    ) -> Result<Option<i32>, Miss> {
        if self.peek() == Some(&Token::Word("pc"))
            && matches!(self.peek_after(), Some(Token::Sign("+" | "-")))
        {
            self.at += 1;
        } else if !matches!(self.peek(), Some(Token::Sign("+" | "-"))) {
            return Ok(None);
        }
        let value = self.signed(expected)?;
        self.in_range(value, range, expected)
            .map(|value| Some(value as i32))
    }

    fn name(&mut self) -> Option<(String, usize, usize)> {
        let lexed = self.tokens.get(self.at)?;
        let Token::Word(word) = lexed.token else {
            return None;
        };
        self.at += 1;
        Some((word.to_owned(), lexed.start, lexed.end))
    }

    fn jump(&mut self, by_offset: bool) -> Result<(), Miss> {
        let (range, expected) = if by_offset {
            (
                i16::MIN as i128..=i16::MAX as i128,
                "a label, or a distance from -0x8000 to +0x7fff",
            )
        } else {
            (i32::MIN as i128..=i32::MAX as i128, "a label or a distance")
        };
        if let Some(distance) = self.distance(range, expected)? {
            if by_offset {
                self.insn.off = distance as i16;
            } else {
                self.insn.imm = distance;
            }
            return Ok(());
        }
        let Some((name, start, end)) = self.name() else {
            return Err(self.fail(expected));
        };
        let target = if by_offset {
            Target::Offset(name)
        } else {
            Target::Immediate(name)
        };
        self.target = Some((target, start, end));
        Ok(())
    }

    fn local(&mut self) -> Result<(), Miss> {
        let expected = "a function, or a distance such as `pc+5`";
        if let Some(distance) = self.distance(i32::MIN as i128..=i32::MAX as i128, expected)? {
            self.insn.imm = distance;
            return Ok(());
        }
        let is_call = !self.insn.is_ld_imm64();
        if is_call
            && matches!(self.peek(), Some(Token::Word("func")))
            && matches!(self.peek_after(), Some(Token::Word(_)))
        {
            self.at += 1;
        } else if is_call
            && matches!(
                self.peek(),
                Some(Token::Word("kfunc" | "helper" | "unknown" | "kernel"))
            )
        {
            return Err(self.fail(expected));
        }
        let Some((name, start, end)) = self.name() else {
            return Err(self.fail(expected));
        };
        let target = if is_call {
            Target::Call(name)
        } else {
            Target::Address(name)
        };
        self.target = Some((target, start, end));
        Ok(())
    }

    fn number32(&mut self, expected: &'static str) -> Result<i32, Miss> {
        let value = self.signed(expected)?;
        self.in_range(value, i32::MIN as i128..=u32::MAX as i128, expected)
            .map(|value| value as u32 as i32)
    }

    fn helper(&mut self) -> Result<(), Miss> {
        let expected = "a helper's name or number";
        if matches!(self.peek(), Some(Token::Number(_) | Token::Sign("-"))) {
            self.insn.imm = self.number32(expected)?;
            return Ok(());
        }
        let Some(Token::Word(word)) = self.peek() else {
            return Err(self.fail(expected));
        };
        if *word == "helper" && matches!(self.peek_after(), Some(Token::Number(_))) {
            self.at += 1;
            self.insn.imm = self.number32(expected)?;
            return Ok(());
        }
        if *word == "unknown" && self.peek_after() == Some(&Token::Sign("#")) {
            self.at += 2;
            self.insn.imm = self.number32(expected)?;
            return Ok(());
        }
        let explicit = *word == "helper" && matches!(self.peek_after(), Some(Token::Word(_)));
        if explicit {
            self.at += 1;
        }
        let Some(Token::Word(word)) = self.peek() else {
            return Err(self.fail(expected));
        };
        // Without `helper` in front only the full name counts, so that a function may be called `loop`.
        let found = helper::by_name(word).filter(|helper| explicit || helper.name == *word);
        let Some(found) = found else {
            return Err(self.fail(expected));
        };
        self.insn.imm = found.id as i32;
        self.at += 1;
        if self.peek() == Some(&Token::Sign("#")) {
            self.at += 1;
            self.insn.imm = self.number32(expected)?;
        }
        Ok(())
    }

    fn kfunc(&mut self) -> Result<(), Miss> {
        let expected = "`kfunc` and a kernel function's name or BTF id";
        if self.peek() == Some(&Token::Word("kernel"))
            && self.peek_after() == Some(&Token::Sign("-"))
        {
            self.at += 2;
            self.literal("function#")?;
            self.insn.imm = self.number32(expected)?;
            return Ok(());
        }
        if self.peek() != Some(&Token::Word("kfunc")) {
            return Err(self.fail(expected));
        }
        self.at += 1;
        if let Some((name, start, end)) = self.name() {
            self.target = Some((Target::Name(RefTarget::Kfunc(name)), start, end));
            return Ok(());
        }
        self.insn.imm = self.number32(expected)?;
        if self.peek() == Some(&Token::Word("off")) {
            self.at += 1;
            let value = self.signed("a number of 16 bits")?;
            let range = i16::MIN as i128..=i16::MAX as i128;
            self.insn.off = self.in_range(value, range, "a number of 16 bits")? as i16;
        }
        Ok(())
    }
}
