; test verify
; A member of a map itself that may not be read.
; verify: => refused="cannot access ptr member" id=verifier-type-bounds because="0: the address of a map" edit=verifies
; kernel: struct bpf_map { void *ops; int id; };
; kernel: struct bpf_htab { struct bpf_map map; };
; kernel: .extern kfunc int bpf_fentry_test1(int a)
.license "GPL"
.map counts {
    type hash
    key u32
    value u64
    max_entries 16
}
.section "tp/sched/sched_switch"
.function int t(void *ctx)
    r1 = map counts ll
    r0 = *(u32 *)(r1 + 0)
    r0 = 0
    exit
