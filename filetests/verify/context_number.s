; test verify
; An argument of the traced function that is a number is used as an address.
; verify: => refused="R1 invalid mem access 'scalar'" id=verifier-scalar-pointer because="0: read from the context" edit=verifies
; kernel: .extern kfunc int bpf_fentry_test1(int a)
.license "GPL"
.section "fentry/bpf_fentry_test1"
.function int t(u64 *ctx)
    r1 = *(u64 *)(r1 + 0)
    r0 = *(u32 *)(r1 + 0)
    r0 = 0
    exit
