; test verify
; A variable beyond the 512 bytes.
; verify: => refused="stack" id=verifier-stack-too-large edit=none
.license "GPL"
.section "socket"
.function t
    *(u64 *)(r10 - 520) = 0
    r0 = 0
    exit
