; test verify
; A global function that uses its pointer argument without a check.
; verify: => refused="invalid mem access 'mem_or_null'" id=verifier-null-pointer because="an argument of a global function" edit=verifies
.license "GPL"
.section ".text"
.function int length(u32 *p)
    r0 = *(u32 *)(r1 + 0)
    exit
.section "tc"
.function int t(struct __sk_buff *skb)
    *(u32 *)(r10 - 4) = 0
    r1 = r10
    r1 += -4
    call length
    r0 = 0
    exit
