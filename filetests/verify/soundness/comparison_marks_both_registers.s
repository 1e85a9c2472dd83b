; test verify
; CVE-2023-2163: a comparison of two registers depends on the exact value of both.
; verify: => refused="math between map_value pointer and register with unbounded min value is not allowed"
.license "GPL"
.map bytes {
    type array
    key u32
    value char[48]
    max_entries 1
}
.section "socket"
.function t
    r6 = 1024
    r7 = 0
    r8 = 0
    r9 = -2147483648
    r6 %= 1025
    goto +0
    if r6 <= r9 goto +2
    r6 %= 1
    r9 = 0
    if r6 <= r9 goto +1
    r6 = 0
    r0 = 0
    *(u32 *)(r10 - 4) = r0
    r4 = map bytes ll
    r1 = r4
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 != 0 goto +1
    exit
    r6 >>= 10
    r6 *= 8192
    r1 = r0
    r0 += r6
    r3 = *(u64 *)(r0 + 0)
    *(u64 *)(r1 + 0) = r3
    exit
