//! Every form finds itself; names as people write them.

use super::*;

fn kind(section: &str) -> Option<(ProgramType, Option<AttachType>, Option<&str>)> {
    parse(section).map(|parsed| {
        (
            parsed.form.program_type,
            parsed.form.attach_type,
            parsed.target,
        )
    })
}

#[test]
fn every_form_finds_itself() {
    assert_eq!(FORMS.len(), 116);
    for form in FORMS {
        let parsed = parse(form.name()).unwrap();
        assert_eq!(parsed.form, form, "{}", form.pattern);
        assert_eq!((parsed.target, parsed.autoload), (None, true));
        assert!(!parsed.auto_attaches());
        let longer = format!("?{}/a/b", form.name());
        match parse(&longer) {
            Some(parsed) if form.takes_target() => {
                assert_eq!(
                    (parsed.form, parsed.target, parsed.autoload),
                    (form, Some("a/b"), false)
                );
            }
            other => assert!(
                !form.takes_target() && other.is_none_or(|parsed| parsed.form != form),
                "{longer}"
            ),
        }
        assert_eq!(
            parse(&format!("{}x", form.name())).filter(|parsed| parsed.form == form),
            None
        );
    }
}

#[test]
fn names_as_they_are_written() {
    use {AttachType as A, ProgramType as P};
    assert_eq!(kind("xdp"), Some((P::Xdp, Some(A::Xdp), None)));
    assert_eq!(
        kind("xdp.frags/devmap"),
        Some((P::Xdp, Some(A::XdpDevmap), None))
    );
    assert_eq!(kind("?xdp.frags/devmap").unwrap().1, Some(A::XdpDevmap));
    assert_eq!(
        kind("tracepoint/syscalls/sys_enter_openat"),
        Some((P::Tracepoint, None, Some("syscalls/sys_enter_openat")))
    );
    assert_eq!(
        kind("tp/sched/sched_switch").unwrap().2,
        Some("sched/sched_switch")
    );
    assert_eq!(
        kind("fentry.s/do_unlinkat"),
        Some((P::Tracing, Some(A::TraceFentry), Some("do_unlinkat")))
    );
    assert_eq!(
        kind("cgroup/connect_unix"),
        Some((P::CgroupSockAddr, Some(A::CgroupUnixConnect), None))
    );
    assert_eq!(kind("tc"), Some((P::SchedCls, None, None)));
    assert_eq!(kind("socket"), Some((P::SocketFilter, None, None)));
    assert_eq!(kind("uprobe/libc:malloc").unwrap().2, Some("libc:malloc"));
    assert_eq!(kind("kprobe/"), Some((P::Kprobe, None, Some(""))));
    for no in [
        "", "?", "xdp_prog", "xdp/", "xdp/x", "socket1", "tc/foo", "??xdp", "maps", ".text",
    ] {
        assert_eq!(kind(no), None, "{no}");
    }
}

#[test]
fn flags_reach_the_program() {
    use crate::program::flags;
    assert_eq!(
        parse("lsm.s/bpf").unwrap().program_flags(),
        flags::SLEEPABLE
    );
    assert_eq!(
        parse("xdp.frags").unwrap().program_flags(),
        flags::XDP_HAS_FRAGS
    );
    assert_eq!(parse("syscall").unwrap().program_flags(), flags::SLEEPABLE);
    assert_eq!(parse("kprobe/x").unwrap().program_flags(), 0);
    assert!(parse("kprobe/x").unwrap().auto_attaches());
    assert!(!parse("kprobe/").unwrap().auto_attaches());
    assert!(!parse("tc/ingress").unwrap().auto_attaches());
}
