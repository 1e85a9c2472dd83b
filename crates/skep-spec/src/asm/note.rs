//! Annotations after an instruction: `@core(...)` and `@line(...)`.

use alloc::string::String;
use alloc::vec::Vec;
use skep_diag::Span;

use super::file::{CORE_KINDS, CoreNote, LineNote};
use super::insn::Failure;
use super::token::{Lexed, Token};

/// An annotation after an instruction.
pub(super) enum Note {
    Core(CoreNote),
    Line(LineNote),
}

/// Reads one annotation of the slot `at` and says what is left after it.
pub(super) fn note<'t, 'a>(
    tokens: &'t [Lexed<'a>],
    at: usize,
) -> Result<(Note, &'t [Lexed<'a>]), Failure> {
    let token = |index: usize| tokens.get(index).map(|lexed| &lexed.token);
    let Some(Token::Word(kind @ ("core" | "line"))) = token(1) else {
        return Err(Failure::new(1, "`core` or `line`"));
    };
    if token(2) != Some(&Token::Sign("(")) {
        return Err(Failure::new(2, "`(`"));
    }
    let Some(close) = tokens
        .iter()
        .position(|lexed| lexed.token == Token::Sign(")"))
    else {
        return Err(Failure::new(tokens.len(), "`)`"));
    };
    let text = |index: usize| match token(index) {
        Some(Token::Text(bytes)) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        _ => Err(Failure::new(index, "a string in quotes")),
    };
    let number = |index: usize| match token(index) {
        Some(Token::Number(value)) if *value <= u64::from(u32::MAX) => Ok(*value as u32),
        _ => Err(Failure::new(index, "a number of 32 bits")),
    };
    let comma = |index: usize| match token(index) {
        Some(Token::Sign(",")) => Ok(()),
        _ => Err(Failure::new(index, "`,`")),
    };
    let rest = &tokens[close + 1..];
    if *kind == "line" {
        let (file, line) = (text(3)?, number(5)?);
        comma(4)?;
        comma(6)?;
        let column = number(7)?;
        comma(8)?;
        let note = LineNote {
            at,
            file,
            line,
            column,
            text: text(9)?,
        };
        return if close == 10 {
            Ok((Note::Line(note), rest))
        } else {
            Err(Failure::new(10, "`)`"))
        };
    }
    let Some(Token::Word(word)) = token(3) else {
        return Err(Failure::new(3, CORE_KINDS.join(", ")));
    };
    let Some(kind) = CORE_KINDS.iter().position(|kind| kind == word) else {
        return Err(Failure::new(3, CORE_KINDS.join(", ")));
    };
    comma(4)?;
    // The type's name: all words up to the comma before the access string.
    let words: Vec<&str> = tokens[5.min(close)..close]
        .iter()
        .map_while(|lexed| {
            if let Token::Word(word) = lexed.token {
                Some(word)
            } else {
                None
            }
        })
        .collect();
    let type_name = match token(5) {
        Some(Token::Text(_)) => text(5)?,
        _ if words.is_empty() => return Err(Failure::new(5, "a type")),
        _ => words.join(" "),
    };
    let comma_at = 5 + words.len().max(1);
    comma(comma_at)?;
    let access = text(comma_at + 1)?;
    if close != comma_at + 2 {
        return Err(Failure::new(comma_at + 2, "`)`"));
    }
    let note = CoreNote {
        at,
        kind: kind as u32,
        type_name,
        access,
        span: Span::default(),
    };
    Ok((Note::Core(note), rest))
}
