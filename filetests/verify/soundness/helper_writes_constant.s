; test verify
; CVE-2022-0500, CVE-2024-49861, CVE-2024-50164: a helper that writes through an argument gets no constant.
; verify: => refused="write into map forbidden" id=verifier-read-only edit=verifies
.license "GPL"
.global .rodata const volatile u32 limit = 7
.section "tc"
.function int t(struct __sk_buff *ctx)
    r2 = 0
    r3 = global limit ll
    r4 = 0
    r5 = 0
    call bpf_check_mtu
    r0 = 0
    exit
