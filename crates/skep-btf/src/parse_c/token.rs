//! The words of C declarations, with their places.
//!
//! Invariant: every token is a slice of the text at its offset; comments and white space are skipped.

use skep_spec::Malformed;

/// What a text that cannot be read is called in errors.
pub(super) const WHAT: &str = "C declaration";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Word(&'a str),
    Number(i128),
    /// One character, or `...` as `…`.
    Mark(char),
    End,
}

pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token<'_>)>, Malformed> {
    let bad = |offset: usize, why: String| Malformed::new(WHAT, offset, why);
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let span = |wanted: fn(char) -> bool| {
            rest.find(|character| !wanted(character))
                .unwrap_or(rest.len())
        };
        let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let len = if first.is_whitespace() {
            first.len_utf8()
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/")
                .ok_or_else(|| bad(at, "the comment does not end".into()))?
                + 2
        } else if first.is_ascii_digit() {
            let len = span(word);
            let digits = rest[..len].trim_end_matches(['u', 'U', 'l', 'L']);
            let number = match digits
                .strip_prefix("0x")
                .or_else(|| digits.strip_prefix("0X"))
            {
                Some(hex) => i128::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            let number = number.map_err(|_| bad(at, format!("{digits:?} is no integer")))?;
            tokens.push((at, Token::Number(number)));
            len
        } else if word(first) {
            let len = span(word);
            tokens.push((at, Token::Word(&rest[..len])));
            len
        } else if rest.starts_with("...") {
            tokens.push((at, Token::Mark('…')));
            3
        } else if "{}()[];,*:=-\"".contains(first) {
            tokens.push((at, Token::Mark(first)));
            1
        } else {
            return Err(bad(at, format!("{first:?} has no place in a declaration")));
        };
        at += len;
    }
    tokens.push((at, Token::End));
    Ok(tokens)
}
