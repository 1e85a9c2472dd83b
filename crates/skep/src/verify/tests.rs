//! What a verifier gets for small objects: maps by index, configuration values, absent maps, names.

use skep_obj::{Object, ParseOptions};
use skep_spec::profile::Profile;
use skep_verifier::input::Caps;

use super::{LoadOptions, NotLoadable, Prepared, TargetKernel};

const TEXT: &str = r#"
.license "GPL"
.global .rodata const u32 step = 7
.extern kconfig unsigned int CONFIG_HZ
.extern weak kconfig unsigned int CONFIG_NONE
.map first {
    type array
    key u32
    value u64
    max_entries 4
}
.map buffer {
    type ringbuf
    max_entries 5000
}
.section "xdp"
.function main
    r1 = map buffer ll
    r1 = value .rodata + 0 ll
    r1 = extern CONFIG_HZ ll
    call helped
    r0 = 2
    exit
.section ".text"
.function helped
    r1 = map first ll
    r0 = 0
    exit
"#;

fn object(text: &str) -> Object {
    let options = ParseOptions {
        name: "a_long_name_of_an_object".to_owned(),
        ..ParseOptions::default()
    };
    Object::parse(text.as_bytes(), &options).expect("it assembles")
}

fn kernel() -> TargetKernel {
    TargetKernel::new(Profile::V6_18, Vec::new()).with_config("# no\nCONFIG_HZ=250\n")
}

#[test]
fn maps_keep_their_places_and_values_their_bytes() {
    let object = object(TEXT);
    let prepared = Prepared::new(&object, &kernel()).expect("it fits");
    let program = &prepared.object().programs[0];
    let input = prepared
        .input(program, &LoadOptions::default())
        .expect("it loads");
    let map = |at: usize| &input.maps[input.insns[at].imm as usize];
    assert_eq!(map(0).name, "buffer");
    assert_eq!(map(0).max_entries, 8192, "whole pages, a power of two");
    assert_eq!(map(2).name, "a_long_n.rodata");
    assert_eq!(map(2).frozen.as_deref(), Some(&[7, 0, 0, 0][..]));
    let config = map(4).frozen.as_deref().expect("configuration is constant");
    let at = input.insns[5].imm as usize;
    assert_eq!(config[at..at + 4], 250u32.to_le_bytes());
    assert_eq!(map(9).name, "first", "a subprogram's map");
    assert_eq!(input.license, "GPL");
}

#[test]
fn uses_of_absent_maps_become_calls_that_no_kernel_accepts() {
    let object = object(TEXT);
    let prepared = Prepared::new(&object, &kernel()).expect("it fits");
    let first = object.map_index("first").expect("a map").0;
    let load = LoadOptions {
        absent_maps: vec![first],
        caps: Caps::NONE,
        ..LoadOptions::default()
    };
    let program = &prepared.object().programs[0];
    let input = prepared.input(program, &load).expect("it loads");
    assert_eq!(input.insns[9].code, 0x85);
    assert_eq!(input.insns[9].imm, 2_001_000_000 + first as i32);
    assert_eq!(input.insns[10], input.insns[9]);
    assert!(input.program_btf.is_none(), "types need a privilege");
}

#[test]
fn an_option_that_no_one_knows_keeps_the_program_from_loading() {
    let object = object(TEXT);
    let bare = TargetKernel::new(Profile::V6_18, Vec::new());
    let prepared = Prepared::new(&object, &bare).expect("it fits");
    let program = &prepared.object().programs[0];
    match prepared.input(program, &LoadOptions::default()) {
        Err(NotLoadable::Symbol { name, .. }) => assert_eq!(name, "CONFIG_HZ"),
        other => panic!("{other:?}"),
    }
}
