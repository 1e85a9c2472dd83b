; test verify
; CVE-2024-45020: a path with less stack is not the one that wrote more of it.
; verify: unprivileged freq => refused="invalid read from stack R10 off=-16 size=8"
.license "GPL"
.section "socket"
.function t
    r6 = *(u32 *)(r1 + 0)
    if r6 == 0 goto read
    *(u64 *)(r10 - 16) = 0
read:
    r7 = 0
    if r6 == 7 goto on
    r7 = 0
on:
    r0 = *(u64 *)(r10 - 16)
    r0 = 0
    exit
