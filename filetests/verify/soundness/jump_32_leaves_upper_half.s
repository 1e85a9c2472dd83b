; test verify
; CVE-2020-8835: a comparison of lower halves says nothing of the upper one.
; verify: => refused="R0 max value is outside of the allowed memory range"
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
    r2 = 0x100000001 ll
    if r6 > r2 goto out
    if r6 < 1 goto out
    if w6 > 1 goto out
    r6 >>= 32
    r6 *= 4096
    r0 += r6
    r1 = *(u8 *)(r0 + 0)
out:
    r0 = 0
    exit
