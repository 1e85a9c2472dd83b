; test verify
; A pointer that was computed in 32 bits is a number.
; verify: => refused="R2 invalid mem access 'scalar'" id=verifier-scalar-pointer because="1: only its lower half" edit=verifies
.license "GPL"
.section "socket"
.function t
    *(u64 *)(r10 - 8) = 0
    w2 = w10
    r0 = *(u64 *)(r2 - 8)
    exit
