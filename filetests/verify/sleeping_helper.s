; test verify
; A helper that may sleep, in a program that may not.
; verify: => refused="bpf_copy_from_user" id=verifier-helper edit=none
.license "GPL"
.section "kprobe/do_unlinkat"
.function t
    r1 = r10
    r1 += -8
    r2 = 8
    r3 = 0
    call bpf_copy_from_user
    r0 = 0
    exit
