; test verify
; page
; Two functions whose stacks are too large together.
; verify: => refused="combined stack size of 2 calls is" id=verifier-stack-too-large because="0: this function uses 304 bytes of stack" edit=verifies
.license "GPL"
.section "socket"
.function t
    *(u64 *)(r10 - 304) = 0
    call deeper
    r0 = 0
    exit
.section ".text"
.function static deeper
    *(u64 *)(r10 - 304) = 0
    r0 = 0
    exit
