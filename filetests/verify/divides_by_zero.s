; test verify
; verify: => refused="div by zero" id=verifier-division edit=verifies
.license "GPL"
.section "socket"
.function t
    r0 = 7
    r0 /= 0
    exit
