; test verify
; page
; A helper that may sleep, in a program that may not.
; verify: => refused="might sleep in a non-sleepable prog" id=verifier-sleepable edit=verifies
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
