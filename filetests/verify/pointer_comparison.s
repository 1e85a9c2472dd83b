; test verify
; Pointers compared by a program of an unprivileged user.
; verify: unprivileged => refused="R2 pointer comparison prohibited" id=verifier-pointer-comparison because="0: r2 gets the address here" edit=verifies
; verify: => loads
.license "GPL"
.section "socket"
.function t
    r2 = r10
    r0 = 0
    if r1 == r2 goto out
    r0 = 1
out:
    exit
