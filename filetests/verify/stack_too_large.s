; test verify
; A variable beyond the 512 bytes.
; verify: => refused="invalid write to stack R10 off=-520 size=8" id=verifier-stack-too-large edit=verifies
.license "GPL"
.section "socket"
.function t
    *(u64 *)(r10 - 520) = 0
    r0 = 0
    exit
