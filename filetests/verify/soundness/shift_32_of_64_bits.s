; test verify
; CVE-2018-18445: a 32-bit right shift looks at the lower half only.
; verify: => refused="math between map_value pointer and 4294967294 is not allowed"
.license "GPL"
.map bytes {
    type array
    key u32
    value char[48]
    max_entries 1
}
.section "tc"
.function t
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map bytes ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 2
    r1 <<= 31
    w1 >>= 31
    w1 -= 2
    r0 += r1
    *(u8 *)(r0 + 0) = 0
out:
    r0 = 0
    exit
