; test verify
; CVE-2017-16995: a 32-bit constant does not fill the upper half, so the jump is taken.
; verify: => refused="R9 invalid mem access 'scalar'"
.license "GPL"
.section "tc"
.function t
    w9 = -1
    if r9 != -1 goto taken
    r0 = 0
    exit
taken:
    r0 = *(u64 *)(r9 + 0)
    exit
