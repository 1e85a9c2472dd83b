; test verify
; CVE-2024-47702: a packet's address is loaded whole, not with a sign.
; verify: => refused="invalid bpf_context access off=76 size=4"
.license "GPL"
.section "tc"
.function t
    r2 = *(s32 *)(r1 + 76)
    r3 = *(u32 *)(r1 + 80)
    r4 = r2
    r4 += 1
    if r4 > r3 goto out
    r0 = *(u8 *)(r2 + 0)
out:
    r0 = 0
    exit
