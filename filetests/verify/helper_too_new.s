; test verify
; A helper that came with a later kernel.
; verify: kernel=5.10 => refused="unknown#181" id=verifier-helper edit=verifies
; verify: kernel=5.10 program=clock => refused="#208" id=verifier-helper edit=verifies
.license "GPL"
.section "tc"
.function t
    r1 = 4
    r2 = 0
    r3 = 0
    r4 = 0
    call bpf_loop
    r0 = 0
    exit
.section "tc"
.function clock
    call bpf_ktime_get_tai_ns
    r0 = 0
    exit
