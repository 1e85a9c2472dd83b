//! The kernel engine against the kernel of this machine (skipped, and said, where bpf(2) is refused).

use std::sync::Arc;

use skep::engine::{Engine, RunInput};
use skep::{ErrorKind, Kernel, Object, ObjectSpec};

fn kernel() -> Option<Kernel> {
    match Kernel::new() {
        Ok(kernel) => Some(kernel),
        Err(error) => {
            eprintln!("skipped: this kernel refuses bpf(2): {error}");
            None
        }
    }
}

fn load(kernel: &Kernel, text: &str) -> skep::Result<Object> {
    let engine: Arc<dyn Engine> = Arc::new(kernel.clone());
    ObjectSpec::parse(text.as_bytes())?.load_on(&engine)
}

fn run(object: &Object) -> u64 {
    let program = object.programs().first().expect("a program");
    let input = RunInput {
        data: &[0; 64],
        ..RunInput::default()
    };
    program.run_once(&input).expect("it runs").retval
}

#[test]
fn callbacks_have_function_records() {
    let Some(kernel) = kernel() else { return };
    let text = r#"
.license "GPL"
.section "xdp"
.function main
    r1 = 5
    r2 = func step ll
    r3 = 0
    r4 = 0
    call bpf_loop
    exit
.section ".text"
.function static step
    r0 = 0
    exit
"#;
    let object = load(&kernel, text).expect("it loads");
    assert_eq!(kernel.notes(), Vec::<String>::new());
    assert_eq!(run(&object), 5);
}

#[test]
fn maps_keep_their_types() {
    let Some(kernel) = kernel() else { return };
    // A lock is one only by its type.
    let text = r#"
.license "GPL"
struct bpf_spin_lock { u32 val; };
struct counter { struct bpf_spin_lock lock; u32 count; };
.map counts {
    type array
    key u32
    value struct counter
    max_entries 1
}
.section "xdp"
.function main
    *(u32 *)(r10 - 4) = 0
    r1 = map counts ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r6 = r0
    r1 = r0
    call bpf_spin_lock
    r1 = *(u32 *)(r6 + 4)
    r1 += 3
    *(u32 *)(r6 + 4) = r1
    r1 = r6
    call bpf_spin_unlock
    r0 = *(u32 *)(r6 + 4)
out:
    exit
"#;
    let object = load(&kernel, text).expect("it loads");
    assert_eq!(kernel.notes(), Vec::<String>::new());
    assert_eq!(run(&object), 3);
    let value = object.map("counts").expect("the map").get(&[0; 4]);
    assert_eq!(value.expect("a lookup"), Some(vec![0, 0, 0, 0, 3, 0, 0, 0]));
}

#[test]
fn kernel_variables_are_found_by_type_and_by_address() {
    let Some(kernel) = kernel() else { return };
    // Per-CPU variables have a type in the kernel's BTF; where code begins is in its list of symbols only.
    let typed = r#"
.license "GPL"
.extern ksym const int bpf_prog_active
.section "xdp"
.function main
    r1 = extern bpf_prog_active ll
    call bpf_this_cpu_ptr
    r1 = *(u32 *)(r0 + 0)
    r0 = 7
    exit
"#;
    if kernel.symbol_type("bpf_prog_active").is_some() {
        match load(&kernel, typed) {
            Ok(object) => assert_eq!(run(&object), 7),
            // A kernel without CONFIG_KALLSYMS_ALL knows the type that we named, but no address.
            Err(error) => assert!(
                format!("{error:?}").contains("'bpf_prog_active'"),
                "{error:?}"
            ),
        }
    }
    let untyped = r#"
.license "GPL"
.extern ksym const void _stext
.section "xdp"
.function main
    r0 = extern _stext ll
    r0 >>= 12
    exit
"#;
    if let Some(address) = kernel.symbol("_stext") {
        let object = load(&kernel, untyped).expect("it loads");
        assert_eq!(run(&object), (address >> 12) & 0xffff_ffff);
    }
    let error = load(&kernel, &untyped.replace("_stext", "no_such_symbol"));
    let error = error.err().expect("it is refused").to_string();
    assert!(error.contains("no_such_symbol"), "{error}");
}

#[test]
fn a_missing_hook_is_refused_by_name() {
    let Some(kernel) = kernel() else { return };
    let text = r#"
.license "GPL"
.section "fentry/no_such_function_at_all"
.function main
    r0 = 0
    exit
"#;
    let error = load(&kernel, text).err().expect("it is refused");
    assert!(
        matches!(error.kind(), ErrorKind::NotSupported(_)),
        "{error}"
    );
    assert!(
        error.to_string().contains("no_such_function_at_all"),
        "{error}"
    );
    let text = text.replace("no_such_function_at_all", "bpf_fentry_test1");
    // One that is there comes before the kernel, which may want more rights for tracing.
    if let Err(error) = load(&kernel, &text) {
        assert!(matches!(error.kind(), ErrorKind::Kernel(_)), "{error}");
    }
}
