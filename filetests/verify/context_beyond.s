; test verify
; The result of a function is read before the function has run.
; verify: => refused="doesn't have 2-th argument" id=verifier-context-access edit=verifies
; kernel: .extern kfunc int bpf_fentry_test1(int a)
.license "GPL"
.section "fentry/bpf_fentry_test1"
.function int t(u64 *ctx)
    r0 = *(u64 *)(r1 + 8)
    r0 = 0
    exit
