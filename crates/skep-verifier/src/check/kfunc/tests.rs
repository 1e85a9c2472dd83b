//! Small programs that call kfuncs of a made-up kernel, and what is said about them.

use std::sync::Arc;

use skep_btf::build::TypeDef;
use skep_btf::parse_c::{CTypes, Declared};
use skep_btf::ty::Linkage;
use skep_btf::{Btf, Kind};
use skep_spec::asm::assemble_insns;
use skep_spec::program::ProgramType;

use super::facts;
use super::types::{context_types, is_context, is_scalar_struct};
use crate::check::iter::IterUse;
use crate::input::Input;
use crate::platform::Platform;

/// Types and prototypes as the kernel declares them.
const KERNEL: &str = "
    struct __sk_buff { u32 len; };
    struct bpf_dynptr { u64 opaque[2]; };
    struct bpf_iter_num { u64 opaque[1]; };
    struct numbers { u32 a; u8 b[4]; };
    struct inner { u64 x; };
    struct tuple { union { struct { u32 a; } four; struct { u32 a[4]; } six; }; };
    struct nest { struct inner first; struct inner second; };
    struct task_struct { struct inner first; struct inner second; void *stack; };
    struct mixed { u64 number; void *pointer; };
    struct task_struct *bpf_task_from_pid(s32 pid);
    struct task_struct *bpf_task_acquire(struct task_struct *p);
    void bpf_task_release(struct task_struct *p);
    s32 bpf_iter_num_new(struct bpf_iter_num *it, s32 start, s32 end);
    s32 *bpf_iter_num_next(struct bpf_iter_num *it);
    void bpf_iter_num_destroy(struct bpf_iter_num *it);
    void bpf_rcu_read_lock(void);
    void bpf_rcu_read_unlock(void);
    void bpf_preempt_disable(void);
    void bpf_preempt_enable(void);
    void bpf_local_irq_save(u64 *flags__irq_flag);
    void bpf_local_irq_restore(u64 *flags__irq_flag);
    s32 bpf_dynptr_from_skb(struct __sk_buff *s, u64 flags, struct bpf_dynptr *ptr__uninit);
    s32 bpf_dynptr_clone(struct bpf_dynptr *p, struct bpf_dynptr *clone__uninit);
    void *bpf_dynptr_slice(struct bpf_dynptr *p, u64 offset, void *buffer__opt, u64 buffer__szk);
    s32 bpf_copy_from_user_str(void *dst, u32 dst__sz, void *src__ign, u64 flags);
    void *bpf_rdonly_cast(void *obj__ign, u32 btf_id__k);
";

fn kernel() -> Arc<Btf> {
    let mut types = CTypes::new();
    let declared = types.declare(KERNEL).unwrap();
    for declared in declared {
        if let Declared::Function { name, proto } = declared {
            types.builder_mut().add(TypeDef::Func {
                name,
                proto,
                linkage: Linkage::Global,
            });
        }
    }
    Arc::new(types.into_builder().into_btf().unwrap())
}

/// What is wrong with a program, whose calls are written `call NAME` for kfuncs; empty if nothing.
fn verdict_in(program: ProgramType, license: &str, text: &str) -> String {
    let kernel = kernel();
    let lines: Vec<String> = text
        .lines()
        .map(|line| match line.trim().strip_prefix("call bpf_") {
            Some(name) => {
                let name = format!("bpf_{name}");
                match kernel.find(Kind::Func, &name) {
                    Some(id) => format!("call kfunc {}", id.0),
                    None => format!("call {name}"),
                }
            }
            None => line.to_owned(),
        })
        .collect();
    let mut input = Input::new(program, assemble_insns(&lines.join("\n")).unwrap());
    input.license = license.into();
    input.btfs = vec![kernel];
    match crate::verify(&input) {
        Ok(_) => String::new(),
        Err(rejection) => rejection.fault.lines.join(" | "),
    }
}

fn verdict(text: &str) -> String {
    verdict_in(ProgramType::SchedCls, "GPL", text)
}

const END: &str = "\nr0 = 0\nexit";
const NEW: &str = "
    r1 = r10
    r1 += -8
    r2 = 0
    r3 = 10
    call bpf_iter_num_new";
const NEXT: &str = "
    r1 = r10
    r1 += -8
    call bpf_iter_num_next";
const DESTROY: &str = "
    r1 = r10
    r1 += -8
    call bpf_iter_num_destroy";

