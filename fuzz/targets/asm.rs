//! Any text as assembly and as an object in text: diagnostics or an object that prints and links, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_diag::SourceId;
use skep_obj::{Object, ParseOptions};
use skep_spec::asm;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = asm::assemble_insns(text);
    let (file, _) = asm::parse(text, SourceId(0));
    let _ = asm::print(&file);
    let options = ParseOptions { name: "fuzz".to_owned(), ..ParseOptions::default() };
    let Ok(object) = Object::parse(bytes, &options) else { return };
    let _ = skep_obj::text::print(&object);
    for program in object.programs.iter().take(64) {
        let _ = object.link(program);
    }
});
