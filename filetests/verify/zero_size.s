; test verify
; A size that may be zero.
; verify: => refused="R4 invalid zero-sized read" id=verifier-unbounded because="masked here" edit=verifies
.license "GPL"
.section "tc"
.function t
    r4 = *(u32 *)(r1 + 8)
    r4 &= 15
    r3 = r10
    r3 += -16
    r2 = 0
    call bpf_skb_load_bytes
    r0 = 0
    exit