#[test]
fn iterators_are_made_used_and_ended() {
    let of = |parts: &[&str]| verdict(&(parts.concat() + END));
    assert_eq!(of(&[NEW, DESTROY]), "");
    let loops = "\nif r0 == 0 goto +2\nr1 = *(u32 *)(r0 + 0)\ngoto -6";
    assert_eq!(of(&[NEW, NEXT, loops, DESTROY]), "");
    assert_eq!(
        of(&[NEW]),
        "Unreleased reference id=1 alloc_insn=4 | BPF_EXIT instruction in main prog would lead to reference leak"
    );
    assert_eq!(of(&[NEW, NEW]), "expected uninitialized iter_num as arg #0");
    assert_eq!(of(&[NEXT]), "expected an initialized iter_num as arg #0");
    assert_eq!(
        of(&[NEW, DESTROY, DESTROY]),
        "expected an initialized iter_num as arg #0"
    );
    assert_eq!(
        of(&[NEW, "\n*(u8 *)(r10 - 5) = 1", DESTROY]),
        "expected an initialized iter_num as arg #0"
    );
    assert_eq!(
        of(&["\nr1 = 5\ncall bpf_iter_num_destroy"]),
        "arg#0 expected pointer to an iterator on stack"
    );
    // What `next` gave is gone with the iterator.
    let stale = "\nif r0 == 0 goto +1\nr6 = r0";
    let keeps = [
        "\nr6 = 0",
        NEW,
        NEXT,
        stale,
        DESTROY,
        "\nif r6 == 0 goto +1\nr1 = *(u32 *)(r6 + 0)",
    ];
    assert_eq!(of(&keeps), "R6 invalid mem access 'scalar'");
}

#[test]
fn regions_are_left_in_order() {
    let of = |text: &str| verdict(&(text.to_owned() + END));
    assert_eq!(of("call bpf_rcu_read_lock\ncall bpf_rcu_read_unlock"), "");
    assert_eq!(
        of("call bpf_rcu_read_lock"),
        "BPF_EXIT instruction in main prog cannot be used inside bpf_rcu_read_lock-ed region"
    );
    assert_eq!(
        of("call bpf_rcu_read_unlock"),
        "unmatched rcu read unlock (kernel function bpf_rcu_read_unlock)"
    );
    assert_eq!(
        of("call bpf_rcu_read_lock\ncall bpf_rcu_read_lock"),
        "nested rcu read lock (kernel function bpf_rcu_read_lock)"
    );
    let twice = "call bpf_preempt_disable\ncall bpf_preempt_disable\ncall bpf_preempt_enable\n";
    assert_eq!(of(&(twice.to_owned() + "call bpf_preempt_enable")), "");
    assert_eq!(
        of(twice),
        "BPF_EXIT instruction in main prog cannot be used inside bpf_preempt_disable-ed region"
    );
    assert_eq!(
        of("call bpf_preempt_enable"),
        "unmatched attempt to enable preemption (kernel function bpf_preempt_enable)"
    );
    let irq = |name: &str, off: i32| format!("r1 = r10\nr1 += {off}\ncall bpf_local_irq_{name}\n");
    let nested = irq("save", -8) + &irq("save", -16);
    assert_eq!(
        of(&(nested.clone() + &irq("restore", -16) + &irq("restore", -8))),
        ""
    );
    assert_eq!(
        of(&(nested + &irq("restore", -8))),
        "cannot restore irq state out of order, expected id=2 acquired at insn_idx=5"
    );
    assert_eq!(
        of(&(irq("save", -8) + &irq("save", -8))),
        "expected uninitialized irq flag as arg#0"
    );
    assert_eq!(
        of(&irq("restore", -8)),
        "expected an initialized irq flag as arg#0"
    );
}

#[test]
fn dynptrs_are_made_before_they_are_used() {
    let of = |text: &str| verdict(&(text.to_owned() + END));
    let make = "r6 = r1\nr2 = 0\nr3 = r10\nr3 += -16\ncall bpf_dynptr_from_skb\n";
    let slice = "r1 = r10\nr1 += -16\nr2 = 0\nr3 = 0\nr4 = 8\ncall bpf_dynptr_slice\n";
    let read = "if r0 == 0 goto +1\nr1 = *(u64 *)(r0 + 0)\n";
    assert_eq!(of(&[make, slice, read].concat()), "");
    assert_eq!(of(slice), "Expected an initialized dynptr as arg #0");
    assert_eq!(
        of(&[make, slice, "r1 = *(u64 *)(r0 + 0)"].concat()),
        "R0 invalid mem access 'rdonly_mem_or_null'"
    );
    assert_eq!(
        of(&[make, slice, "if r0 == 0 goto +1\nr1 = *(u64 *)(r0 + 8)"].concat()),
        "invalid access to memory, mem_size=8 off=8 size=8 | R0 min value is outside of the allowed memory range"
    );
    assert_eq!(
        of(&[make, "*(u8 *)(r10 - 9) = 1\n", slice].concat()),
        "Expected an initialized dynptr as arg #0"
    );
    let odd = slice.replace("-16", "-12");
    assert_eq!(
        of(&[make, &odd].concat()),
        "cannot pass in dynptr at an offset=-12 | Expected an initialized dynptr as arg #0"
    );
    let unbounded = slice.replace("r4 = 8", "r4 = *(u32 *)(r6 + 0)");
    assert!(of(&[make, &unbounded].concat()).ends_with("R4 must be a known constant"));
}

