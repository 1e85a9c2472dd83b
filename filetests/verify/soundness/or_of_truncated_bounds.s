; test verify
; CVE-2020-27194: bounds of the lower half do not follow from 64-bit bounds that are larger.
; verify: => refused="R0 unbounded memory access"
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
    r2 = 0x600000002 ll
    if r6 >= r2 goto out
    if r6 < 1 goto out
    r6 |= 0
    w6 = w6
    r0 += r6
    r1 = *(u8 *)(r0 + 0)
out:
    r0 = 0
    exit
