//! Decoded values as cells of a table and as JSON.
//!
//! Invariants: a cell is one line of printable characters; JSON carries the numbers as they are.

use skep::btf::value::Value;
use skep::spec::errno::Errno;

/// A value in one line. A negative result by its error's name: `-ENOENT`.
pub fn cell(name: &str, value: &Value) -> String {
    let errno = |number: i128| match number {
        -4095..0 if is_result(name) => Errno(i32::try_from(-number).ok()?).name(),
        _ => None,
    };
    match value {
        Value::Int(number) => match errno(*number) {
            Some(name) => format!("-{name}"),
            None => number.to_string(),
        },
        // Several strings in one member: arguments, mostly.
        Value::Str(text) => printable(&text.replace('\0', " ")),
        Value::Enum(name, _) => printable(name),
        other => printable(&other.to_string()),
    }
}

/// Whether a member of this name holds what a system call answered.
fn is_result(name: &str) -> bool {
    [
        "ret",
        "retval",
        "err",
        "errno",
        "error",
        "result",
        "return_value",
    ]
    .contains(&name)
}

/// Control characters escaped, so that no value breaks the table or steers the terminal.
pub fn printable(text: &str) -> String {
    escaped(text, steers)
}

/// As [`printable`], for text of several lines.
pub fn lines(text: &str) -> String {
    escaped(text, |c| steers(c) && c != '\n' && c != '\t')
}

/// A message for people: as [`lines`], and none of them endless, whatever input it cites.
pub fn message(text: &str) -> String {
    let cut = |line: &str| match line.char_indices().nth(LINE_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    };
    lines(&text.split('\n').map(cut).collect::<Vec<_>>().join("\n"))
}

/// Characters of a message's line.
const LINE_MAX: usize = 2000;

/// Whether a terminal obeys a character instead of showing it: control characters, and those that turn the direction
/// or end the line.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, which: impl Fn(char) -> bool) -> String {
    if !text.contains(&which) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if which(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A JSON string; what would steer a terminal is escaped.
pub fn quoted(text: &str) -> String {
    json_safe(serde_json::Value::from(text).to_string())
}

fn json_safe(text: String) -> String {
    if !text.contains(steers) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            // All of them are of the basic plane.
            out.push_str(&format!("\\u{:04x}", c as u32));
        } else {
            out.push(c);
        }
    }
    out
}

/// The value as JSON.
pub fn json(value: &Value) -> String {
    json_safe(value.to_json())
}
