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
        Value::Enum(name, _) => name.clone(),
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

/// Control characters escaped, so that no value breaks the table.
pub fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The value as JSON.
pub fn json(value: &Value) -> String {
    value.to_json()
}
