//! The BTF parses, says what the Rust layouts say, and lacks what is not modelled.

use super::*;
use crate::process::kernel::{RawFork, Task};
use skep_btf::{Kind, Ty};
use std::mem::offset_of;

fn member(btf: &Btf, structure: &str, name: &str) -> Option<u32> {
    let id = btf.find(Kind::Struct, structure)?;
    let Ty::Struct(s) = btf.ty(id).unwrap() else {
        panic!("{structure} is not a struct")
    };
    s.members
        .iter()
        .find(|m| m.name == name)
        .map(|m| m.bit_offset / 8)
}

#[test]
fn offsets_are_those_of_the_rust_layouts() {
    let btf = embedded_btf(&[(1, "map_lookup_elem")]).unwrap();
    assert_eq!(
        member(&btf, "task_struct", "comm"),
        Some(offset_of!(Task, comm) as u32)
    );
    assert_eq!(
        member(&btf, "task_struct", "tgid"),
        Some(offset_of!(Task, tgid) as u32)
    );
    assert_eq!(
        member(&btf, "trace_event_raw_sched_process_fork", "child_pid"),
        Some(offset_of!(RawFork, child_pid) as u32)
    );
    assert_eq!(member(&btf, "trace_entry", "type"), Some(0));
    assert_eq!(member(&btf, "syscall_trace_enter", "args"), Some(16));
    assert_eq!(member(&btf, "syscall_trace_exit", "ret"), Some(16));
    let task = btf.find(Kind::Struct, "task_struct").unwrap();
    assert_eq!(btf.size_of(task).unwrap() as usize, size_of::<Task>());
}

#[test]
fn each_kernel_function_of_the_machine_has_a_prototype() {
    let btf = embedded_btf(&[]).unwrap();
    for name in skep_vm::helper::kfunc::names() {
        let id = btf
            .find(Kind::Func, name)
            .unwrap_or_else(|| panic!("{name}"));
        let Ok(Ty::Func { proto, .. }) = btf.ty(id) else {
            panic!("{name} is no function")
        };
        let Ok(Ty::FuncProto { params, .. }) = btf.ty(proto) else {
            panic!("{name} has no prototype")
        };
        let known = skep_spec::kfunc::by_name(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(params.len(), usize::from(known.args), "{name}");
    }
}

#[test]
fn what_is_not_modelled_is_absent() {
    let btf = embedded_btf(&[(1, "map_lookup_elem")]).unwrap();
    assert_eq!(member(&btf, "task_struct", "se"), None);
    assert_eq!(member(&btf, "dentry", "d_inode"), None);
    assert_eq!(btf.find(Kind::Struct, "sock"), None);
    assert!(btf.find(Kind::Struct, "bpf_ringbuf").is_some());
    assert!(btf.find(Kind::Enum, "bpf_func_id").is_some());
    for name in [
        "sys_enter",
        "sys_exit",
        "sched_process_fork",
        "sched_process_exec",
        "sched_process_exit",
    ] {
        assert!(
            btf.find(Kind::Typedef, &format!("btf_trace_{name}"))
                .is_some(),
            "{name}"
        );
    }
}
