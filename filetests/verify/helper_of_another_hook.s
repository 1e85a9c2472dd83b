; test verify
; A helper that socket filters do not have.
; verify: => refused="program of this type cannot use helper bpf_get_current_comm#16" id=verifier-helper edit=verifies
.license "GPL"
.section "socket"
.function t
    r1 = r10
    r1 += -16
    r2 = 16
    call bpf_get_current_comm
    r0 = 0
    exit
