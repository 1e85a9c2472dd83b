//! Any text as assembly and as an object in text: diagnostics or an object, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_diag::SourceId;
use skep_spec::asm;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = asm::assemble_insns(text);
    let _ = asm::parse(text, SourceId(0));
});