#[test]
fn references_are_released_once() {
    let of = |text: &str| verdict(&(text.to_owned() + END));
    let find = "r1 = 1\ncall bpf_task_from_pid\n";
    let release = "r1 = r6\ncall bpf_task_release\n";
    let checked = "if r0 == 0 goto +3\nr6 = r0\n";
    assert_eq!(of(&[find, checked, release].concat()), "");
    assert_eq!(
        of(&[find, "r1 = r0\ncall bpf_task_release\n"].concat()),
        "Possibly NULL pointer passed to trusted arg0"
    );
    assert_eq!(
        of(&[find, "if r0 == 0 goto +5\nr6 = r0\n", release, release].concat()),
        "arg#0 pointer type STRUCT task_struct must point to scalar, or struct with scalar"
    );
    assert_eq!(
        of(&[find, "if r0 == 0 goto +4\nr6 = r0\nr6 += 8\n", release].concat()),
        "R1 must have zero offset when passed to release func or trusted arg to kfunc"
    );
    assert!(
        of(&[find, "if r0 == 0 goto +1\nr6 = r0\n"].concat())
            .starts_with("Unreleased reference id=2 alloc_insn=1")
    );
}

#[test]
fn calls_are_allowed_by_place_and_licence() {
    let call = "r1 = 1\ncall bpf_task_from_pid\nr0 = 0\nexit";
    assert_eq!(
        verdict_in(ProgramType::SocketFilter, "GPL", call),
        "calling kernel function bpf_task_from_pid is not allowed"
    );
    assert_eq!(
        verdict_in(ProgramType::SchedCls, "Proprietary", call),
        "cannot call kernel function from non-GPL compatible program"
    );
    assert_eq!(
        verdict("call kfunc 1\nr0 = 0\nexit"),
        "kernel btf_id 1 is not a function"
    );
    let sleeps =
        "r1 = r10\nr1 += -8\nr2 = 8\nr3 = 0\nr4 = 0\ncall bpf_copy_from_user_str\nr0 = 0\nexit";
    assert_eq!(
        verdict(sleeps),
        "program must be sleepable to call sleepable kfunc bpf_copy_from_user_str"
    );
    let cast = |id: u32| verdict(&format!("r2 = {id}\ncall bpf_rdonly_cast\nr0 = 0\nexit"));
    let kernel = kernel();
    let task = kernel.find(Kind::Struct, "task_struct").unwrap();
    assert_eq!(cast(task.0), "");
    assert_eq!(
        cast(1_000_000),
        "Unknown type ID 1000000 passed to kfunc bpf_rdonly_cast"
    );
    assert_eq!(
        cast(kernel.find(Kind::Func, "bpf_rdonly_cast").unwrap().0),
        "kfunc bpf_rdonly_cast type ID argument must be of a struct or void"
    );
}

#[test]
fn facts_are_found_by_name() {
    let of = |name: &str, program| {
        let input = Input::new(program, Vec::new());
        facts::of(name, &Platform::of(&input))
    };
    let (flags, allowed) = of("bpf_task_acquire", ProgramType::Xdp);
    assert!(flags.acquire && flags.rcu && flags.ret_null && !flags.release && allowed);
    let (flags, allowed) = of("bpf_iter_task_new", ProgramType::SocketFilter);
    assert!(flags.iter == Some(IterUse::New) && flags.rcu_protected && allowed);
    let (flags, _) = of("bpf_task_release", ProgramType::Xdp);
    assert!(flags.trusted_args, "what is released must be there");
    assert!(!of("bpf_task_acquire", ProgramType::Kprobe).1);
    assert!(!of("no_such_kfunc", ProgramType::Xdp).1);
}

#[test]
fn types_stand_for_others() {
    let kernel = kernel();
    let of = |name| kernel.find(Kind::Struct, name).unwrap();
    assert!(is_scalar_struct(&kernel, of("numbers")));
    assert!(is_scalar_struct(&kernel, of("nest")));
    assert!(is_scalar_struct(&kernel, of("tuple")));
    assert!(!is_scalar_struct(&kernel, of("mixed")));
    assert!(is_context(&kernel, of("__sk_buff"), ProgramType::SchedCls));
    assert!(!is_context(&kernel, of("__sk_buff"), ProgramType::Xdp));
    assert_eq!(
        context_types(ProgramType::Xdp),
        Some(("xdp_md", "xdp_buff"))
    );
    let mut input = Input::new(ProgramType::SchedCls, Vec::new());
    input.btfs = vec![kernel.clone()];
    let verifier = crate::verifier::Verifier::new(&input);
    let id = |name| (crate::input::BtfIdx::KERNEL, of(name).0);
    let matches =
        |off, strict| verifier.struct_ids_match(id("task_struct"), off, id("inner"), strict);
    assert!(matches(0, false) && matches(8, false));
    assert!(!matches(4, false) && !matches(16, false) && !matches(0, true));
}
