; test verify
; A tracing program, loaded by a user without privileges: there is no log.
; verify: unprivileged => refused="" id=verifier-permission edit=verifies
; verify: => loads
.license "GPL"
.section "kprobe/do_unlinkat"
.function t
    r0 = 0
    exit
