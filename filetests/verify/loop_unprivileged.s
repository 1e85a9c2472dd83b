; test verify
; A loop, loaded by an unprivileged user.
; verify: unprivileged => refused="back-edge from insn 2 to 1" id=verifier-loop edit=verifies
; verify: => loads
.license "GPL"
.section "socket"
.function t
    r0 = 0
again:
    r0 += 1
    if r0 < 4 goto again
    exit
