; test verify
; One path returns nothing.
; verify: => refused="R0 !read_ok" id=verifier-uninitialised-register because="nothing writes r0" edit=verifies
.license "GPL"
.section "socket"
.function t
    r1 = *(u32 *)(r1 + 0)
    if r1 == 0 goto out
    r0 = 1
out:
    exit
