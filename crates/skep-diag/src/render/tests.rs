//! The three renderings, to the character.

use super::{full, json, short};
use crate::{Diagnostic, Diagnostics, Place, SourceId, Sources, Span};

fn example() -> (Diagnostics, Sources) {
    let mut sources = Sources::new();
    let id = sources.add("watch.s", "r1 = 0\n\tr0 = *(u32 *)(r1 + 4)\nr2 = 1\nexit\n");
    let diagnostic = Diagnostic::error("bad-access", "r1 is a number, not a pointer")
        .and_at(Span::new(id, 0, 6), "r1 becomes 0 here")
        .at(Span::new(id, 22, 28), "read through r1")
        .note("the kernel says: R1 invalid mem access 'scalar'")
        .help("load r1 from a map\nor from the context");
    (Diagnostics::from(diagnostic), sources)
}

#[test]
fn full_shows_history_fault_note_and_help() {
    let (diagnostics, sources) = example();
    let expected = "\
error[bad-access]: r1 is a number, not a pointer
 --> watch.s:2:16
  |
1 | r1 = 0
  | ------ r1 becomes 0 here
2 |     r0 = *(u32 *)(r1 + 4)
  |                   ^^^^^^ read through r1
  = note: the kernel says: R1 invalid mem access 'scalar'
  = help: load r1 from a map
          or from the context
";
    assert_eq!(full(&diagnostics, &sources), expected);
}

#[test]
fn short_is_one_line_each() {
    let (mut diagnostics, sources) = example();
    diagnostics.push(Diagnostic::warning("odd", "no place"));
    diagnostics.push(Diagnostic::error("elf", "truncated").at(
        Place::Section {
            name: ".text".into(),
            offset: 16,
        },
        "ends here",
    ));
    diagnostics.push(Diagnostic::info("trap", "x").at(
        Place::Insn {
            program: "watch".into(),
            insn: 3,
        },
        "",
    ));
    assert_eq!(
        short(&diagnostics, &sources),
        "watch.s:2:16: error[bad-access]: r1 is a number, not a pointer\n\
         warning[odd]: no place\n\
         .text+0x10: error[elf]: truncated\n\
         insn 3 of watch: note[trap]: x\n"
    );
}

#[test]
fn json_escapes_and_keeps_order() {
    let (_, sources) = example();
    let diagnostics = Diagnostics::from(Diagnostic::error("x", "a \"b\"\\\n\u{1}").at(
        Place::File {
            name: "a.o".into(),
            offset: Some(7),
        },
        "t\t",
    ));
    assert_eq!(
        json(&diagnostics, &sources),
        "{\"id\":\"x\",\"severity\":\"error\",\"headline\":\"a \\\"b\\\"\\\\\\n\\u0001\",\"labels\":\
         [{\"file\":\"a.o\",\"offset\":7,\"primary\":true,\"text\":\"t\\t\"}],\"notes\":[],\"help\":null}\n"
    );
}

#[test]
fn json_locates_spans() {
    let (diagnostics, sources) = example();
    let text = json(&diagnostics, &sources);
    assert!(text.contains(
        "\"file\":\"watch.s\",\"line\":2,\"column\":16,\"start\":22,\"end\":28,\"primary\":true"
    ));
}

#[test]
fn a_span_outside_its_source_is_shown_not_a_panic() {
    let (_, sources) = example();
    for span in [
        Span::new(SourceId(0), 9000, 9001),
        Span::new(SourceId(0), 9, 2),
        Span::new(SourceId(7), 3, 4),
    ] {
        let diagnostics = Diagnostics::from(Diagnostic::error("x", "y").at(span, "here"));
        assert!(full(&diagnostics, &sources).contains("here"));
        assert!(short(&diagnostics, &sources).ends_with("error[x]: y\n"));
        assert!(json(&diagnostics, &sources).contains("\"start\""));
    }
}

#[test]
fn a_span_of_several_lines_marks_its_first() {
    let mut sources = Sources::new();
    let id = sources.add("a", "abc\ndef\nghi");
    let diagnostics = Diagnostics::from(Diagnostic::error("x", "y").at(Span::new(id, 1, 10), ""));
    assert_eq!(
        full(&diagnostics, &sources),
        "error[x]: y\n --> a:1:2\n  |\n1 | abc\n  |  ^^\n"
    );
}
