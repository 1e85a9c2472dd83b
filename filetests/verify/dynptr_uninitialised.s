; test verify
; A dynptr that nothing has initialised.
; verify: => refused="Expected an initialized dynptr as" id=verifier-dynptr edit=verifies
.license "GPL"
.section "tc"
.function t
    *(u64 *)(r10 - 16) = 0
    *(u64 *)(r10 - 8) = 0
    r1 = r10
    r1 += -16
    r2 = 0
    r3 = 4
    call bpf_dynptr_data
    r0 = 0
    exit
