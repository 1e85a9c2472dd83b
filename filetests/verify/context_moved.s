; test verify
; A field of the context through a pointer that was moved.
; verify: => refused="dereference of modified ctx ptr R1 off=8 disallowed" id=verifier-context-modified because="0: address is changed here" edit=verifies
.license "GPL"
.section "tc"
.function t
    r1 += 8
    r0 = *(u32 *)(r1 + 0)
    r0 = 0
    exit
