//! Programs for a host of one's own: its context's rules, its helpers' arguments, and what it does not list.

use std::sync::Arc;

use skep_spec::context::{Access, ContextKind, ContextLayout, Field, FieldValue};
use skep_spec::helper::{ArgKind, ArgType, Helper, ProgramSet, RetKind, RetType};
use skep_verifier::platform::{ExitRange, HelperSet};
use skep_verifier::{Host, Input};

static REQUEST: ContextLayout = ContextLayout {
    name: "request",
    size: 56,
    fields: &[
        Field::scalar("path", 0, 16),
        Field {
            write: Access::Narrow,
            ..Field::scalar("verdict", 16, 4)
        },
        Field {
            read: Access::Denied,
            write: Access::Narrow,
            ..Field::scalar("mark", 20, 4)
        },
        Field::pointer("data", 24, 8, FieldValue::PacketStart),
        Field::pointer("data_end", 32, 8, FieldValue::PacketEnd),
        Field::pointer(
            "user",
            40,
            8,
            FieldValue::Memory {
                size: 12,
                writable: false,
                or_null: true,
            },
        ),
        Field::pointer(
            "scratch",
            48,
            8,
            FieldValue::Memory {
                size: 8,
                writable: true,
                or_null: false,
            },
        ),
    ],
    kind: ContextKind::Flat,
};

fn arg(kind: ArgKind, modifiers: u8, size: u16) -> ArgType {
    ArgType {
        kind,
        modifiers,
        size,
        of: "",
    }
}

fn helper(id: u32, name: &'static str, args: [ArgType; 5]) -> Helper {
    Helper {
        id,
        name,
        since: "",
        flags: Helper::PACKET_ACCESS,
        args,
        ret: RetType {
            kind: RetKind::Integer,
            nullable: false,
            of: "",
        },
        programs: ProgramSet::all(),
    }
}

fn host() -> Host {
    let none = arg(ArgKind::None, 0, 0);
    let read = arg(ArgKind::Mem, ArgType::READ_ONLY, 0);
    let fill = arg(ArgKind::Mem, ArgType::WRITTEN, 0);
    let size = arg(ArgKind::SizeOrZero, 0, 0);
    let mut host = Host::new("request", &REQUEST);
    host.helpers = vec![
        helper(
            1000,
            "lookup",
            [arg(ArgKind::Scalar, 0, 0), none, none, none, none],
        ),
        helper(1001, "digest", [read, size, none, none, none]),
        helper(1002, "fill", [fill, size, none, none, none]),
        helper(
            1003,
            "pair",
            [
                arg(ArgKind::FixedMem, ArgType::READ_ONLY, 8),
                none,
                none,
                none,
                none,
            ],
        ),
    ];
    host.linux_helpers = HelperSet::of(&[5]);
    host.result = ExitRange::Within(0, 3);
    host
}

/// What the verifier says of a program in assembly; the first line of a rejection.
fn verdict(text: &str) -> Result<(), String> {
    let insns = skep_spec::asm::assemble_insns(text).expect("the test's program assembles");
    match skep_verifier::verify(&Input::for_host(Arc::new(host()), insns)) {
        Ok(_) => Ok(()),
        Err(rejection) => Err(rejection.fault.lines.first().cloned().unwrap_or_default()),
    }
}

fn refused(text: &str, with: &str) {
    match verdict(text) {
        Ok(()) => panic!("accepted, not refused with `{with}`:\n{text}"),
        Err(line) => assert!(line.contains(with), "`{line}` is not `{with}`:\n{text}"),
    }
}

#[test]
fn the_host_is_well_formed() {
    assert_eq!(host().check(), Ok(()));
    let mut twice = host();
    twice.helpers[1].id = 1000;
    assert!(twice.check().unwrap_err().contains("same number 1000"));
    let mut low = host();
    low.helpers[0].id = 999;
    assert!(low.check().unwrap_err().contains("start at 1000"));
}

#[test]
fn fields_have_their_rules() {
    assert_eq!(
        verdict("r2 = *(u8 *)(r1 + 3)\nr2 = *(u64 *)(r1 + 8)\nr0 = 1\nexit"),
        Ok(())
    );
    assert_eq!(verdict("*(u32 *)(r1 + 16) = 7\nr0 = 1\nexit"), Ok(()));
    assert_eq!(verdict("*(u8 *)(r1 + 17) = 7\nr0 = 1\nexit"), Ok(()));
    for bad in [
        "*(u8 *)(r1 + 0) = 7",
        "r2 = *(u64 *)(r1 + 16)",
        "r2 = *(u32 *)(r1 + 20)",
        "r2 = *(u32 *)(r1 + 24)",
        "*(u64 *)(r1 + 24) = 0",
        "r2 = *(u64 *)(r1 + 56)",
        "r2 = *(u64 *)(r1 - 8)",
    ] {
        let what = if bad.contains("- 8") {
            "negative offset"
        } else {
            "invalid bpf_context access"
        };
        let line = verdict(&format!("{bad}\nr0 = 1\nexit")).expect_err(bad);
        assert!(
            line.contains("invalid bpf_context access") || line.contains(what),
            "{bad}: {line}"
        );
    }
}

