; test verify
; page
; A loop that nothing ends.
; verify: => refused="infinite loop detected" id=verifier-loop because="2: jumps back" edit=verifies
.license "GPL"
.section "socket"
.function t
    r0 = 0
again:
    r0 = 0
    goto again
