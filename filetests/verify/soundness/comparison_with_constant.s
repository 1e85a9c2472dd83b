; test verify
; CVE-2024-41003: both ways of a comparison with a constant start from what was known before it.
; verify: => refused="R0 max value is outside of the allowed memory range"
; verify: program=equal => refused="invalid access to map value, value_size=48 off=4096 size=1"
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
    w6 &= 1
    if w6 == -1 goto out
    if r6 s< 0 goto out
    r6 <<= 12
    r0 += r6
    r1 = *(u8 *)(r0 + 0)
out:
    r0 = 0
    exit
.section "tc"
.function equal
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map bytes ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r6 = *(u64 *)(r0 + 0)
    w6 &= 1
    if w6 != 1 goto out
    r6 <<= 12
    r0 += r6
    r1 = *(u8 *)(r0 + 0)
out:
    r0 = 0
    exit
