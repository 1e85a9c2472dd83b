//! Logs that kernels and loaders wrote, and texts that are none.

use super::*;
use crate::explain::from_log;

/// Linux 6.18 through libbpf.
const NULL: &str = r#"libbpf: prog 'null_deref': BPF program load failed: Permission denied
libbpf: prog 'null_deref': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
; __u32 key = ctx->ingress_ifindex; @ bad.c:9
0: (61) r1 = *(u32 *)(r1 +12)         ; R1=scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))
1: (63) *(u32 *)(r10 -4) = r1         ; R1=scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff)) R10=fp0 fp-8=mmmm????
2: (bf) r2 = r10                      ; R2=fp0 R10=fp0
3: (07) r2 += -4                      ; R2=fp-4
; __u64 *value = bpf_map_lookup_elem(&counts, &key); @ bad.c:10
4: (18) r1 = 0xffff888100254400       ; R1=map_ptr(map=counts,ks=4,vs=8)
6: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,map=counts,ks=4,vs=8)
; *value += 1; @ bad.c:11
7: (79) r1 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 7 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'null_deref': failed to load: -13
libbpf: failed to load object '/tmp/bad/bad.o'
"#;

const LEAK: &str = r#"libbpf: prog 't': BPF program load failed: Invalid argument
libbpf: prog 't': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
0: (18) r1 = 0xffff888197479800       ; R1=map_ptr(map=events,ks=0,vs=0)
2: (b7) r2 = 8                        ; R2=8
3: (b7) r3 = 0                        ; R3=0
4: (85) call bpf_ringbuf_reserve#131          ; R0=ringbuf_mem_or_null(id=2,ref_obj_id=2,sz=8) refs=2
5: (15) if r0 == 0x0 goto pc+2        ; R0=ringbuf_mem(ref_obj_id=2,sz=8) refs=2
6: (7a) *(u64 *)(r0 +0) = 1           ; R0=ringbuf_mem(ref_obj_id=2,sz=8) refs=2
7: (bf) r6 = r0                       ; R0=ringbuf_mem(ref_obj_id=2,sz=8) R6=ringbuf_mem(ref_obj_id=2,sz=8) refs=2
8: (b7) r0 = 0                        ; R0=0 refs=2
9: (95) exit
Unreleased reference id=2 alloc_insn=4
BPF_EXIT instruction in main prog would lead to reference leak
processed 9 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 't': failed to load: -22
libbpf: failed to load object 'reference_kept.o'
"#;

const LOOP: &str = r#"libbpf: prog 't': BPF program load failed: Invalid argument
libbpf: prog 't': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
0: (b7) r0 = 0                        ; R0=0
1: (b7) r0 = 0                        ; R0=0
2: (05) goto pc-2
1: (b7) r0 = 0                        ; R0=0
2: (05) goto pc-2
1: (b7) r0 = 0                        ; R0=0
2: (05) goto pc-2
1: (b7) r0 = 0                        ; R0=0
2: (05) goto pc-2
infinite loop detected at insn 1
cur state: R0=0 R1=ctx() R10=fp0
old state: R0=0 R1=ctx() R10=fp0
processed 10 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 't': failed to load: -22
libbpf: failed to load object 'endless.o'
"#;

/// With every state, at level 2.
const PACKET: &str = r#"libbpf: prog 't': BPF program load failed: Permission denied
libbpf: prog 't': -- BEGIN PROG LOAD LOG --
func#0 @0
Live regs before insn:
      0: .1........ (61) r3 = *(u32 *)(r1 +4)
      1: .1........ (61) r2 = *(u32 *)(r1 +0)
      2: ..2....... (69) r0 = *(u16 *)(r2 +12)
      3: .......... (b7) r0 = 2
      4: 0......... (95) exit
0: R1=ctx() R10=fp0
0: (61) r3 = *(u32 *)(r1 +4)          ; R1=ctx() R3=pkt_end()
1: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2=pkt(r=0)
2: (69) r0 = *(u16 *)(r2 +12)
invalid access to packet, off=12 size=2, R2(id=0,off=12,r=0)
R2 offset is outside of the packet
processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 't': failed to load: -13
libbpf: failed to load object 't.o'
"#;

