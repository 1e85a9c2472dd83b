; test verify
; page
; The bound is larger than the value.
; verify: => refused="R0 max value is outside of the allowed memory range" id=verifier-out-of-bounds because="between 0 and 100" edit=verifies
.license "GPL"
.map bytes {
    type array
    key u32
    value char[64]
    max_entries 1
}
.section "tc"
.function t
    r7 = *(u32 *)(r1 + 8)
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map bytes ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    if r7 > 100 goto out
    r0 += r7
    *(u8 *)(r0 + 0) = 1
out:
    r0 = 0
    exit
