; test verify
; CVE-2023-52452: a read at a variable offset may reach bytes that nobody wrote.
; verify: unprivileged => refused="R3"
.license "GPL"
.section "socket"
.function t
    r2 = *(u32 *)(r1 + 0)
    r2 &= 8
    *(u64 *)(r10 - 8) = 0
    r3 = r10
    r3 += -16
    r3 += r2
    r0 = *(u64 *)(r3 + 0)
    r0 = 0
    exit
