//! Lines, columns and spans.

use super::*;

#[test]
fn lines_and_columns() {
    let mut sources = Sources::new();
    let id = sources.add("a.s", "one\ntwö x\r\n\nlast");
    let source = sources.source(id).unwrap();
    assert_eq!(source.lines(), 4);
    assert_eq!(source.line(1), "one");
    assert_eq!(source.line(2), "twö x");
    assert_eq!(source.line(3), "");
    assert_eq!(source.line(4), "last");
    assert_eq!(source.line(0), "");
    assert_eq!(source.line(5), "");
    assert_eq!(source.position(0), Position { line: 1, column: 1 });
    assert_eq!(source.position(4), Position { line: 2, column: 1 });
    // Byte 9 is `x`: t w ö(2 bytes) space.
    assert_eq!(source.position(9), Position { line: 2, column: 5 });
    // Inside ö: the character it belongs to.
    assert_eq!(source.position(7), Position { line: 2, column: 3 });
    assert_eq!(source.position(1000), Position { line: 4, column: 5 });
}

#[test]
fn spans_join_within_a_source() {
    let a = Span::new(SourceId(0), 4, 6);
    assert_eq!(
        a.to(Span::new(SourceId(0), 1, 5)),
        Span::new(SourceId(0), 1, 6)
    );
    assert_eq!(a.to(Span::new(SourceId(1), 1, 5)), a);
}
