; test verify
; page
; The comparison covers fewer bytes than are used.
; verify: => refused="R2 offset is outside of the packet" id=verifier-packet-bounds because="4: compared with the packet's end" edit=verifies
.license "GPL"
.section "tc"
.function t
    r3 = *(u32 *)(r1 + 80)
    r2 = *(u32 *)(r1 + 76)
    r4 = r2
    r4 += 14
    if r4 > r3 goto out
    r0 = *(u8 *)(r2 + 23)
out:
    r0 = 0
    exit
