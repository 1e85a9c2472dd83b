//! The prototypes of the kernel functions that the virtual machine has, as programs are verified against them.
//!
//! Invariant: each function of the virtual machine's list has one, with the parameter names that the kernel gives meaning
//! to (`__ign`, `__k`).

use skep_btf::TypeId;
use skep_btf::ty::Linkage;

use super::kernel::Task;
use super::types::{Describe, Ptr, Types, kernel_struct};

kernel_struct! {
    /// An iterator over numbers, opaque to programs.
    struct IterNum = "bpf_iter_num" { opaque as "__opaque": [u64; 1], }
}

/// Adds all of them.
pub(crate) fn describe_all(types: &mut Types) {
    let nothing = TypeId::VOID;
    let (int, number) = (i32::describe(types), Ptr::<i32>::describe(types));
    let (iter, task) = (
        Ptr::<IterNum>::describe(types),
        Ptr::<Task>::describe(types),
    );
    let (id, any) = (u32::describe(types), Ptr::<()>::describe(types));
    type Params<'a> = &'a [(&'a str, TypeId)];
    let list: &[(&str, TypeId, Params<'_>)] = &[
        ("bpf_iter_num_destroy", nothing, &[("it", iter)]),
        (
            "bpf_iter_num_new",
            int,
            &[("it", iter), ("start", int), ("end", int)],
        ),
        ("bpf_iter_num_next", number, &[("it", iter)]),
        ("bpf_preempt_disable", nothing, &[]),
        ("bpf_preempt_enable", nothing, &[]),
        ("bpf_rcu_read_lock", nothing, &[]),
        ("bpf_rcu_read_unlock", nothing, &[]),
        (
            "bpf_rdonly_cast",
            any,
            &[("obj__ign", any), ("btf_id__k", id)],
        ),
        ("bpf_task_acquire", task, &[("p", task)]),
        ("bpf_task_from_pid", task, &[("pid", int)]),
        ("bpf_task_release", nothing, &[("p", task)]),
    ];
    for (name, result, params) in list {
        let proto = types.builder.add_func_proto(*result, params);
        types.builder.add_func(name, proto, Linkage::Static);
    }
}
