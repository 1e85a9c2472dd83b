; test verify
; A loop of ten million rounds.
; verify: => refused="BPF program is too large. Processed 1000001 insn" id=verifier-too-complex because="2: jumps back" edit=verifies
.license "GPL"
.section "socket"
.function t
    r0 = 0
again:
    r0 += 1
    if r0 < 10000000 goto again
    exit
