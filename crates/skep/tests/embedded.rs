//! The front door on the embedded engine: what loads, what is refused and how it is said, typed maps and buffers.

use skep::engine::{Feature, RunInput};
use skep::maps::{Array, HashMap};
use skep::{Embedded, ErrorKind, ObjectSpec};

fn spec(text: &str) -> ObjectSpec {
    ObjectSpec::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(text: &str) -> String {
    match spec(text).load(&Embedded::new()) {
        Ok(_) => panic!("the object loads"),
        Err(error) => error.to_string(),
    }
}

const COUNTER: &str = r#"
.license "GPL"
.global .rodata const u32 step = 1
.map counts {
    type array
    key u32
    value u64
    max_entries 4
}
.section "xdp"
.function count
    r1 = 0
    *(u32 *)(r10 - 4) = r1
    r2 = r10
    r2 += -4
    r1 = map counts ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = value .rodata + 0 ll
    r1 = *(u32 *)(r1 + 0)
    r2 = *(u64 *)(r0 + 0)
    r2 += r1
    *(u64 *)(r0 + 0) = r2
out:
    r0 = 2
    exit
"#;

#[test]
fn globals_are_set_maps_are_typed_and_runs_counted() {
    let mut spec = spec(COUNTER);
    spec.global("step")
        .expect("a global")
        .set(&5u32)
        .expect("its size is right");
    assert!(
        spec.global("step").expect("a global").set(&5u64).is_err(),
        "eight bytes do not fit four"
    );
    assert!(spec.global("stop").is_err());
    let object = spec.load(&Embedded::new()).expect("it loads");
    let program = object.program("count").expect("the program");
    let output = program
        .run_once(&RunInput {
            repeat: 3,
            ..RunInput::default()
        })
        .expect("it runs");
    assert_eq!(output.retval, 2);
    let counts: Array<u64> = object
        .map("counts")
        .expect("the map")
        .try_into()
        .expect("its layout");
    assert_eq!(
        counts
            .values()
            .collect::<Result<Vec<_>, _>>()
            .expect("values"),
        [15, 0, 0, 0]
    );
    let wrong = HashMap::<u32, u64>::try_from(object.map("counts").expect("the map"));
    assert!(matches!(
        wrong.map(|_| ()).expect_err("an array is no hash").kind(),
        ErrorKind::Layout { .. }
    ));
    let wrong = Array::<u32>::try_from(object.map("counts").expect("the map"));
    let message = wrong
        .map(|_| ())
        .expect_err("values have eight bytes")
        .to_string();
    assert!(message.contains("values have 8 bytes"), "{message}");
    // What is frozen stays as it was loaded.
    let rodata = object.map(".rodata").expect("the map of constants");
    assert!(
        rodata
            .set(&0u32.to_ne_bytes(), &9u32.to_ne_bytes())
            .is_err()
    );
}

#[test]
fn hooks_that_are_not_modelled_are_refused_by_name() {
    let program = "\n.function f\n    r0 = 0\n    exit\n";
    let message = refusal(&format!(
        ".license \"GPL\"\n.section \"kprobe/vfs_read\"{program}"
    ));
    assert!(
        message.contains("`f`") && message.contains("kprobe/vfs_read"),
        "{message}"
    );
    assert!(
        message.contains("it models: tracepoint/syscalls"),
        "{message}"
    );
    let message = refusal(&format!(
        ".license \"GPL\"\n.section \"tracepoint/sched/sched_switch\"{program}"
    ));
    assert!(
        message.contains("tracepoint/sched/sched_switch"),
        "{message}"
    );
}

/// `if (flag) bpf_sock_ops_cb_flags_set();`, a helper that the engine does not have.
fn guarded(flag: u8) -> String {
    format!(
        r#"
.license "GPL"
.global .rodata const u8 flag = {flag}
.section "xdp"
.function f
    r1 = value .rodata + 0 ll
    r1 = *(u8 *)(r1 + 0)
    if r1 == 0 goto out
    call bpf_sock_ops_cb_flags_set
out:
    r0 = 1
    exit
"#
    )
}

#[test]
fn what_cannot_be_reached_is_no_reason_to_refuse() {
    let object = spec(&guarded(0))
        .load(&Embedded::new())
        .expect("the call is dead");
    let output = object
        .program("f")
        .expect("the program")
        .run_once(&RunInput::default())
        .expect("it runs");
    assert_eq!(output.retval, 1);
    let error = spec(&guarded(1))
        .load(&Embedded::new())
        .map(|_| ())
        .expect_err("the call is live");
    let ErrorKind::NotSupported(refusal) = error.kind() else {
        panic!("{error}")
    };
    assert_eq!(
        (refusal.program.as_deref(), &refusal.feature),
        (Some("f"), &Feature::Helper(59))
    );
    assert!(
        error.to_string().contains("bpf_sock_ops_cb_flags_set"),
        "{error}"
    );
}

/// A program that reads `struct task_struct.FIELD`.
fn reads_task_field(field: &str) -> ObjectSpec {
    let text = ".license \"GPL\"\n.section \"tracepoint/syscalls/sys_enter_openat\"\n.function f\n    r1 = 0\n    r0 = 0\n    exit\n";
    let mut spec = spec(text);
    let mut types = skep::btf::parse_c::CTypes::new();
    types
        .declare(&format!("struct task_struct {{ int {field}; }};"))
        .expect("a declaration");
    let id = types.type_id("struct task_struct").expect("the type");
    let object = spec.object_mut();
    object.btf = Some(types.into_builder().into_btf().expect("BTF").into());
    let kind = skep::btf::core::CoreKind::FieldByteOffset;
    object.functions[0].core.push(skep::btf::ext::CoreRelo {
        insn_off: 0,
        type_id: id,
        access: "0:0".to_owned(),
        kind,
    });
    spec
}

#[test]
fn types_that_are_not_modelled_are_refused_with_the_field() {
    assert!(reads_task_field("tgid").load(&Embedded::new()).is_ok());
    let error = reads_task_field("nonsense_field")
        .load(&Embedded::new())
        .map(|_| ())
        .expect_err("it is not modelled");
    let ErrorKind::NotSupported(refusal) = error.kind() else {
        panic!("{error}")
    };
    assert_eq!(
        refusal.feature,
        Feature::Type("struct task_struct.nonsense_field".to_owned())
    );
    assert!(
        error.to_string().starts_with(
            "program `f`: the embedded engine does not model struct task_struct.nonsense_field"
        ),
        "{error}"
    );
}

#[test]
fn links_attach_until_they_drop_and_engines_share_nothing() {
    let engine = Embedded::new();
    let object = spec(".license \"GPL\"\n.section \"tracepoint/syscalls/sys_enter_close\"\n.function f\n    r0 = 0\n    exit\n")
        .load(&engine)
        .expect("it loads");
    let links = object.attach_all().expect("it attaches");
    assert_eq!(
        links
            .iter()
            .map(|link| link.target().to_owned())
            .collect::<Vec<_>>(),
        ["tracepoint syscalls/sys_enter_close"]
    );
    let program = object.program("f").expect("the program");
    let error = program
        .attach(skep::attach::Xdp { device: None })
        .map(|_| ())
        .expect_err("a tracepoint program is no XDP program");
    assert!(error.to_string().contains("tracepoint"), "{error}");
    drop(links);
}

#[test]
fn configuration_values_come_from_the_engine_and_the_rest_is_zero() {
    let text = r#"
.extern kconfig int LINUX_KERNEL_VERSION
.extern weak kconfig int CONFIG_NOBODY_HAS
.section "xdp"
.function version
    r1 = extern LINUX_KERNEL_VERSION ll
    r0 = *(u32 *)(r1 + 0)
    r1 = extern CONFIG_NOBODY_HAS ll
    r1 = *(u32 *)(r1 + 0)
    r0 += r1
    exit
"#;
    let written = skep::obj::elf::write(spec(text).object()).expect("ELF");
    for spec in [spec(text), ObjectSpec::parse(&written).expect("the same")] {
        let object = spec.load(&Embedded::new()).expect("it loads");
        let program = object.program("version").expect("the program");
        let output = program.run_once(&RunInput::default()).expect("it runs");
        assert_eq!(output.retval >> 16, 6, "{:#x}", output.retval);
    }
}

/// A `vmlinux.h` makes CO-RE relocations of contexts and packet headers too.
#[test]
fn contexts_and_packet_headers_answer_core() {
    use skep::btf::Kind;
    use skep::engine::Engine;
    let types = Embedded::new().types().expect("types");
    for (name, size) in [
        ("xdp_md", 24),
        ("__sk_buff", 192),
        ("iphdr", 20),
        ("tcphdr", 20),
    ] {
        let id = types
            .find(Kind::Struct, name)
            .unwrap_or_else(|| panic!("no struct {name}"));
        assert_eq!(types.size_of(id).expect("a size"), size, "{name}");
    }
    let ints = types.find_all("int");
    assert_eq!(ints.len(), 1, "one `int`: {ints:?}");
}

const TAILS: &str = r#"
.license "GPL"
.map tails {
    type prog_array
    key u32
    value u32
    max_entries 2
    [1] = second
}
.section "xdp"
.function first
    r2 = map tails ll
    r3 = 1
    call bpf_tail_call
    r0 = 1
    exit
.section "xdp"
.function second
    r0 = 2
    exit
.section "xdp"
.function third
    r0 = 3
    exit
"#;

#[test]
fn a_chosen_program_brings_what_it_tail_calls() {
    let mut chosen = spec(TAILS);
    chosen.select(&["first"]).expect("it is there");
    let object = chosen.load(&Embedded::new()).expect("it loads");
    let names: Vec<&str> = object.programs().iter().map(|p| p.name()).collect();
    assert_eq!(names, ["first", "second"]);
    let program = object.program("first").expect("the program");
    let output = program.run_once(&RunInput::default()).expect("it runs");
    assert_eq!(output.retval, 2);

    let mut alone = spec(TAILS);
    alone.select(&["second"]).expect("it is there");
    let object = alone.load(&Embedded::new()).expect("it loads");
    assert_eq!(object.programs().len(), 1);

    // What the object itself leaves out stays out: its slot is empty.
    let mut left_out = spec(TAILS);
    left_out.program("second").expect("it is there").autoload = false;
    left_out.select(&["first"]).expect("it is there");
    let object = left_out.load(&Embedded::new()).expect("it loads");
    let program = object.program("first").expect("the program");
    let output = program.run_once(&RunInput::default()).expect("it runs");
    assert_eq!(output.retval, 1);
}

#[test]
fn a_place_must_have_the_context_that_a_program_reads() {
    let text = |section: &str, at: u32| {
        format!(
            ".license \"GPL\"\n.section \"{section}\"\n.function f\n    r2 = *(u64 *)(r1 + {at})\n    r0 = 0\n    exit\n"
        )
    };
    let attach = |section: &str, at: u32| {
        let spec = ObjectSpec::parse(text(section, at).as_bytes()).expect("it assembles");
        let object = spec.load(&Embedded::new()).expect("it verifies");
        let links = object.attach_all();
        links
            .map(|links| links.len())
            .map_err(|error| error.to_string())
    };
    let exit = "tracepoint/raw_syscalls/sys_exit";
    assert_eq!(attach(exit, 16), Ok(1));
    let refused = attach(exit, 32).expect_err("the record has 24 bytes");
    assert!(
        refused.contains("reads 40 bytes of its context; there are 24"),
        "{refused}"
    );
    assert_eq!(attach("raw_tracepoint/sched_process_exec", 16), Ok(1));
    let refused = attach("raw_tracepoint/sched_process_fork", 16).expect_err("two arguments");
    assert!(
        refused.contains("reads 24 bytes of its context; there are 16"),
        "{refused}"
    );
}
