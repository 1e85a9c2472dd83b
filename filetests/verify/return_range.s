; test verify
; page
; A cgroup hook that understands 0 and 1.
; verify: => refused="should have been in [0, 1]" id=verifier-return-value because="0: the result is set here" edit=verifies
.license "GPL"
.section "cgroup/dev"
.function t
    r0 = 5
    exit
