; test verify
; CVE-2021-3490: an AND whose lower halves are known still says nothing of the upper ones.
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
    r7 = 0xffffffff00000000 ll
    r6 &= r7
    r6 += 1
    r7 = 0x100000002 ll
    r6 &= r7
    if w6 > 1 goto out
    r6 >>= 32
    r6 *= 4096
    r0 += r6
    r1 = *(u8 *)(r0 + 0)
out:
    r0 = 0
    exit
