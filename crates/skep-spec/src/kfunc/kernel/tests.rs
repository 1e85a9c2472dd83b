//! Rows of kfuncs and the sets of their callers.

use super::*;

fn caller(program: P, attach: Option<A>) -> Caller<'static> {
    Caller {
        version: Version::new(6, 18),
        program,
        attach,
        ops: None,
        member: None,
    }
}

#[test]
fn rows_are_sorted_and_dated() {
    assert!(ALL.windows(2).all(|pair| pair[0].name < pair[1].name));
    for row in ALL {
        assert!(Version::parse(row.since).is_some(), "{}", row.name);
        assert_eq!(by_name(row.name), Some(row));
        assert!(
            row.flags & ACQUIRE == 0 || row.flags & RELEASE == 0 || row.name.contains("insert"),
            "{}",
            row.name
        );
    }
}

#[test]
fn callers_follow_the_kind_of_program() {
    let set = |name: &str| by_name(name).unwrap().set;
    let xdp = caller(P::Xdp, Some(A::Xdp));
    let filter = caller(P::SocketFilter, None);
    assert!(set("bpf_obj_new_impl").contains(&xdp));
    assert!(!set("bpf_obj_new_impl").contains(&filter));
    assert!(set("bpf_iter_num_new").contains(&filter));
    assert!(!set("bpf_cpumask_create").contains(&xdp));
    let tracepoint = caller(P::Tracepoint, None);
    assert!(set("bpf_task_from_pid").contains(&tracepoint));
    let older = Caller {
        version: Version::new(6, 6),
        ..tracepoint
    };
    assert!(!set("bpf_task_from_pid").contains(&older));
    let enqueue = Caller {
        ops: Some("Qdisc_ops"),
        member: Some("enqueue"),
        ..caller(P::StructOps, None)
    };
    assert!(set("bpf_qdisc_skb_drop").contains(&enqueue));
    assert!(!set("bpf_qdisc_skb_drop").contains(&caller(P::StructOps, None)));
}
