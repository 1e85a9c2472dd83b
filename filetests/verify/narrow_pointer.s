; test verify
; A pointer computed in 32 bits.
; verify: => refused="32-bit pointer arithmetic prohibited" id=verifier-pointer-arithmetic edit=verifies
.license "GPL"
.section "socket"
.function t
    r2 = r10
    w2 += -8
    r0 = 0
    exit
