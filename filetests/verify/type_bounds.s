; test verify
; A member at an offset where this kernel's type has ended.
; verify: => refused="access beyond struct task_struct at off 64 size 4" id=verifier-type-bounds because="0: the result of bpf_get_current_task_btf" edit=verifies
; kernel: struct task_struct { int pid; int tgid; };
; kernel: .extern kfunc int bpf_fentry_test1(int a)
.license "GPL"
.section "fentry/bpf_fentry_test1"
.function int t(u64 *ctx)
    call bpf_get_current_task_btf
    r1 = *(u32 *)(r0 + 64)
    r0 = 0
    exit
