//! Words, numbers, strings and signs of one line.
//!
//! Invariants: every token's span lies within its line; anything that is no token becomes [`Token::Bad`], so lexing
//! never fails. A comment runs from `;`, `//`, or a `#` that a blank or nothing precedes, to the end of the line.

/// One token.
use alloc::string::String;
use alloc::vec::Vec;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Token<'a> {
    /// A name; may hold dots: `.map`, `r1`, `sys_enter`.
    Word(&'a str),
    /// A number without sign.
    Number(u64),
    /// A string, unescaped.
    Text(Vec<u8>),
    /// An operator or bracket.
    Sign(&'static str),
    /// What is none of these, and why.
    Bad(&'static str),
}

/// A token and where it is, in bytes of the line.
#[derive(Clone, Debug)]
pub(crate) struct Lexed<'a> {
    pub(crate) token: Token<'a>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Longest first.
const SIGNS: &[&str] = &[
    "s>>=", "s/=", "s%=", "s>=", "s<=", "<<=", ">>=", "s>", "s<", "+=", "-=", "*=", "/=", "%=",
    "&=", "|=", "^=", "==", "!=", ">=", "<=", ">", "<", "=", "&", "|", "^", "+", "-", "*", "/",
    "%", "(", ")", "[", "]", "{", "}", ",", ":", "@", "#", "?",
];

pub(crate) fn is_word_start(c: u8) -> bool {
    c.is_ascii_alphabetic() || matches!(c, b'_' | b'.' | b'$')
}

pub(crate) fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'$')
}

/// The next token of `line` at or after `from`; `None` at its end or at a comment.
pub(crate) fn next(line: &str, from: usize) -> Option<Lexed<'_>> {
    let bytes = line.as_bytes();
    let mut start = from;
    while start < bytes.len() && bytes[start].is_ascii_whitespace() {
        start += 1;
    }
    let rest = &bytes[start..];
    let &first = rest.first()?;
    let commented = first == b';'
        || rest.starts_with(b"//")
        || (first == b'#' && (start == 0 || bytes[start - 1].is_ascii_whitespace()));
    if commented {
        return None;
    }
    let lexed = |token, length: usize| {
        Some(Lexed {
            token,
            start,
            end: start + length,
        })
    };
    let text = line.get(start..).unwrap_or("");
    if let Some(&sign) = SIGNS.iter().find(|sign| text.starts_with(**sign)) {
        // `s>` begins with a letter, but a name such as `s` alone is not followed by an operator without blank.
        return lexed(Token::Sign(sign), sign.len());
    }
    if first == b'"' {
        return Some(string(line, start));
    }
    if first == b'\'' {
        return Some(character(line, start));
    }
    let length = rest.iter().take_while(|c| is_word(**c)).count();
    if first.is_ascii_digit() {
        return match number(&text[..length]) {
            Some(value) => lexed(Token::Number(value), length),
            None => lexed(Token::Bad("not a number of 64 bits"), length),
        };
    }
    if is_word_start(first) {
        return lexed(Token::Word(&text[..length]), length);
    }
    let width = text.chars().next().map_or(1, char::len_utf8);
    lexed(Token::Bad("no such sign in this language"), width)
}

/// Decimal, `0x`, `0b` or `0o`; `_` may separate digits.
pub(crate) fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', b'b' | b'B', ..] => (&text[2..], 2),
        [b'0', b'o' | b'O', ..] => (&text[2..], 8),
        _ => (text, 10),
    };
    let digits: String = digits.chars().filter(|&c| c != '_').collect();
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(&digits, radix).ok()
}

fn string(line: &str, start: usize) -> Lexed<'_> {
    let bytes = line.as_bytes();
    let mut value = Vec::new();
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                return Lexed {
                    token: Token::Text(value),
                    start,
                    end: at + 1,
                };
            }
            b'\\' => match escape(&bytes[at + 1..]) {
                Some((byte, length)) => {
                    value.push(byte);
                    at += 1 + length;
                }
                None => {
                    return Lexed {
                        token: Token::Bad("unknown escape in a string"),
                        start,
                        end: line.len(),
                    };
                }
            },
            byte => {
                value.push(byte);
                at += 1;
            }
        }
    }
    Lexed {
        token: Token::Bad("the string does not end on this line"),
        start,
        end: line.len(),
    }
}

fn character(line: &str, start: usize) -> Lexed<'_> {
    let bytes = &line.as_bytes()[start + 1..];
    let read = match bytes.first() {
        Some(b'\\') => escape(&bytes[1..]).map(|(byte, length)| (byte, length + 1)),
        Some(&byte) if byte.is_ascii() && byte != b'\'' => Some((byte, 1)),
        _ => None,
    };
    match read {
        Some((byte, length)) if bytes.get(length) == Some(&b'\'') => Lexed {
            token: Token::Number(byte.into()),
            start,
            end: start + length + 2,
        },
        _ => Lexed {
            token: Token::Bad("not a character"),
            start,
            end: line.len(),
        },
    }
}

/// The byte after a backslash, and how many characters it took.
fn escape(rest: &[u8]) -> Option<(u8, usize)> {
    Some(match rest.first()? {
        b'n' => (b'\n', 1),
        b't' => (b'\t', 1),
        b'r' => (b'\r', 1),
        b'0' => (0, 1),
        b'\\' => (b'\\', 1),
        b'"' => (b'"', 1),
        b'\'' => (b'\'', 1),
        b'x' => {
            let digits = core::str::from_utf8(rest.get(1..3)?).ok()?;
            if digits.starts_with('+') {
                return None;
            }
            (u8::from_str_radix(digits, 16).ok()?, 3)
        }
        _ => return None,
    })
}

/// All tokens of a line.
pub(crate) fn tokens(line: &str) -> Vec<Lexed<'_>> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(lexed) = next(line, at) {
        at = lexed.end;
        all.push(lexed);
    }
    all
}
