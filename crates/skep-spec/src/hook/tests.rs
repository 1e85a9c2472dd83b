//! Which arguments may be null, and that the rows can be searched.

use super::*;

#[test]
fn rows_are_sorted() {
    assert!(NULLABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert!(
        ITERATORS
            .windows(2)
            .all(|pair| (pair[0].0, pair[0].1) < (pair[1].0, pair[1].1))
    );
}

#[test]
fn arguments_that_may_be_null() {
    let v6_18 = Version::new(6, 18);
    assert_eq!(nullable_arguments("kfree_skb", v6_18), 0b1000);
    assert_eq!(nullable_arguments("tcp_send_reset", v6_18), 0b11);
    assert_eq!(nullable_arguments("kfree_skb", Version::new(6, 12)), 0);
    assert_eq!(nullable_arguments("sched_switch", v6_18), 0);
    assert_eq!(
        iterator_argument("task", 1),
        Some(IterArgument::TrustedOrNull)
    );
    assert_eq!(
        iterator_argument("bpf_map_elem", 3),
        Some(IterArgument::BufOrNull)
    );
    assert_eq!(iterator_argument("task", 0), None);
}
