; test verify
; page
; A helper that socket filters do not have.
; verify: => refused="program of this type cannot use helper bpf_xdp_adjust_head#44" id=verifier-helper edit=verifies
.license "GPL"
.section "socket"
.function t
    r2 = 0
    call bpf_xdp_adjust_head
    r0 = 0
    exit
