; test verify
; Four bytes of a header that lies at an odd place.
; verify: strict => refused="misaligned packet access" id=verifier-misaligned edit=verifies
; verify: => loads
.license "GPL"
.section "xdp"
.function t
    r3 = *(u32 *)(r1 + 4)
    r2 = *(u32 *)(r1 + 0)
    r4 = r2
    r4 += 16
    if r4 > r3 goto out
    r0 = *(u32 *)(r2 + 7)
out:
    r0 = 2
    exit
