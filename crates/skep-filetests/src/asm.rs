//! The verbs `asm` (text and bytes say the same, both ways) and `error` (bad text gets the message that the file names).

use skep_diag::SourceId;
use skep_spec::asm;
use skep_spec::disasm::{self, Style};
use skep_spec::insn::{Endian, decode_all};

use crate::Report;
use crate::directive::hex;

/// `test asm`: each line is `TEXT ; HEX`. The text assembles to the bytes, and the bytes print as text that assembles to
/// them again. Answers the file with the bytes that the assembler gives.
pub fn round_trip(shown: &str, text: &str, report: &mut Report) -> Option<String> {
    let mut blessed = String::new();
    for (index, line) in text.lines().enumerate() {
        let code = line.split(';').next().unwrap_or_default().trim();
        if code.is_empty() {
            blessed += line;
            blessed.push('\n');
            continue;
        }
        let expected = line.split_once(';').map_or("", |(_, bytes)| bytes.trim());
        let place = format!("{shown}:{}", index + 1);
        let got = match asm::assemble_insns(code) {
            Ok(insns) => insns
                .iter()
                .flat_map(|insn| insn.to_bytes(Endian::Little))
                .collect::<Vec<u8>>(),
            Err(diagnostics) => {
                report
                    .failures
                    .push(format!("{place}: `{code}`: {diagnostics}"));
                return None;
            }
        };
        blessed += &format!("{code:<48}; {}\n", hex(&got));
        if hex(&got) != expected {
            report.failures.push(format!(
                "{place}: `{code}` gives {}, expected {expected}",
                hex(&got)
            ));
            continue;
        }
        let again = decode_all(&got, Endian::Little).ok().and_then(|insns| {
            let text = disasm::insn(&insns[0], insns.get(1), Style::Asm);
            asm::assemble_insns(&text)
                .ok()
                .map(|read| (read == insns, text))
        });
        match again {
            Some((true, _)) => report.passed += 1,
            Some((false, text)) => report.failures.push(format!(
                "{place}: prints as `{text}`, which is something else"
            )),
            None => report
                .failures
                .push(format!("{place}: what was assembled does not read back")),
        }
    }
    Some(blessed)
}

/// `test error`: each line that ends in `; error: TEXT` must be refused on its own with that text in the message.
pub fn errors(shown: &str, text: &str, report: &mut Report) -> Option<String> {
    for (index, line) in text.lines().enumerate() {
        let Some((code, expected)) = line.split_once("; error:") else {
            continue;
        };
        let (code, expected) = (code.trim(), expected.trim());
        // A directive is a whole file's business, an instruction is bare code.
        let message = if code.starts_with('.') {
            let (_, diagnostics) = asm::parse(code, SourceId(0));
            diagnostics.to_string()
        } else {
            asm::assemble_insns(code)
                .err()
                .map_or_else(String::new, |d| d.to_string())
        };
        if message.contains(expected) {
            report.passed += 1;
        } else {
            report.failures.push(format!(
                "{shown}:{}: `{code}` says `{}`, expected `{expected}`",
                index + 1,
                message.trim()
            ));
        }
    }
    None
}
