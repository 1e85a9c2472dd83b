; test verify
; A function that calls itself.
; verify: => refused="the call stack of 8 frames is too deep" id=verifier-call-depth because="the function calls itself here" edit=verifies
.license "GPL"
.section "socket"
.function t
    r1 = 3
    call again
    r0 = 0
    exit
.section ".text"
.function static again
    r0 = 0
    if r1 == 0 goto out
    r1 += -1
    call again
out:
    exit
