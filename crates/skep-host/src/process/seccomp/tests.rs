//! Runs the filter in a small classic BPF machine against the set it was built from.

use super::*;

fn run(filter: &[Classic], arch: u32, nr: u32, arg0: u32) -> u32 {
    let (mut pc, mut a) = (0usize, 0u32);
    for _ in 0..filter.len() {
        let i = filter[pc];
        pc += 1;
        match i.code {
            LOAD => {
                a = match i.k {
                    AT_NR => nr,
                    AT_ARCH => arch,
                    AT_ARG0_LOW => arg0,
                    other => panic!("load of offset {other}"),
                }
            }
            JUMP => pc += i.k as usize,
            JEQ => pc += if a == i.k { i.jt } else { i.jf } as usize,
            JGE => pc += if a >= i.k { i.jt } else { i.jf } as usize,
            JSET => pc += if a & i.k != 0 { i.jt } else { i.jf } as usize,
            RET => return i.k,
            other => panic!("code {other:#x}"),
        }
    }
    panic!("no return")
}

fn watched(nr: u32) -> bool {
    [call::EXECVE, call::EXECVEAT, call::CLONE3]
        .iter()
        .chain(&call::CREDENTIALS)
        .any(|&own| own as u32 == nr)
}

fn check(wanted: &CallSet) {
    let filter = filter(wanted);
    assert!(filter.len() <= 4096, "the kernel's limit");
    for nr in 0..CallSet::LIMIT + 100 {
        let stops = run(&filter, AUDIT_ARCH, nr, 0) == RET_TRACE;
        assert_eq!(
            stops,
            wanted.contains(nr.into()) || watched(nr),
            "call {nr} of {wanted:?}"
        );
        assert_eq!(
            run(&filter, 0x4000_0003, nr, 0),
            RET_TRACE | 1,
            "i386 call {nr}"
        );
    }
}

#[test]
fn stops_at_exactly_the_wanted_calls() {
    check(&CallSet::none());
    check(&CallSet::all());
    let mut every_other = CallSet::none();
    let mut some = CallSet::none();
    for nr in (0..CallSet::LIMIT).step_by(2) {
        every_other.insert(nr);
    }
    for nr in [0, 1, 2, 257, 437, 1023] {
        some.insert(nr);
    }
    check(&every_other);
    check(&some);
}

#[test]
fn arguments_decide_only_for_prctl_and_clone() {
    let filter = filter(&CallSet::none());
    assert_eq!(run(&filter, AUDIT_ARCH, call::PRCTL as u32, 15), RET_TRACE);
    assert_eq!(run(&filter, AUDIT_ARCH, call::PRCTL as u32, 16), RET_ALLOW);
    assert_eq!(
        run(
            &filter,
            AUDIT_ARCH,
            call::CLONE as u32,
            call::CLONE_UNTRACED as u32 | 17
        ),
        RET_TRACE
    );
    assert_eq!(run(&filter, AUDIT_ARCH, call::CLONE as u32, 17), RET_ALLOW);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn x32_calls_stop_as_foreign() {
    assert_eq!(
        run(&filter(&CallSet::none()), AUDIT_ARCH, 0x4000_0000 + 1, 0),
        RET_TRACE | 1
    );
}
