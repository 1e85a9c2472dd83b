//! Any bytes as an object: what parses is linked, relocated to its own types, and every global is asked for.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_obj::{Object, ParseOptions};

fuzz_target!(|bytes: &[u8]| {
    let options = ParseOptions { name: "fuzz".to_owned(), legacy_maps: true };
    let Ok(mut object) = Object::parse(bytes, &options) else { return };
    let types: Vec<_> = object.btf.iter().cloned().collect();
    let _ = object.relocate(&types);
    for program in object.programs.clone().iter().take(64) {
        let _ = object.link(program);
    }
});
