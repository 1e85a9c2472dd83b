; test verify
; An array on the stack, with an index that may lie outside of it.
; verify: => refused="stack" id=verifier-stack-too-large because="read from the context" edit=verifies
.license "GPL"
.section "tc"
.function t
    r2 = *(u32 *)(r1 + 8)
    r2 &= 63
    r3 = r10
    r3 += -32
    r3 += r2
    *(u8 *)(r3 + 0) = 1
    r0 = 0
    exit
