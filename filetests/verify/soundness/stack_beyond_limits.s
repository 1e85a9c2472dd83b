; test verify
; CVE-2023-52676: an offset so large that 32 bits overflow is out of the stack.
; verify: => refused="fp pointer"
.license "GPL"
.section "tc"
.function t
    r2 = *(u64 *)(r10 - 8)
    r3 = 0x7ffffff0 ll
    r2 &= r3
    r1 = r10
    r1 += 0x7ffffff0
    r1 += r2
    *(u64 *)(r1 + 0) = 0
    r0 = 0
    exit
