; test verify
; page
; A length from memory that may be negative.
; verify: => refused="R4 min value is negative" id=verifier-negative-size because="1: read from the context" edit=verifies
.license "GPL"
.section "tc"
.function t
    r6 = r1
    r4 = *(u32 *)(r1 + 8)
    r4 <<= 32
    r4 s>>= 32
    if r4 s> 16 goto out
    r3 = r10
    r3 += -16
    r2 = 0
    call bpf_skb_load_bytes
out:
    r0 = 0
    exit
