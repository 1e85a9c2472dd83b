; test verify
; verify: => refused="last insn is not an exit or jmp" id=verifier-program-end edit=verifies
.license "GPL"
.section "socket"
.function t
    r0 = 0