/// The form of before 5.18: numbers are `inv`, source lines have no place.
const OLD: &str = "\
0: R1=ctx(id=0,off=0,imm=0) R10=fp0
; u32 len = ctx->len;
0: (61) r2 = *(u32 *)(r1 +0)         ; R1=ctx(id=0,off=0,imm=0) R2_w=inv(id=0,umax_value=4294967295,var_off=(0x0; 0xffffffff))
1: (b7) r0 = 0                        ; R0_w=inv0
2: (15) if r2 == 0x0 goto pc+1
 R0_w=inv0 R1=ctx(id=0,off=0,imm=0) R2_w=inv(id=0,umax_value=4294967295,var_off=(0x0; 0xffffffff)) R10=fp0
; return *(char *)(long)len;
3: (71) r0 = *(u8 *)(r2 +0)
R2 invalid mem access 'inv'
processed 4 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
";

fn only(text: &str) -> VerifierLog {
    let mut logs = parse(text);
    assert_eq!(logs.len(), 1, "{logs:#?}");
    logs.remove(0)
}

#[test]
fn a_log_of_libbpf() {
    let log = only(NULL);
    assert_eq!(log.program.as_deref(), Some("null_deref"));
    assert_eq!(log.errno, Some(13));
    assert_eq!(log.fault, ["R0 invalid mem access 'map_value_or_null'"]);
    assert_eq!(log.processed, Some(7));
    assert_eq!(log.insn(), Some(7));
    let insns: Vec<usize> = log.steps.iter().map(|step| step.insn).collect();
    assert_eq!(insns, [0, 1, 2, 3, 4, 6, 7]);
    let last = log.steps.last().unwrap();
    assert_eq!(last.text, "r1 = *(u64 *)(r0 +0)");
    assert_eq!(
        last.source.as_ref().unwrap().file,
        Some(("bad.c".to_owned(), 11))
    );
    assert_eq!(
        log.steps[5].after[&0],
        "map_value_or_null(id=1,map=counts,ks=4,vs=8)"
    );
    let explained = from_log::explain(&log, "x.log", NULL);
    assert_eq!(explained.diagnostic.id, "verifier-null-pointer");
    assert!(
        explained
            .because
            .iter()
            .any(|(insn, text)| *insn == 6 && text.contains("result of bpf_map_lookup_elem#1")),
        "{:?}",
        explained.because
    );
    let skep_diag::Place::Span(span) = explained.diagnostic.labels[0].place else {
        panic!("no span");
    };
    let (file, position) = explained.sources.locate(span).unwrap();
    assert_eq!((file, position.line), ("bad.c", 11));
}

#[test]
fn where_a_leaked_reference_was_taken() {
    let log = only(LEAK);
    assert_eq!(log.fault.len(), 2);
    let explained = from_log::explain(&log, "leak.log", LEAK);
    assert_eq!(explained.diagnostic.id, "verifier-reference-leak");
    assert!(explained.because.iter().any(|(insn, _)| *insn == 4));
    // Without source lines, places are those of the log.
    let skep_diag::Place::Span(span) = explained.diagnostic.labels[0].place else {
        panic!("no span");
    };
    assert_eq!(explained.sources.locate(span).unwrap().0, "leak.log");
}

#[test]
fn states_and_tables_are_no_faults() {
    let log = only(LOOP);
    assert_eq!(log.fault, ["infinite loop detected at insn 1"]);
    assert_eq!(log.insn(), Some(1));
    let log = only(PACKET);
    assert_eq!(log.fault.len(), 2, "{:?}", log.fault);
    assert_eq!(log.steps.len(), 3);
    assert_eq!(log.steps[1].after[&2], "pkt(r=0)");
}

#[test]
fn the_form_of_old_kernels() {
    let log = only(OLD);
    assert_eq!(log.fault, ["R2 invalid mem access 'inv'"]);
    assert_eq!(log.steps[1].after[&0], "inv0");
    let source = log.steps[3].source.as_ref().unwrap();
    assert_eq!(
        (source.text.as_str(), &source.file),
        ("return *(char *)(long)len;", &None)
    );
    let explained = from_log::explain(&log, "old.log", OLD);
    assert_eq!(explained.diagnostic.id, "verifier-scalar-pointer");
    assert!(
        explained
            .because
            .iter()
            .any(|(insn, text)| *insn == 0 && text.contains("read from memory"))
    );
}

