; test verify
; A variable on the stack that only one path writes.
; verify: unprivileged => refused="invalid read from stack R10 off=-8 size=8" id=verifier-stack-uninitialised because="1: the path jumps here" edit=verifies
; verify: => loads
.license "GPL"
.section "socket"
.function t
    r2 = *(u32 *)(r1 + 0)
    if r2 == 0 goto read
    *(u64 *)(r10 - 8) = 1
read:
    r0 = *(u64 *)(r10 - 8)
    r0 = 0
    exit
