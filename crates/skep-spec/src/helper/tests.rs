//! The table's order and some rows as the kernel has them.

use super::*;

#[test]
fn numbers_are_consecutive() {
    assert_eq!(all().len(), 211);
    for (index, helper) in all().iter().enumerate() {
        assert_eq!(helper.id as usize, index + 1);
        assert_eq!(by_id(helper.id), Some(helper));
        assert_eq!(by_name(helper.name), Some(helper));
        assert_ne!(helper.programs, ProgramSet::default(), "{}", helper.name);
    }
    assert_eq!(by_id(0), None);
    assert_eq!(by_id(212), None);
    assert_eq!(by_name("bpf_no_such"), None);
    assert_eq!(by_name("map_lookup_elem").unwrap().id, 1);
}

#[test]
fn unused_arguments_are_last() {
    for helper in all() {
        let count = helper.arguments().len();
        assert!(
            helper.args[count..]
                .iter()
                .all(|arg| arg.kind == ArgKind::None),
            "{}",
            helper.name
        );
        // A size always follows the memory that it measures.
        for pair in helper.arguments().windows(2) {
            if matches!(pair[1].kind, ArgKind::Size) {
                assert!(matches!(pair[0].kind, ArgKind::Mem), "{}", helper.name);
            }
        }
    }
}

#[test]
fn some_rows_as_the_kernel_has_them() {
    assert_eq!(
        by_id(1).unwrap().signature(),
        "bpf_map_lookup_elem(map, key) -> value or null"
    );
    assert_eq!(by_id(112).unwrap().name, "bpf_probe_read_user");
    assert!(by_id(112).unwrap().gpl_only());
    assert_eq!(
        by_id(131).unwrap().signature(),
        "bpf_ringbuf_reserve(map, constant size, any) -> record or null"
    );
    assert!(by_id(132).unwrap().args[0].is(ArgType::RELEASED));
    assert!(by_name("copy_from_user").unwrap().might_sleep());
    let head = by_name("xdp_adjust_head").unwrap();
    assert!(head.moves_packet() && head.programs == ProgramSet::of(&[ProgramType::Xdp]));
    let output = by_name("perf_event_output").unwrap();
    assert!(output.gpl_only() && output.programs.contains(ProgramType::Xdp));
    assert!(!output.programs.contains(ProgramType::CgroupDevice) || output.arguments().len() == 5);
    assert_eq!(by_name("skc_to_tcp_sock").unwrap().ret.of, "tcp_sock");
    assert!(
        !by_name("redirect_map")
            .unwrap()
            .programs
            .contains(ProgramType::SchedCls)
    );
    assert_eq!(by_id(211).unwrap().since, "6.2");
}