#[test]
fn a_branch_starts_where_its_jump_stands() {
    let log = only(
        "0: (15) if r1 == 0x0 goto pc+3        ; R1=scalar()\n\
         1: (b7) r2 = 1                        ; R2=1\n\
         2: (b7) r0 = 0\n\
         3: (95) exit\n\
         \n\
         from 0 to 4: R1=0 R10=fp0\n\
         4: (bf) r0 = r2\n\
         R2 !read_ok\n\
         processed 5 insns (limit 1000000) max_states_per_insn 0\n",
    );
    let insns: Vec<usize> = log.steps.iter().map(|step| step.insn).collect();
    assert_eq!(insns, [0, 4]);
    assert_eq!(log.steps[0].after[&1], "0");
    assert_eq!(log.fault, ["R2 !read_ok"]);
}

#[test]
fn one_line_of_cilium() {
    let log = only(
        "loading objects: field X: program tail: load program: permission denied: 7: (79) r1 = *(u64 *)(r0 +0): R0 invalid mem access 'map_value_or_null' (12 line(s) omitted)",
    );
    assert_eq!(log.program.as_deref(), Some("tail"));
    assert_eq!(log.insn(), Some(7));
    assert_eq!(log.fault, ["R0 invalid mem access 'map_value_or_null'"]);
    let log = only(
        "program f: load program: invalid argument: invalid access to packet, off=12 size=2, R2(id=0,off=12,r=0): R2 offset is outside of the packet (8 line(s) omitted)",
    );
    assert_eq!(log.program.as_deref(), Some("f"));
    assert!(
        log.fault[0].contains("R2 offset is outside of the packet")
            && !log.fault[0].contains("omitted")
    );
}

#[test]
fn the_sectioned_form() {
    let text = "0: (71) r0 = *(u8 *)(r2 +0)\n\
        R2 !read_ok\n\
        Verification failed: Register Type Safety: Unreadable register\n\
        Reason: R2 has no value\n  on this path\n\
        At: insn 0\nCausal path:\n  0: something\n\
        Suggestion: initialise it\n\
        processed 1 insns (limit 1000000)\n";
    let log = only(text);
    assert_eq!(log.fault, ["R2 !read_ok"]);
    let diagnosis = log.diagnosis.as_ref().unwrap();
    assert_eq!(diagnosis.title, "Register Type Safety: Unreadable register");
    assert_eq!(diagnosis.reason, "R2 has no value on this path");
    assert_eq!(diagnosis.suggestion, "initialise it");
    let explained = from_log::explain(&log, "x", text);
    assert_eq!(explained.diagnostic.id, "verifier-uninitialised-register");
}

#[test]
fn what_people_quote_is_not_the_error() {
    let log = only(
        "reg type unsupported for arg#0 function prog#15\n\
         0: R1=ctx() R10=fp0\n\
         0: (b7) r0 = 5\n\
         1: (95) exit\n\
         At program exit the register R0 has smin=5 smax=5 should have been in [0, 1]\n\
         processed 2 insns (limit 1000000)\n",
    );
    assert_eq!(log.noise.len(), 1);
    assert_eq!(log.fault.len(), 1);
    assert!(log.fault[0].starts_with("At program exit"));
}

#[test]
fn several_programs_and_no_permission() {
    let both = format!("{NULL}{LEAK}");
    let logs = parse(&both);
    let names: Vec<_> = logs
        .iter()
        .filter_map(|log| log.program.as_deref())
        .collect();
    assert_eq!(names, ["null_deref", "t"]);
    let denied = "libbpf: prog 'p': BPF program load failed: Operation not permitted\nlibbpf: prog 'p': failed to load: -1\n";
    let log = only(denied);
    let explained = from_log::explain(&log, "x", denied);
    assert_eq!(explained.diagnostic.id, "verifier-permission");
}

#[test]
fn a_log_of_a_program_that_loads_has_no_fault() {
    let log = only(
        "0: (b7) r0 = 0\n1: (95) exit\nprocessed 2 insns (limit 1000000)\nverification time 12 usec\n",
    );
    assert!(log.fault.is_empty());
}

#[test]
fn any_text_is_read() {
    for text in [
        "",
        "\n\n",
        "\0\u{1}",
        "from 1 to",
        "from x to y: R1=",
        "prog '",
        "1: (",
        "99999999999999999999999: (b7) r",
        ": (b7) ",
        "é: (é7) é",
    ] {
        let _ = parse(text);
    }
    // Every prefix of a log, cut anywhere.
    for end in (0..PACKET.len()).filter(|&end| PACKET.is_char_boundary(end)) {
        for log in parse(&PACKET[..end]) {
            let _ = from_log::explain(&log, "cut", &PACKET[..end]);
        }
    }
}
