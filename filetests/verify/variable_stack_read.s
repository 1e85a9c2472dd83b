; test verify
; An array on the stack at an offset that is not a constant, for a user without privileges.
; verify: unprivileged => refused="R3" id=verifier-pointer-arithmetic
.license "GPL"
.section "socket"
.function t
    r2 = *(u32 *)(r1 + 8)
    r2 &= 7
    r3 = r10
    r3 += -8
    r3 += r2
    r0 = *(u8 *)(r3 + 0)
    r0 = 0
    exit
