; test verify
; A write to a constant.
; verify: => refused="write into map forbidden" id=verifier-read-only because="0: the address of a constant" edit=verifies
.license "GPL"
.global .rodata const volatile u32 limit = 7
.section "tc"
.function t
    r1 = global limit ll
    *(u32 *)(r1 + 0) = 8
    r0 = 0
    exit
