//! JSON results: one document, two spaces of indentation, a line end.

use serde_json::Value;

/// The document as text.
pub fn document(value: &Value) -> String {
    format!("{value:#}\n")
}