#[test]
fn results_lie_in_the_hosts_range() {
    assert_eq!(verdict("r0 = 3\nexit"), Ok(()));
    refused("r0 = 4\nexit", "should have been in [0, 3]");
    refused(
        "r1 = 5\ncall 1000\nexit",
        "unknown scalar value should have been in [0, 3]",
    );
}

#[test]
fn only_listed_helpers_exist() {
    assert_eq!(verdict("call 5\nr0 = 0\nexit"), Ok(()));
    refused(
        "call 7\nr0 = 0\nexit",
        "cannot use helper bpf_get_prandom_u32#7",
    );
    refused("call 1999\nr0 = 0\nexit", "invalid func unknown#1999");
}

#[test]
fn own_helpers_have_their_arguments_checked() {
    assert_eq!(verdict("r1 = 5\ncall 1000\nr0 = 0\nexit"), Ok(()));
    refused("call 1000\nr0 = 0\nexit", "R1 type=ctx expected=scalar");
    let stack = "*(u64 *)(r10 - 8) = 1\nr1 = r10\nr1 += -8\n";
    assert_eq!(
        verdict(&format!("{stack}r2 = 8\ncall 1001\nr0 = 0\nexit")),
        Ok(())
    );
    refused(
        &format!("{stack}r2 = 16\ncall 1001\nr0 = 0\nexit"),
        "invalid",
    );
    refused(
        &format!("r2 = *(u32 *)(r1 + 16)\n{stack}call 1001\nr0 = 0\nexit"),
        "R2 unbounded memory access",
    );
    assert_eq!(verdict(&format!("{stack}call 1003\nr0 = 0\nexit")), Ok(()));
    refused(
        "r1 = r10\nr1 += -4\ncall 1003\nr0 = 0\nexit",
        "invalid read from stack",
    );
    refused(
        "r1 = 0\ncall 1003\nr0 = 0\nexit",
        "R1 type=scalar expected=",
    );
}

#[test]
fn bytes_of_the_context_are_memory_for_helpers() {
    assert_eq!(verdict("r2 = 16\ncall 1001\nr0 = 0\nexit"), Ok(()));
    assert_eq!(verdict("r1 += 8\nr2 = 8\ncall 1001\nr0 = 0\nexit"), Ok(()));
    assert_eq!(verdict("r1 += 16\nr2 = 4\ncall 1002\nr0 = 0\nexit"), Ok(()));
    refused("r2 = 17\ncall 1001\nr0 = 0\nexit", "invalid bpf_context");
    // A helper that changes bytes sees what they were.
    refused(
        "r1 += 20\nr2 = 4\ncall 1002\nr0 = 0\nexit",
        "invalid bpf_context access off=20 size=4",
    );
    refused("r2 = 16\ncall 1002\nr0 = 0\nexit", "invalid bpf_context");
    refused(
        "r1 += 24\nr2 = 8\ncall 1001\nr0 = 0\nexit",
        "invalid bpf_context",
    );
}

#[test]
fn data_is_proven_by_its_end() {
    let head = "r6 = *(u64 *)(r1 + 24)\nr7 = *(u64 *)(r1 + 32)\n";
    let checked = format!("{head}r2 = r6\nr2 += 4\nif r2 > r7 goto out\n");
    let tail = "\nout:\nr0 = 0\nexit";
    assert_eq!(
        verdict(&format!("{checked}r0 = *(u32 *)(r6 + 0){tail}")),
        Ok(())
    );
    refused(
        &format!("{checked}r0 = *(u32 *)(r6 + 1){tail}"),
        "invalid access to packet",
    );
    refused(
        &format!("{checked}*(u32 *)(r6 + 0) = 1{tail}"),
        "cannot write into packet",
    );
    assert_eq!(
        verdict(&format!("{checked}r1 = r6\nr2 = 4\ncall 1001{tail}")),
        Ok(())
    );
    refused(
        &format!("{checked}r1 = r6\nr2 = 4\ncall 1002{tail}"),
        "cannot write into pkt",
    );
}

#[test]
fn memory_fields_have_their_size() {
    let user = "r6 = *(u64 *)(r1 + 40)\n";
    let tail = "\nout:\nr0 = 0\nexit";
    refused(
        &format!("{user}r0 = *(u32 *)(r6 + 0){tail}"),
        "invalid mem access 'rdonly_mem_or_null'",
    );
    let checked = format!("{user}if r6 == 0 goto out\n");
    assert_eq!(
        verdict(&format!("{checked}r0 = *(u32 *)(r6 + 8){tail}")),
        Ok(())
    );
    refused(
        &format!("{checked}r0 = *(u64 *)(r6 + 8){tail}"),
        "invalid access to memory, mem_size=12 off=8 size=8",
    );
    refused(
        &format!("{checked}*(u32 *)(r6 + 0) = 1{tail}"),
        "cannot write into rdonly_mem",
    );
    assert_eq!(
        verdict(&format!(
            "r6 = *(u64 *)(r1 + 48)\n*(u64 *)(r6 + 0) = 1{tail}"
        )),
        Ok(())
    );
    refused(
        &format!("r6 = *(u64 *)(r1 + 48)\n*(u64 *)(r1 + 48) = r6{tail}"),
        "invalid bpf_context access off=48",
    );
}
