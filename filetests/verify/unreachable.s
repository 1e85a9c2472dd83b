; test verify
; Code after the end.
; verify: => refused="unreachable insn 2" id=verifier-unreachable edit=verifies
.license "GPL"
.section "socket"
.function t
    r0 = 0
    exit
    r0 = 1
    exit
