; test verify
; A jump beyond the last instruction.
; verify: => refused="jump out of range from insn 1 to 9" id=verifier-jump edit=verifies
.license "GPL"
.section "socket"
.function t
    r0 = 0
    if r0 == 0 goto +7
    exit
