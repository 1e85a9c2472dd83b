; test verify
; CVE-2021-3444: nothing is known of the remainder of 32 bits where the divisor may be 0.
; verify: => refused="math between map_value pointer and register with unbounded min value is not allowed"
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
    r6 = *(u64 *)(r0 + 0)
    r7 = *(u64 *)(r0 + 8)
    w6 %= w7
    r0 += r6
    r1 = *(u8 *)(r0 + 0)
out:
    r0 = 0
    exit
